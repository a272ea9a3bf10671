//! Random histories against a map that cannot be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt as _;
use proptest::prelude::*;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::FakeProvider;
use saas_backup_core::{
    At, BlobId, Connector as _, Cursor, ErrorKind, Event, Feed, Key, ManualClock, PartitionId, ReadRequest, Record,
    RecordId, SnapshotOptions, TransferOptions, transfer,
};
use saas_backup_repository::{
    Change, ChangeKind, CollectOptions, CompactOptions, EraseOptions, Identity, Keys, Repository, Source, Subject,
    VerifyOptions,
};
use serde::Deserialize;

use crate::faults::FaultyStore;
use crate::support::{back_up_memory, clock, key, live, note, options};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(u8, u8),
    Delete(u8),
    /// The rest of the account goes, as after a restore: told as deletions.
    Replace(Vec<(u8, u8)>),
    Commit {
        small_flushes: bool,
    },
    Reopen,
    Upkeep(Upkeep),
}

/// What a maintainer does.
#[derive(Clone, Debug)]
pub(crate) enum Upkeep {
    Compact {
        all: bool,
    },
    /// Every point whose bit is not set goes.
    Forget(u8),
    /// A record goes from every point, and from the account.
    Erase(u8),
    /// After a while.
    Collect,
}

fn upkeep() -> impl Strategy<Value = Upkeep> {
    prop_oneof![
        3 => prop::bool::weighted(0.8).prop_map(|all| Upkeep::Compact { all }),
        2 => any::<u8>().prop_map(Upkeep::Forget),
        1 => (0..40_u8).prop_map(Upkeep::Erase),
        1 => Just(Upkeep::Collect),
    ]
}

/// Lets a maintainer do something; `points` are what is held at each point.
async fn keep_up(
    step: Upkeep,
    source: &Source,
    points: &mut Vec<Content>,
    clock: &ManualClock,
    delete: impl FnOnce(u8) -> Key,
) {
    match step {
        Upkeep::Erase(id) => {
            let key = delete(id);
            let request = EraseOptions::new("a request");
            source.erase(&Subject::record(key.clone()), &request, &mut |_| {}).await.unwrap();
            for content in points {
                content.remove(&key);
            }
        }
        Upkeep::Compact { all } => {
            // Small segments, so that there are several.
            let options = CompactOptions::default().with_all(all).with_segment_bytes(300);
            source.compact(&options, &mut |_| {}).await.unwrap();
        }
        Upkeep::Forget(bits) => {
            let held = source.points().await.unwrap();
            let last = held.len().saturating_sub(1);
            let forgotten = |at: usize| at < last && bits >> (at % 8) & 1 == 0;
            let sequences = held.iter().enumerate().filter(|(at, _)| forgotten(*at)).map(|(_, point)| point.sequence);
            source.forget(&sequences.collect()).await.unwrap();
            let mut at = 0;
            points.retain(|_| {
                at += 1;
                !forgotten(at - 1)
            });
        }
        Upkeep::Collect => {
            clock.advance(std::time::Duration::from_hours(8 * 24));
            source.collect(&CollectOptions::default()).await.unwrap();
        }
    }
    let report = source.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    assert_eq!(report.problems, []);
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..40_u8, any::<u8>()).prop_map(|(id, text)| Step::Put(id, text)),
        2 => (0..40_u8).prop_map(Step::Delete),
        1 => prop::collection::vec((0..40_u8, any::<u8>()), 0..20).prop_map(Step::Replace),
        3 => any::<bool>().prop_map(|small_flushes| Step::Commit { small_flushes }),
        1 => Just(Step::Reopen),
        2 => upkeep().prop_map(Step::Upkeep),
    ];
    prop::collection::vec(step, 1..60)
}

pub(crate) type Content = BTreeMap<Key, Record>;

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
    let mut events = snapshot.read(ReadRequest::new(feed.clone()).with_from(cursor));
    loop {
        let event = match events.try_next().await {
            Err(error) if error.kind() == ErrorKind::CursorExpired => {
                // Deletions since then may have been left out: all is read anew.
                content.clear();
                events = snapshot.read(ReadRequest::new(feed.clone()));
                continue;
            }
            event => event.unwrap(),
        };
        let Some(event) = event else { break };
        match event {
            Event::Checkpoint(cursor) => last = Some(cursor),
            event => apply(event, &mut content),
        }
    }
    (content, last)
}

