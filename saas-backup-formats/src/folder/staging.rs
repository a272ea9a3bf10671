use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use saas_backup_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::files::create_parents;
use super::sums::Listed;

/// What an earlier export lists, while it is looked through.
const LISTED: &str = ".listed";
/// Held open and locked while a session writes.
const LOCK: &str = ".lock";

/// How a folder of one format is told from others: the `format` member of its `manifest.json`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub(crate) file: &'static str,
    pub(crate) format: &'static str,
}

impl Marker {
    /// Whether the folder was made by this format.
    pub(crate) fn marks(self, folder: &Path) -> bool {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let manifest = File::open(folder.join(self.file)).map(io::BufReader::new);
        let head = manifest.ok().and_then(|manifest| serde_json::from_reader::<_, Head>(manifest).ok());
        head.is_some_and(|head| head.format == self.format)
    }
}

/// What a session does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// An earlier export is replaced; else the session is refused.
    pub(crate) replace: bool,
    /// Files that somebody else put into it move into the new one; else the session is refused.
    pub(crate) carry_over: bool,
}

/// A new folder that is written beside its target and takes the target's place when it is whole.
///
/// Two renames make it visible, so that the old folder is there until the new one is complete. A session that was
/// killed leaves the old folder as it was; what it wrote is removed by the next one.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    work: PathBuf,
    replaced: PathBuf,
    foreign: Vec<String>,
    lock: File,
}

impl Staging {
    /// Opens a session for `target`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if another session writes there, or if something is there that must not be replaced.
    pub(crate) fn open(target: &Path, marker: Marker, policy: Policy) -> Result<Self> {
        let target = std::path::absolute(target)?;
        create_parents(&target)?;
        // A link to a folder stays a link: what it points to is replaced.
        let target = fs::canonicalize(&target).unwrap_or(target);
        refuse_mount_point(&target)?;
        let name = target.file_name().ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "the path does not name a folder")
                .with_context("path", target.display())
        })?;
        let (work, replaced) = (beside(&target, name, "partial"), beside(&target, name, "replaced"));
        fs::create_dir_all(&work)?;
        let lock = File::create(work.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Conflict, "another session writes to this folder")
                    .with_context("folder", target.display()));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut staging = Self { target, work, replaced, foreign: Vec::new(), lock };
        staging.recover()?;
        match staging.inspect(marker, policy) {
            Ok(()) => Ok(staging),
            Err(error) => {
                staging.discard()?;
                Err(error)
            }
        }
    }

    /// Where the new folder is written.
    pub(crate) fn folder(&self) -> &Path {
        &self.work
    }

    /// Puts the new folder in the place of the old one.
    pub(crate) fn publish(self) -> Result<()> {
        for path in &self.foreign {
            let (from, to) = (self.target.join(path), self.work.join(path));
            if fs::symlink_metadata(&to).is_ok() {
                return Err(Error::new(ErrorKind::Conflict, "a file of yours has the name that a new one needs")
                    .with_context("file", from.display()));
            }
        }
        fs::remove_file(self.work.join(LOCK))?;
        sync_folder(&self.work)?;
        let replaces = fs::symlink_metadata(&self.target).is_ok();
        if replaces {
            fs::rename(&self.target, &self.replaced)?;
        }
        fs::rename(&self.work, &self.target)?;
        for path in &self.foreign {
            let to = self.target.join(path);
            create_parents(&to)?;
            fs::rename(self.replaced.join(path), to)?;
        }
        if let Some(parent) = self.target.parent() {
            sync_folder(parent)?;
        }
        if replaces {
            fs::remove_dir_all(&self.replaced)?;
        }
        drop(self.lock);
        Ok(())
    }

    /// Removes what was written; the target stays as it was.
    pub(crate) fn discard(self) -> Result<()> {
        fs::remove_dir_all(&self.work)?;
        drop(self.lock);
        Ok(())
    }

    /// Cleans up after a session that was killed.
    fn recover(&self) -> Result<()> {
        for entry in fs::read_dir(&self.work)? {
            let entry = entry?;
            if entry.file_name() == LOCK {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        if fs::symlink_metadata(&self.replaced).is_ok() {
            if fs::symlink_metadata(&self.target).is_ok() {
                self.rescue()?;
                fs::remove_dir_all(&self.replaced)?;
            } else {
                fs::rename(&self.replaced, &self.target)?;
            }
        }
        Ok(())
    }

    /// Brings files of somebody else, that a killed session had not moved yet, to the folder that took the place.
    fn rescue(&self) -> Result<()> {
        for path in Listed::open(&self.replaced)?.foreign(&self.replaced, self.work.join(LISTED))? {
            let to = self.target.join(&path);
            if fs::symlink_metadata(&to).is_err() {
                create_parents(&to)?;
                fs::rename(self.replaced.join(&path), to)?;
            }
        }
        Ok(())
    }

    fn inspect(&mut self, marker: Marker, policy: Policy) -> Result<()> {
        let conflict = |message: &'static str| {
            Err(Error::new(ErrorKind::Conflict, message).with_context("folder", self.target.display()))
        };
        let metadata = match fs::metadata(&self.target) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !metadata.is_dir() {
            return conflict("there is a file where a folder is to be written");
        }
        if fs::read_dir(&self.target)?.next().is_none() {
            return Ok(());
        }
        if !marker.marks(&self.target) {
            return conflict("the folder is not empty, and this format did not write it: choose another one");
        }
        if !policy.replace {
            return conflict("the folder holds an export already: choose another one, or the mode that replaces it");
        }
        let foreign = Listed::open(&self.target)?.foreign(&self.target, self.work.join(LISTED))?;
        if let (false, Some(first)) = (policy.carry_over, foreign.first()) {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the folder holds files that no export wrote: move them away first",
            )
            .with_context("folder", self.target.display())
            .with_context("file", first)
            .with_context("files", foreign.len()));
        }
        self.foreign = foreign;
        Ok(())
    }
}

