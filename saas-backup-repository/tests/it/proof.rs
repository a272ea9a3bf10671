//! What was read when, and what that proves.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{BlobId, BlobRef, Clock as _, Digest, ErrorKind, ManualClock};
use saas_backup_repository::{
    AgentKey, CollectOptions, CompactOptions, Identity, Keys, Repository, RepositoryOptions, Source, VerifyOptions,
    VerifyReport,
};

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, note, options};

/// An account with attachments that is backed up and verified.
struct Scene {
    clock: ManualClock,
    keys: RepositoryOptions,
    disk: FaultyStore,
    account: MemoryStore,
}

impl Scene {
    async fn new(keys: Keys) -> Self {
        let clock = clock();
        let keys = options(&clock).with_keys(keys);
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        Self { clock, keys, disk, account: MemoryStore::new() }
    }

    /// Both forms, with so many attachments that have objects of their own.
    async fn both(large: u32) -> [Self; 2] {
        let scenes = [Self::new(Keys::none()).await, Self::new(Keys::owner(Identity::generate())).await];
        for scene in &scenes {
            for number in 0..large {
                scene.attach(&format!("large {number}"), 1_100_000);
            }
            scene.attach("small", 1000);
            scene.back_up("first").await;
        }
        scenes
    }

    fn attach(&self, id: &str, size: usize) {
        let blob = BlobId::parse(id).unwrap();
        // Bytes that do not compress: an object of its own has the attachment's length.
        let mut seed =
            Digest::of(id.as_bytes()).as_bytes().iter().fold(1_u64, |seed, byte| seed << 2 ^ u64::from(*byte));
        let mut noise = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        self.account.put_blob(blob.clone(), (0..size).map(|_| noise()).collect::<Vec<u8>>());
        self.account.put(note(id, "has an attachment").with_blob(BlobRef::new(blob, "attachment")));
    }

    async fn repository(&self) -> Repository {
        Repository::open_on(Arc::new(self.disk.clone()), self.keys.clone()).await.unwrap()
    }

    async fn source(&self) -> Source {
        self.repository().await.source("blog").unwrap()
    }

    async fn back_up(&self, text: &str) {
        self.account.put(note("changes", text));
        back_up(&MemoryConnector::new(self.account.clone()), &self.source().await, &self.clock).await.unwrap();
    }

    async fn verify(&self, options: VerifyOptions) -> VerifyReport {
        self.source().await.verify(&options, &mut |_| {}).await.unwrap()
    }

    async fn verified(&self) -> Vec<u64> {
        self.source().await.verified_points().await.unwrap().into_keys().collect()
    }

    fn proofs(&self) -> Vec<String> {
        self.disk.names().into_iter().filter(|name| name.contains("/proof/")).collect()
    }

    /// Changes a byte of the first object whose name holds this.
    fn damage(&self, what: &str) -> String {
        let name = self.disk.names().into_iter().find(|name| name.contains(what)).unwrap();
        let mut bytes = self.disk.object(&name).to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.disk.replace(&name, bytes);
        name
    }
}

fn daily() -> VerifyOptions {
    VerifyOptions::due(TimeDelta::days(28))
}

fn recorded() -> VerifyOptions {
    VerifyOptions::read_all().with_record(true)
}

