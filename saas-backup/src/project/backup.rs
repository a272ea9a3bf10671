use chrono::{DateTime, Utc};
use saas_backup_core::{
    Account, CollectionName, ErrorKind, Result, RunStatus, TransferOptions, Transferred, Visibility, WriteMode,
    transfer,
};
use serde::Serialize;

use super::{Project, check_mode};
use crate::state::Run;

/// What a backup would read.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The source.
    pub source: String,
    /// Who the credentials speak for.
    pub account: Account,
    /// Whether a position is known, so that changes alone are read where the source gives them.
    pub incremental: bool,
    /// What is known to be missing and would be tried again first.
    pub open_gaps: u64,
    /// The collections that would be read.
    pub collections: Vec<CollectionPlan>,
}

/// What a backup would read of a collection.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CollectionPlan {
    /// Its name.
    pub collection: CollectionName,
    /// How much the credentials see.
    pub visible: Visibility,
    /// How many records the source says exist.
    pub exists: Option<u64>,
    /// How many records the copy holds.
    pub held: Option<u64>,
}

impl Project {
    /// Backs up one source: one run, of the collections of its configuration unless the options name others. The clock
    /// is the project's.
    ///
    /// Runs of one source on one machine exclude each other. Dropping the future, cancelling and a kill lose nothing
    /// but the time since the last flush.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if another run of the source is at work or won; [`ErrorKind::Configuration`] if the
    /// options are none of a [backup](TransferOptions::backup); else why the run could not begin or its result could
    /// not be stored. What a run that ended missed is in its report.
    pub async fn backup(&self, source: &str, options: TransferOptions) -> Result<Transferred> {
        let config = self.config().source(source)?;
        check_mode(&options, &[WriteMode::Mirror], "a backup mirrors its source")?;
        let _lock = self.state.lock(source)?;
        let started = self.clock().now();
        let mut options = options.with_clock(self.clock());
        options.collections = options.collections.or_else(|| config.collections.clone());
        let result = self.run(source, options).await;
        if result.is_ok() {
            self.note_anchor(source).await;
        }
        self.note(source, started, &result);
        result
    }

    async fn run(&self, source: &str, options: TransferOptions) -> Result<Transferred> {
        let account = self.account(source).await?;
        let copies = self.writer().await?.source(source)?;
        transfer(&account, &copies, options).await
    }

    /// Remembers how a run ended. That the note cannot be written does not make the run a failure.
    fn note(&self, source: &str, started: DateTime<Utc>, result: &Result<Transferred>) {
        let run = match result {
            Ok(Transferred { report, receipt, .. }) => Run {
                run: Some(report.run),
                started,
                finished: self.clock().now(),
                status: report.status,
                sequence: receipt.as_ref().and_then(|receipt| receipt.sequence),
                message: None,
            },
            Err(error) => Run {
                run: None,
                started,
                finished: self.clock().now(),
                status: match error.kind() {
                    ErrorKind::Cancelled => RunStatus::Cancelled,
                    _ => RunStatus::Failed,
                },
                sequence: None,
                message: Some(error.to_string()),
            },
        };
        let report = result.as_ref().ok().map(|done| &done.report);
        if let Err(error) = self.state.note(source, run, report) {
            tracing::warn!(source, %error, "how the run ended could not be noted on this machine");
        }
    }

    /// Takes what the account of a source showed to the last run as what it should show: the alert that it shows less than
    /// before is over then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is no such source; file errors.
    pub fn accept_coverage(&self, source: &str) -> Result<()> {
        self.config().source(source)?;
        self.state.accept_coverage(source)
    }

    /// Says what a backup would read, without reading records or writing anything. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the account or the repository does not answer.
    pub async fn plan(&self, source: &str) -> Result<Plan> {
        let only = self.config().source(source)?.collections.clone();
        let checked = self.check(source).await?;
        let report = self.writer().await?.last_report(source).await?;
        let held = |name: &CollectionName| {
            report.as_ref().and_then(|report| report.completeness.collections.get(name)).and_then(|known| known.held)
        };
        let wanted = checked.catalog.names().filter(|name| only.as_ref().is_none_or(|only| only.contains(name)));
        let plan = |name: &CollectionName| {
            let coverage = checked.coverage.collections.get(name);
            CollectionPlan {
                collection: name.clone(),
                visible: coverage.map_or(Visibility::Partial, |coverage| coverage.visible),
                exists: coverage.and_then(|coverage| coverage.count),
                held: held(name),
            }
        };
        Ok(Plan {
            source: source.to_owned(),
            incremental: checked.capabilities.incremental && report.is_some(),
            open_gaps: report.as_ref().map_or(0, |report| report.gaps.len() as u64),
            collections: wanted.map(plan).collect(),
            account: checked.account,
        })
    }
}
