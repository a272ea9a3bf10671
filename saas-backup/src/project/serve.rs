use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use saas_backup_core::{CancellationToken, Error, ErrorKind, NoProgress, Progress, Result, RunStatus, TransferOptions};
use saas_backup_ops::{History, RunResult, Scheduler, SchedulerHandle, SchedulerOptions, Task};

use tokio::sync::Notify;

use super::Project;
use super::alerts::{EVERY, Watch};
use super::chores::Work;

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
    project: Arc<Project>,
    scheduler: Scheduler,
    progress: Arc<dyn Progress>,
    /// There if anybody is to be told what is wrong.
    watch: Option<Watch>,
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
        let jobs = self.jobs();
        if jobs.is_empty() {
            return Err(Error::new(
                ErrorKind::Configuration,
                "no source has a schedule; add schedule = \"0 * * * *\" to one",
            ));
        }
        let history = History::open(self.state.made()?)?;
        let scheduler = Scheduler::new(jobs, history, self.clock(), options.scheduler)?;
        let watch = if self.config().alerts.is_empty() { None } else { Some(self.watch().await?) };
        Ok(Serving { project: Arc::clone(self), scheduler, progress: options.progress, watch })
    }
}

impl Serving {
    /// A view on the jobs that stays valid while they run.
    pub fn handle(&self) -> SchedulerHandle {
        self.scheduler.handle()
    }

    /// Backs up what is due until `stop` is cancelled; then ends in order, see [`Scheduler::run`]. Each minute, and after each
    /// run, it looks whether something is wrong.
    pub async fn run(self, stop: CancellationToken) {
        let Self { project, scheduler, progress, watch } = self;
        let ended = Arc::new(Notify::new());
        let works: HashMap<String, Work> = project.works().into_iter().map(|(job, work)| (job.name, work)).collect();
        let runs = scheduler.run(
            |task| {
                let run = run(Arc::clone(&project), works.get(&task.job).cloned(), Arc::clone(&progress), task);
                let ended = Arc::clone(&ended);
                async move {
                    let result = run.await;
                    ended.notify_one();
                    result
                }
            },
            stop,
        );
        let Some(mut watch) = watch else { return runs.await };
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
                look(&mut watch, &project).await;
                if is_last {
                    return;
                }
                tokio::select! {
                    () = over.cancelled() => {}
                    () = ended.notified() => {}
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

async fn look(watch: &mut Watch, project: &Project) {
    if let Err(error) = watch.look(project).await {
        tracing::error!(%error, "what is wrong could not be told, or not be noted");
    }
}

async fn run(project: Arc<Project>, work: Option<Work>, progress: Arc<dyn Progress>, task: Task) -> RunResult {
    let source = match work {
        Some(Work::Backup(source)) => source,
        Some(work) => return project.chore(&work, &task.stop).await,
        None => return RunResult::new(RunStatus::Failed).with_message("nothing is known of such a job"),
    };
    let options = TransferOptions::backup().with_progress(progress).with_cancel(task.stop);
    match project.backup(&source, options).await {
        Ok(done) => RunResult::from(&done.report),
        Err(error) => {
            tracing::error!(source = task.job, %error, "the run failed");
            RunResult::from(&error)
        }
    }
}
