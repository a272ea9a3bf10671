use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Clock, Error, ErrorKind, Result, RunStatus};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
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
    /// When it starts: `due` and the jitter, or later if that lies in a blackout.
    pub starts: Option<DateTime<Utc>>,
    /// When the blackout ends that a run which is late has to wait for; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blackout_until: Option<DateTime<Utc>>,
    /// The run that is at work, or that was when the process ended.
    pub running: Option<Started>,
    /// The last run that ended.
    pub last: Option<LastRun>,
}

impl JobStatus {
    /// When it runs next, if there is a place for it: when it [starts](Self::starts), or at the end of the blackout that keeps
    /// it from that now.
    pub fn next_run(&self) -> Option<DateTime<Utc>> {
        self.starts.max(self.blackout_until)
    }
}

/// Where jobs stand, from what [`History::read`] gives; needs no scheduler at work.
pub fn job_statuses(jobs: &[Job], history: &BTreeMap<String, JobHistory>, now: DateTime<Utc>) -> Vec<JobStatus> {
    jobs.iter().map(|job| job_status(job, history.get(&job.name), now)).collect()
}

fn job_status(job: &Job, known: Option<&JobHistory>, now: DateTime<Utc>) -> JobStatus {
    let due = match known {
        Some(JobHistory { running: Some(run), .. }) => Some(run.due.min(now)),
        _ => job.schedule.next_after(base(known.map_or(now, |known| known.handled), now)),
    };
    let starts = due.and_then(|due| job.schedule.starts(&job.name, due));
    let is_late = starts.is_some_and(|starts| starts <= now);
    JobStatus {
        job: job.name.clone(),
        due,
        starts,
        blackout_until: job.schedule.may_begin(now).filter(|until| is_late && *until > now),
        running: known.and_then(|known| known.running),
        last: known.and_then(|known| known.last.clone()),
    }
}

/// Runs jobs when they are due.
///
/// - One run a job at a time. What falls due meanwhile counts once, and runs right afterwards.
/// - What fell due while no scheduler was at work counts once, and runs at the start. A run that was cut short by the
///   end of the process runs again.
/// - A job that was never seen waits for its first time.
/// - A run that failed waits for its next time.
/// - In a [blackout](crate::Blackout) no run begins, whyever it is due; one that is at work goes on.
/// - A clock that is set back by up to an hour has nothing run twice. One that is set back further was wrong: what ran
///   meanwhile counts from when it really ran.
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
    options: SchedulerOptions,
}

/// Looks at a scheduler while it is at work, and gives it other jobs.
#[derive(Clone, Debug)]
pub struct SchedulerHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Locked after the table, where both are.
    history: Mutex<History>,
    clock: Arc<dyn Clock>,
    changed: Notify,
}

#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
    /// Whether the loop has begun: before, nothing is known of when jobs are due.
    has_begun: bool,
}

/// A job in the loop.
#[derive(Debug)]
struct Slot {
    job: Job,
    /// When it is due next; `None` while it runs, and if it never is.
    due: Option<DateTime<Utc>>,
    running: bool,
    reason: Option<Reason>,
    /// Since when the schedule holds, if it changed during the run that is at work.
    changed: Option<DateTime<Utc>>,
    /// Whether the job is there only until its run has ended.
    gone: bool,
}

impl Slot {
    fn new(job: Job) -> Self {
        Self { job, due: None, running: false, reason: None, changed: None, gone: false }
    }

    /// A job as its history has left it.
    fn resumed(job: Job, history: &mut History, now: DateTime<Utc>) -> Self {
        let known = history.job(&job.name, now);
        known.handled = base(known.handled, now);
        if let Some(cut) = known.running.take() {
            return Self { due: Some(cut.due.min(now)), reason: Some(Reason::Interrupted), ..Self::new(job) };
        }
        let cancelled = known
            .last
            .as_ref()
            .is_some_and(|last| last.result.status == RunStatus::Cancelled && known.handled < last.started);
        let reason = cancelled.then_some(Reason::Interrupted);
        Self { due: job.schedule.next_after(known.handled), reason, ..Self::new(job) }
    }

