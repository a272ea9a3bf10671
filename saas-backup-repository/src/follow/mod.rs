//! A repository that follows another one by reading its records: it has an id, keys, people and a layout of its own.

mod compare;
mod target;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use saas_backup_core::{
    At, CancellationToken, Error, ErrorKind, NoProgress, Progress, Receipt, Result, RunId, RunReport, TransferOptions,
    transfer,
};
use serde::Serialize;

use self::target::Target;
use crate::erasure::Erasure;
use crate::points::Point;
use crate::repository::Repository;
use crate::source::Source;

/// How a repository follows another one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FollowOptions {
    /// Only these sources. Default: all.
    pub sources: Option<Vec<String>>,
    /// List what would be taken, and write nothing. Default: false.
    pub dry_run: bool,
    /// Read the first missing point of each source in full. Default: false.
    pub full: bool,
    /// Hears of each point's run what a backup would tell.
    pub progress: Arc<dyn Progress>,
    /// Ends at the next event; what was flushed is kept, and gone on with.
    pub cancel: CancellationToken,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            sources: None,
            dry_run: false,
            full: false,
            progress: Arc::new(NoProgress),
            cancel: CancellationToken::new(),
        }
    }
}

impl FollowOptions {
    /// Follows only these sources.
    #[must_use]
    pub fn with_sources(mut self, sources: Vec<String>) -> Self {
        self.sources = Some(sources);
        self
    }

    /// Lists what would be taken, and writes nothing.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Reads the first missing point of each source in full, although changes would do.
    #[must_use]
    pub fn with_full(mut self, full: bool) -> Self {
        self.full = full;
        self
    }

    /// Sets who hears what happens.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Sets what ends it.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }
}

/// What following did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Followed {
    /// Each source, in the order of their names.
    pub sources: Vec<FollowedSource>,
}

impl Followed {
    /// Whether every point of every source is held now, or would be.
    pub fn is_complete(&self) -> bool {
        self.sources.iter().all(|source| source.error.is_none() && !source.cancelled)
    }
}

/// What following did with one source.
#[derive(Debug)]
#[non_exhaustive]
pub struct FollowedSource {
    /// Its name, the same in both repositories.
    pub source: String,
    /// Points that were held already.
    pub held: u64,
    /// Points that were taken, oldest first; in a dry run those that would be.
    pub points: Vec<FollowedPoint>,
    /// What the first repository erased after it made points that are held here. Nothing is erased here: each takes the
    /// same [`Source::erase`] in this repository, under the same request.
    pub erasures: Vec<Erasure>,
    /// What ended the source before all its points were taken.
    pub error: Option<Error>,
    /// Whether it was cancelled before all its points were taken.
    pub cancelled: bool,
}

/// A point that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FollowedPoint {
    /// The run that made it: the same in both repositories.
    pub run: RunId,
    /// Its number in the first repository.
    pub sequence: u64,
    /// When the first repository's run ended: the time of the point in both.
    pub finished: DateTime<Utc>,
    /// Its labels.
    pub labels: Vec<String>,
    /// Records that were written.
    pub records: u64,
    /// Attachments that were written.
    pub blobs: u64,
    /// Bytes that were added to the storage.
    pub bytes_added: u64,
}

impl FollowedPoint {
    fn new(point: &Point) -> Self {
        Self {
            run: point.run,
            sequence: point.sequence,
            finished: point.finished,
            labels: point.labels.clone(),
            records: 0,
            blobs: 0,
            bytes_added: 0,
        }
    }
}

