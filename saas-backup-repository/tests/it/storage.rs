//! What a repository asks of a real storage server, whichever it is.

use std::collections::BTreeSet;
use std::env;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use saas_backup_core::CollectionName;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::{Contents, assert_same, sample_blob, sample_records};
use saas_backup_core::{
    Account, At, BlobRef, ByteStream, Capabilities, Catalog, Clock as _, Connector, Coverage, ErrorKind, EventStream,
    FeedStream, Json, Key, ManualClock, ReadRequest, Record, Result, Sink, SinkOptions, Snapshot, SnapshotOptions,
    SystemClock, TransferOptions, async_trait, transfer,
};
use saas_backup_repository::{
    CollectOptions, CompactOptions, Identity, Keys, Repository, RepositoryOptions, VerifyOptions,
};
use tokio::sync::Barrier;

/// What a running server exports: `testing/servers up NAME` prints it.
pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start the server with testing/servers"))
}

/// A place that no other test uses.
pub(crate) fn prefix() -> String {
    format!("it/{}", ulid::Ulid::generate())
}

/// A place on a server, and a key of its own.
#[derive(Clone)]
pub(crate) struct Place {
    options: RepositoryOptions,
}

impl Place {
    /// Only the options count: the machine's own variables are about other accounts.
    pub(crate) fn new(url: &str, options: &[(&str, &str)]) -> Self {
        let mut place = RepositoryOptions::parse(url).unwrap().with_environment(false);
        for (name, value) in options {
            place = place.with_option(*name, (*value).to_owned());
        }
        Self { options: place.with_keys(Keys::owner(Identity::generate())) }
    }

    #[cfg(feature = "webdav")]
    pub(crate) fn for_a_single_writer(mut self) -> Self {
        self.options = self.options.with_single_writer(true);
        self
    }

    async fn init(&self) -> Result<Repository> {
        Repository::init(self.options.clone()).await
    }

    async fn open(&self) -> Result<Repository> {
        Repository::open(self.options.clone()).await
    }
}

/// An account with nasty records, and attachments that are larger than one part of an upload.
fn account() -> MemoryStore {
    let store = MemoryStore::new();
    for (seed, collection) in ["notes", "files"].into_iter().enumerate() {
        for record in sample_records(&CollectionName::from_static(collection), seed as u64, 120).unwrap() {
            store.put(without_blobs(record));
        }
    }
    for (index, size) in [0, 70_000, 12 * 1024 * 1024].into_iter().enumerate() {
        let (blob, bytes) = sample_blob(&format!("blob-{index}"), 7, size).unwrap();
        store.put_blob(blob.id.clone().unwrap(), bytes);
        let key = Key::parse("files", format!("with-blob-{index}")).unwrap();
        store.put(Record::new(key, Json::parse("{}").unwrap()).with_blob(blob));
    }
    store
}

/// The samples name attachments whose bytes nobody has.
fn without_blobs(mut record: Record) -> Record {
    record.blobs.clear();
    record
}

async fn now(connector: &dyn Connector) -> Box<dyn Snapshot> {
    connector.snapshot(SnapshotOptions::default()).await.unwrap()
}

