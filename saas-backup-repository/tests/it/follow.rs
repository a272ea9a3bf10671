//! A repository with keys of its own that takes over the points of another one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    At, BlobId, BlobRef, BlobSlot, CancellationToken, Connector as _, ErrorKind, Event, Feed, ManualClock, Progress,
    ProgressEvent, Record, RunId, RunStart, RunStatus, SnapshotOptions, TransferOptions, transfer,
};
use saas_backup_repository::{
    CompactOptions, EraseOptions, FollowOptions, Followed, Identity, Keys, Point, Repository, RepositoryOptions,
    Source, Subject, VerifyOptions,
};

use crate::faults::{Fault, FaultyStore};
use crate::support::{back_up_memory, clock, key, live, mirror, note, options, time};

struct Scene {
    clock: ManualClock,
    account: MemoryStore,
    /// The first repository, as it is written.
    from: (FaultyStore, RepositoryOptions),
    /// The keys with which it is followed.
    reading: RepositoryOptions,
    into: RepositoryOptions,
}

async fn open(disk: &FaultyStore, keys: &RepositoryOptions) -> Repository {
    Repository::open_on(Arc::new(disk.clone()), keys.clone()).await.unwrap()
}

impl Scene {
    async fn new() -> Self {
        Self::with([Keys::owner(Identity::generate()), Keys::owner(Identity::generate())]).await
    }

    async fn with([from, into]: [Keys; 2]) -> Self {
        let clock = clock();
        let (from, into) = (options(&clock).with_keys(from), options(&clock).with_keys(into));
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), from.clone()).await.unwrap();
        let scene = Self { clock, account: MemoryStore::new(), reading: from.clone(), from: (disk, from), into };
        for round in 0..4 {
            scene.work(round).await;
        }
        scene
    }

    async fn first(&self) -> Repository {
        open(&self.from.0, &self.from.1).await
    }

    async fn empty(&self) -> FaultyStore {
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), self.into.clone()).await.unwrap();
        disk
    }

    async fn work(&self, round: u32) {
        for id in 0..4 {
            self.account.put(note(&format!("{}", (round * 3 + id) % 9), &format!("text {round} {id}")));
        }
        let blob = BlobId::parse(format!("blob {round}")).unwrap();
        self.account.put_blob(blob.clone(), vec![round as u8; if round == 2 { 1_300_000 } else { 900 }]);
        self.account.put(note(&format!("with {round}"), "an attachment").with_blob(BlobRef::new(blob, "attachment")));
        if round > 1 {
            self.account.delete(key(&format!("with {}", round - 2)));
        }
        let source = self.first().await.source("blog").unwrap().with_labels(vec![format!("round-{round}")]);
        let how = TransferOptions::backup().with_clock(Arc::new(self.clock.clone()));
        transfer(&MemoryConnector::new(self.account.clone()), &source, how).await.unwrap();
        self.clock.advance(Duration::from_hours(1));
    }

    async fn follow(&self, disk: &FaultyStore) -> Followed {
        self.follow_as(disk, &FollowOptions::default()).await
    }

    async fn follow_as(&self, disk: &FaultyStore, how: &FollowOptions) -> Followed {
        // Whoever follows writes nothing there.
        let (first, before) = (self.from.0.restarted(), self.from.0.names());
        let from = open(&first, &self.reading).await;
        let followed = open(disk, &self.into).await.follow(&from, how).await.unwrap();
        assert_eq!(first.names(), before);
        followed
    }

    async fn points(&self, disk: &FaultyStore) -> Vec<Point> {
        open(disk, &self.into).await.source("blog").unwrap().points().await.unwrap()
    }

    /// Every point of the first is what it is in the second, attachments included, and all of the second is good.
    async fn same(&self, disk: &FaultyStore) {
        let (points, taken) =
            (self.first().await.source("blog").unwrap().points().await.unwrap(), self.points(disk).await);
        assert_eq!(points.len(), taken.len());
        for (point, taken) in points.iter().zip(&taken) {
            self.same_point(disk, point, taken).await;
        }
        self.is_good(disk).await;
    }

    async fn same_point(&self, disk: &FaultyStore, point: &Point, taken: &Point) {
        let second = open(disk, &self.into).await;
        let (one, other) = (self.first().await.source("blog").unwrap(), second.source("blog").unwrap());
        assert_eq!((point.run, point.started, point.finished), (taken.run, taken.started, taken.finished));
        assert_eq!((&point.labels, point.status, point.counts), (&taken.labels, taken.status, taken.counts));
        let (at, there) = (At::Sequence(point.sequence), At::Sequence(taken.sequence));
        let records = live(&one, at.clone()).await.unwrap();
        assert!(!records.is_empty() && records == live(&other, there.clone()).await.unwrap());
        for record in records.values().filter(|record| !record.blobs.is_empty()) {
            let blob = &record.blobs[0];
            assert_eq!(bytes(&one, &at, record, blob).await, bytes(&other, &there, record, blob).await);
        }
        let (report, carried) = (one.report(&at).await.unwrap(), other.report(&there).await.unwrap());
        assert_eq!((report.completeness, report.coverage), (carried.completeness, carried.coverage));
    }

    async fn is_good(&self, disk: &FaultyStore) {
        let second = open(disk, &self.into).await;
        let report = second.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert_eq!(report.problems, []);
    }
}

