//! The repository, as the configuration names it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{At, Clock, CollectionName, Connector, Error, ErrorKind, Event, Key, Record, Result, RunReport};
use saas_backup_repository::{
    AgentKey, Anchor, Change as StoredChange, CollectOptions, Collected, CompactOptions, Compacted, Concerned, Drill,
    EraseOptions, Erasure, ErasureStatement, FollowOptions, Followed, Identity, Keys, LockOptions, Locked, MendOptions,
    Mended as MendedHere, Point, Recipient, Repaired as Mended, Replicated as Copied, Repository, RepositoryOptions,
    Scanned, Source, SourceStats, Subject, VerifyOptions, VerifyReport,
};
use secrecy::ExposeSecret as _;

use super::blocking;
use super::diff::Change;
use crate::config::{Config, Encryption, ReplicaConfig, RepositoryConfig, Text};

/// Records of a diff that are read at the same time.
const READS_IN_FLIGHT: usize = 8;

/// A version of a record.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Version {
    /// The first point in time that has it.
    pub point: u64,
    /// When that point was made.
    pub at: DateTime<Utc>,
    /// The record; `None` where it was deleted.
    pub record: Option<Record>,
}

/// Which keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// What suffices to back up, and to read points and reports.
    Write,
    /// The identity.
    Read,
}

/// An open repository.
#[derive(Debug)]
pub(super) struct Store(Repository);

/// The address in its one form, for telling repositories apart.
pub(super) fn address(config: &Config) -> Result<String> {
    Ok(locate(&config.repository.url, &config.base)?.url.to_string())
}

/// Makes the repository.
pub(super) async fn create(config: &Config, keys: Keys, clock: Arc<dyn Clock>) -> Result<()> {
    let config = config.clone();
    let options = blocking(move || settings(&config)).await?;
    Repository::init(options.with_keys(keys).with_clock(clock)).await.map(drop)
}

