use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::Result;

use super::age_file;

/// Turns plain bytes into what is stored.
#[derive(Clone, Debug)]
pub(crate) enum Sealer {
    /// A repository that is not encrypted.
    Plain,
    /// Files that these public keys' owners can open.
    Age(Vec<String>),
}

impl Sealer {
    pub(crate) fn seal(&self, plain: Vec<u8>) -> Result<Vec<u8>> {
        Ok(self.seal_into(plain, Vec::with_capacity)?.0)
    }

    /// Seals into a buffer of the capacity that `buffer` is asked for; gives what is stored, and the buffer that is
    /// not needed any more.
    pub(crate) fn seal_into(
        &self,
        plain: Vec<u8>,
        buffer: impl FnOnce(usize) -> Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        match self {
            Self::Plain => Ok((plain, Vec::new())),
            Self::Age(recipients) => {
                let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
                let sealed = age_file::seal_into(&recipients, &plain, buffer(age_file::sealed_size(plain.len())))?;
                Ok((sealed, plain))
            }
        }
    }

    /// What a reader of ranges needs besides the ranges.
    pub(crate) fn head(&self, sealed: &[u8]) -> Result<Bytes> {
        match self {
            Self::Plain => Ok(Bytes::new()),
            Self::Age(_) => age_file::head(sealed).map(Bytes::copy_from_slice),
        }
    }
}

/// Turns what is stored into plain bytes.
#[derive(Clone)]
pub(crate) enum Unsealer {
    /// A repository that is not encrypted.
    Plain,
    /// Files that this key opens.
    Age(Arc<age_file::Key>),
}

impl Unsealer {
    pub(crate) fn from_key(text: &str) -> Result<Self> {
        Ok(Self::Age(Arc::new(age_file::parse_key(text)?)))
    }

    pub(crate) fn open(&self, sealed: Bytes) -> Result<Bytes> {
        match self {
            Self::Plain => Ok(sealed),
            Self::Age(key) => age_file::open(key, sealed),
        }
    }

    /// What a reader of ranges needs besides the ranges.
    pub(crate) fn head<'a>(&self, sealed: &'a [u8]) -> Result<&'a [u8]> {
        match self {
            Self::Plain => Ok(&[]),
            Self::Age(_) => age_file::head(sealed),
        }
    }

    /// The stored bytes to fetch for a range of plain bytes.
    pub(crate) fn sealed_range(&self, head: &[u8], size: u64, plain: &Range<u64>) -> Range<u64> {
        match self {
            Self::Plain => plain.clone(),
            Self::Age(_) => age_file::sealed_range(head.len(), size, plain),
        }
    }

    /// The plain bytes of a range, out of what [`sealed_range`](Self::sealed_range) named.
    pub(crate) fn open_range(&self, head: &[u8], size: u64, body: Bytes, plain: &Range<u64>) -> Result<Bytes> {
        match self {
            Self::Plain => Ok(body),
            Self::Age(key) => age_file::open_range(key, head, size, body, plain),
        }
    }
}

impl fmt::Debug for Unsealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "Plain",
            Self::Age(_) => "Age(..)",
        })
    }
}
