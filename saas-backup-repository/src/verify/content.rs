//! Checking what objects hold, each read once.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

use crate::object::{Codec, SegmentIndex, count_lines, frame_digest};
use crate::read::{Access, BlobPart, BlobRow, blocking, changed};

/// The most that one segment may hold when it is decompressed.
const MAX_SEGMENT_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Attachments that wait for their packs at most: some 10 MiB of notes.
const MOST_WAITING: usize = 100_000;

/// Checks that an object is the one with a digest.
pub(super) fn expect(object: &[u8], sha256: Digest) -> Result<()> {
    if Digest::of(object) == sha256 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "the object is not what was written"))
}

/// Checks the lines of a segment and its index, which tells where its frames are.
pub(super) fn segment(plain: &[u8], index: Option<&Arc<SegmentIndex>>) -> Result<()> {
    let (mut lines, mut last) = (0, None);
    Codec::with(|codec| {
        codec.each_frame(plain, MAX_SEGMENT_BYTES, |text| {
            lines += count_lines(text, &mut last)?;
            Ok(())
        })
    })?;
    let fits = |index: &Arc<SegmentIndex>| {
        index.lines == lines
            && index.frames.iter().all(|frame| {
                let bytes = piece(plain, frame.at, u64::from(frame.size));
                bytes.is_some_and(|bytes| frame_digest(bytes) == frame.digest)
            })
    };
    if index.is_some_and(fits) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "the index does not fit its segment"))
}

/// Checks an attachment with objects of its own against the digests of these, and against its own.
pub(super) async fn attachment(access: &Access, row: &BlobRow) -> Result<()> {
    let (mut digest, mut length) = (Sha256::new(), 0_u64);
    for part in row.parts.clone() {
        let unsealer = access.keyring().unsealer(part.domain.as_deref()).await?;
        let sealed = access.store().get(&part.object, None).await?;
        length = length.saturating_add(part.length);
        digest = blocking(move || {
            if part.sha256.is_none_or(|expected| Digest::of(&sealed) != expected) {
                return Err(changed(&part.object));
            }
            let object = unsealer.open(sealed)?;
            Packed::from(&part)
                .feed(&object, &mut digest)
                .map_err(|error| error.with_context("object", &part.object))?;
            Ok(digest)
        })
        .await?;
    }
    if length != row.size {
        return Err(Error::new(ErrorKind::Integrity, "the parts of a blob do not add up to its length"));
    }
    is(digest, row.sha256)
}

fn is(digest: Sha256, expected: Digest) -> Result<()> {
    if Digest::from_bytes(digest.finalize().into()) == expected {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "an attachment is not what was written"))
}

/// Attachments that wait until their pack is read.
#[derive(Debug, Default)]
pub(super) struct Packs {
    packs: BTreeMap<String, Pack>,
    waiting: usize,
}

/// What rows say of one pack.
#[derive(Debug)]
pub(super) struct Pack {
    stored: u64,
    domain: Option<String>,
    head: String,
    attachments: Vec<(Packed, Digest)>,
}

/// Where bytes of an attachment lie in their object.
#[derive(Clone, Copy, Debug)]
struct Packed {
    at: u64,
    size: u64,
    length: u64,
    zstd: bool,
}

impl Packs {
    /// Takes a row whose attachment lies in a pack; gives back any other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if two rows do not say the same of their pack.
    pub(super) fn take(&mut self, row: BlobRow) -> Result<Option<BlobRow>> {
        let [part] = row.parts.as_slice() else { return Ok(Some(row)) };
        if part.sha256.is_some() {
            return Ok(Some(row));
        }
        if part.length != row.size {
            return Err(Error::new(ErrorKind::Integrity, "the parts of a blob do not add up to its length"));
        }
        let pack = self.packs.entry(part.object.clone()).or_insert_with(|| Pack {
            stored: part.stored,
            domain: part.domain.clone(),
            head: part.head.clone(),
            attachments: Vec::new(),
        });
        if (pack.stored, &pack.domain, &pack.head) != (part.stored, &part.domain, &part.head) {
            return Err(changed(&part.object));
        }
        pack.attachments.push((Packed::from(part), row.sha256));
        self.waiting += 1;
        Ok(None)
    }

