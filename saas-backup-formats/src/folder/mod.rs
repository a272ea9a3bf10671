//! Folders that appear whole or not at all, and the list of digests that they carry.

mod files;
mod output;
mod staging;
mod sums;

pub(crate) use files::list;
pub(crate) use files::{HashingWriter, LineFile, contained, create_parents, pretty, write_json};
pub(crate) use output::Output;
pub(crate) use staging::{Marker, Policy, Staging};
pub use sums::Audit;
#[cfg(feature = "packed")]
pub(crate) use sums::Listed;
pub(crate) use sums::audit;
pub(crate) use sums::{REPORT, SUMS};
pub(crate) use sums::{SumsWriter, digest_from, digest_of};