    /// Gives it another schedule, that holds from now on; what was due before stays due.
    fn reschedule(&mut self, job: Job, history: &mut History, now: DateTime<Utc>) {
        self.gone = false;
        if self.job.schedule == job.schedule {
            return;
        }
        self.job = job;
        if self.running {
            self.changed = Some(now);
        } else if self.due.is_none_or(|due| due > now) {
            let known = history.job(&self.job.name, now);
            known.handled = known.handled.max(now);
            self.due = self.job.schedule.next_after(known.handled);
        }
    }
}

impl Scheduler {
    /// Makes a scheduler; nothing runs before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if two jobs have the same name.
    pub fn new(jobs: Vec<Job>, history: History, clock: Arc<dyn Clock>, options: SchedulerOptions) -> Result<Self> {
        check_names(&jobs)?;
        let table = Table { slots: jobs.into_iter().map(Slot::new).collect(), has_begun: false };
        let (table, history) = (Mutex::new(table), Mutex::new(history));
        Ok(Self { shared: Arc::new(Shared { table, history, clock, changed: Notify::new() }), options })
    }

    /// Gives a view on the jobs that stays valid while the scheduler runs.
    pub fn handle(&self) -> SchedulerHandle {
        SchedulerHandle { shared: Arc::clone(&self.shared) }
    }

