use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};

use crate::testkit::conformance::trace::Trace;
use crate::testkit::{self, FakeProvider};
use crate::{
    Account, At, BlobRef, Budget, ByteStream, Capabilities, Catalog, Collection, CollectionCoverage, CollectionName,
    Connector, Coverage, Deletion, DeletionReason, Done, Error, ErrorKind, Event, EventStream, Feed, FeedId,
    FeedStream, Key, Kind, Only, ReadRequest, Record, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, Visibility,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    CapabilitiesFlip,
    AccountChanges,
    ReadsUnclaimed,
    AnyPast,
    ModesRefusedOtherwise,
    DryRunRefusedOtherwise,
    CatalogTwice,
    CatalogMisses,
    CoverageUnknown,
    FeedIdsChange,
    LogLast,
    LogsUnclaimed,
    NoDone,
    DoneTwice,
    NeverFull,
    WideScope,
    LogWithTwoPositions,
    ForeignKeys,
    NoPartition,
    Unstable,
    DropsCount,
    ResumesTooLate,
    Repeats,
    AnyCursor,
    GoesOnAfterError,
    MoreRecords,
    RecordsUnclaimed,
    FilterIgnored,
    SweepMisses,
    SweepsUnclaimed,
    OtherBytes,
    RangeIgnored,
    RangesUnclaimed,
    EmptyForUnknown,
    BlobsUnclaimed,
    TwoRequests,
    RequestHeld,
}