/// The bytes of an attachment; the kind of the error where they are not there.
async fn bytes(source: &Source, at: &At, owner: &Record, blob: &BlobRef) -> Result<Vec<u8>, ErrorKind> {
    let snapshot = source.snapshot(SnapshotOptions::at(at.clone())).await.unwrap();
    let chunks = snapshot.open(&owner.key, blob, None).await.map_err(|error| error.kind())?;
    let pieces: Vec<_> = chunks.try_collect().await.map_err(|error| error.kind())?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn every_point_is_taken_over_once_with_its_time_and_labels() {
    let scene = Scene::new().await;
    let (disk, before) = (scene.empty().await, scene.from.0.names());
    let names = disk.names();
    let listed = scene.follow_as(&disk, &FollowOptions::default().with_dry_run(true)).await;
    assert_eq!((listed.sources[0].points.len(), disk.names()), (4, names));
    let done = scene.follow(&disk).await;
    assert!(done.is_complete() && done.sources[0].points.len() == 4, "{done:?}");
    scene.same(&disk).await;
    let names = disk.names();
    let again = scene.follow(&disk).await;
    assert!(again.is_complete() && again.sources[0].points.is_empty() && again.sources[0].held == 4, "{again:?}");
    assert_eq!((disk.names(), scene.from.0.names()), (names, before));
    scene.work(4).await;
    let news = scene.follow(&disk).await;
    assert!(news.sources[0].points.len() == 1 && news.sources[0].points[0].records < 7, "{news:?}");
    scene.same(&disk).await;
    let all = CompactOptions::default().with_all(true);
    scene.first().await.source("blog").unwrap().compact(&all, &mut |_| {}).await.unwrap();
    open(&disk, &scene.into).await.source("blog").unwrap().compact(&all, &mut |_| {}).await.unwrap();
    scene.work(5).await;
    assert!(scene.follow(&disk).await.is_complete());
    scene.same(&disk).await;
}

#[tokio::test]
async fn following_that_was_interrupted_at_any_write_is_gone_on_with() {
    let scene = Scene::new().await;
    let empty = scene.empty().await;
    for write in 0.. {
        let disk = empty.restarted();
        disk.fail_at(write, Fault::Before);
        let interrupted = !scene.follow(&disk).await.is_complete();
        let disk = disk.restarted();
        let done = scene.follow(&disk).await;
        assert!(done.is_complete(), "{write}: {done:?}");
        scene.same(&disk).await;
        if !interrupted && write > 30 {
            break;
        }
    }
}

#[tokio::test]
async fn following_that_was_cancelled_at_any_event_is_gone_on_with() {
    let scene = Scene::new().await;
    let empty = scene.empty().await;
    for events in 0.. {
        let disk = empty.restarted();
        let cancel = CancellationToken::new();
        let hearer = Arc::new(CancelsAfter(AtomicUsize::new(events), cancel.clone()));
        let how = FollowOptions::default().with_cancel(cancel).with_progress(hearer);
        let cancelled = scene.follow_as(&disk, &how).await;
        let [source] = cancelled.sources.as_slice() else { panic!("{cancelled:?}") };
        assert!(source.error.is_none() && source.cancelled == (source.points.len() < 4), "{source:?}");
        assert_eq!(scene.points(&disk).await.len(), source.points.len());
        let done = scene.follow(&disk).await;
        assert!(done.is_complete() && done.sources[0].held == source.points.len() as u64, "{events}: {done:?}");
        scene.same(&disk).await;
        if source.points.len() == 4 {
            assert!(events > 8, "{events}");
            break;
        }
    }
}

#[derive(Debug)]
struct CancelsAfter(AtomicUsize, CancellationToken);

impl Progress for CancelsAfter {
    fn event(&self, _: &ProgressEvent) {
        if self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            self.1.cancel();
        }
    }
}

