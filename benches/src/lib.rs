//! What the project promises about speed: a deterministic workload, and the connector that reads it.
//!
//! `cargo bench -p benches` measures the pieces; `benches/compare` measures the whole program against others.

mod connector;
mod kinds;
mod workload;

pub use connector::WorkloadConnector;
pub use kinds::{KindsConnector, Part};
pub use workload::{COLLECTIONS, Workload};
