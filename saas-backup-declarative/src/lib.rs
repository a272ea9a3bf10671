//! Connectors that are written down, not programmed.
//!
//! A manifest says in YAML how the API of a provider is read: addresses, pages, partitions, cursors, errors. The format is
//! Airbyte's low-code one, and manifests of it run here unchanged; several hundred are public.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attachments;
mod auth;
mod connector;
mod dynamic;
mod errors;
mod expression;
mod extract;
mod job;
mod lint;
mod manifest;
mod normalize;
mod paginate;
mod plan;
#[cfg(feature = "replay")]
pub mod replay;
mod request;
mod schema;
mod shared;
mod slice;
mod stream;
mod template;
mod time;
mod upload;
mod walk;

pub use connector::{BUILT_IN, BuiltIn, BuiltInConfig, Declarative, DeclarativeConfig, Options};
pub use lint::{Lint, LintedCollection, LintedSetting};
pub use manifest::Manifest;
