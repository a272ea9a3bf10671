//! The transfer engine: the one way in which data moves.

mod batch;
mod blobs;
mod completeness;
mod feed;
mod guard;
mod listing;
mod options;
mod retry;
mod run;
mod stand_in;
mod tally;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use self::options::{DeletionGuard, TransferOptions};
use self::retry::retried;
use self::run::Run;
use self::tally::Tally;
use crate::{
    Capabilities, Catalog, CollectionName, Connector, Error, ErrorKind, ProgressEvent, Receipt, Result, RunId,
    RunReport, RunStart, RunStatus, Sink, SinkOptions, Snapshot, SnapshotOptions, State, WriteMode,
};

/// What a transfer did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transferred {
    /// What was read, written, missed and refused.
    pub report: RunReport,
    /// What the target made of it; `None` when the run was cancelled or a dry run.
    pub receipt: Option<Receipt>,
}

/// Moves the records of one end to another: backup, restore, export, import, replication and migration.
///
/// Feeds are read in parallel within the bounds of the options. A feed that fails does not stop the others: the
/// report says what is missing. Every checkpoint that the target made durable is where an interrupted run goes on:
/// dropping the future, cancelling through [`TransferOptions::cancel`] and a kill all lose nothing but the time
/// since the last flush.
///
/// Where a log covers slices, its position is taken before the first page of a slice, and its changes are read after
/// the last: what changes in between is not lost.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] if the ends cannot do what the options ask; the source's error if its catalog cannot be
/// read, after as many tries as a feed gets; the target's error if it cannot be written, in which case what was flushed is kept.
pub async fn transfer(source: &dyn Connector, target: &dyn Connector, options: TransferOptions) -> Result<Transferred> {
    let (from, to) = (source.capabilities(), target.capabilities());
    check_capabilities(from, to, &options)?;
    let account = retried(&options, || source.check()).await?;
    let snapshot_options = SnapshotOptions::at(options.at.clone()).with_budget(options.budget.clone());
    let snapshot = retried(&options, || source.snapshot(snapshot_options.clone())).await?;
    let catalog = wanted(retried(&options, || snapshot.catalog()).await?, options.collections.as_deref())?;
    let mut coverage = retried(&options, || snapshot.coverage()).await?;
    coverage.collections.retain(|name, _| catalog.get(name).is_some());

    let mut sink_options = SinkOptions::mirror_of(from).with_dry_run(options.dry_run).with_ids(options.ids.clone());
    sink_options.mode = options.mode;
    let sink = target.sink(sink_options).await?;
    let state = match sink.state().await {
        Ok(state) => state,
        Err(error) => return Err(give_up(sink, error).await),
    };
    let started = options.clock.now();
    let run = state.unfinished.unwrap_or_else(|| RunId::new(started));
    let mut start = RunStart::new(run, started, catalog.clone(), coverage.clone());
    start.account = Some(account);
    if let Err(error) = sink.begin(&start).await {
        return Err(give_up(sink, error).await);
    }

    let before = state.coverage.clone().unwrap_or_default();
    let worse: BTreeSet<CollectionName> =
        coverage.worse_than(&before).filter(|name| catalog.get(name).is_some()).cloned().collect();
    let expected = coverage.collections.values().map(|collection| collection.count).sum();
    options.progress.event(&ProgressEvent::Started { run, expected });
    let known = state.feeds.values().map(|state| &state.feed).collect();
    let shared = Arc::new(Shared {
        known: Mutex::new(known),
        blobs: Semaphore::new(options.blobs_in_flight.max(1)),
        turns: blobs::Turns::default(),
        tally: Tally::new(RunReport::new(run, started)),
        snapshot,
        sink,
        source: from,
        target: to,
        run,
        catalog,
        worse,
        state,
        options,
    });

    let outcome = Run::new(Arc::clone(&shared)).finish().await;
    // Every feed has ended, so this is the last handle.
    let Some(shared) = Arc::into_inner(shared) else {
        return Err(Error::new(ErrorKind::Unexpected, "a feed is still at work after its run has ended"));
    };
    if let Err(error) = outcome {
        return Err(give_up(shared.sink, error).await);
    }
    shared.end(coverage).await
}

/// What all feeds of a run share.
#[derive(Debug)]
struct Shared {
    snapshot: Box<dyn Snapshot>,
    sink: Box<dyn Sink>,
    source: Capabilities,
    target: Capabilities,
    options: TransferOptions,
    run: RunId,
    /// The collections that are transferred.
    catalog: Catalog,
    /// Collections of which the grant sees less than at the last run.
    worse: BTreeSet<CollectionName>,
    /// What the sink knew when the run began.
    state: State,
    /// The slices that the sink knows of.
    known: Mutex<listing::Slices>,
    blobs: Semaphore,
    turns: blobs::Turns,
    tally: Tally,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, listing::Slices> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mirrors(&self) -> bool {
        self.options.mode == WriteMode::Mirror
    }

    /// Completes the report, and commits or, if the run was cancelled, leaves what was flushed to the next run.
    async fn end(self, coverage: crate::Coverage) -> Result<Transferred> {
        let state = match self.sink.state().await {
            Ok(state) => state,
            Err(error) => return Err(give_up(self.sink, error).await),
        };
        let report = completeness::complete(&self, coverage, &state);
        let Self { sink, options, .. } = self;
        let receipt = if report.status == RunStatus::Cancelled {
            sink.abort().await?;
            None
        } else {
            let receipt = sink.commit(&report).await?;
            (!options.dry_run).then_some(receipt)
        };
        options.ids.flush()?;
        options.progress.event(&ProgressEvent::Finished { status: report.status });
        Ok(Transferred { report, receipt })
    }
}

/// Ends a session after an error; what the clean-up says is less telling than why it was needed.
async fn give_up(sink: Box<dyn Sink>, error: Error) -> Error {
    if let Err(second) = sink.abort().await {
        tracing::warn!(error = %second, "the write session could not be cleaned up");
    }
    error
}

fn check_capabilities(from: Capabilities, to: Capabilities, options: &TransferOptions) -> Result<()> {
    let unsupported = |what: &'static str| Err(Error::new(ErrorKind::Unsupported, what));
    if !from.read {
        return unsupported("the source cannot be read");
    }
    let mode = match options.mode {
        WriteMode::Mirror => to.mirror,
        WriteMode::Create => to.create,
        WriteMode::Merge => to.merge,
        WriteMode::Overwrite => to.overwrite,
    };
    if !mode {
        return unsupported("the target cannot be written in this mode");
    }
    if options.dry_run && !to.dry_run {
        return unsupported("the target cannot say what would happen without doing it");
    }
    Ok(())
}

fn wanted(mut catalog: Catalog, only: Option<&[CollectionName]>) -> Result<Catalog> {
    if let Some(only) = only {
        if let Some(unknown) = only.iter().find(|name| catalog.get(name).is_none()) {
            let known: Vec<&str> = catalog.names().map(CollectionName::as_str).collect();
            return Err(Error::new(ErrorKind::Configuration, "the source has no such collection")
                .with_context("collection", unknown)
                .with_context("known", known.join(" ")));
        }
        catalog.collections.retain(|collection| only.contains(&collection.name));
    }
    Ok(catalog)
}