impl Store {
    pub(super) async fn open(config: &Config, access: Access, clock: Arc<dyn Clock>) -> Result<Self> {
        let wanted = config.repository.encryption;
        let own = config.clone();
        let (options, recipients) = blocking(move || {
            let keys = keys(&own, access)?;
            Ok((settings(&own)?.with_keys(keys).with_clock(clock), recipients(&own.repository, &own.base)?))
        })
        .await?;
        let repository = Repository::open(options).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(
                ErrorKind::NotFound,
                "there is no repository at the configured address; `saas-backup init` makes one",
            )
            .with_source(error),
            _ => error,
        })?;
        check_encryption(&repository, wanted)?;
        let known = repository.recipients()?;
        if let Some(other) = recipients.iter().find(|recipient| !known.contains(recipient)) {
            if repository.statement() == 0 {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "the repository is not encrypted to this recipient: `saas-backup key add-recipient` adds it",
                )
                .with_context("recipient", other));
            }
            // The owner's word counts, and a backup does not end because somebody was removed.
            tracing::warn!(recipient = %other, "the repository is not encrypted to a recipient that the configuration names");
        }
        Ok(Self(repository))
    }

    /// Opens the repository with these keys, whatever others the configuration names.
    pub(super) async fn open_as(config: &Config, keys: Keys, clock: Arc<dyn Clock>) -> Result<Self> {
        let own = config.clone();
        let options = blocking(move || settings(&own)).await?;
        Repository::open(options.with_keys(keys).with_clock(clock)).await.map(Self)
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.0
    }

    /// Opens a copy of the repository, with the keys of this one.
    pub(super) async fn open_copy(config: &Config, at: RepositoryOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let own = config.clone();
        let keys = blocking(move || keys(&own, Access::Read)).await?;
        Repository::open(at.with_keys(keys).with_clock(clock)).await.map(Self)
    }

    /// Opens a replica by records, or makes it where there is none; with `dry_run` one in memory stands for it.
    pub(super) async fn open_follower(
        config: &Config,
        replica: &ReplicaConfig,
        at: RepositoryOptions,
        dry_run: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        replica.check()?;
        let own = Config { repository: replica.repository(), ..config.clone() };
        let wanted = own.repository.encryption;
        let (keys, recipients) =
            blocking(move || Ok((keys(&own, Access::Read)?, recipients(&own.repository, &own.base)?))).await?;
        let place = at.with_clock(Arc::clone(&clock));
        match Repository::open(place.clone().with_keys(keys.clone())).await {
            Ok(repository) => {
                check_encryption(&repository, wanted)?;
                Ok(Self(repository))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let new = if dry_run {
                    RepositoryOptions::parse("memory:")?.with_clock(clock)
                } else {
                    place.with_keys(recipients.into_iter().fold(keys, Keys::with_recipient))
                };
                Repository::init(new).await.map(Self)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn follow(&self, first: &Self, options: &FollowOptions) -> Result<Followed> {
        self.0.follow(&first.0, options).await
    }

    pub(super) fn source(&self, name: &str) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(self.0.source(name)?))
    }

    /// A source whose snapshots hold past versions, too.
    pub(super) fn source_with_history(&self, name: &str) -> Result<Arc<dyn Connector>> {
        Ok(Arc::new(self.0.source(name)?.with_history(true)))
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.0.is_encrypted()
    }

    pub(super) async fn points(&self, name: &str) -> Result<Vec<Point>> {
        self.0.source(name)?.points().await
    }

    /// The points, to decide on them.
    pub(super) async fn proven_points(&self, name: &str) -> Result<Vec<Point>> {
        self.0.source(name)?.proven_points().await
    }

    /// Those of the points that a maintainer verified.
    pub(super) async fn verified_points(&self, name: &str) -> Result<BTreeSet<u64>> {
        Ok(self.0.source(name)?.verified_points().await?.into_keys().collect())
    }

    pub(super) async fn report(&self, name: &str, at: &At) -> Result<RunReport> {
        self.0.source(name)?.report(at).await
    }

    pub(super) async fn point(&self, name: &str, at: &At) -> Result<Point> {
        self.0.source(name)?.point(at).await
    }

    pub(super) async fn count(&self, name: &str, at: &At) -> Result<BTreeMap<CollectionName, u64>> {
        self.0.source(name)?.count(at).await
    }

    /// The report of the newest point; `None` if there is no point.
    pub(super) async fn last_report(&self, name: &str) -> Result<Option<RunReport>> {
        let source = self.0.source(name)?;
        if source.points().await?.is_empty() {
            return Ok(None);
        }
        source.report(&At::Now).await.map(Some)
    }

    pub(super) async fn history(&self, name: &str, key: &Key) -> Result<Vec<Version>> {
        let source = self.0.source(name)?;
        let points = source.points().await?;
        let mut events = source.history(key).await?;
        events.reverse();
        let version = |event: Event| {
            let (sequence, record) = match event {
                Event::Put(record) => (record.sequence?, Some(*record)),
                Event::Delete(deletion) => (deletion.sequence?, None),
                _ => return None,
            };
            let point = points.iter().find(|point| point.sequence >= sequence)?;
            Some(Version { point: point.sequence, at: point.finished, record })
        };
        Ok(events.into_iter().filter_map(version).collect())
    }

    pub(super) async fn verify(
        &self,
        options: &VerifyOptions,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<VerifyReport> {
        self.0.verify(options, progress).await
    }

    pub(super) async fn keep_drill(&self, name: &str, drill: &Drill) -> Result<()> {
        self.0.source(name)?.keep_drill(drill).await
    }

    /// The newest drills that were kept, the newest last.
    pub(super) async fn drills(&self, name: &str, most: usize) -> Result<Vec<Drill>> {
        self.0.source(name)?.drills(most).await
    }

    pub(super) async fn stats(&self, name: &str) -> Result<SourceStats> {
        self.0.source(name)?.stats().await
    }

    /// The newest commit of a source.
    pub(super) async fn anchor(&self, name: &str) -> Result<Option<Anchor>> {
        self.0.source(name)?.anchor().await
    }

    /// Forgets points that were there just now.
    pub(super) async fn forget(&self, name: &str, points: &BTreeSet<u64>) -> Result<()> {
        self.0.source(name)?.forget(points).await.map(drop).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Error::new(ErrorKind::Conflict, "somebody else forgot some of these points in the meantime; try again")
                    .with_source(error)
            }
            _ => error,
        })
    }

    pub(super) async fn replicate(
        &self,
        to: &RepositoryOptions,
        progress: &mut (dyn FnMut(&Copied) + Send),
    ) -> Result<Copied> {
        self.0.replicate(to, progress).await
    }

    pub(super) async fn repair_from(
        &self,
        copy: &Self,
        options: &VerifyOptions,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<Mended> {
        self.0.repair_from(&copy.0, options, progress).await
    }

    pub(super) async fn mend(
        &self,
        options: &MendOptions,
        progress: &mut (dyn FnMut(&VerifyReport) + Send),
    ) -> Result<MendedHere> {
        self.0.mend(options, progress).await
    }

    pub(super) async fn compact(
        &self,
        name: &str,
        options: &CompactOptions,
        progress: &mut (dyn FnMut(&Compacted) + Send),
    ) -> Result<Compacted> {
        self.0.source(name)?.compact(options, progress).await
    }

    pub(super) async fn collect(&self, name: &str, options: &CollectOptions) -> Result<Collected> {
        self.0.source(name)?.collect(options).await
    }

    pub(super) async fn erase(
        &self,
        name: &str,
        subject: &Subject,
        options: &EraseOptions,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Concerned> {
        self.0.source(name)?.erase(subject, options, progress).await
    }

    pub(super) async fn erasures(&self, name: &str) -> Result<Vec<Erasure>> {
        self.0.source(name)?.erasures().await
    }

    pub(super) async fn state_erasures(&self, name: &str) -> Result<Bytes> {
        self.0.source(name)?.state_erasures().await
    }

    pub(super) async fn read_statement(&self, statement: &Bytes) -> Result<ErasureStatement> {
        self.0.read_statement(statement).await
    }

    pub(super) async fn scan(
        &self,
        name: &str,
        texts: &[String],
        progress: &mut (dyn FnMut(&Scanned) + Send),
    ) -> Result<Scanned> {
        self.0.source(name)?.scan(texts, progress).await
    }

    /// Removes from a copy what the timeline gave up: from all its sources.
    pub(super) async fn prune(&self) -> Result<Collected> {
        let mut all = Collected::default();
        for source in self.0.sources().await? {
            all = all.plus(&self.0.source(&source)?.collect(&CollectOptions::default().with_copy(true)).await?);
        }
        Ok(all)
    }

    /// Locks what a source needs, and what describes the repository.
    pub(super) async fn lock(&self, name: &str, options: &LockOptions) -> Result<Locked> {
        self.0.lock_description(options).await?;
        self.0.source(name)?.lock(options).await
    }

    pub(super) async fn diff(&self, name: &str, from: At, to: At) -> Result<BoxStream<'static, Result<Change>>> {
        let source = self.0.source(name)?;
        let changes = source.diff(&from, &to).await?;
        // A point that is named by its distance or time may move while the stream is read.
        let (from, to) = (source.point(&from).await?.sequence, source.point(&to).await?.sequence);
        Ok(changes
            .map_ok(move |change| {
                let source = source.clone();
                async move { between(&source, change, from, to).await }
            })
            .try_buffered(READS_IN_FLIGHT)
            .try_filter_map(|change| async move { Ok(change) })
            .boxed())
    }
}

