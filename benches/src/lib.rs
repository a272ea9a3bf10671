//! What the project promises about speed and size: deterministic workloads, and the connectors that read them.
//!
//! `cargo bench -p benches` measures the pieces; `benches/compare` measures the whole program against others,
//! `benches/postgres` databases against PostgreSQL's own programs, and `benches/years` what a repository is after years.

mod connector;
mod hourly;
mod kinds;
pub mod measure;
mod workload;

pub use connector::WorkloadConnector;
pub use hourly::HourlyAccount;
pub use kinds::{KindsConnector, Part};
pub use workload::{COLLECTIONS, Workload};

/// What a step of a measurement ends with.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
