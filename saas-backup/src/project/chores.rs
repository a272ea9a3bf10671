//! What `serve` does, and what is known of it: backups, drills, and work on the whole repository.

use saas_backup_core::{CancellationToken, Error, ErrorKind, Period, Result, RunStatus};
use saas_backup_ops::alert::Condition;
use saas_backup_ops::{ChoreFacts, Job, ProofFacts, RunResult};

use super::{DrillPoint, DrillRequest, ForgetOptions, MaintainOptions, Project, Replicated, Verified, VerifyRead};
use crate::state::ProofNote;

// No source has such a name.
const VERIFY: &str = "(verify)";
const MAINTAIN: &str = "(maintain)";
const REPLICATE: &str = "(replicate)";

/// The name of the job that rehearses a source.
pub(super) fn drill(source: &str) -> String {
    format!("{source} (drill)")
}

/// The name under which maintenance of a source is noted.
fn maintain(source: &str) -> String {
    format!("{source} {MAINTAIN}")
}

/// The name under which a replica is noted: its number in the configuration, for its address is nobody else's business.
fn replica(number: usize) -> String {
    format!("{REPLICATE} {number}")
}

/// What a verification found, in one line; `None` if nothing is wrong.
fn damage(verified: &Verified) -> Option<String> {
    (!verified.good).then(|| format!("{} objects are damaged or gone", verified.problems.len()))
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Backup(String),
    Drill(String),
    Verify(Period),
    Maintain { forget: bool },
    Replicate,
}

impl Project {
    /// What has a schedule.
    pub(super) fn works(&self) -> Vec<(Job, Work)> {
        let mut works = Vec::new();
        for source in &self.config().sources {
            if let Some(schedule) = &source.schedule {
                works.push((Job::new(&source.name, schedule.clone()), Work::Backup(source.name.clone())));
            }
            // There is nothing of an account for rehearsals that could be rehearsed.
            if let Some(schedule) = self.drill_config(&source.name).schedule.filter(|_| !source.scratch) {
                works.push((Job::new(drill(&source.name), schedule), Work::Drill(source.name.clone())));
            }
        }
        let chores = &self.config().chores;
        if let Some((schedule, period)) = &chores.verify {
            works.push((Job::new(VERIFY, schedule.clone()), Work::Verify(*period)));
        }
        if let Some((schedule, forget)) = &chores.maintain {
            works.push((Job::new(MAINTAIN, schedule.clone()), Work::Maintain { forget: *forget }));
        }
        if let Some((schedule, _)) = &chores.replicate {
            works.push((Job::new(REPLICATE, schedule.clone()), Work::Replicate));
        }
        works
    }

    /// The jobs of these.
    pub(super) fn jobs(&self) -> Vec<Job> {
        self.works().into_iter().map(|(job, _)| job).collect()
    }

    /// What is known of verifications, of the maintenance of each source, and of copying to each replica.
    pub(super) fn chore_facts(&self) -> Result<Vec<ChoreFacts>> {
        let chores = &self.config().chores;
        let mut found = Vec::new();
        let mut add = |mut facts: ChoreFacts, max_age: Option<Period>| {
            facts.proof = self.proof(&facts.name, max_age)?;
            found.push(facts);
            Ok::<_, Error>(())
        };
        let verify = ChoreFacts::new(VERIFY, Condition::Verification, "verification", "saas-backup verify --read due");
        add(verify, chores.verify.as_ref().map(|(_, period)| *period))?;
        for source in &self.config().sources {
            let command = format!("saas-backup maintain {}", source.name);
            add(ChoreFacts::new(maintain(&source.name), Condition::Failed, "maintenance", command), None)?;
        }
        for number in 1..=self.config().replicas.len() {
            let what = format!("copying to replica {number}");
            let copy = ChoreFacts::new(replica(number), Condition::Replica, what, "saas-backup replicate");
            add(copy, chores.replicate.as_ref().map(|(_, max_age)| *max_age))?;
        }
        Ok(found)
    }

    pub(super) fn proof(&self, job: &str, max_age: Option<Period>) -> Result<ProofFacts> {
        let proofs = self.state.proofs(job)?;
        let mut facts = ProofFacts::default();
        facts.last = proofs.last.map(|last| (last.ended, last.message));
        facts.passed = proofs.passed.map(|passed| passed.ended);
        facts.max_age = max_age;
        Ok(facts)
    }

