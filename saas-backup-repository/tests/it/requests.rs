//! What each piece of work costs in requests: `docs/request-costs.md` is this table.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, BlobId, BlobRef, ManualClock, Result};
use saas_backup_repository::{
    CollectOptions, CompactOptions, Creation, Entry, EraseOptions, Identity, Keys, Repository, RepositoryOptions,
    Source, Store, Subject, VerifyOptions,
};

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, key, note, options};

/// Requests of each kind, and the bytes that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Requests {
    list: u64,
    get: u64,
    put: u64,
    delete: u64,
    sent: u64,
}

/// Counts what a store is asked for.
#[derive(Clone, Debug)]
struct Counted {
    store: FaultyStore,
    requests: Arc<Mutex<Requests>>,
}

impl Counted {
    fn count(&self, change: impl FnOnce(&mut Requests)) {
        change(&mut self.requests.lock().unwrap());
    }

    /// What was asked for since the last time.
    fn take(&self) -> Requests {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

#[async_trait]
impl Store for Counted {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.count(|requests| (requests.put, requests.sent) = (requests.put + 1, requests.sent + bytes.len() as u64));
        self.store.put(name, bytes).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<Creation> {
        self.count(|requests| (requests.put, requests.sent) = (requests.put + 1, requests.sent + bytes.len() as u64));
        self.store.create(name, bytes).await
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        self.count(|requests| requests.get += 1);
        self.store.get(name, range).await
    }

    async fn size(&self, name: &str) -> Result<u64> {
        self.count(|requests| requests.get += 1);
        self.store.size(name).await
    }

    fn list(&self, folder: &str, after: Option<&str>) -> BoxStream<'static, Result<Entry>> {
        self.count(|requests| requests.list += 1);
        self.store.list(folder, after)
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.count(|requests| requests.delete += 1);
        self.store.delete(name).await
    }
}

struct Scene {
    clock: ManualClock,
    keys: RepositoryOptions,
    store: Counted,
    account: MemoryStore,
    table: String,
}

impl Scene {
    fn new() -> Self {
        let clock = clock();
        let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
        let store = Counted { store: FaultyStore::default(), requests: Arc::default() };
        Self { clock, keys, store, account: MemoryStore::new(), table: String::new() }
    }

    /// A process of its own.
    async fn opened(&self) -> Repository {
        Repository::open_on(Arc::new(self.store.clone()), self.keys.clone()).await.unwrap()
    }

    async fn source(&self) -> Source {
        self.opened().await.source("blog").unwrap()
    }

    async fn back_up(&self) {
        back_up(&MemoryConnector::new(self.account.clone()), &self.source().await, &self.clock).await.unwrap();
        self.clock.advance(Duration::from_hours(1));
    }

    fn row(&mut self, work: &str) -> Requests {
        let requests = self.store.take();
        let Requests { list, get, put, delete, .. } = requests;
        let _ = writeln!(self.table, "| {work} | {list} | {get} | {put} | {delete} |");
        requests
    }
}

#[tokio::test]
async fn requests_are_as_many_as_the_table_says() {
    let mut scene = Scene::new();
    Repository::init_on(Arc::new(scene.store.clone()), scene.keys.clone()).await.unwrap();
    scene.row("making a repository, with a proof that the storage keeps its word");
    for id in 0..100 {
        scene.account.put(note(&format!("{id:03}"), "text"));
    }
    for id in 0..3 {
        let blob = BlobId::parse(format!("blob {id}")).unwrap();
        scene.account.put_blob(blob.clone(), vec![id; 2000]);
        scene.account.put(note(&format!("with {id}"), "a file").with_blob(BlobRef::new(blob, "file")));
    }
    scene.back_up().await;
    scene.row("the first backup of a source: 103 records, 3 small attachments");
    scene.back_up().await;
    let nothing = scene.row("a backup when nothing changed");
    assert_eq!(nothing.put, 0);
    scene.account.put(note("000", "changed"));
    scene.back_up().await;
    scene.row("a backup when one record changed");
    for hour in 0..40 {
        scene.account.put(note("001", &format!("changed in hour {hour}")));
        scene.back_up().await;
    }
    scene.row("forty more, one an hour");
    scene.source().await.points().await.unwrap();
    scene.row("listing 42 points");
    scene.source().await.record(&key("002"), &At::Now).await.unwrap().unwrap();
    scene.row("one record of now");
    scene.source().await.compact(&CompactOptions::default(), &mut |_| {}).await.unwrap();
    scene.row("merging 40 commits");
    scene.source().await.record(&key("002"), &At::Sequence(1)).await.unwrap().unwrap();
    scene.row("one record of the first point, after that");
    scene.clock.advance(Duration::from_hours(8 * 24));
    scene.account.put(note("000", "later"));
    scene.back_up().await;
    scene.row("a backup after that");
    scene.source().await.collect(&CollectOptions::default()).await.unwrap();
    scene.row("removing what nobody needs");
    scene.opened().await.verify(&VerifyOptions::presence(), &mut |_| {}).await.unwrap();
    scene.row("verifying that all is there");
    scene.opened().await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    scene.row("verifying all bytes");
    let person = Subject::record(key("with 1"));
    scene.source().await.erase(&person, &EraseOptions::new("x"), &mut |_| {}).await.unwrap();
    scene.row("hiding a record with its attachment");
    scene.source().await.compact(&CompactOptions::default(), &mut |_| {}).await.unwrap();
    scene.row("writing everything else anew");
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/request-costs.md");
    let documented = std::fs::read_to_string(documented).unwrap();
    assert!(documented.contains(&scene.table), "docs/request-costs.md is to say:\n{}", scene.table);
}

/// As many small accounts as a vendor has: each costs what it changes.
#[tokio::test]
async fn small_sources_cost_one_write_a_run_that_changed_something() {
    const SOURCES: u64 = 60;
    let scene = Scene::new();
    let repository = Repository::init_on(Arc::new(scene.store.clone()), scene.keys.clone()).await.unwrap();
    scene.store.take();
    let accounts: Vec<MemoryStore> = (0..SOURCES).map(|_| MemoryStore::new()).collect();
    let run = async || {
        for (number, account) in accounts.iter().enumerate() {
            let source = repository.source(&format!("tenant-{number}")).unwrap();
            back_up(&MemoryConnector::new(account.clone()), &source, &scene.clock).await.unwrap();
        }
        scene.store.take()
    };
    let mut raw = 0;
    for round in 0..3_u64 {
        for account in &accounts {
            let note = note("1", &format!("text of round {round}"));
            raw = note.data.as_bytes().len() as u64;
            account.put(note);
        }
        let requests = run().await;
        // The first run makes the naming key, and the two keys of the month.
        let keys = if round == 0 { 3 } else { 0 };
        assert_eq!(requests.put, SOURCES * (1 + keys), "round {round}: {requests:?}");
        let overhead = requests.sent / SOURCES - raw;
        println!("round {round}: {overhead} bytes beside the record");
        assert!(round == 0 || overhead <= 1600, "{overhead}");
        scene.clock.advance(Duration::from_hours(1));
    }
    assert_eq!(run().await.put, 0);
}
