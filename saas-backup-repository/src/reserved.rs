//! The lines that are no records: cursors, gaps, catalog, attachments.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use saas_backup_core::{
    BlobId, CollectionName, CollectionName as Name, Cursor, Epoch, Error, ErrorKind, Feed, FeedState, Json, Key, Line,
    LineCodec, Record, RecordId, Result,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The catalog, as one row.
pub(crate) const CATALOG: &str = "_catalog";
/// The coverage, as one row.
pub(crate) const COVERAGE: &str = "_coverage";
/// Where each feed stands.
pub(crate) const FEEDS: &str = "_feeds";
/// What is known to be missing.
pub(crate) const GAPS: &str = "_gaps";
/// What is held, as one row.
pub(crate) const HELD: &str = "_held";
/// The report of the last run, as one row.
pub(crate) const REPORT: &str = "_report";
/// What waits for somebody's decision.
pub(crate) const REVIEWS: &str = "_reviews";
/// Schema documents that feeds carried.
pub(crate) const SCHEMAS: &str = "_schemas";
/// Which objects hold an attachment.
pub(crate) const BLOBS: &str = "_blobs";

/// The id of a row that is alone in its collection.
pub(crate) const ONLY: &str = "1";

pub(crate) fn collection(name: &'static str) -> CollectionName {
    Name::from_static(name)
}

pub(crate) fn key(name: &'static str, id: impl AsRef<str>) -> Result<Key> {
    Ok(Key::new(collection(name), RecordId::parse(id)?))
}

/// A row of a reserved collection.
pub(crate) fn row(key: Key, value: &impl Serialize) -> Result<Record> {
    Ok(Record::new(key, Json::from_value(value)?))
}

/// The stored line of a row.
pub(crate) fn line(key: Key, value: &impl Serialize) -> Result<Bytes> {
    let mut text = Vec::new();
    LineCodec::stored().encode_put(&row(key, value)?, &mut text)?;
    Ok(Bytes::from(text))
}

/// Reads a stored line of a record, reserved or not.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] if it does not have the form of one.
pub(crate) fn record(text: &Bytes) -> Result<Box<Record>> {
    match LineCodec::stored().decode(text) {
        Ok(Line::Put(record)) => Ok(record),
        Ok(_) => Err(Error::new(ErrorKind::Integrity, "a stored line is not the record that it should be")),
        Err(error) => {
            Err(Error::new(ErrorKind::Integrity, "a stored line does not have the form of one").with_source(error))
        }
    }
}

/// The attachments that a stored line of a record refers to.
pub(crate) fn blobs(text: &Bytes) -> Result<Vec<BlobId>> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"blobs\":"));
    // Most records have none: a look at the bytes is enough to know.
    if NAME.find(text).is_none() {
        return Ok(Vec::new());
    }
    Ok(record(text)?.blobs.into_iter().filter_map(|blob| blob.id).collect())
}

/// Reads what a row of a reserved collection holds.
pub(crate) fn value<T: DeserializeOwned>(text: &Bytes) -> Result<T> {
    let record = record(text)?;
    let read = serde_json::from_slice(record.data.as_bytes());
    read.map_err(|_| {
        Error::new(ErrorKind::Integrity, "a row of the store's own does not have the form of one")
            .with_context("collection", &record.key.collection)
    })
}

/// A feed's state as a row.
#[derive(Serialize, Deserialize)]
pub(crate) struct FeedRow {
    feed: Feed,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    full_at: Option<chrono::DateTime<chrono::Utc>>,
    /// What the full read under way saw up to here: sorted 8-byte keyed digests of keys, in base64.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) seen: String,
}

impl FeedRow {
    pub(crate) fn new(state: &FeedState, seen: String) -> Self {
        Self {
            feed: state.feed.clone(),
            cursor: state.cursor.as_ref().map(|cursor| cursor.as_json().clone()),
            epoch: state.epoch,
            full_at: state.full_at,
            seen,
        }
    }

    pub(crate) fn into_state(self) -> Result<FeedState> {
        let mut state = FeedState::new(self.feed);
        state.cursor = self.cursor.map(Cursor::from_json).transpose()?;
        state.epoch = self.epoch;
        state.full_at = self.full_at;
        Ok(state)
    }
}
