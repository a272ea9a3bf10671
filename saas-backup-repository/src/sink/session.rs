use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use saas_backup_core::{BlobId, Error, ErrorKind, FeedId, FeedState, Result, RunId, RunStart, State, StoredBlob};
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::Instant;

use super::blob::Pack;
use super::remembered::Remembered;
use super::tables::{TableChange, Tables};
use crate::commit::ObjectRef;
use crate::committer::Committer;
use crate::object::{LineBuffer, SEGMENT_RAW_BYTES, SegmentIndex};
use crate::read::PointSnapshot;
use crate::source::Shared;

/// How long flushed lines may wait for company before they become a commit of their own.
pub(super) const FLUSH_AGE: Duration = Duration::from_mins(1);
/// Segments that are built and uploaded at the same time.
const BUILDERS: usize = 2;
/// Pieces of attachments, and packs, that are compressed and sealed at the same time.
const SEALERS: usize = 2;
/// Bytes of lines that all writers together let wait for a full segment.
const WAITING_BYTES: usize = 3 * SEGMENT_RAW_BYTES / 2;
/// What makes a segment before it is full, where many writers wait with theirs.
const EARLY_BYTES: usize = SEGMENT_RAW_BYTES / 4;

/// One write session, shared by the sink and its writers.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) committer: Committer,
    pub(super) remembered: Remembered,
    pub(super) builders: Arc<Semaphore>,
    pub(super) sealers: Semaphore,
    /// Bytes of lines that wait in the writers for a full segment.
    waiting: AtomicUsize,
    /// Whether a log wrote records, which slices cover, too.
    pub(super) logged: AtomicBool,
    /// Whether a source was told that an attachment is held.
    pub(super) relied: AtomicBool,
    /// Held while a commit is made.
    pub(super) committing: tokio::sync::Mutex<()>,
    /// Small attachments that wait for their pack.
    pub(super) pack: tokio::sync::Mutex<Pack>,
    inner: Mutex<Inner>,
    /// Held as long as the session lives: one session a source and process.
    _only: OwnedMutexGuard<()>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) tables: Tables,
    pub(super) pending: Pending,
    pub(super) run: Option<RunId>,
    pub(super) begun_at: u64,
    /// The feeds that opened an extent in this session.
    pub(super) extents: HashSet<FeedId>,
    pub(super) durable_at: Instant,
    /// Attachments of this session.
    pub(super) blobs: HashMap<BlobId, StoredBlob>,
    /// A commit did not come about: what it would have held is lost to this session.
    pub(super) spoilt: bool,
}

/// What is flushed and not in a commit yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) objects: Vec<ObjectRef>,
    pub(super) indexes: Vec<SegmentIndex>,
    pub(super) meta_indexes: Vec<SegmentIndex>,
    pub(super) lines: LineBuffer,
    pub(super) meta: LineBuffer,
    /// Bytes of attachments among the objects.
    pub(super) blob_bytes: u64,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.lines.is_empty() && self.meta.is_empty()
    }
}

/// What a writer's flush adds.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    pub(super) objects: Vec<ObjectRef>,
    pub(super) indexes: Vec<SegmentIndex>,
    pub(super) meta_indexes: Vec<SegmentIndex>,
    pub(super) lines: LineBuffer,
    pub(super) meta: LineBuffer,
    pub(super) changes: Vec<TableChange>,
}

