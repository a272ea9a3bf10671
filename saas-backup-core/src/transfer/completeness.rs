use std::collections::BTreeMap;

use super::Shared;
use super::stand_in::is_stand_in;
use crate::{
    CollectionCompleteness, CollectionName, Completeness, Coverage, FeedStatus, OpenGap, Review, RunReport, RunStatus,
    State, Visibility,
};

/// Reasons that a report lists for one collection.
const MAX_REASONS: usize = 20;

/// Completes the report of a run: what exists, is visible, is held, is missing and why.
pub(super) fn complete(shared: &Shared, coverage: Coverage, state: &State) -> RunReport {
    let tally = shared.tally.lock();
    let mut report = tally.report.clone();
    report.finished = shared.options.clock.now();
    // What nobody looked at again still waits, unless its feed is forgotten: then a run that died had judged it.
    let waits = |review: &&Review| !tally.judged.contains(&review.feed) && state.feeds.contains_key(&review.feed);
    let waiting = shared.state.reviews.iter().filter(waits);
    report.reviews.extend(waiting.cloned());
    report.gaps = if shared.mirrors() {
        state.gaps.clone()
    } else {
        tally.gaps.iter().map(|(feed, gap)| OpenGap::new(feed.clone(), gap.clone(), shared.run)).collect()
    };

    let mut collections = BTreeMap::new();
    for name in shared.catalog.names() {
        let mut collection = about(shared, name, &coverage, state, &report);
        if tally.failed.contains(name) {
            collection.complete = false;
            collection.reasons.push("a feed of it could not be read to its end".to_owned());
        } else if tally.cancelled {
            collection.complete = false;
            collection.reasons.push("the run was cancelled".to_owned());
        }
        collection.reasons.truncate(MAX_REASONS);
        collections.insert(name.clone(), collection);
    }
    report.completeness = Completeness { collections };

    // A coverage that the guard did not believe is not the one to compare with the next time.
    let mut believed = coverage;
    for name in report.reviews.iter().flat_map(|review| &review.candidates.scope.collections) {
        if let Some(before) = shared.state.coverage.as_ref().and_then(|before| before.collections.get(name)) {
            believed.collections.insert(name.clone(), before.clone());
        }
    }
    report.coverage = believed;
    report.status = status(&report, tally.cancelled);
    report
}

fn about(
    shared: &Shared,
    name: &CollectionName,
    coverage: &Coverage,
    state: &State,
    report: &RunReport,
) -> CollectionCompleteness {
    let covered = coverage.collections.get(name);
    let held = state.held.get(name);
    let counts = report.collections.get(name).copied().unwrap_or_default();
    let gaps: Vec<&OpenGap> = report.gaps.iter().filter(|open| &open.gap.collection == name).collect();
    let missing_blobs = gaps.iter().filter(|open| open.gap.blob.is_some()).count() as u64;
    let mut missing_records =
        gaps.iter().filter(|open| open.gap.blob.is_none() && open.gap.id.is_some()).count() as u64;
    let mut complete = gaps.is_empty();
    let mut reasons: Vec<String> = Vec::new();
    for open in &gaps {
        let reason = &open.gap.problem.title;
        if !reasons.contains(reason) {
            reasons.push(reason.clone());
        }
    }
    if counts.rejected > 0 {
        complete = false;
        reasons.push(format!("the target refused {} records", counts.rejected));
    }
    for review in report.reviews.iter().filter(|review| review.candidates.scope.collections.contains(name)) {
        complete = false;
        reasons.push(format!("{}: {} records wait for a review", review.reason, review.candidates.count));
    }
    let whole = shared.mirrors() && shared.options.records.is_none();
    let exact = covered.filter(|covered| covered.count_exact).and_then(|covered| covered.count);
    if let (true, Some(exists), Some(records)) = (whole, exact, held.and_then(|held| held.records)) {
        let explained = records + missing_records + counts.deleted;
        if exists > explained {
            complete = false;
            missing_records += exists - explained;
            reasons.push(format!("the provider counts {exists} records, {records} are held"));
        }
    }
    if let Some(reason) = covered.and_then(|covered| covered.reason.as_ref()) {
        reasons.push(format!("not visible: {reason}"));
    }
    let swept = state.feeds.values().filter(|state| {
        let feed = &state.feed;
        feed.covers.contains(name) && !feed.is_log() && !is_stand_in(feed)
    });
    let deletions_as_of = if shared.source.reports_deletions {
        complete.then_some(report.started)
    } else {
        swept.map(|feed| feed.full_at).min().flatten()
    };
    CollectionCompleteness {
        visible: covered.map_or(Visibility::Partial, |covered| covered.visible),
        exists: covered.and_then(|covered| covered.count),
        hidden: covered.and_then(|covered| covered.hidden),
        held: held.and_then(|held| held.records),
        blobs: held.map(|held| held.blobs),
        blob_bytes: held.map(|held| held.blob_bytes),
        missing_records,
        missing_blobs,
        complete,
        deletions_as_of,
        reasons,
    }
}

fn status(report: &RunReport, cancelled: bool) -> RunStatus {
    let failed = report.feeds.values().filter(|feed| feed.status == FeedStatus::Failed).count();
    if cancelled {
        RunStatus::Cancelled
    } else if failed > 0 && failed == report.feeds.len() {
        RunStatus::Failed
    } else if !report.reviews.is_empty() {
        RunStatus::NeedsReview
    } else if failed > 0 || !report.gaps.is_empty() || !report.completeness.is_complete() {
        RunStatus::Incomplete
    } else {
        RunStatus::Complete
    }
}
