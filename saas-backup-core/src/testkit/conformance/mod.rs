//! Checks that any connector, snapshot or sink must pass, driven by its capabilities.

mod blobs;
mod connector;
mod report;
mod sink;
mod snapshot;
mod trace;

pub use connector::connector;
pub use report::{Check, CheckResult, Report};
pub use sink::sink;
pub use snapshot::snapshot;

#[cfg(test)]
mod tests;
