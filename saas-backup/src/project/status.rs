use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{CollectionName, Period, Result, RunStatus};
use saas_backup_ops::{History, JobStatus, SuccessRate, job_statuses, success_rate};
use serde::Serialize;

use super::drill::note_of;
use super::{Point, Project, chores};
use crate::config::SourceConfig;
use crate::state::{LastProofs, LastRuns};

/// The time of which runs are counted.
const WINDOW: TimeDelta = TimeDelta::days(30);

/// Drills that are looked through for the last ones that passed and measured something.
const DRILLS: usize = 50;

/// Where a source stands: its objectives against what was measured.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SourceStatus {
    /// The source.
    pub source: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How old the newest complete copy may be.
    pub rpo: Option<Period>,
    /// How long a restore may take.
    pub rto: Option<Period>,
    /// How long the last full drill took that passed: what a restore of everything takes.
    pub rto_measured: Option<Period>,
    /// When that was.
    pub rto_measured_at: Option<DateTime<Utc>>,
    /// Whether that is within the objective, and not too long ago; `None` without an objective.
    pub rto_met: Option<bool>,
    /// The last drill.
    pub drill: Option<DrillStatus>,
    /// When the last run began that left nothing out, here or, by the repository's word, elsewhere.
    pub complete_as_of: Option<DateTime<Utc>>,
    /// How old that is.
    pub age: Option<Period>,
    /// Whether the age is within the objective; `None` without an objective.
    pub rpo_met: Option<bool>,
    /// When the run began that made the newest point of which everything was read and found good since.
    pub verified_as_of: Option<DateTime<Utc>>,
    /// Each collection by itself: an incomplete run may be one of a single collection. Of runs on this machine.
    pub collections: BTreeMap<CollectionName, CollectionStatus>,
    /// How the runs of the last 30 days ended that were due, on this machine; `None` without a schedule.
    pub success: Option<SuccessRate>,
    /// The last runs on this machine.
    pub runs: LastRuns,
    /// The newest point in time.
    pub point: Option<Point>,
    /// What is known to be missing in it.
    pub open_gaps: u64,
    /// Stops of the deletion guard that wait for somebody's decision.
    pub reviews: u64,
    /// When it runs next, and how its last scheduled run ended; `None` without a schedule.
    pub schedule: Option<JobStatus>,
}

/// Where a collection stands.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CollectionStatus {
    /// When the last run began after which nothing of it was missing.
    pub complete_as_of: DateTime<Utc>,
    /// How old that is.
    pub age: Period,
    /// Whether the age is within the objective of the source; `None` without one.
    pub rpo_met: Option<bool>,
}

/// How the last drill of a source ended.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DrillStatus {
    /// When.
    pub ended: DateTime<Utc>,
    /// Whether everything came back that the target can hold.
    pub passed: bool,
    /// Why not.
    pub message: Option<String>,
    /// When the last one ended that passed.
    pub passed_at: Option<DateTime<Utc>>,
    /// Whether that is longer ago than the configuration allows.
    pub stale: bool,
}

impl Project {
    /// Where every source stands. Needs no identity, and asks no account.
    ///
    /// # Errors
    ///
    /// If the repository cannot be opened.
    pub async fn status(&self) -> Result<Vec<SourceStatus>> {
        let now = self.clock().now();
        let history = History::read(self.state.path())?;
        let jobs: BTreeMap<String, JobStatus> =
            job_statuses(&self.jobs(), &history, now).into_iter().map(|status| (status.job.clone(), status)).collect();
        let mut statuses = Vec::new();
        for source in &self.config().sources {
            let store = self.writer().await?;
            let points = store.points(&source.name).await?;
            let report = store.last_report(&source.name).await?;
            let mut runs = self.state.runs(&source.name)?;
            let here = runs.complete.as_ref().map(|run| run.started);
            let there =
                points.iter().rev().find(|point| point.status == RunStatus::Complete).map(|point| point.started);
            let complete_as_of = here.max(there);
            let drills = self.last_drills(&source.name).await?;
            let max_age = TimeDelta::from_std(self.drill_config(&source.name).max_age.0).unwrap_or(TimeDelta::MAX);
            let is_old = |at: DateTime<Utc>| now - at > max_age;
            let measured = drills.measured.as_ref().and_then(|note| Some((note.rto?, note.ended)));
            let age = complete_as_of.map(|time| Period((now - time).to_std().unwrap_or_default()));
            let verified = store.verified_points(&source.name).await?;
            let verified = points.iter().rev().find(|point| verified.contains(&point.sequence));
            let collection = |at: DateTime<Utc>| {
                let age = Period((now - at).to_std().unwrap_or_default());
                CollectionStatus { complete_as_of: at, age, rpo_met: source.rpo.map(|rpo| age <= rpo) }
            };
            statuses.push(SourceStatus {
                verified_as_of: verified.map(|point| point.started),
                collections: std::mem::take(&mut runs.collections)
                    .into_iter()
                    .map(|(name, at)| (name, collection(at)))
                    .collect(),
                success: self.success(source, now)?,
                source: source.name.clone(),
                owner: source.owner.clone(),
                rpo: source.rpo,
                rto: source.rto,
                rto_measured: measured.map(|(time, _)| time),
                rto_measured_at: measured.map(|(_, at)| at),
                rto_met: source.rto.map(|rto| measured.is_some_and(|(time, at)| time <= rto && !is_old(at))),
                drill: drills.last.map(|last| {
                    let passed_at = drills.passed.map(|passed| passed.ended);
                    let stale = passed_at.is_none_or(is_old);
                    DrillStatus { ended: last.ended, passed: last.passed, message: last.message, passed_at, stale }
                }),
                complete_as_of,
                age,
                rpo_met: source.rpo.map(|rpo| age.is_some_and(|age| age <= rpo)),
                runs: LastRuns { expected: None, ..runs },
                point: points.into_iter().next_back(),
                open_gaps: report.as_ref().map_or(0, |report| report.gaps.len() as u64),
                reviews: report.as_ref().map_or(0, |report| report.reviews.len() as u64),
                schedule: jobs.get(&source.name).cloned(),
            });
        }
        Ok(statuses)
    }

    /// How the runs of the last 30 days ended that were due, on this machine; `None` without a schedule, and before it was
    /// first seen.
    pub(super) fn success(&self, source: &SourceConfig, now: DateTime<Utc>) -> Result<Option<SuccessRate>> {
        let Some(schedule) = &source.schedule else { return Ok(None) };
        let outcomes = self.state.outcomes(&source.name)?;
        let Some(first) = outcomes.first() else { return Ok(None) };
        // What was due before the first run that is known of is no matter of this machine.
        let since = (now - WINDOW).max(first.started - TimeDelta::seconds(1));
        Ok(Some(success_rate(schedule, &outcomes, since, now)))
    }

    /// The last drills of a source: here, or by what is kept in the repository elsewhere.
    async fn last_drills(&self, source: &str) -> Result<LastProofs> {
        let mut drills = self.state.proofs(&chores::drill(source))?;
        for drill in self.drills(source, DRILLS).await? {
            drills.take(&note_of(&drill));
        }
        Ok(drills)
    }

    /// The last runs of a source on this machine.
    ///
    /// # Errors
    ///
    /// If what was noted cannot be read.
    pub fn last_runs(&self, source: &str) -> Result<LastRuns> {
        self.state.runs(source)
    }
}
