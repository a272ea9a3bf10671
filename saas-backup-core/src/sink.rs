use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    Account, BlobRef, Catalog, CollectionName, Coverage, Cursor, Digest, Event, Feed, FeedId, Gap, Key, Problem,
    Result, RunId, RunReport, Scope,
};

/// A write session.
///
/// It knows its own state, takes events in order and idempotently by key, and reports an outcome for each.
/// [`Capabilities`](crate::Capabilities) of its connector say whether it is atomic: then nothing is visible before
/// [`commit`](Sink::commit), and what [`flush`](Writer::flush) made durable survives a kill as an unfinished run that
/// the next run continues.
#[async_trait]
pub trait Sink: Debug + Send + Sync + 'static {
    /// What the sink knows: cursors, open gaps, counts. Cancel safe.
    async fn state(&self) -> Result<State>;

    /// Says what is about to be written; called once, before anything else is.
    async fn begin(&self, start: &RunStart) -> Result<()>;

    /// Asks whether the sink holds a blob or wants it; called before the record that owns it is written.
    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<BlobSlot>;

    /// Opens the writer of one feed; one writer a feed at a time.
    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>>;

    /// Ends the session and makes what was written one durable, visible whole.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if another session won.
    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt>;

    /// Ends the session without a result; what was flushed stays for the next run, the rest is cleaned up.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// Writes one feed.
///
/// Its futures are not cancel safe: a writer whose call was dropped is spoilt; open a new one and resume from the
/// last flush.
#[async_trait]
pub trait Writer: Debug + Send {
    /// Takes events in order; gives one outcome for each.
    ///
    /// A `Put` closes the record's open gaps, but for those of blobs that are in it and not
    /// [`Available`](crate::BlobStatus::Available); a `Delete` closes them all. A `Delete` that names another partition
    /// than the stored record's, or a gap's, does nothing to it: the record moved, maybe in
    /// another writer that flushed in between. A `Reset` drops, with the next flush, the positions of
    /// all slices of its collections (of all that the feed covers, if it names none); that there were these slices
    /// stays in [`State::feeds`].
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>>;

    /// Makes everything written so far durable, together with the cursor that covers it. The feed is in
    /// [`State::feeds`] from its first flush on, though nothing was written.
    async fn flush(&mut self, cursor: Option<&Cursor>) -> Result<()>;

    /// Begins, or goes on with, a full read: from here on every key that is put, seen or named by a gap is remembered
    /// under the epoch, and at each flush made durable beside the cursor. Another epoch than the one that is open
    /// begins anew. Everything written before is flushed when this is called.
    ///
    /// The defaults of the three extent methods are for sinks without `mirror`: they remember nothing and delete nothing.
    async fn open_extent(&mut self, epoch: Epoch) -> Result<()> {
        let _ = epoch;
        Ok(())
    }

    /// What the copy holds live in the scope and the open extent did not see.
    async fn candidates(&mut self, scope: &Scope) -> Result<Candidates> {
        Ok(Candidates::none(scope.clone()))
    }

    /// Ends the open extent, durable with the next flush. Returns how many records were recorded as deleted.
    ///
    /// With [`Verdict::Delete`] what was not seen is recorded as deleted ([`Reconciled`](crate::DeletionReason::Reconciled))
    /// as of `at`, [`FeedState::full_at`] becomes `at`, and gaps of the scope that this extent did not report again
    /// are closed, but for those of records that it saw: seeing a record is not reading it. [`Verdict::Gone`] does the
    /// same, and the feed leaves [`State::feeds`].
    async fn close_extent(&mut self, scope: &Scope, verdict: Verdict, at: DateTime<Utc>) -> Result<u64> {
        let _ = (scope, verdict, at);
        Ok(0)
    }

    /// Ends the writer after its last flush.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// Takes the bytes of one blob.
#[async_trait]
pub trait BlobWriter: Debug + Send {
    /// Takes the next bytes.
    async fn write(&mut self, chunk: Bytes) -> Result<()>;

    /// Ends the blob; the caller has digested the bytes.
    async fn finish(self: Box<Self>, blob: StoredBlob) -> Result<()>;

    /// Gives the blob up and cleans up.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// What a sink says when it is asked for a blob.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlobSlot {
    /// It holds the bytes.
    Held(StoredBlob),
    /// It wants them.
    Want(Box<dyn BlobWriter>),
    /// It has no use for them.
    Unwanted,
}

/// The digest and length of bytes that were read to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBlob {
    /// SHA-256.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is written.
    Stored,
    /// The sink holds the same already.
    Unchanged,
    /// It is written under another key, or not in full.
    Written(Box<Written>),
    /// The mode leaves it alone, or the sink has no place for it.
    Skipped(Box<Problem>),
    /// It is written as far as it goes; give it again when these records are there.
    Deferred(Vec<Key>),
    /// It was refused.
    Rejected(Box<Problem>),
}

/// How a record arrived in a sink that changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Written {
    /// The key that it has there.
    pub key: Option<Key>,
    /// Whether it was there and was replaced.
    pub replaced: bool,
    /// What did not arrive.
    pub lost: Vec<Loss>,
}

impl Written {
    /// A record that arrived whole under a key.
    pub fn new(key: Key) -> Self {
        Self { key: Some(key), replaced: false, lost: Vec::new() }
    }

