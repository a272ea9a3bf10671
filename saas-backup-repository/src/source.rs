use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{
    Account, At, Capabilities, Clock, CollectionName, Connector, Error, ErrorKind, Event, Key, Result, Sink,
    SinkOptions, Snapshot, SnapshotOptions, WriteMode,
};

use crate::crypto::{Audience, Keyring, Keys, Signer};
use crate::diff::{Change, ChangeKind};
use crate::layout::{Loader, Map};
use crate::object::{Family, Names};
use crate::points::Point;
use crate::read::{Access, Bounds, HistorySnapshot, Merge, PointSnapshot, event};
use crate::sink::MirrorSink;
use crate::store::Store;
use crate::writers::{self, writer_id};

/// Bytes of flushed lines and attachments that wait for each other before they become a commit.
const FLUSH_BYTES: u64 = 8 * 1024 * 1024;

/// What the parts of a source share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) repository: String,
    pub(crate) name: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) names: Names,
    pub(crate) keys: Keys,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) loader: Loader,
    pub(crate) access: Arc<Access>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flush_bytes: u64,
    pub(crate) labels: Vec<String>,
    pub(crate) history: bool,
    pub(crate) map: Arc<Mutex<Option<Arc<Map>>>>,
    pub(crate) session: Arc<tokio::sync::Mutex<()>>,
}

/// Who writes, and whom metadata is encrypted to.
#[derive(Debug)]
pub(crate) struct WritingKeys {
    pub(crate) signer: Option<Signer>,
    pub(crate) id: String,
    pub(crate) audience: Audience,
}

impl Shared {
    /// The names of all objects in a folder, in no order.
    pub(crate) async fn listed(&self, folder: &str) -> Result<Vec<String>> {
        self.store.list(folder, None).map_ok(|entry| entry.name).try_collect().await
    }

    /// The map with what was committed since it was last read.
    pub(crate) async fn load(&self) -> Result<Arc<Map>> {
        let known = self.lock_map().clone();
        let map = self.loader.load(known).await?;
        self.remember(&map);
        Ok(map)
    }

    /// Keeps a map for the next reader, unless a newer one is kept.
    pub(crate) fn remember(&self, map: &Arc<Map>) {
        let mut kept = self.lock_map();
        if kept.as_ref().is_none_or(|kept| kept.next() <= map.next()) {
            *kept = Some(Arc::clone(map));
        }
    }

    /// Reads the map anew the next time.
    pub(crate) fn forget_map(&self) {
        *self.lock_map() = None;
    }

    fn lock_map(&self) -> MutexGuard<'_, Option<Arc<Map>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom keys are encrypted to, as the owner states it at this moment.
    pub(crate) async fn audience(&self) -> Result<Audience> {
        writers::audience(&*self.store, &self.repository, &self.loader.trust).await
    }

    /// Whom the keys of records are encrypted to, as it was stated when the session began.
    pub(crate) fn owners(&self) -> Audience {
        Audience { owners: self.loader.trust.roles().recipients.clone(), writers: Vec::new() }
    }

    /// Checks that whoever holds these keys may write.
    pub(crate) async fn writing_keys(&self) -> Result<WritingKeys> {
        let Some(root) = self.loader.trust.root() else {
            return Ok(WritingKeys { signer: None, id: String::new(), audience: Audience::default() });
        };
        let agent = self.keys.writing().ok_or_else(|| {
            Error::new(ErrorKind::PermissionDenied, "writing takes an agent key or the owner's identity")
        })?;
        let id = writer_id(&agent);
        writers::read_writer(&*self.store, root, &id).await?;
        let audience = self.audience().await?;
        if self.loader.trust.roles().revocation(&id).is_some() {
            return Err(Error::new(ErrorKind::PermissionDenied, "this writer was revoked; the owner adds another one")
                .with_context("writer", id));
        }
        Ok(WritingKeys { signer: Some(agent.signer()), id, audience })
    }

    /// Checks that whoever holds these keys may maintain.
    pub(crate) async fn maintaining_keys(&self) -> Result<WritingKeys> {
        let Some(root) = self.loader.trust.root() else {
            return Ok(WritingKeys { signer: None, id: String::new(), audience: Audience::default() });
        };
        let identity = self.keys.identity.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::PermissionDenied, "upkeep takes the owner's identity: it reads and replaces records")
        })?;
        let agent = identity.as_agent();
        let id = writer_id(&agent);
        if !writers::read_writer(&*self.store, root, &id).await?.maintains {
            return Err(Error::new(ErrorKind::PermissionDenied, "this owner may read and write, and not maintain"));
        }
        Ok(WritingKeys { signer: Some(agent.signer()), id, audience: self.audience().await? })
    }
}

/// One source of a repository: a [`Connector`] whose snapshots are points in time.
///
/// Cloning is cheap; clones share what they have read. One session writes at a time.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) shared: Arc<Shared>,
}

