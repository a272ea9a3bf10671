use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Clock, Error, ErrorKind, Result, RunStatus};
use serde::Serialize;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::history::{self, History, JobHistory, LastRun, RunResult, Started};
use crate::schedule::Schedule;

/// Longest sleep: the wall clock may be set, or the machine suspended, while the monotonic one stands still.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// A run that begins this much later than planned counts as caught up.
const PUNCTUAL: TimeDelta = TimeDelta::minutes(2);

/// A history this far ahead of the clock was written under a wrong clock.
const WRONG_CLOCK: TimeDelta = TimeDelta::hours(1);

/// Something that is run on a schedule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job {
    /// Its name, unique among the jobs of a scheduler.
    pub name: String,
    /// When it is due.
    pub schedule: Schedule,
}

impl Job {
    /// A job with a schedule.
    pub fn new(name: impl Into<String>, schedule: Schedule) -> Self {
        Self { name: name.into(), schedule }
    }
}

/// The bounds of a scheduler.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SchedulerOptions {
    /// Runs at a time. Default: 2.
    pub parallel: usize,
    /// How long a stop lets runs go on before it cancels them. Default: 30 seconds.
    pub finish_within: Duration,
    /// How long a cancelled run may take to make durable what it has before it is dropped. Default: 30 seconds.
    pub cancel_within: Duration,
}

impl SchedulerOptions {
    /// Sets how many runs are at work at a time; at least one.
    #[must_use]
    pub fn with_parallel(mut self, parallel: usize) -> Self {
        self.parallel = parallel.max(1);
        self
    }

    /// Sets how a stop treats the runs that are at work.
    #[must_use]
    pub fn with_grace(mut self, finish_within: Duration, cancel_within: Duration) -> Self {
        self.finish_within = finish_within;
        self.cancel_within = cancel_within;
        self
    }
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self { parallel: 2, finish_within: Duration::from_secs(30), cancel_within: Duration::from_secs(30) }
    }
}

/// One run that a scheduler asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Task {
    /// The name of the job.
    pub job: String,
    /// When it was due.
    pub due: DateTime<Utc>,
    /// Why it runs now.
    pub reason: Reason,
    /// Cancelled when the run is to end early; what it has by then should be kept.
    pub stop: CancellationToken,
}

/// Why a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// Its time has come.
    Due,
    /// Its time passed while nobody could run it; several times passed count once.
    CatchUp,
    /// Its last run was cut short by the end of the process.
    Interrupted,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobStatus {
    /// Its name.
    pub job: String,
    /// When it is due next; in the past if it waits for a free place.
    pub due: Option<DateTime<Utc>>,
    /// When it starts: `due` and the jitter.
    pub starts: Option<DateTime<Utc>>,
    /// The run that is at work, or that was when the process ended.
    pub running: Option<Started>,
    /// The last run that ended.
    pub last: Option<LastRun>,
}

/// Where jobs stand, from what [`History::read`] gives; needs no scheduler at work.
pub fn job_statuses(jobs: &[Job], history: &BTreeMap<String, JobHistory>, now: DateTime<Utc>) -> Vec<JobStatus> {
    let status = |job: &Job| {
        let known = history.get(&job.name);
        let due = match known {
            Some(JobHistory { running: Some(run), .. }) => Some(run.due),
            _ => job.schedule.next_after(base(known.map_or(now, |known| known.handled), now)),
        };
        JobStatus {
            job: job.name.clone(),
            due,
            starts: due.and_then(|due| starts(job, due)),
            running: known.and_then(|known| known.running),
            last: known.and_then(|known| known.last.clone()),
        }
    };
    jobs.iter().map(status).collect()
}

/// Runs jobs when they are due.
///
/// - One run a job at a time. What falls due meanwhile counts once, and runs right afterwards.
/// - What fell due while no scheduler was at work counts once, and runs at the start. A run that was cut short by the
///   end of the process runs again.
/// - A job that was never seen waits for its first time.
/// - A run that failed waits for its next time.
#[derive(Debug)]
pub struct Scheduler {
    jobs: Arc<[Job]>,
    history: Arc<Mutex<History>>,
    clock: Arc<dyn Clock>,
    options: SchedulerOptions,
}

