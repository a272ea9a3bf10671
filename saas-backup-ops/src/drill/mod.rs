//! Rehearsed restores: what a copy is worth is known when it has been restored.
//!
//! [`drill`] restores a point in time, whole or a sample of it, into a scratch target, reads the target back, and compares
//! record by record and attachment by attachment. It times each phase: the time of a full drill is the measured RTO.
//!
//! ```
//! use saas_backup_core::memory::{MemoryConnector, MemoryStore};
//! use saas_backup_core::{Json, Key, Record};
//! use saas_backup_ops::drill::{DrillOptions, drill};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> saas_backup_core::Result<()> {
//! let (copy, scratch) = (MemoryStore::new(), MemoryStore::new());
//! copy.put(Record::new(Key::parse("notes", "1")?, Json::parse(r#"{"text":"hello"}"#)?));
//!
//! let (copy, scratch) = (MemoryConnector::new(copy), MemoryConnector::new(scratch));
//! let report = drill(&copy, &scratch, DrillOptions::default()).await?;
//! assert!(report.passed && report.records == 1);
//! # Ok(())
//! # }
//! ```

mod choose;
mod compare;
mod digests;
mod fields;
mod report;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use saas_backup_core::{
    At, Capabilities, Catalog, Clock, CollectionName, Connector, Error, ErrorKind, IdMap, Key, NoProgress, Progress,
    ProgressEvent, Result, RunStatus, Snapshot, SnapshotOptions, SystemClock, TransferOptions, WriteMode, transfer,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use report::{Compared, Difference, DifferenceKind, DrillReport, DrillScope, Phases};

use compare::Comparison;

/// What to rehearse, and within which bounds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrillOptions {
    /// Which point in time. Default: the newest.
    pub at: At,
    /// How much of it. Default: everything.
    pub scope: DrillScope,
    /// Only these collections. Default: all.
    pub collections: Option<Vec<CollectionName>>,
    /// How the scratch target is written. Default: [`WriteMode::Create`].
    pub mode: WriteMode,
    /// Asks the target what would happen, and compares nothing: the report has no verdict of worth. Default: `false`.
    pub dry_run: bool,
    /// Old key → new key, for a target that gives ids of its own.
    pub ids: IdMap,
    /// Hears what the restore does.
    pub progress: Arc<dyn Progress>,
    /// Ends the drill early.
    pub cancel: CancellationToken,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl Default for DrillOptions {
    fn default() -> Self {
        Self {
            at: At::Now,
            scope: DrillScope::Full,
            collections: None,
            mode: WriteMode::Create,
            dry_run: false,
            ids: IdMap::default(),
            progress: Arc::new(NoProgress),
            cancel: CancellationToken::new(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl DrillOptions {
    /// Sets the point in time.
    #[must_use]
    pub fn with_at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    /// Sets how much is restored.
    #[must_use]
    pub fn with_scope(mut self, scope: DrillScope) -> Self {
        self.scope = scope;
        self
    }

    /// Restricts the drill to some collections.
    #[must_use]
    pub fn with_collections(mut self, collections: Vec<CollectionName>) -> Self {
        self.collections = Some(collections);
        self
    }

    /// Sets how the scratch target is written.
    #[must_use]
    pub fn with_mode(mut self, mode: WriteMode) -> Self {
        self.mode = mode;
        self
    }

    /// Asks the target what would happen.
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

    /// Sets who hears what the restore does.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Sets what ends the drill early.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

/// Restores a point in time of `copies` into `scratch`, reads it back and compares.
///
/// A target that is [`lossless`](Capabilities::lossless), as a folder of `jsonl`, must give everything back as it was: each
/// record and the bytes of each attachment, and nothing else. Any other one, as an account of the provider, must give back
/// each record that it took, and the bytes of its attachments; what became of the fields is counted as fidelity, and what the
/// target refused or said to lose is listed.
///
/// `scratch` should be empty: what else it holds counts as wrong. It is left as it is then; whoever made it removes it.
/// Records go one after another through bounded buffers, whatever the size of the point. Dropping the future ends the
/// drill and leaves what was restored.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] if the target cannot be read back, or be written in this mode; [`ErrorKind::NotFound`] if there
/// is no such point; [`ErrorKind::Cancelled`]. What is damaged, refused or different is no error: it stands in the report,
/// which has not [`passed`](DrillReport::passed) then.
pub async fn drill(copies: &dyn Connector, scratch: &dyn Connector, options: DrillOptions) -> Result<DrillReport> {
    let able = scratch.capabilities();
    if !able.read {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "what is restored there cannot be read back: rehearse into another target, such as a folder of jsonl",
        ));
    }
    let mut report = DrillReport::new(options.scope, options.clock.now());
    let begun = Instant::now();
    let opened = open(copies, &options.at).await;
    report.phases.open_ms = since(begun);
    let (source, catalog) = match opened {
        Ok(opened) => opened,
        Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::InvalidData) => {
            return Ok(report.stopped(&error, options.clock.now()));
        }
        Err(error) => return Err(error),
    };

    let wanted = match options.scope {
        DrillScope::Full => None,
        DrillScope::Sample { records, seed } => {
            let begun = Instant::now();
            let choosing = choose::sample(&*source, &catalog, options.collections.as_deref(), records, seed);
            let chosen = until(&options.cancel, choosing).await?;
            report.phases.choose_ms = since(begun);
            match chosen {
                Ok(chosen) => Some(chosen),
                Err(error) => return Ok(report.stopped(&error, options.clock.now())),
            }
        }
    };

    let begun = Instant::now();
    let first = Arc::new(FirstWritten { begun, at: Mutex::new(None), inner: Arc::clone(&options.progress) });
    let restored = transfer(copies, scratch, restore_options(&options, wanted.as_ref(), &first)).await;
    report.phases.restore_ms = since(begun);
    report.phases.first_record_ms = first.millis();
    let restored = match restored {
        Ok(restored) => restored.report,
        Err(error) if is_ours(error.kind()) => return Err(error),
        Err(error) => return Ok(report.stopped(&error, options.clock.now())),
    };
    report.take(&restored);
    if restored.status == RunStatus::Cancelled {
        return Err(Error::new(ErrorKind::Cancelled, "the drill was cancelled while it restored"));
    }
    if options.dry_run {
        report.finished = options.clock.now();
        return Ok(report);
    }

    let begun = Instant::now();
    let compared = until(&options.cancel, compare(&*source, scratch, able, &options, wanted.as_ref())).await?;
    report.phases.compare_ms = since(begun);
    match compared {
        Ok(comparison) => report.conclude(comparison, options.clock.now()),
        Err(error) => return Ok(report.stopped(&error, options.clock.now())),
    }
    Ok(report)
}

async fn open(copies: &dyn Connector, at: &At) -> Result<(Box<dyn Snapshot>, Catalog)> {
    let source = copies.snapshot(SnapshotOptions::at(at.clone())).await?;
    let catalog = source.catalog().await?;
    Ok((source, catalog))
}

/// What the two sides hold, side by side.
async fn compare(
    source: &dyn Snapshot,
    scratch: &dyn Connector,
    able: Capabilities,
    options: &DrillOptions,
    wanted: Option<&BTreeSet<Key>>,
) -> Result<Comparison> {
    let target = scratch.snapshot(SnapshotOptions::default()).await?;
    let only = compare::Part { keys: wanted, collections: options.collections.as_deref() };
    if able.lossless {
        digests::compare(source, &*target, only).await
    } else {
        fields::compare(source, (&*target, able), only, &options.ids).await
    }
}

fn restore_options(
    options: &DrillOptions,
    wanted: Option<&BTreeSet<Key>>,
    first: &Arc<FirstWritten>,
) -> TransferOptions {
    let mut restore = TransferOptions::new(options.mode)
        .with_at(options.at.clone())
        .with_dry_run(options.dry_run)
        .with_ids(options.ids.clone())
        .with_progress(Arc::clone(first) as Arc<dyn Progress>)
        .with_cancel(options.cancel.clone())
        .with_clock(Arc::clone(&options.clock));
    restore.collections.clone_from(&options.collections);
    restore.records = wanted.map(|wanted| wanted.iter().cloned().collect());
    restore
}

/// Failures that say nothing of the copy.
fn is_ours(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Cancelled | ErrorKind::Unsupported | ErrorKind::Configuration | ErrorKind::Conflict)
}

async fn until<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the drill was cancelled")),
        done = work => Ok(done),
    }
}

fn since(begun: Instant) -> u64 {
    millis(begun.elapsed())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Notes when the first record was written, and passes everything on.
#[derive(Debug)]
struct FirstWritten {
    begun: Instant,
    at: Mutex<Option<Duration>>,
    inner: Arc<dyn Progress>,
}

impl FirstWritten {
    fn millis(&self) -> Option<u64> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).map(millis)
    }
}

impl Progress for FirstWritten {
    fn event(&self, event: &ProgressEvent) {
        if let ProgressEvent::Advanced { counts, .. } = event
            && counts.written > 0
        {
            self.at.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| self.begun.elapsed());
        }
        self.inner.event(event);
    }
}
