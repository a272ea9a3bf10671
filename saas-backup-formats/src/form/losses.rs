use std::io::Write as _;

use saas_backup_core::{Gap, Key, Result};
use serde::Serialize;

use crate::folder::{HashingWriter, Output};

pub(crate) const LOSSES: &str = "losses.ndjson";

/// The list of what the pages do not hold.
#[derive(Debug)]
pub(crate) struct Losses {
    file: HashingWriter,
    pub(crate) count: u64,
    pub(crate) gaps: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    collection: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    path: &'a str,
    reason: &'a str,
}

impl Losses {
    pub(crate) fn create(output: &Output) -> Result<Self> {
        Ok(Self { file: output.create(LOSSES)?, count: 0, gaps: 0 })
    }

    /// A part of a record that stands in the source alone.
    pub(crate) fn part(&mut self, key: &Key, path: &str, reason: &str) -> Result<()> {
        self.line(&Line { collection: key.collection.as_str(), id: Some(key.id.as_str()), path, reason })
    }

    /// Something that could not be read at all.
    pub(crate) fn gap(&mut self, gap: &Gap) -> Result<()> {
        self.gaps += 1;
        let what = if gap.blob.is_some() { "/blobs" } else { "" };
        let reason = format!("missing: {}: {}", gap.problem.kind, gap.problem.title);
        let id = gap.id.as_ref().map(saas_backup_core::RecordId::as_str);
        self.line(&Line { collection: gap.collection.as_str(), id, path: what, reason: &reason })
    }

    fn line(&mut self, line: &Line<'_>) -> Result<()> {
        self.count += 1;
        serde_json::to_writer(&mut self.file, line)?;
        Ok(self.file.write_all(b"\n")?)
    }

    pub(crate) fn finish(self, output: &mut Output) -> Result<()> {
        output.keep(LOSSES, self.file)
    }
}
