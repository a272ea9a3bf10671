use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::{Error, ErrorKind, Progress, Result};
use saas_backup::ops::drill::{DifferenceKind, DrillReport, DrillScope};
use saas_backup::{DrillPoint, DrillRequest, Drilled, Project};
use serde_json::json;

use super::{Session, named_or_all};
use crate::args::DrillArgs;
use crate::exit::Outcome;
use crate::failure;
use crate::output::{bytes, short, table, time, word};
use crate::progress::Console;
use crate::signals;

/// Drills that are listed, of each source.
const KEPT: usize = 1000;

/// Most differences that are listed for a person.
const LISTED: usize = 10;

pub(super) async fn drill(session: &Session, args: &DrillArgs) -> Result<Outcome> {
    let project = session.project()?;
    let sources = named_or_all(&project, &args.sources)?;
    if args.list {
        return list(session, &project, &sources).await;
    }
    if sources.len() > 1 && (args.to.is_some() || !args.collections.is_empty()) {
        return Err(Error::new(ErrorKind::Configuration, "--to and --collection go with one source"));
    }
    let stop = signals::stop_token(session.output, "what was restored is removed");
    let mut outcome = Outcome::Done;
    for source in sources {
        let is_scratch = project.config().sources.iter().any(|one| one.name == source && one.scratch);
        if args.sources.is_empty() && is_scratch {
            continue;
        }
        let console = Console::start(session.output, &source);
        let progress: Arc<dyn Progress> = console.clone();
        let request = request(args, &source).with_progress(progress).with_cancel(stop.clone());
        let result = project.drill(request).await;
        console.end();
        match result {
            Ok(drilled) => {
                outcome = outcome.max(ended(args, &drilled.report));
                if session.output.json {
                    session.output.object(&drilled)?;
                } else {
                    session.output.text(&describe(&drilled, args.dry_run))?;
                }
            }
            Err(error) if args.sources.len() == 1 || error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => {
                let error = error.with_context("source", &source);
                failure::report(session.output, "drill", &error);
                outcome = outcome.max(failure::outcome("drill", &error));
            }
        }
    }
    Ok(outcome)
}

async fn list(session: &Session, project: &Project, sources: &[String]) -> Result<Outcome> {
    let mut rows = Vec::new();
    for source in sources {
        for drill in project.drills(source, KEPT).await? {
            if session.output.json {
                let mut object = serde_json::to_value(&drill)?;
                if let Some(members) = object.as_object_mut() {
                    members.insert("source".to_owned(), json!(source));
                    members.insert("at".to_owned(), json!(drill.at));
                }
                session.output.object(&object)?;
            } else {
                rows.push(vec![
                    source.clone(),
                    time(drill.ended),
                    drill.point.to_string(),
                    if drill.full { "everything" } else { "a sample" }.to_owned(),
                    drill.into.clone(),
                    if drill.passed { "passed" } else { "FAILED" }.to_owned(),
                    drill.records.to_string(),
                    drill.wrong.to_string(),
                    took(drill.restore_ms),
                ]);
            }
        }
    }
    if !session.output.json {
        let header = ["SOURCE", "ENDED", "POINT", "RESTORED", "INTO", "RESULT", "RECORDS", "WRONG", "TOOK"];
        session.output.text(&table(&header, &rows))?;
    }
    Ok(Outcome::Done)
}

fn request(args: &DrillArgs, source: &str) -> DrillRequest {
    let point = if args.random { DrillPoint::Random } else { DrillPoint::At(args.point.at.clone()) };
    let mut request = DrillRequest::new(source).with_point(point).with_dry_run(args.dry_run);
    request.seed = args.seed;
    request.into.clone_from(&args.into);
    request.to.clone_from(&args.to);
    if args.full {
        request = request.with_sample(None);
    } else if let Some(records) = args.sample {
        request = request.with_sample(Some(records.get()));
    }
    if !args.collections.is_empty() {
        request = request.with_collections(args.collections.clone());
    }
    request
}

fn ended(args: &DrillArgs, report: &DrillReport) -> Outcome {
    match report.restored {
        _ if report.passed => Outcome::Done,
        Some(status) if args.dry_run => Outcome::of_status(status),
        _ => Outcome::Integrity,
    }
}

fn describe(drilled: &Drilled, dry_run: bool) -> String {
    let Drilled { source, report, .. } = drilled;
    let verdict = match (dry_run, report.passed) {
        (true, _) => "dry run",
        (false, true) => "PASSED",
        (false, false) => "FAILED",
    };
    let much = match report.scope {
        DrillScope::Full => "everything".to_owned(),
        DrillScope::Sample { records, .. } => format!("a sample of {records} records, seed {}", drilled.seed),
        _ => "a part".to_owned(),
    };
    let mut text = format!(
        "{source}: {verdict}: {much} of point {} ({}) restored into {}\n",
        drilled.point,
        time(drilled.point_at),
        drilled.into
    );
    let phases = report.phases;
    let _ = write!(text, "  opened in {}", took(phases.open_ms));
    if report.scope != DrillScope::Full {
        let _ = write!(text, ", chosen in {}", took(phases.choose_ms));
    }
    let _ = write!(text, ", restored in {}", took(phases.restore_ms));
    if let Some(first) = phases.first_record_ms {
        let _ = write!(text, " (the first record after {})", took(first));
    }
    let _ = writeln!(text, ", compared in {}", took(phases.compare_ms));
    let _ = writeln!(
        text,
        "  {} records and {} attachments ({}) compared, {} wrong",
        report.records,
        report.blobs,
        bytes(report.bytes),
        report.wrong()
    );
    if let Some(percent) = report.fidelity_percent() {
        let (equal, all) = report.fields();
        let _ = writeln!(text, "  {equal} of {all} fields are as they were ({percent} %)");
    }
    if report.refused > 0 {
        let _ = writeln!(text, "  {} records were refused by the target", report.refused);
    }
    for (collection, reasons) in &report.losses {
        for (reason, count) in reasons {
            let _ = writeln!(text, "  lost: {collection}: {} ({count} records)", short(reason, 200));
        }
    }
    for problem in &report.problems {
        let _ = writeln!(text, "  problem: {}", short(problem, 300));
    }
    for difference in report.differences.iter().take(LISTED) {
        let what = match difference.kind {
            DifferenceKind::Missing => "did not come back".to_owned(),
            DifferenceKind::Record => "came back otherwise".to_owned(),
            DifferenceKind::Attachments => "came back with other attachments".to_owned(),
            DifferenceKind::Unexpected => "was not asked for".to_owned(),
            other => word(&other),
        };
        let _ =
            writeln!(text, "  wrong: {}/{}: {what}", difference.key.collection, short(difference.key.id.as_str(), 80));
    }
    if report.differences.len() > LISTED {
        let _ = writeln!(text, "  and more; --json lists a hundred");
    }
    match (drilled.rto_measured, drilled.rto) {
        (Some(measured), Some(rto)) => {
            let met = if measured <= rto { "met" } else { "MISSED" };
            let _ = writeln!(text, "  RTO: {measured} measured, the objective is {rto}: {met}");
        }
        (Some(measured), None) => {
            let _ = writeln!(text, "  RTO: {measured} measured");
        }
        (None, _) => {}
    }
    if drilled.kept {
        let _ = writeln!(text, "  the result is signed and kept in the repository");
    }
    text
}

fn took(millis: u64) -> String {
    format!("{:.1} s", Duration::from_millis(millis).as_secs_f64())
}