/// Makes a repository, fills it, adds to it, and reads it back with another handle.
pub(crate) async fn keeps_what_it_is_given(place: &Place) {
    let repository = place.init().await.unwrap();
    assert_eq!(place.init().await.unwrap_err().kind(), ErrorKind::Conflict, "a repository is not made twice");

    let store = account();
    let account = MemoryConnector::new(store.clone());
    let blog = repository.source("blog").unwrap();
    let first = transfer(&account, &blog, TransferOptions::backup()).await.unwrap();
    assert_eq!(first.report.totals().written, store.live().len() as u64);
    assert_eq!(first.report.totals().blobs, 3);

    let unchanged = transfer(&account, &blog, TransferOptions::backup()).await.unwrap();
    assert!(!unchanged.receipt.unwrap().written, "an empty increment writes nothing");

    let before = Contents::of(&*now(&account).await).await.unwrap();
    store.put(Record::new(Key::parse("notes", "later").unwrap(), Json::parse(r#"{"n":1.10}"#).unwrap()));
    store.delete(Key::parse("files", "with-blob-1").unwrap());
    let second = transfer(&account, &blog, TransferOptions::backup()).await.unwrap();
    assert_eq!((second.report.totals().written, second.report.totals().deleted), (1, 1));

    let blog = place.open().await.unwrap().source("blog").unwrap();
    assert_eq!(blog.points().await.unwrap().len(), 2);
    assert_same(&*now(&account).await, &*now(&blog).await).await.unwrap();
    let earlier = blog.snapshot(SnapshotOptions::at(At::Back(1))).await.unwrap();
    assert_eq!(Contents::of(&*earlier).await.unwrap().differences(&before), Vec::<String>::new());
}

/// Merges, forgets and removes, copies to another folder there, and mends from it what was lost.
pub(crate) async fn keeps_up(place: &Place, copy: &Place) {
    let clock = ManualClock::new(SystemClock.now());
    let options = place.options.clone().with_clock(Arc::new(clock.clone()));
    let repository = Repository::init(options).await.unwrap();
    let store = account();
    let account = MemoryConnector::new(store.clone());
    let blog = repository.source("blog").unwrap();
    transfer(&account, &blog, TransferOptions::backup()).await.unwrap();
    store.delete(Key::parse("files", "with-blob-2").unwrap());
    store.put(Record::new(Key::parse("notes", "later").unwrap(), Json::parse("{}").unwrap()));
    transfer(&account, &blog, TransferOptions::backup()).await.unwrap();
    let expected = Contents::of(&*now(&account).await).await.unwrap();

    let oldest = blog.points().await.unwrap()[0].sequence;
    blog.forget(&BTreeSet::from([oldest])).await.unwrap();
    let compacted = blog.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
    assert_eq!(compacted.attachments_released, 1, "{compacted:?}");
    clock.advance(Duration::from_hours(8 * 24));
    let collected = blog.collect(&CollectOptions::default()).await.unwrap();
    assert!(collected.objects > 2 && collected.waiting == 0 && collected.denied == 0, "{collected:?}");

    let options = copy.options.clone().with_keys(place.options.keys.clone());
    let done = repository.replicate(&options, &mut |_| {}).await.unwrap();
    assert!(done.is_complete() && done.objects > 5, "{done:?}");
    let copy = Repository::open(options).await.unwrap();
    for (whole, hurt) in [(&repository, &copy), (&copy, &repository)] {
        // What one cannot lose is what the other gives back.
        let verified = hurt.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert_eq!(verified.problems, []);
        let mended = hurt.repair_from(whole, &VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert!(mended.is_good() && mended.objects.is_empty(), "{mended:?}");
        let read = now(&hurt.source("blog").unwrap()).await;
        assert_eq!(Contents::of(&*read).await.unwrap().differences(&expected), Vec::<String>::new());
    }
}

/// Two that write to the same source from the same state: one wins, the other is told, and can try again.
pub(crate) async fn keeps_two_writers_apart(place: &Place) {
    place.init().await.unwrap();
    let together = Arc::new(Barrier::new(2));
    let runs = ["one", "two"].map(|id| {
        let (place, together) = (place.clone(), Arc::clone(&together));
        async move {
            let store = MemoryStore::new();
            store.put(Record::new(Key::parse("notes", id).unwrap(), Json::parse("{}").unwrap()));
            let account = Together { inner: Arc::new(MemoryConnector::new(store)), together };
            let blog = place.open().await.unwrap().source("blog").unwrap();
            transfer(&account, &blog, TransferOptions::backup()).await
        }
    });
    let outcomes = futures::future::join_all(runs).await;
    let won: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert!(won == [true, false] || won == [false, true], "{outcomes:?}");
    let lost = outcomes.into_iter().find_map(Result::err).unwrap();
    assert_eq!(lost.kind(), ErrorKind::Conflict, "{lost}");

    let blog = place.open().await.unwrap().source("blog").unwrap();
    assert_eq!(blog.points().await.unwrap().len(), 1);
    assert_eq!(Contents::of(&*now(&blog).await).await.unwrap().records.len(), 1);
    let account = MemoryConnector::new(account());
    transfer(&account, &blog, TransferOptions::backup().with_full(true).with_accepted_deletions(true)).await.unwrap();
    assert_same(&*now(&account).await, &*now(&blog).await).await.unwrap();
}

/// Somebody with other credentials reads and writes nothing, and is told why without a secret.
pub(crate) async fn refuses(stranger: &Place, secret: &str) {
    for error in [stranger.init().await.unwrap_err(), stranger.open().await.unwrap_err()] {
        assert!(matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::PermissionDenied), "{error}");
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}

/// An account whose readers wait for each other: both sessions are open before either reads.
#[derive(Clone, Debug)]
struct Together<T: ?Sized> {
    together: Arc<Barrier>,
    inner: Arc<T>,
}

#[async_trait]
impl Connector for Together<MemoryConnector> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn check(&self) -> Result<Account> {
        self.inner.check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        let inner = Arc::from(self.inner.snapshot(options).await?);
        Ok(Box::new(Together::<dyn Snapshot> { inner, together: Arc::clone(&self.together) }))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        self.inner.sink(options).await
    }
}

#[async_trait]
impl Snapshot for Together<dyn Snapshot> {
    async fn catalog(&self) -> Result<Catalog> {
        self.inner.catalog().await
    }

    async fn coverage(&self) -> Result<Coverage> {
        self.inner.coverage().await
    }

    fn feeds(&self) -> FeedStream {
        let (inner, together) = (Arc::clone(&self.inner), Arc::clone(&self.together));
        futures::stream::once(async move { together.wait().await }).flat_map(move |_| inner.feeds()).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.inner.read(request)
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.inner.open(owner, blob, range).await
    }
}

/// Asks a server for locks that knows none: it says so only to who signs as it wants.
#[cfg(feature = "s3")]
pub(crate) async fn asks_for_locks(place: &Place) {
    use saas_backup_repository::LockOptions;

    let repository = Repository::init(place.options.clone()).await.unwrap();
    assert_eq!(repository.lock(&LockOptions::default()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let repository = Repository::open(place.options.clone().with_versioned(true)).await.unwrap();
    let refused = repository.lock(&LockOptions::default()).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Unsupported && refused.to_string().contains("status: 501"), "{refused}");
}
