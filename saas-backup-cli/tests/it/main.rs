//! The built command, from outside: folders, files, exit codes, output.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod alerts;
mod config;
mod copies;
mod drill;
mod erasure;
mod help;
mod inventory;
mod keys;
#[cfg(unix)]
mod kills;
mod mend;
mod replica;
mod roles;
mod serve;
mod support;
mod upkeep;
mod usage;