fn apply(event: Event, content: &mut Content) {
    match event {
        Event::Put(mut record) => {
            record.sequence = None;
            content.insert(record.key.clone(), *record);
        }
        Event::Delete(deletion) => {
            content.remove(&deletion.key);
        }
        _ => {}
    }
}

/// What a version says of itself.
#[derive(Deserialize)]
struct Version {
    id: RecordId,
    sequence: u64,
    ended_by: u64,
    data: serde_json::Value,
}

/// Whether one is the version that the other is, named after a point that was forgotten since: the record was written twice
/// as it was.
fn began_before(one: &Record, other: &Record) -> bool {
    let version = |record: &Record| record.data.decode::<Version>().ok();
    let (Some(one), Some(other)) = (version(one), version(other)) else { return false };
    (&one.id, one.ended_by, &one.data) == (&other.id, other.ended_by, &other.data) && one.sequence < other.sequence
}

/// Together, the records of now and their past versions are every point in time.
async fn check_history(source: &Source, points: &[Content]) {
    if points.is_empty() {
        return;
    }
    let read = live(&source.clone().with_history(true), At::Now).await.unwrap();
    let (past, now): (Content, Content) =
        read.into_iter().partition(|(key, _)| key.collection.as_str().ends_with(".history"));
    assert_eq!(Some(&now), points.last());
    let versions: Vec<Version> = past.values().map(|record| record.data.decode().unwrap()).collect();
    for (point, expected) in source.points().await.unwrap().iter().zip(points) {
        let held = versions.iter().filter(|past| past.sequence <= point.sequence && point.sequence < past.ended_by);
        let mut then: BTreeMap<RecordId, serde_json::Value> = BTreeMap::new();
        for version in held {
            assert!(then.insert(version.id.clone(), version.data.clone()).is_none(), "two versions at one point");
        }
        let since = |key: &Key| versions.iter().filter(|past| past.id == key.id).map(|past| past.ended_by).max();
        for (key, record) in expected {
            let Some(found) = then.remove(&key.id) else {
                // It is the record of now.
                assert_eq!(now.get(key), Some(record));
                assert!(since(key).is_none_or(|ended| ended <= point.sequence));
                continue;
            };
            assert_eq!(found, record.data.decode::<serde_json::Value>().unwrap());
        }
        assert!(then.is_empty(), "versions of records that were not there");
    }
}

async fn check(source: &Source, points: &[Content]) {
    let found = source.points().await.unwrap();
    assert_eq!(found.len(), points.len());
    check_history(source, points).await;
    for (point, expected) in found.iter().zip(points) {
        assert_eq!(&live(source, At::Sequence(point.sequence)).await.unwrap(), expected);
    }
    for (from, before) in found.iter().zip(points) {
        let (Some(to), Some(after)) = (found.last(), points.last()) else { break };
        let changes = source.diff(&At::Sequence(from.sequence), &At::Sequence(to.sequence)).await.unwrap();
        let changes: Vec<Change> = changes.try_collect().await.unwrap();
        let changes: Vec<_> = changes.into_iter().map(|change| (change.key, change.kind)).collect();
        assert_eq!(changes, differences(before, after));
        let mut caught_up = before.clone();
        match source.changes_since(from.sequence).await {
            // Something was erased since then.
            Err(error) => assert_eq!(error.kind(), ErrorKind::CursorExpired),
            Ok(changes) => {
                let changes: Vec<Event> = changes.try_collect().await.unwrap();
                for event in changes {
                    apply(event, &mut caught_up);
                }
                assert_eq!(&caught_up, after, "the changes since {}", from.sequence);
            }
        }
        let mut keys: Vec<&Key> = before.keys().chain(after.keys()).collect();
        keys.dedup();
        for key in keys.into_iter().step_by(5) {
            let record = source.record(key, &At::Sequence(from.sequence)).await.unwrap();
            let record = record.map(|mut record| {
                record.sequence = None;
                record
            });
            assert_eq!(record.as_ref(), before.get(key));
        }
    }
}

