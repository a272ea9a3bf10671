#![expect(clippy::unwrap_used, reason = "a helper of tests fails loudly")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Clock, RunStatus};
use saas_backup_ops::{Blackout, History, Job, Reason, RunResult, Schedule, Scheduler, SchedulerOptions, Task};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A wall clock that moves with tokio's paused one, and can be set.
#[derive(Debug)]
pub(crate) struct PausedClock {
    base: Mutex<DateTime<Utc>>,
    start: Instant,
}

impl PausedClock {
    pub(crate) fn at(text: &str) -> Arc<Self> {
        Arc::new(Self { base: Mutex::new(text.parse().unwrap()), start: Instant::now() })
    }
}

impl PausedClock {
    /// Sets it so much later, or earlier.
    pub(crate) fn set(&self, by: TimeDelta) {
        *self.base.lock().unwrap() += by;
    }
}

impl Clock for PausedClock {
    fn now(&self) -> DateTime<Utc> {
        *self.base.lock().unwrap() + self.start.elapsed()
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    Takes(Duration),
    UntilToldToStop,
    Hangs,
    Panics,
}

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) reason: Reason,
    pub(crate) due: DateTime<Utc>,
    pub(crate) started: DateTime<Utc>,
    pub(crate) ended: Option<DateTime<Utc>>,
    /// When it started and ended by a clock that nobody sets.
    pub(crate) real: (Instant, Option<Instant>),
}

/// Notes what ran.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    clock: Arc<PausedClock>,
    runs: Arc<Mutex<Vec<Run>>>,
}

impl Log {
    pub(crate) fn new(clock: &Arc<PausedClock>) -> Self {
        Self { clock: Arc::clone(clock), runs: Arc::default() }
    }

    pub(crate) fn clock(&self) -> Arc<PausedClock> {
        Arc::clone(&self.clock)
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    /// The starts, as hours and minutes.
    pub(crate) fn starts(&self) -> Vec<String> {
        self.runs().iter().map(|run| run.started.format("%H:%M").to_string()).collect()
    }

    pub(crate) async fn run(self, task: Task, does: Does) -> RunResult {
        let index = {
            let mut runs = self.runs.lock().unwrap();
            let started = self.clock.now();
            runs.push(Run {
                job: task.job,
                reason: task.reason,
                due: task.due,
                started,
                ended: None,
                real: (Instant::now(), None),
            });
            runs.len() - 1
        };
        let status = match does {
            Does::Takes(duration) => {
                tokio::time::sleep(duration).await;
                RunStatus::Complete
            }
            Does::UntilToldToStop => {
                task.stop.cancelled().await;
                RunStatus::Cancelled
            }
            Does::Hangs => std::future::pending().await,
            Does::Panics => panic!("a broken run"),
        };
        {
            let run = &mut self.runs.lock().unwrap()[index];
            run.ended = Some(self.clock.now());
            run.real.1 = Some(Instant::now());
        }
        RunResult::new(status)
    }
}

pub(crate) fn job(name: &str, pattern: &str, zone: &str) -> Job {
    Job::new(name, Schedule::parse(pattern, zone).unwrap())
}

/// The jobs with a window in which none begins.
pub(crate) fn without(blackout: &str, mut jobs: Vec<Job>) -> Vec<Job> {
    for job in &mut jobs {
        job.schedule = job.schedule.clone().with_blackout(Blackout::parse([blackout]).unwrap());
    }
    jobs
}

/// Runs a scheduler for a while and then stops it in order.
pub(crate) async fn run_for(folder: &Path, jobs: Vec<Job>, log: &Log, does: Does, time: Duration) {
    let stop = CancellationToken::new();
    let work = schedule(folder, jobs, log, does, SchedulerOptions::default(), stop.clone());
    let timer = async {
        tokio::time::sleep(time).await;
        stop.cancel();
    };
    tokio::join!(work, timer);
}

/// Runs a scheduler for a while, and has its jobs replaced in between.
pub(crate) async fn replace_after(
    folder: &Path,
    jobs: Vec<Job>,
    log: &Log,
    does: Does,
    (after, by): (Duration, Vec<Job>),
    rest: Duration,
) {
    let stop = CancellationToken::new();
    let history = History::open(folder).unwrap();
    let scheduler = Scheduler::new(jobs, history, log.clock(), SchedulerOptions::default()).unwrap();
    let handle = scheduler.handle();
    let work = scheduler.run(|task| log.clone().run(task, does), stop.clone());
    let timer = async {
        tokio::time::sleep(after).await;
        handle.replace(by, || Ok(())).unwrap();
        tokio::time::sleep(rest).await;
        stop.cancel();
    };
    tokio::join!(work, timer);
}

/// Runs a scheduler for a while and then drops it, as the end of the process would.
pub(crate) async fn kill_after(folder: &Path, jobs: Vec<Job>, log: &Log, does: Does, time: Duration) {
    let work = schedule(folder, jobs, log, does, SchedulerOptions::default(), CancellationToken::new());
    assert!(tokio::time::timeout(time, work).await.is_err());
}

pub(crate) async fn schedule(
    folder: &Path,
    jobs: Vec<Job>,
    log: &Log,
    does: Does,
    options: SchedulerOptions,
    stop: CancellationToken,
) {
    let clock = Arc::clone(&log.clock);
    let scheduler = Scheduler::new(jobs, History::open(folder).unwrap(), clock, options).unwrap();
    scheduler.run(|task| log.clone().run(task, does), stop).await;
}
