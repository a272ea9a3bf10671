use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the database is, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// The folder. It must not exist, be empty, or hold an export of this format that the mode replaces.
    pub path: PathBuf,
    /// Whether texts can be searched. Default: yes.
    #[serde(default = "yes")]
    pub full_text: bool,
    /// Whether attachments stand in the database instead of beside it. Default: no.
    #[serde(default)]
    pub blobs_inside: bool,
}

fn yes() -> bool {
    true
}

impl SqliteConfig {
    /// A database in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), full_text: true, blobs_inside: false }
    }

    /// Sets whether texts can be searched.
    #[must_use]
    pub fn with_full_text(mut self, full_text: bool) -> Self {
        self.full_text = full_text;
        self
    }

    /// Sets whether attachments stand in the database.
    #[must_use]
    pub fn with_blobs_inside(mut self, blobs_inside: bool) -> Self {
        self.blobs_inside = blobs_inside;
        self
    }
}
