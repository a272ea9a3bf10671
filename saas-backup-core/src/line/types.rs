use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{BlobRef, CollectionName, Cursor, Digest, Json, Key, Loss, Problem, RecordId, Reference};

/// The first line of a stream: what it is and where it comes from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Start {
    /// The version of the protocol, `1.<minor>`.
    pub open_export: String,
    /// What the stream holds.
    pub kind: StreamKind,
    /// The account: one workspace, tenant or mailbox.
    pub account: String,
    /// The account's generation: a new one means that no cursor of the old one holds.
    pub generation: String,
    /// The SHA-256 of the schema that the lines obey.
    pub schema: Digest,
    /// When the stream was begun, by the source's clock.
    pub at: DateTime<Utc>,
    /// The snapshot that a page belongs to; required for [`StreamKind::Snapshot`].
    pub snapshot: Option<SnapshotHeader>,
    /// A position in the change feed that is not later than the beginning of the snapshot.
    pub changes_cursor: Option<Cursor>,
    /// Members that this version does not know; kept as they came.
    pub extra: BTreeMap<String, Json>,
}

impl Start {
    /// The start of a stream of protocol version 1.0, without snapshot and cursor.
    pub fn new(
        kind: StreamKind,
        account: impl Into<String>,
        generation: impl Into<String>,
        schema: Digest,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            open_export: "1.0".to_owned(),
            kind,
            account: account.into(),
            generation: generation.into(),
            schema,
            at,
            snapshot: None,
            changes_cursor: None,
            extra: BTreeMap::new(),
        }
    }

    /// Names the snapshot.
    #[must_use]
    pub fn with_snapshot(mut self, snapshot: SnapshotHeader) -> Self {
        self.snapshot = Some(snapshot);
        self
    }

    /// Sets the position in the change feed from which the changes are to be read.
    #[must_use]
    pub fn with_changes_cursor(mut self, cursor: Cursor) -> Self {
        self.changes_cursor = Some(cursor);
        self
    }
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StreamKind {
    /// A page of the full state.
    Snapshot,
    /// What changed after a cursor.
    Changes,
    /// Ids and versions without data.
    Inventory,
    /// Single records that were asked for.
    Records,
    /// What copies must erase.
    Erasures,
    /// One file of a bulk export.
    File,
    /// What became of imported records.
    ImportResults,
}

/// Which snapshot a page belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotHeader {
    /// The snapshot's id.
    pub id: String,
    /// What its lines show together.
    pub consistency: Consistency,
    /// When it was begun.
    pub began: DateTime<Utc>,
    /// Until when its pages can be read.
    pub expires: Option<DateTime<Utc>>,
}

impl SnapshotHeader {
    /// A snapshot without a stated end.
    pub fn new(id: impl Into<String>, consistency: Consistency, began: DateTime<Utc>) -> Self {
        Self { id: id.into(), consistency, began, expires: None }
    }

    /// Sets until when its pages can be read.
    #[must_use]
    pub fn with_expiry(mut self, expires: DateTime<Utc>) -> Self {
        self.expires = Some(expires);
        self
    }
}

/// What the lines of a snapshot show together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Consistency {
    /// All records as they were when it began.
    PointInTime,
    /// Each record as it was at some moment between the beginning and its reading.
    Fuzzy,
}

/// The last line of a stream, and the only proof that nothing was cut.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct End {
    /// Where to go on; required if there is more.
    pub cursor: Option<Cursor>,
    /// Whether another page follows; only `false` means done.
    pub more: bool,
    /// Lines before this one.
    pub lines: u64,
    /// Lines about records, by collection.
    pub counts: BTreeMap<CollectionName, LineCounts>,
    /// SHA-256 of all bytes before this line, decoded.
    pub digest: Digest,
    /// The time of the head of the change feed.
    pub head_at: Option<DateTime<Utc>>,
    /// Members that this version does not know; kept as they came.
    pub extra: BTreeMap<String, Json>,
}

impl End {
    /// The end of a stream of so many lines with this digest.
    pub fn new(lines: u64, digest: Digest) -> Self {
        Self {
            cursor: None,
            more: false,
            lines,
            counts: BTreeMap::new(),
            digest,
            head_at: None,
            extra: BTreeMap::new(),
        }
    }
}

/// Lines about the records of one collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LineCounts {
    /// Records.
    #[serde(skip_serializing_if = "is_zero")]
    pub put: u64,
    /// Deletions.
    #[serde(skip_serializing_if = "is_zero")]
    pub del: u64,
    /// Things that could not be exported.
    #[serde(skip_serializing_if = "is_zero")]
    pub err: u64,
    /// Entries of an inventory.
    #[serde(skip_serializing_if = "is_zero")]
    pub item: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// An entry of an inventory: a record without its data.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Item {
    /// Which record.
    pub key: Key,
    /// Its version; required on the wire.
    pub version: Option<String>,
    /// Its attachments, if the inventory lists them.
    pub blobs: Vec<BlobRef>,
    /// Members that this version does not know; kept as they came.
    pub extra: BTreeMap<String, Json>,
}

impl Item {
    /// An entry without version and attachments.
    pub fn new(key: Key) -> Self {
        Self { key, version: None, blobs: Vec::new(), extra: BTreeMap::new() }
    }

    /// Sets the version.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }
}

/// What became of one record of an import.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportResult {
    /// The importer's own key of the line that it answers.
    pub key: String,
    /// What happened.
    pub status: ImportStatus,
    /// The collection of the record that was sent.
    pub collection: Option<CollectionName>,
    /// The id of the record that was sent.
    pub id: Option<RecordId>,
    /// The record that it became.
    pub target: Option<Reference>,
    /// What did not arrive.
    pub lost: Vec<Loss>,
    /// Why it was not written; required for [`ImportStatus::Failed`].
    pub problem: Option<Problem>,
    /// Members that this version does not know; kept as they came.
    pub extra: BTreeMap<String, Json>,
}

impl ImportResult {
    /// The answer to one line.
    pub fn new(key: impl Into<String>, status: ImportStatus) -> Self {
        Self {
            key: key.into(),
            status,
            collection: None,
            id: None,
            target: None,
            lost: Vec::new(),
            problem: None,
            extra: BTreeMap::new(),
        }
    }
}

/// What happened to one record of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ImportStatus {
    /// It was created.
    Created,
    /// It replaced what was there.
    Updated,
    /// The mode leaves what was there alone.
    Skipped,
    /// Something else is in its place.
    Conflict,
    /// It waits for records that it points to.
    Deferred,
    /// It was refused, with a problem.
    Failed,
}
