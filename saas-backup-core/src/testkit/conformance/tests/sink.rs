use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _};

use crate::memory::{MemoryConnector, MemoryStore};
use crate::testkit::{self, Report};
use crate::{
    Account, BlobRef, BlobSlot, BlobWriter, ByteStream, Candidates, Capabilities, Catalog, CollectionName, Connector,
    Coverage, Cursor, Digest, Done, Epoch, Error, ErrorKind, Event, EventStream, Feed, FeedId, FeedState, FeedStream,
    IdMap, Key, Outcome, PartitionId, Problem, ReadRequest, Receipt, Record, Result, RunReport, RunStart, Scope, Sink,
    SinkOptions, Snapshot, SnapshotOptions, State, StoredBlob, Verdict, WriteMode, Writer,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    MissingOutcome,
    LosesExtraMembers,
    RejectsRepetitions,
    DeletesFirst,
    RejectsUnknownDeletes,
    IgnoresPartitions,
    KeepsTheLastWord,
    AlwaysOverwrites,
    AddsToAWholeTarget,
    ForgetsIds,
    KnowsGhosts,
    LosesACursor,
    EagerCursor,
    LosesCoverage,
    Miscounts,
    LosesGaps,
    IgnoresResets,
    AbortForgets,
    KillForgets,
    VisibleAtOnce,
    NoHistory,
    AlwaysWritten,
    SwallowsConflicts,
    DryRunWrites,
    LosesTimeOfFullRead,
    SweepFillsGaps,
    GapUnseen,
    NewEpochAWriter,
    OneEpochForEver,
    WideScope,
    GoneStays,
    SkipsEmptyFlushes,
    KeepDeletes,
    RestartKeeps,
    CreateHasCandidates,
    HeldIsUnwanted,
    AbortedBlobIsHeld,
    CutsLargeBlobs,
}

/// Which check fails for a fault.
const TABLE: &[(Fault, &[&str])] = &[
    (Fault::None, &[]),
    (Fault::MissingOutcome, &["one-outcome-for-each-event"]),
    (Fault::LosesExtraMembers, &["what-is-written-reads-back"]),
    (Fault::RejectsRepetitions, &["writing-twice-is-harmless"]),
    (Fault::DeletesFirst, &["the-last-event-of-a-record-wins"]),
    (Fault::RejectsUnknownDeletes, &["deleting-the-unknown-is-harmless"]),
    (Fault::IgnoresPartitions, &["a-moved-record-outlives-its-old-partition"]),
    (Fault::KeepsTheLastWord, &["each-partition-speaks-for-itself"]),
    (Fault::AlwaysOverwrites, &["modes-do-what-they-say"]),
    (Fault::AddsToAWholeTarget, &["a-target-is-replaced-whole"]),
    (Fault::ForgetsIds, &["new-ids-are-mapped-and-kept"]),
    (Fault::KnowsGhosts, &["a-new-target-knows-nothing"]),
    (Fault::LosesACursor, &["cursors-come-back"]),
    (Fault::EagerCursor, &["an-unflushed-cursor-is-not-kept"]),
    (Fault::LosesCoverage, &["coverage-and-reviews-come-back"]),
    (Fault::Miscounts, &["counts-come-back"]),
    (Fault::LosesGaps, &["gaps-stay-open-until-they-are-filled"]),
    (Fault::IgnoresResets, &["a-reset-drops-the-slices-positions"]),
    (Fault::AbortForgets, &["an-aborted-run-goes-on"]),
    (Fault::KillForgets, &["a-killed-run-goes-on"]),
    (Fault::VisibleAtOnce, &["nothing-is-visible-before-commit"]),
    (Fault::NoHistory, &["an-earlier-point-stays"]),
    (Fault::AlwaysWritten, &["an-empty-run-writes-nothing"]),
    (Fault::SwallowsConflicts, &["rivals-lose-nothing"]),
    (Fault::DryRunWrites, &["a-dry-run-changes-nothing"]),
    (Fault::LosesTimeOfFullRead, &["a-full-read-finds-what-is-gone"]),
    (Fault::SweepFillsGaps, &["a-sweep-fills-no-gap"]),
    (Fault::GapUnseen, &["what-a-gap-names-is-not-gone"]),
    (Fault::NewEpochAWriter, &["a-resumed-full-read-keeps-what-it-saw"]),
    (Fault::OneEpochForEver, &["another-full-read-begins-anew"]),
    (Fault::WideScope, &["an-extent-keeps-to-its-scope"]),
    (Fault::GoneStays, &["a-partition-that-is-gone-is-forgotten"]),
    (Fault::SkipsEmptyFlushes, &["a-partition-is-known-before-its-records"]),
    (Fault::KeepDeletes, &["kept-candidates-stay"]),
    (Fault::RestartKeeps, &["a-restarted-extent-forgets-its-position"]),
    (Fault::CreateHasCandidates, &["only-mirrors-delete-what-was-not-seen"]),
    (Fault::HeldIsUnwanted, &["a-held-blob-is-not-wanted-again"]),
    (Fault::AbortedBlobIsHeld, &["an-aborted-blob-leaves-nothing"]),
    (Fault::CutsLargeBlobs, &["blobs-read-back"]),
];