async fn between(source: &Source, change: StoredChange, from: u64, to: u64) -> Result<Option<Change>> {
    let before = source.record(&change.key, &At::Sequence(from)).await?;
    let after = source.record(&change.key, &At::Sequence(to)).await?;
    Change::between(change.key, before.as_ref(), after.as_ref())
}

/// Refuses a repository that is not encrypted as the configuration says.
fn check_encryption(repository: &Repository, wanted: Encryption) -> Result<()> {
    if repository.is_encrypted() == (wanted == Encryption::Age) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Configuration,
        if repository.is_encrypted() {
            "the repository is encrypted; remove encryption = \"none\" and name its keys"
        } else {
            "the repository is not encrypted, and the configuration does not say encryption = \"none\""
        },
    ))
}

/// Where a repository lies; a path starts at the configuration.
fn locate(url: &Text, base: &Path) -> Result<RepositoryOptions> {
    let address = url.resolve(base)?;
    let address = address.expose_secret();
    if address.contains("://") {
        return RepositoryOptions::parse(address);
    }
    RepositoryOptions::parse(&base.join(address).to_string_lossy())
}

/// Everything but the keys.
fn settings(config: &Config) -> Result<RepositoryOptions> {
    let RepositoryConfig { url, options, single_writer, versioned, lock, .. } = &config.repository;
    let place = stored(locate(url, &config.base)?, options, &config.base)?;
    Ok(place.with_single_writer(*single_writer).with_versioned(*versioned || lock.is_some()))
}

