use std::collections::BTreeMap;
use std::io::Write as _;

use saas_backup_core::{Digest, Result};
use serde::{Deserialize, Serialize};

use crate::folder::{HashingWriter, Output};

pub(crate) const NAMES: &str = "names.json";

/// `names.json`: an array with one file or folder a line.
#[derive(Debug)]
pub(crate) struct NamesFile {
    file: HashingWriter,
    first: bool,
}

/// What a file or folder is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Named {
    /// Its path; that of a folder ends with `/`.
    pub(crate) file: String,
    pub(crate) collection: String,
    /// The record; a file of a whole collection has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// What it is to the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    /// Its name as the provider has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<Digest>,
    /// Where in the file it is, if the file holds more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) span: Option<Span>,
    /// What a repository has: the object that each of its references names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) refs: BTreeMap<String, String>,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Named {
    /// Reads a line of `names.json`; `None` if it says nothing.
    pub(crate) fn read(line: &[u8]) -> serde_json::Result<Option<Self>> {
        let line = line.trim_ascii_end();
        match line.strip_suffix(b",").unwrap_or(line) {
            b"[" | b"]" | b"[]" | b"" => Ok(None),
            line => serde_json::from_slice(line).map(Some),
        }
    }
}

impl NamesFile {
    pub(crate) fn create(output: &Output) -> Result<Self> {
        Ok(Self { file: output.create(NAMES)?, first: true })
    }

    pub(crate) fn line(&mut self, line: &Named) -> Result<()> {
        self.file.write_all(if self.first { b"[\n" } else { b",\n" })?;
        self.first = false;
        Ok(serde_json::to_writer(&mut self.file, line)?)
    }

    pub(crate) fn finish(mut self, output: &mut Output) -> Result<()> {
        self.file.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
        output.keep(NAMES, self.file)
    }
}
