//! What the connectors do against servers that misbehave, and against real ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "wordpress")]
mod fake_wordpress;
#[cfg(feature = "postgres")]
mod live_postgres;
#[cfg(feature = "wordpress")]
mod live_wordpress;
#[cfg(feature = "open-export")]
mod open_export;
#[cfg(feature = "http")]
mod server;
#[cfg(feature = "wordpress")]
mod wordpress;
#[cfg(feature = "wordpress")]
mod wordpress_restore;
