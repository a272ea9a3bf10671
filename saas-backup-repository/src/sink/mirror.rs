use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use chrono::TimeDelta;
use saas_backup_core::{
    BlobId, BlobRef, BlobSlot, Feed, Key, Receipt, Result, RunReport, RunStart, Sink, State, StoredBlob, Writer,
};
use tokio::sync::OwnedMutexGuard;

use super::blob::RepositoryBlobWriter;
use super::session::Session;
use super::step::Finish;
use super::writer::MirrorWriter;
use crate::object::Family;
use crate::read::{BlobRow, PointSnapshot};
use crate::reserved;
use crate::source::Shared;

/// Positions that moved while nothing else happened are kept after this time.
fn stale() -> TimeDelta {
    TimeDelta::hours(24)
}

/// Keeps the mirror of a source.
#[derive(Debug)]
pub(crate) struct MirrorSink {
    session: Arc<Session>,
    /// Whether a run becomes a point although it brings no news.
    always: bool,
}

impl MirrorSink {
    pub(crate) async fn open(shared: Arc<Shared>, remember: bool, only: OwnedMutexGuard<()>) -> Result<Self> {
        Ok(Self { session: Arc::new(Session::open(shared, remember, only).await?), always: false })
    }

    /// Makes each run a point, news or not.
    pub(crate) fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// A place for an attachment, which replaces what is held under its id.
    pub(crate) fn wanted(&self, owner: &Key, id: &BlobId) -> BlobSlot {
        let writer = RepositoryBlobWriter::new(Arc::clone(&self.session), owner.collection.clone(), id.clone());
        BlobSlot::Want(Box::new(writer))
    }

    /// Makes what was flushed durable, and says what the source holds now; no point is made.
    pub(crate) async fn settle(&self) -> Result<PointSnapshot> {
        self.session.check()?;
        self.session.flush_pack().await?;
        let is_empty = self.session.lock().pending.is_empty();
        if !is_empty {
            self.session.commit_step(None).await?;
        }
        Ok(self.session.head())
    }
}

#[async_trait]
impl Sink for MirrorSink {
    async fn state(&self) -> Result<State> {
        Ok(self.session.state())
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        self.session.begin(start);
        Ok(())
    }

    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        self.session.check()?;
        let Some(id) = &blob.id else { return Ok(BlobSlot::Unwanted) };
        let known = self.session.lock().blobs.get(id).copied();
        if let Some(held) = known {
            return Ok(BlobSlot::Held(held));
        }
        self.session.relied.store(true, Ordering::Relaxed);
        let head = self.session.head();
        let key = reserved::key(reserved::BLOBS, id.as_str())?;
        let found = self.session.shared().access.lookup(&head.map, Family::Meta, &key, head.at).await?;
        if let Some(line) = found.filter(|line| !line.is_deletion()) {
            let row: BlobRow = reserved::value(&line.text)?;
            return Ok(BlobSlot::Held(StoredBlob { digest: row.sha256, size: row.size }));
        }
        Ok(self.wanted(owner, id))
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        self.session.check()?;
        Ok(Box::new(MirrorWriter::open(Arc::clone(&self.session), feed)?))
    }

    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        let session = &self.session;
        session.check()?;
        session.flush_pack().await?;
        let (reviews_before, is_news) = {
            let mut inner = session.lock();
            let reviews = inner.tables.reviews.clone();
            let reported = inner.tables.finish(report);
            let map = session.committer.map();
            let head = map.head.as_ref();
            let unfinished = head.is_none_or(|head| !head.finished);
            let old = head.is_some_and(|head| report.finished - head.at >= stale());
            let moved = inner.tables.has_moved() && old;
            let news = !inner.pending.is_empty() || inner.tables.is_changed() || reported || unfinished || moved;
            (reviews, news || self.always)
        };
        if is_news {
            session.commit_step(Some(Finish { report, reviews_before: &reviews_before })).await?;
        }
        let (map, added) = (session.committer.map(), session.committer.added());
        session.shared().remember(&map);
        let mut receipt = Receipt::default();
        receipt.sequence = map.points.last().map(|(sequence, _, _)| *sequence);
        receipt.written = is_news;
        receipt.bytes_added = added.bytes;
        receipt.objects_added = added.objects;
        Ok(receipt)
    }

    /// What was flushed becomes durable; an unfinished run that the next one continues.
    async fn abort(self: Box<Self>) -> Result<()> {
        let is_empty = {
            let inner = self.session.lock();
            inner.spoilt || (inner.pending.is_empty() && !inner.tables.is_changed())
        };
        if is_empty || self.session.run().is_err() {
            return Ok(());
        }
        self.session.commit_step(None).await
    }
}