/// Looks at a scheduler while it is at work.
#[derive(Clone, Debug)]
pub struct SchedulerHandle {
    jobs: Arc<[Job]>,
    history: Arc<Mutex<History>>,
    clock: Arc<dyn Clock>,
}

impl SchedulerHandle {
    /// Where the jobs stand now.
    pub fn statuses(&self) -> Vec<JobStatus> {
        job_statuses(&self.jobs, lock(&self.history).jobs(), self.clock.now())
    }
}

/// A job in the loop.
struct Slot {
    /// When it is due next; `None` while it runs, and if it never is.
    due: Option<DateTime<Utc>>,
    running: bool,
    reason: Option<Reason>,
}

impl Scheduler {
    /// Makes a scheduler; nothing runs before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if two jobs have the same name.
    pub fn new(jobs: Vec<Job>, history: History, clock: Arc<dyn Clock>, options: SchedulerOptions) -> Result<Self> {
        let mut names = std::collections::BTreeSet::new();
        if let Some(twice) = jobs.iter().find(|job| !names.insert(&job.name)) {
            return Err(
                Error::new(ErrorKind::Configuration, "two jobs have the same name").with_context("name", &twice.name)
            );
        }
        Ok(Self { jobs: jobs.into(), history: Arc::new(Mutex::new(history)), clock, options })
    }

