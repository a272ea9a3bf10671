//! Signed objects of one part that lie beside a source's timeline: nothing in it names them.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::commit::{check_version, decode, encode};
use crate::crypto::{Signer, SigningPurpose};
use crate::source::Shared;

#[derive(Serialize, Deserialize)]
struct Header<T> {
    format: u32,
    requires: Vec<String>,
    repository: String,
    source: String,
    /// Its own name: another's copy under a newer name counts for nothing.
    id: String,
    at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    writer: String,
    /// SHA-256 of the part.
    sha256: Digest,
    #[serde(flatten)]
    own: T,
}

/// What such an object says.
pub(crate) struct Signed<T> {
    pub(crate) at: DateTime<Utc>,
    pub(crate) own: T,
    pub(crate) part: Bytes,
}

fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "an object beside the timeline is damaged, or nobody signed it who may")
}

impl<T: Serialize + DeserializeOwned> Signed<T> {
    /// The object, with its part as it is to be stored.
    pub(crate) fn encode(
        self,
        shared: &Shared,
        purpose: SigningPurpose<'_>,
        (writer, signer): (&str, Option<&Signer>),
        id: &str,
    ) -> Result<Bytes> {
        let header = Header {
            format: 1,
            requires: Vec::new(),
            repository: shared.repository.clone(),
            source: shared.name.clone(),
            id: id.to_owned(),
            at: self.at,
            writer: writer.to_owned(),
            sha256: Digest::of(&self.part),
            own: self.own,
        };
        Ok(encode(&header, purpose, signer, &[&self.part])?.0)
    }

    /// Reads one, if somebody signed it who may maintain, for the place where it lies.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] or [`ErrorKind::PermissionDenied`] if not; [`ErrorKind::UnsupportedVersion`] if it is newer
    /// than this version.
    pub(crate) async fn read(shared: &Shared, purpose: SigningPurpose<'_>, id: &str, object: &Bytes) -> Result<Self> {
        let envelope = decode(object)?;
        check_version(&envelope.header)?;
        let header: Header<T> = serde_json::from_slice(&envelope.header).map_err(|_| damaged())?;
        let trust = &shared.loader.trust;
        let maintains = trust.verify(&*shared.store, purpose, &header.writer, &envelope).await?;
        let is_here = header.repository == shared.repository && header.source == shared.name && header.id == id;
        if !maintains || !is_here || Digest::of(&envelope.body) != header.sha256 {
            return Err(damaged());
        }
        Ok(Self { at: header.at, own: header.own, part: envelope.body })
    }
}