/// What is there in the end, checked.
pub(crate) struct Played {
    pub(crate) disk: Arc<FaultyStore>,
    pub(crate) identity: Option<Identity>,
    /// What is held at each point, the oldest first.
    pub(crate) points: Vec<Content>,
    /// The bytes of all attachments that ever were.
    pub(crate) blobs: BTreeMap<BlobId, Vec<u8>>,
}

pub(crate) async fn play(steps: Vec<Step>, encrypted: bool) -> Played {
    let clock = clock();
    let identity = encrypted.then(Identity::generate);
    let disk = Arc::new(FaultyStore::default());
    let keys = options(&clock).with_keys(identity.clone().map_or_else(Keys::none, Keys::owner));
    let mut repository = Repository::init_on(disk.clone(), keys.clone()).await.unwrap();
    let (records, replica, archive) = (MemoryStore::new(), MemoryStore::new(), MemoryStore::new());
    let mut points: Vec<Content> = Vec::new();
    let (mut follower, mut cursor) = (Content::new(), None);
    let mut forgot = false;
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
            Step::Upkeep(step) => {
                forgot |= matches!(step, Upkeep::Forget(_) | Upkeep::Erase(_));
                let delete = |id: u8| {
                    records.delete(key(&id.to_string()));
                    key(&id.to_string())
                };
                keep_up(step, &repository.source("model").unwrap(), &mut points, &clock, delete).await;
            }
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
                let all = source.clone().with_history(true);
                transfer(&all, &MemoryConnector::new(archive.clone()), TransferOptions::backup()).await.unwrap();
                let (archived, all) = (archive.live(), live(&all, At::Now).await.unwrap());
                if forgot {
                    // Who copied versions before points were forgotten has them still.
                    for (key, record) in &all {
                        assert!(archived.contains_key(key) || archived.values().any(|held| began_before(held, record)));
                    }
                } else {
                    assert_eq!(archived, all);
                }
            }
        }
    }
    check(&repository.source("model").unwrap(), &points).await;
    Played { disk, identity, points, blobs: BTreeMap::new() }
}

/// What happens to an account whose records lie in partitions and have attachments.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    Put {
        id: u8,
        project: u8,
        text: u8,
    },
    /// To another partition; a record that is not there stays away.
    To {
        id: u8,
        project: u8,
    },
    Attach {
        id: u8,
        size: u32,
    },
    Delete(u8),
    /// All that is in a partition goes.
    Drop {
        project: u8,
    },
    /// The grant does not see a record any more, or sees it again.
    Hide(u8, bool),
    Commit {
        full: bool,
        small_flushes: bool,
    },
    Reopen,
    Upkeep(Upkeep),
}

pub(crate) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let (id, project) = (0..8_u8, 0..4_u8);
    let step = prop_oneof![
        5 => (id.clone(), project.clone(), any::<u8>()).prop_map(|(id, project, text)| Move::Put { id, project, text }),
        8 => (id.clone(), project.clone()).prop_map(|(id, project)| Move::To { id, project }),
        2 => (id.clone(), 0..20_000_u32).prop_map(|(id, size)| Move::Attach { id, size }),
        2 => id.clone().prop_map(Move::Delete),
        1 => project.prop_map(|project| Move::Drop { project }),
        1 => (id, any::<bool>()).prop_map(|(id, hidden)| Move::Hide(id, hidden)),
        6 => (prop::bool::weighted(0.2), prop::bool::weighted(0.7))
            .prop_map(|(full, small_flushes)| Move::Commit { full, small_flushes }),
        1 => Just(Move::Reopen),
        2 => upkeep().prop_map(Move::Upkeep),
    ];
    prop::collection::vec(step, 1..60)
}

/// How the account tells of changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// One log over all partitions, or a position for each.
    pub(crate) log: bool,
    pub(crate) reports_deletions: bool,
}

fn task(id: u8) -> Key {
    Key::new(FakeProvider::tasks(), RecordId::parse(format!("t{id}")).unwrap())
}

fn project(number: u8) -> String {
    format!("p{number}")
}

