use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::{Digest, Result};
use sha2::{Digest as _, Sha256};

use super::age_file;

/// What is sealed and digested at once: it stays in the fastest memory in between.
const PIECE_BYTES: usize = 64 * 1024;

/// Turns plain bytes into what is stored.
#[derive(Clone, Debug)]
pub(crate) enum Sealer {
    /// A repository that is not encrypted.
    Plain,
    /// Files that these public keys' owners can open.
    Age(Vec<String>),
}

impl Sealer {
    /// Whether what is stored is the plain bytes.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Seals what is small enough to be copied.
    pub(crate) fn seal(&self, plain: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(plain),
            Self::Age(recipients) => age_file::seal(&names(recipients), &plain),
        }
    }

    /// Begins what is stored for about so many plain bytes, in a buffer of the capacity that `buffer` is asked for.
    pub(crate) fn begin(&self, plain: usize, buffer: impl FnOnce(usize) -> Vec<u8>) -> Result<Sealing> {
        let form = match self {
            Self::Plain => Form::Plain(buffer(plain)),
            Self::Age(recipients) => {
                Form::Age(age_file::Sealing::begin(&names(recipients), buffer(age_file::sealed_size(plain)))?)
            }
        };
        Ok(Sealing { form, sha256: Sha256::new(), digested: 0 })
    }

    /// What a reader of ranges needs besides the ranges.
    pub(crate) fn head(&self, sealed: &[u8]) -> Result<Bytes> {
        match self {
            Self::Plain => Ok(Bytes::new()),
            Self::Age(_) => age_file::head(sealed).map(Bytes::copy_from_slice),
        }
    }
}

fn names(recipients: &[String]) -> Vec<&str> {
    recipients.iter().map(String::as_str).collect()
}

/// Seals piece by piece, and digests what comes out while it is at hand.
pub(crate) struct Sealing {
    form: Form,
    sha256: Sha256,
    /// How much of what came out is digested.
    digested: usize,
}

enum Form {
    Plain(Vec<u8>),
    Age(age_file::Sealing),
}

impl Sealing {
    /// Appends plain bytes.
    pub(crate) fn push(&mut self, plain: &[u8]) -> Result<()> {
        for piece in plain.chunks(PIECE_BYTES) {
            match &mut self.form {
                Form::Plain(out) => out.extend_from_slice(piece),
                Form::Age(sealing) => sealing.push(piece)?,
            }
            self.digest();
        }
        Ok(())
    }

    /// What is stored, and its digest.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, Digest)> {
        if let Form::Age(sealing) = &mut self.form {
            sealing.end()?;
        }
        self.digest();
        let sha256 = Digest::from_bytes(self.sha256.finalize().into());
        let out = match self.form {
            Form::Plain(out) => out,
            Form::Age(sealing) => sealing.into_file(),
        };
        Ok((out, sha256))
    }

    fn digest(&mut self) {
        let done = match &self.form {
            Form::Plain(out) => out.as_slice(),
            Form::Age(sealing) => sealing.done(),
        };
        self.sha256.update(done.get(self.digested..).unwrap_or_default());
        self.digested = done.len();
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sealing").field("digested", &self.digested).finish_non_exhaustive()
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
