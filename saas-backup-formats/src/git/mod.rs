//! Repositories as bundles, which `git clone` takes as they are, with what was written about them beside.
//!
//! ```text
//! <collection>/<name>.bundle               the repository with its whole history
//! <collection>/<name>/<collection>.jsonl   issues, comments and whatever else belongs to it
//! _attachments/<collection>/               what records have as files
//! _source/<collection>.jsonl               every record as its provider gave it
//! losses.ndjson                            what is not whole, record by record
//! names.json                               which file is of which repository, with its references
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! No program `git` is needed to write or to check them.

mod bundle;
mod check;
mod config;
mod connector;
mod form;
mod owners;

pub use check::check;
pub use config::GitConfig;
pub use connector::GitConnector;

#[cfg(feature = "auto")]
pub(crate) use form::Repositories;
