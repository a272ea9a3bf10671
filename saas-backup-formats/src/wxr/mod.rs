//! WordPress eXtended RSS 1.2: what WordPress and the importers of other blogs read.
//!
//! ```text
//! wordpress-001.xml               authors, terms and posts, as many as a file may hold
//! <collection>/_attachments/      images and files, to be put where WordPress can fetch them
//! _source/<collection>.jsonl      every record as its provider gave it
//! losses.ndjson                   what WordPress has no place for, record by record
//! gaps.jsonl                      what is known to be missing, if anything is
//! names.json                      which post is which record, which file is which attachment
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! Documents become posts and pages, comments their comments, labels categories and tags, files attachments.

mod authors;
mod blog;
mod check;
mod comments;
mod config;
mod connector;
mod ids;
mod item;
mod own;
mod posts;
mod xml;

pub use check::check;
pub use config::WxrConfig;
pub use connector::WxrConnector;
