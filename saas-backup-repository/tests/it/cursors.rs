//! The position that a run starts from, against the records that the repository holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt as _;
use saas_backup_core::testkit::{Model, Random};
use saas_backup_core::{
    Account, At, Capabilities, Catalog, Collection, CollectionName, Connector, Coverage, Cursor, Deletion,
    DeletionReason, Epoch, ErrorKind, Event, Feed, FeedId, Key, Kind, PartitionId, Record, Result, RunId, RunReport,
    RunStart, Seen, Sink, SinkOptions, Snapshot, SnapshotOptions, Verdict, WriteMode, async_trait,
};
use saas_backup_repository::{ChangeKind, Identity, Keys, Repository, RepositoryOptions, Source};

use crate::faults::{Fault, FaultyStore};
use crate::support::{both_forms, clock, holds, key, lacks, live, mirror, note, options, partition_feed, tell, time};

/// Runs of one life that are switched off at some write.
const CRASHES: usize = 3;

/// A record's new state, or that it is gone.
type Change = (Key, Option<Record>);

/// What happened in each collection of an account, in order; a cursor is the number of changes that were read.
struct Feeds(Vec<(Feed, Vec<Change>)>);

impl Feeds {
    fn new(count: usize) -> Self {
        let feed = |number| Feed::slice(CollectionName::parse(format!("collection {number}")).unwrap());
        Self((0..count).map(|number| (feed(number), Vec::new())).collect())
    }

    fn happen(&mut self, random: &mut Random) {
        for (feed, changes) in &mut self.0 {
            for _ in 0..random.below(12) {
                let mut record = note(&random.below(8).to_string(), &"x".repeat(random.below(300)));
                record.key.collection = feed.scope().collections[0].clone();
                let deleted = random.percent(20);
                changes.push((record.key.clone(), (!deleted).then_some(record)));
            }
        }
    }

    /// The records after so many changes of each feed.
    fn content(&self, read: &BTreeMap<FeedId, usize>) -> BTreeMap<Key, Record> {
        let mut content = BTreeMap::new();
        for (feed, changes) in &self.0 {
            for (key, record) in &changes[..read[&feed.id]] {
                match record {
                    Some(record) => content.insert(key.clone(), record.clone()),
                    None => content.remove(key),
                };
            }
        }
        content
    }

    async fn begin(&self, sink: &dyn Sink) -> Result<RunId> {
        let collections = self.0.iter().flat_map(|(feed, _)| feed.covers.clone());
        let catalog = Catalog::new(collections.map(|name| Collection::new(name, Kind::Record)).collect());
        let run = RunId::new(time());
        sink.begin(&RunStart::new(run, time(), catalog, Coverage::default())).await?;
        Ok(run)
    }

    fn ends(&self) -> BTreeMap<FeedId, usize> {
        self.0.iter().map(|(feed, changes)| (feed.id.clone(), changes.len())).collect()
    }

    /// Where each feed stands in a session.
    async fn positions(&self, sink: &dyn Sink) -> Result<BTreeMap<FeedId, usize>> {
        let state = sink.state().await?;
        let position = |feed: &Feed| state.feeds.get(&feed.id).and_then(|state| state.cursor.as_ref());
        let position = |feed| position(feed).map_or(Ok(0), |cursor| cursor.decode(1));
        self.0.iter().map(|(feed, _)| Ok((feed.id.clone(), position(feed)?))).collect()
    }

    /// Reads all feeds at the same time from the stored positions, page by page, each with its position.
    async fn read_into(&self, source: &Source, page: usize) -> Result<()> {
        let sink = source.sink(SinkOptions::new(WriteMode::Mirror)).await?;
        let run = self.begin(&*sink).await?;
        let positions = self.positions(&*sink).await?;
        let read = |(feed, changes): &'_ (Feed, Vec<Change>)| {
            let (feed, changes, from) = (feed.clone(), changes.clone(), positions[&feed.id]);
            let sink = &*sink;
            async move {
                let mut writer = sink.writer(&feed).await?;
                for at in (from..changes.len()).step_by(page) {
                    let end = changes.len().min(at + page);
                    writer.write(changes[at..end].iter().map(event).collect()).await?;
                    writer.flush(Some(&Cursor::encode(1, &end)?)).await?;
                }
                writer.close().await
            }
        };
        futures::future::try_join_all(self.0.iter().map(read)).await?;
        sink.commit(&RunReport::new(run, time())).await.map(drop)
    }
}

