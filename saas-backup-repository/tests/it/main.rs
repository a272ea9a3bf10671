//! The repository as its callers see it.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod attacks;
mod basics;
mod conformance;
mod costs;
mod crash;
mod cursors;
mod damage;
mod drill;
mod faults;
mod follow;
mod foreign;
mod forged;
mod history;
#[cfg(feature = "azure")]
mod live_azurite;
#[cfg(feature = "gcs")]
mod live_fakegcs;
#[cfg(feature = "s3")]
mod live_moto;
#[cfg(feature = "s3")]
mod live_s3;
mod live_tools;
#[cfg(feature = "webdav")]
mod live_wsgidav;
mod mend;
mod model;
mod proof;
mod races;
mod replica;
mod requests;
mod roles;
mod second_reader;
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3", feature = "webdav"))]
mod simulation;
mod storage;
mod support;
mod timeline;
mod upkeep;
mod values;