#[tokio::test]
async fn read_daily_everything_is_read_within_the_period_and_no_more_than_its_share() {
    for scene in Scene::both(12).await {
        let whole = scene.verify(VerifyOptions::read_all()).await;
        assert!(whole.unread > 12 && scene.proofs().is_empty(), "{whole:?}");
        let start = whole.oldest.unwrap();
        let mut unread = u64::MAX;
        for day in 0..60 {
            scene.clock.advance(Duration::from_hours(24));
            if day % 7 == 0 {
                scene.back_up(&format!("day {day}")).await;
            }
            let report = scene.verify(daily()).await;
            // An attachment at a time: a share is exceeded by one at most.
            assert!(report.is_good() && report.bytes <= whole.bytes / 28 + 1_150_000, "day {day}: {report:?}");
            assert!(report.unread <= unread || day % 7 == 0, "day {day}: {report:?}");
            unread = report.unread;
            let now = scene.clock.now();
            assert!(now - report.oldest.unwrap() <= TimeDelta::days(29), "day {day}: {report:?}");
            assert!(day > 1 || report.oldest == Some(start), "{report:?}");
        }
        assert!(unread < 9, "{unread}");
        assert_eq!(scene.proofs().len(), 2);
        // What was missed is caught up.
        scene.clock.advance(Duration::from_hours(24 * 14));
        let report = scene.verify(daily()).await;
        assert!(report.bytes > whole.bytes / 3 && report.bytes < whole.bytes * 2 / 3, "{report:?}");
        scene.clock.advance(Duration::from_hours(24 * 100));
        let report = scene.verify(daily()).await;
        assert!(report.unread == 0 && report.oldest == Some(scene.clock.now()), "{report:?}");
    }
}

#[tokio::test]
async fn a_share_takes_what_was_not_read_for_longest() {
    for scene in Scene::both(9).await {
        scene.verify(recorded()).await;
        scene.clock.advance(Duration::from_hours(1));
        scene.attach("new", 1_100_000);
        scene.back_up("second").await;
        scene.clock.advance(Duration::from_hours(1));
        let mut unread = Vec::new();
        for _ in 0..4 {
            scene.clock.advance(Duration::from_hours(1));
            let share = VerifyOptions::presence().with_read_percent(30, 0).with_record(true);
            unread.push(scene.verify(share).await.unread);
        }
        assert!(unread[0] > 0 && unread[3] == 0, "what was read before comes first: {unread:?}");
    }
}

#[tokio::test]
async fn a_point_is_verified_when_all_that_it_needs_was_read_since() {
    for scene in Scene::both(2).await {
        assert_eq!(scene.verified().await, [0; 0]);
        scene.clock.advance(Duration::from_mins(1));
        scene.verify(VerifyOptions::read_all()).await;
        assert_eq!(scene.verified().await, [0; 0], "nobody noted it");
        assert_eq!(scene.verify(recorded()).await.verified_points, 1);
        assert_eq!(scene.verified().await, [1]);
        scene.clock.advance(Duration::from_hours(1));
        scene.back_up("second").await;
        assert_eq!(scene.verified().await, [1], "the second was not read yet");
        scene.clock.advance(Duration::from_hours(1));
        scene.verify(VerifyOptions::presence().with_read_percent(1, 0).with_record(true)).await;
        assert_eq!(scene.verified().await, [1], "nor all that it needs");
        scene.verify(recorded()).await;
        assert_eq!(scene.verified().await, [1, 2]);
        // Merging compares what points hold: they stay verified, whatever was read of the new objects.
        let source = scene.source().await;
        source.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
        scene.clock.advance(Duration::from_hours(24 * 40));
        source.collect(&CollectOptions::default()).await.unwrap();
        assert_eq!(scene.proofs().len(), 2, "upkeep takes nobody's word away");
        assert_eq!(scene.verified().await, [1, 2]);
        assert_eq!(scene.verify(daily()).await.verified_points, 2);
        // What is damaged takes it from the points that need it.
        scene.clock.advance(Duration::from_hours(1));
        scene.attach("third", 1_100_000);
        scene.back_up("third").await;
        scene.clock.advance(Duration::from_hours(1));
        scene.verify(recorded()).await;
        let points: Vec<u64> =
            scene.source().await.points().await.unwrap().iter().map(|point| point.sequence).collect();
        assert_eq!(scene.verified().await, points);
        let before = scene.disk.names();
        let newest = before
            .iter()
            .filter(|name| name.contains("/blob/"))
            .max_by_key(|name| name.rsplit('-').next().unwrap().to_owned());
        let damaged = scene.damage(newest.unwrap());
        let report = scene.verify(recorded()).await;
        assert!(report.problems.iter().all(|problem| problem.object == damaged) && !report.is_good(), "{report:?}");
        assert_eq!(scene.verified().await, points[..2]);
    }
}