    /// Remembers how work ended. That the note cannot be written does not make it a failure.
    pub(super) fn note_proof(&self, job: &str, note: &ProofNote) {
        if let Err(error) = self.state.note_proof(job, note) {
            tracing::warn!(job, %error, "how it ended could not be noted on this machine");
        }
    }

    /// Remembers that work passed, or why it did not. That somebody stopped it says nothing.
    fn note_end(&self, job: &str, why: Option<String>) {
        let note = ProofNote { ended: self.clock().now(), passed: why.is_none(), rto: None, message: why };
        self.note_proof(job, &note);
    }

    /// Remembers what came of reading the data.
    pub(super) fn note_verification(&self, verified: &Result<Verified>) {
        let why = match verified {
            Ok(verified) => damage(verified),
            Err(error) if error.kind() == ErrorKind::Cancelled => return,
            Err(error) => Some(error.to_string()),
        };
        self.note_end(VERIFY, why);
    }

    /// Remembers what came of maintaining a source.
    pub(super) fn note_maintenance<T>(&self, source: &str, done: &Result<T>) {
        match done {
            Ok(_) => self.note_end(&maintain(source), None),
            // Another maintainer was faster.
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Conflict) => {}
            Err(error) => self.note_end(&maintain(source), Some(error.to_string())),
        }
    }

    /// Remembers what came of copying to each replica of the configuration, in its order.
    pub(super) fn note_replicas(&self, reports: &[Replicated]) {
        for (report, number) in reports.iter().zip(1..) {
            let why = match (&report.failure, report.problems.len()) {
                (Some(failure), _) => Some(failure.message.clone()),
                (None, problems) => (!report.complete).then(|| format!("{problems} objects could not be copied")),
            };
            self.note_end(&replica(number), why);
        }
    }

    /// Does what a schedule asks for, besides backups.
    pub(super) async fn chore(&self, work: &Work, stop: &CancellationToken) -> RunResult {
        let done = async {
            match work {
                Work::Backup(_) => Ok(None),
                Work::Drill(source) => self.chore_drill(source, stop).await,
                Work::Verify(period) => {
                    let verified = self.verify(VerifyRead::Due(*period), &mut |_, _| {}).await?;
                    Ok(damage(&verified))
                }
                Work::Maintain { forget } => self.chore_maintain(*forget).await,
                Work::Replicate => {
                    let reports = self.replicate(None, false, &mut |_, _, _| {}).await?;
                    let behind = reports.iter().filter(|report| !report.complete).count();
                    Ok((behind > 0).then(|| format!("{behind} of {} replicas do not hold everything", reports.len())))
                }
            }
        };
        let done = tokio::select! {
            biased;
            done = done => done,
            // What was not finished is done the next time.
            () = stop.cancelled() => Err(Error::new(ErrorKind::Cancelled, "stopped")),
        };
        match done {
            Ok(None) => RunResult::new(RunStatus::Complete),
            Ok(Some(why)) => RunResult::new(RunStatus::Failed).with_message(why),
            Err(error) => RunResult::from(&error),
        }
    }

    async fn chore_drill(&self, source: &str, stop: &CancellationToken) -> Result<Option<String>> {
        let request = DrillRequest::new(source).with_point(DrillPoint::Random).with_cancel(stop.clone());
        let drilled = self.drill(request).await?;
        Ok((!drilled.report.passed).then(|| super::drill::why(&drilled.report)))
    }

    /// Maintains every source; one that fails does not keep the others from it.
    async fn chore_maintain(&self, forget: bool) -> Result<Option<String>> {
        let mut failed = Vec::new();
        for source in self.config().sources.iter().filter(|source| !source.scratch) {
            let upkeep = async {
                if forget && self.retention(&source.name).is_ok() {
                    self.forget(&source.name, &ForgetOptions::default()).await?;
                }
                self.maintain(&source.name, &MaintainOptions::default(), &mut |_| {}).await
            };
            if let Err(error) = upkeep.await {
                tracing::error!(source = source.name, %error, "maintenance failed");
                failed.push(source.name.as_str());
            }
        }
        Ok((!failed.is_empty()).then(|| format!("maintenance failed: {}", failed.join(", "))))
    }
}
