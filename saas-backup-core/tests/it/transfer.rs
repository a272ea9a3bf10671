//! The engine between two memory stores.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::FakeProvider;
use saas_backup_core::{
    At, BlobId, BlobRef, BlobStatus, CancellationToken, Catalog, Collection, CollectionName, DeletionGuard, ErrorKind,
    FeedStatus, IdMap, Json, Key, Kind, ManualClock, Progress, ProgressEvent, Record, RecordId, RefRule, Reference,
    References, RunStatus, TransferOptions, WriteMode, transfer,
};

fn key(collection: &str, id: impl std::fmt::Display) -> Key {
    Key::parse(collection, id.to_string()).unwrap()
}

fn record(collection: &str, id: impl std::fmt::Display, text: &str) -> Record {
    Record::new(key(collection, id), Json::from_value(&serde_json::json!({ "text": text })).unwrap())
}

fn note_store(count: usize) -> MemoryStore {
    let store = MemoryStore::new();
    for id in 0..count {
        store.put(record("notes", format!("{id:04}"), "first"));
    }
    store
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap()))
}

fn backup() -> TransferOptions {
    TransferOptions::backup().with_clock(clock())
}

#[tokio::test]
async fn an_increment_moves_only_what_changed_and_keeps_what_was() {
    let (here, there) = (note_store(2500), MemoryStore::new());
    let (source, target) = (MemoryConnector::new(here.clone()), MemoryConnector::new(there.clone()));
    let first = transfer(&source, &target, backup()).await.unwrap();
    assert_eq!(first.report.status, RunStatus::Complete);
    assert_eq!(first.report.totals().written, 2500);

    here.put(record("notes", "0007", "second"));
    here.delete(key("notes", "0008"));
    let second = transfer(&source, &target, backup()).await.unwrap();
    assert_eq!(second.report.status, RunStatus::Complete);
    assert_eq!((second.report.totals().read, second.report.totals().deleted), (1, 1));
    assert_eq!(there.live(), here.live());
    assert_eq!(there.history(&key("notes", "0007")).len(), 2);

    let back = MemoryStore::new();
    let options = TransferOptions::new(WriteMode::Create).with_at(At::Back(1));
    transfer(&target, &MemoryConnector::new(back.clone()), options).await.unwrap();
    assert_eq!(back.live().len(), 2500);
    assert_eq!(back.live()[&key("notes", "0007")].data.as_str(), r#"{"text":"first"}"#);

    let third = transfer(&source, &target, backup()).await.unwrap();
    assert!(!third.receipt.unwrap().written, "an empty increment writes nothing");
}

#[tokio::test]
async fn a_full_read_deletes_what_it_did_not_see_within_the_guard() {
    let (here, there) = (note_store(100), MemoryStore::new());
    let target = MemoryConnector::new(there.clone());
    transfer(&MemoryConnector::new(here.clone()), &target, backup()).await.unwrap();
    // A source that forgot its history: the records are gone, and no deletion is told.
    let shrunk = note_store(85);
    let done = transfer(&MemoryConnector::new(shrunk.clone()), &target, backup().with_full(true)).await.unwrap();
    assert_eq!(done.report.status, RunStatus::Complete);
    assert_eq!(done.report.totals().deleted, 15);
    assert_eq!(there.live().len(), 85);
}

#[tokio::test]
async fn the_deletion_guard_stops_until_somebody_or_a_second_read_agrees() {
    let there = MemoryStore::new();
    let target = MemoryConnector::new(there.clone());
    transfer(&MemoryConnector::new(note_store(100)), &target, backup()).await.unwrap();
    let shrunk = MemoryConnector::new(note_store(50));
    let stopped = transfer(&shrunk, &target, backup().with_full(true)).await.unwrap();
    assert_eq!(stopped.report.status, RunStatus::NeedsReview);
    assert_eq!(stopped.report.reviews[0].candidates.count, 50);
    assert_eq!(there.live().len(), 100);
    // Its position is forgotten, so that the next run reads in full by itself, and agrees.
    let agreed = transfer(&shrunk, &target, backup()).await.unwrap();
    assert_eq!(agreed.report.status, RunStatus::Complete);
    assert_eq!(there.live().len(), 50);

    let fewer = MemoryConnector::new(note_store(10));
    let accepted = transfer(&fewer, &target, backup().with_full(true).with_accepted_deletions(true)).await.unwrap();
    assert_eq!(accepted.report.totals().deleted, 40);
}

#[tokio::test]
async fn an_empty_answer_is_not_a_deletion() {
    let there = MemoryStore::new();
    let target = MemoryConnector::new(there.clone());
    transfer(&MemoryConnector::new(note_store(5)), &target, backup()).await.unwrap();
    let empty = MemoryStore::new();
    empty.set_catalog(Catalog::new(vec![Collection::new(CollectionName::from_static("notes"), Kind::Record)]));
    let options = backup().with_full(true).with_guard(DeletionGuard::new(1000, 1.0));
    let stopped = transfer(&MemoryConnector::new(empty), &target, options).await.unwrap();
    assert_eq!(stopped.report.status, RunStatus::NeedsReview);
    assert_eq!(there.live().len(), 5);
}

#[tokio::test]
async fn what_happens_while_a_collection_joins_a_log_is_not_lost() {
    let provider = FakeProvider::new().with_log(&[FakeProvider::tasks()]);
    let task = provider.put_task("home", "t1", "first");
    provider.put_comment("c1", "t1", "first");
    let target = MemoryConnector::new(MemoryStore::new());
    transfer(&provider, &target, backup()).await.unwrap();

    provider.update(&task, |task| task.data = Json::parse(r#"{"title":"second"}"#).unwrap());
    let comment = provider.put_comment("c2", "t1", "second");
    let provider = provider.with_log(&[FakeProvider::tasks(), FakeProvider::comments()]);
    let joined = transfer(&provider, &target, backup()).await.unwrap();
    assert_eq!(joined.report.status, RunStatus::Complete);
    let live = target.store().live();
    assert_eq!(live[&task].data.as_str(), r#"{"title":"second"}"#);
    assert!(live.contains_key(&comment));
}

#[tokio::test]
async fn a_collection_that_the_source_lists_no_longer_is_gone_once_somebody_agrees() {
    let (here, there) = (note_store(3), MemoryStore::new());
    here.put(record("files", "1", "first"));
    let (source, target) = (MemoryConnector::new(here.clone()), MemoryConnector::new(there.clone()));
    transfer(&source, &target, backup()).await.unwrap();

    let without = MemoryConnector::new(note_store(3));
    let stopped = transfer(&without, &target, backup()).await.unwrap();
    assert_eq!(stopped.report.status, RunStatus::NeedsReview);
    assert_eq!(there.live().len(), 4);
    let notes = CollectionName::from_static("notes");
    let restricted = backup().with_collections(vec![notes]).with_accepted_deletions(true);
    transfer(&without, &target, restricted).await.unwrap();
    assert_eq!(there.live().len(), 4, "a run of some collections says nothing of the others");
    transfer(&without, &target, backup().with_accepted_deletions(true)).await.unwrap();
    assert_eq!(there.live().len(), 3);
}

fn with_blob(id: &str, blob: &BlobId) -> Record {
    record("notes", id, "has a file").with_blob(BlobRef::new(blob.clone(), "attachment").with_name("a.txt"))
}

#[tokio::test]
async fn a_blob_is_fetched_once_and_its_digest_stands_in_the_record() {
    let (here, there) = (MemoryStore::new(), MemoryStore::new());
    let (source, target) = (MemoryConnector::new(here.clone()), MemoryConnector::new(there.clone()));
    let blob = BlobId::from_static("b1");
    let stored = here.put_blob(blob.clone(), "some bytes");
    here.put(with_blob("1", &blob));
    let first = transfer(&source, &target, backup()).await.unwrap();
    assert_eq!((first.report.totals().blobs, first.report.totals().blob_bytes), (1, 10));
    let held = &there.live()[&key("notes", "1")].blobs[0];
    assert_eq!((held.digest, held.size), (Some(stored.digest), Some(10)));
    assert_eq!(there.blob(&blob).unwrap(), "some bytes");

    here.put(with_blob("2", &blob));
    let second = transfer(&source, &target, backup()).await.unwrap();
    assert_eq!((second.report.totals().blobs, second.report.totals().blobs_held), (0, 1));
}

#[tokio::test]
async fn a_missing_blob_is_an_open_gap_until_a_later_run_can_read_it() {
    let (here, there) = (MemoryStore::new(), MemoryStore::new());
    let (source, target) = (MemoryConnector::new(here.clone()), MemoryConnector::new(there.clone()));
    let blob = BlobId::from_static("late");
    here.put(with_blob("1", &blob));
    let first = transfer(&source, &target, backup()).await.unwrap();
    assert_eq!(first.report.status, RunStatus::Incomplete);
    assert_eq!(first.report.gaps[0].gap.blob.as_ref(), Some(&blob));
    assert_eq!(there.live()[&key("notes", "1")].blobs[0].status, BlobStatus::Missing);
    let notes = &first.report.completeness.collections["notes"];
    assert_eq!((notes.missing_blobs, notes.missing_records, notes.complete), (1, 0, false));

    // Nothing changed at the source, and yet the gap is tried again, and stays open.
    let second = transfer(&source, &target, backup()).await.unwrap();
    assert_eq!(second.report.status, RunStatus::Incomplete);
    assert_eq!(second.report.gaps[0].since, first.report.run);

    here.put_blob(blob.clone(), "here it is");
    let third = transfer(&source, &target, backup()).await.unwrap();
    assert_eq!(third.report.status, RunStatus::Complete);
    assert_eq!(there.blob(&blob).unwrap(), "here it is");
    assert_eq!(there.live()[&key("notes", "1")].blobs[0].status, BlobStatus::Available);
}

#[tokio::test]
async fn a_blob_that_is_not_what_was_stated_is_not_kept() {
    let (here, there) = (MemoryStore::new(), MemoryStore::new());
    let blob = BlobId::from_static("b");
    here.put_blob(blob.clone(), "tampered");
    let stated = saas_backup_core::Digest::of(b"original");
    here.put(record("notes", "1", "x").with_blob(BlobRef::new(blob.clone(), "attachment").with_digest(stated)));
    let done = transfer(&MemoryConnector::new(here), &MemoryConnector::new(there.clone()), backup()).await.unwrap();
    assert_eq!(done.report.gaps[0].gap.problem.kind, "integrity");
    assert_eq!(there.blob(&blob), None);
}

/// Cancels a run after so many events of progress.
#[derive(Debug)]
struct CancelAfter {
    left: std::sync::atomic::AtomicI64,
    cancel: CancellationToken,
}

impl Progress for CancelAfter {
    fn event(&self, event: &ProgressEvent) {
        if matches!(event, ProgressEvent::Advanced { .. })
            && self.left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1
        {
            self.cancel.cancel();
        }
    }
}

#[tokio::test]
async fn a_cancelled_run_is_continued_where_it_was_flushed() {
    let (here, there) = (note_store(5000), MemoryStore::new());
    let (source, target) = (MemoryConnector::new(here.clone()), MemoryConnector::new(there.clone()));
    let cancel = CancellationToken::new();
    let progress = Arc::new(CancelAfter { left: 10.into(), cancel: cancel.clone() });
    let mut options = backup().with_flush(1, Duration::from_secs(1)).with_progress(progress).with_cancel(cancel);
    options.batch_events = 256;
    let cut = transfer(&source, &target, options).await.unwrap();
    assert_eq!(cut.report.status, RunStatus::Cancelled);
    assert!(cut.receipt.is_none());
    assert_eq!(there.live().len(), 0, "nothing is visible before the commit");

    let rest = transfer(&source, &target, backup()).await.unwrap();
    assert_eq!(rest.report.run, cut.report.run, "it is the same run");
    assert_eq!(rest.report.status, RunStatus::Complete);
    assert!(rest.report.totals().read <= 5000 - 2000, "read again: {}", rest.report.totals().read);
    assert_eq!(there.live(), here.live());
}

#[tokio::test]
async fn what_an_interrupted_full_read_saw_is_not_deleted_by_its_second_half() {
    let (here, there) = (note_store(5000), MemoryStore::new());
    let (source, target) = (MemoryConnector::new(here.clone()), MemoryConnector::new(there.clone()));
    transfer(&source, &target, backup()).await.unwrap();
    let cancel = CancellationToken::new();
    let progress = Arc::new(CancelAfter { left: 10.into(), cancel: cancel.clone() });
    let options = backup().with_full(true).with_flush(1, Duration::from_secs(1));
    transfer(&source, &target, options.with_progress(progress).with_cancel(cancel)).await.unwrap();
    let rest = transfer(&source, &target, backup()).await.unwrap();
    assert!(rest.report.totals().read < 5000, "it went on in the middle");
    assert_eq!((rest.report.status, rest.report.totals().deleted), (RunStatus::Complete, 0));
    assert_eq!(there.live().len(), 5000);
}

fn blog() -> MemoryStore {
    let name = CollectionName::from_static;
    let store = MemoryStore::new();
    store.set_catalog(Catalog::new(vec![
        Collection::new(name("comments"), Kind::Comment).with_ref(RefRule::one("post", name("posts")).required()),
        Collection::new(name("posts"), Kind::Document)
            .with_ref(RefRule::one("author", name("users")).required())
            .with_ref(RefRule::one("next", name("posts"))),
        Collection::new(name("users"), Kind::User),
    ]));
    let to = |collection: &'static str, id: &'static str| Reference::new(name(collection), RecordId::from_static(id));
    store.put(record("comments", "c", "nice").with_ref("post", to("posts", "1")));
    store.put(record("posts", "1", "one").with_ref("author", to("users", "u")).with_ref("next", to("posts", "2")));
    store.put(record("posts", "2", "two").with_ref("author", to("users", "u")).with_ref("next", to("posts", "1")));
    store.put(record("users", "u", "Zoë"));
    store
}

#[tokio::test]
async fn a_restore_maps_ids_and_patches_cycles_at_the_end() {
    let there = MemoryStore::new();
    let target = MemoryConnector::new(there.clone()).with_own_ids();
    let ids = IdMap::default();
    let options = TransferOptions::new(WriteMode::Create).with_ids(ids.clone());
    let done = transfer(&MemoryConnector::new(blog()), &target, options).await.unwrap();
    assert_eq!(done.report.status, RunStatus::Complete);
    assert!(done.report.losses.is_empty() && done.report.refused.is_empty());
    assert_eq!(ids.len(), 4);
    let live = there.live();
    assert_eq!(live.len(), 4);
    for record in live.values() {
        for reference in record.references() {
            assert!(live.contains_key(&reference.key()), "{:?} points to nothing", record.key);
        }
    }
    let one = &live[&ids.get(&key("posts", 1)).unwrap()];
    let two = ids.get(&key("posts", 2)).unwrap();
    assert_eq!(one.refs["next"], References::One(Reference::from(&two)));
}

#[tokio::test]
async fn a_second_try_of_a_restore_adds_nothing_twice() {
    let there = MemoryStore::new();
    let target = MemoryConnector::new(there.clone()).with_own_ids();
    let ids = IdMap::default();
    for _ in 0..2 {
        let options = TransferOptions::new(WriteMode::Create).with_ids(ids.clone());
        transfer(&MemoryConnector::new(blog()), &target, options).await.unwrap();
    }
    assert_eq!(there.live().len(), 4);
}

#[tokio::test]
async fn a_restore_of_one_record_says_what_it_points_to_in_vain() {
    let there = MemoryStore::new();
    let target = MemoryConnector::new(there.clone()).with_own_ids();
    let options = TransferOptions::new(WriteMode::Create).with_records(vec![key("comments", "c")]);
    let done = transfer(&MemoryConnector::new(blog()), &target, options).await.unwrap();
    assert_eq!(there.live().len(), 1);
    assert_eq!(done.report.losses["comments"].values().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let there = MemoryStore::new();
    let target = MemoryConnector::new(there.clone()).with_own_ids();
    let options = TransferOptions::new(WriteMode::Create).with_dry_run(true);
    let done = transfer(&MemoryConnector::new(blog()), &target, options).await.unwrap();
    assert_eq!(done.report.totals().written, 4);
    assert!(done.receipt.is_none());
    assert!(there.live().is_empty());
}

#[tokio::test]
async fn merge_leaves_what_is_there_and_overwrite_replaces_it() {
    let there = MemoryStore::new();
    there.put(record("users", "u", "somebody else"));
    let target = MemoryConnector::new(there.clone());
    let merged =
        transfer(&MemoryConnector::new(blog()), &target, TransferOptions::new(WriteMode::Merge)).await.unwrap();
    assert_eq!((merged.report.totals().written, merged.report.totals().skipped), (3, 1));
    assert_eq!(merged.report.refused[0].key, key("users", "u"));
    transfer(&MemoryConnector::new(blog()), &target, TransferOptions::new(WriteMode::Overwrite)).await.unwrap();
    assert_eq!(there.live()[&key("users", "u")].data.as_str(), r#"{"text":"Zoë"}"#);
}

#[tokio::test]
async fn an_unknown_collection_is_named_together_with_the_known_ones() {
    let options = backup().with_collections(vec![CollectionName::from_static("pots")]);
    let error =
        transfer(&MemoryConnector::new(blog()), &MemoryConnector::new(MemoryStore::new()), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("comments posts users"), "{error}");
}

#[tokio::test]
async fn one_collection_is_backed_up_alone() {
    let there = MemoryStore::new();
    let options = backup().with_collections(vec![CollectionName::from_static("posts")]);
    let done = transfer(&MemoryConnector::new(blog()), &MemoryConnector::new(there.clone()), options).await.unwrap();
    assert_eq!(there.live().len(), 2);
    assert_eq!(done.report.feeds.values().map(|feed| feed.status).collect::<Vec<_>>(), [FeedStatus::Full]);
}
