//! File names that every file system takes: Windows, macOS, Linux, exFAT, and the tools that read a vault.

mod safe;
mod unique;

pub use safe::{MAX_NAME_BYTES, safe_name};
pub use unique::Names;
pub(crate) use unique::short_hash;
