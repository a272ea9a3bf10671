//! Programs that people use as scripts.
//!
//! `cargo run --release --example NAME -p examples -- --help` runs one. What they share is [`demo`]: a small service
//! with an account to back up, for those who have no account at hand.

pub mod demo;
