//! What the connectors do against servers that misbehave, and against real ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(all(unix, feature = "airbyte"))]
mod airbyte;
#[cfg(feature = "wordpress")]
mod fake_wordpress;
#[cfg(feature = "postgres")]
mod live_postgres;
#[cfg(all(unix, feature = "airbyte", feature = "singer"))]
mod live_taps;
#[cfg(feature = "open-export")]
mod live_vendor;
#[cfg(feature = "open-export")]
mod live_vendor2;
#[cfg(feature = "wordpress")]
mod live_wordpress;
#[cfg(feature = "open-export")]
mod open_export;
#[cfg(all(unix, any(feature = "airbyte", feature = "singer")))]
mod program;
#[cfg(feature = "http")]
mod server;
#[cfg(all(unix, feature = "singer"))]
mod singer;
#[cfg(feature = "open-export")]
mod vendor;
#[cfg(feature = "wordpress")]
mod wordpress;
#[cfg(feature = "wordpress")]
mod wordpress_restore;
