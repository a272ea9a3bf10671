use std::collections::BTreeSet;

use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_repository::{RetentionPlan, RetentionPolicy};
use serde::Serialize;

use super::Project;

/// How to forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForgetOptions {
    /// Only says what would be forgotten, and why the rest is kept. Default: no.
    pub dry_run: bool,
}

impl ForgetOptions {
    /// Only says what would be forgotten, and why the rest is kept.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What forgetting did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Forgot {
    /// The source.
    pub source: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The points that are no more, or would be, by their sequence numbers.
    pub forgotten: Vec<u64>,
    /// Every point with what keeps it, and what a person should know.
    pub plan: RetentionPlan,
}

impl Project {
    /// Forgets the points of a source that its retention does not keep. Takes the identity.
    ///
    /// The points are gone at once; their bytes go with the next [`maintain`](Self::maintain). The newest point always
    /// stays. Which points were verified is what [`verify`](Self::verify) noted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if nothing says what is kept, if the source is neither configured nor in the
    /// repository, or the identity is missing; [`ErrorKind::PermissionDenied`] if the identity may not maintain; [`ErrorKind::Conflict`] if another maintainer
    /// was faster.
    pub async fn forget(&self, source: &str, options: &ForgetOptions) -> Result<Forgot> {
        let policy = self.retention(source)?.clone();
        let store = self.reader().await?;
        let points = store.proven_points(source).await?;
        if points.is_empty() {
            self.config().source(source)?;
        }
        let verified = store.verified_points(source).await?;
        let plan = policy.plan(&points, &verified, self.clock().now())?;
        let points: BTreeSet<u64> = plan.forgotten().map(|decision| decision.point.sequence).collect();
        if !options.dry_run && !points.is_empty() {
            store.forget(source, &points).await?;
            self.note_anchor(source).await;
        }
        let forgotten = points.into_iter().collect();
        Ok(Forgot { source: source.to_owned(), dry_run: options.dry_run, forgotten, plan })
    }

    /// What a source says of its points, or the configuration of all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if neither says anything.
    pub fn retention(&self, source: &str) -> Result<&RetentionPolicy> {
        let config = self.config();
        let own = config.sources.iter().find(|one| one.name == source).and_then(|one| one.retention.as_ref());
        own.or(config.retention.as_ref()).ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "nothing says which points are kept: add a [retention], such as keep_daily = 30",
            )
            .with_context("source", source)
        })
    }
}
