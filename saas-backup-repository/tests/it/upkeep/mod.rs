//! Merging, forgetting and removing, beside everything else that happens to a repository.

mod beside;
mod due;
mod erasure;
mod frames;
mod unfinished;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    At, BlobId, BlobRef, BlobSlot, Catalog, Collection, Connector as _, Coverage, Digest, ErrorKind, Event, Feed, Key,
    Kind, ManualClock, ReadRequest, Record, Result, RunId, RunReport, RunStart, Sink, SnapshotOptions, StoredBlob,
};
use saas_backup_repository::{
    AgentKey, CollectOptions, CompactOptions, EraseOptions, Identity, Keys, MendOptions, Repository, RepositoryOptions,
    Source, Subject, VerifyOptions,
};

use crate::faults::{Fault, FaultyStore};
use crate::support::{back_up, clock, key, live, mirror, note, options, time};

type Content = BTreeMap<Key, Record>;

/// An account with a history, and the repository that it is backed up to.
struct Scene {
    clock: ManualClock,
    keys: RepositoryOptions,
    disk: FaultyStore,
    account: MemoryStore,
    /// What each point holds.
    points: BTreeMap<u64, Content>,
}

fn compact_all() -> CompactOptions {
    CompactOptions::default().with_all(true).with_segment_bytes(2000)
}

fn attach(account: &MemoryStore, id: &str, size: usize) {
    let blob = BlobId::parse(id).unwrap();
    account.put_blob(blob.clone(), id.bytes().cycle().take(size).collect::<Vec<u8>>());
    account.put(note(id, "has an attachment").with_blob(BlobRef::new(blob, "attachment")));
}

/// What a point holds, as the account tells it: digests of attachments are added on the way.
async fn held(source: &Source, point: u64) -> Content {
    let mut held = live(source, At::Sequence(point)).await.unwrap();
    for blob in held.values_mut().flat_map(|record| &mut record.blobs) {
        (blob.digest, blob.size) = (None, None);
    }
    held
}

impl Scene {
    async fn new(keys: Keys) -> Self {
        let clock = clock();
        let keys = options(&clock).with_keys(keys);
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        Self { clock, keys, disk, account: MemoryStore::new(), points: BTreeMap::new() }
    }

    /// With a few runs behind it.
    async fn with_history(keys: Keys, runs: u32) -> Self {
        let mut scene = Self::new(keys).await;
        attach(&scene.account, "small", 1000);
        attach(&scene.account, "large", 1_500_000);
        for run in 0..runs {
            for id in 0..6 {
                scene.account.put(note(&format!("{}", (run * 5 + id) % 40), &format!("text {run} {id}")));
            }
            scene.account.delete(key(&format!("{}", run % 40)));
            if run == 1 {
                scene.account.delete(key("large"));
            }
            scene.back_up().await;
        }
        scene
    }

    async fn source(&self) -> Source {
        self.source_on(&self.disk).await
    }

    async fn source_on(&self, disk: &FaultyStore) -> Source {
        let repository = Repository::open_on(Arc::new(disk.clone()), self.keys.clone()).await.unwrap();
        repository.source("blog").unwrap()
    }

    async fn back_up(&mut self) {
        self.clock.advance(Duration::from_hours(1));
        let source = self.source().await;
        back_up(&MemoryConnector::new(self.account.clone()), &source, &self.clock).await.unwrap();
        let point = source.point(&At::Now).await.unwrap().sequence;
        self.points.insert(point, self.account.live());
    }

    async fn forget(&mut self, sequences: impl IntoIterator<Item = u64>) {
        let sequences: BTreeSet<u64> = sequences.into_iter().collect();
        self.source().await.forget(&sequences).await.unwrap();
        self.points.retain(|point, _| !sequences.contains(point));
    }

    async fn check(&self) {
        self.check_on(&self.disk, "").await;
    }

    async fn check_on(&self, disk: &FaultyStore, what: &str) {
        let source = self.source_on(disk).await;
        let points: Vec<u64> = source.points().await.unwrap().iter().map(|point| point.sequence).collect();
        assert!(points.iter().eq(self.points.keys()), "{what}: {points:?}");
        for (point, expected) in &self.points {
            assert!(&held(&source, *point).await == expected, "{what}: point {point}");
        }
        let report = source.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert_eq!(report.problems, [], "{what}");
    }

