use std::fmt::Write as _;

use saas_backup::Stats;
use saas_backup::core::Result;
use saas_backup::repository::{SourceStats, StoredBytes, StoredKind};

use super::{Session, named_or_all};
use crate::args::SourcesArgs;
use crate::exit::Outcome;
use crate::failure;
use crate::output::{bytes, number, table, time, word};

pub(super) async fn stats(session: &Session, args: &SourcesArgs) -> Result<Outcome> {
    let project = session.project()?;
    let mut worst = Outcome::Done;
    for source in named_or_all(&project, &args.sources)? {
        match project.stats(&source).await {
            Ok(stats) => session.output.result(&stats, describe)?,
            Err(error) => {
                let error = error.with_context("source", &source);
                failure::report(session.output, "stats", &error);
                worst = worst.max(failure::outcome("stats", &error));
            }
        }
    }
    Ok(worst)
}

fn describe(Stats { source, stats, .. }: &Stats) -> String {
    let SourceStats { points, first, last, records, given_up, given_up_bytes, due, .. } = stats;
    let mut text = format!("{source}: {points} points");
    if let (Some(first), Some(last)) = (first, last) {
        let _ = write!(text, ", {} to {}", time(*first), time(*last));
    }
    let _ = writeln!(text, ", {} records", number(*records));
    let rows: Vec<Vec<String>> = stats.kinds.iter().map(|(kind, bytes)| row(*kind, *bytes)).collect();
    text.push_str(&table(&["KIND", "OBJECTS", "STORED", "RAW"], &rows));
    let _ = writeln!(
        text,
        "{} objects, {}, {} keys; {} a day",
        stats.objects,
        bytes(stats.stored),
        stats.domains,
        bytes(stats.growth_per_day)
    );
    if let Some(percent) = stats.history_percent {
        let _ = writeln!(text, "history: {percent} % of what is merged");
    }
    let when = |at: Option<_>| at.map_or_else(|| "never".to_owned(), time);
    let _ = writeln!(text, "verified: {}; {} points count as verified", when(stats.verified), stats.verified_points);
    let _ = write!(text, "maintained: {}", when(stats.maintained));
    match (due.due, due.base) {
        (false, _) => text.push_str("; nothing to merge yet"),
        (true, true) => text.push_str("; `maintain` would merge everything into a new base"),
        (true, false) => drop(write!(text, "; `maintain` would merge {} small commits", due.commits)),
    }
    if *given_up > 0 {
        let _ = write!(text, "; {given_up} objects are given up ({})", bytes(*given_up_bytes));
    }
    text.push('\n');
    text
}

fn row(kind: StoredKind, StoredBytes { objects, stored, raw, .. }: StoredBytes) -> Vec<String> {
    vec![word(&kind), objects.to_string(), bytes(stored), raw.map_or_else(|| "-".to_owned(), bytes)]
}
