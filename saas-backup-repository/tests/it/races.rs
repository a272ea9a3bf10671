//! Two writers, and stores that do not keep their promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    At, Coverage, Cursor, ErrorKind, Event, Feed, ReadRequest, RunId, RunReport, RunStart, SinkOptions,
    SnapshotOptions, WriteMode,
};
use saas_backup_core::{Catalog, CollectionName, Connector as _};
use saas_backup_repository::{Repository, Source, VerifyOptions};

use crate::faults::{Conditions, FaultyStore};
use crate::support::{back_up, clock, key, live, note, options, time};

/// Commits of the race of two writers; `SAAS_BACKUP_TEST_COMMITS` asks for another number.
const COMMITS: u64 = 150;

async fn run(source: &Source, feed: &str, id: &str) -> saas_backup_core::Result<()> {
    let sink = source.sink(SinkOptions::new(WriteMode::Mirror)).await?;
    let run = RunId::new(time());
    sink.begin(&RunStart::new(run, time(), Catalog::default(), Coverage::default())).await?;
    let mut writer = sink.writer(&Feed::slice(CollectionName::parse(feed)?)).await?;
    writer.write(vec![Event::Put(Box::new(note(id, "text")))]).await?;
    writer.flush(Some(&Cursor::encode(1, &id)?)).await?;
    drop(writer);
    tokio::task::yield_now().await;
    sink.commit(&RunReport::new(run, time())).await.map(drop)
}

#[tokio::test]
async fn of_two_writers_of_one_feed_the_slower_one_gives_up() {
    let clock = clock();
    let disk = FaultyStore::default();
    Repository::init_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
    let open = async || {
        let repository = Repository::open_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
        repository.source("blog").unwrap()
    };
    let (one, two) = (open().await, open().await);
    let (one, two) = tokio::join!(run(&one, "notes", "1"), run(&two, "notes", "2"));
    assert_eq!([&one, &two].iter().filter(|done| done.is_ok()).count(), 1, "{one:?} {two:?}");
    let lost = one.and(two).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn writers_of_different_feeds_do_not_disturb_each_other() {
    let clock = clock();
    let disk = FaultyStore::default();
    Repository::init_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
    let open = async || {
        let repository = Repository::open_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
        repository.source("blog").unwrap()
    };
    let sources = [open().await, open().await, open().await];
    let done =
        tokio::join!(run(&sources[0], "one", "1"), run(&sources[1], "two", "2"), run(&sources[2], "three", "3"),);
    assert!(done.0.is_ok() && done.1.is_ok() && done.2.is_ok(), "{done:?}");
    let last = open().await;
    assert_eq!(last.points().await.unwrap().len(), 3);
    for id in ["1", "2", "3"] {
        assert!(last.record(&key(id), &At::Now).await.unwrap().is_some());
    }
}

/// Makes points of one feed until both writers together have made enough; gives how many were its own.
async fn race(disk: FaultyStore, feed: &'static str, made: Arc<AtomicU64>, enough: u64) -> u64 {
    let clock = clock();
    let repository = Repository::open_on(Arc::new(disk), options(&clock)).await.unwrap();
    let blog = repository.source("blog").unwrap();
    let mut own = 0;
    while made.fetch_add(1, Ordering::Relaxed) < enough {
        own += 1;
        while let Err(error) = run(&blog, feed, &format!("{feed}-{own}")).await {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        }
    }
    own
}

#[tokio::test(start_paused = true)]
async fn each_number_has_one_winner_however_long_two_writers_race() {
    let commits = std::env::var("SAAS_BACKUP_TEST_COMMITS").map_or(COMMITS, |commits| commits.parse().unwrap());
    for conditions in [Conditions::Honest, Conditions::FalseConflicts, Conditions::LostAnswers] {
        let disk = FaultyStore::default();
        let clock = clock();
        let repository = Repository::init_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
        let made = Arc::new(AtomicU64::new(0));
        let racing = ["one", "two"]
            .map(|feed| tokio::spawn(race(disk.clone().with_conditions(conditions), feed, Arc::clone(&made), commits)));
        let [one, two] = racing.map(async |racer| racer.await.unwrap());
        let (one, two) = tokio::join!(one, two);
        assert!(one > 0 && two > 0 && one + two == commits, "{one} {two} {conditions:?}");
        let blog = repository.source("blog").unwrap();
        let points: Vec<u64> = blog.points().await.unwrap().iter().map(|point| point.sequence).collect();
        assert_eq!(points, (1..=commits).collect::<Vec<_>>(), "{conditions:?}");
        let snapshot = blog.snapshot(SnapshotOptions::at(At::Now)).await.unwrap();
        let mut events = snapshot.read(ReadRequest::new(Feed::slice(CollectionName::parse("notes").unwrap())));
        let mut found = BTreeSet::new();
        while let Some(event) = events.try_next().await.unwrap() {
            found.extend(match event {
                Event::Put(record) => Some(record.key),
                _ => None,
            });
        }
        let written = |feed: &'static str, own: u64| (1..=own).map(move |number| key(&format!("{feed}-{number}")));
        assert_eq!(found, written("one", one).chain(written("two", two)).collect(), "{conditions:?}");
        assert!(blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap().is_good(), "{conditions:?}");
    }
}

#[tokio::test]
async fn answers_that_lie_about_a_commit_are_seen_through() {
    let clock = clock();
    for conditions in [Conditions::FalseConflicts, Conditions::LostAnswers] {
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
        let disk = disk.restarted().with_conditions(conditions);
        let repository = Repository::open_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
        let (records, blog) = (MemoryStore::new(), repository.source("blog").unwrap());
        for round in 0..4 {
            records.put(note(&round.to_string(), "text"));
            tokio::time::pause();
            back_up(&MemoryConnector::new(records.clone()), &blog, &clock).await.unwrap();
            tokio::time::resume();
        }
        assert_eq!(blog.points().await.unwrap().len(), 4, "{conditions:?}");
        assert_eq!(live(&blog, At::Now).await.unwrap(), records.live());
        assert!(blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap().is_good());
    }
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_unless_one_writer_is_promised() {
    let clock = clock();
    let disk = FaultyStore::default().with_conditions(Conditions::Ignored);
    let refused = Repository::init_on(Arc::new(disk.clone()), options(&clock)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let promised = options(&clock).with_single_writer(true);
    assert!(Repository::init_on(Arc::new(disk), promised).await.is_ok());
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_denied_deletion_disturbs_nobody() {
    let clock = clock();
    let disk = FaultyStore::default();
    disk.deny_deletion();
    let repository = Repository::init_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
    let (records, blog) = (MemoryStore::new(), repository.source("blog").unwrap());
    records.put(note("1", "text"));
    let from = MemoryConnector::new(records.clone());
    back_up(&from, &blog, &clock).await.unwrap();
    let before = records.live();
    records.put(note("2", "text"));
    disk.set_room(Some(10));
    assert_eq!(back_up(&from, &blog, &clock).await.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(live(&blog, At::Now).await.unwrap(), before);
    disk.set_room(None);
    back_up(&from, &blog, &clock).await.unwrap();
    assert_eq!(live(&blog, At::Now).await.unwrap(), records.live());
}
