use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the tables are, and what is beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CsvConfig {
    /// The folder. It must not exist, be empty, or hold an export of this format that the mode replaces.
    pub path: PathBuf,
    /// Whether each table gets a second file for spreadsheets: with a byte order mark, and with an apostrophe before
    /// cells that would be formulas. Default: no.
    #[serde(default)]
    pub spreadsheet: bool,
}

impl CsvConfig {
    /// Tables in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), spreadsheet: false }
    }

    /// Sets whether there are files for spreadsheets.
    #[must_use]
    pub fn with_spreadsheet(mut self, spreadsheet: bool) -> Self {
        self.spreadsheet = spreadsheet;
        self
    }
}
