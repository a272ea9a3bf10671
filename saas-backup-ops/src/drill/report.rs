use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_backup_core::{CollectionName, Error, Key, RunReport, RunStatus};
use serde::{Deserialize, Serialize};

use super::compare::Comparison;

/// Differences that are listed; all are counted.
pub(super) const LISTED: usize = 100;

/// How much of a point is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DrillScope {
    /// Everything: its time is a measured RTO.
    #[default]
    Full,
    /// Some records, and those that a restore of them needs.
    Sample {
        /// How many; all, if there are fewer.
        records: usize,
        /// Which: the same number chooses the same records of a point.
        seed: u64,
    },
}

/// What a rehearsed restore found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DrillReport {
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// How much of the point was restored.
    pub scope: DrillScope,
    /// Whether everything came back that the target can hold.
    pub passed: bool,
    /// How long each phase took.
    pub phases: Phases,
    /// Records that were compared.
    pub records: u64,
    /// Their attachments, each as often as records have it.
    pub blobs: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// How the restore itself ended; a point in which something was missing from the beginning is restored `incomplete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RunStatus>,
    /// Records that the target refused or left alone.
    pub refused: u64,
    /// What the target said does not arrive in it, by collection and reason; counts records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub losses: BTreeMap<CollectionName, BTreeMap<String, u64>>,
    /// What was compared, by collection.
    pub collections: BTreeMap<CollectionName, Compared>,
    /// What did not come back as it was: at most 100, [`collections`](Self::collections) count all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// What kept something from being restored or compared, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// How long each phase took, by a clock that nobody sets; in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Phases {
    /// Opening the point.
    pub open_ms: u64,
    /// Choosing a sample; a restore in earnest has no such phase.
    pub choose_ms: u64,
    /// From the beginning of the restore until a record was written; `None` if none was.
    pub first_record_ms: Option<u64>,
    /// Restoring.
    pub restore_ms: u64,
    /// Reading back and comparing.
    pub compare_ms: u64,
}

/// What was compared of a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Compared {
    /// Records that were to come back.
    pub records: u64,
    /// Attachments that were to come back.
    pub blobs: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Records that did not come back.
    pub missing: u64,
    /// Records that came back otherwise, or with other attachments.
    pub different: u64,
    /// Records that were not asked for.
    pub unexpected: u64,
    /// Fields of the records that came back; counted where the target may change them.
    pub fields: u64,
    /// Those of them that were as before.
    pub fields_equal: u64,
}

/// One thing that did not come back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// The record.
    pub key: Key,
    /// What is wrong with it.
    pub kind: DifferenceKind,
}

/// What is wrong with a record that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DifferenceKind {
    /// It is not there.
    Missing,
    /// It is otherwise.
    Record,
    /// It has other attachments, or they hold other bytes.
    Attachments,
    /// Nobody asked for it.
    Unexpected,
}

impl DrillReport {
    pub(super) fn new(scope: DrillScope, started: DateTime<Utc>) -> Self {
        Self {
            started,
            finished: started,
            scope,
            passed: false,
            phases: Phases::default(),
            records: 0,
            blobs: 0,
            bytes: 0,
            restored: None,
            refused: 0,
            losses: BTreeMap::new(),
            collections: BTreeMap::new(),
            differences: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The time until everything was back: that of a full drill, opening the point included and comparing not. `None` for a
    /// sample, whose time says nothing about the whole, and for a drill that did not pass.
    pub fn rto(&self) -> Option<Duration> {
        let measured = self.passed && self.scope == DrillScope::Full;
        measured.then(|| Duration::from_millis(self.phases.open_ms.saturating_add(self.phases.restore_ms)))
    }

    /// The share of fields that came back as they were, in percent, rounded down; `None` where every bit had to.
    pub fn fidelity_percent(&self) -> Option<u64> {
        let (equal, all) = self.fields();
        (equal * 100).checked_div(all)
    }

    /// Fields that came back as they were, and all of them.
    pub fn fields(&self) -> (u64, u64) {
        self.collections
            .values()
            .fold((0, 0), |(equal, all), compared| (equal + compared.fields_equal, all + compared.fields))
    }

    /// Records that are missing, different or unexpected.
    pub fn wrong(&self) -> u64 {
        let wrong = |compared: &Compared| compared.missing + compared.different + compared.unexpected;
        self.collections.values().map(wrong).sum()
    }

    pub(super) fn take(&mut self, restored: &RunReport) {
        let totals = restored.totals();
        self.restored = Some(restored.status);
        self.refused = totals.skipped + totals.rejected;
        self.losses.clone_from(&restored.losses);
        for problem in restored.feeds.values().filter_map(|feed| feed.problem.as_ref()) {
            self.problems.push(problem.title.clone());
        }
    }

    /// The report of a drill that something stopped.
    pub(super) fn stopped(mut self, error: &Error, now: DateTime<Utc>) -> Self {
        self.problems.push(error.to_string());
        self.finished = now;
        self
    }

    pub(super) fn conclude(&mut self, comparison: Comparison, now: DateTime<Utc>) {
        let Comparison { collections, differences } = comparison;
        self.records = collections.values().map(|compared| compared.records).sum();
        self.blobs = collections.values().map(|compared| compared.blobs).sum();
        self.bytes = collections.values().map(|compared| compared.bytes).sum();
        (self.collections, self.differences) = (collections, differences);
        self.finished = now;
        self.passed = self.problems.is_empty() && self.wrong() == 0 && self.restored != Some(RunStatus::Failed);
    }
}
