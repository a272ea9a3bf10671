//! A bag: the container for years, by RFC 8493 (BagIt), with RO-Crate metadata and a page for the person who finds it.
//!
//! ```text
//! bagit.txt, bag-info.txt          what BagIt demands
//! README.txt                       what this is and how to read it, without any program of ours
//! manifest-sha256.txt              the digest of every file of the payload
//! tagmanifest-sha256.txt           the digests of the files above
//! data/
//!   ro-crate-metadata.json         what the payload is, as linked data (RO-Crate 1.1)
//!   records/<collection>.jsonl     one record a line, sorted by id
//!   schemas/<collection>.json      JSON Schemas
//!   blobs/<ab>/<sha256>            attachments, each once
//! gaps.jsonl                       what is known to be missing, if anything is
//! losses.ndjson, manifest.json, report.json, SHA256SUMS
//! ```
//!
//! Nothing is lost: a bag reads back to an identical snapshot.

mod check;
mod config;
mod connector;
mod form;
mod metadata;
mod read;

pub use check::check;
pub use config::BagItConfig;
pub use connector::BagItConnector;
