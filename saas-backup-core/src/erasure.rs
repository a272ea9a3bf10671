use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{BlobId, CollectionName, Cursor, Key, RecordId, Reference, Result};

/// A source's word on what copies must erase (Open Export Protocol §12; GDPR Articles 17 and 19).
///
/// It holds opaque ids and never personal data.
#[async_trait]
pub trait Erasures: Debug + Send + Sync + 'static {
    /// Reads the requests after a cursor; all that the source keeps without one. Dropping the stream loses nothing.
    fn requests(&self, from: Option<Cursor>) -> BoxStream<'static, Result<ErasureEvent>>;

    /// Tells the source what was done about a request. Idempotent.
    async fn receipt(&self, receipt: &ErasureReceipt) -> Result<()>;
}

/// What an erasure feed says, in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ErasureEvent {
    /// Something is to be erased.
    Erase(ErasureRequest),
    /// Something must not be erased until the hold is released.
    Hold(ErasureRequest),
    /// A request was withdrawn.
    Cancel(ErasureEnd),
    /// A hold ended.
    Release(ErasureEnd),
    /// Everything before this point is covered by the cursor.
    Checkpoint(Cursor),
}

/// A request to erase, or to keep, what it targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErasureRequest {
    /// The request's id.
    #[serde(rename = "erasure")]
    pub id: String,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// Why: `data-subject-request`, `retention`, `contract-end`, `court-order`, `unlawful`, `other`.
    pub basis: String,
    /// When it must be done.
    pub apply_by: DateTime<Utc>,
    /// `all-versions` (the default) or `versions-before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The limit for `versions-before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<DateTime<Utc>>,
    /// What it is about; at least one.
    pub targets: Vec<ErasureTarget>,
}

impl ErasureRequest {
    /// A request that covers all versions of its targets.
    pub fn new(
        id: impl Into<String>,
        at: DateTime<Utc>,
        basis: impl Into<String>,
        apply_by: DateTime<Utc>,
        targets: Vec<ErasureTarget>,
    ) -> Self {
        Self { id: id.into(), at, basis: basis.into(), apply_by, scope: None, before: None, targets }
    }
}

/// What is to be erased; the members that are present all have to match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErasureTarget {
    /// A collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionName>,
    /// A record of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RecordId>,
    /// JSON pointers into the line, if only parts are concerned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// A blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
    /// The person concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Reference>,
}

impl ErasureTarget {
    /// One record.
    pub fn record(key: Key) -> Self {
        Self { collection: Some(key.collection), id: Some(key.id), ..Self::default() }
    }

    /// One attachment.
    pub fn blob(blob: BlobId) -> Self {
        Self { blob: Some(blob), ..Self::default() }
    }

    /// What concerns a person.
    pub fn person(person: Reference) -> Self {
        Self { subject: Some(person), ..Self::default() }
    }
}

/// The end of a request or of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErasureEnd {
    /// The id of the request or hold.
    #[serde(rename = "erasure")]
    pub id: String,
    /// When it ended.
    pub at: DateTime<Utc>,
}

impl ErasureEnd {
    /// The end of a request or hold.
    pub fn new(id: impl Into<String>, at: DateTime<Utc>) -> Self {
        Self { id: id.into(), at }
    }
}

/// What was done about a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErasureReceipt {
    /// The request's id.
    #[serde(rename = "erasure")]
    pub id: String,
    /// How far it came.
    pub state: ErasureState,
    /// When.
    pub at: DateTime<Utc>,
    /// How: `deleted`, `crypto-shredded`, `rewritten` or `expires`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// When the bytes end at the latest; required with [`ErasureState::BeyondUse`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_by: Option<DateTime<Utc>>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ErasureReceipt {
    /// A receipt without method, end date or reason.
    pub fn new(id: impl Into<String>, state: ErasureState, at: DateTime<Utc>) -> Self {
        Self { id: id.into(), state, at, method: None, expires_by: None, reason: None }
    }
}

/// How far an erasure came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErasureState {
    /// It will be done by `apply_by`.
    Scheduled,
    /// The bytes remain for a while, out of anybody's use.
    BeyondUse,
    /// It is done.
    Applied,
    /// It was refused, with a reason.
    Refused,
}
