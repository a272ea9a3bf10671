//! Folders that appear whole or not at all, and the list of digests that they carry.

mod files;
mod staging;
mod sums;

pub(crate) use files::{HashingWriter, contained, create_parents};
pub(crate) use staging::{Foreign, Marker, Staging};
pub use sums::Audit;
pub(crate) use sums::{SumsWriter, audit, digest_of};
