use serde::{Deserialize, Serialize};

use crate::folder::Marker;
use crate::form::Form as _;

use super::vault::Vault;

pub(super) const MARKER: Marker = Marker { file: "manifest.json", format: Vault::FORMAT };

/// Where a collection is in a vault.
#[derive(Clone, Debug)]
pub(super) struct CollectionPages {
    /// Its folder.
    pub(super) folder: String,
    /// Its records as the provider gave them.
    pub(super) source: String,
    /// How many records it has.
    pub(super) records: u64,
    /// How many of them are a page of their own.
    pub(super) pages: u64,
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
