use serde::{Deserialize, Serialize};

/// Where a collection is.
#[derive(Clone, Debug)]
pub(crate) struct CollectionPages {
    /// Its folder.
    pub(crate) folder: String,
    /// Its records as the provider gave them.
    pub(crate) source: String,
    /// How many records it has.
    pub(crate) records: u64,
    /// How many of them are a page of their own.
    pub(crate) pages: u64,
}

impl CollectionPages {
    pub(crate) fn new(folder: String, source: String) -> Self {
        Self { folder, source, records: 0, pages: 0 }
    }
}

/// The attachments of an export.
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
    /// They lead to a page or an attachment of the export.
    pub rewritten: u64,
    /// They lead to another site, as before.
    pub external: u64,
    /// They lead to the source's own site, as before: what they meant is not in the export.
    pub unresolved: u64,
    /// They could do harm or lead nowhere: their address stands as text.
    pub removed: u64,
}
