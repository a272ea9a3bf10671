//! Formats in which an attachment is a file under its own name.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use saas_backup_core::{BlobRef, Connector, Kind};
use saas_backup_formats::auto::{self, AutoConfig, AutoConnector};
use saas_backup_formats::files::{self, FilesConfig, FilesConnector};
use saas_backup_formats::git::{self, GitConfig, GitConnector};
use saas_backup_formats::ics::{self, IcsConfig, IcsConnector};
use saas_backup_formats::vcf::{self, VcfConfig, VcfConnector};
use sha2::{Digest as _, Sha256};

use crate::large::{
    BLOCK, Check, GIBIBYTE, arrives, assert_memory, attachment, digest_told, large_files, noise, written,
};
use crate::support::{python, succeeded};

/// The losses that an export of this attachment tells, of which a reader of the format finds the file.
async fn losses(connector: &dyn Connector, path: &Path, kind: Kind, blob: BlobRef, check: Check) -> String {
    let digest = arrives(connector, path, kind, blob, check).await;
    assert_eq!(python("large.py", path).trim(), digest.to_string());
    fs::read_to_string(path.join("losses.ndjson")).unwrap()
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_is_a_file_among_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let connector = FilesConnector::new(FilesConfig::new(&path));
    assert_eq!(losses(&connector, &path, Kind::File, attachment(), files::check).await, "");
    assert_eq!(python("files.py", &path).trim(), "1 files, 0 folders");
    succeeded(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(path));
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_of_calendar_is_a_file_that_the_event_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calendars");
    let connector = IcsConnector::new(IcsConfig::new(&path));
    let original = attachment().with_media_type("text/calendar");
    let losses = losses(&connector, &path, Kind::Event, original, ics::check).await;
    assert_eq!(losses.matches("the original is too large: it stands beside as a file").count(), 1, "{losses}");
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_of_photo_is_a_file_beside_the_contact() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contacts");
    let connector = VcfConnector::new(VcfConfig::new(&path));
    let photo = attachment().with_media_type("image/png");
    let losses = losses(&connector, &path, Kind::Contact, photo, vcf::check).await;
    assert_eq!(losses.matches("a photo that is too large for a card: it stands beside").count(), 1, "{losses}");
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_is_in_the_form_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("everything");
    let connector = AutoConnector::new(AutoConfig::new(&path));
    let digest = arrives(&connector, &path, Kind::File, attachment(), auto::check).await;
    assert_eq!(python("large.py", &path.join("files")).trim(), digest.to_string());
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    // What packs nothing is only written down.
    command.current_dir(folder).args(["-c", "core.compression=0", "-c", "core.bigFileThreshold=1m"]);
    command.args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(arguments);
    succeeded(command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null"))
}

/// A bundle is never taken apart: the gibibyte is a file in the repository.
#[tokio::test]
#[ignore = "needs 4 GiB of room and git"]
async fn a_repository_with_a_gibibyte_is_cloned() {
    let folder = tempfile::tempdir().unwrap();
    let origin = folder.path().join("origin");
    fs::create_dir(&origin).unwrap();
    run(&origin, &["init", "--quiet", "--initial-branch=main"]);
    let mut digest = Sha256::new();
    let mut file = File::create(origin.join("large.bin")).unwrap();
    for block in noise(GIBIBYTE) {
        digest.update(&block);
        file.write_all(&block).unwrap();
    }
    run(&origin, &["add", "large.bin"]);
    run(&origin, &["commit", "--quiet", "--message", "large"]);
    let bundle = folder.path().join("code.bundle");
    run(&origin, &["bundle", "create", "--quiet", bundle.to_str().unwrap(), "--all"]);
    fs::remove_dir_all(&origin).unwrap();

    let path = folder.path().join("repositories");
    let connector = GitConnector::new(GitConfig::new(&path));
    let file = File::open(&bundle).unwrap();
    let blocks = std::iter::from_fn(|| {
        let mut block = Vec::new();
        (&file).take(BLOCK).read_to_end(&mut block).unwrap();
        Some(Bytes::from(block)).filter(|block| !block.is_empty())
    });
    let mut blob = attachment();
    blob.role = "bundle".to_owned();
    written(&connector, Kind::Repository, blob, blocks).await;
    assert_eq!(git::check(&path).unwrap().findings, []);
    assert_memory();
    let found = large_files(&path);
    assert_eq!(found.len(), 1, "{found:?}");
    run(folder.path(), &["clone", "--quiet", "--mirror", found[0].to_str().unwrap(), "clone.git"]);
    let clone = folder.path().join("clone.git");
    run(&clone, &["fsck", "--full", "--strict"]);
    let blob = ["cat-file", "blob", "main:large.bin"];
    assert_eq!(digest_told(Command::new("git").current_dir(clone).args(blob)).as_bytes()[..], digest.finalize()[..]);
}
