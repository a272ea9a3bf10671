//! Contacts that every address book imports: one file of vCard 4.0 (RFC 6350) a collection, and the same contacts as
//! vCard 3.0 (RFC 2426) for those that know no other.
//!
//! ```text
//! <collection>/<title>.vcf              vCard 4.0
//! <collection>/<title> - vCard 3.vcf    the same contacts as vCard 3.0
//! _attachments/<collection>/            what the contacts have as files, and the originals that the provider gave
//! _source/<collection>.jsonl            every record as its provider gave it: what a card cannot hold is here
//! losses.ndjson                         what the cards do not hold, record by record
//! names.json                            which file is of which collection or record
//! manifest.json, report.json, SHA256SUMS
//! ```

mod build;
mod card;
mod check;
mod config;
mod connector;
mod form;
mod raw;
mod version;

pub use check::check;
pub use config::VcfConfig;
pub use connector::VcfConnector;

#[cfg(feature = "auto")]
pub(crate) use form::Contacts;
