//! File names that every file system takes: Windows, macOS, Linux, exFAT, and the tools that read a vault.

mod extension;
mod fault;
mod safe;
mod unique;

pub(crate) use extension::split_extension;
pub(crate) use fault::fault_of;
pub use safe::{MAX_NAME_BYTES, safe_name};
pub use unique::Names;
pub(crate) use unique::{fingerprint, short_hash};
