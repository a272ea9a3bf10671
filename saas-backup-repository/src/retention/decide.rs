//! The rules.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Period, RunStatus};

use super::interval::RetentionInterval;
use super::plan::{RetentionDecision, RetentionPlan, RetentionReason, RetentionWarning};
use super::policy::RetentionPolicy;
use super::times;
use crate::points::{Point, is_on_hold};

/// Clocks that differ by less than the finest slot are no news.
const TOLERANCE: TimeDelta = TimeDelta::hours(1);

pub(super) fn plan(
    policy: &RetentionPolicy,
    points: &[Point],
    verified: &BTreeSet<u64>,
    now: DateTime<Utc>,
) -> RetentionPlan {
    let mut points = points.to_vec();
    points.sort_by_key(|point| point.sequence);
    let times = times::counted(&points, now);
    let decisions = points.into_iter().zip(times);
    let mut decisions: Vec<RetentionDecision> =
        decisions.map(|(point, time)| RetentionDecision { point, time, kept: Vec::new() }).collect();
    keep_labelled(policy, &mut decisions);
    for interval in RetentionInterval::ALL {
        keep_slots(policy, interval, &mut decisions);
    }
    keep_by_age(policy, now, &mut decisions);
    keep_verified(policy, verified, now, &mut decisions);
    keep_newest(policy, &mut decisions);
    let warnings = warnings(policy, &decisions);
    RetentionPlan { now, decisions, warnings }
}

fn keep_labelled(policy: &RetentionPolicy, decisions: &mut [RetentionDecision]) {
    for RetentionDecision { point, kept, .. } in decisions {
        if is_on_hold(&point.labels) {
            kept.push(RetentionReason::LegalHold);
        }
        let labels: BTreeSet<&String> = point.labels.iter().collect();
        let labels = labels.into_iter().filter(|label| policy.keep_labels.contains(*label));
        kept.extend(labels.map(|label| RetentionReason::Label { label: label.clone() }));
    }
}

fn keep_slots(policy: &RetentionPolicy, interval: RetentionInterval, decisions: &mut [RetentionDecision]) {
    let (count, period) = (policy.count(interval), policy.within(interval));
    if count == 0 && period.is_zero() {
        return;
    }
    let slots: BTreeSet<i64> = decisions.iter().map(|decision| interval.slot(decision.time)).collect();
    let counted: BTreeSet<i64> = slots.into_iter().rev().take(count as usize).collect();
    let oldest = oldest_within(decisions, period).map(|time| interval.slot(time));
    // Points whose clock was behind count with one time, and still stand for the slots that they claim: else a single
    // clock that was ahead would leave nothing of all that follows until its time has come.
    let mut best: HashMap<(i64, i64), RunStatus> = HashMap::new();
    for RetentionDecision { point, time, kept } in decisions {
        let slot = interval.slot(*time);
        match best.entry((slot, interval.slot(point.finished))) {
            Entry::Occupied(best) if point.status >= *best.get() => continue,
            entry => entry.insert_entry(point.status),
        };
        if counted.contains(&slot) {
            kept.push(RetentionReason::Slot { interval, slot: interval.name(*time) });
        }
        if !period.is_zero() && oldest.is_none_or(|oldest| slot >= oldest) {
            kept.push(RetentionReason::SlotWithin { interval, slot: interval.name(*time), period });
        }
    }
}

fn keep_by_age(policy: &RetentionPolicy, now: DateTime<Utc>, decisions: &mut [RetentionDecision]) {
    let newest = newest(decisions);
    for RetentionDecision { time, kept, .. } in decisions {
        if is_younger(*time, newest, policy.keep_within) {
            kept.push(RetentionReason::Within { period: policy.keep_within });
        }
        if is_younger(*time, Some(now), policy.min_age) {
            kept.push(RetentionReason::MinAge { period: policy.min_age });
        }
    }
}

/// Who can write can add points, and a verification finds nothing wrong with them. So points that are young anyway take
/// nobody's place, and all points of a day take one.
fn keep_verified(
    policy: &RetentionPolicy,
    verified: &BTreeSet<u64>,
    now: DateTime<Utc>,
    decisions: &mut [RetentionDecision],
) {
    let mut days: BTreeMap<i64, usize> = BTreeMap::new();
    for (place, RetentionDecision { point, time, .. }) in decisions.iter().enumerate() {
        if verified.contains(&point.sequence) && !is_younger(*time, Some(now), policy.min_age) {
            days.entry(RetentionInterval::Daily.slot(*time)).or_insert(place);
        }
    }
    for (place, rank) in days.into_values().rev().zip(1..=u64::from(policy.keep_verified)) {
        if let Some(decision) = decisions.get_mut(place) {
            decision.kept.push(RetentionReason::Verified { rank });
        }
    }
}

fn keep_newest(policy: &RetentionPolicy, decisions: &mut [RetentionDecision]) {
    let mut best: Option<RunStatus> = None;
    for (RetentionDecision { point, kept, .. }, place) in decisions.iter_mut().rev().zip(1..) {
        if place <= u64::from(policy.keep_last) {
            kept.push(RetentionReason::Last { rank: place });
        }
        if best.is_none_or(|best| point.status < best) {
            best = Some(point.status);
            kept.push(RetentionReason::Newest { status: point.status });
        }
    }
}

fn newest(decisions: &[RetentionDecision]) -> Option<DateTime<Utc>> {
    decisions.iter().map(|decision| decision.time).max()
}

/// Where a length of time begins that ends at the newest point; `None` for before all.
fn oldest_within(decisions: &[RetentionDecision], length: Period) -> Option<DateTime<Utc>> {
    newest(decisions)?.checked_sub_signed(TimeDelta::from_std(length.0).ok()?)
}

/// Whether a time is less than a length before an end.
fn is_younger(time: DateTime<Utc>, end: Option<DateTime<Utc>>, length: Period) -> bool {
    end.is_some_and(|end| (end - time).to_std().is_ok_and(|age| age < length.0))
}

fn warnings(policy: &RetentionPolicy, decisions: &[RetentionDecision]) -> Vec<RetentionWarning> {
    let off = |is_off: fn(&RetentionDecision) -> bool| {
        let mut off = decisions.iter().filter(|decision| is_off(decision)).map(|decision| decision.point.sequence);
        let first = off.next()?;
        Some((1 + off.count() as u64, first))
    };
    let ahead = off(|decision| decision.point.finished.signed_duration_since(decision.time) > TOLERANCE);
    let behind = off(|decision| decision.time.signed_duration_since(decision.point.finished) > TOLERANCE);
    let number_only = policy.keep_last > 0 && !policy.keeps_by_time();
    let ahead = ahead.map(|(points, first)| RetentionWarning::Ahead { points, first });
    let behind = behind.map(|(points, first)| RetentionWarning::Behind { points, first });
    ahead.into_iter().chain(behind).chain(number_only.then_some(RetentionWarning::NumberOnly)).collect()
}
