//! Mending a repository that has no copy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    At, BlobId, BlobRef, Catalog, Connector as _, Coverage, ErrorKind, Key, ManualClock, Record, RunId, RunReport,
    RunStart, RunStatus, SnapshotOptions,
};
use saas_backup_repository::{
    AgentKey, Anchor, CompactOptions, Identity, Keys, MendOptions, Mended, Repository, RepositoryOptions, Source,
    StoredKind, VerifyOptions,
};

use crate::damage::mutations;
use crate::faults::FaultyStore;
use crate::support::{back_up, clock, holds, key, live, mirror, note, options, partition_feed, time};

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
        // An object of its own that compresses well: it is read a thousand times.
        let large: Vec<u8> = noise(1, 1000).into_bytes().repeat(1200);
        let attachments = BTreeMap::from([("small", noise(2, 1000).into_bytes()), ("large", large)]);
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
                (0..50).for_each(|id| scene.account.put(note(&format!("long {id}"), &noise(run * 1000 + id, 7200))));
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
        let newest = points.last().map(|point| point.sequence);
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
                // All points have the same bytes: what may differ is whether, and where, they are found.
                let from = if Some(point.sequence) == newest { 0 } else { expected.len() - 500 };
                let range = from as u64..expected.len() as u64;
                let Ok(stream) = snapshot.open(&key(id), &blob, Some(range)).await else {
                    assert!(may_fail || point.lost > 0, "{what}: {id} at {}", point.sequence);
                    continue;
                };
                if let Ok(bytes) = stream.try_collect::<Vec<Bytes>>().await {
                    assert!(bytes.concat() == expected[from..], "{what}: {id} reads wrong");
                } else {
                    assert!(may_fail, "{what}: {id} at {}", point.sequence);
                }
            }
        }
    }
}

