//! Random timelines and policies.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use saas_backup_core::RunStatus;

use super::{at, point};
use crate::points::Point;
use crate::retention::RetentionPolicy;

const STATUS: [RunStatus; 5] =
    [RunStatus::Complete, RunStatus::Incomplete, RunStatus::NeedsReview, RunStatus::Failed, RunStatus::Cancelled];
const LABELS: [&str; 5] = ["release", "tested", "legal-hold", "legal-hold: case 7", "legal-holds"];

pub(super) fn now() -> DateTime<Utc> {
    at("2026-11-21T10:20:30Z")
}

fn status() -> impl Strategy<Value = RunStatus> {
    (0..10_usize).prop_map(|number| STATUS.get(number).copied().unwrap_or(RunStatus::Complete))
}

/// Runs of a writer whose clock is sometimes wrong: for one run, or from then on; the last may lie after now.
pub(super) fn timeline(length: Range<usize>) -> impl Strategy<Value = Vec<Point>> {
    let minutes = prop_oneof![
        4 => 1..180_i64,
        4 => 1..5_000_i64,
        2 => 1..60_000_i64,
        1 => -60_000..0_i64,
    ];
    let glitch = prop_oneof![9 => Just(0), 1 => -500_000..2_000_000_i64];
    let label = prop::option::weighted(0.1, prop::sample::select(&LABELS[..]));
    let runs = prop::collection::vec((minutes, glitch, status(), label), length);
    (0..1_000_000_i64, runs).prop_map(|(back, runs)| {
        let mut clock = now() - TimeDelta::minutes(back);
        let mut points = Vec::new();
        for ((minutes, glitch, status, label), number) in runs.into_iter().zip(1..) {
            clock += TimeDelta::minutes(minutes);
            let mut made = point(number * 3, clock + TimeDelta::minutes(glitch), status);
            made.labels.extend(label.map(str::to_owned));
            points.push(made);
        }
        points
    })
}

/// Runs of a writer whose clock is right, the last of them at a time.
pub(super) fn honest(end: DateTime<Utc>) -> impl Strategy<Value = Vec<Point>> {
    let minutes = prop_oneof![4 => 1..180_i64, 4 => 1..5_000_i64, 1 => 1..60_000_i64];
    prop::collection::vec((minutes, status()), 1..60).prop_map(move |runs| {
        let mut clock = end;
        let mut points = Vec::new();
        for ((minutes, status), number) in runs.iter().rev().zip((1..=runs.len() as u64).rev()) {
            points.push(point(number, clock, *status));
            clock -= TimeDelta::minutes(*minutes);
        }
        points.reverse();
        points
    })
}

/// What a thief of a writer's key may add after some points: any time, any end, any label but a legal hold.
pub(super) fn bogus(after: u64, length: Range<usize>) -> impl Strategy<Value = Vec<Point>> {
    let claim = prop_oneof![
        3 => -2_000_000..0_i64,
        2 => -5_000..200_i64,
        1 => 0..2_000_000_i64,
        1 => prop::sample::select(&[-100_000_000_i64, 100_000_000][..]),
    ];
    let label = prop::option::weighted(0.2, prop::sample::select(&LABELS[..2]));
    prop::collection::vec((claim, status(), label), length).prop_map(move |runs| {
        let make = |((minutes, status, label), number): ((i64, RunStatus, Option<&str>), u64)| {
            let mut made = point(number, now() + TimeDelta::minutes(minutes), status);
            made.labels.extend(label.map(str::to_owned));
            made
        };
        runs.into_iter().zip(after + 1..).map(make).collect()
    })
}

pub(super) fn policy() -> impl Strategy<Value = RetentionPolicy> {
    let count = || prop_oneof![2 => Just(0), 1 => 1..6_u32, 1 => 1..100_u32];
    let length = || prop_oneof![4 => Just(0), 1 => 1..10_000_u64, 1 => 1..1_000_000_u64];
    let counts = [count(), count(), count(), count(), count(), count()];
    let lengths = [length(), length(), length(), length(), length(), length()];
    let rest = (any::<bool>(), prop_oneof![Just(0), 0..30_000_u64], 0..4_u32);
    (counts, lengths, rest).prop_map(|(counts, lengths, (labels, min_age, verified))| {
        let [last, hourly, daily, weekly, monthly, yearly] = counts;
        let [within, hours, days, weeks, months, years] = lengths.map(|minutes| Duration::from_secs(minutes * 60));
        let mut policy = RetentionPolicy::default()
            .with_keep_last(last)
            .with_keep_hourly(hourly)
            .with_keep_daily(daily)
            .with_keep_weekly(weekly)
            .with_keep_monthly(monthly)
            .with_keep_yearly(yearly)
            .with_keep_within(within)
            .with_keep_within_hourly(hours)
            .with_keep_within_daily(days)
            .with_keep_within_weekly(weeks)
            .with_keep_within_monthly(months)
            .with_keep_within_yearly(years)
            .with_min_age(Duration::from_secs(min_age * 60))
            .with_keep_verified(verified);
        if labels || policy.check().is_err() {
            policy = policy.with_keep_label("release");
        }
        policy
    })
}

/// Some of the points, and one that is gone.
pub(super) fn verified(points: &[Point], chosen: u64) -> BTreeSet<u64> {
    let numbers = points.iter().map(|point| point.sequence);
    numbers.filter(|number| chosen.rotate_left(*number as u32) & 1 == 1).chain([1_000_000]).collect()
}
