//! The repository as its callers see it.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod basics;
mod conformance;
mod costs;
mod crash;
mod damage;
mod faults;
mod live_tools;
mod model;
mod races;
mod support;
