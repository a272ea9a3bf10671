use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{BlobId, CollectionName, Error, ErrorKind, Json, Key, PartitionId, RecordId, Result};

/// One object of an account: the provider's own JSON, and around it what makes a copy usable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// Collection and id.
    pub key: Key,
    /// The part of the collection that it was read from.
    pub partition: Option<PartitionId>,
    /// The store's sequence number of this version; set only by a store.
    pub sequence: Option<u64>,
    /// The provider's version: equal versions mean equal content.
    pub version: Option<String>,
    /// When it was created, by the provider's clock.
    pub created: Option<DateTime<Utc>>,
    /// When it was last changed, by the provider's clock.
    pub modified: Option<DateTime<Utc>>,
    /// Whether it is live, in the trash or archived.
    pub state: RecordState,
    /// When the provider will delete it from its trash.
    pub purge_at: Option<DateTime<Utc>>,
    /// Who wrote it.
    pub by: Option<Reference>,
    /// Relationships to other records, by name.
    pub refs: BTreeMap<String, References>,
    /// Attachments.
    pub blobs: Vec<BlobRef>,
    /// Permissions.
    pub access: Vec<Access>,
    /// Members of the envelope that this version does not know; kept as they came.
    pub extra: BTreeMap<String, Json>,
    /// The provider's own JSON, token for token.
    pub data: Json,
}

impl Record {
    /// A live record with nothing but its data.
    pub fn new(key: Key, data: Json) -> Self {
        Self {
            key,
            partition: None,
            sequence: None,
            version: None,
            created: None,
            modified: None,
            state: RecordState::Live,
            purge_at: None,
            by: None,
            refs: BTreeMap::new(),
            blobs: Vec::new(),
            access: Vec::new(),
            extra: BTreeMap::new(),
            data,
        }
    }

    /// Sets the version.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets the partition.
    #[must_use]
    pub fn with_partition(mut self, partition: PartitionId) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the state.
    #[must_use]
    pub fn with_state(mut self, state: RecordState) -> Self {
        self.state = state;
        self
    }

    /// Adds a relationship to one record.
    #[must_use]
    pub fn with_ref(mut self, name: impl Into<String>, to: Reference) -> Self {
        self.refs.insert(name.into(), References::One(to));
        self
    }

    /// Adds a relationship to many records, in their order.
    #[must_use]
    pub fn with_refs(mut self, name: impl Into<String>, to: Vec<Reference>) -> Self {
        self.refs.insert(name.into(), References::Many(to));
        self
    }

    /// Adds an attachment.
    #[must_use]
    pub fn with_blob(mut self, blob: BlobRef) -> Self {
        self.blobs.push(blob);
        self
    }

    /// All the records that this one points to, `by` and `access` included.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        let principals = self.access.iter().filter_map(|access| match &access.principal {
            Principal::Record(reference) => Some(reference),
            Principal::Named(_) => None,
        });
        self.refs.values().flat_map(References::iter).chain(&self.by).chain(principals)
    }

    /// A close estimate of the record's size in memory and on a line, in bytes.
    pub fn weight(&self) -> usize {
        let envelope = 160 + 96 * (self.refs.len() + self.access.len()) + 256 * self.blobs.len();
        self.data.as_bytes().len() + self.key.id.as_str().len() + envelope
    }
}

/// Whether a record is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RecordState {
    /// In use.
    #[default]
    Live,
    /// In the provider's trash: not a deletion.
    Trashed,
    /// Put away by somebody.
    Archived,
}

/// A pointer to a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reference {
    /// The collection.
    pub collection: CollectionName,
    /// The id in it.
    pub id: RecordId,
    /// The account, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Reference {
    /// A pointer to a record of the same account.
    pub fn new(collection: CollectionName, id: RecordId) -> Self {
        Self { collection, id, account: None }
    }

    /// The key of the record.
    pub fn key(&self) -> Key {
        Key::new(self.collection.clone(), self.id.clone())
    }
}

impl From<&Key> for Reference {
    fn from(key: &Key) -> Self {
        Self::new(key.collection.clone(), key.id.clone())
    }
}

/// What a relationship points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum References {
    /// Many records, in the provider's order.
    Many(Vec<Reference>),
    /// One record.
    One(Reference),
    /// The relationship exists and is empty.
    None,
}

impl References {
    /// The records pointed to.
    pub fn iter(&self) -> impl Iterator<Item = &Reference> {
        match self {
            Self::Many(many) => many.iter(),
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::None => [].iter(),
        }
    }
}

/// One permission on a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Access {
    /// Who.
    pub principal: Principal,
    /// What they may do, in the provider's words.
    pub role: String,
    /// The record that the permission comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<Reference>,
    /// When the permission ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<DateTime<Utc>>,
}