fn event((key, record): &Change) -> Event {
    match record {
        Some(record) => Event::Put(Box::new(record.clone())),
        None => Event::Delete(Deletion::new(key.clone(), DeletionReason::Deleted)),
    }
}

async fn open(disk: &FaultyStore, keys: &RepositoryOptions) -> Source {
    Repository::open_on(Arc::new(disk.clone()), keys.clone()).await.unwrap().source("blog").unwrap()
}

/// What the stored positions say was read, and what a point that is made of the durable lines alone holds.
async fn durable(
    feeds: &Feeds,
    disk: &FaultyStore,
    keys: &RepositoryOptions,
) -> (BTreeMap<FeedId, usize>, BTreeMap<Key, Record>) {
    let blog = open(&disk.restarted(), keys).await;
    let sink = blog.sink(SinkOptions::new(WriteMode::Mirror)).await.unwrap();
    let run = feeds.begin(&*sink).await.unwrap();
    let positions = feeds.positions(&*sink).await.unwrap();
    sink.commit(&RunReport::new(run, time())).await.unwrap();
    (positions, live(&blog, At::Now).await.unwrap())
}

/// A crash may strike between a page and the commit that makes it durable. Whatever position the next run then finds,
/// all records up to it are there, none after it is, and reading on from it loses nothing.
#[tokio::test]
async fn the_stored_position_is_never_ahead_of_the_records() {
    let (clock, mut crashes) = (clock(), 0);
    let identity = Identity::generate();
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let keys = if seed % 10 == 0 { Keys::owner(identity.clone()) } else { Keys::none() };
        let keys = options(&clock).with_keys(keys);
        let mut disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let mut feeds = Feeds::new(1 + random.below(4));
        for _ in 0..CRASHES {
            feeds.happen(&mut random);
            let fault = *random.pick(&[Fault::Before, Fault::After, Fault::Torn]).unwrap();
            disk.fail_at(random.below(9), fault);
            // Each flush a commit, several flushes a commit, or all that the run brings in one.
            let flush = *random.pick(&[0, 600, 2000, u64::MAX]).unwrap();
            let blog = open(&disk, &keys).await.with_flush_bytes(flush);
            let ended = feeds.read_into(&blog, 1 + random.below(5)).await;
            crashes += usize::from(ended.is_err());
            disk = disk.restarted();
            let (positions, content) = durable(&feeds, &disk, &keys).await;
            let ends = feeds.ends();
            assert!(content == feeds.content(&positions), "seed {seed}: at {positions:?} of {ends:?}");
            assert!(ended.is_err() || positions == ends, "seed {seed}: a run that ended has read everything");
        }
        let blog = open(&disk, &keys).await;
        feeds.read_into(&blog, 3).await.unwrap();
        assert!(live(&blog, At::Now).await.unwrap() == feeds.content(&feeds.ends()), "seed {seed}");
    }
    assert!(crashes >= 200, "{crashes}");
}

/// A source whose sessions wait for the tasks of a run that was dropped: they let go of it when they are next polled.
#[derive(Debug)]
struct Patient(Source);

