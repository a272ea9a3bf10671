//! Rules of the reading side, broken from outside: what the engine gives and gets is changed on its way.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _};

use crate::{
    Account, BlobRef, BlobSlot, ByteStream, Candidates, Capabilities, Catalog, Connector, Coverage, Cursor, Done,
    Epoch, Erasures, ErrorKind, Event, EventStream, Feed, FeedStream, Key, Outcome, ReadRequest, Receipt, Result,
    RunReport, RunStart, Scope, Sink, SinkOptions, Snapshot, SnapshotOptions, State, Verdict, Writer,
};

/// A rule of the reading side; with it broken, copies diverge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// A cursor becomes durable before the events that it covers.
    CursorAheadOfData,
    /// A full read that goes on has forgotten what it saw before.
    EpochForgotten,
    /// The word that changes cannot be told is not heard.
    ResetIgnored,
    /// What could not be read is passed over in silence.
    GapSwallowed,
    /// A stream that was cut counts as read to its end.
    CutTakenForEnd,
    /// A refused cursor counts as nothing new.
    ExpiryTakenForQuiet,
    /// A deletion counts whichever partition reports it.
    PartitionIgnored,
}

impl Mutant {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::CursorAheadOfData,
        Self::EpochForgotten,
        Self::ResetIgnored,
        Self::GapSwallowed,
        Self::CutTakenForEnd,
        Self::ExpiryTakenForQuiet,
        Self::PartitionIgnored,
    ];
}

/// A connector seen through a mutant.
#[derive(Debug)]
pub(super) struct Mutated {
    inner: Arc<dyn Connector>,
    mutant: Option<Mutant>,
}

impl Mutated {
    pub(super) fn new(inner: impl Connector, mutant: Option<Mutant>) -> Self {
        Self { inner: Arc::new(inner), mutant }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Connector for Mutated {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn check(&self) -> Result<Account> {
        self.inner.check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(MutatedSnapshot { inner: self.inner.snapshot(options).await?, mutant: self.mutant }))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        Ok(Box::new(MutatedSink { inner: self.inner.sink(options).await?, mutant: self.mutant }))
    }

    fn erasures(&self) -> Option<Arc<dyn Erasures>> {
        self.inner.erasures()
    }
}

#[derive(Debug)]
struct MutatedSnapshot {
    inner: Box<dyn Snapshot>,
    mutant: Option<Mutant>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Snapshot for MutatedSnapshot {
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
        let mutant = self.mutant;
        let scope = request.feed.scope();
        let events = self.inner.read(request);
        let mapped = events.filter_map(move |item| {
            let passed = match item {
                Ok(Event::Reset(_)) if mutant == Some(Mutant::ResetIgnored) => None,
                Ok(Event::Gap(_)) if mutant == Some(Mutant::GapSwallowed) => None,
                item => Some(item),
            };
            std::future::ready(passed)
        });
        let quiet = mutant == Some(Mutant::ExpiryTakenForQuiet);
        let cut = mutant == Some(Mutant::CutTakenForEnd);
        let state = Some((mapped, false));
        stream::unfold(state, move |state| {
            let scope = scope.clone();
            async move {
                let (mut events, ended) = state?;
                match events.next().await {
                    Some(Err(error)) if quiet && error.kind() == ErrorKind::CursorExpired => {
                        Some((Ok(Event::Done(Done::changes(scope))), None))
                    }
                    Some(item) => {
                        let ends = matches!(item, Ok(Event::Done(_)) | Err(_));
                        Some((item, Some((events, ends))))
                    }
                    None if cut && !ended => Some((Ok(Event::Done(Done::full(scope))), None)),
                    None => None,
                }
            }
        })
        .boxed()
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.inner.open(owner, blob, range).await
    }
}

#[derive(Debug)]
struct MutatedSink {
    inner: Box<dyn Sink>,
    mutant: Option<Mutant>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Sink for MutatedSink {
    async fn state(&self) -> Result<State> {
        self.inner.state().await
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        self.inner.begin(start).await
    }

    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        self.inner.blob(owner, blob).await
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        let inner = self.inner.writer(feed).await?;
        Ok(Box::new(MutatedWriter { inner, mutant: self.mutant, held_back: Vec::new() }))
    }

    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        self.inner.commit(report).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}

#[derive(Debug)]
struct MutatedWriter {
    inner: Box<dyn Writer>,
    mutant: Option<Mutant>,
    held_back: Vec<Event>,
}

impl MutatedWriter {
    fn lags(&self) -> bool {
        self.mutant == Some(Mutant::CursorAheadOfData)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Writer for MutatedWriter {
    async fn write(&mut self, mut batch: Vec<Event>) -> Result<Vec<Outcome>> {
        if self.lags() {
            let outcomes = vec![Outcome::Stored; batch.len()];
            self.held_back.append(&mut batch);
            return Ok(outcomes);
        }
        if self.mutant == Some(Mutant::PartitionIgnored) {
            for event in &mut batch {
                if let Event::Delete(deletion) = event {
                    deletion.partition = None;
                }
            }
        }
        self.inner.write(batch).await
    }

    async fn flush(&mut self, cursor: Option<&Cursor>) -> Result<()> {
        self.inner.flush(cursor).await?;
        if !self.held_back.is_empty() {
            self.inner.write(std::mem::take(&mut self.held_back)).await?;
        }
        Ok(())
    }

    async fn open_extent(&mut self, epoch: Epoch) -> Result<()> {
        let epoch = if self.mutant == Some(Mutant::EpochForgotten) { Epoch::new(DateTime::UNIX_EPOCH) } else { epoch };
        self.inner.open_extent(epoch).await
    }

    async fn candidates(&mut self, scope: &Scope) -> Result<Candidates> {
        if !self.held_back.is_empty() {
            self.inner.write(std::mem::take(&mut self.held_back)).await?;
        }
        self.inner.candidates(scope).await
    }

    async fn close_extent(&mut self, scope: &Scope, verdict: Verdict, at: DateTime<Utc>) -> Result<u64> {
        self.inner.close_extent(scope, verdict, at).await
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        if self.lags() {
            self.inner.write(std::mem::take(&mut self.held_back)).await?;
            self.inner.flush(None).await?;
        }
        self.inner.close().await
    }
}
