use chrono::TimeDelta;
use saas_backup_core::{Error, ErrorKind, Period, Result};
use saas_backup_repository::{CollectOptions, Collected, CompactOptions, Compacted, LockOptions, Locked};
use serde::Serialize;

use super::Project;
use crate::config::LockConfig;

/// How to maintain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintainOptions {
    /// Merges everything into a new base, whether it is due or not. Default: no.
    pub all: bool,
    /// How long what was given up stays for readers and writers that are under way; never less than twice the longest
    /// run. `None` for the default of [`CollectOptions`], 7 days.
    pub grace: Option<Period>,
    /// Only says what would be done. Default: no.
    pub dry_run: bool,
}

impl MaintainOptions {
    /// Merges everything into a new base, whether it is due or not.
    #[must_use]
    pub fn with_all(mut self, all: bool) -> Self {
        self.all = all;
        self
    }

    /// Keeps what was given up for so long. Readers and writers that are under way for longer may fail.
    #[must_use]
    pub fn with_grace(mut self, grace: impl Into<Period>) -> Self {
        self.grace = Some(grace.into());
        self
    }

    /// Only says what would be done.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What maintenance did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Maintained {
    /// The source.
    pub source: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// What was merged.
    pub compacted: Compacted,
    /// What was removed, and what waits for the end of its grace.
    pub collected: Collected,
    /// What was locked; `None` unless the configuration says so.
    pub locked: Option<Locked>,
}

impl Project {
    /// Merges small commits of a source where that is due, removes what nobody needs any more, and locks what is needed where
    /// the configuration says so. Takes the identity.
    ///
    /// Forgets nothing: that is [`forget`](Self::forget). Backups go on meanwhile. `progress` hears what is merged. A
    /// dry run does not know what its merging would give up: it counts what is there now. Cancel safe: what was not
    /// finished is left out, and the next call does it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the source is neither configured nor in the repository, or the identity is
    /// missing; [`ErrorKind::PermissionDenied`] if the identity may not maintain; [`ErrorKind::Integrity`] if a point
    /// does not hold what it held, in which case nothing is changed; [`ErrorKind::Conflict`] if another maintainer was
    /// faster.
    pub async fn maintain(
        &self,
        source: &str,
        options: &MaintainOptions,
        progress: &mut (dyn FnMut(&Compacted) + Send),
    ) -> Result<Maintained> {
        let done = Box::pin(self.upkeep(source, options, progress)).await;
        if !options.dry_run {
            self.note_maintenance(source, &done);
        }
        done
    }

    async fn upkeep(
        &self,
        source: &str,
        options: &MaintainOptions,
        progress: &mut (dyn FnMut(&Compacted) + Send),
    ) -> Result<Maintained> {
        let store = self.reader().await?;
        self.check_known(store, source).await?;
        let compact = CompactOptions::default().with_all(options.all).with_dry_run(options.dry_run);
        let mut collect = CollectOptions::default().with_dry_run(options.dry_run);
        if let Some(grace) = options.grace {
            collect = collect.with_grace(length(grace, "the grace is too long")?);
        }
        let compacted = store.compact(source, &compact, progress).await?;
        // Noted in between, too: a collection that fails must not hide it.
        self.note_upkeep(source, options).await;
        let collected = store.collect(source, &collect).await?;
        self.note_upkeep(source, options).await;
        let locked = match &self.config().repository.lock {
            Some(lock) => Some(store.lock(source, &lock_options(lock)?.with_dry_run(options.dry_run)).await?),
            None => None,
        };
        Ok(Maintained { source: source.to_owned(), dry_run: options.dry_run, compacted, collected, locked })
    }

    async fn note_upkeep(&self, source: &str, options: &MaintainOptions) {
        if !options.dry_run {
            self.note_anchor(source).await;
        }
    }
}

fn lock_options(lock: &LockConfig) -> Result<LockOptions> {
    let (data, keys) = (length(lock.data, "the lock is too long")?, length(lock.keys, "the lock is too long")?);
    Ok(LockOptions::default().with_data(data).with_keys(keys).with_mode(lock.mode))
}

fn length(period: Period, too_long: &'static str) -> Result<TimeDelta> {
    TimeDelta::from_std(period.0).map_err(|error| Error::new(ErrorKind::Configuration, too_long).with_source(error))
}
