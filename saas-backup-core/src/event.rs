use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    BlobId, CollectionName, Cursor, Digest, Error, ErrorKind, Json, Key, PartitionId, Record, RecordId, Reference,
    Retry,
};

/// What a feed says, in order.
///
/// Delivery is at least once, and events are states and not deltas: applying one twice is harmless.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The full current state of a record.
    Put(Box<Record>),
    /// A record left the view of this grant.
    Delete(Deletion),
    /// A record exists in this version; its content is not repeated (a sweep).
    Seen(Seen),
    /// Something exists and could not be read.
    Gap(Gap),
    /// The feed cannot say what happened to some collections: they must be read in full.
    Reset(Reset),
    /// The lines that follow obey another schema.
    Schema(SchemaChange),
    /// Everything before this point is covered by the cursor.
    Checkpoint(Cursor),
    /// The read came to its end; without it a stream was cut.
    Done(Done),
}

impl Event {
    /// The key that the event is about, if it is about one record.
    pub fn key(&self) -> Option<Key> {
        match self {
            Self::Put(record) => Some(record.key.clone()),
            Self::Delete(deletion) => Some(deletion.key.clone()),
            Self::Seen(seen) => Some(seen.key.clone()),
            Self::Gap(gap) => gap.id.clone().map(|id| Key::new(gap.collection.clone(), id)),
            _ => None,
        }
    }

    /// A close estimate of its size in memory, in bytes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Put(record) => record.weight(),
            _ => 256,
        }
    }
}

/// A record left the view of this grant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deletion {
    /// Which record.
    pub key: Key,
    /// The partition that reports it; a deletion from a partition that the record has left is not one.
    pub partition: Option<PartitionId>,
    /// The store's sequence number; set only by a store.
    pub sequence: Option<u64>,
    /// Why.
    pub reason: DeletionReason,
    /// When, by the provider's clock.
    pub at: Option<DateTime<Utc>>,
    /// Who did it.
    pub by: Option<Reference>,
    /// The record that it was merged into.
    pub into: Option<Reference>,
}

impl Deletion {
    /// A deletion without further facts.
    pub fn new(key: Key, reason: DeletionReason) -> Self {
        Self { key, partition: None, sequence: None, reason, at: None, by: None, into: None }
    }

    /// Names the partition that reports it.
    #[must_use]
    pub fn with_partition(mut self, partition: PartitionId) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// Why a record left the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeletionReason {
    /// Somebody deleted it for good.
    Deleted,
    /// A retention rule of the provider ended its life.
    Expired,
    /// It was erased by request.
    Erased,
    /// It exists, and this grant no longer sees it.
    AccessLost,
    /// It moved to another account.
    MovedOut,
    /// It was merged into another record.
    Merged,
    /// The provider does not say.
    Unknown,
    /// A full read did not see it: inferred by the store, never told by a provider.
    Reconciled,
}

/// A record that exists, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// Which record.
    pub key: Key,
    /// Its version, if the listing tells.
    pub version: Option<String>,
}

impl Seen {
    /// A record that exists.
    pub fn new(key: Key) -> Self {
        Self { key, version: None }
    }

    /// Adds the version that the listing tells.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }
}

/// Something that is known to be missing: a collection, a record or a blob that could not be read.
///
/// Open gaps are state: every run reads them again first, and a run with open gaps is incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gap {
    /// The collection.
    pub collection: CollectionName,
    /// The record; `None` when a whole collection or page could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RecordId>,
    /// The blob, if only that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
    /// The partition, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionId>,
    /// Why.
    pub problem: Problem,
    /// Whether a later read may succeed.
    pub retry: bool,
}

impl Gap {
    /// A record that could not be read.
    pub fn record(key: &Key, error: &Error) -> Self {
        Self {
            collection: key.collection.clone(),
            id: Some(key.id.clone()),
            blob: None,
            partition: None,
            problem: Problem::from(error),
            retry: may_pass(error),
        }
    }

    /// A blob that could not be read; its record is held.
    pub fn blob(owner: &Key, blob: BlobId, error: &Error) -> Self {
        Self { blob: Some(blob), ..Self::record(owner, error) }
    }