impl Repository {
    /// Takes over the points of another repository that this one does not hold yet, by reading that one as a source.
    ///
    /// Each point becomes one run of the same source here, with the run, times, status, labels and report that it has
    /// there; of the first all records are read, of each later one what changed. Before a point is committed, every
    /// record of it is compared with what is held here then, attachments by their digests. Where one differs, the point is
    /// read in full; if one still does, that ends the source, and no point is made. What was interrupted is gone on with, and nothing is written where nothing is missing. Nothing is ever written to `from`,
    /// which takes a key that reads; this one takes a key that reads and writes. A point that `from` has forgotten is not
    /// taken over, and one that it forgets later stays here. Sources fail on their own: see [`FollowedSource::error`].
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if both are the same repository: that is what [`Repository::replicate`] copies;
    /// [`ErrorKind::NotFound`] if a source that is asked for is not there.
    pub async fn follow(&self, from: &Self, options: &FollowOptions) -> Result<Followed> {
        if self.id() == from.id() {
            return Err(Error::new(ErrorKind::Conflict, "a repository does not follow itself or its copy"));
        }
        let mut names = from.sources().await?;
        if let Some(only) = &options.sources {
            if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
                return Err(Error::new(ErrorKind::NotFound, "there is no such source").with_context("source", unknown));
            }
            names.retain(|name| only.contains(name));
        }
        let mut followed = Followed::default();
        for name in names {
            let (first, second) = (from.source(&name)?, self.source(&name)?);
            let mut done = FollowedSource {
                source: name,
                held: 0,
                points: Vec::new(),
                erasures: Vec::new(),
                error: None,
                cancelled: false,
            };
            done.error = self.follow_source(&first, &second, options, &mut done).await.err();
            followed.sources.push(done);
        }
        Ok(followed)
    }

    async fn follow_source(
        &self,
        first: &Source,
        second: &Source,
        options: &FollowOptions,
        done: &mut FollowedSource,
    ) -> Result<()> {
        let points = first.proven_points().await?;
        let held = second.proven_points().await?;
        let runs: BTreeSet<RunId> = held.iter().map(|point| point.run).collect();
        if let Some(oldest) = held.iter().map(|point| point.finished).min() {
            let applied: BTreeSet<String> =
                second.erasures().await?.into_iter().map(|erasure| erasure.request).collect();
            let erasures = first.erasures().await?.into_iter();
            done.erasures =
                erasures.filter(|erasure| erasure.at >= oldest && !applied.contains(&erasure.request)).collect();
        }
        // What is older than the newest that is held was given up here: it would come after what is newer. Where no point
        // is in both any more their times tell, which may be wrong; the newest is taken whatever they say.
        let common = points.iter().rposition(|point| runs.contains(&point.run)).map(|place| place + 1);
        let newest = common.unwrap_or_else(|| {
            let Some(last) = held.iter().map(|point| point.finished).max() else { return 0 };
            let later = points.iter().position(|point| point.finished > last);
            later.unwrap_or_else(|| points.len().saturating_sub(1))
        });
        done.held = points.iter().take(newest).filter(|point| runs.contains(&point.run)).count() as u64;
        for (place, point) in points.iter().skip(newest).enumerate() {
            if options.cancel.is_cancelled() {
                done.cancelled = true;
                return Ok(());
            }
            let mut taken = FollowedPoint::new(point);
            if !options.dry_run {
                let full = options.full && place == 0;
                let Some((report, receipt)) = take(first, second, point, full, options).await? else {
                    done.cancelled = true;
                    return Ok(());
                };
                let counts = report.totals();
                (taken.records, taken.blobs, taken.bytes_added) = (counts.written, counts.blobs, receipt.bytes_added);
            }
            done.points.push(taken);
        }
        Ok(())
    }
}

/// Makes one point of the first source one of the second; `None` if that was cancelled.
///
/// Where following the changes came out different, the point is read in full.
async fn take(
    first: &Source,
    second: &Source,
    point: &Point,
    mut full: bool,
    options: &FollowOptions,
) -> Result<Option<(RunReport, Receipt)>> {
    loop {
        let target = Target::open(first, second, point).await?;
        let mut how = TransferOptions::backup()
            .with_at(At::Sequence(point.sequence))
            .with_full(full)
            // What the first repository holds no more was judged there.
            .with_accepted_deletions(true)
            .with_progress(Arc::clone(&options.progress))
            .with_cancel(options.cancel.clone());
        how.clock = Arc::clone(&second.shared.clock);
        match transfer(first, &target, how).await {
            Err(error) if target.differed() && !full => {
                tracing::warn!(%error, "a point came out different, and is read in full");
                full = true;
            }
            Err(error) => return Err(error),
            Ok(moved) => return Ok(moved.receipt.map(|receipt| (moved.report, receipt))),
        }
    }
}
