//! What several tests share.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeZone as _, Utc};
use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    At, Connector, Event, Json, Key, ManualClock, ReadRequest, Record, Result, SnapshotOptions, TransferOptions,
    Transferred, transfer,
};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions, Source};

pub(crate) fn time() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 10, 0, 0).unwrap()
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(time())
}

pub(crate) fn key(id: &str) -> Key {
    Key::parse("notes", id).unwrap()
}

pub(crate) fn note(id: &str, text: &str) -> Record {
    Record::new(key(id), Json::from_value(&serde_json::json!({ "text": text })).unwrap())
}

pub(crate) fn options(clock: &ManualClock) -> RepositoryOptions {
    RepositoryOptions::parse("memory:").unwrap().with_clock(Arc::new(clock.clone()))
}

/// Both forms of a new repository in memory: encrypted and not.
pub(crate) async fn both_forms(clock: &ManualClock) -> [Repository; 2] {
    let plain = Repository::init(options(clock)).await.unwrap();
    let encrypted = Repository::init(options(clock).with_keys(Keys::owner(Identity::generate()))).await.unwrap();
    [plain, encrypted]
}

pub(crate) async fn back_up(from: &dyn Connector, to: &Source, clock: &ManualClock) -> Result<Transferred> {
    transfer(from, to, TransferOptions::backup().with_clock(Arc::new(clock.clone()))).await
}

pub(crate) async fn back_up_memory(from: &MemoryStore, to: &Source, clock: &ManualClock) -> Transferred {
    back_up(&MemoryConnector::new(from.clone()), to, clock).await.unwrap()
}

/// All live records at a point.
pub(crate) async fn live(source: &Source, at: At) -> Result<BTreeMap<Key, Record>> {
    let snapshot = source.snapshot(SnapshotOptions::at(at)).await?;
    let feeds: Vec<_> = snapshot.feeds().try_collect().await?;
    let mut live = BTreeMap::new();
    for feed in feeds {
        let mut events = snapshot.read(ReadRequest::new(feed));
        while let Some(event) = events.try_next().await? {
            if let Event::Put(mut record) = event {
                record.sequence = None;
                live.insert(record.key.clone(), *record);
            }
        }
    }
    Ok(live)
}
