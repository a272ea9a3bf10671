use crate::{Error, ErrorKind, MAX_JSON_DEPTH, Result};

/// What one line may hold; everything beyond is refused with [`ErrorKind::LimitExceeded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineLimits {
    /// Bytes of a line, without its line feed. Default: 4 MiB on the wire, 64 MiB stored.
    pub bytes: usize,
    /// Nesting of `data` and of each unknown member, at most [`MAX_JSON_DEPTH`]. Default: 256.
    pub depth: usize,
    /// Relationships of a record, counted by target. Default: 65,536 on the wire, 1,048,576 stored.
    pub references: usize,
    /// Attachments of a record. Default: 16,384 on the wire, 131,072 stored.
    pub blobs: usize,
    /// Permissions of a record. Default: 16,384 on the wire, 131,072 stored.
    pub access: usize,
    /// Members of an envelope that this version does not know. Default: 256.
    pub extra: usize,
    /// Entries of any other list: targets of an erasure, losses of a result, counts of an end. Default: 65,536.
    pub items: usize,
}

impl LineLimits {
    /// The limits of the wire.
    pub fn wire() -> Self {
        Self {
            bytes: 4 * 1024 * 1024,
            depth: MAX_JSON_DEPTH,
            references: 64 * 1024,
            blobs: 16 * 1024,
            access: 16 * 1024,
            extra: 256,
            items: 64 * 1024,
        }
    }

    /// The limits of repositories and archives.
    pub fn stored() -> Self {
        Self { bytes: 64 * 1024 * 1024, references: 1024 * 1024, blobs: 128 * 1024, access: 128 * 1024, ..Self::wire() }
    }

    /// Sets the longest line, in bytes.
    #[must_use]
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the deepest nesting.
    #[must_use]
    pub fn with_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }
}

pub(super) fn check_count(what: &'static str, count: usize, limit: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::new(ErrorKind::LimitExceeded, "the line holds too many entries in one list")
        .with_context("list", what)
        .with_context("limit", limit))
}

pub(super) fn check_length(bytes: usize, limit: usize) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::new(ErrorKind::LimitExceeded, "the line is too long")
        .with_context("bytes", bytes)
        .with_context("limit", limit))
}
