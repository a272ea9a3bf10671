//! The vendor half of the Open Export Protocol: a server kit.
//!
//! A vendor implements [`ExportSource`] over its own database and mounts [`router`] in its axum application; its
//! customers' backup tools then work at once. The kit owns what is easy to get wrong: framing, checkpoints, digests,
//! sealed cursors, problems, limits.
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "memory"))]
//! # fn example() -> saas_backup_core::Result<()> {
//! use saas_backup_core::{Catalog, Collection, CollectionName, Kind};
//! use saas_backup_export_api::{
//!     AccountId, CursorKey, ExportConfig, MemorySource, Principal, Schema, ServiceInfo, StaticTokens, router,
//! };
//!
//! let notes = Collection::new(CollectionName::from_static("notes"), Kind::Document);
//! let schema = Schema::new(Catalog::new(vec![notes]));
//! let source = MemorySource::new(ServiceInfo::new("notes", "Notes", "Example Ltd"), schema);
//!
//! let account = AccountId::parse("ws_1")?;
//! let tokens = StaticTokens::default().with(&"a secret".into(), Principal::new("backup").with_account(account));
//! let address = "https://notes.example.com/export/v1".parse().expect("an address");
//! let config = ExportConfig::new(address, tokens, CursorKey::from_bytes([7; 32]))?;
//! let app: axum::Router = axum::Router::new().merge(router(source, config));
//! # Ok(())
//! # }
//! # fn main() {}
//! ```
//!
//! What is implemented are the profiles `minimal`, with an authorization server `core` and `incremental`, and for sources
//! that can, `erasure` and `restore`;
//! `docs/export-api.md` specifies them.
//!
//! | feature | what it adds |
//! |---|---|
//! | `axum` (default) | [`router`] |
//! | `memory` | [`MemorySource`], for tests and demonstrations |
//! | `outbox-postgres`, `outbox-sqlite` | logs of changes in a vendor's own database, with cursors that pass over no commit |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "axum"), expect(dead_code, reason = "a router is what the kit is for"))]

mod canonical;
mod config;
mod cursor;
mod erasures;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grant;
#[cfg(feature = "axum")]
mod http;
mod imports;
mod kit;
#[cfg(feature = "memory")]
mod memory;
#[cfg(any(feature = "outbox-postgres", feature = "outbox-sqlite"))]
mod outbox;
mod params;
mod problem;
mod schema;
mod service;
mod source;
mod sums;
mod walk;

pub use config::ExportConfig;
pub use cursor::CursorKey;
pub use erasures::{ErasureLog, ErasurePage, FiledReceipt};
pub use grant::{AccountId, Authenticator, Grant, Principal, Scope, StaticTokens};
#[cfg(feature = "axum")]
pub use http::router;
pub use imports::{
    Accepts, Entries, Import, ImportEntry, ImportMode, ImportState, ImportTarget, ImportWrite, Links, Origin, Placed,
};
#[cfg(feature = "memory")]
pub use memory::{MemoryAccount, MemorySource, Transaction};
#[cfg(any(feature = "outbox-postgres", feature = "outbox-sqlite"))]
pub use outbox::OutboxTable;
#[cfg(feature = "outbox-postgres")]
pub use outbox::PgOutbox;
#[cfg(feature = "outbox-sqlite")]
pub use outbox::SqliteOutbox;
pub use problem::ProblemDetails;
pub use schema::{Schema, SchemaDocument};
pub use service::{Excluded, Limits, Quota, ServiceInfo};
pub use source::{
    Blob, Change, ChangeKind, ChangePage, ChangesRequest, Entry, ExportSource, Head, ScanPage, ScanRequest, Sums,
    Watermark,
};