#[tokio::test]
async fn who_may_not_maintain_notes_nothing_that_counts() {
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let scene = Scene::new(Keys::owner(identity.clone()).with_agent(agent.clone())).await;
    scene.attach("large", 1_100_000);
    scene.back_up("first").await;
    scene.clock.advance(Duration::from_hours(1));
    let writer = scene.keys.clone().with_keys(Keys::writer(agent.clone()).with_root(identity.root_key()));
    let thief = Repository::open_on(Arc::new(scene.disk.clone()), writer).await.unwrap().source("blog").unwrap();
    let report = thief.verify(&recorded(), &mut |_| {}).await.unwrap();
    assert!(report.unread > 0 && report.verified_points == 0, "{report:?}");
    assert_eq!(scene.proofs(), [""; 0]);

    // Under a name that is newer than all: a copy of an honest one, of another source's, and one without a signature.
    scene.verify(recorded()).await;
    let [honest] = scene.proofs().try_into().unwrap();
    let other = scene.repository().await.source("other").unwrap();
    back_up(&MemoryConnector::new(scene.account.clone()), &other, &scene.clock).await.unwrap();
    other.verify(&recorded(), &mut |_| {}).await.unwrap();
    let foreign = scene.proofs().pop().unwrap();
    let text = String::from_utf8_lossy(&scene.disk.object(&honest)).replacen("\"at\"", "\"At\"", 1).into_bytes();
    let forgeries = [scene.disk.object(&honest).to_vec(), scene.disk.object(&foreign).to_vec(), text];
    for forged in forgeries {
        let name = "source/blog/proof/7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
        scene.disk.replace(name, forged);
        assert_eq!(scene.verified().await, [1]);
        let report = scene.verify(VerifyOptions::presence()).await;
        let found: Vec<_> = report.problems.iter().map(|problem| (problem.object.as_str(), problem.kind)).collect();
        assert_eq!(found, [(name, ErrorKind::Integrity)]);
        scene.disk.remove(name);
    }
}

#[tokio::test]
async fn a_record_that_is_lost_or_damaged_costs_that_things_are_read_again() {
    for scene in Scene::both(2).await {
        scene.clock.advance(Duration::from_hours(1));
        scene.verify(recorded()).await;
        scene.clock.advance(Duration::from_hours(1));
        scene.back_up("second").await;
        scene.clock.advance(Duration::from_hours(1));
        scene.verify(recorded()).await;
        assert_eq!(scene.verified().await, [1, 2]);
        let newest = scene.proofs().pop().unwrap();
        assert_eq!(scene.damage(&newest), newest);
        assert_eq!(scene.verified().await, [1], "the one before counts");
        let report = scene.verify(VerifyOptions::presence()).await;
        assert!(matches!(report.problems.as_slice(), [problem] if problem.object == newest), "{report:?}");
        // No copy has it; what is wrong with it is that it is there.
        let copy = FaultyStore::default();
        let copied = scene.repository().await.replicate_on(Arc::new(copy.clone()), &mut |_| {}).await.unwrap();
        assert!(copied.is_complete() && !copy.names().iter().any(|name| name.contains("/proof/")), "{copied:?}");
        let copy = Repository::open_on(Arc::new(copy), scene.keys.clone()).await.unwrap();
        let options = VerifyOptions::read_all();
        let repaired = scene.repository().await.repair_from(&copy, &options, &mut |_| {}).await.unwrap();
        assert!(repaired.is_good() && repaired.objects.is_empty(), "{repaired:?}");
        assert!(!scene.proofs().contains(&newest));
        scene.verify(recorded()).await;
        assert_eq!(scene.verified().await, [1, 2]);
        for name in scene.proofs() {
            scene.disk.remove(&name);
        }
        assert_eq!(scene.verified().await, [0; 0]);
        let report = scene.verify(recorded()).await;
        assert!(report.is_good() && report.unread == 0 && report.verified_points == 2, "{report:?}");
        // A store that lets nobody remove anything keeps them all.
        scene.disk.deny_deletion();
        for _ in 0..3 {
            assert!(scene.verify(recorded()).await.is_good());
        }
        assert_eq!(scene.proofs().len(), 4);
    }
}
