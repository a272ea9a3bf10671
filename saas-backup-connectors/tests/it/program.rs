//! Programs that the tests write themselves, to misbehave.

use std::os::unix::fs::PermissionsExt as _;
#[cfg(feature = "singer")]
use std::path::Path;
use std::path::PathBuf;

use futures::StreamExt as _;
use saas_backup_core::{CollectionName, Connector, Cursor, Event, Feed, ReadRequest, Result, SnapshotOptions};
use tempfile::TempDir;

/// Reads the arguments that taps and sources share, and makes their folder the one of the script.
const PRELUDE: &str = r#"#!/bin/sh
here=$(dirname "$0")
what=read
while [ $# -gt 0 ]; do
    case $1 in
    --config) config=$2; shift ;;
    --catalog) cp "$2" "$here/given.json"; shift ;;
    --state) state=$2; cp "$2" "$here/state.json"; shift ;;
    --discover | check | discover | read) what=${1#--} ;;
    esac
    shift
done
"#;

/// A program in a folder of its own.
pub(crate) struct Program {
    pub(crate) folder: TempDir,
}

impl Program {
    /// A shell script; `$what`, `$config` and `$state` are its arguments, `$here` is its folder.
    pub(crate) fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program");
        std::fs::write(&file, format!("{PRELUDE}{script}")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder }
    }

    /// Lays a file beside it.
    pub(crate) fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.write(name, text);
        self
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> [String; 1] {
        [self.path("program").to_string_lossy().into_owned()]
    }
}

/// What a reading of a collection gave, to its end or its error.
pub(crate) async fn read(
    connector: &dyn Connector,
    collection: &'static str,
    from: Option<Cursor>,
) -> (Vec<Event>, Option<saas_backup_core::Error>) {
    let feed = Feed::slice(CollectionName::from_static(collection));
    let snapshot = connector.snapshot(SnapshotOptions::default()).await.unwrap();
    let read: Vec<Result<Event>> = snapshot.read(ReadRequest::new(feed).with_from(from)).collect().await;
    let (mut events, mut failed) = (Vec::new(), None);
    for one in read {
        match one {
            Ok(event) => events.push(event),
            Err(error) => failed = Some(error),
        }
    }
    (events, failed)
}

/// The ids of the records, in the order in which they came.
pub(crate) fn ids(events: &[Event]) -> Vec<&str> {
    let puts = events.iter().filter_map(|event| match event {
        Event::Put(record) => Some(record.key.id.as_str()),
        _ => None,
    });
    puts.collect()
}

/// The last cursor that was given.
pub(crate) fn cursor(events: &[Event]) -> Option<Cursor> {
    events.iter().rev().find_map(|event| match event {
        Event::Checkpoint(cursor) => Some(cursor.clone()),
        _ => None,
    })
}

/// A pipe that a program and all that it starts hold open while they live.
#[cfg(feature = "singer")]
pub(crate) struct Alive(tokio::net::unix::pipe::Receiver);

#[cfg(feature = "singer")]
impl Alive {
    /// Makes the pipe; the program opens it with `exec 3>"$here/alive"`.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let path = folder.join("alive");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        Self(tokio::net::unix::pipe::OpenOptions::new().open_receiver(path).unwrap())
    }

    /// Waits until a program has opened it, and nobody holds it any more.
    pub(crate) async fn ended(mut self) {
        use tokio::io::AsyncReadExt as _;

        let mut said = String::new();
        self.0.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "here\n");
    }
}
