//! Original files in their folders, with their names and times, as a file manager shows them.
//!
//! ```text
//! <collection>/<folder>/<file>    original bytes, with the time of the last change
//! <collection>/<file>             attachments of records that are no files
//! _source/<collection>.jsonl      every record as its provider gave it
//! losses.ndjson                   files whose bytes are not held, record by record
//! names.json                      which file is which record, its original name and its digest
//! manifest.json, report.json, SHA256SUMS
//! ```

mod check;
mod config;
mod connector;
mod form;
mod tree;

pub use check::check;
pub use config::FilesConfig;
pub use connector::FilesConnector;

#[cfg(feature = "auto")]
pub(crate) use form::Files;