    /// A collection, or a part of it, that could not be listed.
    pub fn collection(collection: CollectionName, error: &Error) -> Self {
        Self {
            collection,
            id: None,
            blob: None,
            partition: None,
            problem: Problem::from(error),
            retry: may_pass(error),
        }
    }

    /// Names the partition.
    #[must_use]
    pub fn with_partition(mut self, partition: PartitionId) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Whether both speak of the same missing thing.
    pub fn same_place(&self, other: &Self) -> bool {
        (&self.collection, &self.id, &self.blob, &self.partition)
            == (&other.collection, &other.id, &other.blob, &other.partition)
    }
}

fn may_pass(error: &Error) -> bool {
    error.retry() != Retry::Never
        || matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::PermissionDenied | ErrorKind::Cancelled)
}

/// Why something is missing or was refused, as data: no secret, no body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// A stable name: an [`ErrorKind`] or a URN.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line for a person.
    pub title: String,
    /// More for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The HTTP status, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Problem {
    /// A problem with a stable name and one line for a person.
    pub fn new(kind: impl Into<String>, title: impl Into<String>) -> Self {
        Self { kind: kind.into(), title: title.into(), detail: None, status: None }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let detail: Vec<String> = error.context().map(|(name, value)| format!("{name}: {value}")).collect();
        Self {
            kind: error.kind().as_str().to_owned(),
            title: error.message().to_owned(),
            detail: (!detail.is_empty()).then(|| detail.join(", ")),
            status: None,
        }
    }
}

/// Collections that must be read in full.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reset {
    /// Which; empty means all that the feed covers.
    pub collections: Vec<CollectionName>,
    /// Why.
    pub reason: ResetReason,
}

impl Reset {
    /// A reset of some collections; of all that the feed covers if the list is empty.
    pub fn new(collections: Vec<CollectionName>, reason: ResetReason) -> Self {
        Self { collections, reason }
    }
}

/// Why a feed cannot go on from its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ResetReason {
    /// The cursor is too old.
    CursorExpired,
    /// More happened than the feed keeps.
    TooManyChanges,
    /// Old and new content cannot be told apart by one schema.
    SchemaBreak,
    /// The grant sees something else than before.
    CoverageChanged,
    /// The provider rebuilt its data.
    Rebuild,
}

/// The point in a stream where a new schema begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaChange {
    /// The digest of the schema document.
    pub schema: Digest,
    /// Where to read it, if the provider has an address for it.
    pub url: Option<String>,
    /// The document itself, if the feed carries it.
    pub document: Option<Json>,
}

impl SchemaChange {
    /// A change to the schema with this digest.
    pub fn new(schema: Digest) -> Self {
        Self { schema, url: None, document: None }
    }
}

/// The end of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// What the statement is about.
    pub scope: Scope,
    /// How much of it was said.
    pub extent: Extent,
}

impl Done {
    /// Everything live in `scope` was emitted or seen.
    pub fn full(scope: Scope) -> Self {
        Self { scope, extent: Extent::Full }
    }

    /// The changes were emitted; nothing is said of the rest.
    pub fn changes(scope: Scope) -> Self {
        Self { scope, extent: Extent::Changes }
    }
}

/// How much a finished read says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Everything live in the scope was emitted or seen: what was not may be gone.
    Full,
    /// Nothing is said of what was not emitted.
    Changes,
}

/// A part of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Scope {
    /// The collections; several only for a log.
    pub collections: Vec<CollectionName>,
    /// One partition of the collection; `None` for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionId>,
}

impl Scope {
    /// A whole collection.
    pub fn collection(collection: CollectionName) -> Self {
        Self { collections: vec![collection], partition: None }
    }

    /// One partition of a collection.
    pub fn partition(collection: CollectionName, partition: PartitionId) -> Self {
        Self { collections: vec![collection], partition: Some(partition) }
    }

    /// Several collections.
    pub fn collections(collections: Vec<CollectionName>) -> Self {
        Self { collections, partition: None }
    }

    /// Whether a record of this collection and partition lies in the scope.
    pub fn contains(&self, collection: &CollectionName, partition: Option<&PartitionId>) -> bool {
        self.collections.contains(collection) && self.partition.as_ref().is_none_or(|wanted| Some(wanted) == partition)
    }
}
