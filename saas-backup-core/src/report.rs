use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{CollectionName, Completeness, Coverage, FeedId, Key, Loss, OpenGap, Problem, Review, RunId};

/// What a run did, and how complete the copy is after it; stored with the point in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When its last feed ended.
    pub finished: DateTime<Utc>,
    /// The worst thing that is true of it.
    pub status: RunStatus,
    /// What each feed gave.
    pub feeds: BTreeMap<FeedId, FeedReport>,
    /// What each collection gave.
    pub collections: BTreeMap<CollectionName, Counts>,
    /// What exists, is visible, is held, is missing and why.
    pub completeness: Completeness,
    /// What the grant could see.
    pub coverage: Coverage,
    /// What is known to be missing now.
    pub gaps: Vec<OpenGap>,
    /// What waits for somebody's decision.
    pub reviews: Vec<Review>,
    /// Records that the sink refused or left alone, with reasons; at most 1,000, the counts say how many.
    pub refused: Vec<Refusal>,
    /// What did not arrive in the sink, by collection and reason; counts records.
    pub losses: BTreeMap<CollectionName, BTreeMap<String, u64>>,
}

impl RunReport {
    /// A report of a run in which nothing happened yet.
    pub fn new(run: RunId, started: DateTime<Utc>) -> Self {
        Self {
            run,
            started,
            finished: started,
            status: RunStatus::Complete,
            feeds: BTreeMap::new(),
            collections: BTreeMap::new(),
            completeness: Completeness::default(),
            coverage: Coverage::default(),
            gaps: Vec::new(),
            reviews: Vec::new(),
            refused: Vec::new(),
            losses: BTreeMap::new(),
        }
    }

    /// The counts of all collections together.
    pub fn totals(&self) -> Counts {
        self.collections.values().fold(Counts::default(), Counts::plus)
    }

    /// Notes what did not arrive.
    pub(crate) fn note_losses(&mut self, collection: &CollectionName, lost: &[Loss]) {
        for loss in lost {
            let reasons = self.losses.entry(collection.clone()).or_default();
            *reasons.entry(format!("{}: {}", loss.path, loss.reason)).or_default() += 1;
        }
    }
}

/// The worst thing that is true of a run; ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RunStatus {
    /// Everything that the grant sees is held.
    Complete,
    /// Something is missing, and the report says what.
    Incomplete,
    /// The deletion guard stopped something.
    NeedsReview,
    /// A feed could not be read or written to its end.
    Failed,
    /// The caller cancelled; what was flushed is kept.
    Cancelled,
}

/// What a feed gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FeedReport {
    /// How it ended.
    pub status: FeedStatus,
    /// What was counted.
    #[serde(default)]
    pub counts: Counts,
    /// Why it was read in full although it had a cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// How often it was started again after a passing failure.
    #[serde(default)]
    pub restarts: u32,
}

impl FeedReport {
    pub(crate) fn new() -> Self {
        Self { status: FeedStatus::Failed, counts: Counts::default(), reset: None, problem: None, restarts: 0 }
    }
}

/// How a feed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FeedStatus {
    /// Everything was read.
    Full,
    /// The changes were read.
    Changes,
    /// It was not read to its end.
    Failed,
    /// The caller cancelled before its end.
    Cancelled,
}

/// What was counted in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Counts {
    /// Records that arrived from the source.
    pub read: u64,
    /// Records that were written.
    pub written: u64,
    /// Records that the sink held already.
    pub unchanged: u64,
    /// Deletions, told or inferred.
    pub deleted: u64,
    /// Records that the sink left alone.
    pub skipped: u64,
    /// Records that the sink refused.
    pub rejected: u64,
    /// Records and blobs that could not be read.
    pub gaps: u64,
    /// Blobs that were fetched.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub blob_bytes: u64,
    /// Blobs that the sink held already.
    pub blobs_held: u64,
}

impl Counts {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            read: self.read + other.read,
            written: self.written + other.written,
            unchanged: self.unchanged + other.unchanged,
            deleted: self.deleted + other.deleted,
            skipped: self.skipped + other.skipped,
            rejected: self.rejected + other.rejected,
            gaps: self.gaps + other.gaps,
            blobs: self.blobs + other.blobs,
            blob_bytes: self.blob_bytes + other.blob_bytes,
            blobs_held: self.blobs_held + other.blobs_held,
        }
    }
}

/// A record that a sink did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// Which record.
    pub key: Key,
    /// Whether it was refused (`true`) or left alone by the mode (`false`).
    pub rejected: bool,
    /// Why.
    pub problem: Problem,
}

impl Refusal {
    /// A record that a sink did not take.
    pub fn new(key: Key, rejected: bool, problem: Problem) -> Self {
        Self { key, rejected, problem }
    }
}
