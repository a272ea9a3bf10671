//! Copies on other storage, and mending from them.

use std::sync::Arc;
use std::time::Duration;

use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, BlobId, BlobRef, Digest, ErrorKind};
use saas_backup_repository::{
    AgentKey, CollectOptions, CompactOptions, Identity, Keys, Repository, RepositoryOptions, VerifyOptions,
};

use crate::faults::{Fault, FaultyStore};
use crate::support::{back_up, clock, live, note, options};

struct Scene {
    keys: RepositoryOptions,
    clock: saas_backup_core::ManualClock,
    disk: FaultyStore,
    account: MemoryStore,
}

impl Scene {
    async fn new(keys: Keys) -> Self {
        let clock = clock();
        let keys = options(&clock).with_keys(keys);
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let scene = Self { keys, clock, disk, account: MemoryStore::new() };
        for round in 0..9 {
            scene.work(round).await;
        }
        scene
    }

    async fn work(&self, round: u32) {
        for id in 0..5 {
            self.account.put(note(&format!("{}", (round * 3 + id) % 20), &format!("text {round} {id}")));
        }
        let blob = BlobId::parse(format!("blob {round}")).unwrap();
        self.account.put_blob(blob.clone(), vec![round as u8; if round == 2 { 1_300_000 } else { 900 }]);
        self.account.put(note(&format!("with {round}"), "an attachment").with_blob(BlobRef::new(blob, "attachment")));
        let source = self.open(&self.disk).await.source("blog").unwrap();
        back_up(&MemoryConnector::new(self.account.clone()), &source, &self.clock).await.unwrap();
        self.clock.advance(Duration::from_hours(1));
    }

    async fn open(&self, disk: &FaultyStore) -> Repository {
        Repository::open_on(Arc::new(disk.clone()), self.keys.clone()).await.unwrap()
    }

    async fn replicate(&self, to: &FaultyStore) -> saas_backup_core::Result<saas_backup_repository::Replicated> {
        self.open(&self.disk).await.replicate_on(Arc::new(to.clone()), &mut |_| {}).await
    }

    /// Every point of one is what it is in the other, and all of both is good.
    async fn same(&self, copy: &FaultyStore) {
        let (own, copy) = (self.open(&self.disk).await, self.open(copy).await);
        let (one, other) = (own.source("blog").unwrap(), copy.source("blog").unwrap());
        let points = one.points().await.unwrap();
        assert_eq!(points, other.points().await.unwrap());
        for point in points {
            let at = || At::Sequence(point.sequence);
            assert!(live(&one, at()).await.unwrap() == live(&other, at()).await.unwrap());
        }
        for repository in [own, copy] {
            let report = repository.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
            assert_eq!(report.problems, []);
        }
    }

    async fn maintain(&self) {
        let source = self.open(&self.disk).await.source("blog").unwrap();
        let all = CompactOptions::default().with_all(true).with_segment_bytes(2000);
        source.compact(&all, &mut |_| {}).await.unwrap();
        self.clock.advance(Duration::from_hours(24 * 4));
        source.collect(&CollectOptions::default()).await.unwrap();
    }
}

async fn both() -> [Scene; 2] {
    [Scene::new(Keys::none()).await, Scene::new(Keys::owner(Identity::generate())).await]
}

#[tokio::test]
async fn a_copy_follows_backups_and_upkeep_and_takes_over() {
    for scene in both().await {
        let copy = FaultyStore::default();
        let first = scene.replicate(&copy).await.unwrap();
        assert!(first.is_complete() && first.held == 0, "{first:?}");
        scene.same(&copy).await;
        let again = scene.replicate(&copy).await.unwrap();
        assert_eq!((again.objects, again.is_complete()), (0, true));
        for round in 9..14 {
            scene.work(round).await;
            scene.maintain().await;
            let news = scene.replicate(&copy).await.unwrap();
            assert!(news.objects > 0 && news.is_complete(), "{news:?}");
            scene.same(&copy).await;
        }
        // What was removed before the copy saw it is missing there in the middle, and layouts bridge it.
        for round in 14..20 {
            scene.work(round).await;
            scene.maintain().await;
        }
        let news = scene.replicate(&copy).await.unwrap();
        assert!(news.is_complete(), "{news:?}");
        let commits = |disk: &FaultyStore| disk.names().iter().filter(|name| name.contains("/commit/")).count();
        assert!(commits(&copy) > commits(&scene.disk));
        scene.same(&copy).await;
        // The first storage is lost: backups go on in the copy.
        let scene = Scene { disk: copy, ..scene };
        scene.work(20).await;
        scene.maintain().await;
        let next = FaultyStore::default();
        assert!(scene.replicate(&next).await.unwrap().is_complete());
        scene.same(&next).await;
    }
}