/// Where a replica lies, and how its storage is opened; a path starts at `base`.
pub(super) fn replica(replica: &ReplicaConfig, base: &Path) -> Result<RepositoryOptions> {
    let ReplicaConfig { url, options, environment, single_writer, versioned, .. } = replica;
    let place = stored(locate(url, base)?, options, base)?;
    Ok(place.with_environment(*environment).with_single_writer(*single_writer).with_versioned(*versioned))
}

fn stored(mut place: RepositoryOptions, options: &BTreeMap<String, Text>, base: &Path) -> Result<RepositoryOptions> {
    for (name, value) in options {
        place = place.with_option(name, value.resolve(base)?);
    }
    Ok(place)
}

/// Whether the configuration has what reading records takes.
pub(super) fn may_read(config: &Config) -> bool {
    config.repository.encryption == Encryption::None || config.repository.identity.is_some()
}

fn keys(config: &Config, access: Access) -> Result<Keys> {
    let RepositoryConfig { encryption, agent, identity, root, .. } = &config.repository;
    if *encryption == Encryption::None {
        return Ok(Keys::none());
    }
    let resolve = |text: &Text| text.resolve(&config.base);
    let mut keys = Keys::none();
    if let Some(agent) = agent {
        keys = keys.with_agent(AgentKey::parse(resolve(agent)?.expose_secret())?);
    }
    // Without a key of its own, the owner writes.
    if access == Access::Read || agent.is_none() {
        let Some(identity) = identity else {
            return Err(Error::new(
                ErrorKind::Configuration,
                match access {
                    Access::Read => {
                        "reading and maintaining the copies takes the identity: add identity = { file = \"me.key\" } to \
                         [repository]"
                    }
                    Access::Write => "writing takes a key: add agent = { file = \"agent.key\" } to [repository]",
                },
            ));
        };
        keys.identity = Some(Identity::parse(resolve(identity)?.expose_secret())?);
    }
    if let Some(root) = root {
        keys = keys.with_root(resolve(root)?.expose_secret().trim().parse()?);
    }
    Ok(keys)
}

/// The configured keys, with another identity if there is one.
pub(super) async fn keys_with(config: &Config, identity: Option<Identity>) -> Result<Keys> {
    let mut own = config.clone();
    blocking(move || {
        let Some(identity) = identity else { return keys(&own, Access::Read) };
        // The one that is configured may not be there, and is not asked for.
        own.repository.identity = None;
        let mut keys = if own.repository.agent.is_some() { keys(&own, Access::Write)? } else { Keys::none() };
        if let Some(root) = &own.repository.root {
            keys = keys.with_root(root.resolve(&own.base)?.expose_secret().trim().parse()?);
        }
        keys.identity = Some(identity);
        Ok(keys)
    })
    .await
}

fn recipients(config: &RepositoryConfig, base: &Path) -> Result<Vec<Recipient>> {
    config.recipients.iter().map(|text| Recipient::parse(text.resolve(base)?.expose_secret())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use saas_backup_core::SystemClock;

    #[tokio::test]
    async fn points_that_somebody_else_forgot_are_a_conflict() {
        let mut repository = RepositoryConfig::new("memory://forgotten");
        repository.encryption = Encryption::None;
        let config = Config::new(repository, Vec::new());
        create(&config, Keys::none(), Arc::new(SystemClock)).await.unwrap();
        let store = Store::open(&config, Access::Read, Arc::new(SystemClock)).await.unwrap();
        let error = store.forget("notes", &BTreeSet::from([1])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}
