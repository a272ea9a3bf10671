//! Archives that somebody damaged or made up: an error that says what is wrong, and nothing read from elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::TryStreamExt as _;
use saas_backup_core::testkit::{sample_blob, sample_collection, sample_records};
use saas_backup_core::{
    BlobRef, Catalog, Connector as _, Digest, Error, ErrorKind, Event, Feed, ReadRequest, Record, Result,
    SnapshotOptions, WriteMode,
};
use saas_backup_formats::jsonl::{JsonlConfig, JsonlConnector, check};

use crate::support::{name, puts, start, write};

struct Archive {
    _folder: tempfile::TempDir,
    path: PathBuf,
    connector: JsonlConnector,
    record: Record,
    blob: BlobRef,
}

impl Archive {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        let connector = JsonlConnector::new(JsonlConfig::new(&path));
        let mut records = sample_records(&name("pages"), 1, 12).unwrap();
        let (blob, bytes) = sample_blob("b", 1, 3000).unwrap();
        records[0].blobs.push(blob.clone());
        let catalog = Catalog::new(vec![sample_collection(name("pages"))]);
        let blobs: [(BlobRef, Bytes); 1] = [(blob.clone(), bytes)];
        write(&connector, WriteMode::Create, &start(catalog, 0), puts(&records), &blobs).await.unwrap();
        Self { path, connector, record: records.swap_remove(0), blob, _folder: folder }
    }

    fn edit(&self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.path.join(file);
        let text = change(fs::read_to_string(&path).unwrap());
        fs::write(path, text).unwrap();
    }

    /// Edits the records and makes the manifest agree: what somebody does who knows the format.
    fn forge(&self, change: impl FnOnce(String) -> String) {
        let path = self.path.join("records/pages.jsonl");
        let before = fs::read(&path).unwrap();
        self.edit("records/pages.jsonl", change);
        let after = fs::read(&path).unwrap();
        let hex = |bytes: &[u8]| Digest::of(bytes).to_string();
        self.edit("manifest.json", |text| text.replace(&hex(&before), &hex(&after)));
    }

    async fn read(&self) -> Result<Vec<Event>> {
        let snapshot = self.connector.snapshot(SnapshotOptions::default()).await?;
        snapshot.read(ReadRequest::new(Feed::slice(name("pages")))).try_collect().await
    }

    async fn refused(&self) -> Error {
        self.read().await.unwrap_err()
    }

    async fn open(&self, range: Option<std::ops::Range<u64>>) -> Result<Vec<Bytes>> {
        let snapshot = self.connector.snapshot(SnapshotOptions::default()).await?;
        snapshot.open(&self.record.key, &self.blob, range).await?.try_collect().await
    }

    fn blob_path(&self) -> PathBuf {
        let hex = self.blob.digest.unwrap().to_string();
        self.path.join("blobs").join(&hex[..2]).join(hex)
    }
}

#[tokio::test]
async fn a_changed_byte_is_noticed_before_the_end() {
    let archive = Archive::new().await;
    assert!(archive.read().await.is_ok());
    archive.edit("records/pages.jsonl", |text| text.replacen("1.10", "1.11", 1));
    assert_eq!(archive.refused().await.kind(), ErrorKind::Integrity);
    assert_eq!(archive.connector.verify().await.unwrap().changed, ["records/pages.jsonl"]);
}

#[tokio::test]
async fn a_file_that_was_cut_is_noticed() {
    let archive = Archive::new().await;
    archive.edit("records/pages.jsonl", |text| text[..text.len() - 5].to_owned());
    assert_eq!(archive.refused().await.kind(), ErrorKind::Integrity);
    let archive = Archive::new().await;
    archive.edit("records/pages.jsonl", |text| text.split_inclusive('\n').take(3).collect());
    assert_eq!(archive.refused().await.kind(), ErrorKind::Integrity);
}