    /// Runs what is due until `stop` is cancelled, and then ends the runs that are at work: they get
    /// [`finish_within`](SchedulerOptions::finish_within) to finish, are then told to stop through [`Task::stop`], and
    /// are dropped after [`cancel_within`](SchedulerOptions::cancel_within). A run that did not finish runs again at
    /// the next start.
    ///
    /// `run` is called while the jobs are held: it must not ask the [`SchedulerHandle`]; what it returns may.
    ///
    /// Not cancel safe: dropping it drops the runs that are at work.
    pub async fn run<F, R>(self, run: F, stop: CancellationToken)
    where
        F: Fn(Task) -> R,
        R: Future<Output = RunResult> + Send + 'static,
    {
        self.shared.begin();
        self.save().await;
        let mut at_work = AtWork { set: JoinSet::new(), jobs: HashMap::new(), cancel: CancellationToken::new() };
        let mut seen = Seen::now(self.shared.clock.as_ref());
        while !stop.is_cancelled() {
            let set_back = self.shared.heed_clock(&mut seen);
            let (started, wait) = self.start_due(&mut at_work, &run);
            if started || set_back {
                self.save().await;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = at_work.set.join_next_with_id(), if !at_work.set.is_empty() => {
                    self.end(&mut at_work, ended, false).await;
                }
                () = self.shared.changed.notified() => self.save().await,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.drain(&mut at_work).await;
    }

    /// Starts what is due, as far as there are places; says whether anything was, and how long nothing will be.
    fn start_due<F, R>(&self, at_work: &mut AtWork, run: &F) -> (bool, Duration)
    where
        F: Fn(Task) -> R,
        R: Future<Output = RunResult> + Send + 'static,
    {
        let now = self.shared.clock.now();
        let mut table = lock(&self.shared.table);
        let mut wait = LONGEST_SLEEP;
        let mut ready: Vec<(DateTime<Utc>, usize)> = Vec::new();
        for (index, slot) in table.slots.iter().enumerate().filter(|(_, slot)| !slot.running) {
            let schedule = &slot.job.schedule;
            let Some(starts) = slot.due.and_then(|due| schedule.starts(&slot.job.name, due)) else { continue };
            // A blackout may have begun since it was to start.
            let Some(begins) = schedule.may_begin(starts.max(now)) else { continue };
            if begins <= now {
                ready.push((starts, index));
            } else {
                wait = wait.min((begins - now).to_std().unwrap_or_default());
            }
        }
        ready.sort_unstable();
        let mut started = false;
        for (starts, index) in ready {
            if at_work.set.len() >= self.options.parallel.max(1) {
                break;
            }
            let Some(slot) = table.slots.get_mut(index) else { continue };
            let Some(due) = slot.due.take() else { continue };
            slot.running = true;
            let late = if now - starts > PUNCTUAL { Reason::CatchUp } else { Reason::Due };
            let reason = slot.reason.take().unwrap_or(late);
            let job = slot.job.name.clone();
            tracing::info!(job, %due, ?reason, "the run starts");
            lock(&self.shared.history).job(&job, now).running = Some(Started { due, started: now });
            let task = Task { job: job.clone(), due, reason, stop: at_work.cancel.child_token() };
            at_work.jobs.insert(at_work.set.spawn(run(task)).id(), job);
            started = true;
        }
        (started, wait)
    }

    async fn end(&self, at_work: &mut AtWork, ended: Result<(Id, RunResult), JoinError>, stopping: bool) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, Some(result)),
            Err(error) if error.is_cancelled() => (error.id(), None),
            Err(error) => (error.id(), Some(RunResult::new(RunStatus::Failed).with_message("the run panicked"))),
        };
        let Some(job) = at_work.jobs.remove(&id) else { return };
        if self.shared.ended(&job, result, stopping) {
            self.save().await;
        }
    }

    async fn drain(&self, at_work: &mut AtWork) {
        for (grace, then) in [(self.options.finish_within, false), (self.options.cancel_within, true)] {
            let until = tokio::time::Instant::now() + grace;
            while !at_work.set.is_empty() {
                let Ok(ended) = tokio::time::timeout_at(until, at_work.set.join_next_with_id()).await else { break };
                let Some(ended) = ended else { break };
                self.end(at_work, ended, true).await;
            }
            if then {
                at_work.set.abort_all();
            } else {
                at_work.cancel.cancel();
            }
        }
        while let Some(ended) = at_work.set.join_next_with_id().await {
            self.end(at_work, ended, true).await;
        }
    }

    /// Writes the history. A disk that does not take it costs the memory of what was missed, never a backup.
    async fn save(&self) {
        let image = lock(&self.shared.history).image();
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

impl SchedulerHandle {
    /// Where the jobs stand now.
    pub fn statuses(&self) -> Vec<JobStatus> {
        let now = self.shared.clock.now();
        let table = lock(&self.shared.table);
        let history = lock(&self.shared.history);
        let there = table.slots.iter().filter(|slot| !slot.gone).map(|slot| &slot.job);
        there.map(|job| job_status(job, history.jobs().get(&job.name), now)).collect()
    }

    /// Puts these jobs in the place of those that there are, all at once, and calls `with` in the same moment: what it does
    /// holds for every run that starts afterwards, and for none that started before. It must not ask the handle.
    ///
    /// - A run that is at work goes on. If its job is gone, that was the last one.
    /// - A new job waits for its first time. One that was there before goes on where it stood, as after a restart.
    /// - A schedule that changed holds from now on. What was due by the old one and has not begun stays due.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if two jobs have the same name, and what `with` gives: then no job changes.
    pub fn replace<T>(&self, jobs: Vec<Job>, with: impl FnOnce() -> Result<T>) -> Result<T> {
        check_names(&jobs)?;
        let now = self.shared.clock.now();
        let mut table = lock(&self.shared.table);
        let done = with()?;
        let mut history = lock(&self.shared.history);
        let has_begun = table.has_begun;
        let before = std::mem::take(&mut table.slots).into_iter();
        let mut before: BTreeMap<String, Slot> = before.map(|slot| (slot.job.name.clone(), slot)).collect();
        for job in jobs {
            table.slots.push(match before.remove(&job.name) {
                Some(mut slot) if has_begun => {
                    slot.reschedule(job, &mut history, now);
                    slot
                }
                None if has_begun => Slot::resumed(job, &mut history, now),
                _ => Slot::new(job),
            });
        }
        let at_work = before.into_values().filter(|slot| slot.running);
        table.slots.extend(at_work.map(|slot| Slot { gone: true, ..slot }));
        self.shared.changed.notify_one();
        Ok(done)
    }
}

impl Shared {
    /// Looks up where each job stands.
    fn begin(&self) {
        let now = self.clock.now();
        let mut table = lock(&self.table);
        let mut history = lock(&self.history);
        let jobs = std::mem::take(&mut table.slots).into_iter().map(|slot| slot.job);
        table.slots = jobs.map(|job| Slot::resumed(job, &mut history, now)).collect();
        table.has_begun = true;
        history.has_begun();
    }

    /// Notes how a run ended; `None` if it was dropped. Says whether there is anything to keep.
    fn ended(&self, job: &str, result: Option<RunResult>, stopping: bool) -> bool {
        let mut table = lock(&self.table);
        let Some(place) = table.slots.iter().position(|slot| slot.job.name == job) else { return false };
        let Some(slot) = table.slots.get_mut(place) else { return false };
        slot.running = false;
        // A run that was dropped stays noted as running: the next start runs it again.
        let Some(result) = result else { return false };
        let finished = self.clock.now();
        tracing::info!(job, status = ?result.status, "the run ended");
        let mut history = lock(&self.history);
        let known = history.job(job, finished);
        let Some(Started { due, started }) = known.running.take() else { return false };
        if !(stopping && result.status == RunStatus::Cancelled) {
            known.handled = slot.changed.take().map_or(started, |changed| changed.max(started));
        }
        known.last = Some(LastRun { due, started, finished, result });
        slot.due = slot.job.schedule.next_after(known.handled);
        if slot.gone {
            table.slots.remove(place);
        }
        true
    }

    /// What was noted under a clock that was far ahead is set back with it: else nothing would be due before it is there again.
    /// Says whether anything was.
    fn heed_clock(&self, seen: &mut Seen) -> bool {
        let expected = seen.wall + seen.at.elapsed();
        *seen = Seen::now(self.clock.as_ref());
        let (now, back) = (seen.wall, expected - seen.wall);
        if back <= WRONG_CLOCK {
            return false;
        }
        tracing::warn!(by = %back, "the clock was set back: what ran meanwhile counts from when it really ran");
        let mut table = lock(&self.table);
        let mut history = lock(&self.history);
        for slot in &mut table.slots {
            let known = history.job(&slot.job.name, now);
            let really = |time: DateTime<Utc>| if time > now { (time - back).min(now) } else { time };
            known.handled = really(known.handled);
            known.running = known.running.map(|run| Started { started: really(run.started), ..run });
            slot.changed = slot.changed.map(really);
            if slot.reason.is_some() {
                slot.due = slot.due.map(really);
            } else if !slot.running {
                slot.due = slot.job.schedule.next_after(known.handled);
            }
        }
        true
    }
}

/// What the clocks said at a moment: that of the machine may be set, the other one only goes on.
struct Seen {
    at: Instant,
    wall: DateTime<Utc>,
}

impl Seen {
    fn now(clock: &dyn Clock) -> Self {
        Self { at: Instant::now(), wall: clock.now() }
    }
}

struct AtWork {
    set: JoinSet<RunResult>,
    /// The names of their jobs.
    jobs: HashMap<Id, String>,
    cancel: CancellationToken,
}

fn check_names(jobs: &[Job]) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    match jobs.iter().find(|job| !names.insert(&job.name)) {
        None => Ok(()),
        Some(twice) => {
            Err(Error::new(ErrorKind::Configuration, "two jobs have the same name").with_context("name", &twice.name))
        }
    }
}

/// Where to look for the next time from.
fn base(handled: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    if handled - now > WRONG_CLOCK { now } else { handled }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
