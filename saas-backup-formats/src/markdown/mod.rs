//! A vault of Markdown pages: every document a file with front matter, attachments beside it, links that resolve.
//!
//! ```text
//! index.md                        the collections
//! <collection>/index.md           its pages, or a table of its records
//! <collection>/<title>.md         a document; those below it stand in <collection>/<title>/
//! <collection>/_attachments/      images and files
//! _source/<collection>.jsonl      every record as its provider gave it: what Markdown cannot hold is here
//! losses.ndjson                   what Markdown cannot hold, record by record
//! gaps.jsonl                      what is known to be missing, if anything is
//! names.json                      which file is which record or attachment
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! It opens in Obsidian, in Hugo, on a code host and in any editor. Files that somebody adds to a vault, notes or
//! settings, move along when the vault is written anew.

mod back;
mod check;
mod config;
mod connector;
mod front_matter;
mod listing;
mod page;
mod thread;
mod vault;

pub use check::check;
pub use config::MarkdownConfig;
pub use connector::MarkdownConnector;

#[cfg(feature = "auto")]
pub(crate) use vault::Vault;
