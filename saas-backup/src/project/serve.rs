use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use saas_backup_core::{CancellationToken, Error, ErrorKind, NoProgress, Progress, Result, RunStatus, TransferOptions};
use saas_backup_ops::{History, Job, JobStatus, RunResult, Scheduler, SchedulerHandle, SchedulerOptions, Task};
use serde::Serialize;
use tokio::sync::Notify;

use super::alerts::{EVERY, Watch};
use super::chores::Work;
use super::{Project, store};
use crate::config::Config;

/// How long people may be told things once the last run has ended.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// How to run the scheduler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServeOptions {
    /// How many runs at a time, and how a stop treats them.
    pub scheduler: SchedulerOptions,
    /// Hears what the runs do.
    pub progress: Arc<dyn Progress>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { scheduler: SchedulerOptions::default(), progress: Arc::new(NoProgress) }
    }
}

impl ServeOptions {
    /// Sets how many runs are at work at a time, and how a stop treats them.
    #[must_use]
    pub fn with_scheduler(mut self, scheduler: SchedulerOptions) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// Sets who hears what the runs do.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }
}

/// A scheduler that is ready to run.
#[derive(Debug)]
pub struct Serving {
    scheduler: Scheduler,
    progress: Arc<dyn Progress>,
    shared: Arc<Shared>,
}

/// Looks at what is served, and gives it another configuration.
#[derive(Clone, Debug)]
pub struct ServingHandle {
    scheduler: SchedulerHandle,
    shared: Arc<Shared>,
}

/// What another configuration changed; the names of jobs, as [`ServingHandle::statuses`] has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reloaded {
    /// Jobs that were not there before.
    pub added: Vec<String>,
    /// Jobs that are gone; a run of one that is at work is its last.
    pub removed: Vec<String>,
    /// Jobs that have another schedule.
    pub rescheduled: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    current: Mutex<Current>,
    /// There if anybody is to be told what is wrong.
    watch: tokio::sync::Mutex<Option<Watch>>,
    /// Something happened that is worth a look at what is wrong.
    news: Notify,
}

/// A configuration, and what its jobs do.
#[derive(Clone, Debug)]
struct Current {
    project: Arc<Project>,
    works: Arc<HashMap<String, Work>>,
}

impl Current {
    fn of(project: Arc<Project>) -> Self {
        let works = project.works().into_iter().map(|(job, work)| (job.name, work)).collect();
        Self { project, works: Arc::new(works) }
    }
}

impl Shared {
    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look(&self) {
        let mut watch = self.watch.lock().await;
        let Some(watch) = watch.as_mut() else { return };
        if let Err(error) = watch.look(&self.current().project).await {
            tracing::error!(%error, "what is wrong could not be told, or not be noted");
        }
    }
}

impl Project {
    /// Makes the scheduler that does what has a schedule: backups, drills, verification, maintenance and replication; and
    /// that tells people what is wrong. Nothing runs before
    /// [`Serving::run`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if no source has a schedule, or an alert's settings do not do; [`ErrorKind::Conflict`] if another scheduler of this
    /// repository is at work on this machine.
    pub async fn serve(self: &Arc<Self>, options: ServeOptions) -> Result<Serving> {
        let jobs = self.jobs_to_serve()?;
        let history = History::open(self.state.made()?)?;
        let scheduler = Scheduler::new(jobs, history, self.clock(), options.scheduler)?;
        let routes = self.routes().await?;
        let watch = if routes.is_empty() { None } else { Some(self.watch_by(routes)?) };
        let shared = Shared {
            current: Mutex::new(Current::of(Arc::clone(self))),
            watch: tokio::sync::Mutex::new(watch),
            news: Notify::new(),
        };
        Ok(Serving { scheduler, progress: options.progress, shared: Arc::new(shared) })
    }

    fn jobs_to_serve(&self) -> Result<Vec<Job>> {
        let jobs = self.jobs();
        if jobs.is_empty() {
            return Err(Error::new(
                ErrorKind::Configuration,
                "no source has a schedule; add schedule = \"0 * * * *\" to one",
            ));
        }
        Ok(jobs)
    }

    /// The same repository with another configuration.
    fn with_config(&self, config: Config) -> Result<Self> {
        let fixed = |key| {
            Error::new(
                ErrorKind::Configuration,
                "this key cannot change while serve is at work: stop it, and start it again",
            )
            .with_context("key", key)
        };
        if store::address(&config)? != store::address(self.config())? {
            return Err(fixed("repository.url"));
        }
        let project = Self::with_registry(config, self.registry.clone())?.with_clock(self.clock());
        if project.state.path() != self.state.path() {
            return Err(fixed("state"));
        }
        Ok(project)
    }
}

