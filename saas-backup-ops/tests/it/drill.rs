//! Rehearsed restores, of good copies and of others.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::FakeProvider;
use saas_backup_core::{
    Account, At, BlobId, BlobRef, BlobStatus, Capabilities, CollectionName, Connector, ErrorKind, IdMap, Json, Key,
    Record, Reference, Result, RunStatus, Sink, SinkOptions, Snapshot, SnapshotOptions, TransferOptions, transfer,
};
use saas_backup_ops::drill::{DifferenceKind, DrillOptions, DrillReport, DrillScope, drill};
use tokio_util::sync::CancellationToken;

fn key(id: &str) -> Key {
    Key::parse("notes", id).unwrap()
}

fn note(id: &str, text: &str) -> Record {
    Record::new(key(id), Json::parse(serde_json::json!({"text": text, "tags": [1, 2]}).to_string()).unwrap())
}

/// Notes, each third one with an attachment.
fn notes(count: usize) -> MemoryStore {
    let store = MemoryStore::new();
    for number in 0..count {
        let mut record = note(&format!("{number:04}"), &format!("text {number}"));
        if number % 3 == 0 {
            let id = BlobId::parse(format!("file {number}")).unwrap();
            let stored = store.put_blob(id.clone(), format!("bytes of {number}").into_bytes());
            record = record.with_blob(BlobRef::new(id, "attachment").with_digest(stored.digest).with_size(stored.size));
        }
        store.put(record);
    }
    store
}

/// A copy of an account, as a backup makes it.
async fn copy_of(account: &dyn Connector) -> MemoryConnector {
    let copy = MemoryConnector::new(MemoryStore::new());
    transfer(account, &copy, TransferOptions::backup()).await.unwrap();
    copy
}

type Meddling = Box<dyn FnOnce(&MemoryStore) + Send>;

/// A target that somebody changes between the restore and the comparison.
#[derive(Clone)]
struct Meddled {
    inner: MemoryConnector,
    meddling: Arc<Mutex<Option<Meddling>>>,
}

impl std::fmt::Debug for Meddled {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Meddled")
    }
}

impl Meddled {
    fn new(meddling: impl FnOnce(&MemoryStore) + Send + 'static) -> Self {
        let meddling: Meddling = Box::new(meddling);
        Self { inner: MemoryConnector::new(MemoryStore::new()), meddling: Arc::new(Mutex::new(Some(meddling))) }
    }

    fn with_own_ids(mut self) -> Self {
        self.inner = self.inner.with_own_ids();
        self
    }
}

#[async_trait]
impl Connector for Meddled {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn check(&self) -> Result<Account> {
        self.inner.check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if let Some(meddling) = self.meddling.lock().unwrap().take() {
            meddling(self.inner.store());
        }
        self.inner.snapshot(options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        self.inner.sink(options).await
    }
}

async fn rehearse(store: MemoryStore, scratch: &dyn Connector, options: DrillOptions) -> DrillReport {
    drill(&MemoryConnector::new(store), scratch, options).await.unwrap()
}

#[tokio::test]
async fn a_good_copy_comes_back_whole_and_gives_a_measured_time() {
    let provider = FakeProvider::seeded(7, 300);
    let copy = copy_of(&provider).await;
    let scratch = MemoryConnector::new(MemoryStore::new());
    let report = drill(&copy, &scratch, DrillOptions::default()).await.unwrap();
    assert!(report.passed && report.rto().is_some(), "{report:?}");
    assert_eq!(report.records as usize, copy.store().live().len());
    assert!(report.blobs > 0 && report.bytes > 0 && report.phases.first_record_ms.is_some(), "{report:?}");
    assert_eq!((report.fidelity_percent(), report.wrong()), (None, 0));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<DrillReport>(&text).unwrap(), report);
}

#[tokio::test]
async fn a_sample_is_chosen_by_its_seed_and_brings_what_it_needs() {
    let copy = copy_of(&FakeProvider::seeded(7, 300)).await;
    let mut restored = Vec::new();
    for seed in [1, 1, 2] {
        let scratch = MemoryConnector::new(MemoryStore::new());
        let options = DrillOptions::default().with_scope(DrillScope::Sample { records: 20, seed });
        let report = drill(&copy, &scratch, options).await.unwrap();
        assert!(report.passed && report.rto().is_none(), "{report:?}");
        let live = scratch.store().live();
        assert!(live.len() >= 20 && live.len() < 100 && report.records as usize == live.len());
        let comments = live.values().filter(|record| record.refs.contains_key("task"));
        let tasks: Vec<Key> = comments.flat_map(|record| record.refs["task"].iter().map(Reference::key)).collect();
        assert!(!tasks.is_empty() && tasks.iter().all(|task| live.contains_key(task)), "{tasks:?}");
        restored.push(live.into_keys().collect::<BTreeSet<_>>());
    }
    assert!(restored[0] == restored[1] && restored[0] != restored[2]);
}

