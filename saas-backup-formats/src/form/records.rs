use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use bytes::Bytes;
use saas_backup_core::{Collection, CollectionName, Error, ErrorKind, Gap, Line, LineCodec, Record, Result};

use crate::dataset::Dataset;

const BUFFER_BYTES: usize = 128 * 1024;

impl Dataset {
    /// The collections in the catalog's order, with the number of their records.
    pub(crate) fn collections(&self) -> impl Iterator<Item = (&Collection, u64)> {
        self.catalog.collections.iter().map(|collection| (collection, self.count(&collection.name)))
    }

    /// How many records a collection has.
    pub(crate) fn count(&self, collection: &CollectionName) -> u64 {
        self.records.get(collection).map_or(0, |lines| lines.count)
    }

    /// The records of a collection, sorted by id, each with its line in the stored profile.
    pub(crate) fn records(
        &self,
        collection: &CollectionName,
    ) -> Result<impl Iterator<Item = Result<(Record, Bytes)>> + use<>> {
        let codec = self.codec;
        let path = self.records.get(collection).map(|lines| lines.path.as_path());
        Ok(lines(path)?.map(move |line| {
            let line = line?;
            Ok((codec.decode_own_put(&line)?, line))
        }))
    }

    /// What is known to be missing, sorted by collection and id.
    pub(crate) fn gaps(&self) -> Result<impl Iterator<Item = Result<Gap>> + use<>> {
        let codec = self.codec;
        Ok(lines(self.gaps.as_ref().map(|gaps| gaps.path.as_path()))?.map(move |line| match codec.decode(&line?)? {
            Line::Gap(gap) => Ok(gap),
            _ => Err(Error::new(ErrorKind::Unexpected, "a temporary file is not as it was written")),
        }))
    }

    /// Decodes the line of a record that was kept elsewhere.
    pub(crate) fn decode(&self, line: Vec<u8>) -> Result<Record> {
        self.codec.decode_own_put(&Bytes::from(line))
    }
}

/// The lines of a file in the stored profile; none without a file.
pub(crate) fn lines(path: Option<&Path>) -> Result<impl Iterator<Item = Result<Bytes>> + use<>> {
    let limit = LineCodec::stored().limits.bytes as u64 + 1;
    let file = path.map(File::open).transpose()?;
    let mut reader = file.map(|file| BufReader::with_capacity(BUFFER_BYTES, file));
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        match reader.as_mut()?.take(limit).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) if line.pop() == Some(b'\n') => Some(Ok(Bytes::from(line))),
            Ok(_) => Some(Err(Error::new(ErrorKind::InvalidData, "a line has no end, or is too long"))),
            Err(error) => Some(Err(error.into())),
        }
    }))
}
