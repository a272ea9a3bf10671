//! Programs that people use as scripts.
//!
//! `cargo run --release --example NAME -p examples -- --help` runs one. What they share stands here: [`demo`], a small
//! service with an account to back up for those who have no account at hand; `account`, which takes a real site instead;
//! [`script`], their arguments and their ends; [`held`], what a point in time holds; [`keyed`], a repository and its key;
//! and `project`, a configuration for the demo service.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what programs share prints, too")]

#[cfg(feature = "wordpress")]
pub mod account;
pub mod demo;
pub mod held;
pub mod keyed;
#[cfg(feature = "facade")]
pub mod project;
pub mod script;
