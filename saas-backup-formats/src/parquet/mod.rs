//! Columns for analysis: a folder of Parquet files a collection, with nested types.
//!
//! ```text
//! <collection>/part-0000.parquet    its records: the envelope in columns that begin with `_`, then the data
//! blobs/<ab>/<sha256>               the attachments, each once
//! losses.ndjson                     what columns cannot hold
//! gaps.jsonl                        what is known to be missing, if anything is
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! Objects are structs and lists are lists; decimals, instants and dates have their types where every value fits, and are
//! texts where one does not: nothing is rounded.

mod check;
mod column;
mod config;
mod connector;
mod envelope;
mod form;
mod leaf;
mod part;

pub use check::check;
pub use config::ParquetConfig;
pub use connector::ParquetConnector;