#[tokio::test]
async fn lines_that_lie_are_refused_although_the_digests_agree() {
    let dropped = Archive::new().await;
    dropped.forge(|text| text.split_inclusive('\n').skip(1).collect());
    assert_eq!(dropped.refused().await.kind(), ErrorKind::Integrity, "the count of the manifest");

    let twice = Archive::new().await;
    twice.forge(|text| format!("{}\n{text}", text.lines().next().unwrap()));
    assert_eq!(twice.refused().await.kind(), ErrorKind::InvalidData);

    let elsewhere = Archive::new().await;
    elsewhere.forge(|text| text.replacen("\"collection\":\"pages\"", "\"collection\":\"users\"", 1));
    assert_eq!(elsewhere.refused().await.kind(), ErrorKind::InvalidData);

    let deleted = Archive::new().await;
    deleted.forge(|text| {
        format!("{{\"type\":\"del\",\"collection\":\"pages\",\"id\":\" \",\"reason\":\"deleted\"}}\n{text}")
    });
    assert_eq!(deleted.refused().await.kind(), ErrorKind::InvalidData);

    let garbage = Archive::new().await;
    garbage.forge(|text| format!("\u{0}not json\n{text}"));
    assert_eq!(garbage.refused().await.kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_check_finds_what_changed_what_is_gone_and_what_came() {
    let archive = Archive::new().await;
    assert_eq!(check(&archive.path).unwrap().findings, []);
    archive.edit("records/pages.jsonl", |text| text.replacen("1.10", "1.11", 1));
    fs::remove_file(archive.blob_path()).unwrap();
    fs::write(archive.path.join("more.txt"), "x").unwrap();
    let found = check(&archive.path).unwrap().findings;
    let mut found: Vec<_> = found.iter().map(|found| found.problem.as_str()).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        ["a file that is not as it was written", "a file that is not there", "a file that the archive does not know"]
    );
}

#[tokio::test]
async fn a_line_without_end_does_not_fill_the_memory() {
    let archive = Archive::new().await;
    let path = archive.path.join("records/pages.jsonl");
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(3 << 30).unwrap();
    assert_eq!(archive.refused().await.kind(), ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn a_path_never_leads_out_of_the_archive() {
    let secret = |archive: &Archive| fs::write(archive.path.join("../secret"), "top secret\n").unwrap();
    for path in ["../secret", "/etc/passwd", "records/../../secret", "..\\\\secret"] {
        let archive = Archive::new().await;
        secret(&archive);
        archive.edit("manifest.json", |text| text.replace("records/pages.jsonl", path));
        let error = archive.refused().await;
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{path}");
        assert!(!format!("{error:?}").contains("top secret"));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_not_followed() {
    let archive = Archive::new().await;
    let path = archive.path.join("records/pages.jsonl");
    fs::rename(&path, archive.path.join("../outside")).unwrap();
    std::os::unix::fs::symlink(archive.path.join("../outside"), &path).unwrap();
    assert_eq!(archive.refused().await.kind(), ErrorKind::InvalidData);

    let blob = archive.blob_path();
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &blob).unwrap();
    assert_eq!(archive.open(None).await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_blob_that_is_not_what_was_written_is_refused_whole_and_in_part() {
    let archive = Archive::new().await;
    assert_eq!(archive.open(None).await.unwrap().concat().len(), 3000);
    assert_eq!(archive.open(Some(2990..9000)).await.unwrap().concat().len(), 10);
    assert_eq!(archive.open(Some(3001..3002)).await.unwrap_err().kind(), ErrorKind::Configuration);
    let mut bytes = fs::read(archive.blob_path()).unwrap();
    bytes[17] ^= 1;
    fs::write(archive.blob_path(), &bytes).unwrap();
    assert_eq!(archive.open(None).await.unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(archive.open(Some(100..200)).await.unwrap_err().kind(), ErrorKind::Integrity);
    fs::write(archive.blob_path(), b"").unwrap();
    assert_eq!(archive.open(None).await.unwrap_err().kind(), ErrorKind::Integrity);
    fs::remove_file(archive.blob_path()).unwrap();
    assert_eq!(archive.open(None).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(archive.connector.verify().await.unwrap().missing.len(), 1);
}

#[tokio::test]
async fn folders_of_others_and_of_the_future_are_told_apart() {
    let archive = Archive::new().await;
    archive.edit("manifest.json", |text| text.replace("\"version\": 1", "\"version\": 2"));
    assert_eq!(archive.refused().await.kind(), ErrorKind::UnsupportedVersion);
    archive.edit("manifest.json", |text| text.replace("saas-backup-jsonl", "something-else"));
    assert_eq!(archive.refused().await.kind(), ErrorKind::InvalidData);
    fs::write(archive.path.join("manifest.json"), "[").unwrap();
    assert_eq!(archive.refused().await.kind(), ErrorKind::InvalidData);
    let nowhere = JsonlConnector::new(JsonlConfig::new(Path::new("/nonexistent/archive")));
    assert_eq!(nowhere.manifest().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_file_that_does_not_belong_there_is_named() {
    let archive = Archive::new().await;
    fs::write(archive.path.join("records/more.jsonl"), "x").unwrap();
    let audit = archive.connector.verify().await.unwrap();
    assert_eq!((audit.foreign, audit.intact), (vec!["records/more.jsonl".to_owned()], 4));
}