impl Source {
    /// Its name in the repository.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Makes flushes commits of their own once this many bytes of lines and attachments wait. Default: 8 MiB.
    ///
    /// A flush that is smaller waits, for a minute at most, for more, and is durable with the commit that it joins; its
    /// cursor waits with it. With 0 every flush is durable when it returns.
    #[must_use]
    pub fn with_flush_bytes(self, bytes: u64) -> Self {
        self.with(|shared| shared.flush_bytes = bytes)
    }

    /// Gives labels to the points that are written through this handle.
    #[must_use]
    pub fn with_labels(self, labels: Vec<String>) -> Self {
        self.with(|shared| shared.labels = labels)
    }

    /// Says whether snapshots hold past versions, too. Default: they do not.
    ///
    /// Beside each collection with records that changed or were deleted, such as `posts`, there is then a collection
    /// `posts.history`. Each of its records is a version that is no more at the snapshot's point: the record as it was in
    /// `data.data`, its envelope and its attachments, when it came and went, what the next version changed, and a
    /// reference to its record, which [`FieldMapping::version_of`](saas_backup_core::FieldMapping::version_of) names.
    /// What one commit both wrote and replaced is no version. A record that was written twice as it was is one version, named
    /// after the first of the two that is still held. Writing through this handle is what it is without.
    #[must_use]
    pub fn with_history(self, history: bool) -> Self {
        self.with(|shared| shared.history = history)
    }

    fn with(self, change: impl FnOnce(&mut Shared)) -> Self {
        let old = &self.shared;
        let mut shared = Shared {
            repository: old.repository.clone(),
            name: old.name.clone(),
            store: Arc::clone(&old.store),
            names: old.names.clone(),
            keys: old.keys.clone(),
            keyring: Arc::clone(&old.keyring),
            loader: old.loader.clone(),
            access: Arc::clone(&old.access),
            clock: Arc::clone(&old.clock),
            flush_bytes: old.flush_bytes,
            labels: old.labels.clone(),
            history: old.history,
            map: Arc::clone(&old.map),
            session: Arc::clone(&old.session),
        };
        change(&mut shared);
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn flush_bytes() -> u64 {
        FLUSH_BYTES
    }

    /// The points in time, oldest first. Needs no key. Cancel safe.
    pub async fn points(&self) -> Result<Vec<Point>> {
        Ok(points_of(&*self.shared.load().await?))
    }

    /// The points in time, oldest first, whatever writers' layouts say of them: by commits, and by layouts of
    /// maintainers. What decides on points should ask for these; reads more than [`points`](Self::points). Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if the timeline breaks off.
    pub async fn proven_points(&self) -> Result<Vec<Point>> {
        let map = self.shared.loader.load_maintained().await?;
        map.check()?;
        Ok(points_of(&map))
    }

    /// A point in time. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none; [`ErrorKind::Integrity`] if it lies behind a break of the timeline.
    pub async fn point(&self, at: &At) -> Result<Point> {
        let map = self.shared.load().await?;
        Point::find(&map, at)
    }

    /// The source at a point in time. Cancel safe.
    pub(crate) async fn at(&self, options: &SnapshotOptions) -> Result<PointSnapshot> {
        let map = self.shared.load().await?;
        let point = Point::find(&map, &options.at)?;
        Ok(PointSnapshot { shared: Arc::clone(&self.shared), map, at: point.sequence, budget: options.budget.clone() })
    }

    /// A session that writes.
    pub(crate) async fn mirror(&self, options: SinkOptions) -> Result<MirrorSink> {
        if options.mode != WriteMode::Mirror {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a repository keeps mirrors: open it with `WriteMode::Mirror`",
            ));
        }
        if options.dry_run {
            return Err(Error::new(ErrorKind::Unsupported, "a mirror has no dry run"));
        }
        let only = Arc::clone(&self.shared.session).try_lock_owned().map_err(|_| {
            Error::new(ErrorKind::Conflict, "another session writes to this source").with_context("source", self.name())
        })?;
        MirrorSink::open(Arc::clone(&self.shared), options.remember, only).await
    }

    /// What the run that made a point reported: counts, completeness, gaps. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without an identity or an agent key.
    pub async fn report(&self, at: &At) -> Result<saas_backup_core::RunReport> {
        let snapshot = self.at(&SnapshotOptions::at(at.clone())).await?;
        let report = snapshot.report().await?;
        let mut report = report.ok_or_else(|| Error::new(ErrorKind::NotFound, "the point has no report"))?;
        snapshot.tell_losses(&mut report).await?;
        Ok(report)
    }

    /// How many records of each collection were held at a point in time, the trash included. Cancel safe.
    ///
    /// For sources whose reports do not say: a mirror that remembers nothing of its records does not count them. Reads
    /// the indexes, and of the segments the parts that several of them may hold records of: as much as changed since
    /// the first full read, not as much as there is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without an identity.
    pub async fn count(&self, at: &At) -> Result<BTreeMap<CollectionName, u64>> {
        self.at(&SnapshotOptions::at(at.clone())).await?.count().await
    }

    /// One record as it was at a point in time; `None` if it did not exist then. Cancel safe.
    pub async fn record(&self, key: &Key, at: &At) -> Result<Option<saas_backup_core::Record>> {
        let snapshot = self.at(&SnapshotOptions::at(at.clone())).await?;
        match snapshot.state_of(key).await?.map(|line| event(&line)).transpose()? {
            Some(Event::Put(record)) => Ok(Some(*record)),
            _ => Ok(None),
        }
    }

    /// All that is held of one record up to the latest point, newest first: its versions ([`Event::Put`]) and its
    /// deletions ([`Event::Delete`]), each with its sequence number. Cancel safe.
    pub async fn history(&self, key: &Key) -> Result<Vec<Event>> {
        let snapshot = self.at(&SnapshotOptions::default()).await?;
        let lines = snapshot.all_versions(key).await?;
        lines.iter().map(event).collect()
    }

    /// What changed after a sequence number, up to the latest point, in the order of keys: the state that each changed
    /// record has now. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CursorExpired`] if that is before all points that are still held, for what was deleted then is not
    /// known any more; or before something was erased.
    pub async fn changes_since(&self, sequence: u64) -> Result<BoxStream<'static, Result<Event>>> {
        let snapshot = self.at(&SnapshotOptions::default()).await?;
        snapshot.check_horizon(sequence)?;
        snapshot.check_erased(sequence)?;
        let changes = changed_keys(&snapshot, sequence, None).await?;
        let read = changes.try_filter_map(move |(line, since)| async move {
            if line.sequence > since { event(&line).map(Some) } else { Ok(None) }
        });
        Ok(read.boxed())
    }

    /// What differs between two points in time, in the order of keys; costs as much as there is. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if `from` is the later one.
    pub async fn diff(&self, from: &At, to: &At) -> Result<BoxStream<'static, Result<Change>>> {
        let before = self.at(&SnapshotOptions::at(from.clone())).await?;
        let after = self.at(&SnapshotOptions::at(to.clone())).await?;
        if before.at > after.at {
            return Err(Error::new(ErrorKind::Configuration, "the first point is later than the second one"));
        }
        let changes = changed_keys(&after, before.at, None).await?;
        let read = changes.try_filter_map(move |(line, _)| {
            let before = before.clone();
            async move {
                let old = before.state_of(&line.key).await?.filter(|old| !old.is_deletion());
                Ok(ChangeKind::of(old.as_ref(), &line)
                    .map(|kind| Change::new(line.key.clone(), kind, old.as_ref(), &line)))
            }
        });
        Ok(read.boxed())
    }
}