    /// Gives a view on the jobs that stays valid while the scheduler runs.
    pub fn handle(&self) -> SchedulerHandle {
        SchedulerHandle {
            jobs: Arc::clone(&self.jobs),
            history: Arc::clone(&self.history),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Runs what is due until `stop` is cancelled, and then ends the runs that are at work: they get
    /// [`finish_within`](SchedulerOptions::finish_within) to finish, are then told to stop through [`Task::stop`], and
    /// are dropped after [`cancel_within`](SchedulerOptions::cancel_within). A run that did not finish runs again at
    /// the next start.
    ///
    /// Not cancel safe: dropping it drops the runs that are at work.
    pub async fn run<F, R>(self, run: F, stop: CancellationToken)
    where
        F: Fn(Task) -> R,
        R: Future<Output = RunResult> + Send + 'static,
    {
        let now = self.clock.now();
        let mut slots: Vec<Slot> = self.jobs.iter().map(|job| self.slot(job, now)).collect();
        self.save().await;
        let mut at_work = AtWork { set: JoinSet::new(), jobs: HashMap::new(), cancel: CancellationToken::new() };
        while !stop.is_cancelled() {
            let wait = self.start_due(&mut slots, &mut at_work, &run).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = at_work.set.join_next_with_id(), if !at_work.set.is_empty() => {
                    self.end(&mut slots, &mut at_work, ended, false).await;
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.drain(&mut slots, &mut at_work).await;
    }

    fn slot(&self, job: &Job, now: DateTime<Utc>) -> Slot {
        let mut history = lock(&self.history);
        let known = history.job(&job.name, now);
        known.handled = base(known.handled, now);
        if let Some(cut) = known.running.take() {
            return Slot { due: Some(cut.due), running: false, reason: Some(Reason::Interrupted) };
        }
        let cancelled = known
            .last
            .as_ref()
            .is_some_and(|last| last.result.status == RunStatus::Cancelled && known.handled < last.started);
        let reason = cancelled.then_some(Reason::Interrupted);
        Slot { due: job.schedule.next_after(known.handled), running: false, reason }
    }

    /// Starts what is due, as far as there are places; says how long nothing will be.
    async fn start_due<F, R>(&self, slots: &mut [Slot], at_work: &mut AtWork, run: &F) -> Duration
    where
        F: Fn(Task) -> R,
        R: Future<Output = RunResult> + Send + 'static,
    {
        let now = self.clock.now();
        let mut waiting: Vec<(DateTime<Utc>, usize)> = slots
            .iter()
            .zip(self.jobs.iter())
            .enumerate()
            .filter(|(_, (slot, _))| !slot.running)
            .filter_map(|(index, (slot, job))| Some((starts(job, slot.due?)?, index)))
            .collect();
        waiting.sort_unstable();
        let mut changed = false;
        let mut wait = LONGEST_SLEEP;
        for (starts, index) in waiting {
            if starts > now {
                wait = wait.min((starts - now).to_std().unwrap_or_default());
                break;
            }
            if at_work.set.len() >= self.options.parallel.max(1) {
                break;
            }
            let (Some(slot), Some(job)) = (slots.get_mut(index), self.jobs.get(index)) else { continue };
            let Some(due) = slot.due.take() else { continue };
            slot.running = true;
            let late = if now - starts > PUNCTUAL { Reason::CatchUp } else { Reason::Due };
            let reason = slot.reason.take().unwrap_or(late);
            tracing::info!(job = %job.name, %due, ?reason, "the run starts");
            lock(&self.history).job(&job.name, now).running = Some(Started { due, started: now });
            let task = Task { job: job.name.clone(), due, reason, stop: at_work.cancel.child_token() };
            let started = at_work.set.spawn(run(task));
            at_work.jobs.insert(started.id(), index);
            changed = true;
        }
        if changed {
            self.save().await;
        }
        wait
    }

    async fn end(
        &self,
        slots: &mut [Slot],
        at_work: &mut AtWork,
        ended: Result<(Id, RunResult), JoinError>,
        stopping: bool,
    ) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, Some(result)),
            Err(error) if error.is_cancelled() => (error.id(), None),
            Err(error) => (error.id(), Some(RunResult::new(RunStatus::Failed).with_message("the run panicked"))),
        };
        let Some(index) = at_work.jobs.remove(&id) else { return };
        let (Some(slot), Some(job)) = (slots.get_mut(index), self.jobs.get(index)) else { return };
        slot.running = false;
        // A run that was dropped stays noted as running: the next start runs it again.
        let Some(result) = result else { return };
        let finished = self.clock.now();
        tracing::info!(job = %job.name, status = ?result.status, "the run ended");
        {
            let mut history = lock(&self.history);
            let known = history.job(&job.name, finished);
            let Some(Started { due, started }) = known.running.take() else { return };
            if !(stopping && result.status == RunStatus::Cancelled) {
                known.handled = started;
            }
            known.last = Some(LastRun { due, started, finished, result });
            slot.due = job.schedule.next_after(known.handled);
        }
        self.save().await;
    }

    async fn drain(&self, slots: &mut [Slot], at_work: &mut AtWork) {
        for (grace, then) in [(self.options.finish_within, false), (self.options.cancel_within, true)] {
            let until = tokio::time::Instant::now() + grace;
            while !at_work.set.is_empty() {
                let Ok(ended) = tokio::time::timeout_at(until, at_work.set.join_next_with_id()).await else { break };
                let Some(ended) = ended else { break };
                self.end(slots, at_work, ended, true).await;
            }
            if then {
                at_work.set.abort_all();
            } else {
                at_work.cancel.cancel();
            }
        }
        while let Some(ended) = at_work.set.join_next_with_id().await {
            self.end(slots, at_work, ended, true).await;
        }
    }

    /// Writes the history. A disk that does not take it costs the memory of what was missed, never a backup.
    async fn save(&self) {
        let image = lock(&self.history).image();
        let written = match image {
            Ok((folder, bytes)) => tokio::task::spawn_blocking(move || history::write(&folder, &bytes)).await,
            Err(error) => Ok(Err(error)),
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the schedule's history could not be written"),
            Err(_) => tracing::error!("writing the schedule's history was cut short"),
        }
    }
}

struct AtWork {
    set: JoinSet<RunResult>,
    jobs: HashMap<Id, usize>,
    cancel: CancellationToken,
}

fn starts(job: &Job, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
    due.checked_add_signed(TimeDelta::from_std(job.schedule.delay(&job.name, due)).ok()?)
}

/// Where to look for the next time from.
fn base(handled: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    if handled - now > WRONG_CLOCK { now } else { handled }
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
