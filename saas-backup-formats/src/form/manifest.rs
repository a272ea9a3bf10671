use std::collections::BTreeMap;

use saas_backup_core::{Account, Catalog, CollectionName, Coverage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a folder says about itself, in its `manifest.json`; every format but `jsonl` has this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The format: `saas-backup-` and its name.
    pub format: String,
    /// The version of the format that is written.
    pub version: u32,
    /// The account that the records are of, if the source told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The collections, as their source and an overlay describe them.
    pub catalog: Catalog,
    /// What the source could see.
    pub coverage: Coverage,
    /// Where each collection is.
    pub collections: BTreeMap<CollectionName, Place>,
    /// What else the format tells; `docs/formats.md` has its members.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub content: Map<String, Value>,
    /// How many lines `losses.ndjson` has.
    pub losses: u64,
    /// How many of them are about something that could not be read at all.
    pub gaps: u64,
}

/// Where a collection is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Place {
    /// Its file or folder, or the name of its table.
    pub at: String,
    /// How many records it has.
    pub records: u64,
}

impl Place {
    /// A place of some records.
    pub(crate) fn new(at: impl Into<String>, records: u64) -> Self {
        Self { at: at.into(), records }
    }
}
