//! Two writers, and stores that do not keep their promises.

use std::sync::Arc;

use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    At, Coverage, Cursor, ErrorKind, Event, Feed, RunId, RunReport, RunStart, SinkOptions, WriteMode,
};
use saas_backup_core::{Catalog, CollectionName, Connector as _};
use saas_backup_repository::{Repository, Source, VerifyOptions};

use crate::faults::{Conditions, FaultyStore};
use crate::support::{back_up, clock, key, live, note, options, time};

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
