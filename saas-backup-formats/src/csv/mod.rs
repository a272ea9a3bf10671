//! Tables as CSV (RFC 4180), described by a Data Package: types, keys, and foreign keys that hold.
//!
//! ```text
//! datapackage.json                the tables: columns with their types and places in the record, keys, digests
//! <collection>.csv                its records: the envelope in columns that begin with `_`, then the data
//! <collection>__<list>.csv        the items of a list, with the record's id and their order
//! <collection>__ref_<name>.csv    references, where a record may have several or they lead to several collections
//! <collection>__blobs.csv         attachments, with the path of each in the folder
//! <collection>__access.csv        permissions
//! blobs/<ab>/<sha256>             the attachments, each once
//! <table>.excel.csv               the same for spreadsheets, if asked for
//! losses.ndjson                   what cells cannot hold
//! gaps.jsonl                      what is known to be missing, if anything is
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! Cells hold what the provider gave, token for token, also where a spreadsheet would take them for formulas: the
//! files for spreadsheets have an apostrophe before those.

mod check;
mod config;
mod connector;
mod form;
mod package;
mod read;
mod rebuild;
mod sheet;
mod spreadsheet;

pub use check::check;
pub use config::CsvConfig;
pub use connector::CsvConnector;

#[cfg(feature = "auto")]
pub(crate) use form::Tables;
