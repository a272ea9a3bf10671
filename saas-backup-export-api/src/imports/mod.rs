//! Taking records back: what a vendor implements for the profile `restore`.

mod links;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use chrono::{DateTime, Utc};
use saas_backup_core::{
    Access, ByteStream, CollectionName, Digest, ImportResult, ImportStatus, Key, Loss, Record, Reference, References,
    Result, async_trait,
};
use serde::{Deserialize, Serialize};

#[cfg(feature = "axum")]
pub(crate) use self::session::{Progress, Sent};
use crate::Grant;

/// A product that takes records back (profile `restore`).
///
/// The kit owns sessions, modes, dry runs, the map of ids, references, repetitions and digests; the vendor keeps what it
/// is given and writes records. What stands here as one method is one transaction, so that a server may die after any of
/// them.
///
/// Errors of one record are told to the consumer by their kind ([`Conflict`](saas_backup_core::ErrorKind::Conflict),
/// [`InvalidData`](saas_backup_core::ErrorKind::InvalidData), [`NotFound`](saas_backup_core::ErrorKind::NotFound),
/// [`PermissionDenied`](saas_backup_core::ErrorKind::PermissionDenied) and others), and the import goes on; with
/// [`Unavailable`](saas_backup_core::ErrorKind::Unavailable), [`RateLimited`](saas_backup_core::ErrorKind::RateLimited)
/// and [`StorageFull`](saas_backup_core::ErrorKind::StorageFull) the request ends, and the consumer repeats it.
#[async_trait]
pub trait ImportTarget: Debug + Send + Sync {
    /// What the account takes. Collections that are not named are left out of a restore, and the consumer is told.
    async fn accepts(&self, grant: &Grant) -> Result<Accepts>;

    /// The account's sessions: those that [`keep`](Self::keep) was given and [`discard`](Self::discard) was not.
    async fn imports(&self, grant: &Grant) -> Result<Vec<Import>>;

    /// Keeps a session, new or changed; it is told from others by its id.
    async fn keep(&self, grant: &Grant, import: &Import) -> Result<()>;

    /// Some of the records that a session has written.
    async fn entries(&self, grant: &Grant, import: &str, which: &Entries) -> Result<Vec<ImportEntry>>;

    /// Records that an import made from records of an origin, as pairs of the origin's key and the key here; the
    /// latest one first where a record was imported more than once. Those that are gone, or that the grant does not
    /// see, are left out.
    async fn imported(&self, grant: &Grant, origin: &Origin, keys: &[Key]) -> Result<Vec<(Key, Key)>>;

    /// Writes a record, and notes what [`ImportWrite::entry`] says of it in the same transaction.
    ///
    /// # Errors
    ///
    /// [`Conflict`](saas_backup_core::ErrorKind::Conflict) if the session has an entry with this key, or if something
    /// is in the record's place that cannot be replaced.
    async fn write(&self, grant: &Grant, import: &Import, write: &ImportWrite) -> Result<Placed>;

    /// Sets the relationships of a record that the session wrote, and replaces its entry.
    async fn link(&self, grant: &Grant, import: &Import, entry: &ImportEntry, links: &Links) -> Result<()>;

    /// Whether bytes with this digest are here for the session.
    async fn has_blob(&self, grant: &Grant, import: &str, digest: &Digest) -> Result<bool>;

    /// Takes bytes for the records of a session. The stream ends with an error if they are cut, or are others than the
    /// digest says: then nothing may be kept.
    async fn put_blob(&self, grant: &Grant, import: &str, digest: &Digest, size: u64, bytes: ByteStream) -> Result<()>;

    /// Removes a session with what it created and was not committed; of a committed one the notes alone.
    async fn discard(&self, grant: &Grant, import: &Import) -> Result<()>;
}

/// What an account takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Accepts {
    /// The collections.
    pub collections: BTreeSet<CollectionName>,
    /// What cannot be restored, as far as it is known beforehand: paths into a record's line, with reasons.
    pub lost: Vec<Loss>,
}

impl Accepts {
    /// These collections, whole.
    pub fn new(collections: impl IntoIterator<Item = CollectionName>) -> Self {
        Self { collections: collections.into_iter().collect(), lost: Vec::new() }
    }

    /// Names something that cannot be restored: a path such as `/created`, and a short reason.
    #[must_use]
    pub fn with_lost(mut self, path: impl Into<String>, reason: impl Into<String>) -> Self {
        self.lost.push(Loss { path: path.into(), reason: reason.into() });
        self
    }
}

/// What an import does to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportMode {
    /// Adds everything as new, and never touches what is there.
    Create,
    /// Adds what is not there, and leaves what is.
    Merge,
    /// Adds what is not there, and replaces what is. Where records have a history, the replaced version stays in it.
    Overwrite,
}

