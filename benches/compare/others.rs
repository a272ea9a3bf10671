use std::path::Path;
use std::process::{Command, Stdio};

use crate::Outcome;
use benches::measure::{Cost, measure};

/// Another program that backs up files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    Restic,
    Borg,
}

const RESTIC: [(&str, &str); 2] = [("RESTIC_PASSWORD", "benchmark"), ("RESTIC_CACHE_DIR", "restic-cache")];
const BORG: [(&str, &str); 4] = [
    ("BORG_PASSPHRASE", "benchmark"),
    ("BORG_BASE_DIR", "borg-base"),
    ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes"),
    ("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes"),
];

impl Other {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Restic => "restic",
            Self::Borg => "borg",
        }
    }

    /// Its version, if it is on the machine.
    pub(crate) fn version(self) -> Option<String> {
        let argument = if self == Self::Restic { "version" } else { "--version" };
        let output = Command::new(self.name()).arg(argument).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.split_whitespace().take(2).last().map(str::to_owned)
    }

    fn environment(self) -> &'static [(&'static str, &'static str)] {
        if self == Self::Restic { &RESTIC } else { &BORG }
    }

    /// Makes an encrypted, compressing repository in the folder.
    pub(crate) fn init(self, folder: &Path, repository: &str) -> Outcome<Cost> {
        let command: &[&str] = match self {
            Self::Restic => &["restic", "-r", repository, "init"],
            Self::Borg => &["borg", "init", "--encryption=repokey-blake2", repository],
        };
        measure(folder, command, self.environment())
    }

    /// Backs up some folders as the snapshot `name`.
    pub(crate) fn backup(self, folder: &Path, repository: &str, name: &str, what: &[&str]) -> Outcome<Cost> {
        let archive = format!("{repository}::{name}");
        let mut command: Vec<&str> = match self {
            Self::Restic => vec!["restic", "-r", repository, "--compression", "auto", "backup", "--tag", name],
            Self::Borg => vec!["borg", "create", "--compression", "zstd,3", &archive],
        };
        command.extend(what);
        measure(folder, &command, self.environment())
    }

    /// Restores the newest snapshot (`name`) into a folder.
    pub(crate) fn restore(self, folder: &Path, repository: &str, name: &str, into: &str) -> Outcome<Cost> {
        let target = folder.join(into);
        std::fs::create_dir_all(&target)?;
        let repository = folder.join(repository).display().to_string();
        let archive = format!("{repository}::{name}");
        match self {
            Self::Restic => {
                let command = ["restic", "-r", &repository, "restore", "latest", "--target", into];
                measure(folder, &command, self.environment())
            }
            Self::Borg => {
                let base = folder.join("borg-base").display().to_string();
                let environment = [BORG[0], ("BORG_BASE_DIR", base.as_str()), BORG[2], BORG[3]];
                measure(&target, &["borg", "extract", &archive], &environment)
            }
        }
    }

    /// Reads and checks every byte.
    pub(crate) fn verify(self, folder: &Path, repository: &str) -> Outcome<Cost> {
        let command: &[&str] = match self {
            Self::Restic => &["restic", "-r", repository, "check", "--read-data"],
            Self::Borg => &["borg", "check", "--verify-data", repository],
        };
        measure(folder, command, self.environment())
    }
}
