//! The engine against each way in which a provider misbehaves.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::memory::{MemoryConnector, MemoryStore};
use crate::testkit::{Contents, FaultySink, assert_same};
use crate::{Event, RunStatus, TransferOptions, Transferred, WriteMode, transfer};

async fn backup_with(provider: &FakeProvider, store: &MemoryStore, options: TransferOptions) -> Transferred {
    transfer(provider, &MemoryConnector::new(store.clone()), options).await.unwrap()
}

async fn backup(provider: &FakeProvider, store: &MemoryStore) -> Transferred {
    backup_with(provider, store, TransferOptions::backup()).await
}

/// What the copy lacks, has too much, or has otherwise.
fn differences(provider: &FakeProvider, store: &MemoryStore) -> Vec<String> {
    let (mut wanted, mut held) = (Contents::default(), Contents::default());
    provider.visible().into_iter().for_each(|record| wanted.apply(Event::Put(Box::new(record))));
    store.live().into_values().for_each(|record| held.apply(Event::Put(Box::new(record))));
    wanted.differences(&held)
}

fn full_pages(requests: &[Request]) -> Vec<&str> {
    let full = requests.iter().filter_map(|request| match request {
        Request::Page { feed, full: true } => Some(feed.as_str()),
        _ => None,
    });
    full.collect()
}

fn blobs(requests: &[Request]) -> Vec<(&str, Option<Range<u64>>)> {
    let blobs = requests.iter().filter_map(|request| match request {
        Request::Blob { id, range, .. } => Some((id.as_str(), range.clone())),
        _ => None,
    });
    blobs.collect()
}

