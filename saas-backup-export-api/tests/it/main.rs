//! The checks of the profiles, each by its number in the protocol, over a real loopback server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blobs;
mod changes;
mod coding;
mod discovery;
mod drift;
mod erasures;
mod framing;
mod imports;
#[cfg(feature = "outbox-postgres")]
mod live_postgres;
mod model;
#[cfg(feature = "outbox-sqlite")]
mod outbox_sqlite;
mod problems;
mod scopes;
mod snapshot;
mod support;
