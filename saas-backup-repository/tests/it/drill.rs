//! Rehearsed restores that are kept: who believes which.

use std::sync::Arc;
use std::time::Duration;

use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{Clock as _, Digest, ErrorKind, ManualClock};
use saas_backup_repository::{
    AgentKey, CollectOptions, Drill, Identity, Keys, Repository, RepositoryOptions, Source, VerifyOptions,
};

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, note, options};

struct Scene {
    clock: ManualClock,
    keys: RepositoryOptions,
    disk: FaultyStore,
}

impl Scene {
    async fn new(keys: Keys) -> Self {
        let clock = clock();
        let keys = options(&clock).with_keys(keys);
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let scene = Self { clock, keys, disk };
        let account = MemoryStore::new();
        account.put(note("1", "confidential"));
        for source in ["blog", "other"] {
            back_up(&MemoryConnector::new(account.clone()), &scene.source(source).await, &scene.clock).await.unwrap();
        }
        scene
    }

    async fn source(&self, name: &str) -> Source {
        self.source_with(self.keys.clone(), name).await
    }

    async fn source_with(&self, keys: RepositoryOptions, name: &str) -> Source {
        Repository::open_on(Arc::new(self.disk.clone()), keys).await.unwrap().source(name).unwrap()
    }

    /// A drill whose records tell it from others.
    fn drill(&self, records: u64) -> Drill {
        let now = self.clock.now();
        let mut drill = Drill::new(1, now, now, now, Digest::of(b"the whole report"));
        (drill.records, drill.full, drill.passed) = (records, true, true);
        "jsonl".clone_into(&mut drill.into);
        drill
    }

    async fn keep(&self, source: &str, records: u64) {
        self.clock.advance(Duration::from_hours(1));
        self.source(source).await.keep_drill(&self.drill(records)).await.unwrap();
    }

    async fn kept(&self) -> Vec<u64> {
        self.source("blog").await.drills(10).await.unwrap().iter().map(|drill| drill.records).collect()
    }

    fn names(&self, source: &str) -> Vec<String> {
        let folder = format!("source/{source}/drill/");
        self.disk.names().into_iter().filter(|name| name.starts_with(&folder)).collect()
    }
}

#[tokio::test]
async fn drills_are_kept_in_order_and_nobody_sweeps_them() {
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let scene = Scene::new(keys).await;
        for records in [1, 2, 3] {
            scene.keep("blog", records).await;
        }
        assert_eq!(scene.kept().await, [1, 2, 3]);
        let source = scene.source("blog").await;
        let [drill] = source.drills(1).await.unwrap().try_into().unwrap();
        let mut expected = scene.drill(3);
        expected.at = scene.clock.now();
        assert_eq!(drill, expected);
        scene.clock.advance(Duration::from_hours(24 * 400));
        let repository = Repository::open_on(Arc::new(scene.disk.clone()), scene.keys.clone()).await.unwrap();
        let report = repository.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert!(report.is_good() && report.orphans == 0, "{report:?}");
        source.collect(&CollectOptions::default()).await.unwrap();
        assert_eq!(scene.kept().await, [1, 2, 3]);
    }
}

#[tokio::test]
async fn what_no_maintainer_signed_for_its_place_counts_for_nothing() {
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let scene = Scene::new(Keys::owner(identity.clone()).with_agent(agent.clone())).await;
    let writer = scene.keys.clone().with_keys(Keys::writer(agent).with_root(identity.root_key()));
    let writer = scene.source_with(writer, "blog").await;
    let error = writer.keep_drill(&scene.drill(9)).await.unwrap_err();
    assert_eq!((error.kind(), scene.names("blog")), (ErrorKind::PermissionDenied, Vec::new()));

    scene.keep("blog", 1).await;
    scene.keep("other", 7).await;
    let [honest] = scene.names("blog").try_into().unwrap();
    let [foreign] = scene.names("other").try_into().unwrap();
    let honest = scene.disk.object(&honest);
    let text = String::from_utf8(honest.to_vec()).unwrap();
    let better = text.replacen("\"records\":1", "\"records\":2", 1);
    assert_ne!(better, text);
    for forged in [honest, scene.disk.object(&foreign), better.into(), text[..text.len() / 2].to_owned().into()] {
        scene.disk.replace("source/blog/drill/7ZZZZZZZZZZZZZZZZZZZZZZZZZ", forged);
        assert_eq!(scene.kept().await, [1]);
        // Who only writes can read what counts.
        assert_eq!(writer.drills(10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn the_oldest_of_a_thousand_drills_go() {
    let scene = Scene::new(Keys::none()).await;
    for records in 0..1005 {
        scene.clock.advance(Duration::from_secs(1));
        scene.source("blog").await.keep_drill(&scene.drill(records)).await.unwrap();
    }
    assert_eq!(scene.names("blog").len(), 1000);
    assert_eq!(scene.kept().await, (995..1005).collect::<Vec<_>>());
}
