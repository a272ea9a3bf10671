use std::sync::Arc;

use chrono::{DateTime, Utc};
use saas_backup_core::{
    Account, CancellationToken, CollectionName, ErrorKind, NoProgress, Progress, Result, RunStatus, TransferOptions,
    Transferred, Visibility, transfer,
};
use serde::Serialize;

use super::Project;
use crate::state::Run;

/// How to back up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Read everything although the last run's position is known. Default: `false`.
    pub full: bool,
    /// Record deletions that the guard would stop. Default: `false`.
    pub accept_deletions: bool,
    /// Hears what happens.
    pub progress: Arc<dyn Progress>,
    /// Ends the run at the next event; the next run goes on from what was made durable.
    pub cancel: CancellationToken,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self { full: false, accept_deletions: false, progress: Arc::new(NoProgress), cancel: CancellationToken::new() }
    }
}

impl BackupOptions {
    /// Reads everything.
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
}

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
    /// Backs up one source: one run.
    ///
    /// Runs of one source on one machine exclude each other. Dropping the future, cancelling and a kill lose nothing
    /// but the time since the last flush.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if another run of the source is at work or won; else why the run could not begin or
    /// its result could not be stored. What a run that ended missed is in its report.
    pub async fn backup(&self, source: &str, options: BackupOptions) -> Result<Transferred> {
        let config = self.config().source(source)?;
        let _lock = self.state.lock(source)?;
        let started = self.clock().now();
        let mut transfer_options = TransferOptions::backup()
            .with_full(options.full)
            .with_accepted_deletions(options.accept_deletions)
            .with_progress(options.progress)
            .with_cancel(options.cancel)
            .with_clock(self.clock());
        transfer_options.collections.clone_from(&config.collections);
        let result = self.run(source, transfer_options).await;
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
        if let Err(error) = self.state.note(source, run) {
            tracing::warn!(source, %error, "how the run ended could not be noted on this machine");
        }
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