/// Writes into the second what is not in the first, at the position where following goes on.
async fn plant(source: &Source, blob: &BlobRef) {
    let sink = source.sink(mirror(true)).await.unwrap();
    let snapshot = source.snapshot(SnapshotOptions::default()).await.unwrap();
    let (catalog, coverage) = (snapshot.catalog().await.unwrap(), snapshot.coverage().await.unwrap());
    sink.begin(&RunStart::new(RunId::new(time()), time(), catalog, coverage)).await.unwrap();
    let feed = Feed::slice(key("1").collection);
    let cursor = sink.state().await.unwrap().feeds.get(&feed.id).and_then(|feed| feed.cursor.clone());
    let BlobSlot::Want(mut slot) = sink.blob(&key("planted"), blob).await.unwrap() else { panic!("it is held") };
    slot.write("a stranger".into()).await.unwrap();
    slot.finish(MemoryStore::new().put_blob(blob.id.clone().unwrap(), "a stranger")).await.unwrap();
    let mut writer = sink.writer(&feed).await.unwrap();
    writer.write(vec![Event::Put(Box::new(note("planted", "a stranger").with_blob(blob.clone())))]).await.unwrap();
    writer.flush(cursor.as_ref()).await.unwrap();
    sink.abort().await.unwrap();
}

#[tokio::test]
async fn what_came_out_different_is_read_again_in_full() {
    let scene = Scene::new().await;
    let disk = scene.empty().await;
    assert!(scene.follow(&disk).await.is_complete());
    let second = open(&disk, &scene.into).await.source("blog").unwrap();
    plant(&second, &BlobRef::new(BlobId::parse("blob 4").unwrap(), "attachment")).await;
    assert!(live(&second, At::Now).await.unwrap().len() > 3);
    scene.work(4).await;
    let done = scene.follow(&disk).await;
    assert!(done.is_complete(), "{done:?}");
    scene.same(&disk).await;
}

#[tokio::test]
async fn what_is_damaged_at_the_first_makes_no_point_until_it_is_mended() {
    let scene = Scene::new().await;
    let disk = scene.empty().await;
    let (first, _) = &scene.from;
    let blobs: Vec<String> =
        first.names().into_iter().filter(|name| name.contains("/blob/") || name.contains("/pack/")).collect();
    let lost = first.object(blobs.last().unwrap());
    first.remove(blobs.last().unwrap());
    let broken = scene.follow(&disk).await;
    assert!(broken.sources[0].error.is_some() && broken.sources[0].points.len() < 4, "{broken:?}");
    assert_eq!(scene.points(&disk).await.len(), broken.sources[0].points.len());
    scene.is_good(&disk).await;
    first.replace(blobs.last().unwrap(), lost);
    assert!(scene.follow(&disk).await.is_complete());
    scene.same(&disk).await;
}

