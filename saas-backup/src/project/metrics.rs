use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use saas_backup_core::Result;
use saas_backup_ops::JobStatus;
use saas_backup_ops::alert::Severity;

use super::{Project, chores};

/// Metrics in the text format of Prometheus, version 0.0.4.
#[derive(Default)]
struct Metrics(String);

impl Metrics {
    /// Begins a gauge.
    fn gauge(&mut self, name: &str, help: &str) -> Gauge<'_> {
        let name = format!("saas_backup_{name}");
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
        Gauge { text: &mut self.0, name }
    }
}

struct Gauge<'a> {
    text: &'a mut String,
    name: String,
}

impl Gauge<'_> {
    fn value(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }

    fn time(&mut self, labels: &[(&str, &str)], time: Option<DateTime<Utc>>) {
        if let Some(time) = time {
            self.value(labels, time.timestamp());
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Project {
    /// What this machine knows of its work, in the text format of Prometheus; asks neither the repository nor an account.
    /// `docs/metrics.md` names all of it.
    ///
    /// # Errors
    ///
    /// If what is noted on this machine cannot be read.
    pub fn metrics(&self, jobs: &[JobStatus]) -> Result<String> {
        let mut metrics = Metrics::default();
        self.job_metrics(&mut metrics, jobs);
        self.source_metrics(&mut metrics)?;
        self.chore_metrics(&mut metrics)?;
        let problems = self.problems()?;
        let mut gauge = metrics.gauge("problems", "What is wrong now, by how bad it is.");
        for severity in [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical] {
            let count = problems.iter().filter(|problem| problem.severity == severity).count();
            gauge.value(&[("severity", &severity.to_string())], count);
        }
        let mut gauge = metrics.gauge("problem", "Each thing that is wrong; the value is always 1.");
        for problem in &problems {
            let condition = problem.condition.to_string();
            gauge.value(&[("key", &problem.key), ("condition", &condition)], 1);
        }
        Ok(metrics.0)
    }

    #[expect(clippy::unused_self, reason = "its neighbours look at the project")]
    fn job_metrics(&self, metrics: &mut Metrics, jobs: &[JobStatus]) {
        let mut gauge = metrics.gauge("running", "Whether the job is at work.");
        for job in jobs {
            gauge.value(&[("job", &job.job)], u8::from(job.running.is_some()));
        }
        let mut gauge = metrics.gauge("next_run_timestamp_seconds", "When the job starts next.");
        for job in jobs {
            gauge.time(&[("job", &job.job)], job.next_run());
        }
        let last = || jobs.iter().filter_map(|job| Some((job.job.as_str(), job.last.as_ref()?)));
        let mut gauge = metrics.gauge("last_run_timestamp_seconds", "When its last run ended.");
        for (job, run) in last() {
            gauge.time(&[("job", job)], Some(run.finished));
        }
        let mut gauge = metrics.gauge("last_run_duration_seconds", "How long that took.");
        for (job, run) in last() {
            gauge.value(&[("job", job)], (run.finished - run.started).num_seconds());
        }
        let mut gauge = metrics.gauge("last_run_status", "How it ended; the value is always 1.");
        for (job, run) in last() {
            let status = serde_json::to_value(run.result.status).ok();
            let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or_default();
            gauge.value(&[("job", job), ("status", status)], 1);
        }
    }

    fn source_metrics(&self, metrics: &mut Metrics) -> Result<()> {
        let sources = &self.config().sources;
        let mut runs = Vec::new();
        for source in sources {
            runs.push((
                source.name.as_str(),
                self.state.runs(&source.name)?,
                self.state.proofs(&chores::drill(&source.name))?,
            ));
        }
        let mut gauge = metrics.gauge(
            "last_complete_run_timestamp_seconds",
            "When the last run of the source began that left nothing out.",
        );
        for (source, runs, _) in &runs {
            gauge.time(&[("source", source)], runs.complete.as_ref().map(|run| run.started));
        }
        let mut gauge = metrics.gauge(
            "collection_complete_timestamp_seconds",
            "When the last run began after which nothing of the collection was missing.",
        );
        for (source, runs, _) in &runs {
            for (collection, at) in &runs.collections {
                gauge.time(&[("source", source), ("collection", collection.as_str())], Some(*at));
            }
        }
        let mut gauge = metrics.gauge("rpo_seconds", "How old the newest complete copy may be.");
        for source in sources {
            if let Some(rpo) = source.rpo {
                gauge.value(&[("source", &source.name)], rpo.0.as_secs());
            }
        }
        let mut gauge = metrics.gauge("rto_seconds", "How long a restore may take.");
        for source in sources {
            if let Some(rto) = source.rto {
                gauge.value(&[("source", &source.name)], rto.0.as_secs());
            }
        }
        let mut gauge = metrics.gauge("rto_measured_seconds", "How long the last full drill took that passed.");
        for (source, _, drills) in &runs {
            if let Some(rto) = drills.measured.as_ref().and_then(|drill| drill.rto) {
                gauge.value(&[("source", source)], rto.0.as_secs());
            }
        }
        let mut gauge = metrics.gauge("last_passed_drill_timestamp_seconds", "When the last drill ended that passed.");
        for (source, _, drills) in &runs {
            gauge.time(&[("source", source)], drills.passed.as_ref().map(|drill| drill.ended));
        }
        let mut gauge = metrics
            .gauge("runs_due", "Times that a run of the source was due in the last 30 days, by what became of it.");
        let now = self.clock().now();
        for source in sources {
            let Some(rate) = self.success(source, now)? else { continue };
            for (became, count) in [
                ("complete", rate.complete),
                ("incomplete", rate.incomplete),
                ("needs-review", rate.needs_review),
                ("failed", rate.failed),
                ("missed", rate.missed),
            ] {
                gauge.value(&[("source", &source.name), ("became", became)], count);
            }
        }
        Ok(())
    }

    fn chore_metrics(&self, metrics: &mut Metrics) -> Result<()> {
        let facts = self.chore_facts()?;
        let mut gauge = metrics.gauge(
            "last_passed_timestamp_seconds",
            "When a verification, maintenance or copying to a replica last ended well.",
        );
        for chore in &facts {
            gauge.time(&[("job", &chore.name)], chore.proof.passed);
        }
        Ok(())
    }
}
