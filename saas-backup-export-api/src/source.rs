//! What a vendor implements.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use saas_backup_core::{
    BlobId, ByteStream, CollectionName, Coverage, Deletion, Digest, DriftSum, Gap, Key, Record, RecordId, Reset,
    Result, async_trait,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{AccountId, ErasureLog, Grant, ImportTarget, Schema, ServiceInfo};

/// A product's data, as the server kit reads it.
///
/// The vendor answers in pages, from whatever database there is; framing, cursors, digests and problems are the kit's.
/// Pages instead of streams: no transaction and no connection is held while a slow consumer reads.
///
/// Errors are the vendor's own and stay on the server; consumers are told the kind alone
/// (see [`ProblemDetails`](crate::ProblemDetails)).
///
/// `examples/examples/vendor_minimal.rs` is a whole vendor in under 80 lines.
#[async_trait]
pub trait ExportSource: Debug + Send + Sync + 'static {
    /// Who runs the service; constant.
    fn service(&self) -> ServiceInfo;

    /// The schema: of one account, or (`None`) the public one.
    async fn schema(&self, account: Option<&AccountId>) -> Result<Schema>;

    /// Where the account's log stands now.
    ///
    /// The watermark must not be later than any change that becomes visible after this call returned: a position
    /// made of `updated_at` or of a sequence's last value skips transactions that commit late. What works: an outbox
    /// whose numbers are given in commit order, a horizon of open transactions, a lag longer than any transaction.
    async fn head(&self, grant: &Grant) -> Result<Head>;

    /// A page of one collection, in an order that no write changes (by primary key, never by offset).
    ///
    /// Whatever is visible to the grant during the whole walk must appear, what is in the trash included.
    async fn scan(&self, grant: &Grant, request: &ScanRequest) -> Result<ScanPage>;

    /// A page of what changed after a watermark, in commit order for each record.
    ///
    /// # Errors
    ///
    /// [`CursorExpired`](saas_backup_core::ErrorKind::CursorExpired) if the log no longer goes back that far: never
    /// an empty page instead.
    async fn changes(&self, grant: &Grant, request: &ChangesRequest) -> Result<ChangePage>;

    /// Some records as they are now, in any order; those that do not exist, or that the grant does not see, are left out.
    async fn records(&self, grant: &Grant, keys: &[Key]) -> Result<Vec<Entry>>;

    /// The bytes of an attachment; they never change for an id.
    ///
    /// # Errors
    ///
    /// [`NotFound`](saas_backup_core::ErrorKind::NotFound) if there is no such blob, or the grant does not see it.
    async fn blob(&self, grant: &Grant, blob: &BlobId) -> Result<Blob>;

    /// Some of the bytes of an attachment; `range` lies within its size.
    ///
    /// `None` (the default) has the kit pass over what comes before: enough for small attachments, while a store that
    /// can begin anywhere saves the reading.
    async fn blob_range(&self, grant: &Grant, blob: &BlobId, range: Range<u64>) -> Result<Option<ByteStream>> {
        let _ = (grant, blob, range);
        Ok(None)
    }

    /// What the grant can see of each collection; one that is not named is wholly visible.
    ///
    /// Collections that the grant's scopes leave out are the kit's to tell.
    async fn coverage(&self, grant: &Grant) -> Result<Coverage> {
        let _ = grant;
        Ok(Coverage::default())
    }

    /// What copies must erase, for a product that passes such requests on (profile `erasure`). Default: none.
    fn erasures(&self) -> Option<&dyn ErasureLog> {
        None
    }

    /// Takes records back, for a product that does (profile `restore`). Default: no.
    fn imports(&self) -> Option<&dyn ImportTarget> {
        None
    }

    /// The sums of some collections at one position of the log, as the grant sees them.
    ///
    /// `None` (the default) has the kit read the collections and add the versions up, which costs a full read and
    /// succeeds only while nobody writes. A source that keeps its sums, or that reads them in one transaction together
    /// with its position, answers at once, and on a busy account.
    async fn sums(&self, grant: &Grant, collections: &[CollectionName]) -> Result<Option<Sums>> {
        let _ = (grant, collections);
        Ok(None)
    }

    /// Returns once something was committed after a position; the kit waits no longer than its reader asked for.
    ///
    /// By default the log is looked at each second. Cancel safe: the kit drops it when the time is over.
    async fn changed(&self, grant: &Grant, since: &Watermark) -> Result<()> {
        let request = ChangesRequest { since: since.clone(), collections: None, limit: 1 };
        loop {
            let page = self.changes(grant, &request).await?;
            if page.more || !page.changes.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ExportSource + ?Sized> ExportSource for Arc<T> {
    fn service(&self) -> ServiceInfo {
        (**self).service()
    }

    async fn schema(&self, account: Option<&AccountId>) -> Result<Schema> {
        (**self).schema(account).await
    }

    async fn head(&self, grant: &Grant) -> Result<Head> {
        (**self).head(grant).await
    }

    async fn scan(&self, grant: &Grant, request: &ScanRequest) -> Result<ScanPage> {
        (**self).scan(grant, request).await
    }

    async fn changes(&self, grant: &Grant, request: &ChangesRequest) -> Result<ChangePage> {
        (**self).changes(grant, request).await
    }

    async fn records(&self, grant: &Grant, keys: &[Key]) -> Result<Vec<Entry>> {
        (**self).records(grant, keys).await
    }

    async fn blob(&self, grant: &Grant, blob: &BlobId) -> Result<Blob> {
        (**self).blob(grant, blob).await
    }

    async fn blob_range(&self, grant: &Grant, blob: &BlobId, range: Range<u64>) -> Result<Option<ByteStream>> {
        (**self).blob_range(grant, blob, range).await
    }

    async fn coverage(&self, grant: &Grant) -> Result<Coverage> {
        (**self).coverage(grant).await
    }

    fn erasures(&self) -> Option<&dyn ErasureLog> {
        (**self).erasures()
    }

    fn imports(&self) -> Option<&dyn ImportTarget> {
        (**self).imports()
    }

    async fn sums(&self, grant: &Grant, collections: &[CollectionName]) -> Result<Option<Sums>> {
        (**self).sums(grant, collections).await
    }

    async fn changed(&self, grant: &Grant, since: &Watermark) -> Result<()> {
        (**self).changed(grant, since).await
    }
}

/// A position in an account's log of changes, in the vendor's own words; at most 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watermark(String);

impl Watermark {
    /// A position.
    pub fn new(position: impl Into<String>) -> Self {
        Self(position.into())
    }

    /// The vendor's words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an account's log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Changes whenever history may not be monotonic: after the vendor restored a backup, moved or rebuilt the account.
    pub generation: String,
    /// The position now.
    pub watermark: Watermark,
}

impl Head {
    /// A position in a generation.
    pub fn new(generation: impl Into<String>, watermark: Watermark) -> Self {
        Self { generation: generation.into(), watermark }
    }
}

/// What collections come to at one position of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sums {
    /// The position.
    pub watermark: Watermark,
    /// The sums of the visible records and their versions. Records that cannot be read are left out.
    pub collections: BTreeMap<CollectionName, DriftSum>,
}

impl Sums {
    /// Sums at a position.
    pub fn new(watermark: Watermark, collections: BTreeMap<CollectionName, DriftSum>) -> Self {
        Self { watermark, collections }
    }
}

/// Something to send: a record, or the statement that one could not be read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Entry {
    /// The full state of a record.
    ///
    /// One without a version gets one from its content. `partition` and `sequence` have no place in the protocol and
    /// must be empty.
    Record(Box<Record>),
    /// Something exists and could not be read; it must name the record's id.
    Gap(Gap),
}