/// Which checks fail for a fault; where two do, neither can fail alone.
const TABLE: &[(Fault, &[&str])] = &[
    (Fault::None, &[]),
    (Fault::CapabilitiesFlip, &["capabilities-are-constant"]),
    (Fault::AccountChanges, &["the-account-has-a-stable-id"]),
    (Fault::ReadsUnclaimed, &["reading-is-refused-unless-claimed"]),
    (Fault::AnyPast, &["the-past-is-refused-unless-claimed"]),
    (Fault::ModesRefusedOtherwise, &["modes-are-refused-unless-claimed"]),
    (Fault::DryRunRefusedOtherwise, &["a-dry-run-is-refused-unless-claimed"]),
    (Fault::CatalogTwice, &["catalog-names-are-unique"]),
    (Fault::CatalogMisses, &["the-catalog-names-what-feeds-cover"]),
    (Fault::CoverageUnknown, &["the-coverage-names-listed-collections"]),
    (Fault::FeedIdsChange, &["feeds-have-unique-and-stable-ids"]),
    (Fault::LogLast, &["logs-come-before-their-slices"]),
    (Fault::LogsUnclaimed, &["logs-are-claimed"]),
    (Fault::NoDone, &["reads-end-with-done"]),
    (Fault::DoneTwice, &["nothing-follows-done"]),
    (Fault::NeverFull, &["a-full-read-says-full"]),
    (Fault::WideScope, &["done-speaks-of-its-feed"]),
    (Fault::LogWithTwoPositions, &["a-new-log-gives-its-position"]),
    (Fault::ForeignKeys, &["events-belong-to-their-feed"]),
    (Fault::NoPartition, &["records-name-their-partition"]),
    (Fault::Unstable, &["two-reads-agree"]),
    (Fault::DropsCount, &["a-dropped-stream-loses-nothing"]),
    (Fault::ResumesTooLate, &["checkpoints-resume"]),
    (Fault::Repeats, &["an-increment-of-nothing-is-empty"]),
    (Fault::AnyCursor, &["an-unknown-cursor-expires"]),
    (Fault::GoesOnAfterError, &["an-error-is-the-last-item"]),
    (Fault::MoreRecords, &["named-records-are-read-alone"]),
    (Fault::RecordsUnclaimed, &["named-records-are-read-alone"]),
    (Fault::FilterIgnored, &["named-collections-filter"]),
    (Fault::SweepMisses, &["a-sweep-lists-everything"]),
    (Fault::SweepsUnclaimed, &["a-sweep-lists-everything"]),
    (Fault::OtherBytes, &["blobs-open-whole"]),
    (Fault::RangeIgnored, &["blob-ranges-stitch"]),
    (Fault::RangesUnclaimed, &["blob-ranges-stitch"]),
    (Fault::EmptyForUnknown, &["an-unknown-blob-is-not-found"]),
    (Fault::BlobsUnclaimed, &["blobs-open-whole"]),
    (Fault::TwoRequests, &["feeds-read-at-once-within-any-budget", "blobs-open-while-a-page-is-held"]),
    (Fault::RequestHeld, &["blobs-open-while-a-page-is-held"]),
];

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_source_fails_its_check_and_no_other() {
    let mut wrong = Vec::new();
    for (fault, expected) in TABLE {
        let report = testkit::connector(&Faulty::new(*fault)).await;
        if report.failed() != *expected {
            wrong.push(format!("{fault:?}: {:?}", report.failed()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_table_proves_every_check_that_the_fake_provider_passes() {
    let report = testkit::connector(&FakeProvider::seeded(7, 40)).await;
    report.assert_passed();
    for name in report.passed().into_iter().filter(|name| *name != "a-snapshot-opens-and-reads") {
        assert!(TABLE.iter().any(|(_, failing)| failing.contains(&name)), "nothing shows that {name} can fail");
    }
}

#[tokio::test(start_paused = true)]
async fn the_fake_provider_passes_in_all_its_forms() {
    for provider in [
        FakeProvider::seeded(1, 30).with_pretty_pages(),
        FakeProvider::seeded(2, 30).with_log(&[]),
        FakeProvider::seeded(3, 30).with_log(&[FakeProvider::users(), FakeProvider::tasks(), FakeProvider::comments()]),
        FakeProvider::seeded(4, 30).without_deletions().with_page_size(1),
        FakeProvider::new(),
    ] {
        testkit::connector(&provider).await.assert_passed();
    }
}

#[derive(Debug)]
struct Faulty {
    inner: FakeProvider,
    fault: Fault,
    calls: AtomicUsize,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { inner: FakeProvider::seeded(7, 40), fault, calls: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Connector for Faulty {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        match self.fault {
            Fault::CapabilitiesFlip => {
                capabilities.redelivers = self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            }
            Fault::ReadsUnclaimed => capabilities.read = false,
            Fault::DryRunRefusedOtherwise => capabilities.create = true,
            Fault::LogsUnclaimed => capabilities.logs = false,
            Fault::RecordsUnclaimed => capabilities.reads_records = false,
            Fault::SweepsUnclaimed => capabilities.sweeps = false,
            Fault::RangesUnclaimed => capabilities.blob_ranges = false,
            Fault::BlobsUnclaimed => capabilities.blobs = false,
            _ => {}
        }
        capabilities
    }

    async fn check(&self) -> Result<Account> {
        let mut account = self.inner.check().await?;
        if self.fault == Fault::AccountChanges {
            account.id = self.calls.fetch_add(1, Ordering::Relaxed).to_string();
        }
        Ok(account)
    }

    async fn snapshot(&self, mut options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if self.fault == Fault::AnyPast {
            options.at = At::Now;
        }
        let budget = options.budget.clone();
        let inner = Arc::from(self.inner.snapshot(options).await?);
        Ok(Box::new(FaultySnapshot {
            inner,
            fault: self.fault,
            budget,
            reads: Arc::default(),
            dropped: Arc::default(),
        }))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let wrong = if options.dry_run { Fault::DryRunRefusedOtherwise } else { Fault::ModesRefusedOtherwise };
        if self.fault == wrong {
            return Err(Error::new(ErrorKind::Unexpected, "something went wrong"));
        }
        self.inner.sink(options).await
    }
}

#[derive(Clone, Debug)]
struct FaultySnapshot {
    inner: Arc<dyn Snapshot>,
    fault: Fault,
    budget: Budget,
    /// Full reads of users, and listings of feeds.
    reads: Arc<AtomicUsize>,
    dropped: Arc<AtomicBool>,
}

fn ghost() -> CollectionName {
    CollectionName::from_static("ghosts")
}

#[async_trait]
impl Snapshot for FaultySnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        let mut catalog = self.inner.catalog().await?;
        match self.fault {
            Fault::CatalogTwice => catalog.collections.push(Collection::new(FakeProvider::users(), Kind::User)),
            Fault::CatalogMisses => catalog.collections.retain(|collection| collection.name != FakeProvider::users()),
            _ => {}
        }
        Ok(catalog)
    }

    async fn coverage(&self) -> Result<Coverage> {
        let mut coverage = self.inner.coverage().await?;
        match self.fault {
            Fault::CoverageUnknown => coverage = coverage.with(ghost(), CollectionCoverage::new(Visibility::All)),
            Fault::CatalogMisses => drop(coverage.collections.remove(&FakeProvider::users())),
            _ => {}
        }
        Ok(coverage)
    }

    fn feeds(&self) -> FeedStream {
        let (fault, listing) = (self.fault, self.clone());
        let feeds = self.inner.feeds().collect::<Vec<_>>();
        let feeds = async move {
            let mut feeds = feeds.await;
            if fault == Fault::LogLast {
                feeds.rotate_left(1);
            }
            if fault == Fault::FeedIdsChange && listing.reads.fetch_add(1, Ordering::Relaxed) > 0 {
                let renamed: Result<Feed> =
                    Ok(Feed { id: FeedId::from_static("renamed"), ..Feed::slice(FakeProvider::users()) });
                feeds.retain(|feed| feed.as_ref().is_ok_and(|feed| feed.id.as_str() != "users"));
                feeds.push(renamed);
            }
            stream::iter(feeds)
        };
        stream::once(feeds).flatten().boxed()
    }

    fn read(&self, mut request: ReadRequest) -> EventStream {
        if self.fault == Fault::FilterIgnored && matches!(request.only, Only::Collections(_)) {
            request.only = Only::All;
        }
        let this = self.clone();
        let read = async move {
            let two = if this.fault == Fault::TwoRequests { Some(this.budget.request().await) } else { None };
            let mut trace = Trace::of(this.inner.read(request.clone())).await;
            drop(two);
            this.corrupt(&request, &mut trace);
            let held = if this.fault == Fault::RequestHeld { Some(this.budget.request().await) } else { None };
            let goes_on = this.fault == Fault::GoesOnAfterError && trace.error.is_some();
            let error = trace.error.map(Err);
            let more = goes_on.then(|| Ok(Event::Done(Done::changes(request.feed.scope()))));
            let items: Vec<Result<Event>> = trace.events.into_iter().map(Ok).chain(error).chain(more).collect();
            let watch = Watch { left: items.len(), dropped: Arc::clone(&this.dropped) };
            stream::unfold((items.into_iter(), held, watch), |(mut items, held, mut watch)| async move {
                watch.left = watch.left.saturating_sub(1);
                items.next().map(|item| (item, (items, held, watch)))
            })
        };
        stream::once(read).flatten().boxed()
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let range = range.filter(|_| self.fault != Fault::RangeIgnored);
        match self.inner.open(owner, blob, range).await {
            Err(error) if self.fault == Fault::EmptyForUnknown && error.kind() == ErrorKind::NotFound => {
                Ok(stream::empty().boxed())
            }
            Ok(chunks) if self.fault == Fault::OtherBytes => {
                let flipped = |chunk: Bytes| chunk.iter().map(|byte| byte ^ 1).collect::<Bytes>();
                Ok(chunks.map(move |chunk| chunk.map(flipped)).boxed())
            }
            result => result,
        }
    }
}

/// Notes that a stream was dropped before its end.
struct Watch {
    left: usize,
    dropped: Arc<AtomicBool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.left > 1 {
            self.dropped.store(true, Ordering::Relaxed);
        }
    }
}

impl FaultySnapshot {
    fn corrupt(&self, request: &ReadRequest, trace: &mut Trace) {
        let events = &mut trace.events;
        let users = request.feed.id.as_str() == "users";
        let plain = users && request.from.is_none() && request.only == Only::All;
        let first_put = events.iter().position(|event| matches!(event, Event::Put(_)));
        match self.fault {
            Fault::NoDone if plain => drop(events.pop()),
            Fault::DoneTwice if plain => events.extend(events.last().cloned()),
            Fault::NeverFull if plain => {
                events.pop();
                events.push(Event::Done(Done::changes(request.feed.scope())));
            }
            Fault::WideScope => {
                for event in events {
                    if let Event::Done(done) = event {
                        done.scope.partition = None;
                    }
                }
            }
            Fault::LogWithTwoPositions if request.feed.is_log() && request.from.is_none() => {
                events.insert(0, events[0].clone());
            }
            Fault::ForeignKeys if plain => {
                let foreign = Key::parse("tasks", "t00000").unwrap();
                events.insert(0, Event::Delete(Deletion::new(foreign, DeletionReason::Deleted)));
            }
            Fault::NoPartition => each_put(events, |record| record.partition = None),
            Fault::Unstable if plain && self.reads.fetch_add(1, Ordering::Relaxed) == 1 => {
                each_put(events, |record| record.data = crate::Json::parse("{}").unwrap());
            }
            Fault::DropsCount if plain && self.dropped.swap(false, Ordering::Relaxed) => {
                events.remove(first_put.unwrap());
            }
            Fault::ResumesTooLate if users && request.from.is_some() => {
                if let Some(first) = first_put {
                    events.remove(first);
                }
            }
            Fault::Repeats if users && request.from.is_some() && trace.error.is_none() => {
                events.insert(0, Event::Put(Box::new(Self::user())));
            }
            Fault::AnyCursor if trace.error.is_some() => {
                trace.error = None;
                events.push(Event::Done(Done::changes(request.feed.scope())));
            }
            Fault::MoreRecords if users && matches!(request.only, Only::Records(_)) => {
                let mut more = Self::user();
                more.key = Key::parse("users", "u0003").unwrap();
                events.insert(0, Event::Put(Box::new(more)));
            }
            Fault::SweepMisses if request.sweep => {
                let seen = events.iter().position(|event| matches!(event, Event::Seen(_)));
                events.remove(seen.unwrap());
            }
            _ => {}
        }
    }

    /// The first user, as the inner provider gives it.
    fn user() -> Record {
        let visible = FakeProvider::seeded(7, 40).visible();
        visible.into_iter().find(|record| record.key.id.as_str() == "u0000").unwrap()
    }
}

fn each_put(events: &mut [Event], change: impl Fn(&mut Record)) {
    for event in events {
        if let Event::Put(record) = event {
            change(record);
        }
    }
}
