use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use saas_backup_core::{Period, Result, RunStatus};
use saas_backup_ops::{History, Job, JobStatus, job_statuses};
use serde::Serialize;

use super::Point;
use super::Project;
use crate::state::LastRuns;

/// Where a source stands: its objectives against what was measured.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SourceStatus {
    /// The source.
    pub source: String,
    /// How old the newest complete copy may be.
    pub rpo: Option<Period>,
    /// How long a restore may take; no rehearsal measures it yet.
    pub rto: Option<Period>,
    /// When the last run began that left nothing out, here or, by the repository's word, elsewhere.
    pub complete_as_of: Option<DateTime<Utc>>,
    /// How old that is.
    pub age: Option<Period>,
    /// Whether the age is within the objective; `None` without an objective.
    pub rpo_met: Option<bool>,
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
            let runs = self.state.runs(&source.name)?;
            let here = runs.complete.as_ref().map(|run| run.started);
            let there =
                points.iter().rev().find(|point| point.status == RunStatus::Complete).map(|point| point.started);
            let complete_as_of = here.max(there);
            let age = complete_as_of.map(|time| Period((now - time).to_std().unwrap_or_default()));
            statuses.push(SourceStatus {
                source: source.name.clone(),
                rpo: source.rpo,
                rto: source.rto,
                complete_as_of,
                age,
                rpo_met: source.rpo.map(|rpo| age.is_some_and(|age| age <= rpo)),
                runs,
                point: points.into_iter().next_back(),
                open_gaps: report.as_ref().map_or(0, |report| report.gaps.len() as u64),
                reviews: report.as_ref().map_or(0, |report| report.reviews.len() as u64),
                schedule: jobs.get(&source.name).cloned(),
            });
        }
        Ok(statuses)
    }

    /// The last runs of a source on this machine.
    ///
    /// # Errors
    ///
    /// If what was noted cannot be read.
    pub fn last_runs(&self, source: &str) -> Result<LastRuns> {
        self.state.runs(source)
    }

    /// The sources that have a schedule.
    pub(super) fn jobs(&self) -> Vec<Job> {
        let job = |source: &crate::config::SourceConfig| Some(Job::new(&source.name, source.schedule.clone()?));
        self.config().sources.iter().filter_map(job).collect()
    }
}