#[async_trait]
impl Connector for Patient {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn check(&self) -> Result<Account> {
        self.0.check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        self.0.snapshot(options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        for _ in 0..100_000 {
            match self.0.sink(options.clone()).await {
                Err(error) if error.kind() == ErrorKind::Conflict => tokio::task::yield_now().await,
                opened => return opened,
            }
        }
        self.0.sink(options).await
    }
}

/// Lives that are tried: 60, or as many as `SAAS_BACKUP_TEST_SEEDS` says.
fn seeds() -> u64 {
    std::env::var("SAAS_BACKUP_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60)
}

/// The engine's own cursor rules hold with a repository as the copy: whatever breaks off, in the end it shows what the
/// source shows.
#[tokio::test(start_paused = true)]
async fn a_copy_in_a_repository_converges_whatever_breaks_off() {
    let clock = clock();
    for seed in 0..seeds() {
        let repository = Repository::init(options(&clock)).await.unwrap();
        let copy = repository.source("copy").unwrap().with_flush_bytes([0, 500, u64::MAX][seed as usize % 3]);
        assert_eq!(Model::new(seed).run(Patient(copy)).await.unwrap(), Vec::<String>::new(), "seed {seed}");
    }
}

/// What a full read does not see is gone, also where another feed, or the read that it replaces, has flushed it in the
/// same session and no commit holds it yet.
#[tokio::test]
async fn a_full_read_judges_what_waits_for_its_commit() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let blog = repository.source("blog").unwrap();
        let sink = blog.sink(SinkOptions::new(WriteMode::Mirror)).await.unwrap();
        let feeds = Feeds(vec![(Feed::slice(key("1").collection), Vec::new())]);
        let run = feeds.begin(&*sink).await.unwrap();
        let put = |id: &str| Event::Put(Box::new(note(id, "text")));
        let mut log = sink.writer(&Feed::log(FeedId::from_static("log"), vec![key("1").collection])).await.unwrap();
        log.write(vec![put("1"), put("2")]).await.unwrap();
        log.flush(Some(&Cursor::encode(1, &2).unwrap())).await.unwrap();

        let (feed, scope) = (&feeds.0[0].0, feeds.0[0].0.scope());
        let mut slice = sink.writer(feed).await.unwrap();
        slice.open_extent(Epoch::new(time())).await.unwrap();
        slice.write(vec![put("3")]).await.unwrap();
        slice.flush(None).await.unwrap();
        slice.open_extent(Epoch::new(time())).await.unwrap();
        slice.write(vec![put("2")]).await.unwrap();
        slice.flush(None).await.unwrap();
        assert_eq!(slice.candidates(&scope).await.unwrap().count, 2);
        assert_eq!(slice.close_extent(&scope, Verdict::Delete, time()).await.unwrap(), 2);
        slice.flush(Some(&Cursor::encode(1, &2).unwrap())).await.unwrap();
        sink.commit(&RunReport::new(run, time())).await.unwrap();
        let live: Vec<Key> = live(&blog, At::Now).await.unwrap().into_keys().collect();
        assert_eq!(live, [key("2")]);
    }
}

/// A deletion that is told by a partition which the record has left is late news: a full read of the partition where
/// the copy holds it still tells that it is gone.
#[tokio::test]
async fn late_news_of_a_move_hides_no_record_from_a_full_read() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let blog = repository.source("blog").unwrap();
        let (collection, new) = (key("1").collection, PartitionId::from_static("new"));
        let feeds = Feeds(vec![(Feed::log(FeedId::from_static("log"), vec![collection.clone()]), Vec::new())]);
        let feed = Feed::partition(FeedId::from_static("new"), collection, new.clone());
        for round in 0..2 {
            let sink = blog.sink(SinkOptions::new(WriteMode::Mirror)).await.unwrap();
            let run = feeds.begin(&*sink).await.unwrap();
            let mut log = sink.writer(&feeds.0[0].0).await.unwrap();
            if round == 0 {
                let moved = ["1", "2"].map(|id| note(id, "text").with_partition(new.clone()));
                log.write(moved.map(|record| Event::Put(Box::new(record))).into()).await.unwrap();
                log.flush(None).await.unwrap();
            } else {
                let mut late = Deletion::new(key("1"), DeletionReason::Deleted);
                late.partition = Some(PartitionId::from_static("old"));
                log.write(vec![Event::Delete(late)]).await.unwrap();
                log.flush(None).await.unwrap();
                let mut slice = sink.writer(&feed).await.unwrap();
                slice.open_extent(Epoch::new(time())).await.unwrap();
                slice.write(vec![Event::Seen(Seen::new(key("2")))]).await.unwrap();
                assert_eq!(slice.candidates(&feed.scope()).await.unwrap().count, 1);
                assert_eq!(slice.close_extent(&feed.scope(), Verdict::Delete, time()).await.unwrap(), 1);
                slice.flush(None).await.unwrap();
            }
            sink.commit(&RunReport::new(run, time())).await.unwrap();
        }
        let live: Vec<Key> = live(&blog, At::Now).await.unwrap().into_keys().collect();
        assert_eq!(live, [key("2")]);
    }
}

/// The texts of the live records, and what changed since the point before the last.
async fn shown(source: &Source) -> (Vec<Record>, Vec<(ChangeKind, Key)>) {
    let points = source.points().await.unwrap();
    let [.., before, last] = points.as_slice() else { panic!("two points") };
    let live: Vec<Record> = live(source, At::Now).await.unwrap().into_values().collect();
    for record in &live {
        let mut looked_up = source.record(&record.key, &At::Now).await.unwrap().unwrap();
        assert_eq!(looked_up.sequence.take().map(|sequence| sequence <= last.sequence), Some(true));
        assert_eq!(looked_up, *record);
    }
    let (from, to) = (At::Sequence(before.sequence), At::Sequence(last.sequence));
    let changes: Vec<saas_backup_repository::Change> =
        source.diff(&from, &to).await.unwrap().try_collect().await.unwrap();
    let told: Vec<Event> = source.changes_since(before.sequence).await.unwrap().try_collect().await.unwrap();
    for change in &changes {
        assert!(told.iter().any(|event| event.key().as_ref() == Some(&change.key)), "a reader of changes is told");
    }
    (live, changes.into_iter().map(|change| (change.kind, change.key)).collect())
}

