//! Locking what is needed against removal, for a while at a time.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{ErrorKind, Result};
use serde::Serialize;
use ulid::Ulid;

use super::collect::Garbage;
use crate::repository::Repository;
use crate::source::Source;
use crate::store::{LockMode, Store};

/// Objects that are looked at or locked at the same time.
const AT_ONCE: usize = 8;
/// The folders of a source whose objects never change and are needed for long.
const DATA: [&str; 4] = ["data/", "state/", "blob/", "pack/"];

/// How to lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockOptions {
    /// How long records and attachments are locked. Default: 90 days.
    pub data: TimeDelta,
    /// How long keys, commits, layouts and what describes the repository are locked: a key can be destroyed this long after
    /// it is needed no more. Default: 14 days.
    pub keys: TimeDelta,
    /// Who may lift a lock. Default: who has a right of its own for it.
    pub mode: LockMode,
    /// Only says what would be locked. Default: no.
    pub dry_run: bool,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { data: TimeDelta::days(90), keys: TimeDelta::days(14), mode: LockMode::default(), dry_run: false }
    }
}

impl LockOptions {
    /// Locks records and attachments for so long.
    #[must_use]
    pub fn with_data(mut self, data: TimeDelta) -> Self {
        self.data = data;
        self
    }

    /// Locks keys, commits and layouts for so long.
    #[must_use]
    pub fn with_keys(mut self, keys: TimeDelta) -> Self {
        self.keys = keys;
        self
    }

    /// Says who may lift a lock.
    #[must_use]
    pub fn with_mode(mut self, mode: LockMode) -> Self {
        self.mode = mode;
        self
    }

    /// Only says what would be locked.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What was locked, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Locked {
    /// Objects that are needed.
    pub objects: u64,
    /// Those that were not locked for half of their time any more, and are locked anew.
    pub extended: u64,
    /// Those that the storage's credentials may not lock.
    pub denied: u64,
}

impl Locked {
    fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.extended += other.extended;
        self.denied += other.denied;
    }
}

impl Source {
    /// Locks all objects that the source needs, those whose lock has less than half of its time left. What was given up is left
    /// alone: its locks end, and [`collect`](Self::collect) removes it then.
    ///
    /// To be called more often than half of the shorter time. Asks the storage about each object: a request each, and one for
    /// each lock. Needs no key, but credentials that may lock. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the storage has no locks on objects, or was not opened as
    /// [versioned](crate::RepositoryOptions::versioned).
    pub async fn lock(&self, options: &LockOptions) -> Result<Locked> {
        let shared = &self.shared;
        let map = shared.loader.load_maintained().await?;
        let (now, prefix) = (shared.clock.now(), shared.names.prefix());
        let entries = shared.store.list(prefix.trim_end_matches('/'), None);
        let present = entries.map_ok(|entry| (entry.name, entry.size)).try_collect().await?;
        let all = Ulid::from_datetime(now.into()).to_string();
        let garbage = Garbage::find(&map, &present, now, &all, shared).await?;
        let unneeded: BTreeSet<&String> = garbage.names().collect();
        let needed = present.keys().filter(|name| !unneeded.contains(name)).map(|name| {
            let folder = name.strip_prefix(prefix).unwrap_or_default();
            let is_data = DATA.iter().any(|data| folder.starts_with(data));
            (name.clone(), if is_data { options.data } else { options.keys })
        });
        lock_all(&*shared.store, needed.collect(), now, options).await
    }
}

impl Repository {
    /// Locks what describes the repository, and all that its sources need: [`Source::lock`] of each.
    ///
    /// # Errors
    ///
    /// As [`Source::lock`].
    pub async fn lock(&self, options: &LockOptions) -> Result<Locked> {
        let mut done = self.lock_description(options).await?;
        for source in self.sources().await? {
            done.add(self.source(&source)?.lock(options).await?);
        }
        Ok(done)
    }

    /// Locks what describes the repository: who it is, who writes and who reads.
    ///
    /// # Errors
    ///
    /// As [`Source::lock`].
    pub async fn lock_description(&self, options: &LockOptions) -> Result<Locked> {
        let mut names = vec![("repo.json".to_owned(), options.keys)];
        for folder in ["writer", "roles"] {
            let entries = self.store().list(folder, None).map_ok(|entry| (entry.name, options.keys));
            names.extend(entries.try_collect::<Vec<_>>().await?);
        }
        lock_all(&**self.store(), names, self.clock().now(), options).await
    }
}

async fn lock_all(
    store: &dyn Store,
    needed: Vec<(String, TimeDelta)>,
    now: DateTime<Utc>,
    options: &LockOptions,
) -> Result<Locked> {
    // Futures that are made before they are polled: a closure in the stream would not be `Send` for all lifetimes.
    let locks: Vec<_> = needed.into_iter().map(|(name, time)| lock_one(store, name, time, now, options)).collect();
    let mut done = Locked::default();
    let mut results = stream::iter(locks).buffer_unordered(AT_ONCE);
    while let Some(one) = results.try_next().await? {
        done.add(one);
    }
    Ok(done)
}

async fn lock_one(
    store: &dyn Store,
    name: String,
    time: TimeDelta,
    now: DateTime<Utc>,
    options: &LockOptions,
) -> Result<Locked> {
    let mut done = Locked { objects: 1, ..Locked::default() };
    let until = match store.locked_until(&name).await {
        Ok(until) => until,
        // Removed a moment ago.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Locked::default()),
        // Who may not ask may still lock.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
        Err(error) => return Err(error),
    };
    if until.is_some_and(|until| until - now >= time / 2) {
        return Ok(done);
    }
    if options.dry_run {
        done.extended = 1;
        return Ok(done);
    }
    match store.lock(&name, now + time, options.mode).await {
        Ok(()) => done.extended = 1,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => done.denied = 1,
        Err(error) => return Err(error),
    }
    Ok(done)
}
