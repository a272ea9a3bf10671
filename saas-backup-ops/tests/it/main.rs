//! The scheduler under paused time.

mod history;
mod scheduler;
mod support;
