//! The second repository as the transfer engine sees it: a mirror whose next run is one of the first repository.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use saas_backup_core::{
    Account, At, BlobRef, BlobSlot, Capabilities, Connector, Error, ErrorKind, Feed, Key, Receipt, Result, RunReport,
    RunStart, Sink, SinkOptions, Snapshot, SnapshotOptions, State, Writer,
};

use super::compare::compare;
use crate::points::Point;
use crate::read::PointSnapshot;
use crate::sink::MirrorSink;
use crate::source::Source;

/// A source of the second repository that waits for one point of the first.
#[derive(Debug)]
pub(super) struct Target {
    source: Source,
    first: PointSnapshot,
    report: RunReport,
    /// Whether what was written came out different.
    differed: Arc<AtomicBool>,
}

impl Target {
    pub(super) async fn open(first: &Source, second: &Source, point: &Point) -> Result<Self> {
        let at = At::Sequence(point.sequence);
        let mut report = first.report(&at).await?;
        (report.run, report.status) = (point.run, point.status);
        (report.started, report.finished) = (point.started, point.finished);
        let first = first.at(&SnapshotOptions::at(at)).await?;
        Ok(Self { source: second.clone().with_labels(point.labels.clone()), first, report, differed: Arc::default() })
    }

    pub(super) fn differed(&self) -> bool {
        self.differed.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Connector for Target {
    fn capabilities(&self) -> Capabilities {
        self.source.capabilities()
    }

    async fn check(&self) -> Result<Account> {
        self.source.check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        self.source.snapshot(options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let mirror = self.source.mirror(options).await?.always();
        let (first, report, differed) = (self.first.clone(), self.report.clone(), Arc::clone(&self.differed));
        Ok(Box::new(PointSink { mirror, first, report, differed }))
    }
}

/// Writes one point of the first repository.
#[derive(Debug)]
struct PointSink {
    mirror: MirrorSink,
    first: PointSnapshot,
    /// What the first repository says of the point.
    report: RunReport,
    differed: Arc<AtomicBool>,
}

#[async_trait]
impl Sink for PointSink {
    async fn state(&self) -> Result<State> {
        let mut state = self.mirror.state().await?;
        // The run is that of the point, whichever was under way when somebody was interrupted.
        state.unfinished = Some(self.report.run);
        Ok(state)
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        self.mirror.begin(start).await
    }

    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        let slot = self.mirror.blob(owner, blob).await?;
        match (&slot, &blob.id, blob.digest) {
            // The first repository has let go of what it held under this id, and read it anew since.
            (BlobSlot::Held(held), Some(id), Some(digest)) if held.digest != digest => {
                Ok(self.mirror.wanted(owner, id))
            }
            _ => Ok(slot),
        }
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        self.mirror.writer(feed).await
    }

    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        if let Some(problem) = report.feeds.values().find_map(|feed| feed.problem.as_ref()) {
            let message = "the point could not be read whole from the first repository";
            return Err(Error::new(ErrorKind::Unavailable, message).with_context("cause", &problem.title));
        }
        let second = self.mirror.settle().await?;
        if let Some(difference) = compare(&self.first, &second).await? {
            self.differed.store(true, Ordering::Relaxed);
            return Err(difference);
        }
        Box::new(self.mirror).commit(&self.report).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Box::new(self.mirror).abort().await
    }
}