/// Lets one thing happen in an account; the bytes of attachments are noted.
fn happen(step: &Move, account: &FakeProvider, blobs: &mut BTreeMap<BlobId, Vec<u8>>) {
    match step {
        Move::Put { id, project: number, text } => {
            account.put_task(&project(*number), &format!("t{id}"), &text.to_string());
        }
        Move::To { id, project: number } => account.move_to(&task(*id), &project(*number)),
        Move::Attach { id, size } => {
            let (name, bytes) = (format!("blob {}", blobs.len()), vec![blobs.len() as u8; *size as usize]);
            if account.attach(&task(*id), &name, bytes.clone()) {
                blobs.insert(BlobId::parse(name).unwrap(), bytes);
            }
        }
        Move::Delete(id) => account.delete(&task(*id)),
        Move::Drop { project: number } => {
            let partition = PartitionId::parse(project(*number)).unwrap();
            let gone = account.visible().into_iter().filter(|record| record.partition.as_ref() == Some(&partition));
            gone.for_each(|record| account.delete(&record.key));
        }
        Move::Hide(id, true) => account.hide(&task(*id)),
        Move::Hide(id, false) => account.unhide(&task(*id)),
        Move::Commit { .. } | Move::Reopen | Move::Upkeep(_) => {}
    }
}

/// Reads the attachments of all points.
async fn check_blobs(source: &Source, points: &[Content], blobs: &BTreeMap<BlobId, Vec<u8>>) {
    for (point, expected) in source.points().await.unwrap().iter().zip(points) {
        let snapshot = source.snapshot(SnapshotOptions::at(At::Sequence(point.sequence))).await.unwrap();
        for record in expected.values() {
            for blob in &record.blobs {
                let read: Vec<_> = snapshot.open(&record.key, blob, None).await.unwrap().try_collect().await.unwrap();
                assert!(read.concat() == blobs[blob.id.as_ref().unwrap()], "{}", record.key);
            }
        }
    }
}

pub(crate) async fn play_moves(steps: Vec<Move>, form: Form, encrypted: bool) -> Played {
    let clock = clock();
    let identity = encrypted.then(Identity::generate);
    let disk = Arc::new(FaultyStore::default());
    let keys = options(&clock).with_keys(identity.clone().map_or_else(Keys::none, Keys::owner));
    let mut repository = Repository::init_on(disk.clone(), keys.clone()).await.unwrap();
    let covered = [FakeProvider::tasks()];
    let account = FakeProvider::new().with_log(if form.log { &covered } else { &[] });
    let account = if form.reports_deletions { account } else { account.without_deletions() };
    let (mut points, mut blobs): (Vec<Content>, _) = (Vec::new(), BTreeMap::new());
    for step in steps {
        happen(&step, &account, &mut blobs);
        match step {
            Move::Reopen => repository = Repository::open_on(disk.clone(), keys.clone()).await.unwrap(),
            Move::Upkeep(step) => {
                let delete = |id: u8| {
                    account.delete(&task(id % 8));
                    task(id % 8)
                };
                keep_up(step, &repository.source("model").unwrap(), &mut points, &clock, delete).await;
            }
            Move::Commit { full, small_flushes } => {
                let source = repository.source("model").unwrap();
                let source = if small_flushes { source.with_flush_bytes(0) } else { source };
                let options = TransferOptions::backup().with_full(full).with_accepted_deletions(true);
                let receipt = transfer(&account, &source, options).await.unwrap().receipt.unwrap();
                let now: Content = account.visible().into_iter().map(|record| (record.key.clone(), record)).collect();
                if receipt.written {
                    points.push(now.clone());
                }
                assert_eq!(live(&source, At::Now).await.unwrap(), now);
            }
            _ => {}
        }
    }
    let source = repository.source("model").unwrap();
    check(&source, &points).await;
    check_blobs(&source, &points, &blobs).await;
    Played { disk, identity, points, blobs }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_point_diff_and_change_is_what_a_map_says(steps in steps(), encrypted in any::<bool>()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps, encrypted));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]
    /// Records that move between partitions, partitions that go, and attachments, however the account tells of them.
    #[test]
    fn partitions_and_attachments_are_what_a_map_says_at_every_point(
        steps in moves(),
        log in any::<bool>(),
        reports_deletions in any::<bool>(),
        encrypted in any::<bool>(),
    ) {
        let form = Form { log, reports_deletions };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play_moves(steps, form, encrypted));
    }
}
