use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use saas_backup_core::{Error, ErrorKind, Result};

use super::Entry;

pub(super) const FILE_BUFFER: usize = 64 * 1024;

/// Writes sorted entries to a file that only this process reads.
#[derive(Debug)]
pub(super) struct RunWriter(BufWriter<File>);

impl RunWriter {
    pub(super) fn create(path: &Path) -> Result<Self> {
        Ok(Self(BufWriter::with_capacity(FILE_BUFFER, File::create_new(path)?)))
    }

    pub(super) fn write(&mut self, entry: &Entry) -> Result<()> {
        self.0.write_all(&entry.arrival.to_le_bytes())?;
        for part in [entry.group.as_bytes(), entry.id.as_bytes(), &entry.line] {
            self.0.write_all(&(part.len() as u64).to_le_bytes())?;
            self.0.write_all(part)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        Ok(self.0.flush()?)
    }
}

/// Reads them back.
#[derive(Debug)]
pub(super) struct RunReader {
    file: BufReader<File>,
    left: u64,
}

impl RunReader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let left = file.metadata()?.len();
        Ok(Self { file: BufReader::with_capacity(FILE_BUFFER, file), left })
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        if self.left == 0 {
            return Ok(None);
        }
        let arrival = self.number()?;
        let (group, id, line) = (self.part()?, self.part()?, self.part()?);
        let text = |bytes| String::from_utf8(bytes).map_err(|_| damaged());
        Ok(Some(Entry { group: text(group)?, id: text(id)?, arrival, line }))
    }

    fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes)?;
        self.left = self.left.checked_sub(8).ok_or_else(damaged)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn part(&mut self) -> Result<Vec<u8>> {
        let length = self.number()?;
        self.left = self.left.checked_sub(length).ok_or_else(damaged)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged())?];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "a temporary file is not as it was written")
}