impl Access {
    /// A permission without end that is not inherited.
    pub fn new(principal: Principal, role: impl Into<String>) -> Self {
        Self { principal, role: role.into(), inherited_from: None, expires: None }
    }
}

/// Who holds a permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Principal {
    /// A user or group that is a record.
    Record(Reference),
    /// Somebody who is no record, such as `anyone-with-link`.
    Named(String),
}

/// The description of an attachment in its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BlobRef {
    /// The id of the bytes; `None` when the provider gives none (an external link).
    #[serde(rename = "blob")]
    pub id: Option<BlobId>,
    /// What it is to the record: `attachment`, `inline`, `icon`, …
    pub role: String,
    /// Where in the record it is named: a JSON pointer such as `/data/files/0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The file name as the provider has it: hostile text, never a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The media type as the provider has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Length in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// SHA-256 of the bytes; the provider's word until the bytes are held, then ours.
    #[serde(default, with = "digest_members", skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Whether the bytes can be had, or are held.
    pub status: BlobStatus,
    /// The link, if the bytes lie elsewhere; never fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<DateTime<Utc>>,
}

impl BlobRef {
    /// Bytes that the provider offers.
    pub fn new(id: BlobId, role: impl Into<String>) -> Self {
        Self {
            id: Some(id),
            role: role.into(),
            path: None,
            name: None,
            media_type: None,
            size: None,
            digest: None,
            status: BlobStatus::Available,
            external_url: None,
            created: None,
        }
    }

    /// A link to bytes that lie elsewhere: listed, not counted as held.
    pub fn external(url: impl Into<String>, role: impl Into<String>) -> Self {
        Self {
            id: None,
            role: role.into(),
            path: None,
            name: None,
            media_type: None,
            size: None,
            digest: None,
            status: BlobStatus::External,
            external_url: Some(url.into()),
            created: None,
        }
    }

    /// Sets the file name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the media type.
    #[must_use]
    pub fn with_media_type(mut self, media_type: impl Into<String>) -> Self {
        self.media_type = Some(media_type.into());
        self
    }

    /// Sets the size that the provider states.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Sets the digest that the provider states.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Sets the place in the record.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// Whether a blob's bytes can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlobStatus {
    /// They can be read; in a stored line: they are held.
    Available,
    /// The provider is still making them.
    Pending,
    /// They lie elsewhere.
    External,
    /// They should exist and could not be read.
    Missing,
    /// The provider refuses them.
    Blocked,
    /// Larger than a limit that somebody set.
    TooLarge,
}

/// The SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Digests bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Standard base64 with padding: the form on the wire.
    pub fn to_base64(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(self.0)
    }

    /// Reads standard base64.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if it is not the base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not the base64 of a SHA-256 digest"))
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if it is something else.
    pub fn from_hex(text: &str) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::InvalidData, "not the hexadecimal form of a SHA-256 digest");
        if text.len() != 64 || !text.is_ascii() {
            return Err(malformed());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(2 * index..2 * index + 2).ok_or_else(malformed)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| malformed())?;
        }
        Ok(Self(bytes))
    }
}

/// Lower-case hexadecimal, as `sha256sum` prints it.
impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Hexadecimal in reports and manifests; on lines it is `{"sha-256": base64}`.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_hex(&text).map_err(serde::de::Error::custom)
    }
}

/// The `digest` member of a line: `{"sha-256": "<base64>"}`; digests by other algorithms are passed over.
pub(crate) mod digest_members {
    use super::{BTreeMap, Deserialize, Deserializer, Digest, Serializer};
    use serde::ser::SerializeMap;

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(digest: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
        match digest {
            None => serializer.serialize_none(),
            Some(digest) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("sha-256", &digest.to_base64())?;
                map.end()
            }
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
        let members = Option::<BTreeMap<String, String>>::deserialize(deserializer)?;
        match members.as_ref().and_then(|members| members.get("sha-256")) {
            None => Ok(None),
            Some(text) => Digest::from_base64(text).map(Some).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_both_forms() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::from_base64(&digest.to_base64()).unwrap(), digest);
        assert_eq!(Digest::from_hex(&digest.to_string()).unwrap(), digest);
        assert!(Digest::from_hex("é".repeat(32).as_str()).is_err());
    }

    #[test]
    fn references_count_authors_and_principals() {
        let user = Reference::new(CollectionName::from_static("users"), RecordId::from_static("u1"));
        let mut record = Record::new(Key::parse("pages", "p").unwrap(), Json::parse("{}").unwrap())
            .with_ref("parent", Reference::new(CollectionName::from_static("pages"), RecordId::from_static("q")));
        record.by = Some(user.clone());
        record.access.push(Access::new(Principal::Record(user), "editor"));
        record.access.push(Access::new(Principal::Named("anyone".into()), "viewer"));
        assert_eq!(record.references().count(), 3);
    }
}
