use saas_backup::SourceStatus;
use saas_backup::core::{CollectionName, Result};
use saas_backup::ops::JobStatus;
use std::fmt::Write as _;

use super::Session;
use crate::exit::Outcome;
use crate::output::{coarse, short, table, time, word};

/// Collections that are named, of each source.
const NAMED: usize = 10;

pub(super) async fn status(session: &Session) -> Result<Outcome> {
    let project = session.project()?;
    let statuses = project.status().await?;
    if session.output.json {
        for status in &statuses {
            session.output.object(status)?;
        }
    } else {
        session.output.text(&describe(&statuses))?;
    }
    Ok(Outcome::Done)
}

fn describe(statuses: &[SourceStatus]) -> String {
    let rows: Vec<Vec<String>> = statuses.iter().map(row).collect();
    let header =
        ["SOURCE", "LAST RUN", "ENDED", "COMPLETE AS OF", "RPO", "RTO", "SUCCESS", "MISSING", "REVIEW", "NEXT RUN"];
    let mut text = table(&header, &rows);
    for status in statuses {
        if let Some(owner) = &status.owner {
            let _ = writeln!(text, "{}: {owner} answers for it", status.source);
        }
        let why = status.runs.last.as_ref().and_then(|run| run.message.as_ref());
        if let Some(why) = why {
            let _ = writeln!(text, "{}: {}", status.source, short(why, 300));
        }
        let late = status.collections.iter().filter(|(_, collection)| collection.rpo_met == Some(false));
        let late: Vec<String> =
            late.map(|(name, collection)| format!("{name} ({})", coarse(collection.age))).take(NAMED).collect();
        if !late.is_empty() {
            let _ = writeln!(
                text,
                "{}: too old: {}; run `saas-backup backup {}`",
                status.source,
                late.join(", "),
                status.source
            );
        }
        if let Some(hidden) = &status.runs.hidden {
            let names: Vec<&str> = hidden.collections.iter().map(CollectionName::as_str).take(NAMED).collect();
            let _ = writeln!(
                text,
                "{}: since {} less is visible of {}; look at `saas-backup check {}`, and if that is meant, \
                 `saas-backup backup {} --accept-coverage`",
                status.source,
                time(hidden.since),
                names.join(", "),
                status.source,
                status.source
            );
        }
        if let Some(drill) = status.drill.as_ref().filter(|drill| !drill.passed || drill.stale) {
            let what = match &drill.message {
                Some(why) if !drill.passed => format!("the drill of {} failed: {}", time(drill.ended), short(why, 300)),
                _ => "no restore was rehearsed for too long".to_owned(),
            };
            let _ = writeln!(text, "{}: {what}; run `saas-backup drill {}`", status.source, status.source);
        }
        if status.reviews > 0 {
            let _ = writeln!(
                text,
                "{}: the deletion guard stopped a run; look at `saas-backup completeness {}`, then \
                 `saas-backup backup {} --accept-deletions` if the deletions are meant",
                status.source, status.source, status.source
            );
        }
    }
    text
}

fn row(status: &SourceStatus) -> Vec<String> {
    let dash = || "-".to_owned();
    let last = status.runs.last.as_ref();
    let rpo = match (status.rpo, status.rpo_met) {
        (Some(rpo), Some(true)) => format!("{rpo} met"),
        (Some(rpo), _) => format!("{rpo} MISSED"),
        (None, _) => dash(),
    };
    let age = status.age.map_or(String::new(), |age| format!(" ({} ago)", coarse(age)));
    vec![
        status.source.clone(),
        last.map_or_else(dash, |run| word(&run.status)),
        last.map_or_else(dash, |run| time(run.finished)),
        status.complete_as_of.map_or_else(dash, |at| format!("{}{age}", time(at))),
        rpo,
        rto(status),
        success(status),
        status.open_gaps.to_string(),
        status.reviews.to_string(),
        status.schedule.as_ref().and_then(JobStatus::next_run).map_or_else(dash, time),
    ]
}

/// Of the runs that were due, the share that left nothing out.
fn success(status: &SourceStatus) -> String {
    let share = status.success.and_then(|success| success.per_ten_thousand());
    share.map_or_else(|| "-".to_owned(), |share| format!("{}.{:02} %", share / 100, share % 100))
}

/// The measured time against the objective.
fn rto(status: &SourceStatus) -> String {
    match (status.rto, status.rto_measured, status.rto_met) {
        (None, None, _) => "-".to_owned(),
        (None, Some(measured), _) => format!("{measured} measured"),
        (Some(rto), None, _) => format!("{rto}, not measured"),
        (Some(rto), Some(measured), Some(true)) => format!("{rto} met ({measured})"),
        (Some(rto), Some(measured), _) if measured <= rto => format!("{rto}, measured too long ago"),
        (Some(rto), Some(measured), _) => format!("{rto} MISSED ({measured})"),
    }
}
