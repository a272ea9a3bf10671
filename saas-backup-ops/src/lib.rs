//! Schedules, objectives and alerts for unattended backups.
//!
//! A [`Scheduler`] runs jobs when their [`Schedule`] says so: one run a job at a time, a bounded number at once, once
//! after downtime however much was missed, and with a stop that loses nothing. It knows nothing of backups: a closure
//! runs a [`Task`] and says how it ended. [`assess`] says what is wrong with a source, and [`alert`] tells people.
//!
//! ```
//! use std::sync::Arc;
//! use saas_backup_core::{RunStatus, SystemClock};
//! use saas_backup_ops::{History, Job, RunResult, Schedule, Scheduler, SchedulerOptions};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> saas_backup_core::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! let nightly = Job::new("blog", Schedule::parse("30 3 * * *", "Europe/Madrid")?);
//! let history = History::open(folder.path())?;
//! let scheduler = Scheduler::new(vec![nightly], history, Arc::new(SystemClock), SchedulerOptions::default())?;
//! let stop = CancellationToken::new();
//! # stop.cancel();
//! scheduler.run(|task| async move { RunResult::new(RunStatus::Complete) }, stop).await;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod alert;
mod blackout;
pub mod drill;
mod file;
mod history;
mod objectives;
mod schedule;
mod scheduler;
mod success;
mod zone;

pub use blackout::Blackout;
pub use history::{History, JobHistory, LastRun, RunResult, Started};
pub use objectives::{ChoreFacts, Facts, LastOutcome, ProofFacts, assess, assess_chore, assess_start};
pub use schedule::Schedule;
pub use scheduler::{Job, JobStatus, Reason, Scheduler, SchedulerHandle, SchedulerOptions, Task, job_statuses};
pub use success::{RunOutcome, SuccessRate, success_rate};
