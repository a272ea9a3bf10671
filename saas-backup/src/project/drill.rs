use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_backup_core::{
    At, CancellationToken, CollectionName, Connector, Digest, Error, ErrorKind, NoProgress, Period, Progress, Result,
    WriteMode,
};
use saas_backup_ops::drill::{DrillOptions, DrillReport, DrillScope, drill};
use saas_backup_repository::Drill;
use serde::Serialize;

use super::{Point, Project, blocking, chores};
use crate::config::{DrillConfig, Settings};
use crate::state::ProofNote;

/// Which point in time is rehearsed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrillPoint {
    /// This one.
    At(At),
    /// Any of those that there are, by chance.
    Random,
}

/// What to rehearse.
///
/// ```no_run
/// # async fn example(project: saas_backup::Project) -> saas_backup::core::Result<()> {
/// use saas_backup::DrillRequest;
///
/// let drilled = project.drill(DrillRequest::new("blog")).await?;
/// println!("{} records back in {:?}", drilled.report.records, drilled.report.rto());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrillRequest {
    /// The source whose copy is rehearsed.
    pub source: String,
    /// The point in time. Default: the newest.
    pub point: DrillPoint,
    /// How many records; `None` for everything. Default: as the configuration says.
    pub sample: Option<Option<usize>>,
    /// Decides what is chosen by chance; the same number chooses the same of the same points. Default: by the clock.
    pub seed: Option<u64>,
    /// A format that reads back, or a source with `scratch = true`. Default: as the configuration says.
    pub into: Option<String>,
    /// Only these collections. Default: all.
    pub collections: Option<Vec<CollectionName>>,
    /// Where what was restored in a format stays. Default: nowhere, it is removed at the end.
    pub to: Option<PathBuf>,
    /// Says what would be written into an account, and writes nothing. Default: `false`.
    pub dry_run: bool,
    /// Whether the result is signed and kept in the repository. Default: `true`.
    pub keep: bool,
    /// Hears what the restore does.
    pub progress: Arc<dyn Progress>,
    /// Ends the drill early.
    pub cancel: CancellationToken,
}

impl DrillRequest {
    /// The newest point of a source, as the configuration says.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            point: DrillPoint::At(At::Now),
            sample: None,
            seed: None,
            into: None,
            collections: None,
            to: None,
            dry_run: false,
            keep: true,
            progress: Arc::new(NoProgress),
            cancel: CancellationToken::new(),
        }
    }

    /// Sets the point in time.
    #[must_use]
    pub fn with_point(mut self, point: DrillPoint) -> Self {
        self.point = point;
        self
    }

    /// Sets how many records are restored; `None` for everything.
    #[must_use]
    pub fn with_sample(mut self, records: Option<usize>) -> Self {
        self.sample = Some(records);
        self
    }

    /// Sets what chance goes by.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets what is restored into.
    #[must_use]
    pub fn with_into(mut self, into: impl Into<String>) -> Self {
        self.into = Some(into.into());
        self
    }

    /// Restricts the drill to some collections.
    #[must_use]
    pub fn with_collections(mut self, collections: Vec<CollectionName>) -> Self {
        self.collections = Some(collections);
        self
    }

    /// Keeps what is restored in a format.
    #[must_use]
    pub fn with_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.to = Some(path.into());
        self
    }

    /// Says what would be written into an account.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Says whether the result is kept.
    #[must_use]
    pub fn with_keep(mut self, keep: bool) -> Self {
        self.keep = keep;
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
}

/// What a drill came to.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Drilled {
    /// The source.
    pub source: String,
    /// The sequence number of the point that was restored.
    pub point: u64,
    /// When the point was made.
    pub point_at: DateTime<Utc>,
    /// What it was restored into: a format or a source.
    pub into: String,
    /// What chance went by.
    pub seed: u64,
    /// How long a restore may take.
    pub rto: Option<Period>,
    /// How long it took; `None` for a sample, and for a drill that did not pass.
    pub rto_measured: Option<Period>,
    /// Whether the result was signed and kept in the repository.
    pub kept: bool,
    /// The SHA-256 of `report` as it stands in JSON; the kept result has it, too.
    pub report_sha256: Digest,
    /// What was found.
    pub report: DrillReport,
}