#[tokio::test]
async fn a_point_that_is_incomplete_stays_so() {
    let scene = Scene::new().await;
    let disk = scene.empty().await;
    let blob = BlobRef::new(BlobId::parse("not there").unwrap(), "attachment");
    scene.account.put(note("without", "its attachment").with_blob(blob));
    scene.work(4).await;
    assert!(scene.follow(&disk).await.is_complete());
    let last = scene.points(&disk).await.pop().unwrap();
    let second = open(&disk, &scene.into).await.source("blog").unwrap();
    let report = second.report(&At::Sequence(last.sequence)).await.unwrap();
    assert!(report.status == RunStatus::Incomplete && report.totals().gaps == 1, "{report:?}");
    scene.same(&disk).await;
    scene.work(5).await;
    assert!(scene.follow(&disk).await.is_complete());
    scene.same(&disk).await;
}

#[tokio::test]
async fn a_key_that_reads_suffices_at_the_first() {
    let (owner, reader) = (Identity::generate(), Identity::generate());
    let root = owner.root_key();
    let keys = Keys::owner(owner).with_recipient(reader.recipient().clone());
    let mut scene = Scene::with([keys, Keys::owner(Identity::generate())]).await;
    let disk = scene.empty().await;
    scene.reading = options(&scene.clock);
    let denied = scene.follow(&disk).await;
    assert_eq!(denied.sources[0].error.as_ref().unwrap().kind(), ErrorKind::PermissionDenied);
    assert_eq!(scene.points(&disk).await, []);
    scene.reading = options(&scene.clock).with_keys(Keys::owner(reader.clone()).with_root(root));
    assert!(scene.follow(&disk).await.is_complete());
    scene.same(&disk).await;
    let theirs = options(&scene.clock).with_keys(Keys::owner(reader));
    assert!(Repository::open_on(Arc::new(disk), theirs).await.is_err());
}

#[tokio::test]
async fn either_side_may_be_without_encryption() {
    let own = || Keys::owner(Identity::generate());
    for keys in [[Keys::none(), own()], [own(), Keys::none()], [Keys::none(), Keys::none()]] {
        let scene = Scene::with(keys).await;
        let disk = scene.empty().await;
        assert!(scene.follow(&disk).await.is_complete());
        scene.same(&disk).await;
    }
}

#[tokio::test]
async fn what_either_side_forgets_is_its_own_matter() {
    let scene = Scene::new().await;
    let disk = scene.empty().await;
    let first = async |points: &[usize]| {
        let source = scene.first().await.source("blog").unwrap();
        let all = source.points().await.unwrap();
        source.forget(&points.iter().map(|place| all[*place].sequence).collect()).await.unwrap();
        source.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
    };
    let runs = async || -> Vec<_> { scene.points(&disk).await.iter().map(|point| point.run).collect() };
    // A point that was forgotten before is not taken over.
    first(&[1]).await;
    assert!(scene.follow(&disk).await.is_complete());
    scene.same(&disk).await;
    let taken = runs().await;
    assert_eq!(taken.len(), 3);
    // Nor does one go that is forgotten later, nor come back one that was forgotten here.
    first(&[0]).await;
    let second = open(&disk, &scene.into).await.source("blog").unwrap();
    second.forget(&BTreeSet::from([scene.points(&disk).await[1].sequence])).await.unwrap();
    assert!(scene.follow(&disk).await.sources[0].points.is_empty());
    assert_eq!(runs().await, [taken[0], taken[2]]);
    // No point is in both any more: what is newer comes, and what is older does not.
    second.forget(&BTreeSet::from([scene.points(&disk).await[1].sequence])).await.unwrap_err();
    scene.work(4).await;
    assert!(scene.follow(&disk).await.is_complete());
    let newest = *runs().await.last().unwrap();
    assert_eq!(runs().await, [taken[0], taken[2], newest]);
    let second = open(&disk, &scene.into).await.source("blog").unwrap();
    second.forget(&scene.points(&disk).await[1..2].iter().map(|point| point.sequence).collect()).await.unwrap();
    scene.work(5).await;
    first(&[2]).await;
    let done = scene.follow(&disk).await;
    assert!(done.is_complete() && done.sources[0].points.len() == 1, "{done:?}");
    let (one, other) = (scene.first().await.source("blog").unwrap().points().await.unwrap(), scene.points(&disk).await);
    assert_eq!(other.iter().map(|point| point.run).collect::<Vec<_>>(), [taken[0], newest, one[2].run]);
    scene.same_point(&disk, &one[2], &other[2]).await;
    scene.is_good(&disk).await;
}

