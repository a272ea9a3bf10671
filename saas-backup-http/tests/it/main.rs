//! What the client does against servers that misbehave.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod http;
mod server;
