//! One database: tables with keys and full-text search, and every record as its provider gave it.
//!
//! ```text
//! archive.db             the tables; `_records` has every record as a line of the stored profile
//! metadata.json          titles and descriptions for Datasette
//! blobs/<ab>/<sha256>    the attachments, each once; in the table `_blobs` if asked for
//! losses.ndjson          what rows cannot hold
//! gaps.jsonl             what is known to be missing, if anything is
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! In `archive.db` names that begin with `_` are those of the format: `_archive` says what this is, `_collections` which
//! table is which collection, `_columns` where each column stands in a record, `_records` has the records.

mod check;
mod config;
mod connector;
mod database;
mod datasette;
mod form;
mod read;
mod schema;

pub use check::check;
pub use config::SqliteConfig;
pub use connector::SqliteConnector;
