//! Calendars that every calendar program imports (RFC 5545), one file each.
//!
//! ```text
//! <collection>/<calendar>.ics     its events, with the time zones that they name
//! _attachments/<collection>/      what the events have as files, and the originals that the provider gave
//! _source/<collection>.jsonl      every record as its provider gave it: what a calendar cannot hold is here
//! losses.ndjson                   what the calendars do not hold, record by record
//! names.json                      which file is which calendar or attachment
//! manifest.json, report.json, SHA256SUMS
//! ```
//!
//! Lines are written and checked by this crate: the crates at hand keep a whole calendar in memory and normalise what
//! a provider wrote, and parsers are built to forgive what a check must find.

mod check;
mod config;
mod connector;
mod event;
mod form;
mod raw;
mod rule;
mod time;
mod zone;

pub use check::check;
pub use config::IcsConfig;
pub use connector::IcsConnector;

#[cfg(feature = "auto")]
pub(crate) use form::Calendars;