#[tokio::test]
async fn a_copy_that_was_interrupted_anywhere_is_good_as_far_as_it_goes() {
    for scene in both().await {
        for write in 0.. {
            let copy = FaultyStore::default();
            copy.fail_at(write, Fault::Before);
            let interrupted = scene.replicate(&copy).await.is_err();
            let copy = copy.restarted();
            if copy.names().contains(&"repo.json".to_owned()) {
                scene.same(&copy).await;
            }
            assert!(scene.replicate(&copy).await.unwrap().is_complete());
            scene.same(&copy).await;
            if !interrupted {
                assert!(write > 15, "{write}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn damage_is_not_copied_and_a_stranger_or_another_history_is_not_mixed_in() {
    for scene in both().await {
        let is_timeline = |name: &String| name.contains("/commit/") || name.contains("/layout/");
        let names = scene.disk.names().into_iter().filter(|name| name.starts_with("source/") && !is_timeline(name));
        for name in names {
            for part in [0, 1, 3, 5] {
                let damaged = scene.disk.restarted();
                let mut bytes = damaged.object(&name).to_vec();
                let place = bytes.len() * part / 6;
                bytes[place] ^= 1;
                damaged.replace(&name, bytes);
                let copy = FaultyStore::default();
                let from = Repository::open_on(Arc::new(damaged), scene.keys.clone()).await.unwrap();
                let done = from.replicate_on(Arc::new(copy.clone()), &mut |_| {}).await.unwrap();
                let found: Vec<&str> = done.problems.iter().map(|problem| problem.object.as_str()).collect();
                assert_eq!(found, [name.as_str()]);
                assert!(!copy.names().contains(&name));
            }
        }
    }
    let [one, other] = both().await;
    assert_eq!(one.replicate(&other.disk).await.unwrap_err().kind(), ErrorKind::Conflict);
    let fork = one.disk.restarted();
    one.work(30).await;
    let forked = Scene { disk: fork.clone(), keys: one.keys.clone(), clock: clock(), account: MemoryStore::new() };
    forked.work(31).await;
    assert_eq!(one.replicate(&fork).await.unwrap_err().kind(), ErrorKind::Conflict);
}

/// Whatever is lost or damaged, one object or ten: it comes back from the copy, and nothing else is touched.
#[tokio::test]
async fn what_is_lost_or_damaged_comes_back_from_the_copy() {
    for scene in both().await {
        scene.work(40).await;
        scene.maintain().await;
        scene.work(41).await;
        let copy = FaultyStore::default();
        scene.replicate(&copy).await.unwrap();
        let names: Vec<String> = copy.names().into_iter().filter(|name| name.starts_with("source/")).collect();
        let mut cases: Vec<Vec<&String>> = names.iter().map(|name| vec![name]).collect();
        cases.extend((0..5).map(|start| names.iter().skip(start).step_by(names.len().div_ceil(10)).collect()));
        for lost in cases {
            for flip in [false, true] {
                let hurt = scene.disk.restarted();
                for name in lost.iter().filter(|name| hurt.names().contains(name)) {
                    let mut bytes = hurt.object(name).to_vec();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    if flip { hurt.replace(name, bytes) } else { hurt.remove(name) }
                }
                let options = VerifyOptions::read_all();
                let own = scene.open(&hurt).await;
                let done = own.repair_from(&scene.open(&copy).await, &options, &mut |_| {}).await.unwrap();
                assert!(done.is_good(), "{lost:?} {flip}: {done:?}");
                for name in &done.objects {
                    assert!(lost.contains(&name), "{name} was good");
                }
                scene.same(&hurt).await;
            }
        }
    }
}

/// Layouts tell what the first commit said, so that nothing else misses it; only what upkeep removed stays away.
#[tokio::test]
async fn the_oldest_commit_comes_back_from_the_copy_unless_upkeep_removed_it() {
    for scene in both().await {
        let copy = FaultyStore::default();
        scene.replicate(&copy).await.unwrap();
        let mend = async |disk: &FaultyStore| {
            let copy = scene.open(&copy).await;
            scene.open(disk).await.repair_from(&copy, &VerifyOptions::read_all(), &mut |_| {}).await.unwrap()
        };
        let first = "source/blog/commit/00000000000000000001".to_owned();
        for merged in [false, true] {
            if merged {
                let source = scene.open(&scene.disk).await.source("blog").unwrap();
                source.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
                scene.work(30).await;
                source.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
                scene.replicate(&copy).await.unwrap();
            }
            let hurt = scene.disk.restarted();
            hurt.remove(&first);
            let done = mend(&hurt).await;
            assert_eq!(done.objects, std::slice::from_ref(&first));
            assert!(done.is_good() && hurt.object(&first) == copy.object(&first), "{done:?}");
        }
        for round in 31..34 {
            scene.maintain().await;
            scene.work(round).await;
        }
        scene.maintain().await;
        assert!(!scene.disk.names().contains(&first) && copy.names().contains(&first));
        scene.replicate(&copy).await.unwrap();
        let before = scene.disk.names();
        let done = mend(&scene.disk).await;
        assert!(done.is_good() && done.objects.is_empty() && scene.disk.names() == before, "{done:?}");
    }
}

/// Who writes, and who reads, is signed by the owner: what is gone or damaged comes back, and what is good stays, whatever the
/// copy says.
#[tokio::test]
async fn what_the_owner_signed_comes_back_from_the_copy() {
    let owner = Identity::generate();
    let (agent, thief, copy) = (AgentKey::generate(), AgentKey::generate(), FaultyStore::default());
    let scene = Scene::new(Keys::owner(owner).with_agent(agent)).await;
    let repository = scene.open(&scene.disk).await;
    let thief = repository.add_writer(&thief).await.unwrap();
    repository.add_recipient(Identity::generate().recipient()).await.unwrap();
    scene.replicate(&copy).await.unwrap();
    repository.revoke_writer(&thief).await.unwrap();
    scene.replicate(&copy).await.unwrap();
    let names = copy.names().into_iter().filter(|name| name.starts_with("writer/") || name.starts_with("roles/"));
    let names: Vec<String> = names.collect();
    assert_eq!(names.len(), 5, "{names:?}");
    let mut cases: Vec<&[String]> = names.iter().map(std::slice::from_ref).collect();
    cases.push(&names);
    for lost in cases {
        for flip in [false, true] {
            let hurt = scene.disk.restarted();
            for name in lost {
                let mut bytes = hurt.object(name).to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                if flip { hurt.replace(name, bytes) } else { hurt.remove(name) }
            }
            let own = scene.open(&hurt).await;
            let done =
                own.repair_from(&scene.open(&copy).await, &VerifyOptions::presence(), &mut |_| {}).await.unwrap();
            let mut fetched = done.objects.clone();
            fetched.sort_unstable();
            assert!(done.is_good() && fetched == lost, "{lost:?} {flip}: {done:?}");
            assert!(lost.iter().all(|name| hurt.object(name) == scene.disk.object(name)));
            assert_eq!(own.statement(), 2, "it counts at once");
            scene.same(&hurt).await;
        }
    }
    // A copy that was changed by others takes nothing away, and gives nothing that nobody signed.
    let forged = copy.restarted();
    for name in names.iter().filter(|name| name.starts_with("roles/")) {
        let mut bytes = forged.object(name).to_vec();
        bytes[20] ^= 1;
        forged.replace(name, bytes);
    }
    forged.replace("writer/0123456789abcdef.json", copy.object(&names[4]));
    forged.replace("roles/00000000000000000009", copy.object(&names[1]));
    let before = scene.disk.names();
    let options = VerifyOptions::presence();
    let done = repository.repair_from(&scene.open(&copy).await, &options, &mut |_| {}).await.unwrap();
    assert!(done.objects.is_empty() && done.is_good(), "{done:?}");
    let hurt = scene.disk.restarted();
    hurt.remove(&names[1]);
    let from = scene.open(&copy).await;
    for name in forged.names() {
        copy.replace(&name, forged.object(&name));
    }
    let done = scene.open(&hurt).await.repair_from(&from, &options, &mut |_| {}).await.unwrap();
    assert!(done.objects.is_empty(), "{done:?}");
    assert_eq!(scene.disk.names(), before);
}

#[tokio::test]
async fn what_another_owner_vouches_for_is_not_taken() {
    let [stranger, own] = both().await;
    let own = own.open(&own.disk).await;
    let id = stranger.open(&stranger.disk).await.id().to_owned();
    let object = String::from_utf8(stranger.disk.object("repo.json").to_vec()).unwrap();
    let (before, after) = object.split_once('\n').unwrap();
    let header = before.replace(&id, own.id());
    let [hash, forged] = [before, &header].map(|header| Digest::of(header.as_bytes()).to_string());
    stranger.disk.replace("repo.json", format!("{header}\n{}", after.replace(&hash, &forged)));
    let copy = stranger.open(&stranger.disk).await;
    assert_eq!(copy.id(), own.id());
    let error = own.repair_from(&copy, &VerifyOptions::presence(), &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
