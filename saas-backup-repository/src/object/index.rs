use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Key, Result};
use serde::{Deserialize, Serialize};

use super::bloom::Bloom;

/// Where the keys of a segment lie: its own end, and a part of the commit, hold it as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentIndex {
    /// The object; empty in the copy at the end of the segment itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) object: String,
    /// Lines in it.
    pub(crate) lines: u64,
    /// Its last key.
    pub(crate) last: Key,
    /// Its frames in order.
    pub(crate) frames: Vec<Frame>,
    /// Which keys it does not hold.
    pub(crate) bloom: Bloom,
    /// The head of the age file in base64: with it a frame is read and decrypted in one request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) head: String,
}

/// One frame of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Offset in the plain object.
    pub(crate) at: u64,
    /// Length in the plain object.
    pub(crate) size: u32,
    /// Length when it is decompressed.
    pub(crate) raw: u32,
    /// The digest of its compressed bytes.
    pub(crate) digest: String,
    /// Its first key.
    pub(crate) first: Key,
    /// How many of its keys it says to be live; `None` if its writer did not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) live: Option<u32>,
}

/// Bytes at the end of a seek table: the number of frames, a descriptor, a magic number.
const SEEK_FOOTER: usize = 9;
/// Bytes of the head of a skippable frame, and of a frame's entry in a seek table.
const EIGHT: usize = 8;

impl SegmentIndex {
    /// The copy at the end of a segment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if it has none.
    pub(crate) fn inside(segment: &[u8]) -> Result<Self> {
        let read = || {
            let number = |at: usize| {
                let bytes = segment.get(at..at.checked_add(4)?)?;
                usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
            };
            let table_end = segment.len().checked_sub(SEEK_FOOTER)?;
            let table = table_end.checked_sub(number(table_end)?.checked_mul(EIGHT)?)?;
            // The index is the last frame of the table, and stands before it.
            let end = table.checked_sub(EIGHT)?;
            let begin = end.checked_sub(number(table_end.checked_sub(EIGHT)?)?)?;
            serde_json::from_slice(segment.get(begin.checked_add(EIGHT)?..end)?).ok()
        };
        read().ok_or_else(|| Error::new(ErrorKind::Integrity, "a segment has no index"))
    }

    /// The head of the age file; empty in a repository that is not encrypted.
    pub(crate) fn head(&self) -> Result<Bytes> {
        STANDARD
            .decode(&self.head)
            .map(Bytes::from)
            .map_err(|_| Error::new(ErrorKind::Integrity, "the index of a segment is damaged"))
    }

    pub(crate) fn set_head(&mut self, head: &[u8]) {
        self.head = STANDARD.encode(head);
    }

    pub(crate) fn first(&self) -> Option<&Key> {
        self.frames.first().map(|frame| &frame.first)
    }

    /// Whether the segment may hold a key.
    pub(crate) fn may_hold(&self, key: &Key) -> bool {
        self.first().is_some_and(|first| first <= key) && key <= &self.last && self.bloom.may_hold(key)
    }

    /// The frame in which a key stands, if it stands in the segment; a key never spans two frames.
    pub(crate) fn frame_of(&self, key: &Key) -> Option<usize> {
        self.frames.partition_point(|frame| &frame.first <= key).checked_sub(1)
    }
}
