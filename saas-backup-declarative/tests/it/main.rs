//! Tests of the engine as its users see it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails says so")]

mod components;
mod connector;
mod dynamic;
mod fake;
mod hostile;
mod job;
mod live_kinto;
mod live_wordpress;
#[cfg(feature = "replay")]
mod replay;
mod tracker;
