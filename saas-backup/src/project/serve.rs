use std::sync::Arc;

use saas_backup_core::{CancellationToken, Error, ErrorKind, NoProgress, Progress, Result, TransferOptions};
use saas_backup_ops::{History, RunResult, Scheduler, SchedulerHandle, SchedulerOptions, Task};

use super::Project;

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
}

impl Project {
    /// Makes the scheduler that backs up every source with a schedule; nothing runs before [`Serving::run`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if no source has a schedule; [`ErrorKind::Conflict`] if another scheduler of this
    /// repository is at work on this machine.
    pub fn serve(self: &Arc<Self>, options: ServeOptions) -> Result<Serving> {
        let jobs = self.jobs();
        if jobs.is_empty() {
            return Err(Error::new(
                ErrorKind::Configuration,
                "no source has a schedule; add schedule = \"0 * * * *\" to one",
            ));
        }
        let history = History::open(self.state.made()?)?;
        let scheduler = Scheduler::new(jobs, history, self.clock(), options.scheduler)?;
        Ok(Serving { project: Arc::clone(self), scheduler, progress: options.progress })
    }
}

impl Serving {
    /// A view on the jobs that stays valid while they run.
    pub fn handle(&self) -> SchedulerHandle {
        self.scheduler.handle()
    }

    /// Backs up what is due until `stop` is cancelled; then ends in order, see [`Scheduler::run`].
    pub async fn run(self, stop: CancellationToken) {
        let Self { project, scheduler, progress } = self;
        scheduler.run(|task| back_up(Arc::clone(&project), Arc::clone(&progress), task), stop).await;
    }
}

async fn back_up(project: Arc<Project>, progress: Arc<dyn Progress>, task: Task) -> RunResult {
    let options = TransferOptions::backup().with_progress(progress).with_cancel(task.stop);
    match project.backup(&task.job, options).await {
        Ok(done) => RunResult::from(&done.report),
        Err(error) => {
            tracing::error!(source = task.job, %error, "the run failed");
            RunResult::from(&error)
        }
    }
}
