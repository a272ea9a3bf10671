use std::io::Write as _;

use saas_backup_core::{Digest, Key, Result};
use serde::Serialize;

use crate::folder::{HashingWriter, Output};

/// `names.json`: an array with one file a line.
#[derive(Debug)]
pub(crate) struct NamesFile {
    file: HashingWriter,
    first: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum NameLine<'a> {
    Page { file: &'a str, collection: &'a str, id: &'a str },
    Day { file: &'a str, collection: &'a str, id: &'a str, day: &'a str },
    Post { post: u32, collection: &'a str, id: &'a str },
    Attachment { file: &'a str, sha256: Digest, name: Option<&'a str> },
}

pub(crate) const NAMES: &str = "names.json";

/// The file with the records of a collection as their provider gave them, by the collection's folder.
pub(crate) fn source_of(folder: &str) -> String {
    format!("_source/{folder}.jsonl")
}

impl NamesFile {
    pub(crate) fn create(output: &Output) -> Result<Self> {
        Ok(Self { file: output.create(NAMES)?, first: true })
    }

    pub(super) fn attachment(&mut self, file: &str, sha256: Digest, name: Option<&str>) -> Result<()> {
        self.line(&NameLine::Attachment { file, sha256, name })
    }

    /// Notes which record a page is, by the record's key in a store.
    pub(crate) fn page(&mut self, file: &str, key: &str) -> Result<()> {
        let (collection, id) = key.split_once('\0').unwrap_or((key, ""));
        self.line(&NameLine::Page { file, collection, id })
    }

    /// Notes of which record a page holds a day.
    pub(super) fn day(&mut self, file: &str, key: &str, day: &str) -> Result<()> {
        let (collection, id) = key.split_once('\0').unwrap_or((key, ""));
        self.line(&NameLine::Day { file, collection, id, day })
    }

    /// Notes which record a numbered thing is.
    pub(crate) fn post(&mut self, number: u32, key: &Key) -> Result<()> {
        self.line(&NameLine::Post { post: number, collection: key.collection.as_str(), id: key.id.as_str() })
    }

    fn line(&mut self, line: &NameLine<'_>) -> Result<()> {
        self.file.write_all(if self.first { b"[\n" } else { b",\n" })?;
        self.first = false;
        Ok(serde_json::to_writer(&mut self.file, line)?)
    }

    pub(crate) fn finish(mut self, output: &mut Output) -> Result<()> {
        self.file.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
        output.keep(NAMES, self.file)
    }
}
