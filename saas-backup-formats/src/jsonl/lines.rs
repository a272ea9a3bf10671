use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use bytes::Bytes;
use saas_backup_core::{Digest, Error, ErrorKind, LineCodec, Result};
use sha2::{Digest as _, Sha256};

/// Reads the lines of a file and checks, at its end, that they are the ones that the manifest speaks of.
#[derive(Debug)]
pub(super) struct Lines {
    file: BufReader<File>,
    digest: Sha256,
    expected: Digest,
    limit: u64,
    /// Bytes read so far.
    pub(super) offset: u64,
}

impl Lines {
    pub(super) fn open(path: &Path, expected: Digest, codec: LineCodec) -> Result<Self> {
        let file = BufReader::with_capacity(128 * 1024, File::open(path)?);
        Ok(Self { file, digest: Sha256::new(), expected, limit: codec.limits.bytes as u64, offset: 0 })
    }

    /// The next line, without its line feed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] for a line that is too long, [`ErrorKind::Integrity`] at the end of a file that is
    /// not as it was written.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>> {
        let mut line = Vec::new();
        let length = self.file.by_ref().take(self.limit + 1).read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            let found = Digest::from_bytes(std::mem::take(&mut self.digest).finalize().into());
            return if found == self.expected { Ok(None) } else { Err(damaged()) };
        }
        self.digest.update(&line);
        self.offset += length;
        if line.pop() != Some(b'\n') {
            return Err(if length > self.limit {
                Error::new(ErrorKind::LimitExceeded, "a line is too long").with_context("limit", self.limit)
            } else {
                damaged()
            });
        }
        Ok(Some(Bytes::from(line)))
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "a file of the archive is not as it was written")
}
