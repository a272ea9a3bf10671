use std::fmt::Debug;
use std::sync::Arc;

use crate::{Counts, Feed, FeedId, FeedStatus, RunId, RunStatus};

/// Hears what a run does, for bars, lines and metrics.
///
/// Called from the run itself: it must return at once and must not block.
pub trait Progress: Debug + Send + Sync + 'static {
    /// Hears one event.
    fn event(&self, event: &ProgressEvent);
}

impl<T: Progress + ?Sized> Progress for Arc<T> {
    fn event(&self, event: &ProgressEvent) {
        (**self).event(event);
    }
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn event(&self, _: &ProgressEvent) {}
}

/// One thing that a run did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ProgressEvent {
    /// The run began.
    Started {
        /// The run.
        run: RunId,
        /// How many records the source says exist, if it counts all its collections.
        expected: Option<u64>,
    },
    /// A feed began, or began again after a passing failure.
    FeedStarted {
        /// The feed.
        feed: Feed,
        /// Whether it goes on from a cursor.
        resumed: bool,
    },
    /// Counts since the last event of this feed.
    Advanced {
        /// The feed.
        feed: FeedId,
        /// What was added.
        counts: Counts,
    },
    /// Bytes of a blob arrived.
    BlobBytes {
        /// The feed of its record.
        feed: FeedId,
        /// How many.
        bytes: u64,
    },
    /// Everything so far is durable.
    Flushed {
        /// The feed.
        feed: FeedId,
    },
    /// A feed waits before it starts again.
    Waiting {
        /// The feed.
        feed: FeedId,
        /// For how long.
        wait: std::time::Duration,
    },
    /// A feed ended.
    FeedFinished {
        /// The feed.
        feed: FeedId,
        /// How.
        status: FeedStatus,
    },
    /// The run ended.
    Finished {
        /// How.
        status: RunStatus,
    },
}
