//! The lossless archive: a folder of lines that `jq` reads today and in ten years, and that this crate reads back.
//!
//! ```text
//! README.md                    what this is, for a person who finds it
//! manifest.json                format, catalog, coverage, files with digests and counts
//! report.json                  the report of the run that wrote it
//! records/<collection>.jsonl   one record a line, sorted by id
//! schemas/<collection>.json    JSON Schemas
//! blobs/<ab>/<sha256>          attachments
//! gaps.jsonl                   what is known to be missing
//! SHA256SUMS                   for `sha256sum --check`
//! ```
//!
//! The same records give the same bytes, in whatever order they arrive; `report.json` alone tells of the run.

mod assembly;
mod check;
mod config;
mod connector;
mod lines;
mod manifest;
mod open;
mod snapshot;

#[cfg(feature = "_import")]
pub(crate) use assembly::{Assembly, MARKER};
#[cfg(feature = "_import")]
pub(crate) use snapshot::JsonlSnapshot;

pub use check::check;
pub use config::JsonlConfig;
pub use connector::JsonlConnector;
pub use manifest::{BlobTotals, CollectionFile, FORMAT, FileDigest, Manifest, VERSION};

/// Opens an archive to read it.
#[cfg(feature = "_import")]
pub(crate) fn open(
    folder: &std::path::Path,
    budget: saas_backup_core::Budget,
) -> saas_backup_core::Result<JsonlSnapshot> {
    Ok(JsonlSnapshot::new(open::Archive::open(folder)?, budget))
}
