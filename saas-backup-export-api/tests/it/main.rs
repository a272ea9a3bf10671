//! The checks of the profile `minimal`, each by its number in the protocol, over a real loopback server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blobs;
mod changes;
mod coding;
mod discovery;
mod framing;
mod model;
mod problems;
mod snapshot;
mod support;