    /// Adds something that did not arrive.
    #[must_use]
    pub fn with_loss(mut self, path: impl Into<String>, reason: impl Into<String>) -> Self {
        self.lost.push(Loss { path: path.into(), reason: reason.into() });
        self
    }
}

/// A part of a record that a sink could not take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Loss {
    /// A JSON pointer into the line, such as `/data/password`.
    pub path: String,
    /// Why, as a stable short text.
    pub reason: String,
}

/// A full read's identity: what it saw is only compared with what it should have seen if the sink was told of the
/// same epoch from its first event on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(RunId);

impl Epoch {
    /// A new epoch.
    pub fn new(time: DateTime<Utc>) -> Self {
        Self(RunId::new(time))
    }
}

/// What a full read did not see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Candidates {
    /// Where.
    pub scope: Scope,
    /// How many records are live in the copy and were not seen.
    pub count: u64,
    /// How many records are live in the copy.
    pub live: u64,
    /// SHA-256 over their sorted keys: two full reads with the same candidates agree.
    pub digest: Digest,
    /// The first of them, at most 20.
    pub sample: Vec<Key>,
}

impl Candidates {
    /// No candidates.
    pub fn none(scope: Scope) -> Self {
        Self { scope, count: 0, live: 0, digest: Digest::of(b""), sample: Vec::new() }
    }

    /// Digests sorted keys.
    pub fn of<'a>(scope: Scope, live: u64, keys: impl IntoIterator<Item = &'a Key>) -> Self {
        use sha2::Digest as _;
        let (mut digest, mut sample, mut count) = (sha2::Sha256::new(), Vec::new(), 0);
        for key in keys {
            for part in [key.collection.as_str(), key.id.as_str()] {
                digest.update(part);
                digest.update([0]);
            }
            if sample.len() < 20 {
                sample.push(key.clone());
            }
            count += 1;
        }
        Self { scope, count, live, digest: Digest::from_bytes(digest.finalize().into()), sample }
    }
}

/// What to do with the candidates of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Record them as deleted.
    Delete,
    /// Record them as deleted, and forget the feed: its partition does not exist any more.
    Gone,
    /// Leave them as they are, and the feed's position too: the extent counts for nothing.
    Keep,
    /// Leave them as they are, and forget the feed's position: the next run reads it in full.
    Restart,
}

/// What a sink knows when a session opens.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct State {
    /// Where each feed stands, those included whose position was dropped.
    pub feeds: BTreeMap<FeedId, FeedState>,
    /// What is known to be missing.
    pub gaps: Vec<OpenGap>,
    /// What is held, per collection.
    pub held: BTreeMap<CollectionName, Held>,
    /// The coverage of the last finished run.
    pub coverage: Option<Coverage>,
    /// What waits for somebody's decision.
    pub reviews: Vec<Review>,
    /// A run that flushed and never finished: this session continues it.
    pub unfinished: Option<RunId>,
}

/// Where a feed stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FeedState {
    /// The feed.
    pub feed: Feed,
    /// The last durable cursor.
    pub cursor: Option<Cursor>,
    /// The full read that is under way.
    pub epoch: Option<Epoch>,
    /// When the last full read of it ended.
    pub full_at: Option<DateTime<Utc>>,
}

impl FeedState {
    /// A feed of which nothing was read.
    pub fn new(feed: Feed) -> Self {
        Self { feed, cursor: None, epoch: None, full_at: None }
    }
}

/// Something that is known to be missing, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenGap {
    /// The feed that reported it.
    pub feed: FeedId,
    /// What is missing and why.
    pub gap: Gap,
    /// The first run that missed it.
    pub since: RunId,
}

impl OpenGap {
    /// A gap that `feed` reported first in the run `since`.
    pub fn new(feed: FeedId, gap: Gap, since: RunId) -> Self {
        Self { feed, gap, since }
    }
}

/// What is held of one collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Held {
    /// Records that are not deleted, the trash included; `None` if the sink does not count.
    pub records: Option<u64>,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
}

/// A stop of the deletion guard that waits for somebody's decision, or for a second full read that agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Review {
    /// The feed.
    pub feed: FeedId,
    /// What would be deleted.
    pub candidates: Candidates,
    /// Why the guard stopped.
    pub reason: String,
    /// The run that it stopped first.
    pub since: RunId,
}

impl Review {
    /// A stop of the deletion guard.
    pub fn new(feed: FeedId, candidates: Candidates, reason: impl Into<String>, since: RunId) -> Self {
        Self { feed, candidates, reason: reason.into(), since }
    }
}

/// What a session is about to write.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunStart {
    /// The run; that of [`State::unfinished`] if there is one.
    pub run: RunId,
    /// When it started.
    pub started: DateTime<Utc>,
    /// The source's account, if it was asked.
    pub account: Option<Account>,
    /// The source's catalog, restricted to the collections that are read.
    pub catalog: Catalog,
    /// The source's coverage.
    pub coverage: Coverage,
}

impl RunStart {
    /// A run of a source with this catalog and coverage.
    pub fn new(run: RunId, started: DateTime<Utc>, catalog: Catalog, coverage: Coverage) -> Self {
        Self { run, started, account: None, catalog, coverage }
    }
}

/// What a finished session left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The sequence number of the point in time, if the sink has points.
    pub sequence: Option<u64>,
    /// Whether anything was written; an empty increment writes nothing.
    pub written: bool,
    /// Bytes that the session added to the storage.
    pub bytes_added: u64,
    /// Objects or files that it added.
    pub objects_added: u64,
}
