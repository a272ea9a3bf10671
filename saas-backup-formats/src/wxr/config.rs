use std::collections::BTreeMap;
use std::path::PathBuf;

use saas_backup_core::CollectionName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an export for WordPress is, and what its files refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WxrConfig {
    /// The folder. It must not exist, be empty, or hold an export of this format that the mode replaces.
    pub path: PathBuf,
    /// The address under which WordPress will find the folder: it fetches attachments itself, and the files hold
    /// addresses alone. Without it they name the addresses that the attachments had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_url: Option<String>,
    /// Bytes after which a file ends, so that a site takes it. A post that is larger has a file of its own.
    /// Default: 9,500,000.
    #[serde(default = "most_bytes")]
    pub file_bytes: u64,
    /// What the documents of a collection become, such as `post`, `page` or a type of a plugin. Default: `page` where
    /// they stand below one another, else `post`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub post_types: BTreeMap<CollectionName, String>,
}

fn most_bytes() -> u64 {
    9_500_000
}

impl WxrConfig {
    /// An export in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), media_url: None, file_bytes: most_bytes(), post_types: BTreeMap::new() }
    }

    /// Sets the address under which the folder will be found.
    #[must_use]
    pub fn with_media_url(mut self, url: impl Into<String>) -> Self {
        self.media_url = Some(url.into());
        self
    }

    /// Sets the bytes after which a file ends.
    #[must_use]
    pub fn with_file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// Sets what the documents of a collection become.
    #[must_use]
    pub fn with_post_type(mut self, collection: CollectionName, post_type: impl Into<String>) -> Self {
        self.post_types.insert(collection, post_type.into());
        self
    }
}
