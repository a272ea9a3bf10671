use std::collections::BTreeMap;

use saas_backup_core::{Account, Catalog, CollectionName, Coverage, Digest};
use serde::{Deserialize, Serialize};

/// The `format` member of a manifest.
pub const FORMAT: &str = "saas-backup-jsonl";
/// The version of the format that is written; a reader refuses what is newer.
pub const VERSION: u32 = 1;

/// What an archive says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`], or an older one.
    pub version: u32,
    /// The account that the records are of, if the source told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The collections.
    pub catalog: Catalog,
    /// What the source could see.
    pub coverage: Coverage,
    /// Where the records of each collection are.
    pub collections: BTreeMap<CollectionName, CollectionFile>,
    /// The attachments.
    pub blobs: BlobTotals,
    /// How many lines `gaps.jsonl` has: things that are known to be missing.
    pub gaps: u64,
    /// All files but the blobs, which are named after their digests, and this one.
    pub files: BTreeMap<String, FileDigest>,
}

/// The records of one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectionFile {
    /// The path of the file.
    pub file: String,
    /// How many records it has.
    pub records: u64,
}

/// The digest and length of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileDigest {
    /// SHA-256.
    pub sha256: Digest,
    /// Length in bytes.
    pub bytes: u64,
}

/// The attachments of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BlobTotals {
    /// How many different ones it has.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl FileDigest {
    pub(super) fn new((sha256, bytes): (Digest, u64)) -> Self {
        Self { sha256, bytes }
    }
}

impl CollectionFile {
    pub(super) fn new(file: String, records: u64) -> Self {
        Self { file, records }
    }
}