#[tokio::test]
async fn sources_are_followed_each_on_its_own() {
    let scene = Scene::new().await;
    let disk = scene.empty().await;
    let shop = MemoryStore::new();
    shop.put(note("1", "a shop"));
    back_up_memory(&shop, &scene.first().await.source("shop").unwrap(), &scene.clock).await;
    let only = |name: &str| FollowOptions::default().with_sources(vec![name.to_owned()]);
    let done = scene.follow_as(&disk, &only("shop")).await;
    assert!(done.is_complete() && done.sources.len() == 1 && done.sources[0].points.len() == 1, "{done:?}");
    assert_eq!(open(&disk, &scene.into).await.sources().await.unwrap(), ["shop"]);
    let (from, into) = (scene.first().await, open(&disk, &scene.into).await);
    assert_eq!(into.follow(&from, &only("stop")).await.unwrap_err().kind(), ErrorKind::NotFound);
    // One that fails does not keep the other from its points.
    let (first, _) = &scene.from;
    first.remove(&first.names().into_iter().find(|name| name.starts_with("source/blog/commit/")).unwrap());
    shop.put(note("2", "and more"));
    back_up_memory(&shop, &scene.first().await.source("shop").unwrap(), &scene.clock).await;
    let done = scene.follow(&disk).await;
    let [blog, shops] = done.sources.as_slice() else { panic!("{done:?}") };
    assert!(blog.error.is_some() && shops.error.is_none() && (shops.held, shops.points.len()) == (1, 1), "{done:?}");
    let there = open(&disk, &scene.into).await.source("shop").unwrap();
    assert_eq!(live(&there, At::Now).await.unwrap(), shop.live());
}

#[tokio::test]
async fn what_the_first_erased_is_not_taken_over_and_what_was_taken_is_told() {
    let scene = Scene::new().await;
    let (early, late, unmoved) = (scene.empty().await, scene.empty().await, scene.empty().await);
    for disk in [&early, &unmoved] {
        scene.follow(disk).await;
    }
    let erase = EraseOptions::new("request-7");
    let blog = scene.first().await.source("blog").unwrap();
    blog.erase(&Subject::record(key("3")), &erase, &mut |_| {}).await.unwrap();
    let done = scene.follow(&late).await;
    assert!(done.is_complete() && done.sources[0].erasures.is_empty(), "{done:?}");
    scene.same(&late).await;
    let told = scene.follow(&early).await;
    assert_eq!(told.sources[0].erasures[0].request, "request-7");
    let own = open(&early, &scene.into).await.source("blog").unwrap();
    own.erase(&Subject::record(key("3")), &erase, &mut |_| {}).await.unwrap();
    assert!(scene.follow(&early).await.sources[0].erasures.is_empty());
    scene.work(4).await;
    assert!(scene.follow(&early).await.is_complete());
    scene.same(&early).await;
    // Where nobody erases, the points of before keep it, and those of after do not hold it.
    assert_eq!(scene.follow(&unmoved).await.sources[0].erasures.len(), 1);
    let kept = open(&unmoved, &scene.into).await.source("blog").unwrap();
    let points = scene.points(&unmoved).await;
    let holds = async |point: &Point| live(&kept, At::Sequence(point.sequence)).await.unwrap().contains_key(&key("3"));
    assert!(holds(&points[3]).await, "it is kept");
}

#[tokio::test]
async fn a_repository_does_not_follow_itself() {
    let scene = Scene::new().await;
    let first = scene.first().await;
    assert_eq!(first.follow(&first, &FollowOptions::default()).await.unwrap_err().kind(), ErrorKind::Conflict);
}