impl Entry {
    /// The id of the record that it is about.
    pub fn id(&self) -> Option<&RecordId> {
        match self {
            Self::Record(record) => Some(&record.key.id),
            Self::Gap(gap) => gap.id.as_ref(),
        }
    }

    pub(crate) fn collection(&self) -> &CollectionName {
        match self {
            Self::Record(record) => &record.key.collection,
            Self::Gap(gap) => &gap.collection,
        }
    }

    pub(crate) fn key(&self) -> Option<Key> {
        self.id().map(|id| Key::new(self.collection().clone(), id.clone()))
    }
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        Self::Record(Box::new(record))
    }
}

/// Asks for a page of one collection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanRequest {
    /// The collection.
    pub collection: CollectionName,
    /// The last record that was served; begin after it.
    pub after: Option<RecordId>,
    /// The most records to return; fewer is allowed.
    pub limit: usize,
}

/// A page of one collection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScanPage {
    /// The records, in the order of the walk.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` at the end of the collection.
    pub next: Option<RecordId>,
}

impl ScanPage {
    /// A page that ends after a record, or ends the collection.
    pub fn new(entries: Vec<Entry>, next: Option<RecordId>) -> Self {
        Self { entries, next }
    }

    /// The page of a query with `LIMIT`: it ends the collection if it came back short.
    pub fn limited(entries: Vec<Entry>, limit: usize) -> Self {
        let next = if entries.len() < limit { None } else { entries.last().and_then(Entry::id).cloned() };
        Self { entries, next }
    }
}

