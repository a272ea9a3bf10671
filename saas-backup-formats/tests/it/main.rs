//! What the formats promise, seen from outside.
#![cfg(any(
    feature = "bagit",
    feature = "csv",
    feature = "jsonl",
    feature = "markdown",
    feature = "parquet",
    feature = "sqlite"
))]
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

#[cfg(feature = "bagit")]
mod bagit;
#[cfg(feature = "csv")]
mod csv;
#[cfg(feature = "jsonl")]
mod jsonl;
#[cfg(feature = "jsonl")]
mod jsonl_hostile;
#[cfg(feature = "markdown")]
mod markdown;
#[cfg(all(feature = "jsonl", feature = "packed"))]
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "sqlite")]
mod sqlite;
mod support;
#[cfg(any(feature = "csv", feature = "parquet", feature = "sqlite"))]
mod tables;
