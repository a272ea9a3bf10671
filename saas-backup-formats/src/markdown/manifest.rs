use std::collections::BTreeMap;

use saas_backup_core::{Account, Catalog, CollectionName, Coverage};
use serde::{Deserialize, Serialize};

use crate::folder::Marker;

/// The `format` member of a vault's manifest.
pub const FORMAT: &str = "saas-backup-markdown";
/// The version of the format that is written.
pub const VERSION: u32 = 1;

pub(super) const MARKER: Marker = Marker { file: "manifest.json", format: FORMAT };

/// What a vault says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The account that the records are of, if the source told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The collections.
    pub catalog: Catalog,
    /// What the source could see.
    pub coverage: Coverage,
    /// Where each collection is.
    pub collections: BTreeMap<CollectionName, CollectionPages>,
    /// The attachments.
    pub attachments: AttachmentTotals,
    /// What became of the links in texts.
    pub links: LinkCounts,
    /// How many lines `losses.ndjson` has.
    pub losses: u64,
    /// How many of them are about something that could not be read at all.
    pub gaps: u64,
}

/// Where a collection is in a vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectionPages {
    /// Its folder.
    pub folder: String,
    /// Its records as the provider gave them.
    pub source: String,
    /// How many records it has.
    pub records: u64,
    /// How many of them are a page of their own.
    pub pages: u64,
}

/// The attachments of a vault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttachmentTotals {
    /// How many different ones it has.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What became of the links in texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkCounts {
    /// They lead to a page or an attachment of the vault.
    pub rewritten: u64,
    /// They lead to another site, as before.
    pub external: u64,
    /// They lead to the source's own site, as before: what they meant is not in the vault.
    pub unresolved: u64,
    /// They could do harm or lead nowhere: their address stands as text.
    pub removed: u64,
}

impl CollectionPages {
    pub(super) fn new(folder: String, source: String) -> Self {
        Self { folder, source, records: 0, pages: 0 }
    }
}
