//! The documents of the protocol, as far as they are read here.

use std::collections::{BTreeMap, BTreeSet};

use saas_backup_core::{CollectionName, FieldMapping, Json, Kind, Visibility};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(super) struct Discovery {
    pub(super) open_export_versions: Vec<String>,
    pub(super) service: Service,
    pub(super) api_base: String,
    #[serde(default)]
    pub(super) profiles: Vec<String>,
    #[serde(default)]
    pub(super) limits: Limits,
}

#[derive(Debug, Deserialize)]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    pub(super) max_page_bytes: usize,
    pub(super) max_concurrent_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_page_bytes: 32 * 1024 * 1024, max_concurrent_requests: 4 }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Accounts {
    pub(super) accounts: Vec<AccountEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AccountEntry {
    pub(super) account: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct SchemaDocument {
    pub(super) collections: Vec<SchemaCollection>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SchemaCollection {
    pub(super) name: CollectionName,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) record: Option<Json>,
    #[serde(default)]
    pub(super) refs: Vec<SchemaRef>,
    #[serde(default)]
    pub(super) blobs: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    pub(super) access: SchemaAccess,
    #[serde(default)]
    pub(super) supports: Vec<String>,
    #[serde(default, rename = "x-open-export")]
    pub(super) hints: Option<Hints>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SchemaRef {
    pub(super) name: String,
    pub(super) to: Vec<CollectionName>,
    /// `null` is any number; a member that is missing is one.
    #[serde(default = "one")]
    pub(super) max: Option<u64>,
    #[serde(default)]
    pub(super) required_on_import: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional member")]
fn one() -> Option<u64> {
    Some(1)
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct SchemaAccess {
    #[serde(default)]
    pub(super) exported: bool,
}

/// How a person reads a record, by the vendor's word.
#[derive(Debug, Deserialize)]
pub(super) struct Hints {
    #[serde(default)]
    pub(super) fields: FieldMapping,
}

#[derive(Debug, Deserialize)]
pub(super) struct CoverageDocument {
    pub(super) collections: Vec<CoverageEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CoverageEntry {
    pub(super) name: CollectionName,
    pub(super) visible: Visibility,
    #[serde(default)]
    pub(super) count: Option<u64>,
    #[serde(default)]
    pub(super) hidden_count: Option<u64>,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) grant: Option<String>,
}

/// Asks to begin an import.
#[derive(Debug, Serialize)]
pub(super) struct NewImport<'a> {
    pub(super) mode: &'a str,
    pub(super) dry_run: bool,
    pub(super) notify: bool,
    pub(super) preserve: [&'a str; 3],
    pub(super) origin: ImportOrigin,
}

#[derive(Debug, Serialize)]
pub(super) struct ImportOrigin {
    pub(super) service: String,
    pub(super) account: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ImportDocument {
    pub(super) import: String,
    #[serde(default)]
    pub(super) accepts: Option<Accepts>,
    #[serde(default)]
    pub(super) totals: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) unresolved: u64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Accepts {
    pub(super) collections: BTreeSet<CollectionName>,
}