    fn count(&self, folder: &str) -> usize {
        self.disk.names().iter().filter(|name| name.contains(folder)).count()
    }
}

async fn both() -> [Scene; 2] {
    [Scene::with_history(Keys::none(), 8).await, Scene::with_history(Keys::owner(Identity::generate()), 8).await]
}

#[tokio::test]
async fn what_no_point_needs_goes_and_every_other_byte_stays() {
    for mut scene in both().await {
        let large = scene.count("/blob/");
        assert!(large > 0);
        let done = scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
        assert!(done.base && done.points_compared == 8 && done.lines_dropped == 0, "{done:?}");
        scene.check().await;
        assert!(scene.source().await.compact(&CompactOptions::default(), &mut |_| {}).await.unwrap().commits == 0);

        let first_two: Vec<u64> = scene.points.keys().copied().take(2).collect();
        scene.forget(first_two).await;
        scene.check().await;
        let done = scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
        assert!(done.lines_dropped > 0 && done.attachments_released == 1, "{done:?}");
        scene.check().await;
        let waiting = scene.source().await.collect(&CollectOptions::default()).await.unwrap();
        assert!(waiting.objects == 0 && waiting.waiting > 0, "{waiting:?}");
        assert_eq!(scene.count("/blob/"), large);

        scene.clock.advance(Duration::from_hours(8 * 24));
        let would = scene.source().await.collect(&CollectOptions::default().with_dry_run(true)).await.unwrap();
        let before = scene.disk.names();
        let done = scene.source().await.collect(&CollectOptions::default()).await.unwrap();
        assert_eq!(would, done);
        assert!(done.objects > 0 && done.waiting == 0 && done.denied == 0, "{done:?}");
        assert!(scene.disk.names().len() < before.len());
        assert_eq!(scene.count("/blob/"), 0, "no point has the large one any more");
        scene.check().await;
        scene.back_up().await;
        scene.check().await;
    }
}

#[tokio::test]
async fn commits_that_two_layouts_repeat_are_removed_and_the_timeline_goes_on() {
    for mut scene in both().await {
        for round in 0..5_u64 {
            scene.account.put(note("round", &format!("{round}")));
            scene.back_up().await;
            scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
            scene.clock.advance(Duration::from_hours(4 * 24));
            scene.source().await.collect(&CollectOptions::default()).await.unwrap();
            scene.check().await;
        }
        assert!(!scene.disk.names().contains(&format!("source/blog/commit/{:020}", 1)), "{:?}", scene.disk.names());
        // Either of the two layouts that are left is enough.
        let layouts: Vec<String> = scene.disk.names().into_iter().filter(|name| name.contains("/layout/")).collect();
        let damaged = scene.disk.restarted();
        damaged.remove(layouts.last().unwrap());
        scene.check_on(&damaged, "without the newest layout").await;
        // It is told, and another is written.
        let lone = damaged.restarted();
        let repository = Repository::open_on(Arc::new(lone.clone()), scene.keys.clone()).await.unwrap();
        let report = repository.verify(&VerifyOptions::presence(), &mut |_| {}).await.unwrap();
        assert_eq!(report.lone_layouts, layouts[..1]);
        let mended = repository.mend(&MendOptions::default(), &mut |_| {}).await.unwrap();
        assert!(mended.problems.is_empty() && mended.restored.len() == 1, "{mended:?}");
        let report = repository.verify(&VerifyOptions::presence(), &mut |_| {}).await.unwrap();
        assert_eq!(report.lone_layouts, [""; 0]);
        scene.check_on(&lone, "with another layout").await;
        lone.remove(layouts.first().unwrap());
        scene.check_on(&lone, "with the new layout alone").await;
        // Without any, the beginning is missing, and nobody takes the rest for the whole.
        for name in &layouts {
            damaged.remove(name);
        }
        let source = scene.source_on(&damaged).await;
        assert!(!source.verify(&VerifyOptions::presence(), &mut |_| {}).await.unwrap().is_good());
        assert_eq!(source.check().await.unwrap_err().kind(), ErrorKind::Integrity);
    }
}

