//! What a transfer did, for people and for programs.

use std::fmt::Write as _;

use saas_backup::core::{RunReport, RunStatus, Transferred};
use serde_json::json;

use crate::output::{bytes, short};

/// Most gaps and losses that are listed for a person; JSON has them all.
const LISTED: usize = 10;

/// The object for programs.
pub(crate) fn object(what: &str, name: &str, done: &Transferred) -> serde_json::Value {
    let Transferred { report, receipt, .. } = done;
    json!({
        what: name,
        "run": report.run,
        "status": report.status,
        "started": report.started,
        "finished": report.finished,
        "totals": report.totals(),
        "sequence": receipt.as_ref().and_then(|receipt| receipt.sequence),
        "written": receipt.as_ref().is_some_and(|receipt| receipt.written),
        "bytes_added": receipt.as_ref().map_or(0, |receipt| receipt.bytes_added),
        "report": report,
    })
}

/// The lines for people.
pub(crate) fn text(name: &str, done: &Transferred) -> String {
    let Transferred { report, receipt, .. } = done;
    let totals = report.totals();
    let mut text = format!("{name}: {}", headline(report.status));
    let _ = write!(text, ". {} written", totals.written);
    for (count, what) in [
        (totals.unchanged, "unchanged"),
        (totals.deleted, "deleted"),
        (totals.skipped, "left alone"),
        (totals.rejected, "refused"),
        (totals.blobs, "attachments"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if let Some(receipt) = receipt {
        if receipt.written && receipt.bytes_added > 0 {
            let _ = write!(text, ", {} added", bytes(receipt.bytes_added));
        }
        if let Some(sequence) = receipt.sequence {
            let _ = write!(text, ". Point {sequence}");
        }
    }
    text.push('\n');
    problems(&mut text, report);
    text
}

fn headline(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Complete => "complete",
        RunStatus::Incomplete => "INCOMPLETE",
        RunStatus::NeedsReview => "NEEDS REVIEW",
        RunStatus::Cancelled => "stopped; the next run goes on from here",
        _ => "FAILED",
    }
}

/// What is missing, refused, lost or waits for a decision.
fn problems(text: &mut String, report: &RunReport) {
    for (feed, one) in &report.feeds {
        if let Some(problem) = &one.problem {
            let _ = writeln!(text, "  failed: {feed}: {}{}", problem.title, detail(problem.detail.as_ref()));
        }
    }
    for review in &report.reviews {
        let candidates = &review.candidates;
        let _ = writeln!(
            text,
            "  stopped: {}: {} of {} records would be deleted: {}\n    if that is meant: saas-backup backup --accept-deletions",
            review.feed, candidates.count, candidates.live, review.reason
        );
        for key in candidates.sample.iter().take(3) {
            let _ = writeln!(text, "    {}", short(&key.to_string(), 100));
        }
    }
    for open in report.gaps.iter().take(LISTED) {
        let gap = &open.gap;
        let place =
            [gap.id.as_ref().map(ToString::to_string), gap.blob.as_ref().map(|blob| format!("attachment {blob}"))];
        let place: Vec<String> = place.into_iter().flatten().collect();
        let _ = writeln!(
            text,
            "  missing: {} {}: {}",
            gap.collection,
            short(&place.join(" "), 100),
            short(&gap.problem.title, 200)
        );
    }
    more(text, report.gaps.len());
    for refusal in report.refused.iter().take(LISTED) {
        let what = if refusal.rejected { "refused" } else { "left alone" };
        let key = short(&refusal.key.to_string(), 100);
        let _ = writeln!(text, "  {what}: {key}: {}", short(&refusal.problem.title, 200));
    }
    more(text, report.refused.len());
    for (collection, reasons) in &report.losses {
        for (reason, count) in reasons {
            let _ = writeln!(text, "  lost: {collection}: {} ({count} records)", short(reason, 200));
        }
    }
}

fn more(text: &mut String, count: usize) {
    if count > LISTED {
        let _ = writeln!(text, "  and {} more; --json lists all", count - LISTED);
    }
}

fn detail(detail: Option<&String>) -> String {
    detail.map_or(String::new(), |detail| format!(" ({})", short(detail, 200)))
}
