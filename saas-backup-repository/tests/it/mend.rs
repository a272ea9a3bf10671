//! Mending a repository that has no copy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    At, BlobId, BlobRef, Connector as _, ErrorKind, Key, ManualClock, Record, RunStatus, SnapshotOptions,
};
use saas_backup_repository::{
    AgentKey, Anchor, CompactOptions, Identity, Keys, MendOptions, Mended, Repository, RepositoryOptions, Source,
    StoredKind, VerifyOptions,
};

use crate::damage::mutations;
use crate::faults::FaultyStore;
use crate::support::{back_up, clock, key, live, note, options};

type Content = BTreeMap<Key, Record>;

/// A repository with a base, a history, segments and lines that were not merged, attachments, layouts and a proof.
struct Scene {
    clock: ManualClock,
    keys: RepositoryOptions,
    disk: FaultyStore,
    account: MemoryStore,
    points: BTreeMap<u64, Content>,
    attachments: Arc<BTreeMap<&'static str, Vec<u8>>>,
    anchor: Option<Anchor>,
}

fn noise(seed: u32, length: u32) -> String {
    let letters = (0..length).map(|at| (seed * 7919 + at).wrapping_mul(2_654_435_761) >> 26);
    letters.map(|letter| char::from(40 + letter as u8)).filter(|letter| *letter != '\\').collect()
}

fn without_digests(mut content: Content) -> Content {
    for blob in content.values_mut().flat_map(|record| &mut record.blobs) {
        (blob.digest, blob.size) = (None, None);
    }
    content
}

impl Scene {
    async fn new(keys: Keys) -> Self {
        let clock = clock();
        let keys = options(&clock).with_keys(keys);
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let bytes = noise(1, 1_300_000).into_bytes();
        let attachments = BTreeMap::from([("small", bytes[..1000].to_vec()), ("large", bytes[..1_200_000].to_vec())]);
        let (account, points, attachments) = (MemoryStore::new(), BTreeMap::new(), Arc::new(attachments));
        let mut scene = Self { clock, keys, disk, account, points, attachments, anchor: None };
        for (id, bytes) in &*scene.attachments {
            let blob = BlobId::parse(*id).unwrap();
            scene.account.put_blob(blob.clone(), bytes.clone());
            scene.account.put(note(id, "has an attachment").with_blob(BlobRef::new(blob, "attachment")));
        }
        for run in 0..10_u32 {
            for id in 0..8 {
                scene.account.put(note(&format!("{}", (run * 3 + id) % 30), &noise(run * 100 + id, 300)));
            }
            // Too much for a commit's own body.
            if [2, 8].contains(&run) {
                (0..300).for_each(|id| scene.account.put(note(&format!("long {id}"), &noise(run * 1000 + id, 1200))));
            }
            scene.account.delete(key(&format!("{run}")));
            scene.back_up().await;
            if run == 5 {
                let options = CompactOptions::default().with_all(true).with_segment_bytes(60_000);
                scene.source().await.compact(&options, &mut |_| {}).await.unwrap();
            }
        }
        scene.clock.advance(Duration::from_hours(1));
        let recorded = VerifyOptions::read_all().with_record(true);
        assert!(scene.source().await.verify(&recorded, &mut |_| {}).await.unwrap().is_good());
        scene.anchor = scene.source().await.anchor().await.unwrap();
        scene
    }

    async fn both() -> [Self; 2] {
        [Self::new(Keys::none()).await, Self::new(Keys::owner(Identity::generate())).await]
    }

    /// The same with other storage.
    fn on(&self, disk: FaultyStore) -> Self {
        let (clock, account) = (ManualClock::new(saas_backup_core::Clock::now(&self.clock)), self.account.clone());
        let keys = self.keys.clone().with_clock(Arc::new(clock.clone()));
        let (points, attachments) = (self.points.clone(), Arc::clone(&self.attachments));
        Self { clock, keys, disk, account, points, attachments, anchor: self.anchor }
    }

    async fn repository(&self) -> saas_backup_core::Result<Repository> {
        Repository::open_on(Arc::new(self.disk.clone()), self.keys.clone()).await
    }

    async fn source(&self) -> Source {
        self.repository().await.unwrap().source("blog").unwrap()
    }

    async fn back_up(&mut self) {
        self.clock.advance(Duration::from_hours(1));
        let source = self.source().await;
        back_up(&MemoryConnector::new(self.account.clone()), &source, &self.clock).await.unwrap();
        self.points.insert(source.point(&At::Now).await.unwrap().sequence, self.account.live());
    }

