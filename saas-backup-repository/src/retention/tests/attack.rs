//! Who can write can add points, and must not push out those that are there.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use saas_backup_core::RunStatus;

use super::oracle::{Oracle, Part};
use super::timeline::{bogus, honest, now, policy, timeline, verified};
use super::{at, kept, point};
use crate::points::Point;
use crate::retention::{RetentionPlan, RetentionPolicy, RetentionReason};

/// The reasons of the first points, but for those that speak of the newest.
fn reasons(plan: &RetentionPlan, points: usize) -> Vec<Vec<&RetentionReason>> {
    let lasting =
        |reason: &&RetentionReason| !matches!(reason, RetentionReason::Last { .. } | RetentionReason::Newest { .. });
    plan.decisions.iter().take(points).map(|decision| decision.kept.iter().filter(lasting).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn bogus_points_push_out_nothing_that_the_clock_keeps(
        policy in policy(),
        points in timeline(1..60),
        bogus in bogus(10_000, 1..60),
        chosen in any::<u64>(),
    ) {
        let (verified, now) = (verified(&points, chosen), now());
        let protected = Oracle::new(&policy, &points, &verified, now).kept(Part::Protected);
        let all = [points, bogus].concat();
        let kept: BTreeSet<u64> = kept(&policy.plan(&all, &verified, now).unwrap()).into_iter().collect();
        for sequence in protected {
            prop_assert!(kept.contains(&sequence), "{} was pushed out", sequence);
        }
    }

    #[test]
    fn bogus_points_change_no_reason_while_backups_run(
        policy in policy(),
        points in honest(now()),
        bogus in bogus(10_000, 1..60),
        chosen in any::<u64>(),
    ) {
        let (verified, now) = (verified(&points, chosen), now());
        let alone = policy.plan(&points, &verified, now).unwrap();
        let all = policy.plan(&[points.clone(), bogus].concat(), &verified, now).unwrap();
        prop_assert_eq!(reasons(&all, points.len()), reasons(&alone, points.len()));
    }

    /// A verification finds nothing wrong with them.
    #[test]
    fn bogus_points_that_are_verified_take_no_place_while_they_are_young(
        policy in policy(),
        points in honest(now()),
        bogus in bogus(10_000, 1..60),
        chosen in any::<u64>(),
    ) {
        let policy = policy.clone().with_min_age(policy.min_age.0.max(Duration::from_secs(1)));
        let all = [points.clone(), bogus].concat();
        let (verified, now) = (verified(&all, chosen), now());
        let alone = policy.plan(&points, &verified, now).unwrap();
        let all = policy.plan(&all, &verified, now).unwrap();
        prop_assert_eq!(reasons(&all, points.len()), reasons(&alone, points.len()));
    }

    #[test]
    fn forgetting_often_forgets_what_forgetting_once_forgets(
        policy in policy(),
        points in honest(now()),
        days in 0..400_i64,
        cut in any::<prop::sample::Index>(),
        chosen in any::<u64>(),
    ) {
        let verified = verified(&points, chosen);
        let (old, new) = points.split_at(cut.index(points.len()));
        let early = old.last().map_or(now(), |point| point.finished);
        let survivors = policy.plan(old, &verified, early).unwrap();
        let mut survivors: Vec<Point> = survivors.kept().map(|decision| decision.point.clone()).collect();
        survivors.extend_from_slice(new);
        let late = now() + TimeDelta::days(days);
        let (twice, once) = (policy.plan(&survivors, &verified, late), policy.plan(&points, &verified, late));
        prop_assert_eq!(kept(&twice.unwrap()), kept(&once.unwrap()));
    }
}

#[test]
fn ten_thousand_bogus_points_change_no_reason() {
    let mut points: Vec<Point> = (1..=2_000).map(|number| point(number, now(), RunStatus::Complete)).collect();
    for (point, back) in points.iter_mut().rev().zip(0..) {
        point.finished -= TimeDelta::hours(back * 6);
    }
    points.iter_mut().step_by(7).for_each(|point| point.status = RunStatus::Incomplete);
    let claim = |number: i64| now() + TimeDelta::minutes(number * 7_919 % 4_000_000 - 3_000_000);
    let status = |number: i64| if number % 3 == 0 { RunStatus::Failed } else { RunStatus::Complete };
    let bogus = (2_001..).zip(1..=10_000).map(|(sequence, number)| point(sequence, claim(number), status(number)));
    let all: Vec<Point> = points.iter().cloned().chain(bogus).collect();
    let policy = RetentionPolicy::default()
        .with_keep_hourly(168)
        .with_keep_daily(30)
        .with_keep_weekly(20)
        .with_keep_monthly(60)
        .with_keep_yearly(10)
        .with_keep_within(Duration::from_hours(24 * 20))
        .with_keep_within_daily(Duration::from_hours(24 * 40))
        .with_keep_verified(3);
    let verified = BTreeSet::from([5, 100, 101, 700]);
    let alone = policy.plan(&points, &verified, now()).unwrap();
    assert!(alone.forgotten().count() > 1_000);
    let all = policy.plan(&all, &verified, now()).unwrap();
    assert_eq!(reasons(&all, points.len()), reasons(&alone, points.len()));
}

/// Nor do thousands of them take more places than days passed since somebody might have noticed them.
#[test]
fn verified_bogus_points_of_a_day_take_one_place() {
    let policy = RetentionPolicy::default().with_keep_label("none").with_keep_verified(3);
    let points = days(1, "2026-10-01T12:00:00Z", 10);
    let bogus: Vec<Point> =
        (11..=10_010).map(|sequence| point(sequence, at("2026-10-11T12:00:00Z"), RunStatus::Complete)).collect();
    let all = [points, bogus].concat();
    let verified: BTreeSet<u64> = (1..=10_010).collect();
    let kept_at = |now| kept(&policy.plan(&all, &verified, at(now)).unwrap());
    assert!(kept_at("2026-10-18T11:00:00Z").starts_with(&[8, 9, 10]));
    assert_eq!(kept_at("2026-10-18T13:00:00Z"), [9, 10, 11, 10_010]);
}

fn days(first: u64, from: &str, number: i64) -> Vec<Point> {
    let make = |(sequence, day)| point(sequence, at(from) + TimeDelta::days(day), RunStatus::Complete);
    (first..).zip(0..number).map(make).collect()
}

/// What a count keeps of the slots before the pause gives way, slot by slot; what the clock keeps stays.
#[test]
fn in_a_pause_bogus_points_push_out_no_more_slots_than_passed() {
    let policy = RetentionPolicy::default().with_keep_daily(30).with_min_age(Duration::ZERO);
    let mut points = days(1, "2026-09-01T12:00:00Z", 40);
    let now = at("2026-10-20T12:00:00Z");
    let plan = policy.plan(&points, &BTreeSet::new(), now).unwrap();
    assert!(kept(&plan).into_iter().eq(11..=40));
    points.extend(days(41, "2026-10-11T11:00:00Z", 10));
    points.extend(days(51, "2026-10-21T11:00:00Z", 10_000));
    let plan = policy.plan(&points, &BTreeSet::new(), now).unwrap();
    let honest = kept(&plan).into_iter().filter(|sequence| *sequence <= 40);
    assert!(honest.eq(21..=40));
}

/// One run with a clock that is a year ahead, and honest ones after it: before, when and after its time comes.
#[test]
fn a_claim_of_the_future_takes_nothing_from_the_points_after_it() {
    let policy = RetentionPolicy::default().with_keep_daily(30).with_keep_monthly(60);
    let honest = days(2, "2026-01-01T12:00:00Z", 500);
    let poison = point(1, at("2027-01-01T12:00:00Z"), RunStatus::Complete);
    for day in [0, 40, 300, 364, 365, 366, 380, 400, 499] {
        let until = &honest[..=day];
        let now = until[day].finished;
        let expected = kept(&policy.plan(until, &BTreeSet::new(), now).unwrap());
        let poisoned = [std::slice::from_ref(&poison), until].concat();
        let plan = policy.plan(&poisoned, &BTreeSet::new(), now).unwrap();
        let found: BTreeSet<u64> = kept(&plan).into_iter().collect();
        // On its own day it stands first, as anybody's point of that day would.
        for sequence in expected.iter().filter(|sequence| **sequence != 367) {
            assert!(found.contains(sequence), "{sequence} on day {day}");
        }
        assert!(!plan.warnings.is_empty(), "{day}");
    }
}
