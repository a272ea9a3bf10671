use std::collections::BTreeSet;

use futures::StreamExt as _;
use saas_backup_connectors::wordpress::WordPress;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    CollectionName, Connector, Cursor, Event, Extent, Feed, Key, Only, ReadRequest, Result, RunStatus, SnapshotOptions,
    TransferOptions, Transferred, Visibility, testkit, transfer,
};

use crate::fake_wordpress::{FakeWordPress, Fault};

async fn back_up(site: &WordPress, store: &MemoryStore) -> Transferred {
    transfer(site, &MemoryConnector::new(store.clone()), TransferOptions::backup()).await.unwrap()
}

fn posts_in(store: &MemoryStore) -> BTreeSet<u64> {
    let live = store.live();
    live.keys().filter(|key| key.collection.as_str() == "posts").map(|key| key.id.as_str().parse().unwrap()).collect()
}

async fn read(site: &WordPress, from: Option<Cursor>, sweep: bool) -> Vec<Result<Event>> {
    let snapshot = site.snapshot(SnapshotOptions::default()).await.unwrap();
    let request = ReadRequest::new(Feed::slice(CollectionName::from_static("posts"))).with_from(from).with_sweep(sweep);
    snapshot.read(request).collect().await
}

#[tokio::test]
async fn it_keeps_the_rules_for_connectors() {
    let fake = FakeWordPress::with_posts(1..=23);
    let site = fake.start(5).await;
    testkit::connector(&site).await.assert_passed();
}

#[tokio::test]
async fn rows_that_move_while_pages_are_read_are_not_lost() {
    // The first list asks for the count, the second for the end; the pages follow.
    for page in 2..=6 {
        for gone in [vec![1], vec![1, 2, 3], vec![4, 5, 6, 7, 8, 9, 10], (1..=18).collect::<Vec<u64>>()] {
            let fake = FakeWordPress::with_posts(1..=23);
            fake.lock().faults.insert(page, Fault::Delete(gone.clone()));
            let (site, store) = (fake.start(5).await, MemoryStore::new());
            back_up(&site, &store).await;
            let missing: Vec<u64> =
                (1..=23).filter(|id| !gone.contains(id) && !posts_in(&store).contains(id)).collect();
            assert!(missing.is_empty(), "{missing:?} lost: {gone:?} deleted before page {page}");
        }
    }
}

#[tokio::test]
async fn a_user_who_sees_holes_gets_everything_between_them() {
    let hidden: Vec<u64> = vec![1, 5, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 30];
    let fake = FakeWordPress::with_posts(1..=30);
    fake.lock().hidden.clone_from(&hidden);
    let (site, store) = (fake.start(4).await, MemoryStore::new());
    let done = back_up(&site, &store).await;
    assert_eq!(posts_in(&store), (1..=30).filter(|id| !hidden.contains(id)).collect());
    let posts = &done.report.completeness.collections["posts"];
    assert_eq!((posts.visible, posts.exists, posts.complete), (Visibility::Partial, Some(30), true));
}

#[tokio::test]
async fn an_increment_reads_what_changed_and_no_more() {
    let fake = FakeWordPress::with_posts(1..=250);
    let (site, store) = (fake.start(100).await, MemoryStore::new());
    back_up(&site, &store).await;
    fake.lock().lists.clear();
    fake.set_time("Sun, 02 Jun 2024 12:00:00 GMT");
    fake.put(7, "2024-06-01T13:00:00", "publish");
    fake.put(8, "2024-06-01T13:00:00", "trash");
    fake.lock().posts.remove(&9);
    // A date in the past is a time of change in the past: only the id says that it is new.
    fake.put(251, "2020-01-01T00:00:00", "publish");
    let done = back_up(&site, &store).await;
    let counts = done.report.collections["posts"];
    assert_eq!((counts.written, counts.unchanged, counts.deleted), (3, 0, 1));
    let record = &store.live()[&Key::parse("posts", "8").unwrap()];
    assert_eq!(record.state, saas_backup_core::RecordState::Trashed);
    assert_eq!(posts_in(&store), (1..=251).filter(|id| *id != 9).collect());
    let content = fake.lock().lists.iter().filter(|list| !list.contains("_fields=id")).count();
    assert!(content <= 4, "{content} requests for content");
}

#[tokio::test]
async fn a_post_that_appears_late_is_in_the_overlap() {
    let fake = FakeWordPress::with_posts(1..=3);
    let (site, store) = (fake.start(100).await, MemoryStore::new());
    back_up(&site, &store).await;
    // Changed five minutes before the first backup by the site's clock, and visible only now.
    fake.put(2, "2024-06-01T11:55:00", "publish");
    let done = back_up(&site, &store).await;
    assert_eq!(done.report.collections["posts"].written, 1);
}

