//! Random histories against a map that cannot be wrong.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use proptest::prelude::*;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, Connector as _, Cursor, Event, Feed, ReadRequest, SnapshotOptions};
use saas_backup_core::{Key, Record, TransferOptions, transfer};
use saas_backup_repository::{Change, ChangeKind, Identity, Keys, Repository, Source};

use crate::support::{back_up_memory, clock, key, live, note, options};

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    /// The rest of the account goes, as after a restore: told as deletions.
    Replace(Vec<(u8, u8)>),
    Commit {
        small_flushes: bool,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..40_u8, any::<u8>()).prop_map(|(id, text)| Step::Put(id, text)),
        2 => (0..40_u8).prop_map(Step::Delete),
        1 => prop::collection::vec((0..40_u8, any::<u8>()), 0..20).prop_map(Step::Replace),
        3 => any::<bool>().prop_map(|small_flushes| Step::Commit { small_flushes }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

type Content = BTreeMap<Key, Record>;

fn differences(before: &Content, after: &Content) -> Vec<(Key, ChangeKind)> {
    let mut keys: Vec<&Key> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let kind = |key: &Key| match (before.get(key), after.get(key)) {
        (None, Some(_)) => Some(ChangeKind::Added),
        (Some(_), None) => Some(ChangeKind::Removed),
        (Some(old), Some(new)) if old != new => Some(ChangeKind::Changed),
        _ => None,
    };
    keys.into_iter().filter_map(|key| kind(key).map(|kind| (key.clone(), kind))).collect()
}

/// Reads the changes after a point as an incremental source gives them, and applies them to what was there.
async fn caught_up(source: &Source, cursor: Option<Cursor>, mut content: Content) -> (Content, Option<Cursor>) {
    let snapshot = source.snapshot(SnapshotOptions::default()).await.unwrap();
    let feed = Feed::slice(key("1").collection);
    let mut last = None;
    let mut events = snapshot.read(ReadRequest::new(feed).with_from(cursor));
    while let Some(event) = events.try_next().await.unwrap() {
        match event {
            Event::Put(mut record) => {
                record.sequence = None;
                content.insert(record.key.clone(), *record);
            }
            Event::Delete(deletion) => {
                content.remove(&deletion.key);
            }
            Event::Checkpoint(cursor) => last = Some(cursor),
            _ => {}
        }
    }
    (content, last)
}

async fn check(source: &Source, points: &[Content]) {
    let found = source.points().await.unwrap();
    assert_eq!(found.len(), points.len());
    for (point, expected) in found.iter().zip(points) {
        assert_eq!(&live(source, At::Sequence(point.sequence)).await.unwrap(), expected);
    }
    for (from, before) in found.iter().zip(points) {
        let (Some(to), Some(after)) = (found.last(), points.last()) else { break };
        let changes = source.diff(&At::Sequence(from.sequence), &At::Sequence(to.sequence)).await.unwrap();
        let changes: Vec<Change> = changes.try_collect().await.unwrap();
        let changes: Vec<_> = changes.into_iter().map(|change| (change.key, change.kind)).collect();
        assert_eq!(changes, differences(before, after));
        for id in [0, 7, 39] {
            let record = source.record(&key(&id.to_string()), &At::Sequence(from.sequence)).await.unwrap();
            let record = record.map(|mut record| {
                record.sequence = None;
                record
            });
            assert_eq!(record.as_ref(), before.get(&key(&id.to_string())));
        }
    }
}

async fn play(steps: Vec<Step>, encrypted: bool) {
    let clock = clock();
    let keys = if encrypted { Keys::owner(Identity::generate()) } else { Keys::none() };
    let disk = std::sync::Arc::new(crate::faults::FaultyStore::default());
    let keys = options(&clock).with_keys(keys);
    let mut repository = Repository::init_on(disk.clone(), keys.clone()).await.unwrap();
    let (records, replica) = (MemoryStore::new(), MemoryStore::new());
    let mut points: Vec<Content> = Vec::new();
    let (mut follower, mut cursor) = (Content::new(), None);
    for step in steps {
        match step {
            Step::Put(id, text) => records.put(note(&id.to_string(), &text.to_string())),
            Step::Delete(id) => records.delete(key(&id.to_string())),
            Step::Replace(all) => {
                records.live().into_keys().for_each(|key| records.delete(key));
                for (id, text) in all {
                    records.put(note(&id.to_string(), &text.to_string()));
                }
            }
            Step::Reopen => repository = Repository::open_on(disk.clone(), keys.clone()).await.unwrap(),
            Step::Commit { small_flushes } => {
                let mut source = repository.source("model").unwrap();
                if small_flushes {
                    source = source.with_flush_bytes(0);
                }
                let receipt = back_up_memory(&records, &source, &clock).await.receipt.unwrap();
                let now = records.live();
                if receipt.written {
                    points.push(now.clone());
                }
                assert_eq!(live(&source, At::Now).await.unwrap(), now);
                (follower, cursor) = caught_up(&source, cursor, follower).await;
                assert_eq!(follower, now);
                transfer(&source, &MemoryConnector::new(replica.clone()), TransferOptions::backup()).await.unwrap();
                assert_eq!(replica.live(), now);
            }
        }
    }
    check(&repository.source("model").unwrap(), &points).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_point_diff_and_change_is_what_a_map_says(steps in steps(), encrypted in any::<bool>()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps, encrypted));
    }
}