    async fn mend(&self, drop: bool) -> saas_backup_core::Result<Mended> {
        let verify = VerifyOptions::read_all().with_anchor("blog", self.anchor.unwrap());
        let options = MendOptions::new(verify).with_drop(drop);
        self.repository().await?.mend(&options, &mut |_| {}).await
    }

    /// Reads what can be read: no record is another than it was, and points that lost nothing are whole.
    async fn check(&self, what: &str, may_fail: bool) {
        let Ok(repository) = self.repository().await else { return assert!(may_fail, "{what}") };
        let source = repository.source("blog").unwrap();
        let Ok(points) = source.points().await else { return assert!(may_fail, "{what}") };
        assert!(may_fail || points.iter().map(|point| point.sequence).eq(self.points.keys().copied()), "{what}");
        for point in points {
            let expected = without_digests(self.points[&point.sequence].clone());
            let Ok(found) = live(&source, At::Sequence(point.sequence)).await.map(without_digests) else {
                assert!(may_fail, "{what}: point {} cannot be read", point.sequence);
                continue;
            };
            for (key, record) in &found {
                assert!(expected.get(key) == Some(record), "{what}: {key} at {} reads wrong", point.sequence);
            }
            assert!(point.lost > 0 || found == expected, "{what}: point {} is not whole", point.sequence);
            assert!(point.lost == 0 || point.status != RunStatus::Complete, "{what}: {point:?}");
            let snapshot = source.snapshot(SnapshotOptions::at(At::Sequence(point.sequence))).await.unwrap();
            for (id, expected) in &*self.attachments {
                let blob = BlobRef::new(BlobId::parse(*id).unwrap(), "attachment");
                let Ok(stream) = snapshot.open(&key(id), &blob, None).await else {
                    assert!(may_fail || point.lost > 0, "{what}: {id} at {}", point.sequence);
                    continue;
                };
                if let Ok(bytes) = stream.try_collect::<Vec<Bytes>>().await {
                    assert!(&bytes.concat() == expected, "{what}: {id} reads wrong");
                } else {
                    assert!(may_fail, "{what}: {id} at {}", point.sequence);
                }
            }
        }
    }
}

/// Whatever happens to an object, no byte reads wrong; what holds records, attachments, indexes or short cuts is mended,
/// and the next backup makes the present whole.
#[tokio::test]
async fn what_is_touched_is_dropped_and_all_else_stays() {
    for scene in Scene::both().await {
        scene.check("untouched", false).await;
        let (mut mended, mut refused) = (0, BTreeMap::<String, usize>::new());
        // A third of them: five ways to damage each object, and its swap with the next, take turns.
        for (what, disk) in mutations(&scene.disk).into_iter().step_by(3) {
            let scene = scene.on(disk);
            let folder = what.split('/').nth(2).unwrap_or_default().to_owned();
            let is_swapped = what.contains("swapped");
            match scene.mend(true).await {
                Ok(done) if done.problems.is_empty() => {
                    scene.check(&what, false).await;
                    let mut scene = scene;
                    let compact = CompactOptions::default().with_all(true);
                    scene.source().await.compact(&compact, &mut |_| {}).await.unwrap();
                    scene.check(&what, false).await;
                    scene.back_up().await;
                    let source = scene.source().await;
                    let now = source.point(&At::Now).await.unwrap();
                    assert!(now.lost == 0 && now.status == RunStatus::Complete, "{what}: {now:?}");
                    scene.check(&what, false).await;
                    let report = source.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
                    assert_eq!(report.problems, [], "{what}");
                    mended += 1;
                }
                outcome => {
                    let is_needed = ["data", "blob", "pack", "layout", "bundle", "proof"].contains(&folder.as_str());
                    assert!(!is_needed || is_swapped, "{what}: {outcome:?}");
                    *refused.entry(folder).or_default() += 1;
                    scene.check(&what, true).await;
                }
            }
        }
        assert!(mended > 20, "{mended}, {refused:?}");
    }
}

impl Scene {
    /// Removes the first object of a folder.
    fn lose(&self, folder: &str) -> String {
        let name = self.disk.names().into_iter().find(|name| name.contains(folder)).unwrap();
        self.disk.remove(&name);
        name
    }
}

