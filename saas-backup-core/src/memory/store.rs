use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::{
    BlobId, Catalog, Collection, CollectionName, Coverage, Deletion, DeletionReason, Digest, Error, ErrorKind, FeedId,
    FeedState, Held, Key, Kind, OpenGap, PartitionId, Record, Result, Review, RunId, RunReport, StoredBlob,
};

/// Records with their history, blobs, cursors and gaps, in memory. Cloning gives another handle on the same store.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

/// A finished run of a [`MemoryStore`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemoryPoint {
    /// The sequence number of its last write.
    pub sequence: u64,
    /// When it finished.
    pub time: DateTime<Utc>,
    /// Its report.
    pub report: RunReport,
}

#[derive(Clone, Default)]
pub(super) struct Inner {
    pub(super) catalog: Catalog,
    pub(super) coverage: Option<Coverage>,
    pub(super) versions: BTreeMap<Key, Vec<Version>>,
    /// The partitions whose own feeds put a record and have not told since that it left.
    pub(super) holders: BTreeMap<Key, BTreeSet<PartitionId>>,
    pub(super) blobs: BTreeMap<BlobId, (StoredBlob, Bytes)>,
    pub(super) feeds: BTreeMap<FeedId, FeedEntry>,
    pub(super) gaps: Vec<OpenGap>,
    pub(super) reviews: Vec<Review>,
    pub(super) points: Vec<MemoryPoint>,
    pub(super) unfinished: Option<RunId>,
    /// The last sequence number given.
    pub(super) sequence: u64,
    /// The last sequence number that readers see.
    pub(super) visible: u64,
    /// The session that may write; an older one has lost.
    pub(super) session: u64,
    pub(super) next_id: u64,
}

#[derive(Clone)]
pub(super) struct FeedEntry {
    pub(super) state: FeedState,
    pub(super) seen: BTreeSet<Key>,
}

#[derive(Clone)]
pub(super) struct Version {
    pub(super) sequence: u64,
    pub(super) content: Content,
}

#[derive(Clone)]
pub(super) enum Content {
    Put(Box<Record>),
    Deleted(Deletion),
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the catalog; without one, each collection that holds a record is there, as plain records.
    pub fn set_catalog(&self, catalog: Catalog) {
        self.lock().catalog = catalog;
    }

    /// Writes a record, visible at once: for a store that stands for a provider.
    pub fn put(&self, record: Record) {
        let mut inner = self.lock();
        inner.holders.remove(&record.key);
        inner.push(record.key.clone(), Content::Put(Box::new(record)));
        inner.visible = inner.sequence;
    }

    /// Deletes a record, visible at once.
    pub fn delete(&self, key: Key) {
        let mut inner = self.lock();
        inner.holders.remove(&key);
        inner.push(key.clone(), Content::Deleted(Deletion::new(key, DeletionReason::Deleted)));
        inner.visible = inner.sequence;
    }

    /// Stores bytes.
    pub fn put_blob(&self, id: BlobId, bytes: impl Into<Bytes>) -> StoredBlob {
        let bytes = bytes.into();
        let stored = StoredBlob { digest: Digest::of(&bytes), size: bytes.len() as u64 };
        self.lock().blobs.insert(id, (stored, bytes));
        stored
    }

    /// The bytes of a blob.
    pub fn blob(&self, id: &BlobId) -> Option<Bytes> {
        self.lock().blobs.get(id).map(|(_, bytes)| bytes.clone())
    }

    /// The records that are not deleted, as readers see them now.
    pub fn live(&self) -> BTreeMap<Key, Record> {
        let inner = self.lock();
        let mut live = BTreeMap::new();
        for (key, versions) in &inner.versions {
            if let Some(Version { content: Content::Put(record), .. }) = at(versions, inner.visible) {
                live.insert(key.clone(), (**record).clone());
            }
        }
        live
    }

    /// Every version of a record that readers see, the oldest first; `None` stands for a deletion.
    pub fn history(&self, key: &Key) -> Vec<Option<Record>> {
        let inner = self.lock();
        let versions = inner.versions.get(key).into_iter().flatten();
        versions
            .filter(|version| version.sequence <= inner.visible)
            .map(|version| match &version.content {
                Content::Put(record) => Some((**record).clone()),
                Content::Deleted(_) => None,
            })
            .collect()
    }

    /// The finished runs, the oldest first.
    pub fn points(&self) -> Vec<MemoryPoint> {
        self.lock().points.clone()
    }

    pub(super) fn visible(&self) -> u64 {
        self.lock().visible
    }

    pub(super) fn detached_copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for the session that may write it.
    pub(super) fn session(&self, session: u64) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        if inner.session != session {
            return Err(Error::new(ErrorKind::Conflict, "another session has taken over"));
        }
        Ok(inner)
    }
}

impl Inner {
    pub(super) fn push(&mut self, key: Key, content: Content) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.versions.entry(key).or_default().push(Version { sequence, content });
    }

    /// The latest version, seen by readers or not.
    pub(super) fn latest(&self, key: &Key) -> Option<&Record> {
        match &self.versions.get(key)?.last()?.content {
            Content::Put(record) => Some(record),
            Content::Deleted(_) => None,
        }
    }

    pub(super) fn catalog(&self) -> Catalog {
        if !self.catalog.collections.is_empty() {
            return self.catalog.clone();
        }
        let names: BTreeSet<&CollectionName> = self.versions.keys().map(|key| &key.collection).collect();
        Catalog::new(names.into_iter().map(|name| Collection::new(name.clone(), Kind::Record)).collect())
    }

    pub(super) fn held(&self) -> BTreeMap<CollectionName, Held> {
        let mut held: BTreeMap<CollectionName, Held> = BTreeMap::new();
        for (key, versions) in &self.versions {
            let Some(Version { content: Content::Put(record), .. }) = versions.last() else { continue };
            let entry = held.entry(key.collection.clone()).or_default();
            entry.records = Some(entry.records.unwrap_or(0) + 1);
            for (stored, _) in record.blobs.iter().filter_map(|blob| self.blobs.get(blob.id.as_ref()?)) {
                entry.blobs += 1;
                entry.blob_bytes += stored.size;
            }
        }
        held
    }
}

/// The version that was the latest at a sequence number.
pub(super) fn at(versions: &[Version], sequence: u64) -> Option<&Version> {
    versions.iter().rfind(|version| version.sequence <= sequence)
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        formatter
            .debug_struct("MemoryStore")
            .field("records", &inner.versions.len())
            .field("blobs", &inner.blobs.len())
            .field("sequence", &inner.sequence)
            .finish_non_exhaustive()
    }
}
