//! What the formats promise, seen from outside.
#![cfg(feature = "jsonl")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

#[cfg(all(
    feature = "auto",
    feature = "bagit",
    feature = "html",
    feature = "parquet",
    feature = "sqlite",
    feature = "packed",
    feature = "wxr"
))]
mod arbitrary;
#[cfg(feature = "auto")]
mod auto;
#[cfg(feature = "bagit")]
mod bagit;
#[cfg(feature = "markdown")]
mod conversations;
#[cfg(feature = "csv")]
mod csv;
#[cfg(feature = "files")]
mod files;
#[cfg(feature = "git")]
mod git;
#[cfg(feature = "html")]
mod html;
#[cfg(feature = "ics")]
mod ics;
mod jsonl;
mod jsonl_hostile;
#[cfg(all(
    target_os = "linux",
    feature = "auto",
    feature = "bagit",
    feature = "html",
    feature = "packed",
    feature = "parquet",
    feature = "sqlite",
    feature = "wxr"
))]
mod large;
#[cfg(all(
    feature = "auto",
    feature = "bagit",
    feature = "html",
    feature = "parquet",
    feature = "sqlite",
    feature = "wxr"
))]
mod lying;
#[cfg(feature = "mail")]
mod mail;
#[cfg(feature = "markdown")]
mod markdown;
#[cfg(feature = "packed")]
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "_beside")]
mod personal;
#[cfg(feature = "sqlite")]
mod sqlite;
mod support;
#[cfg(feature = "_table")]
mod tables;
#[cfg(feature = "vcf")]
mod vcf;
#[cfg(all(feature = "html", feature = "markdown", feature = "wxr"))]
mod versions;
#[cfg(feature = "wxr")]
mod wxr;
