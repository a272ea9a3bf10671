//! The scheduler under paused time, and alerts.

mod alerts;
mod calendar;
mod clocks;
#[cfg(feature = "alert-cloudwatch")]
mod cloudwatch;
mod drill;
mod history;
#[cfg(feature = "alert-mail")]
mod mail;
mod scheduler;
#[cfg(feature = "alert-http")]
mod services;
mod support;