/// Where records come from: their ids are those of this account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The service, by the id in its discovery document.
    pub service: String,
    /// The account.
    pub account: String,
}

/// One session of an import, as the vendor keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Import {
    /// Its id.
    pub id: String,
    /// Who began it: for others it does not exist.
    pub principal: String,
    /// What it does to what is there.
    pub mode: ImportMode,
    /// Whether it only says what would happen.
    pub dry_run: bool,
    /// The record that new ones are put into, if the consumer asked for one.
    pub container: Option<Key>,
    /// Where the records come from.
    pub origin: Origin,
    /// Whether people may be told: without it no mail, no webhook, no federation and no bill may come of the import.
    pub notify: bool,
    /// What the consumer wants kept although products usually set it: `created`, `by`, `access`.
    pub preserve: BTreeSet<String>,
    /// When it ends, and what it created is removed, unless it is committed.
    pub expires: DateTime<Utc>,
    /// How far it is.
    pub state: ImportState,
    /// The last entry that the commit has looked at.
    pub linked: Option<String>,
    /// How many records were written, by what happened to them; complete when it is committed.
    pub totals: BTreeMap<String, u64>,
    /// References that point to nothing here; complete when it is committed.
    pub unresolved: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportState {
    /// It takes records.
    Open,
    /// References are being set.
    Committing,
    /// What it wrote stays.
    Committed,
}

/// Which entries of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entries {
    /// Those with these keys of the consumer.
    Keys(Vec<String>),
    /// Those of these records, by their keys at the origin; the latest one where there are several.
    Sources(Vec<Key>),
    /// All, in the order of their keys (compared byte by byte), after one of them.
    After(Option<String>, usize),
}

/// A record that a session wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportEntry {
    /// The consumer's own key of the line; one entry each in a session.
    pub key: String,
    /// The record's key at the origin.
    pub source: Key,
    /// Its key here.
    pub target: Key,
    /// Whether it replaced what was there.
    pub replaced: bool,
    /// What did not arrive.
    pub lost: Vec<Loss>,
    /// Its relationships at the origin, if they have to be looked at again.
    pub links: Option<Links>,
    /// What it points to and is not here yet.
    pub waits: Vec<Reference>,
}

impl ImportEntry {
    pub(crate) fn result(&self) -> ImportResult {
        let status = match (self.waits.is_empty(), self.replaced) {
            (false, _) => ImportStatus::Deferred,
            (true, true) => ImportStatus::Updated,
            (true, false) => ImportStatus::Created,
        };
        let mut result = ImportResult::new(&self.key, status);
        (result.collection, result.id) = (Some(self.source.collection.clone()), Some(self.source.id.clone()));
        (result.target, result.lost) = (Some(Reference::from(&self.target)), self.lost.clone());
        result
    }
}

/// A record to write.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImportWrite {
    /// The consumer's own key of the line.
    pub key: String,
    /// The record's key at the origin.
    pub source: Key,
    /// The record to replace; a new one without.
    pub target: Option<Key>,
    /// Whether the target is the import's own work, and not something that was there.
    pub own: bool,
    /// The record. Its relationships (`refs`, `by`, `access`) point to records that are here; what stands in `data` is
    /// as it was, ids of the origin included. The bytes of its attachments are here under their digests.
    pub record: Record,
    /// What is missing of it already.
    pub lost: Vec<Loss>,
    /// Its relationships at the origin, if they have to be looked at again.
    pub links: Option<Links>,
    /// What it points to and is not here yet.
    pub waits: Vec<Reference>,
}

impl ImportWrite {
    /// What is to be noted once the record is placed.
    pub fn entry(&self, placed: &Placed) -> ImportEntry {
        let mut lost = [self.lost.clone(), placed.lost.clone()].concat();
        lost.sort();
        lost.dedup();
        ImportEntry {
            key: self.key.clone(),
            source: self.source.clone(),
            target: placed.key.clone(),
            replaced: self.target.is_some() && !self.own,
            lost,
            links: self.links.clone(),
            waits: self.waits.clone(),
        }
    }
}

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placed {
    /// Its key here.
    pub key: Key,
    /// What did not arrive.
    pub lost: Vec<Loss>,
}

impl Placed {
    /// A record that arrived whole.
    pub fn new(key: Key) -> Self {
        Self { key, lost: Vec::new() }
    }

    /// Adds something that did not arrive: a path into the line such as `/modified`, and a short reason.
    #[must_use]
    pub fn with_lost(mut self, path: impl Into<String>, reason: impl Into<String>) -> Self {
        self.lost.push(Loss { path: path.into(), reason: reason.into() });
        self
    }
}

/// What points from a record to others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Links {
    /// Relationships, by name.
    pub refs: BTreeMap<String, References>,
    /// Who wrote it.
    pub by: Option<Reference>,
    /// Permissions.
    pub access: Vec<Access>,
}