impl ServingHandle {
    /// Where the jobs stand now.
    pub fn statuses(&self) -> Vec<JobStatus> {
        self.scheduler.statuses()
    }

    /// The project that the next run begins with.
    pub fn project(&self) -> Arc<Project> {
        self.shared.current().project
    }

    /// Puts another configuration in the place of the one that is served, as a whole or not at all.
    ///
    /// Runs that are at work go on with what they began with; those of jobs that are gone are their last. New jobs wait for
    /// their first time. A schedule that changed holds from now on; what was due by the old one and has not begun stays due.
    /// Objectives, and who is told what is wrong, change at once. The repository's address and the state folder cannot change.
    ///
    /// Waits for alerts that are being told. Dropping the future before it ends changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] as for [`Project::serve`], and if something changed that cannot;
    /// [`ErrorKind::Conflict`] if there were no alerts before and another process tells them. The old configuration then
    /// goes on.
    pub async fn reload(&self, config: Config) -> Result<Reloaded> {
        let project = Arc::new(self.project().with_config(config)?);
        let jobs = project.jobs_to_serve()?;
        let routes = project.routes().await?;
        let mut watch = self.shared.watch.lock().await;
        let opened = match (watch.is_some(), routes.is_empty()) {
            (false, false) => Err(project.watch_by(routes)?),
            _ => Ok(routes),
        };
        let reloaded = difference(&self.project().jobs(), &jobs);
        self.scheduler.replace(jobs, || {
            match (opened, watch.as_mut()) {
                (Err(opened), _) => *watch = Some(opened),
                (Ok(routes), Some(there)) if !routes.is_empty() => there.set_routes(routes)?,
                (Ok(_), _) => *watch = None,
            }
            *self.shared.current.lock().unwrap_or_else(PoisonError::into_inner) = Current::of(project);
            Ok(())
        })?;
        self.shared.news.notify_one();
        Ok(reloaded)
    }
}

fn difference(before: &[Job], after: &[Job]) -> Reloaded {
    let before: HashMap<&str, &Job> = before.iter().map(|job| (job.name.as_str(), job)).collect();
    let mut gone = before.clone();
    let mut reloaded = Reloaded::default();
    for job in after {
        gone.remove(job.name.as_str());
        match before.get(job.name.as_str()) {
            None => reloaded.added.push(job.name.clone()),
            Some(old) if old.schedule != job.schedule => reloaded.rescheduled.push(job.name.clone()),
            Some(_) => {}
        }
    }
    reloaded.removed = gone.into_keys().map(str::to_owned).collect();
    reloaded.removed.sort_unstable();
    reloaded
}

impl Serving {
    /// A view on what is served that stays valid while it runs, and can give it another configuration.
    pub fn handle(&self) -> ServingHandle {
        ServingHandle { scheduler: self.scheduler.handle(), shared: Arc::clone(&self.shared) }
    }

    /// Does what is due until `stop` is cancelled; then ends in order, see [`Scheduler::run`]. Each minute, and after each
    /// run, it looks whether something is wrong.
    pub async fn run(self, stop: CancellationToken) {
        let Self { scheduler, progress, shared } = self;
        let runs = scheduler.run(
            |task| {
                let run = run(shared.current(), Arc::clone(&progress), task);
                let shared = Arc::clone(&shared);
                async move {
                    let result = run.await;
                    shared.news.notify_one();
                    result
                }
            },
            stop,
        );
        let over = CancellationToken::new();
        let runs = async {
            runs.await;
            over.cancel();
            tokio::time::sleep(LAST_WORDS).await;
        };
        let looking = async {
            loop {
                // What the last runs did is told, too.
                let is_last = over.is_cancelled();
                shared.look().await;
                if is_last {
                    return;
                }
                tokio::select! {
                    () = over.cancelled() => {}
                    () = shared.news.notified() => {}
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
        };
        tokio::select! {
            () = runs => {}
            () = looking => {}
        }
    }
}

async fn run(Current { project, works }: Current, progress: Arc<dyn Progress>, task: Task) -> RunResult {
    let source = match works.get(&task.job) {
        Some(Work::Backup(source)) => source,
        Some(work) => return project.chore(work, &task.stop).await,
        None => return RunResult::new(RunStatus::Failed).with_message("nothing is known of such a job"),
    };
    let options = TransferOptions::backup().with_progress(progress).with_cancel(task.stop);
    match project.backup(source, options).await {
        Ok(done) => RunResult::from(&done.report),
        Err(error) => {
            tracing::error!(source = task.job, %error, "the run failed");
            RunResult::from(&error)
        }
    }
}
