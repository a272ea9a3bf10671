use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::PathBuf;

use saas_backup_core::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::folder::create_parents;

const BUFFER: usize = 256 * 1024;

/// Pages on disk that are made before it is known what leads to them.
#[derive(Debug)]
pub(crate) struct Drafts {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Drafts {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        create_parents(&path)?;
        let file = BufWriter::with_capacity(BUFFER, File::create_new(&path)?);
        Ok(Self { path, file })
    }

    pub(crate) fn keep(&mut self, draft: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.file, draft)?;
        Ok(self.file.write_all(b"\n")?)
    }

    /// The drafts in the order in which they were made.
    pub(crate) fn read<T: DeserializeOwned>(mut self) -> Result<impl Iterator<Item = Result<T>>> {
        self.file.flush()?;
        let lines = BufReader::with_capacity(BUFFER, File::open(&self.path)?).lines();
        Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
    }
}