fn in_partition(partition: &'static str, id: &str, text: &str) -> Record {
    note(id, text).with_partition(PartitionId::from_static(partition))
}

/// Partitions are read side by side: what the one that a record left is written last with does not hide what the one
/// that it entered said before, when it tells that the record has left.
#[tokio::test]
async fn a_record_that_moves_while_both_partitions_are_read_is_not_lost() {
    let clock = clock();
    for remember in [false, true] {
        for repository in both_forms(&clock).await {
            let source = repository.source("blog").unwrap();
            tell(remember, &source, vec![holds("old", "1", "before")]).await;
            tell(remember, &source, vec![holds("new", "1", "moved"), holds("old", "1", "changed")]).await;
            tell(remember, &source, vec![lacks("old", "1")]).await;
            let moved = (vec![in_partition("new", "1", "moved")], vec![(ChangeKind::Changed, key("1"))]);
            assert_eq!(shown(&source).await, moved, "remember: {remember}");
            tell(remember, &source, vec![lacks("new", "1")]).await;
            assert_eq!(shown(&source).await, (vec![], vec![(ChangeKind::Removed, key("1"))]));
        }
    }
}

/// A word that a partition had once does not come back when the record leaves another one for good.
#[tokio::test]
async fn a_full_read_ends_what_a_partition_said_of_records_that_others_hold() {
    let clock = clock();
    for remember in [false, true] {
        for repository in both_forms(&clock).await {
            let source = repository.source("blog").unwrap();
            tell(remember, &source, vec![holds("old", "1", "before"), holds("old", "2", "stays")]).await;
            tell(remember, &source, vec![holds("new", "1", "moved")]).await;

            let sink = source.sink(mirror(remember)).await.unwrap();
            let run = Feeds::new(1).begin(&*sink).await.unwrap();
            let (feed, scope) = (partition_feed("old"), partition_feed("old").scope());
            let mut writer = sink.writer(&feed).await.unwrap();
            writer.open_extent(Epoch::new(time())).await.unwrap();
            writer.write(vec![Event::Seen(Seen::new(key("2")))]).await.unwrap();
            assert_eq!(writer.candidates(&scope).await.unwrap().count, 0, "nothing is lost by a move");
            assert_eq!(writer.close_extent(&scope, Verdict::Delete, time()).await.unwrap(), 0);
            writer.flush(None).await.unwrap();
            writer.close().await.unwrap();
            sink.commit(&RunReport::new(run, time())).await.unwrap();
            let held = vec![in_partition("new", "1", "moved"), in_partition("old", "2", "stays")];
            assert_eq!(shown(&source).await, (held, vec![]));

            tell(remember, &source, vec![lacks("new", "1")]).await;
            let left = vec![in_partition("old", "2", "stays")];
            assert_eq!(shown(&source).await, (left, vec![(ChangeKind::Removed, key("1"))]));
        }
    }
}

/// A record that two partitions list is no news of either, however often they repeat it.
#[tokio::test]
async fn a_record_of_two_partitions_is_written_once_for_each() {
    let source = Repository::init(options(&clock())).await.unwrap().source("blog").unwrap();
    let both = || vec![holds("one", "1", "text"), holds("two", "1", "text")];
    tell(true, &source, both()).await;
    let points = source.points().await.unwrap().len();
    tell(true, &source, both()).await;
    assert_eq!(source.points().await.unwrap().len(), points, "nothing is written");
    for _ in 0..2 {
        let (_, told) = holds("one", "2", "text");
        tell(true, &source, vec![("log", told), holds("one", "2", "text")]).await;
    }
    assert_eq!(source.points().await.unwrap().len(), points + 1, "a record is the same whoever tells it");
    tell(true, &source, vec![lacks("one", "1"), lacks("two", "1"), lacks("two", "1"), lacks("one", "2")]).await;
    assert_eq!(shown(&source).await.0, []);
}
