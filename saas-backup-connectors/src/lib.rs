//! Connectors to provider accounts and data stores.
//!
//! Each connector is a folder and a feature of the same name. [`http`] is what the ones that speak HTTP share, and yours
//! may use it: pacing, retries, limits, paging and addresses are solved there once.
//!
//! | feature | what it adds |
//! |---|---|
//! | `tls` (default) | HTTPS by rustls |
//! | `wordpress` (default) | WordPress sites, backup and restore |
//! | `airbyte` | sources of Airbyte, as programs beside us |
//! | `singer` | taps of Singer, as programs beside us |
//! | `http` | the shared HTTP client alone |
//! | `open-export` (default) | services that speak the Open Export Protocol |
//! | `postgres` | PostgreSQL databases, backup and restore |
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "airbyte")]
pub mod airbyte;
#[cfg(feature = "open-export")]
pub mod open_export;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "airbyte", feature = "singer"))]
mod process;
#[cfg(feature = "singer")]
pub mod singer;
#[cfg(any(feature = "open-export", feature = "wordpress"))]
mod spool;
#[cfg(feature = "wordpress")]
pub mod wordpress;

#[cfg(feature = "http")]
#[doc(inline)]
pub use saas_backup_http as http;

/// Keeps the example of the tutorial compiling.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../../docs/writing-a-connector.md")]
struct Tutorial;
