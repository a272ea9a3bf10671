use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::PathBuf;

use saas_backup_core::{Digest, Result};

use super::Dataset;
use crate::spool::{SMALL, Spool};

/// The digests of the blobs that the records of a collection own, in a file that begins with the first one.
#[derive(Debug)]
pub(crate) struct Owned {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Owned {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub(crate) fn add(&mut self, digest: &Digest) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(File::create_new(&self.path)?)),
        };
        Ok(file.write_all(digest.as_bytes())?)
    }

    /// The file, if there is one.
    pub(crate) fn finish(self) -> Result<Option<PathBuf>> {
        let Some(mut file) = self.file else { return Ok(None) };
        file.flush()?;
        Ok(Some(self.path))
    }
}

impl Dataset {
    /// The blobs that records own and that are held, each once, sorted.
    pub(crate) fn held(&self) -> Result<impl Iterator<Item = Result<Digest>> + use<>> {
        let mut spool = Spool::with_limit(self.scratch("held"), SMALL);
        for path in self.records.values().filter_map(|lines| lines.blobs.as_ref()) {
            let file = File::open(path)?;
            let (mut left, mut file) = (file.metadata()?.len(), BufReader::new(file));
            let mut digest = [0; 32];
            while left > 0 {
                file.read_exact(&mut digest)?;
                left = left.saturating_sub(digest.len() as u64);
                spool.push("", &Digest::from_bytes(digest).to_string(), Vec::new())?;
            }
        }
        let mut sorted = spool.finish()?;
        let mut last = None;
        Ok(std::iter::from_fn(move || {
            loop {
                let digest = match sorted.next()?.and_then(|entry| Digest::from_hex(&entry.id)) {
                    Ok(digest) => digest,
                    Err(error) => return Some(Err(error)),
                };
                if last.replace(digest) != Some(digest) {
                    return Some(Ok(digest));
                }
            }
        }))
    }
}
