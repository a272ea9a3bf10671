//! What several tests share.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeZone as _, Utc};
use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    At, Catalog, Collection, Connector, Coverage, Deletion, DeletionReason, Event, Feed, FeedId, Json, Key, Kind,
    ManualClock, PartitionId, ReadRequest, Record, Result, RunId, RunReport, RunStart, SinkOptions, SnapshotOptions,
    TransferOptions, Transferred, WriteMode, transfer,
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

/// Options of a mirror that remembers what it holds, or does not.
pub(crate) fn mirror(remember: bool) -> SinkOptions {
    let mut options = SinkOptions::new(WriteMode::Mirror);
    options.remember = remember;
    options
}

/// One run in which the partitions of a collection tell something, each flushed before the next.
pub(crate) async fn tell(remember: bool, source: &Source, told: Vec<(&'static str, Event)>) {
    let sink = source.sink(mirror(remember)).await.unwrap();
    let run = RunId::new(time());
    let catalog = Catalog::new(vec![Collection::new(key("1").collection, Kind::Record)]);
    sink.begin(&RunStart::new(run, time(), catalog, Coverage::default())).await.unwrap();
    for (partition, event) in told {
        let mut writer = sink.writer(&partition_feed(partition)).await.unwrap();
        writer.write(vec![event]).await.unwrap();
        writer.flush(None).await.unwrap();
    }
    sink.commit(&RunReport::new(run, time())).await.unwrap();
}

pub(crate) fn partition_feed(partition: &'static str) -> Feed {
    Feed::partition(FeedId::from_static(partition), key("1").collection, PartitionId::from_static(partition))
}

/// A record that a partition holds.
pub(crate) fn holds(partition: &'static str, id: &str, text: &str) -> (&'static str, Event) {
    let record = note(id, text).with_partition(PartitionId::from_static(partition));
    (partition, Event::Put(Box::new(record)))
}

/// A record that a partition holds no more.
pub(crate) fn lacks(partition: &'static str, id: &str) -> (&'static str, Event) {
    let mut deletion = Deletion::new(key(id), DeletionReason::Deleted);
    deletion.partition = Some(PartitionId::from_static(partition));
    (partition, Event::Delete(deletion))
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
