use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use saas_backup_core::{Account, Catalog, CollectionName, Coverage, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Form, MANIFEST};
use crate::folder::contained;

/// Largest manifest that is read.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

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

impl Manifest {
    /// Reads the manifest of an export that this form wrote.
    pub(crate) fn read<F: Form>(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let file = File::open(contained(folder, MANIFEST)?).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "there is no export in this folder")
                .with_context("folder", folder.display()),
            _ => error.into(),
        })?;
        let mut text = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, "the manifest is too large"));
        }
        let head = serde_json::from_slice::<Head>(&text).ok().filter(|head| head.format == F::FORMAT);
        let head = head.ok_or_else(|| {
            Error::new(ErrorKind::InvalidData, "the folder holds something else than an export of this format")
                .with_context("format", F::FORMAT)
                .with_context("folder", folder.display())
        })?;
        if head.version > F::VERSION {
            return Err(Error::new(ErrorKind::UnsupportedVersion, "a newer version wrote this export")
                .with_context("found", head.version)
                .with_context("known", F::VERSION));
        }
        Ok(serde_json::from_slice(&text)?)
    }
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