    pub(super) fn are_many(&self) -> bool {
        self.waiting >= MOST_WAITING
    }
}

impl IntoIterator for Packs {
    type Item = (String, Pack);
    type IntoIter = btree_map::IntoIter<String, Pack>;

    fn into_iter(self) -> Self::IntoIter {
        self.packs.into_iter()
    }
}

impl Pack {
    /// Checks the attachments of a pack; gives the digest of the pack.
    pub(super) async fn read(self, access: &Access, name: &str) -> Result<Digest> {
        let unsealer = access.keyring().unsealer(self.domain.as_deref()).await?;
        let sealed = access.store().get(name, None).await?;
        let object = name.to_owned();
        blocking(move || {
            let sha256 = Digest::of(&sealed);
            let head = STANDARD.decode(&self.head).map_err(|_| changed(&object))?;
            if sealed.len() as u64 != self.stored || unsealer.head(&sealed)? != head {
                return Err(changed(&object));
            }
            let plain = unsealer.open(sealed)?;
            for (packed, expected) in &self.attachments {
                let mut digest = Sha256::new();
                packed.feed(&plain, &mut digest)?;
                is(digest, *expected)?;
            }
            Ok(sha256)
        })
        .await
    }
}

impl From<&BlobPart> for Packed {
    fn from(part: &BlobPart) -> Self {
        Self { at: part.at, size: part.size, length: part.length, zstd: part.zstd }
    }
}

impl Packed {
    /// Digests the attachment's bytes that lie here.
    fn feed(self, object: &[u8], digest: &mut Sha256) -> Result<()> {
        let damaged = || Error::new(ErrorKind::Integrity, "an attachment is not where it was written");
        let stored = piece(object, self.at, self.size).ok_or_else(damaged)?;
        let length = if self.zstd {
            Codec::with(|codec| {
                codec.each_frame(stored, self.length, |plain| {
                    digest.update(plain);
                    Ok(())
                })
            })?
        } else {
            digest.update(stored);
            stored.len() as u64
        };
        if length == self.length { Ok(()) } else { Err(damaged()) }
    }
}

fn piece(bytes: &[u8], at: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(at).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(stored: u64, size: u64) -> BlobRow {
        let part = BlobPart {
            object: "pack".into(),
            at: 0,
            size: 3,
            length: 3,
            zstd: false,
            stored,
            sha256: None,
            domain: None,
            head: String::new(),
        };
        BlobRow { size, sha256: Digest::of(b"abc"), parts: vec![part] }
    }

    #[test]
    fn rows_that_do_not_say_the_same_of_their_pack_are_noticed() {
        let mut packs = Packs::default();
        assert_eq!(packs.take(row(9, 3)).unwrap(), None);
        assert_eq!(packs.take(row(9, 3)).unwrap(), None);
        assert_eq!(packs.take(row(8, 3)).unwrap_err().kind(), ErrorKind::Integrity);
        assert_eq!(packs.take(row(9, 4)).unwrap_err().kind(), ErrorKind::Integrity);
        let waiting: Vec<usize> = packs.into_iter().map(|(_, pack)| pack.attachments.len()).collect();
        assert_eq!(waiting, [2]);
    }

    #[test]
    fn an_attachment_that_is_not_where_its_row_says_is_noticed() {
        let feed = |at, size, length| Packed { at, size, length, zstd: false }.feed(b"xabcx", &mut Sha256::new());
        assert!(feed(1, 3, 3).is_ok());
        for (at, size, length) in [(1, 3, 4), (4, 3, 3), (u64::MAX, 3, 3), (1, u64::MAX, 3)] {
            assert_eq!(feed(at, size, length).unwrap_err().kind(), ErrorKind::Integrity);
        }
    }
}