/// Asks for a page of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangesRequest {
    /// Begin after this position.
    pub since: Watermark,
    /// The collections that are wanted; `None` is all. The kit drops the others, so that a source may ignore it.
    pub collections: Option<Vec<CollectionName>>,
    /// The most changes to return; fewer is allowed.
    pub limit: usize,
}

/// A page of changes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChangePage {
    /// The changes.
    pub changes: Vec<Change>,
    /// The position after them.
    pub next: Watermark,
    /// Whether there are more.
    pub more: bool,
}

impl ChangePage {
    /// A page.
    pub fn new(changes: Vec<Change>, next: Watermark, more: bool) -> Self {
        Self { changes, next, more }
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The position after it.
    pub watermark: Watermark,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a record.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Something about the record changed: the kit reads it and sends what the grant sees of it *now*. A log needs no
    /// more than keys, and who may see a record is judged when it is served.
    Touched(Key),
    /// The record's state, which the grant may see now.
    Put(Box<Record>),
    /// The record left the grant's view.
    Deleted(Deletion),
    /// The log cannot say what happened to some collections: consumers read them in full.
    Reset(Reset),
}

impl Change {
    /// Something about a record changed; the log stands at `watermark` after it.
    pub fn touched(watermark: Watermark, key: Key) -> Self {
        Self { watermark, kind: ChangeKind::Touched(key) }
    }

    /// A record in its new state.
    pub fn put(watermark: Watermark, record: Record) -> Self {
        Self { watermark, kind: ChangeKind::Put(Box::new(record)) }
    }

    /// A record left the view.
    pub fn deleted(watermark: Watermark, deletion: Deletion) -> Self {
        Self { watermark, kind: ChangeKind::Deleted(deletion) }
    }

    /// The log has a hole.
    pub fn reset(watermark: Watermark, reset: Reset) -> Self {
        Self { watermark, kind: ChangeKind::Reset(reset) }
    }

    pub(crate) fn key(&self) -> Option<&Key> {
        match &self.kind {
            ChangeKind::Touched(key) => Some(key),
            ChangeKind::Put(record) => Some(&record.key),
            ChangeKind::Deleted(deletion) => Some(&deletion.key),
            ChangeKind::Reset(_) => None,
        }
    }
}

/// The bytes of an attachment, or where they are.
#[non_exhaustive]
pub struct Blob {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256, if the source knows it.
    pub digest: Option<Digest>,
    /// The media type, if the source knows it.
    pub media_type: Option<String>,
    pub(crate) body: BlobBody,
}

pub(crate) enum BlobBody {
    Bytes(ByteStream),
    Elsewhere(Url),
}

impl Blob {
    /// Bytes of unknown type and digest.
    pub fn new(size: u64, bytes: ByteStream) -> Self {
        Self { size, digest: None, media_type: None, body: BlobBody::Bytes(bytes) }
    }

    /// Bytes at another address, such as a signed one of an object store, to which consumers are sent without their
    /// token (307). It works for as long as [`Limits::blob_url_ttl_seconds`](crate::Limits::blob_url_ttl_seconds) says.
    pub fn elsewhere(size: u64, address: Url) -> Self {
        Self { size, digest: None, media_type: None, body: BlobBody::Elsewhere(address) }
    }

    /// States the digest.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// States the media type.
    #[must_use]
    pub fn with_media_type(mut self, media_type: impl Into<String>) -> Self {
        self.media_type = Some(media_type.into());
        self
    }
}

impl Debug for Blob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { size, digest, media_type, body: _ } = self;
        let mut debug = formatter.debug_struct("Blob");
        debug.field("size", size).field("digest", digest).field("media_type", media_type).finish_non_exhaustive()
    }
}
