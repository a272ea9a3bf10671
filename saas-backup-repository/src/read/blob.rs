use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use saas_backup_core::{ByteStream, Digest, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::Access;
use super::access::{blocking, changed};
use crate::object::decompress;

/// Where the bytes of one attachment lie: the row of `_blobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlobRow {
    /// Length in bytes.
    pub(crate) size: u64,
    /// SHA-256 of the bytes.
    pub(crate) sha256: Digest,
    /// Their parts in order.
    pub(crate) parts: Vec<BlobPart>,
}

/// Some bytes of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlobPart {
    pub(crate) object: String,
    /// Offset in the plain object.
    pub(crate) at: u64,
    /// Length in the plain object.
    pub(crate) size: u64,
    /// How many bytes of the attachment it is.
    pub(crate) length: u64,
    /// Whether it is a Zstandard frame; else the bytes stand there as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) zstd: bool,
    /// Length of the whole object as it is stored.
    pub(crate) stored: u64,
    /// SHA-256 of the whole object as it is stored; not there for a part of a pack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    /// The head of the age file in base64, for a part of a pack.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) head: String,
}

impl Access {
    /// The bytes of an attachment, or a range of them; each part is checked before a byte of it is given.
    pub(crate) fn blob(self: Arc<Self>, row: BlobRow, range: Option<Range<u64>>) -> Result<ByteStream> {
        let range = range.unwrap_or(0..row.size);
        if range.start > row.size {
            return Err(Error::new(ErrorKind::Configuration, "the range begins after the end of the blob"));
        }
        let range = range.start..range.end.clamp(range.start, row.size);
        let adds_up = || Error::new(ErrorKind::Integrity, "the parts of a blob do not add up to its length");
        let mut offset = 0_u64;
        let mut wanted = Vec::new();
        for part in row.parts {
            let (start, end) = (offset, offset.checked_add(part.length).ok_or_else(adds_up)?);
            offset = end;
            if start < range.end && range.start < end {
                let from = range.start.saturating_sub(start) as usize;
                let to = (range.end.min(end) - start) as usize;
                wanted.push((part, from, to));
            }
        }
        if offset != row.size {
            return Err(adds_up());
        }
        let whole = row.sha256;
        let read = stream::iter(wanted).then(move |(part, from, to)| {
            let access = Arc::clone(&self);
            async move { Ok(access.blob_part(part, whole).await?.slice(from..to)) }
        });
        Ok(read.boxed())
    }

    async fn blob_part(&self, part: BlobPart, whole: Digest) -> Result<Bytes> {
        let unsealer = self.keyring().unsealer(part.domain.as_deref()).await?;
        let head = STANDARD.decode(&part.head).map_err(|_| changed(&part.object))?;
        let plain = part.at..part.at.checked_add(part.size).ok_or_else(|| changed(&part.object))?;
        let fetch = part.sha256.is_none().then(|| unsealer.sealed_range(&head, part.stored, &plain));
        let body = self.store().get(&part.object, fetch).await?;
        blocking(move || {
            let in_object = match part.sha256 {
                Some(expected) if Digest::of(&body) != expected => return Err(changed(&part.object)),
                Some(_) => {
                    let object = unsealer.open(body)?;
                    let bounds = plain.start as usize..plain.end as usize;
                    if object.len() < bounds.end { Bytes::new() } else { object.slice(bounds) }
                }
                None => unsealer.open_range(&head, part.stored, body, &plain)?,
            };
            let bytes = if part.zstd { Bytes::from(decompress(&in_object, part.length)?) } else { in_object };
            // Only whole attachments lie in packs: the digest of all is the digest of this.
            if bytes.len() as u64 != part.length || (part.sha256.is_none() && Digest::of(&bytes) != whole) {
                return Err(changed(&part.object));
            }
            Ok(bytes)
        })
        .await
    }
}