/// Whatever happens to an object, no byte reads wrong; what holds records, attachments, indexes or short cuts is mended,
/// and the next backup makes the present whole.
async fn drop_what_is_touched(scene: Scene) {
    scene.check("untouched", false).await;
    let (mut mended, mut refused) = (0, BTreeMap::<String, usize>::new());
    // A third of them: five ways to damage each object, and its swap with the next, take turns.
    for (what, disk) in mutations(&scene.disk).into_iter().step_by(3) {
        let mut scene = scene.on(disk);
        let folder = what.split('/').nth(2).unwrap_or_default().to_owned();
        let is_swapped = what.contains("swapped");
        match scene.mend(true).await {
            Ok(done) if done.problems.is_empty() => {
                scene.check(&what, false).await;
                let compact = CompactOptions::default().with_all(true);
                scene.source().await.compact(&compact, &mut |_| {}).await.unwrap();
                scene.back_up().await;
                let source = scene.source().await;
                let now = source.point(&At::Now).await.unwrap();
                assert!(now.lost == 0 && now.status == RunStatus::Complete, "{what}: {now:?}");
                // What was mended, merged and added to.
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

#[tokio::test]
async fn what_is_touched_is_dropped_and_all_else_stays() {
    drop_what_is_touched(Scene::new(Keys::none()).await).await;
}

#[tokio::test]
async fn what_is_touched_and_encrypted_is_dropped_and_all_else_stays() {
    drop_what_is_touched(Scene::new(Keys::owner(Identity::generate())).await).await;
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

/// A byte of a commit whose lines were merged since is read by nobody, and found all the same. Where a layout still has a copy
/// the commit is made anew; else it goes, once two layouts tell what else it said.
#[tokio::test]
async fn a_commit_that_is_damaged_where_nobody_reads_is_found_and_mended() {
    let name = "source/blog/commit/00000000000000000002";
    for scene in Scene::both().await {
        let copy = FaultyStore::default();
        // No layout from before the merge goes there.
        scene.repository().await.unwrap().replicate_on(Arc::new(copy.clone()), &mut |_| {}).await.unwrap();
        let whole = scene.disk.object(name);
        let mut bytes = whole.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        for (scene, goes) in [(scene.on(scene.disk.restarted()), false), (scene.on(copy), true)] {
            scene.disk.replace(name, bytes.clone());
            let repository = scene.repository().await.unwrap();
            let report = repository.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
            assert!(report.problems.iter().map(|problem| problem.object.as_str()).eq([name]), "{report:?}");
            let another = Arc::new(FaultyStore::default());
            let copied = repository.replicate_on(another, &mut |_| {}).await.unwrap();
            assert!(copied.problems.iter().map(|problem| problem.object.as_str()).eq([name]), "{copied:?}");
            let done = scene.mend(false).await.unwrap();
            assert!(done.problems.is_empty() && done.lost.is_empty(), "{done:?}");
            if goes {
                assert!(done.removed == [name] && !scene.disk.names().contains(&name.to_owned()), "{done:?}");
            } else {
                assert!(done.restored == [name] && scene.disk.object(name) == whole, "{done:?}");
            }
            scene.check("with the commit mended", false).await;
        }
    }
}

/// Another naming key would make what a full read has seen look as if it were deleted: nothing is written until somebody
/// gives up what was noted by the old one, and then everything is read anew.
#[tokio::test]
async fn a_naming_key_that_is_lost_is_replaced_on_demand_alone() {
    for mut scene in Scene::both().await {
        let (before_loss, run) = (scene.disk.restarted(), RunId::new(time()));
        let lost = scene.lose("/keys/naming");
        let before = scene.disk.names();
        scene.account.put(note("later", "news"));
        let connector = MemoryConnector::new(scene.account.clone());
        let refused = back_up(&connector, &scene.source().await, &scene.clock).await.unwrap_err();
        assert!(refused.kind() == ErrorKind::Integrity && refused.to_string().contains("repair --drop"), "{refused}");
        let kept = scene.mend(false).await.unwrap();
        assert_eq!(kept.lost["blog"].objects, std::slice::from_ref(&lost));
        assert_eq!(scene.disk.names(), before, "nothing was asked for");
        scene.disk.replace(&lost, before_loss.object(&lost));
        let under_way = scene.source().await;
        let sink = under_way.sink(mirror(true)).await.unwrap();
        sink.begin(&RunStart::new(run, time(), Catalog::default(), Coverage::default())).await.unwrap();
        sink.writer(&partition_feed("p")).await.unwrap().write(vec![holds("p", "late", "news").1]).await.unwrap();
        scene.disk.remove(&lost);
        let done = scene.mend(true).await.unwrap();
        assert!(done.problems.is_empty() && done.dropped["blog"].points.is_empty(), "{done:?}");
        let refused = sink.commit(&RunReport::new(run, time())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "it goes by the old one");
        drop(under_way);
        scene.check("with another naming key", false).await;
        let state = scene.source().await.sink(mirror(true)).await.unwrap().state().await.unwrap();
        assert!(state.feeds.is_empty(), "positions that were noted by the old one are left out");
        scene.back_up().await;
        scene.check("after the next backup", false).await;
        let report = scene.source().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert_eq!(report.problems, []);
    }
}

/// That the owner writes is said by an object that the owner's key makes again; that of another writer takes its own key.
#[tokio::test]
async fn what_says_who_writes_is_made_anew_by_their_keys() {
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let scene = Scene::new(Keys::owner(identity.clone()).with_agent(agent.clone())).await;
    let writers: Vec<String> = scene.disk.names().into_iter().filter(|name| name.starts_with("writer/")).collect();
    assert_eq!(writers.len(), 2);
    let repository = scene.repository().await.unwrap();
    let own = repository.writers().await.unwrap().into_iter().find(|writer| writer.maintains).unwrap();
    for name in writers {
        let whole = scene.disk.object(&name);
        for is_gone in [true, false] {
            let scene = scene.on(scene.disk.restarted());
            if is_gone {
                scene.disk.remove(&name);
            } else {
                scene.disk.replace(&name, [&whole[..30], b"x", &whole[31..]].concat());
            }
            let repository = scene.repository().await.unwrap();
            let report = repository.verify(&VerifyOptions::presence(), &mut |_| {}).await.unwrap();
            assert!(!report.is_good());
            if name.contains(&own.id) {
                let done = repository.mend(&MendOptions::default(), &mut |_| {}).await.unwrap();
                assert_eq!(done.restored, std::slice::from_ref(&name));
            } else {
                repository.add_writer(&agent).await.unwrap();
            }
            assert_eq!(scene.disk.object(&name), whole);
            let report =
                scene.repository().await.unwrap().verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
            assert_eq!(report.problems, []);
        }
    }
}

/// Who a lost statement kept from writing may write again: so it is told, and stated again only on demand.
#[tokio::test]
async fn a_statement_that_is_damaged_is_told_and_what_holds_is_stated_again_on_demand() {
    let scene = Scene::new(Keys::owner(Identity::generate())).await;
    for _ in 0..2 {
        scene.repository().await.unwrap().add_recipient(Identity::generate().recipient()).await.unwrap();
    }
    let name = "roles/00000000000000000002";
    let first = "roles/00000000000000000001";
    scene.disk.replace(first, Bytes::from_static(b"cut"));
    scene.disk.replace(name, scene.disk.object(name).slice(..100));
    let mend = async |drop: bool| {
        let options = MendOptions::default().with_drop(drop);
        scene.repository().await.unwrap().mend(&options, &mut |_| {}).await.unwrap()
    };
    let kept = mend(false).await;
    assert!(kept.problems.iter().map(|problem| problem.object.as_str()).eq([first, name]), "{kept:?}");
    assert!(kept.problems[1].message.contains("repair --drop"), "{kept:?}");
    let done = mend(true).await;
    assert!(done.problems.is_empty() && done.removed == [first, name], "{done:?}");
    let repository = scene.repository().await.unwrap();
    assert_eq!((repository.statement(), repository.recipients().unwrap().len()), (3, 1));
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
