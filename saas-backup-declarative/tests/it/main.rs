//! Tests of the engine as its users see it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails says so")]

#[cfg(feature = "replay")]
mod replay;