/// Should the newest layout of a maintainer be lost, the one before it and the commits since tell everything.
#[tokio::test]
async fn no_commit_is_removed_that_fewer_than_two_layouts_repeat() {
    for mut scene in both().await {
        scene.source().await.compact(&compact_all(), &mut |_| {}).await.unwrap();
        for _ in 0..2 {
            let oldest = *scene.points.keys().next().unwrap();
            scene.forget([oldest]).await;
            scene.account.put(note("more", &format!("{oldest}")));
            scene.back_up().await;
            scene.clock.advance(Duration::from_hours(4 * 24));
        }
        let done = scene.source().await.collect(&CollectOptions::default()).await.unwrap();
        assert!(done.commits > 8, "{done:?}");
        scene.check().await;
        let layouts: Vec<String> = scene.disk.names().into_iter().filter(|name| name.contains("/layout/")).collect();
        let damaged = scene.disk.restarted();
        damaged.remove(layouts.last().unwrap());
        scene.check_on(&damaged, "without the newest layout").await;
    }
}

/// One piece of upkeep.
#[derive(Clone, Copy, Debug)]
enum Work {
    Compact,
    Forget(u64),
    Collect,
}

impl Work {
    async fn run(self, source: &Source) -> Result<()> {
        match self {
            Self::Compact => source.compact(&compact_all(), &mut |_| {}).await.map(drop),
            Self::Forget(point) => source.forget(&BTreeSet::from([point])).await.map(drop),
            Self::Collect => source.collect(&CollectOptions::default()).await.map(drop),
        }
    }
}

/// Whatever upkeep is at work with when the machine is switched off: every point stands, and the same work and the next
/// backup succeed afterwards.
#[tokio::test]
async fn a_crash_at_any_write_of_upkeep_changes_no_point() {
    let mut cases = 0;
    for mut scene in both().await {
        // Something that a stopped run left behind.
        let unfinished = scene.disk.restarted();
        unfinished.fail_at(1, Fault::Before);
        attach(&scene.account, "new", 1_200_000);
        let source = scene.source_on(&unfinished).await;
        back_up(&MemoryConnector::new(scene.account.clone()), &source, &scene.clock).await.unwrap_err();
        scene.disk = unfinished.restarted();
        let oldest = *scene.points.keys().next().unwrap();
        for work in [Work::Compact, Work::Forget(oldest), Work::Compact, Work::Collect] {
            for fault in [Fault::Before, Fault::After, Fault::Torn] {
                for write in 0.. {
                    let what = format!("{work:?}, write {write} {fault:?}");
                    let disk = scene.disk.restarted();
                    disk.fail_at(write, fault);
                    let crashed = work.run(&scene.source_on(&disk).await).await.is_err();
                    let (torn, disk) = (disk.torn(), disk.restarted());
                    if let Some(torn) = torn {
                        // Half a commit, or half of what nobody names: verify tells, and it does not matter.
                        disk.remove(&torn);
                    }
                    let source = scene.source_on(&disk).await;
                    let points: Vec<u64> = source.points().await.unwrap().iter().map(|point| point.sequence).collect();
                    for (point, expected) in scene.points.iter().filter(|(point, _)| points.contains(point)) {
                        assert!(&held(&source, *point).await == expected, "{what}: {point}");
                    }
                    let lost = scene.points.keys().filter(|point| !points.contains(point));
                    assert!(lost.clone().all(|point| matches!(work, Work::Forget(_)) && *point == oldest), "{what}");
                    let report = source.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
                    assert_eq!(report.problems, [], "{what}, as it was left");
                    let is_done = matches!(work, Work::Forget(_)) && lost.count() == 1;
                    if !is_done {
                        work.run(&source).await.unwrap();
                    }
                    let report = source.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
                    assert_eq!(report.problems, [], "{what}");
                    cases += 1;
                    if !crashed {
                        break;
                    }
                }
            }
            match work {
                Work::Forget(point) => scene.forget([point]).await,
                work => work.run(&scene.source().await).await.unwrap(),
            }
            scene.clock.advance(Duration::from_hours(8 * 24));
            scene.check().await;
        }
        scene.back_up().await;
        scene.check().await;
    }
    assert!(cases > 150, "{cases}");
}