#[tokio::test(start_paused = true)]
async fn an_increment_asks_for_what_changed_and_nothing_else() {
    let (provider, store) = (FakeProvider::seeded(1, 40), MemoryStore::new());
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
    provider.take_requests();
    let task = provider.put_task("p0", "new", "A new task");
    provider.attach(&task, "new", vec![1; 5000]);
    provider.delete(&Key::parse("comments", "c00000").unwrap());
    let done = backup(&provider, &store).await;
    let requests = provider.take_requests();
    assert_eq!(full_pages(&requests), Vec::<&str>::new());
    assert_eq!(blobs(&requests), [("new", None)]);
    let totals = done.report.totals();
    assert_eq!((totals.written, totals.unchanged, totals.deleted), (1, 1, 1), "{totals:?}");
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_engine_waits_as_long_as_the_provider_asks() {
    let (provider, store) = (FakeProvider::seeded(1, 40), MemoryStore::new());
    let throttled = std::sync::atomic::AtomicBool::new(false);
    provider.between_pages(move |provider| {
        if !throttled.swap(true, std::sync::atomic::Ordering::Relaxed) {
            provider.throttle(1);
        }
    });
    let start = Instant::now();
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
    assert!(start.elapsed() >= Duration::from_secs(1), "it waited {:?}", start.elapsed());
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_to_wait_before_the_first_feed_is_asked_again() {
    let (provider, store) = (FakeProvider::seeded(1, 40), MemoryStore::new());
    provider.throttle(3);
    let start = Instant::now();
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
    assert!(start.elapsed() >= Duration::from_secs(3), "it waited {:?}", start.elapsed());
    provider.take_requests();
    provider.throttle(u32::MAX);
    let target = MemoryConnector::new(store.clone());
    let error = transfer(&provider, &target, TransferOptions::backup()).await.unwrap_err();
    assert_eq!((error.kind(), provider.requests().len()), (ErrorKind::RateLimited, 4));
}

/// A provider with so many tasks in `p1`, one in `p2`, and its copy.
async fn two_projects(tasks: usize, log: &[CollectionName]) -> (FakeProvider, MemoryStore) {
    let (provider, store) = (FakeProvider::new().with_log(log), MemoryStore::new());
    for task in 0..tasks {
        provider.put_task("p1", &format!("t{task}"), "A task");
    }
    provider.put_task("p2", "other", "Another project's task");
    backup(&provider, &store).await;
    (provider, store)
}

#[tokio::test(start_paused = true)]
async fn records_of_a_partition_that_is_listed_no_more_are_deleted() {
    for log in [vec![], vec![FakeProvider::tasks()]] {
        let (provider, store) = two_projects(3, &log).await;
        provider.drop_project("p1");
        let report = backup(&provider, &store).await.report;
        assert_eq!((report.status, report.totals().deleted), (RunStatus::Complete, 3));
        assert_eq!(differences(&provider, &store), Vec::<String>::new());
        let task = Key::parse("tasks", "t0").unwrap();
        assert_eq!(store.history(&task).last(), Some(&None));

        let quiet = backup(&provider, &store).await;
        assert!(quiet.report.feeds.keys().all(|feed| feed.as_str() != "tasks/p1"), "{:?}", quiet.report.feeds);
        provider.put_task("p1", "t0", "The project is there again");
        assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
        assert_eq!(differences(&provider, &store), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_partition_that_vanishes_waits_for_a_second_list_that_agrees() {
    let (provider, store) = two_projects(30, &[]).await;
    provider.drop_project("p1");
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.totals().deleted), (RunStatus::NeedsReview, 0));
    assert_eq!(store.live().len(), 31);
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.totals().deleted), (RunStatus::Complete, 30));
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_review_ends_with_its_feed_though_the_run_that_forgot_it_dies() {
    for steps in 0..20 {
        let (provider, store) = two_projects(30, &[]).await;
        provider.drop_project("p1");
        assert_eq!(backup(&provider, &store).await.report.status, RunStatus::NeedsReview);
        let target = FaultySink::new(MemoryConnector::new(store.clone()));
        target.crash_after(steps);
        drop(transfer(&provider, &target, TransferOptions::backup()).await);
        let report = backup(&provider, &store).await.report;
        assert_eq!((report.status, report.reviews.len()), (RunStatus::Complete, 0), "{steps} steps");
        assert_eq!(differences(&provider, &store), Vec::<String>::new(), "{steps} steps");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_without_any_partition_is_an_empty_answer() {
    let (provider, store) = two_projects(3, &[]).await;
    provider.drop_project("p1");
    provider.drop_project("p2");
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.reviews.len()), (RunStatus::NeedsReview, 2));
    assert_eq!(store.live().len(), 4);
    let accepted = TransferOptions::backup().with_accepted_deletions(true);
    assert_eq!(backup_with(&provider, &store, accepted).await.report.status, RunStatus::Complete);
    assert!(store.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_vanished_while_its_position_was_dropped_is_not_forgotten() {
    let (provider, store) = two_projects(3, &[FakeProvider::tasks()]).await;
    provider.drop_project("p1");
    provider.expire_cursors();
    // The run dies after the reset became durable.
    let target = FaultySink::new(MemoryConnector::new(store.clone()));
    let options = || {
        let mut options = TransferOptions::backup();
        options.flush_bytes = 0;
        options
    };
    let mut crashes = 0;
    for steps in 0..40 {
        target.crash_after(steps);
        crashes += usize::from(transfer(&provider, &target, options()).await.is_err());
        target.recover();
    }
    assert!(crashes >= 10, "{crashes}");
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

/// A provider with a task in `p1` and its copy, and so many tasks in `p2`, of which the log told after the feeds were
/// listed; without another word, the project is gone again.
async fn told_and_gone(tasks: usize) -> (FakeProvider, MemoryStore) {
    let (provider, store) = (FakeProvider::new(), MemoryStore::new());
    provider.put_task("p1", "t", "A task");
    backup(&provider, &store).await;
    provider.between_pages(move |provider| {
        provider.rest();
        for task in 0..tasks {
            provider.put_task("p2", &format!("n{task}"), "The list does not name its project");
        }
    });
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
    assert_eq!(store.live().len(), tasks + 1);
    provider.drop_project("p2");
    (provider, store)
}

#[tokio::test(start_paused = true)]
async fn records_that_only_a_log_told_of_are_deleted_with_a_partition_that_no_list_ever_named() {
    let (provider, store) = told_and_gone(3).await;
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.totals().deleted), (RunStatus::Complete, 3));
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
    let quiet = backup(&provider, &store).await.report;
    assert!(quiet.feeds.keys().all(|feed| !feed.as_str().contains("told")), "{:?}", quiet.feeds);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_a_log_told_of_is_known_though_the_run_dies() {
    for steps in 0..20 {
        let (provider, store) = (FakeProvider::new(), MemoryStore::new());
        provider.put_task("p1", "t", "A task");
        backup(&provider, &store).await;
        provider.between_pages(|provider| {
            provider.rest();
            provider.put_task("p2", "new", "The list does not name its project");
        });
        let target = FaultySink::new(MemoryConnector::new(store.clone()));
        target.crash_after(steps);
        let mut options = TransferOptions::backup();
        options.flush_bytes = 0;
        drop(transfer(&provider, &target, options).await);
        provider.drop_project("p2");
        assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete, "{steps} steps");
        assert_eq!(differences(&provider, &store), Vec::<String>::new(), "{steps} steps");
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_a_log_told_of_waits_for_no_review_once_it_is_listed() {
    let (provider, store) = told_and_gone(30).await;
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.totals().deleted), (RunStatus::NeedsReview, 0));
    provider.put_task("p2", "n0", "It is there again");
    // The first run reads it in full, and asks about the others; the next one agrees.
    assert_eq!(backup(&provider, &store).await.report.reviews.len(), 1);
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.reviews.len()), (RunStatus::Complete, 0));
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
    let sink = MemoryConnector::new(store).sink(SinkOptions::new(WriteMode::Mirror)).await.unwrap();
    let known: Vec<FeedId> = sink.state().await.unwrap().feeds.into_keys().collect();
    assert_eq!(known.iter().filter(|feed| feed.as_str().contains("tasks/")).count(), 2, "{known:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_moves_between_two_partitions_that_are_read_side_by_side_is_not_lost() {
    for (provider, telling) in [(FakeProvider::new(), true), (FakeProvider::new().without_deletions(), false)] {
        let (provider, store) = (provider.with_log(&[]), MemoryStore::new());
        let moving = provider.put_task("p1", "a", "It moves from p1 to p2");
        let attached = provider.put_task("p1", "b", "It keeps p1 from being written, while p2 is read");
        provider.attach(&attached, "blob", vec![7; 3000]);
        provider.put_task("p2", "c", "A neighbour");
        provider.cut_blob_after(1000);
        let key = moving.clone();
        provider.between_pages(move |provider| {
            let last = provider.requests().pop();
            if matches!(last, Some(Request::Page { feed, full: true }) if feed.as_str() == "tasks/p1") {
                provider.move_to(&key, "p2");
            }
        });
        let mut options = TransferOptions::backup();
        options.batch_events = 1;
        backup_with(&provider, &store, options).await;
        provider.rest();
        // Without word of deletions, it is the next run that no longer finds it in p1.
        if !telling {
            backup(&provider, &store).await;
        }
        assert_eq!(differences(&provider, &store), Vec::<String>::new(), "telling: {telling}");
        // What it left is forgotten: gone from the new partition, it is gone.
        provider.delete(&moving);
        assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
        assert_eq!(differences(&provider, &store), Vec::<String>::new(), "telling: {telling}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_moved_and_was_then_deleted_is_not_brought_back() {
    for provider in [FakeProvider::new(), FakeProvider::new().without_deletions()] {
        let (provider, store) = (provider.with_log(&[]), MemoryStore::new());
        let moving = provider.put_task("p2", "a", "It moves from p2 to p1, which is read first");
        provider.put_task("p1", "b", "A neighbour");
        provider.put_task("p2", "c", "A neighbour");
        backup(&provider, &store).await;
        provider.move_to(&moving, "p1");
        assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
        // No later read of p2 can put right what is remembered of it.
        provider.drop_project("p2");
        assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
        assert_eq!(differences(&provider, &store), Vec::<String>::new());
        provider.delete(&moving);
        assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
        assert_eq!(differences(&provider, &store), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_broke_off_goes_on_where_it_did() {
    let (provider, store) = (FakeProvider::new(), MemoryStore::new());
    let task = provider.put_task("p0", "t", "With an attachment");
    provider.attach(&task, "blob", vec![7; 3000]);
    provider.cut_blob_after(1000);
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
    assert_eq!(blobs(&provider.requests()), [("blob", None), ("blob", Some(1000..3000))]);
    assert_eq!(store.blob(&BlobId::from_static("blob")).unwrap(), vec![7; 3000]);
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_blob_id_never_change() {
    let (provider, store) = (FakeProvider::new(), MemoryStore::new());
    let (first, second) = (provider.put_task("p0", "1", "The first"), provider.put_task("p0", "2", "The second"));
    provider.attach(&first, "blob", vec![7; 3000]);
    backup(&provider, &store).await;
    provider.attach(&second, "blob", vec![8; 500]);
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_full_read_that_goes_on_in_a_run_that_dies_is_not_taken_for_a_sweep() {
    let (provider, store) = (FakeProvider::new().with_log(&[]), MemoryStore::new());
    provider.put_comment("1", "t", "It is gone soon");
    backup(&provider, &store).await;
    provider.bump_generation(|_| false);
    // The refused cursor makes a full read, which breaks off behind its last page.
    provider.between_pages(|provider| {
        if matches!(provider.requests().last(), Some(Request::Page { feed, full: true }) if feed.as_str() == "comments")
        {
            provider.go_down(u32::MAX);
        }
    });
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Incomplete);
    provider.rest();
    provider.heal();
    // It goes on and finds nothing; the guard stops it, and no run lives to leave the review.
    let target = FaultySink::new(MemoryConnector::new(store.clone()));
    for steps in 0..40 {
        target.crash_after(steps);
        if transfer(&provider, &target, TransferOptions::backup()).await.is_ok() {
            break;
        }
        target.recover();
    }
    assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete);
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_count_that_is_not_reached_is_not_complete() {
    let (provider, store) = (FakeProvider::seeded(1, 20), MemoryStore::new());
    provider.lie_about_counts(5);
    let report = backup(&provider, &store).await.report;
    assert_eq!(report.status, RunStatus::Incomplete);
    assert_eq!(report.completeness.collections[&FakeProvider::tasks()].missing_records, 5);
}

#[tokio::test(start_paused = true)]
async fn lost_access_and_empty_answers_wait_for_a_review_and_delete_nothing() {
    for empty in [true, false] {
        let (provider, store) = (FakeProvider::seeded(1, 20), MemoryStore::new());
        backup(&provider, &store).await;
        let before = store.live();
        provider.expire_cursors();
        if empty {
            provider.empty();
        } else {
            provider.lose_access(&FakeProvider::users());
        }
        let report = backup(&provider, &store).await.report;
        assert_eq!(report.status, RunStatus::NeedsReview, "empty: {empty}");
        assert_eq!(store.live(), before);

        provider.heal();
        assert_eq!(backup(&provider, &store).await.report.status, RunStatus::Complete, "empty: {empty}");
        assert_eq!(store.live(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_commits_late_is_not_lost() {
    let (provider, store) = (FakeProvider::new(), MemoryStore::new());
    let task = provider.put_task("p0", "late", "As it was");
    let mut record = provider.visible().into_iter().find(|record| record.key == task).unwrap();
    record.data = crate::Json::parse(r#"{"title":"Early by its time"}"#).unwrap();
    let late = provider.begin_put(record);
    provider.put_task("p0", "later", "Later by its time");
    backup(&provider, &store).await;
    provider.commit(late);
    backup(&provider, &store).await;
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_one_collection_reads_no_other_in_full() {
    let (provider, store) = (FakeProvider::seeded(1, 40), MemoryStore::new());
    backup(&provider, &store).await;
    provider.take_requests();
    provider.mute();
    provider.delete(&Key::parse("comments", "c00002").unwrap());
    provider.put_comment("c00004", "t00004", "Changed, and nobody told");
    provider.reset(&[FakeProvider::comments()]);
    let report = backup(&provider, &store).await.report;
    let requests = provider.take_requests();
    assert!(!full_pages(&requests).is_empty());
    assert!(full_pages(&requests).iter().all(|feed| *feed == "comments"), "{:?}", full_pages(&requests));
    assert_eq!((report.status, differences(&provider, &store)), (RunStatus::Complete, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_a_gap_until_it_can() {
    let (provider, store) = (FakeProvider::seeded(1, 20), MemoryStore::new());
    let key = Key::parse("tasks", "t00001").unwrap();
    provider.fail_record(&key, ErrorKind::PermissionDenied);
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.gaps.len()), (RunStatus::Incomplete, 1));
    provider.heal();
    provider.take_requests();
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.gaps.len()), (RunStatus::Complete, 0));
    let requests = provider.take_requests();
    let asked =
        |request: &Request| matches!(request, Request::Records { keys, .. } if keys == std::slice::from_ref(&key));
    assert!(requests.iter().any(asked), "{requests:?}");
    assert_eq!(full_pages(&requests), Vec::<&str>::new());
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_read_again_though_the_feed_that_reported_it_is_forgotten() {
    let (provider, store) = (FakeProvider::new().with_log(&[]), MemoryStore::new());
    let moving = provider.put_task("p2", "a", "It moves from p2, which is dropped then, to p1");
    provider.put_task("p1", "b", "A neighbour");
    provider.fail_record(&moving, ErrorKind::PermissionDenied);
    backup(&provider, &store).await;
    provider.move_to(&moving, "p1");
    assert_eq!(backup(&provider, &store).await.report.gaps.len(), 1);
    provider.drop_project("p2");
    assert_eq!(backup(&provider, &store).await.report.gaps.len(), 1);
    provider.heal();
    let report = backup(&provider, &store).await.report;
    assert_eq!((report.status, report.gaps.len()), (RunStatus::Complete, 0));
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_smallest_budget_slows_a_run_down_and_does_not_stop_it() {
    let (provider, store) = (FakeProvider::seeded(1, 40), MemoryStore::new());
    let mut options = TransferOptions::backup();
    options.budget = Budget::new(1, 1);
    let done = tokio::time::timeout(Duration::from_mins(10), backup_with(&provider, &store, options)).await;
    assert_eq!(done.unwrap().report.status, RunStatus::Complete);
    assert_eq!(differences(&provider, &store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn indented_pages_give_the_same_copy() {
    let (compact, pretty) = (MemoryStore::new(), MemoryStore::new());
    backup(&FakeProvider::seeded(1, 30), &compact).await;
    backup(&FakeProvider::seeded(1, 30).with_pretty_pages(), &pretty).await;
    let open = async |store| MemoryConnector::new(store).snapshot(SnapshotOptions::default()).await.unwrap();
    assert_same(&*open(compact).await, &*open(pretty).await).await.unwrap();
}
