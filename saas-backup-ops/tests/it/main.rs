//! The scheduler under paused time, and alerts.

mod alerts;
mod history;
mod scheduler;
mod support;