/// What is restored into.
struct Scratch {
    target: Arc<dyn Connector>,
    folder: Option<OwnFolder>,
    is_account: bool,
}

/// A folder that goes with what it holds, also when a drill is dropped.
struct OwnFolder(PathBuf);

impl Drop for OwnFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next drill.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Project {
    /// Rehearses a restore: restores a point of a source, whole or a sample, into a folder that is removed afterwards or
    /// into an account for that, reads it back, compares, and measures how long it took. See
    /// [`drill`](saas_backup_ops::drill::drill).
    ///
    /// The result is signed and kept in the repository, if the identity may; [`status`](Self::status) and alerts go by it.
    /// What is restored in a format lies, readable, in a folder that only its owner reads below the state folder, and needs
    /// as much room as it is large. Drills of one source on one machine exclude each other. Cancelling ends a drill and
    /// removes the folder; what is already in an account stays there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the identity is missing, or the account is not marked as `scratch`;
    /// [`ErrorKind::NotFound`] if there is no such point; [`ErrorKind::Unsupported`] if the format does not read back;
    /// [`ErrorKind::Conflict`] if another drill of the source is at work. That something did not come back is no error.
    pub async fn drill(&self, request: DrillRequest) -> Result<Drilled> {
        let _lock = self.state.lock(&format!("drill-of-{}", request.source))?;
        let drilled = Box::pin(self.rehearse(&request)).await;
        if !request.dry_run {
            self.note_drill(&request.source, &drilled);
        }
        drilled
    }

    async fn rehearse(&self, request: &DrillRequest) -> Result<Drilled> {
        let config = self.drill_config(&request.source);
        let configured = self.config().sources.iter().find(|source| source.name == request.source);
        let seed = request.seed.unwrap_or_else(|| self.clock().now().timestamp_micros().cast_unsigned());
        let point = self.drill_point(request, seed).await?;
        let into = request.into.clone().unwrap_or(config.into);
        let scratch = self.scratch(request, &into).await?;
        let scope = match request.sample.unwrap_or(config.sample) {
            None => DrillScope::Full,
            Some(records) => DrillScope::Sample { records, seed },
        };
        let mut options = DrillOptions::default()
            .with_at(At::Sequence(point.sequence))
            .with_scope(scope)
            .with_mode(WriteMode::Create)
            .with_dry_run(request.dry_run && scratch.is_account)
            .with_progress(Arc::clone(&request.progress))
            .with_cancel(request.cancel.clone())
            .with_clock(self.clock());
        options.collections.clone_from(&request.collections);
        let copies = self.copies(&request.source).await?;
        let report = drill(&copies, &scratch.target, options).await;
        if let Some(folder) = &scratch.folder {
            removed(folder.0.clone()).await?;
        }
        let report = report?;
        let report_sha256 = Digest::of(&serde_json::to_vec(&report)?);
        let kept = request.keep
            && !request.dry_run
            && request.collections.is_none()
            && self.keep_drill(&request.source, &kept(&report, &point, &into, report_sha256)).await?;
        Ok(Drilled {
            source: request.source.clone(),
            point: point.sequence,
            point_at: point.finished,
            into,
            seed,
            rto: configured.and_then(|source| source.rto),
            rto_measured: report.rto().filter(|_| request.collections.is_none()).map(seconds),
            kept,
            report_sha256,
            report,
        })
    }

    /// The newest drills of a source that were signed and kept in the repository, the newest last: at most so many. Needs no
    /// identity. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the repository cannot be opened or listed.
    pub async fn drills(&self, source: &str, most: usize) -> Result<Vec<Drill>> {
        self.writer().await?.drills(source, most).await
    }

    /// How a source is rehearsed.
    pub(super) fn drill_config(&self, source: &str) -> DrillConfig {
        let own = self.config().sources.iter().find(|configured| configured.name == source);
        own.and_then(|source| source.drill.clone()).unwrap_or_else(|| self.config().drill.clone())
    }

    async fn drill_point(&self, request: &DrillRequest, seed: u64) -> Result<Point> {
        let store = self.reader().await?;
        let at = match &request.point {
            DrillPoint::At(at) => at.clone(),
            DrillPoint::Random => {
                let points = store.points(&request.source).await?;
                let chosen = chance(seed, points.len()).and_then(|chosen| points.get(chosen));
                chosen.map_or(At::Now, |point| At::Sequence(point.sequence))
            }
        };
        store.point(&request.source, &at).await
    }

