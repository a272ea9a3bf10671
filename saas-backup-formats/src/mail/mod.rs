//! Mail that every mail program reads, in three layouts: a file a message, a file a mailbox, a Maildir a mailbox.
//!
//! ```text
//! <collection>/<mailbox>/<time> <subject>.eml     layout `eml`
//! <collection>/<mailbox>.mbox                     layout `mbox`, with the quotation of mboxrd
//! <collection>/<mailbox>/cur, new, tmp            layout `maildir`
//! _attachments/<collection>/                      what records have as files beside their originals
//! _source/<collection>.jsonl                      every record as its provider gave it
//! labels.json                                     mailbox, labels and flags of each message
//! losses.ndjson                                   what the messages do not hold, record by record
//! names.json                                      which file, or part of one, is which record
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! A message that the provider gave as it was sent is never touched: its signature would break. One that has to be
//! built is built by this crate, because builders at hand take the time and random numbers for it and hold attachments
//! in memory.

mod build;
mod check;
mod config;
mod connector;
mod encode;
mod flags;
mod form;
mod headers;
mod labels;
mod layout;
mod message;
mod mime;
mod quote;

pub use check::check;
pub use config::{MailConfig, MaildirSeparator};
pub use connector::{MailConnector, MailLayout};

#[cfg(feature = "auto")]
pub(crate) use form::Eml;
