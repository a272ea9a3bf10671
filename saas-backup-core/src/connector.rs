use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Account, Budget, Erasures, IdMap, Result, Sink, Snapshot};

/// Something that can be opened: a provider account, a repository, a folder in an open format.
///
/// It says what it can do, checks its credentials, and opens a [`Snapshot`] to read or a [`Sink`] to write.
/// `docs/writing-a-connector.md` walks through one; the test kit's conformance run checks any.
#[async_trait]
pub trait Connector: Debug + Send + Sync + 'static {
    /// What this connector can do; constant for its life.
    fn capabilities(&self) -> Capabilities;

    /// Says who the credentials speak for, without side effects. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Unauthenticated`](crate::ErrorKind::Unauthenticated) or [`PermissionDenied`](crate::ErrorKind::PermissionDenied)
    /// if the credentials do not do; [`Unavailable`](crate::ErrorKind::Unavailable) if nobody answers.
    async fn check(&self) -> Result<Account>;

    /// Opens a readable view. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the capabilities say neither `read` nor, for a point in the
    /// past, `points_in_time`; [`NotFound`](crate::ErrorKind::NotFound) if there is no such point.
    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>>;

    /// Opens a write session.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the capabilities do not name the mode;
    /// [`Conflict`](crate::ErrorKind::Conflict) if another session is at work.
    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>>;

    /// The feed of what to erase, if the source tells.
    fn erasures(&self) -> Option<Arc<dyn Erasures>> {
        None
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Connector + ?Sized> Connector for Arc<T> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    async fn check(&self) -> Result<Account> {
        (**self).check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        (**self).snapshot(options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        (**self).sink(options).await
    }

    fn erasures(&self) -> Option<Arc<dyn Erasures>> {
        (**self).erasures()
    }
}

/// What a connector can do. The conformance run tests what is claimed, and that what is not claimed is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "one bit a capability, named after it")]
pub struct Capabilities {
    /// Opens snapshots.
    pub read: bool,
    /// A feed read from a cursor gives the changes since.
    pub incremental: bool,
    /// Has logs: feeds with one position over many collections.
    pub logs: bool,
    /// Deletions arrive in the feeds; where not, a full read or a sweep infers them.
    pub reports_deletions: bool,
    /// Can list what exists without its content (`Seen`).
    pub sweeps: bool,
    /// Can read named records alone.
    pub reads_records: bool,
    /// Records have blobs that can be opened.
    pub blobs: bool,
    /// Blobs can be read from an offset.
    pub blob_ranges: bool,
    /// An increment may deliver records that did not change (an overlap).
    pub redelivers: bool,
    /// Snapshots of the past can be opened, and a snapshot never changes.
    pub points_in_time: bool,

    /// Opens sinks that keep a copy of the source with its history, cursors and gaps.
    pub mirror: bool,
    /// Opens sinks that only add what is not there.
    pub create: bool,
    /// Opens sinks that add what is not there and leave what is.
    pub merge: bool,
    /// Opens sinks that replace what is there.
    pub overwrite: bool,
    /// Nothing is visible before `commit`.
    pub atomic: bool,
    /// A session writes its target anew, as an export to a file does: `create` refuses a target that holds something
    /// with [`Conflict`](crate::ErrorKind::Conflict), `overwrite` replaces all that it holds.
    pub whole: bool,
    /// Gives records ids of its own: an id map comes of it.
    pub assigns_ids: bool,
    /// Wants records in restore order.
    pub ordered: bool,
    /// May ask for a record again once its references are known.
    pub defers: bool,
    /// Can say what would happen without doing it.
    pub dry_run: bool,
    /// What it holds reads back as it was written: records, blobs and catalog.
    pub lossless: bool,
}

/// Which view to open, and the bounds it keeps.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SnapshotOptions {
    /// Which point in time. Default: now.
    pub at: At,
    /// Bounds on requests in flight and bytes in memory, shared by all feeds and blobs of the snapshot.
    pub budget: Budget,
}

impl SnapshotOptions {
    /// The view at a point in time.
    #[must_use]
    pub fn at(at: At) -> Self {
        Self { at, ..Self::default() }
    }

    /// Sets the bounds.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }
}

/// A point in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum At {
    /// A provider: now. A store: its latest point.
    #[default]
    Now,
    /// The last point that is not after this time.
    Time(DateTime<Utc>),
    /// The point with this sequence number.
    Sequence(u64),
    /// The point with this label.
    Label(String),
    /// So many points before the latest.
    Back(u32),
}

/// How to write, and what the session may remember.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SinkOptions {
    /// What happens to what is there.
    pub mode: WriteMode,
    /// Report what would happen and change nothing.
    pub dry_run: bool,
    /// Old key → new key, for sinks that give ids of their own; persisted at each flush.
    pub ids: IdMap,
    /// The source remembers too little: it infers deletions or delivers unchanged records again, so that a mirror
    /// must remember what it holds to tell a change from a repetition.
    pub remember: bool,
}

impl SinkOptions {
    /// A session in one mode, for real, with an empty id map.
    pub fn new(mode: WriteMode) -> Self {
        Self { mode, dry_run: false, ids: IdMap::default(), remember: false }
    }

    /// A mirror of a source that can do this.
    pub fn mirror_of(source: Capabilities) -> Self {
        let remember = source.redelivers || !source.reports_deletions;
        Self { remember, ..Self::new(WriteMode::Mirror) }
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
}

/// What a write session does to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WriteMode {
    /// Keep a copy of the source: the only mode in which what a full read did not see may be recorded as deleted.
    Mirror,
    /// Add everything as new; never touch what exists.
    Create,
    /// Add what is not there; leave what is.
    Merge,
    /// Add what is not there; replace what is.
    Overwrite,
}