    async fn scratch(&self, request: &DrillRequest, into: &str) -> Result<Scratch> {
        if let Some(account) = self.config().sources.iter().find(|source| source.name == into) {
            if !account.scratch {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "a drill writes into this account: mark it with scratch = true if it is one for rehearsals",
                )
                .with_context("source", into));
            }
            if request.to.is_some() {
                return Err(Error::new(ErrorKind::Configuration, "an account is not a place for files"));
            }
            return Ok(Scratch { target: self.account(into).await?, folder: None, is_account: true });
        }
        if request.dry_run {
            return Err(Error::new(
                ErrorKind::Configuration,
                "a dry run is for a drill into an account: one in a format touches nothing but a folder of its own",
            ));
        }
        let format = self.registry.find_format(into)?.clone();
        let (path, folder) = if let Some(path) = &request.to {
            (std::path::absolute(path)?, None)
        } else {
            let own = self.state.folder("scratch")?.join(&request.source);
            // What a drill left that was killed.
            removed(own.clone()).await?;
            make(&own).await?;
            (own.join("copy"), Some(OwnFolder(own)))
        };
        let target = format.open_with(&path, &Settings::new(), &self.context)?;
        Ok(Scratch { target, folder, is_account: false })
    }

    /// Signs and keeps a result; whether the keys at hand may.
    async fn keep_drill(&self, source: &str, drill: &Drill) -> Result<bool> {
        match self.reader().await?.keep_drill(source, drill).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                tracing::warn!(source, %error, "the result of the drill was not kept in the repository");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Remembers how a drill ended.
    fn note_drill(&self, source: &str, drilled: &Result<Drilled>) {
        let ended = self.clock().now();
        let note = match drilled {
            Ok(done) => ProofNote {
                ended: done.report.finished,
                passed: done.report.passed,
                rto: done.rto_measured,
                message: (!done.report.passed).then(|| why(&done.report)),
            },
            Err(error) if error.kind() == ErrorKind::Cancelled => return,
            Err(error) => ProofNote { ended, passed: false, rto: None, message: Some(error.to_string()) },
        };
        self.note_proof(&chores::drill(source), &note);
    }
}

/// Why a drill did not pass, in one line.
pub(super) fn why(report: &DrillReport) -> String {
    match (report.problems.first(), report.wrong()) {
        (Some(problem), _) => problem.clone(),
        (None, wrong) => format!("{wrong} of {} records did not come back as they were", report.records),
    }
}

/// What is known of a drill that was kept.
pub(super) fn note_of(drill: &Drill) -> ProofNote {
    let whole = drill.full && drill.passed;
    ProofNote {
        ended: drill.ended,
        passed: drill.passed,
        rto: whole.then(|| seconds(Duration::from_millis(drill.restore_ms))),
        message: (!drill.passed)
            .then(|| format!("{} of {} records did not come back as they were", drill.wrong, drill.records)),
    }
}

fn kept(report: &DrillReport, point: &Point, into: &str, sha256: Digest) -> Drill {
    let mut drill = Drill::new(point.sequence, point.finished, report.started, report.finished, sha256);
    drill.full = report.scope == DrillScope::Full;
    into.clone_into(&mut drill.into);
    drill.passed = report.passed;
    drill.restore_ms = report.phases.open_ms.saturating_add(report.phases.restore_ms);
    drill.compare_ms = report.phases.compare_ms;
    (drill.records, drill.attachments, drill.bytes) = (report.records, report.blobs, report.bytes);
    drill.wrong = report.wrong();
    (drill.fields_equal, drill.fields) = report.fields();
    drill
}

/// A length of time in whole seconds, rounded up.
pub(super) fn seconds(time: Duration) -> Period {
    Period(Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0)))
}

/// One of so many, by a number.
fn chance(seed: u64, many: usize) -> Option<usize> {
    let digest = Digest::of(&seed.to_be_bytes());
    let number = digest.as_bytes().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    usize::try_from(number.checked_rem(many as u64)?).ok()
}

async fn make(folder: &Path) -> Result<()> {
    let folder = folder.to_owned();
    blocking(move || crate::state::make_private(&folder)).await
}

async fn removed(folder: PathBuf) -> Result<()> {
    blocking(move || match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    })
    .await
}