fn points_of(map: &Map) -> Vec<Point> {
    map.points.iter().map(|(sequence, run, point)| Point::new(map, *sequence, *run, point)).collect()
}

/// The true lines of the keys that have lines after a point.
async fn changed_keys(
    snapshot: &PointSnapshot,
    since: u64,
    collection: Option<CollectionName>,
) -> Result<BoxStream<'static, Result<(crate::object::StoredLine, u64)>>> {
    let bounds = Bounds { collection, since, ..Bounds::all(Family::Data, snapshot.at) };
    let merge = Merge::open(Arc::clone(&snapshot.shared.access), &snapshot.map, bounds).await?;
    let read = stream::try_unfold((merge, snapshot.clone()), move |(mut merge, snapshot)| async move {
        while let Some(group) = merge.next().await? {
            // Nothing is true of a record that was erased, and deleted since then.
            if let Some(line) = snapshot.state_of_group(&group).await? {
                return Ok(Some(((line, since), (merge, snapshot))));
            }
        }
        Ok(None)
    });
    Ok(read.boxed())
}

#[async_trait]
impl Connector for Source {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.read = true;
        capabilities.incremental = true;
        capabilities.reports_deletions = true;
        capabilities.reads_records = true;
        capabilities.blobs = true;
        capabilities.blob_ranges = true;
        capabilities.points_in_time = true;
        capabilities.mirror = true;
        capabilities.atomic = true;
        capabilities.lossless = true;
        capabilities
    }

    async fn check(&self) -> Result<Account> {
        let mut account = Account::new(format!("{}/{}", self.shared.repository, self.shared.name), &self.shared.name);
        let map = self.shared.load().await?;
        map.check()?;
        if self.shared.keyring.reads_data() {
            account.scopes.push("read".to_owned());
        }
        if self.shared.writing_keys().await.is_ok() {
            account.scopes.push("write".to_owned());
        }
        Ok(account)
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        let now = self.at(&options).await?;
        Ok(if self.shared.history { Box::new(HistorySnapshot::new(now)) } else { Box::new(now) })
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.mirror(options).await?))
    }
}
