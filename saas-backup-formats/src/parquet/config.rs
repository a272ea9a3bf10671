use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the files are, and how large they grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ParquetConfig {
    /// The folder. It must not exist, be empty, or hold an export of this format that the mode replaces.
    pub path: PathBuf,
    /// Records a file at most; a collection that has more is in several. Default: 1,000,000.
    #[serde(default = "million")]
    pub part_records: u64,
}

fn million() -> u64 {
    1_000_000
}

impl ParquetConfig {
    /// Files in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), part_records: million() }
    }

    /// Sets how many records a file has at most.
    #[must_use]
    pub fn with_part_records(mut self, part_records: u64) -> Self {
        self.part_records = part_records;
        self
    }
}