/// What is lost is only given up on demand, and a dry run says the same and changes nothing.
#[tokio::test]
async fn nothing_is_given_up_unasked() {
    for scene in Scene::both().await {
        let lost = scene.lose("/blob/");
        let before = scene.disk.names();
        let options = MendOptions::new(VerifyOptions::read_all()).with_drop(true).with_dry_run(true);
        let would = scene.repository().await.unwrap().mend(&options, &mut |_| {}).await.unwrap();
        assert_eq!(scene.disk.names(), before);
        let done = scene.mend(false).await.unwrap();
        assert!(done.dropped.is_empty() && done.problems.iter().any(|problem| problem.object == lost), "{done:?}");
        assert_eq!(done.lost["blog"].objects, std::slice::from_ref(&lost));
        assert!(done.lost["blog"].points.iter().eq(scene.points.keys()));
        let done = scene.mend(true).await.unwrap();
        assert_eq!(done.dropped, would.dropped);
        let [(collection, count)] = done.dropped["blog"].collections.iter().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((collection.as_str(), count.records, count.attachments), ("notes", 0, 1));
        assert!(done.problems.is_empty() && done.lost.is_empty(), "{done:?}");
    }
}

/// Each collection that lost something says so at each point that needed it, and at no later one.
#[tokio::test]
async fn a_point_says_what_it_lost() {
    for mut scene in Scene::both().await {
        scene.lose("/blob/");
        scene.mend(true).await.unwrap();
        scene.back_up().await;
        let source = scene.source().await;
        for point in source.points().await.unwrap() {
            let is_new = Some(&point.sequence) == scene.points.keys().last();
            let report = source.report(&At::Sequence(point.sequence)).await.unwrap();
            let collection = report.completeness.collections.values().next().unwrap();
            assert_eq!((point.lost, collection.missing_blobs), if is_new { (0, 0) } else { (1, 1) }, "{point:?}");
            assert!(collection.complete == is_new && report.gaps.is_empty() == is_new, "{point:?}");
        }
        assert!(source.verified_points().await.unwrap().is_empty(), "who lost something is not verified");
    }
}

/// Who only writes goes on, once somebody who reads records has made up for what is lost.
#[tokio::test]
async fn a_writer_without_identity_goes_on() {
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let mut scene = Scene::new(Keys::owner(identity.clone()).with_agent(agent.clone())).await;
    for folder in ["/blob/", "/data/", "/pack/"] {
        scene.lose(folder);
    }
    let done = scene.mend(true).await.unwrap();
    assert!(done.problems.is_empty(), "{done:?}");
    scene.back_up().await;
    scene.check("after the next backup", false).await;
    let owner = scene.keys.clone();
    scene.keys = owner.clone().with_keys(Keys::writer(agent).with_root(identity.root_key()));
    scene.account.delete(key("long 7"));
    scene.clock.advance(Duration::from_hours(1));
    back_up(&MemoryConnector::new(scene.account.clone()), &scene.source().await, &scene.clock).await.unwrap();
    scene.keys = owner;
    let point = scene.source().await.point(&At::Now).await.unwrap();
    scene.points.insert(point.sequence, scene.account.live());
    scene.check("after the writer", false).await;
    assert_eq!((point.status, point.lost), (RunStatus::Complete, 0));
}

/// What no backup can go on without is not given up, and nothing is changed.
#[tokio::test]
async fn metadata_is_not_given_up() {
    for scene in Scene::both().await {
        let lost = scene.lose("/state/");
        let before = scene.disk.names();
        let error = scene.mend(true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(&lost) && error.to_string().contains("repair --from"), "{error}");
        assert_eq!(scene.disk.names(), before);
    }
}

#[tokio::test]
async fn what_a_source_takes_is_told_by_few_requests() {
    for scene in Scene::both().await {
        let source = scene.source().await;
        scene.disk.forget_requests();
        let stats = source.stats().await.unwrap();
        assert!(scene.disk.reads().len() <= 20, "{:?}", scene.disk.reads());
        assert_eq!((stats.points, stats.verified_points), (10, 10));
        let live = scene.account.live().len() as u64;
        assert!(stats.records.is_none_or(|records| records == live), "{stats:?}");
        let kind = |kind| stats.kinds[&kind];
        assert!(kind(StoredKind::Base).raw > Some(kind(StoredKind::Base).stored), "{stats:?}");
        assert!(stats.history_percent.is_some_and(|percent| percent > 0), "{stats:?}");
        let of = |folders: &[&str]| {
            let names = scene.disk.names().into_iter().filter(|name| folders.iter().any(|one| name.contains(one)));
            names.map(|name| scene.disk.object(&name).len() as u64).sum::<u64>()
        };
        assert_eq!(kind(StoredKind::Attachments).stored, of(&["/blob/", "/pack/"]));
        let all = of(&["/data/", "/state/", "/blob/", "/pack/", "/commit/", "/layout/", "/bundle/"]);
        assert!(stats.stored + stats.given_up_bytes == all && stats.given_up > 0, "{stats:?}");
        assert!(stats.maintained.is_some() && stats.verified.is_some() && stats.growth_per_day > 0, "{stats:?}");
    }
}
