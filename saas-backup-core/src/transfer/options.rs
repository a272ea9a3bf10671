use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{At, Budget, Clock, CollectionName, IdMap, Key, NoProgress, Progress, SystemClock, WriteMode};

/// What to transfer, how, and within which bounds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransferOptions {
    /// What happens to what the target holds.
    pub mode: WriteMode,
    /// Which point in time of the source. Default: now.
    pub at: At,
    /// Only these collections. Default: all.
    pub collections: Option<Vec<CollectionName>>,
    /// Only these records; for a restore of a few. Default: all.
    pub records: Option<Vec<Key>>,
    /// Read every feed in full although it has a cursor. Default: false.
    pub full: bool,
    /// Record deletions that the guard would stop. Default: false.
    pub accept_deletions: bool,
    /// The brake on inferred deletions.
    pub guard: DeletionGuard,
    /// How old the last sweep may be, where the source can list what exists but does not report deletions.
    /// Default: zero, every run sweeps.
    pub sweep_every: Duration,
    /// How old the last full read may be, where the source neither reports deletions nor sweeps. Default: 7 days.
    pub full_every: Duration,
    /// Report what would happen and change nothing. Default: false.
    pub dry_run: bool,
    /// Old key → new key, for a target that gives ids of its own.
    pub ids: IdMap,
    /// Bounds that the source's readers share.
    pub budget: Budget,
    /// Feeds at work at the same time. Default: 4.
    pub feeds_in_flight: usize,
    /// Blobs on their way at the same time, over all feeds. Default: 4.
    pub blobs_in_flight: usize,
    /// A batch is written when it holds so many events. Default: 4,096.
    pub batch_events: usize,
    /// A batch is written when it holds so many bytes. Default: 1 MiB.
    pub batch_bytes: usize,
    /// What was written becomes durable after so many bytes. Default: 32 MiB.
    pub flush_bytes: usize,
    /// What was written becomes durable after so much time. Default: 60 s.
    pub flush_every: Duration,
    /// How often a feed is started again after a failure that may pass. Default: 3.
    pub restarts: u32,
    /// Hears what happens.
    pub progress: Arc<dyn Progress>,
    /// Ends the run at the next event; what was flushed is kept.
    pub cancel: CancellationToken,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl TransferOptions {
    /// A transfer in one mode, with the defaults.
    pub fn new(mode: WriteMode) -> Self {
        Self {
            mode,
            at: At::Now,
            collections: None,
            records: None,
            full: false,
            accept_deletions: false,
            guard: DeletionGuard::default(),
            sweep_every: Duration::ZERO,
            full_every: Duration::from_hours(7 * 24),
            dry_run: false,
            ids: IdMap::default(),
            budget: Budget::default(),
            feeds_in_flight: 4,
            blobs_in_flight: 4,
            batch_events: 4096,
            batch_bytes: 1024 * 1024,
            flush_bytes: 32 * 1024 * 1024,
            flush_every: Duration::from_mins(1),
            restarts: 3,
            progress: Arc::new(NoProgress),
            cancel: CancellationToken::new(),
            clock: Arc::new(SystemClock),
        }
    }

    /// A backup: the target mirrors the source, with its history.
    pub fn backup() -> Self {
        Self::new(WriteMode::Mirror)
    }

    /// Reads the source at a point in time.
    #[must_use]
    pub fn with_at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    /// Restricts the transfer to some collections.
    #[must_use]
    pub fn with_collections(mut self, collections: Vec<CollectionName>) -> Self {
        self.collections = Some(collections);
        self
    }

    /// Restricts the transfer to some records.
    #[must_use]
    pub fn with_records(mut self, records: Vec<Key>) -> Self {
        self.records = Some(records);
        self
    }

    /// Reads every feed in full.
    #[must_use]
    pub fn with_full(mut self, full: bool) -> Self {
        self.full = full;
        self
    }

    /// Records deletions that the guard would stop.
    #[must_use]
    pub fn with_accepted_deletions(mut self, accept: bool) -> Self {
        self.accept_deletions = accept;
        self
    }

    /// Reports what would happen and changes nothing.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets the id map.
    #[must_use]
    pub fn with_ids(mut self, ids: IdMap) -> Self {
        self.ids = ids;
        self
    }

    /// Sets who hears what happens.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Sets what ends the run.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the deletion guard.
    #[must_use]
    pub fn with_guard(mut self, guard: DeletionGuard) -> Self {
        self.guard = guard;
        self
    }

    /// Sets how much is written before it is made durable.
    #[must_use]
    pub fn with_flush(mut self, bytes: usize, every: Duration) -> Self {
        self.flush_bytes = bytes;
        self.flush_every = every;
        self
    }
}

/// The brake on inferred deletions: an empty answer is not a deletion.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeletionGuard {
    /// So many deletions in one collection are let through whatever its size. Default: 20.
    pub records: u64,
    /// So large a part of a collection is let through, from 0 to 1. Default: 0.05.
    pub part: f64,
}

impl DeletionGuard {
    /// Lets through so many records, or so large a part of a collection, whichever is more.
    pub fn new(records: u64, part: f64) -> Self {
        Self { records, part }
    }

    /// How many deletions are let through where `live` records are held.
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a share of a count needs no last digit")]
    pub fn allowance(&self, live: u64) -> u64 {
        self.records.max((live as f64 * self.part.clamp(0.0, 1.0)) as u64)
    }
}

impl Default for DeletionGuard {
    fn default() -> Self {
        Self::new(20, 0.05)
    }
}