#[tokio::test]
async fn whatever_comes_back_otherwise_fails_the_drill() {
    let cases: [(DifferenceKind, Meddling); 4] = [
        (DifferenceKind::Missing, Box::new(|store| store.delete(key("0005")))),
        (DifferenceKind::Record, Box::new(|store| store.put(note("0005", "text 5 ")))),
        (
            DifferenceKind::Attachments,
            Box::new(|store| _ = store.put_blob(BlobId::parse("file 3").unwrap(), "bytes of 4")),
        ),
        (DifferenceKind::Unexpected, Box::new(|store| store.put(note("other", "x")))),
    ];
    for (kind, meddling) in cases {
        let report = rehearse(notes(50), &Meddled::new(meddling), DrillOptions::default()).await;
        assert!(!report.passed && report.rto().is_none() && report.wrong() == 1, "{kind:?}: {report:?}");
        let found: Vec<DifferenceKind> = report.differences.iter().map(|difference| difference.kind).collect();
        assert_eq!(found, [kind]);
    }
}

#[tokio::test]
async fn what_others_may_change_is_counted_and_what_is_lost_fails_the_drill() {
    let drilled = async |meddling: Meddling| {
        let scratch = Meddled::new(meddling).with_own_ids();
        rehearse(notes(50), &scratch, DrillOptions::default().with_ids(IdMap::default())).await
    };
    let first = |store: &MemoryStore| store.live().into_keys().next().unwrap();
    let report = drilled(Box::new(|_| {})).await;
    assert!(report.passed && report.fidelity_percent() == Some(100), "{report:?}");
    assert_eq!(report.fields(), (150, 150));
    let report = drilled(Box::new(move |store| {
        let mut record = store.live().into_values().next().unwrap();
        record.data = Json::parse(r#"{"text":"rewritten","tags":[1]}"#).unwrap();
        store.put(record);
    }))
    .await;
    assert!(report.passed && report.fields() == (148, 150), "{report:?}");
    let report = drilled(Box::new(move |store| store.delete(first(store)))).await;
    assert!(!report.passed && report.wrong() == 1, "{report:?}");
    assert_eq!(report.differences[0].kind, DifferenceKind::Missing);
    let report = drilled(Box::new(|store| _ = store.put_blob(BlobId::parse("file 3").unwrap(), "other"))).await;
    assert!(!report.passed && report.differences[0].kind == DifferenceKind::Attachments, "{report:?}");
}

#[tokio::test]
async fn what_cannot_be_read_of_the_copy_fails_the_drill() {
    let provider = FakeProvider::seeded(7, 100);
    let blobs = provider.visible().into_iter().flat_map(|record| record.blobs);
    let blob = blobs.filter(|blob| blob.status == BlobStatus::Available).find_map(|blob| blob.id).unwrap();
    provider.fail_blob(&blob, ErrorKind::Integrity);
    let report = drill(&provider, &MemoryConnector::new(MemoryStore::new()), DrillOptions::default()).await.unwrap();
    assert!(!report.passed && report.rto().is_none(), "{report:?}");
    assert_eq!(report.restored, Some(RunStatus::Incomplete));
}

#[tokio::test]
async fn a_drill_that_is_cancelled_and_a_point_that_is_not_there_say_so() {
    let store = notes(50);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (copy, scratch) = (MemoryConnector::new(store), MemoryConnector::new(MemoryStore::new()));
    let error = drill(&copy, &scratch, DrillOptions::default().with_cancel(cancel)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let error = drill(&copy, &scratch, DrillOptions::default().with_at(At::Sequence(999))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(scratch.store().live().is_empty());
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_proves_nothing() {
    let scratch = MemoryConnector::new(MemoryStore::new());
    let report = rehearse(notes(50), &scratch, DrillOptions::default().with_dry_run(true)).await;
    assert!(!report.passed && report.restored == Some(RunStatus::Complete) && scratch.store().live().is_empty());
}

#[tokio::test]
async fn other_collections_are_left_alone() {
    let copy = copy_of(&FakeProvider::seeded(7, 100)).await;
    let scratch = MemoryConnector::new(MemoryStore::new());
    let users = CollectionName::from_static("users");
    let options = DrillOptions::default().with_collections(vec![users.clone()]);
    let report = drill(&copy, &scratch, options).await.unwrap();
    assert!(report.passed && report.records > 0, "{report:?}");
    assert!(scratch.store().live().keys().all(|key| key.collection == users));
}

proptest! {
    /// Whatever is changed afterwards: the differences are exactly that.
    #[test]
    fn the_differences_are_what_was_changed(
        count in 1_usize..400,
        changes in prop::collection::btree_map(0_usize..500, 0_u8..3, 0..60),
    ) {
        let expected: BTreeSet<Key> = changes
            .iter()
            .filter(|(number, change)| **number < count || **change == 1)
            .map(|(number, _)| key(&format!("{number:04}")))
            .collect();
        let scratch = Meddled::new(move |store| {
            for (number, change) in changes {
                let id = format!("{number:04}");
                match change {
                    0 => store.delete(key(&id)),
                    1 => store.put(note(&id, "changed")),
                    _ if number < count => store.put(note(&id, &format!("text {number}")).with_version("2")),
                    _ => {}
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let report = runtime.block_on(rehearse(notes(count), &scratch, DrillOptions::default()));
        prop_assert_eq!(report.passed, expected.is_empty());
        prop_assert_eq!(report.wrong(), expected.len() as u64);
        let found: BTreeSet<Key> = report.differences.into_iter().map(|difference| difference.key).collect();
        prop_assert_eq!(found, expected);
    }
}
