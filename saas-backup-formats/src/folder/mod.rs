//! Folders that appear whole or not at all, and the list of digests that they carry.

mod files;
#[cfg(feature = "markdown")]
mod output;
mod staging;
mod sums;

#[cfg(feature = "markdown")]
pub(crate) use files::list;
pub(crate) use files::{HashingWriter, contained, create_parents};
#[cfg(feature = "markdown")]
pub(crate) use output::Output;
pub(crate) use staging::{Marker, Policy, Staging};
pub use sums::Audit;
pub(crate) use sums::audit;
#[cfg(feature = "jsonl")]
pub(crate) use sums::{SumsWriter, digest_of};
