use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind, Result, RunReport, RunStatus};
use serde::{Deserialize, Serialize};

use crate::file;

const FILE: &str = "schedule.json";
const LOCK: &str = "schedule.lock";
const VERSION: u32 = 1;

/// What a scheduler remembers over restarts: up to when each job's due times are dealt with, and how its last run
/// ended. Kept in one small file that is replaced as a whole.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    jobs: BTreeMap<String, JobHistory>,
    /// Whether the file was there and could not be read: then every job that a scheduler begins with counts as due.
    lost: bool,
    _lock: File,
}

/// What is remembered of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobHistory {
    /// Due times up to here are dealt with.
    pub handled: DateTime<Utc>,
    /// The run that is at work, or that was when the process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Started>,
    /// The last run that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
}

/// A run that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Started {
    /// When it was due.
    pub due: DateTime<Utc>,
    /// When it began.
    pub started: DateTime<Utc>,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastRun {
    /// When it was due.
    pub due: DateTime<Utc>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// How it ended.
    pub result: RunResult,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunResult {
    /// The worst thing that is true of it.
    pub status: RunStatus,
    /// One line for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl RunResult {
    /// A result without a message.
    pub fn new(status: RunStatus) -> Self {
        Self { status, message: None }
    }

    /// Adds a line for a person.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}

impl From<&RunReport> for RunResult {
    fn from(report: &RunReport) -> Self {
        Self::new(report.status)
    }
}

impl From<&Error> for RunResult {
    fn from(error: &Error) -> Self {
        let status = if error.kind() == ErrorKind::Cancelled { RunStatus::Cancelled } else { RunStatus::Failed };
        Self::new(status).with_message(error.to_string())
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    jobs: BTreeMap<String, JobHistory>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl History {
    /// Opens the history in a folder for a scheduler, and makes the folder if it is not there.
    ///
    /// A file that cannot be understood is set aside, and every job then counts as due: a run too many does no harm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if another scheduler uses the folder; [`ErrorKind::UnsupportedVersion`] if a newer
    /// version wrote the file; file errors.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        std::fs::create_dir_all(&folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Conflict, "another scheduler is at work in this state directory"));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let (jobs, lost) = match read(&folder) {
            Ok(jobs) => (jobs, false),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                tracing::warn!(%error, "the schedule's history is damaged and was set aside; every job counts as due");
                std::fs::rename(folder.join(FILE), folder.join("schedule.damaged.json"))?;
                (BTreeMap::new(), true)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { folder, jobs, lost, _lock: lock })
    }

    /// Reads what a scheduler left in a folder, while it may be at work; empty if none ever was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the file is damaged; [`ErrorKind::UnsupportedVersion`] if a newer version wrote
    /// it; file errors.
    pub fn read(folder: impl AsRef<Path>) -> Result<BTreeMap<String, JobHistory>> {
        read(folder.as_ref())
    }

    /// What is remembered, by job.
    pub fn jobs(&self) -> &BTreeMap<String, JobHistory> {
        &self.jobs
    }

    /// The memory of a job; begins at `now` for one that was never seen.
    pub(crate) fn job(&mut self, name: &str, now: DateTime<Utc>) -> &mut JobHistory {
        let handled = if self.lost { DateTime::UNIX_EPOCH } else { now };
        self.jobs.entry(name.to_owned()).or_insert(JobHistory { handled, running: None, last: None })
    }

    /// From now on, a job that was never seen is a new one.
    pub(crate) fn has_begun(&mut self) {
        self.lost = false;
    }

    /// What [`write`] needs, so that the file is written away from the runtime's threads.
    pub(crate) fn image(&self) -> Result<(PathBuf, Vec<u8>)> {
        let document = Document { version: VERSION, jobs: self.jobs.clone() };
        Ok((self.folder.clone(), serde_json::to_vec_pretty(&document)?))
    }
}

/// Replaces the file as a whole.
pub(crate) fn write(folder: &Path, bytes: &[u8]) -> Result<()> {
    file::replace(folder, FILE, bytes)
}

fn read(folder: &Path) -> Result<BTreeMap<String, JobHistory>> {
    let Some(bytes) = file::read(&folder.join(FILE))? else { return Ok(BTreeMap::new()) };
    let Version { version } = serde_json::from_slice(&bytes)?;
    if version > VERSION {
        return Err(Error::new(ErrorKind::UnsupportedVersion, "a newer version wrote the schedule's history")
            .with_context("found", version)
            .with_context("known", VERSION));
    }
    Ok(serde_json::from_slice::<Document>(&bytes)?.jobs)
}
