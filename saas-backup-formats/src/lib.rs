//! Open formats: archives and vaults that everybody can open.
//!
//! Each format is a [`Connector`](saas_backup_core::Connector): its sink writes a folder, and where nothing is lost its
//! snapshot reads the folder back. Every folder is written beside its target and takes the target's place when it is
//! whole, is the same byte for byte for the same input, and carries `SHA256SUMS` for `sha256sum --check`.
//!
//! | feature | format | reads back |
//! |---|---|---|
//! | `jsonl` (default) | lines of the provider's own JSON, schemas, blobs, digests | everything |
//! | `auto` | each collection in the form that fits it | no |
//! | `bagit` | a bag with RO-Crate metadata and a page for the person who finds it | everything |
//! | `csv` | a table a collection, with types and keys in a Data Package | what the cells tell |
//! | `files` | original files in their folders, with their names and times | everything |
//! | `git` | repositories as bundles that `git clone` takes, with what was said about them | everything, from its `_source` |
//! | `html` | a site of pages with a search, for any browser and without a server | everything, from its `_source` |
//! | `ics` | calendars: events with their time zones, repetitions and attendees | everything, from its `_source` |
//! | `mail` | messages, byte for byte: `eml` files, `mbox` files or Maildirs | everything, from its `_source` and the messages |
//! | `markdown` | one page a document with front matter, attachments and links that resolve | everything, from its `_source` |
//! | `parquet` | columns with nested types, for analysis | no |
//! | `sqlite` | tables with keys and full-text search, and every record as it came | everything |
//! | `vcf` | contacts and their groups, as vCard 4.0 and 3.0 | everything, from its `_source` |
//! | `wxr` | posts, comments, terms and attachments for the importer of WordPress | everything, from its `_source` |
//!
//! `packed` makes one file of any of them.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(
        feature = "auto",
        feature = "bagit",
        feature = "csv",
        feature = "files",
        feature = "git",
        feature = "html",
        feature = "ics",
        feature = "jsonl",
        feature = "mail",
        feature = "markdown",
        feature = "packed",
        feature = "parquet",
        feature = "sqlite",
        feature = "vcf",
        feature = "wxr"
    )),
    allow(
        dead_code,
        unused_imports,
        reason = "a format uses a part of what all share; a build with all shows what nobody uses"
    )
)]

mod dataset;
mod folder;
mod names;
mod session;
mod spool;

#[cfg(feature = "_beside")]
mod beside;
#[cfg(feature = "_content_line")]
mod content_line;
#[cfg(feature = "_form")]
mod form;
#[cfg(feature = "_import")]
mod import;
#[cfg(feature = "_pages")]
mod pages;
#[cfg(feature = "_table")]
mod table;
#[cfg(feature = "_text")]
mod text;

#[cfg(feature = "auto")]
pub mod auto;
#[cfg(feature = "bagit")]
pub mod bagit;
#[cfg(feature = "csv")]
pub mod csv;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "git")]
pub mod git;
#[cfg(feature = "html")]
pub mod html;
#[cfg(feature = "ics")]
pub mod ics;
#[cfg(feature = "jsonl")]
pub mod jsonl;
#[cfg(feature = "mail")]
pub mod mail;
#[cfg(feature = "markdown")]
pub mod markdown;
#[cfg(feature = "packed")]
pub mod packed;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "vcf")]
pub mod vcf;
#[cfg(feature = "wxr")]
pub mod wxr;

pub use folder::Audit;
#[cfg(feature = "_form")]
pub use form::{Manifest, Place};
pub use names::{MAX_NAME_BYTES, Names, safe_name};
#[cfg(feature = "_pages")]
pub use pages::{AttachmentTotals, LinkCounts};
