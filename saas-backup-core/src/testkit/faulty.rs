//! A target that breaks off in the middle.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::{
    Account, BlobRef, BlobSlot, BlobWriter, Candidates, Capabilities, Connector, Cursor, Epoch, Erasures, Error,
    ErrorKind, Event, Feed, Key, Outcome, Receipt, Result, RunReport, RunStart, Scope, Sink, SinkOptions, Snapshot,
    SnapshotOptions, State, StoredBlob, Verdict, Writer,
};

/// Wraps a connector whose write sessions break off on demand, as if the process were killed.
///
/// After [`crash_after`](Self::crash_after) so many steps (an event, a flush, a chunk of a blob, an extent, a commit)
/// every call fails and none reaches the connector, an abort neither, until [`recover`](Self::recover).
///
/// ```
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::testkit::{FakeProvider, FaultySink};
/// use saas_backup_core::{TransferOptions, transfer};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let (source, store) = (FakeProvider::seeded(1, 20), MemoryStore::new());
/// let target = FaultySink::new(MemoryConnector::new(store.clone()));
/// target.crash_after(10);
/// assert!(transfer(&source, &target, TransferOptions::backup()).await.is_err());
/// assert!(store.live().is_empty());
///
/// target.recover();
/// transfer(&source, &target, TransferOptions::backup()).await?;
/// assert_eq!(store.live().len(), source.visible().len());
/// # Ok::<_, saas_backup_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct FaultySink {
    inner: Arc<dyn Connector>,
    steps: Steps,
}

impl FaultySink {
    /// Wraps a connector; nothing breaks yet.
    pub fn new(inner: impl Connector) -> Self {
        Self { inner: Arc::new(inner), steps: Steps::default() }
    }

    /// Breaks off after so many more steps.
    pub fn crash_after(&self, steps: usize) {
        self.steps.set(Some(steps));
    }

    /// Works again.
    pub fn recover(&self) {
        self.steps.set(None);
    }

    /// Whether it has broken off and did not recover.
    pub fn has_crashed(&self) -> bool {
        self.steps.left() == Some(0)
    }
}

/// The steps until the crash; `None` if there is none to come.
#[derive(Clone, Debug, Default)]
struct Steps(Arc<Mutex<Option<usize>>>);

impl Steps {
    fn set(&self, left: Option<usize>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    fn left(&self) -> Option<usize> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `wanted` steps; returns how many there were.
    fn take(&self, wanted: usize) -> usize {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(have) = *left else { return wanted };
        let taken = have.min(wanted);
        *left = Some(have - taken);
        taken
    }

    fn one(&self) -> Result<()> {
        if self.take(1) == 1 { Ok(()) } else { Err(crashed()) }
    }

    fn alive(&self) -> Result<()> {
        if self.left() == Some(0) { Err(crashed()) } else { Ok(()) }
    }
}

fn crashed() -> Error {
    Error::new(ErrorKind::Unexpected, "the target broke off, as it was told to")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Connector for FaultySink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn check(&self) -> Result<Account> {
        self.inner.check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        self.inner.snapshot(options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        self.steps.alive()?;
        Ok(Box::new(Session { inner: self.inner.sink(options).await?, steps: self.steps.clone() }))
    }

    fn erasures(&self) -> Option<Arc<dyn Erasures>> {
        self.inner.erasures()
    }
}

#[derive(Debug)]
struct Session {
    inner: Box<dyn Sink>,
    steps: Steps,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Sink for Session {
    async fn state(&self) -> Result<State> {
        self.steps.alive()?;
        self.inner.state().await
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        self.steps.one()?;
        self.inner.begin(start).await
    }

    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        self.steps.alive()?;
        Ok(match self.inner.blob(owner, blob).await? {
            BlobSlot::Want(inner) => BlobSlot::Want(Box::new(FaultyBlob { inner, steps: self.steps.clone() })),
            slot => slot,
        })
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        self.steps.alive()?;
        Ok(Box::new(FaultyWriter { inner: self.inner.writer(feed).await?, steps: self.steps.clone() }))
    }

    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        self.steps.one()?;
        self.inner.commit(report).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // A process that was killed cleans nothing up.
        self.steps.alive()?;
        self.inner.abort().await
    }
}

#[derive(Debug)]
struct FaultyWriter {
    inner: Box<dyn Writer>,
    steps: Steps,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Writer for FaultyWriter {
    async fn write(&mut self, mut batch: Vec<Event>) -> Result<Vec<Outcome>> {
        let taken = self.steps.take(batch.len());
        if taken == batch.len() {
            return self.inner.write(batch).await;
        }
        batch.truncate(taken);
        self.inner.write(batch).await?;
        Err(crashed())
    }

    async fn flush(&mut self, cursor: Option<&Cursor>) -> Result<()> {
        self.steps.one()?;
        self.inner.flush(cursor).await
    }

    async fn open_extent(&mut self, epoch: Epoch) -> Result<()> {
        self.steps.alive()?;
        self.inner.open_extent(epoch).await
    }

    async fn candidates(&mut self, scope: &Scope) -> Result<Candidates> {
        self.steps.alive()?;
        self.inner.candidates(scope).await
    }

    async fn close_extent(&mut self, scope: &Scope, verdict: Verdict, at: DateTime<Utc>) -> Result<u64> {
        self.steps.one()?;
        self.inner.close_extent(scope, verdict, at).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.steps.alive()?;
        self.inner.close().await
    }
}

#[derive(Debug)]
struct FaultyBlob {
    inner: Box<dyn BlobWriter>,
    steps: Steps,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobWriter for FaultyBlob {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.steps.one()?;
        self.inner.write(chunk).await
    }

    async fn finish(self: Box<Self>, blob: StoredBlob) -> Result<()> {
        self.steps.one()?;
        self.inner.finish(blob).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.steps.alive()?;
        self.inner.abort().await
    }
}