fn beside(target: &Path, name: &std::ffi::OsStr, suffix: &str) -> PathBuf {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".saas-backup-");
    hidden.push(suffix);
    target.with_file_name(hidden)
}

/// Stops before an export that could not take its target's place at the end: a mount point cannot be renamed.
#[cfg(unix)]
fn refuse_mount_point(target: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
    match (device(target), target.parent().and_then(device)) {
        (Some(own), Some(above)) if own != above => {
            Err(Error::new(ErrorKind::Configuration, "the folder is a mount point: choose a folder in it")
                .with_context("folder", target.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_mount_point(_target: &Path) -> Result<()> {
    Ok(())
}

/// Makes the names in a folder durable; systems that cannot open a folder need not be told.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder) {
        Ok(opened) => match opened.sync_all() {
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error.into()),
            _ => Ok(()),
        },
        Err(error) if cfg!(windows) && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::list;
    use crate::folder::sums::SumsWriter;

    const MARKER: Marker = Marker { file: "manifest.json", format: "test" };
    const CREATE: Policy = Policy { replace: false, carry_over: false };
    const REPLACE: Policy = Policy { replace: true, carry_over: false };
    const CARRY_OVER: Policy = Policy { replace: true, carry_over: true };

    fn written(target: &Path, text: &str, policy: Policy) -> Result<()> {
        let staging = Staging::open(target, MARKER, policy)?;
        fs::write(staging.folder().join("manifest.json"), r#"{"format":"test"}"#).unwrap();
        fs::write(staging.folder().join("a.txt"), text).unwrap();
        let mut sums = SumsWriter::new(staging.folder()).unwrap();
        for (path, text) in [("a.txt", text), ("manifest.json", r#"{"format":"test"}"#)] {
            sums.add(path, saas_backup_core::Digest::of(text.as_bytes())).unwrap();
        }
        sums.finish().unwrap();
        staging.publish()
    }

    fn names(folder: &Path) -> Vec<String> {
        list(folder).unwrap()
    }

    #[test]
    fn a_folder_appears_whole_and_is_replaced_whole() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("deep/er/out");
        written(&target, "one", CREATE).unwrap();
        assert_eq!(written(&target, "x", CREATE).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "one");
        written(&target, "two", REPLACE).unwrap();
        assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "two");
        assert_eq!(names(&root.path().join("deep")), ["er/out/SHA256SUMS", "er/out/a.txt", "er/out/manifest.json"]);
    }

    #[test]
    fn a_killed_session_leaves_the_old_folder_and_is_cleaned_up() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        written(&target, "one", CREATE).unwrap();
        let killed = Staging::open(&target, MARKER, REPLACE).unwrap();
        fs::write(killed.folder().join("half"), "x").unwrap();
        assert_eq!(
            Staging::open(&target, MARKER, REPLACE).unwrap_err().kind(),
            ErrorKind::Conflict,
            "one session at a time"
        );
        drop(killed);
        assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "one");
        written(&target, "two", REPLACE).unwrap();
        assert_eq!(names(&target), ["SHA256SUMS", "a.txt", "manifest.json"]);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_kill_between_the_two_renames_is_undone() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        written(&target, "one", CREATE).unwrap();
        fs::rename(&target, root.path().join(".out.saas-backup-replaced")).unwrap();
        let staging = Staging::open(&target, MARKER, REPLACE).unwrap();
        assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "one");
        staging.discard().unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mount_point_is_refused_before_anything_is_written() {
        let error = Staging::open(Path::new("/proc"), MARKER, REPLACE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_stays_a_link() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("real")).unwrap();
        std::os::unix::fs::symlink(root.path().join("real"), root.path().join("link")).unwrap();
        written(&root.path().join("link"), "one", REPLACE).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("real/a.txt")).unwrap(), "one");
        assert!(root.path().join("link").is_symlink());
    }

    #[test]
    fn what_is_not_ours_is_never_replaced() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("photos");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("cat.jpg"), "x").unwrap();
        assert_eq!(written(&target, "x", CARRY_OVER).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(names(root.path()), ["photos/cat.jpg"]);

        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(written(&file, "x", CARRY_OVER).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn files_that_somebody_added_are_carried_over_or_stop_the_session() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        written(&target, "one", CREATE).unwrap();
        fs::create_dir(target.join(".obsidian")).unwrap();
        fs::write(target.join(".obsidian/app.json"), "{}").unwrap();
        assert_eq!(written(&target, "two", REPLACE).unwrap_err().kind(), ErrorKind::Conflict);
        written(&target, "two", CARRY_OVER).unwrap();
        assert_eq!(names(&target), [".obsidian/app.json", "SHA256SUMS", "a.txt", "manifest.json"]);
        assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "two");
    }
}