#[tokio::test]
async fn a_read_goes_on_from_every_checkpoint() {
    let fake = FakeWordPress::with_posts(1..=23);
    let site = fake.start(5).await;
    let whole = read(&site, None, false).await;
    let cursors: Vec<Cursor> = whole
        .iter()
        .filter_map(|event| if let Ok(Event::Checkpoint(cursor)) = event { Some(cursor.clone()) } else { None })
        .collect();
    assert!(cursors.len() > 5);
    for (number, cursor) in cursors.iter().enumerate() {
        let is_put = |event: &&Result<Event>| matches!(event, Ok(Event::Put(_)));
        let mut checkpoints = 0;
        let before = whole.iter().take_while(|event| {
            checkpoints += usize::from(matches!(event, Ok(Event::Checkpoint(_))));
            checkpoints <= number
        });
        let before = before.filter(is_put).count();
        let rest = read(&site, Some(cursor.clone()), false).await;
        assert_eq!(before + rest.iter().filter(is_put).count(), 23, "after checkpoint {number}");
        let Some(Ok(Event::Done(done))) = rest.last() else { panic!("no end") };
        let finished = number + 1 == cursors.len();
        assert_eq!(done.extent, if finished { Extent::Changes } else { Extent::Full });
    }
}

#[tokio::test]
async fn a_site_in_trouble_is_asked_again() {
    let fake = FakeWordPress::with_posts(1..=23);
    fake.lock().faults.extend([(2, Fault::Status(429)), (4, Fault::Cut), (6, Fault::Status(429))]);
    let (site, store) = (fake.start(5).await, MemoryStore::new());
    assert_eq!(back_up(&site, &store).await.report.status, RunStatus::Complete);
    assert_eq!(posts_in(&store).len(), 23);
}

#[tokio::test]
async fn a_list_that_does_not_advance_is_an_error() {
    let fake = FakeWordPress::with_posts(1..=23);
    fake.lock().passes_offset_over = true;
    let (site, store) = (fake.start(5).await, MemoryStore::new());
    let done = back_up(&site, &store).await;
    assert_eq!(done.report.status, RunStatus::Incomplete);
    let problem = done.report.feeds["posts"].problem.as_ref().unwrap();
    assert_eq!(problem.kind, "invalid-data");
}

#[tokio::test]
async fn a_count_that_lies_makes_the_copy_incomplete() {
    let fake = FakeWordPress::with_posts(1..=23);
    fake.lock().total = Some(40);
    let (site, store) = (fake.start(5).await, MemoryStore::new());
    let done = back_up(&site, &store).await;
    assert_eq!((done.report.status, posts_in(&store).len()), (RunStatus::Incomplete, 23));
    assert_eq!(done.report.completeness.collections["posts"].missing_records, 17);
}

#[tokio::test]
async fn a_collection_that_is_refused_is_reported_and_the_others_are_read() {
    let fake = FakeWordPress::with_posts(1..=3);
    let (site, store) = (fake.start(5).await, MemoryStore::new());
    back_up(&site, &store).await;
    fake.lock().refuses = Some(403);
    let done = back_up(&site, &store).await;
    assert_eq!(done.report.completeness.collections["posts"].visible, Visibility::None);
    assert!(!done.report.completeness.collections["posts"].complete);
    assert_eq!(done.report.collections["settings"].unchanged, 1);
    assert_eq!(posts_in(&store).len(), 3, "what is refused is not deleted");
}

#[tokio::test]
async fn emptying_the_site_stops_at_the_guard() {
    let fake = FakeWordPress::with_posts(1..=60);
    let (site, store) = (fake.start(100).await, MemoryStore::new());
    back_up(&site, &store).await;
    fake.lock().posts.clear();
    let done = back_up(&site, &store).await;
    assert_eq!((done.report.status, posts_in(&store).len()), (RunStatus::NeedsReview, 60));
}

#[tokio::test]
async fn single_records_are_read_and_what_is_gone_is_said_to_be() {
    let fake = FakeWordPress::with_posts(1..=3);
    let site = fake.start(5).await;
    let snapshot = site.snapshot(SnapshotOptions::default()).await.unwrap();
    let keys = ["2", "9", "not-a-number"].map(|id| Key::parse("posts", id).unwrap());
    let request = ReadRequest::new(Feed::slice(CollectionName::from_static("posts")));
    let events: Vec<Event> =
        snapshot.read(request.with_only(Only::Records(keys.to_vec()))).map(Result::unwrap).collect().await;
    let shown: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Put(record) => format!("put {}", record.key),
            Event::Delete(deletion) => format!("{:?} {}", deletion.reason, deletion.key),
            Event::Done(done) => format!("{:?}", done.extent),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(shown, ["put posts/2", "Deleted posts/9", "Unknown posts/not-a-number", "Changes"]);
}
