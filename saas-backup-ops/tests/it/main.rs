//! The scheduler under paused time, and alerts.

mod alerts;
mod history;
mod scheduler;
#[cfg(feature = "alert-http")]
mod services;
mod support;
