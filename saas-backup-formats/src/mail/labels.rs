use std::io::Write as _;

use saas_backup_core::Result;
use serde::{Deserialize, Serialize};

use crate::beside::Span;
use crate::folder::{HashingWriter, Output};

pub(super) const LABELS: &str = "labels.json";

/// `labels.json`: an array with one message a line.
#[derive(Debug)]
pub(super) struct LabelsFile {
    file: HashingWriter,
    first: bool,
}

/// What no message says about itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Labelled {
    pub(super) file: String,
    /// Where in the file it is, if the file holds more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) span: Option<Span>,
    pub(super) collection: String,
    pub(super) id: String,
    pub(super) mailbox: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) flags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    /// Whether the bytes are those that the provider gave.
    pub(super) original: bool,
}

impl LabelsFile {
    pub(super) fn create(output: &Output) -> Result<Self> {
        Ok(Self { file: output.create(LABELS)?, first: true })
    }

    pub(super) fn line(&mut self, line: &Labelled) -> Result<()> {
        self.file.write_all(if self.first { b"[\n" } else { b",\n" })?;
        self.first = false;
        Ok(serde_json::to_writer(&mut self.file, line)?)
    }

    pub(super) fn finish(mut self, output: &mut Output) -> Result<()> {
        self.file.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
        output.keep(LABELS, self.file)
    }
}