async fn check(fault: Fault) -> Report {
    let empty = async || {
        let inner = MemoryConnector::new(MemoryStore::new());
        let inner = if fault == Fault::ForgetsIds { inner.with_own_ids() } else { inner };
        Ok(Arc::new(Faulty { inner, fault, shared: Arc::default() }) as Arc<dyn Connector>)
    };
    testkit::sink(empty).await
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_sink_fails_its_check_and_no_other() {
    let mut wrong = Vec::new();
    for (fault, expected) in TABLE {
        let report = check(*fault).await;
        if report.failed() != *expected {
            wrong.push(format!("{fault:?}: {:?}", report.failed()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_table_proves_every_check_of_a_sink() {
    for check in check(Fault::None).await.checks {
        assert!(
            TABLE.iter().any(|(_, failing)| failing == &[check.name]),
            "nothing shows that {} can fail",
            check.name
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_store_passes_with_ids_of_its_own_and_as_a_source() {
    let with_ids = async || Ok(Arc::new(MemoryConnector::new(MemoryStore::new()).with_own_ids()) as Arc<dyn Connector>);
    testkit::sink(with_ids).await.assert_passed();

    let store = MemoryStore::new();
    for (name, count) in [("things", 50), ("other things", 5)] {
        for mut record in testkit::sample_records(&CollectionName::parse(name).unwrap(), 1, count).unwrap() {
            let (blob, bytes) =
                testkit::sample_blob(&format!("{name} {}", record.key.id.as_str().len()), 1, 2000).unwrap();
            store.put_blob(blob.id.clone().unwrap(), bytes);
            record.blobs.push(blob);
            store.put(record);
        }
    }
    testkit::connector(&MemoryConnector::new(store)).await.assert_passed();
}

#[derive(Debug)]
struct Faulty {
    inner: MemoryConnector,
    fault: Fault,
    shared: Arc<Shared>,
}

/// What the sessions of one target share.
#[derive(Debug, Default)]
struct Shared {
    /// The last session was aborted, or ended without a word.
    aborted: AtomicBool,
    open: AtomicBool,
    early: Mutex<Vec<Record>>,
    known: Mutex<Vec<Key>>,
    epoch: Mutex<Option<Epoch>>,
    /// The last put of this session, and of those before it.
    put: Mutex<Option<(Key, Option<PartitionId>)>>,
    put_before: Mutex<Option<(Key, Option<PartitionId>)>>,
    epochs: AtomicU64,
}

#[async_trait]
impl Connector for Faulty {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        if self.fault == Fault::AddsToAWholeTarget {
            (capabilities.whole, capabilities.mirror) = (true, false);
        }
        capabilities
    }

    async fn check(&self) -> Result<Account> {
        self.inner.check().await
    }

    async fn snapshot(&self, mut options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if self.fault == Fault::NoHistory {
            options.at = crate::At::Now;
        }
        let inner = self.inner.snapshot(options).await?;
        let early = self.shared.early.lock().unwrap().clone();
        Ok(if early.is_empty() { inner } else { Box::new(Early { inner, early }) })
    }

    async fn sink(&self, mut options: SinkOptions) -> Result<Box<dyn Sink>> {
        let (fault, mode) = (self.fault, options.mode);
        match fault {
            Fault::AlwaysOverwrites if mode != WriteMode::Mirror => options.mode = WriteMode::Overwrite,
            Fault::ForgetsIds => options.ids = IdMap::default(),
            Fault::DryRunWrites => options.dry_run = false,
            _ => {}
        }
        let killed = self.shared.open.swap(true, Ordering::Relaxed);
        let inner = self.inner.sink(options).await?;
        Ok(Box::new(FaultySink { inner, fault, mode, killed, shared: Arc::clone(&self.shared) }))
    }
}

/// Shows what was not committed.
#[derive(Debug)]
struct Early {
    inner: Box<dyn Snapshot>,
    early: Vec<Record>,
}

#[async_trait]
impl Snapshot for Early {
    async fn catalog(&self) -> Result<Catalog> {
        self.inner.catalog().await
    }

    async fn coverage(&self) -> Result<Coverage> {
        self.inner.coverage().await
    }

    fn feeds(&self) -> FeedStream {
        self.inner.feeds()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let early = self.early.iter().filter(|record| request.feed.covers.contains(&record.key.collection));
        let events = early.map(|record| Event::Put(Box::new(record.clone())));
        let done = Event::Done(Done::full(request.feed.scope()));
        stream::iter(events.chain([done]).map(Ok).collect::<Vec<_>>()).boxed()
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<std::ops::Range<u64>>) -> Result<ByteStream> {
        self.inner.open(owner, blob, range).await
    }
}

#[derive(Debug)]
struct FaultySink {
    inner: Box<dyn Sink>,
    fault: Fault,
    mode: WriteMode,
    killed: bool,
    shared: Arc<Shared>,
}

#[async_trait]
impl Sink for FaultySink {
    async fn state(&self) -> Result<State> {
        let mut state = self.inner.state().await?;
        match self.fault {
            Fault::KnowsGhosts => {
                let ghost = FeedState::new(Feed::slice(CollectionName::from_static("ghosts")));
                state.feeds.insert(FeedId::from_static("ghosts"), ghost);
            }
            Fault::Miscounts => {
                for held in state.held.values_mut() {
                    held.records = held.records.map(|records| records + 1);
                }
            }
            Fault::LosesGaps => state.gaps.retain(|open| open.gap.blob.is_none()),
            Fault::AbortForgets if self.shared.aborted.load(Ordering::Relaxed) => state.unfinished = None,
            Fault::KillForgets if self.killed => state.unfinished = None,
            Fault::SweepFillsGaps if state.feeds.values().any(|feed| feed.full_at.is_some()) => {
                state.gaps.retain(|open| open.gap.id.is_none());
            }
            Fault::LosesTimeOfFullRead => {
                for feed in state.feeds.values_mut() {
                    feed.full_at = None;
                }
            }
            _ => {}
        }
        Ok(state)
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        self.inner.begin(start).await
    }

    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        Ok(match self.inner.blob(owner, blob).await? {
            BlobSlot::Held(_) if self.fault == Fault::HeldIsUnwanted => BlobSlot::Unwanted,
            BlobSlot::Want(inner) => {
                BlobSlot::Want(Box::new(FaultyBlob { inner, fault: self.fault, bytes: Vec::new() }))
            }
            slot => slot,
        })
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        let inner = match self.inner.writer(feed).await {
            Err(error) if self.fault.swallows(&error) => return Ok(Box::new(Void)),
            inner => inner?,
        };
        Ok(Box::new(FaultyWriter {
            inner,
            fault: self.fault,
            mode: self.mode,
            feed: feed.id.clone(),
            written: false,
            in_extent: false,
            shared: Arc::clone(&self.shared),
        }))
    }

    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        let mut report = report.clone();
        if self.fault == Fault::LosesCoverage {
            report.coverage = Coverage::default();
        }
        self.shared.open.store(false, Ordering::Relaxed);
        self.shared.early.lock().unwrap().clear();
        *self.shared.put_before.lock().unwrap() = self.shared.put.lock().unwrap().take();
        let mut receipt = match self.inner.commit(&report).await {
            Err(error) if self.fault.swallows(&error) => return Ok(Receipt::default()),
            receipt => receipt?,
        };
        receipt.written |= self.fault == Fault::AlwaysWritten;
        Ok(receipt)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.shared.open.store(false, Ordering::Relaxed);
        self.shared.aborted.store(true, Ordering::Relaxed);
        self.inner.abort().await
    }
}

impl Fault {
    fn swallows(self, error: &Error) -> bool {
        self == Self::SwallowsConflicts && error.kind() == ErrorKind::Conflict
    }
}

/// Takes everything and keeps nothing.
#[derive(Debug)]
struct Void;

#[async_trait]
impl Writer for Void {
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        Ok(vec![Outcome::Stored; batch.len()])
    }

    async fn flush(&mut self, _: Option<&Cursor>) -> Result<()> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyWriter {
    inner: Box<dyn Writer>,
    fault: Fault,
    mode: WriteMode,
    feed: FeedId,
    /// Something was written, or judged.
    written: bool,
    in_extent: bool,
    shared: Arc<Shared>,
}

impl FaultyWriter {
    fn corrupt(&self, events: &mut Vec<Event>) {
        match self.fault {
            Fault::DeletesFirst => events.sort_by_key(|event| !matches!(event, Event::Delete(_))),
            Fault::IgnoresResets => events.retain(|event| !matches!(event, Event::Reset(_))),
            Fault::GapUnseen if self.in_extent => events.retain(|event| !matches!(event, Event::Gap(_))),
            _ => {}
        }
        for event in events {
            match event {
                Event::Put(record) if self.fault == Fault::LosesExtraMembers => record.extra.clear(),
                Event::Put(record) if self.fault == Fault::VisibleAtOnce => {
                    self.shared.early.lock().unwrap().push((**record).clone());
                }
                Event::Put(record) => {
                    *self.shared.put.lock().unwrap() = Some((record.key.clone(), record.partition.clone()));
                }
                Event::Delete(deletion) => {
                    let last = Some((deletion.key.clone(), deletion.partition.clone()));
                    let ignores = match self.fault {
                        Fault::IgnoresPartitions => self.shared.put.lock().unwrap().is_some(),
                        Fault::KeepsTheLastWord => *self.shared.put_before.lock().unwrap() == last,
                        _ => false,
                    };
                    if ignores {
                        deletion.partition = None;
                    }
                }
                _ => {}
            }
        }
    }
}

#[async_trait]
impl Writer for FaultyWriter {
    async fn write(&mut self, mut batch: Vec<Event>) -> Result<Vec<Outcome>> {
        self.written |= !batch.is_empty();
        self.corrupt(&mut batch);
        let eager = batch.iter().find_map(|event| match event {
            Event::Checkpoint(cursor) if self.fault == Fault::EagerCursor => Some(cursor.clone()),
            _ => None,
        });
        let shapes: Vec<(bool, Option<Key>)> =
            batch.iter().map(|event| (matches!(event, Event::Delete(_)), event.key())).collect();
        let mut outcomes = self.inner.write(batch).await?;
        if eager.is_some() {
            self.inner.flush(eager.as_ref()).await?;
        }
        let rejected = || Outcome::Rejected(Box::new(Problem::new("no", "no")));
        for (outcome, (deletes, key)) in outcomes.iter_mut().zip(shapes) {
            if self.fault == Fault::RejectsUnknownDeletes && deletes && *outcome == Outcome::Unchanged {
                *outcome = rejected();
            }
            if self.fault == Fault::RejectsRepetitions
                && self.mode == WriteMode::Mirror
                && let Some(key) = key
            {
                let mut known = self.shared.known.lock().unwrap();
                if known.contains(&key) {
                    *outcome = rejected();
                }
                known.push(key);
            }
        }
        if self.fault == Fault::MissingOutcome && self.mode == WriteMode::Mirror {
            outcomes.pop();
        }
        Ok(outcomes)
    }

    async fn flush(&mut self, cursor: Option<&Cursor>) -> Result<()> {
        if self.fault == Fault::SkipsEmptyFlushes && !self.written && cursor.is_none() {
            return Ok(());
        }
        let lost = self.fault == Fault::LosesACursor && self.feed.as_str() == "other";
        self.inner.flush(cursor.filter(|_| !lost)).await
    }

    async fn open_extent(&mut self, epoch: Epoch) -> Result<()> {
        self.in_extent = true;
        let epoch = match self.fault {
            Fault::NewEpochAWriter => {
                let number = self.shared.epochs.fetch_add(1, Ordering::Relaxed);
                Epoch::new(DateTime::from_timestamp(number.cast_signed(), 0).unwrap())
            }
            Fault::OneEpochForEver => *self.shared.epoch.lock().unwrap().get_or_insert(epoch),
            _ => epoch,
        };
        self.inner.open_extent(epoch).await
    }

    async fn candidates(&mut self, scope: &Scope) -> Result<Candidates> {
        let mut scope = scope.clone();
        if self.fault == Fault::WideScope {
            scope.partition = None;
        }
        if self.fault == Fault::CreateHasCandidates && self.mode != WriteMode::Mirror {
            return Ok(Candidates::of(scope, 1, [&Key::parse("things", "b")?]));
        }
        self.inner.candidates(&scope).await
    }

    async fn close_extent(&mut self, scope: &Scope, verdict: Verdict, at: DateTime<Utc>) -> Result<u64> {
        let verdict = match verdict {
            Verdict::Keep if self.fault == Fault::KeepDeletes => Verdict::Delete,
            Verdict::Restart if self.fault == Fault::RestartKeeps => Verdict::Keep,
            Verdict::Gone if self.fault == Fault::GoneStays => Verdict::Delete,
            verdict => verdict,
        };
        self.written = true;
        self.inner.close_extent(scope, verdict, at).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.inner.close().await
    }
}

#[derive(Debug)]
struct FaultyBlob {
    inner: Box<dyn BlobWriter>,
    fault: Fault,
    bytes: Vec<u8>,
}

#[async_trait]
impl BlobWriter for FaultyBlob {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&chunk);
        let cut = self.fault == Fault::CutsLargeBlobs && chunk.len() > 100_000;
        self.inner.write(if cut { chunk.slice(1..) } else { chunk }).await
    }

    async fn finish(self: Box<Self>, blob: StoredBlob) -> Result<()> {
        self.inner.finish(blob).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        if self.fault == Fault::AbortedBlobIsHeld {
            let stored = StoredBlob { digest: Digest::of(&self.bytes), size: self.bytes.len() as u64 };
            return self.inner.finish(stored).await;
        }
        self.inner.abort().await
    }
}
