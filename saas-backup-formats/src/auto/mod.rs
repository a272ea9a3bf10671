//! Each collection in the form that fits it: documents as Markdown, tables as CSV, mail as messages, events as calendars.
//!
//! ```text
//! README.md                        what is where, and what opens it
//! documents/                       the format `markdown`
//! tables/                          the format `csv`
//! calendars/, contacts/, mail/     the formats `ics`, `vcf`, `eml`
//! files/, repositories/            the formats `files`, `git`
//! losses.ndjson, gaps.jsonl, manifest.json, report.json, SHA256SUMS
//! ```
//!
//! A collection's kind and its fields decide; an overlay says otherwise with `form`. Each folder has what its collections
//! refer to beside them, so that links and names resolve, and is an export of its format, with losses and manifest.

mod check;
mod config;
mod connector;
mod fit;
mod form;

pub use check::check;
pub use config::AutoConfig;
pub use connector::AutoConnector;
