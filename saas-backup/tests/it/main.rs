//! The facade from outside.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod alerts;
mod chores;
mod drill;
mod objectives;
mod project;
mod registry;
mod reload;
mod replica;
mod requests;
mod support;
mod upkeep;