impl Session {
    pub(super) async fn open(shared: Arc<Shared>, remember: bool, only: OwnedMutexGuard<()>) -> Result<Self> {
        let map = shared.load().await?;
        let committer = Committer::open(Arc::clone(&shared), shared.writing_keys().await?, Arc::clone(&map)).await?;
        let naming = committer.naming.clone();
        let at = map.head.as_ref().map_or(0, |head| head.sequence);
        let head = PointSnapshot { shared, map, at, budget: saas_backup_core::Budget::default() };
        let tables = Tables::load(&head).await?;
        let remembered = if remember { Remembered::load(naming, &head).await? } else { Remembered::nothing(naming) };
        Ok(Self {
            committer,
            remembered,
            builders: Arc::new(Semaphore::new(BUILDERS)),
            sealers: Semaphore::new(SEALERS),
            waiting: AtomicUsize::new(0),
            logged: AtomicBool::new(false),
            relied: AtomicBool::new(false),
            committing: tokio::sync::Mutex::default(),
            pack: tokio::sync::Mutex::default(),
            inner: Mutex::new(Inner {
                tables,
                pending: Pending::default(),
                run: None,
                begun_at: at,
                extents: HashSet::new(),
                durable_at: Instant::now(),
                blobs: HashMap::new(),
                spoilt: false,
            }),
            _only: only,
        })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.committer.shared
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer for lines.
    pub(super) fn lines(&self) -> LineBuffer {
        LineBuffer::with(Arc::clone(&self.committer.spare))
    }

    /// Refuses work after a commit that did not come about.
    pub(super) fn check(&self) -> Result<()> {
        if self.lock().spoilt {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "an earlier commit of this session did not come about; begin a new session",
            ));
        }
        Ok(())
    }

    pub(super) fn begin(&self, start: &RunStart) {
        let mut inner = self.lock();
        inner.run = Some(start.run);
        let always = inner.begun_at == 0 || inner.tables.held.remembered;
        inner.tables.set_remembered(always && self.remembered.remembers());
        inner.tables.learn(&start.catalog);
    }

    pub(super) fn run(&self) -> Result<RunId> {
        self.lock().run.ok_or_else(|| Error::new(ErrorKind::Configuration, "the session did not begin"))
    }

    pub(super) fn state(&self) -> State {
        let (inner, map) = (self.lock(), self.committer.map());
        let mut state = State::default();
        state.feeds = inner.tables.feeds.clone();
        state.gaps = inner.tables.gaps.values().cloned().collect();
        state.held = inner.tables.held.collections.clone();
        state.coverage.clone_from(&inner.tables.coverage);
        state.reviews.clone_from(&inner.tables.reviews);
        state.unfinished = map.head.as_ref().filter(|head| !head.finished).map(|head| head.run);
        state
    }

    /// Notes that a writer's waiting lines went from some bytes to others.
    pub(super) fn waits(&self, before: usize, now: usize) {
        self.waiting.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Whether so many bytes of lines make a segment now.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        bytes >= SEGMENT_RAW_BYTES || (bytes >= EARLY_BYTES && self.waiting.load(Ordering::Relaxed) >= WAITING_BYTES)
    }

    /// Notes that a feed opens an extent; whether nothing of it can have been written before.
    pub(super) fn begins(&self, feed: &FeedId) -> bool {
        let mut inner = self.lock();
        inner.extents.insert(feed.clone()) && inner.begun_at == 0
    }

    /// The source as the last commit left it, those of this session included.
    pub(super) fn head(&self) -> PointSnapshot {
        let map = self.committer.map();
        let at = map.head.as_ref().map_or(0, |head| head.sequence);
        PointSnapshot { shared: Arc::clone(self.shared()), map, at, budget: saas_backup_core::Budget::default() }
    }

    /// Where a feed stands, and what its open extent saw.
    pub(super) fn feed(&self, id: &FeedId) -> (Option<FeedState>, Vec<u64>) {
        let inner = self.lock();
        (inner.tables.feeds.get(id).cloned(), inner.tables.seen.get(id).cloned().unwrap_or_default())
    }

    /// Takes what a writer flushed; large or old enough, it becomes a commit.
    pub(super) async fn flush(
        self: &Arc<Self>,
        flushed: Flushed,
        state: FeedState,
        seen: Option<Vec<u64>>,
    ) -> Result<()> {
        self.check()?;
        let run = self.run()?;
        let brings_segments = !flushed.objects.is_empty();
        // Of one commit, the inline lines are the newest: lines that were flushed before these segments go first.
        if brings_segments && !self.lock().pending.lines.is_empty() {
            self.commit_step(None).await?;
        }
        let is_due = {
            let mut inner = self.lock();
            let Inner { pending, tables, durable_at, .. } = &mut *inner;
            pending.objects.extend(flushed.objects);
            pending.indexes.extend(flushed.indexes);
            pending.meta_indexes.extend(flushed.meta_indexes);
            pending.lines.append(flushed.lines);
            pending.meta.append(flushed.meta);
            let feed = state.feed.id.clone();
            tables.set_feed(state, seen);
            for change in flushed.changes {
                tables.apply(change, &feed, run, |key| self.remembered.key(key));
            }
            let bytes = pending.lines.bytes() as u64 + pending.meta.bytes() as u64 + pending.blob_bytes;
            let anything = !pending.is_empty() || tables.has_moved() || tables.is_changed();
            let due = brings_segments || bytes >= self.shared().flush_bytes || durable_at.elapsed() >= FLUSH_AGE;
            anything && due
        };
        if is_due { self.commit_step(None).await } else { Ok(()) }
    }
}
