use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use saas_backup_core::{ErrorKind, RunStatus};

use super::{at, kept, point};
use crate::points::Point;
use crate::retention::{RetentionPlan, RetentionPolicy, RetentionWarning};

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
const NOW: &str = "2026-11-21T10:00:00Z";

/// A policy without floors, so that each rule shows alone.
fn bare() -> RetentionPolicy {
    RetentionPolicy::default().with_min_age(Duration::ZERO).with_keep_verified(0)
}

/// Complete points that end at these times.
fn points(times: &[&str]) -> Vec<Point> {
    times.iter().zip(1..).map(|(time, sequence)| point(sequence, at(time), RunStatus::Complete)).collect()
}

fn plan(policy: &RetentionPolicy, points: &[Point]) -> RetentionPlan {
    policy.plan(points, &BTreeSet::new(), at(NOW)).unwrap()
}

/// The number of each kept point with what keeps it.
fn shown(plan: &RetentionPlan) -> Vec<String> {
    let show = |decision: &crate::RetentionDecision| {
        let reasons: Vec<String> = decision.kept.iter().map(ToString::to_string).collect();
        format!("{}: {}", decision.point.sequence, reasons.join(", "))
    };
    plan.kept().map(show).collect()
}

#[test]
fn each_interval_keeps_the_first_point_of_its_slots() {
    let points = points(&[
        "2024-12-30T00:00:00Z", // The first day of the first week of 2025.
        "2025-01-01T00:00:00Z",
        "2026-10-31T23:59:59Z",
        "2026-11-01T00:00:00Z", // A Sunday.
        "2026-11-15T23:59:59Z", // A Sunday.
        "2026-11-16T00:00:00Z",
        "2026-11-21T08:59:59Z",
        "2026-11-21T09:00:00Z",
        "2026-11-21T09:59:59Z",
    ]);
    for (policy, expected) in [
        (bare().with_keep_hourly(2), ["7: hourly 2026-11-21T08", "8: hourly 2026-11-21T09"]),
        (bare().with_keep_daily(2), ["6: daily 2026-11-16", "7: daily 2026-11-21"]),
        (bare().with_keep_weekly(2), ["5: weekly 2026-W46", "6: weekly 2026-W47"]),
        (bare().with_keep_monthly(2), ["3: monthly 2026-10", "4: monthly 2026-11"]),
        (bare().with_keep_yearly(2), ["2: yearly 2025", "3: yearly 2026"]),
    ] {
        let [first, second] = expected;
        assert_eq!(shown(&plan(&policy, &points)), [first, second, "9: newest complete"]);
    }
    let weeks = shown(&plan(&bare().with_keep_weekly(9), &points));
    assert_eq!(weeks[..2], ["1: weekly 2025-W01", "3: weekly 2026-W44"]);
}

#[test]
fn a_slot_keeps_its_first_complete_point_and_until_then_the_best() {
    let statuses = [
        RunStatus::Failed,
        RunStatus::Failed,
        RunStatus::Incomplete,
        RunStatus::Cancelled,
        RunStatus::Complete,
        RunStatus::Incomplete,
        RunStatus::Complete,
        RunStatus::Complete,
    ];
    let mut points = points(&["2026-11-20T10:00:00Z"; 8]);
    points.iter_mut().zip(statuses).for_each(|(point, status)| point.status = status);
    assert_eq!(kept(&plan(&bare().with_keep_daily(1), &points)), [1, 3, 5, 8]);
    assert_eq!(kept(&plan(&bare().with_keep_daily(1), &points[..4])), [1, 3, 4]);
}

#[test]
fn a_pause_and_a_clock_that_is_decades_ahead_lose_nothing_that_is_counted() {
    let points = points(&["2024-03-01T10:00:00Z", "2024-03-02T10:00:00Z", "2024-03-03T10:00:00Z"]);
    for policy in [bare().with_keep_daily(2), bare().with_keep_within(2 * DAY), bare().with_keep_within_daily(DAY)] {
        for now in [NOW, "2099-01-01T00:00:00Z"] {
            assert_eq!(kept(&policy.plan(&points, &BTreeSet::new(), at(now)).unwrap()), [2, 3]);
        }
    }
}

#[test]
fn lengths_of_time_keep_what_is_younger() {
    let points = points(&[
        "2026-11-18T10:00:00Z",
        "2026-11-18T10:00:01Z",
        "2026-11-18T11:00:00Z",
        "2026-11-19T09:00:00Z",
        "2026-11-21T10:00:00Z",
    ]);
    let within = plan(&bare().with_keep_within(3 * DAY), &points);
    assert_eq!(kept(&within), [2, 3, 4, 5]);
    assert_eq!(shown(&within)[0], "2: within 3 days");
    // A slot that reaches into the length is kept as it is.
    let daily = plan(&bare().with_keep_within_daily(3 * DAY), &points);
    assert_eq!(kept(&daily), [1, 4, 5]);
    assert_eq!(shown(&daily)[1], "4: daily 2026-11-19 within 3 days");
    let daily = plan(&bare().with_keep_within_daily(2 * DAY), &points);
    assert_eq!(kept(&daily), [4, 5]);
    let hourly = plan(&bare().with_keep_within_hourly(71 * HOUR), &points);
    assert_eq!(kept(&hourly), [3, 4, 5]);
    let weekly = plan(&bare().with_keep_within_weekly(4 * DAY), &points);
    assert_eq!(kept(&weekly), [1, 5]);
    let monthly = plan(&bare().with_keep_within_monthly(4 * DAY), &points);
    assert_eq!(kept(&monthly), [1, 5]);
    let yearly = plan(&bare().with_keep_within_yearly(4 * DAY), &points);
    assert_eq!(shown(&yearly)[0], "1: yearly 2026 within 4 days");
}

#[test]
fn the_newest_are_kept_by_number_and_the_best_of_them_always() {
    let mut points = points(&["2026-01-01T00:00:00Z"; 6]);
    for (place, status) in [(3, RunStatus::Incomplete), (4, RunStatus::Failed), (5, RunStatus::Failed)] {
        points[place].status = status;
    }
    let label = bare().with_keep_label("release");
    assert_eq!(shown(&plan(&label, &points)), ["3: newest complete", "4: newest incomplete", "6: newest failed"]);
    assert_eq!(
        shown(&plan(&bare().with_keep_last(2), &points)),
        ["3: newest complete", "4: newest incomplete", "5: last 2", "6: last 1, newest failed"]
    );
}

#[test]
fn labels_and_legal_holds_keep() {
    let mut points = points(&["2020-01-01T00:00:00Z"; 8]);
    let labels = ["release", "Release", "release ", "legal-hold", "legal-hold: case 7", "legal-holds", "legal-hold:"];
    points.iter_mut().zip(labels).for_each(|(point, label)| point.labels.push(label.to_owned()));
    let expected = ["1: label \"release\"", "4: legal hold", "5: legal hold", "7: legal hold", "8: newest complete"];
    assert_eq!(shown(&plan(&bare().with_keep_label("release"), &points)), expected);
}

#[test]
fn the_floors_keep_what_is_young_and_what_was_verified() {
    let points = points(&[
        "2026-11-01T10:00:00Z",
        "2026-11-02T10:00:00Z",
        "2026-11-14T10:00:00Z",
        "2026-11-14T10:00:01Z",
        "2026-11-21T09:00:00Z",
    ]);
    let policy = RetentionPolicy::default().with_keep_last(1);
    let expected = ["4: younger than 7 days", "5: younger than 7 days, last 1, newest complete"];
    assert_eq!(shown(&plan(&policy, &points)), expected);
    let verified = BTreeSet::from([1, 2, 3, 99]);
    let plan = policy.clone().with_keep_verified(2).plan(&points, &verified, at(NOW)).unwrap();
    assert_eq!(shown(&plan)[..2], ["2: newest verified 2", "3: newest verified 1"]);
    assert_eq!(kept(&policy.plan(&points, &verified, at(NOW)).unwrap()), [3, 4, 5]);
}

/// A clock that goes back for good: its points count with the time of the last good one, each for the day it claims.
#[test]
fn a_clock_that_goes_back_makes_no_point_old() {
    let points = points(&[
        "2026-11-10T10:00:00Z",
        "2026-11-19T10:00:00Z",
        "1970-01-01T00:00:00Z",
        "1970-01-01T01:00:00Z",
        "1970-01-02T00:00:00Z",
        "2026-11-20T10:00:00Z",
    ]);
    let plan = plan(&bare().with_keep_daily(2), &points);
    assert_eq!(kept(&plan), [2, 3, 5, 6]);
    assert_eq!(plan.decisions[4].time, at("2026-11-19T10:00:00Z"));
    assert_eq!(plan.warnings, [RetentionWarning::Behind { points: 3, first: 3 }]);
}

#[test]
fn a_clock_that_was_ahead_makes_no_other_point_young() {
    let points =
        points(&["2026-11-10T10:00:00Z", "2027-06-01T10:00:00Z", "2026-11-12T10:00:00Z", "2026-11-13T10:00:00Z"]);
    let policy = RetentionPolicy::default().with_keep_last(1).with_min_age(DAY);
    let plan = plan(&policy, &points);
    assert_eq!(shown(&plan), ["2: younger than 1 day", "4: last 1, newest complete"]);
    assert_eq!(plan.decisions[1].time, at(NOW));
    assert_eq!(plan.warnings, [RetentionWarning::Ahead { points: 1, first: 2 }, RetentionWarning::NumberOnly]);
    let lasting = policy.with_keep_yearly(1).plan(&points[2..], &BTreeSet::new(), at(NOW)).unwrap();
    assert_eq!(lasting.warnings, []);
    let labels = bare().with_keep_label("release").plan(&points[2..], &BTreeSet::new(), at(NOW)).unwrap();
    assert_eq!(labels.warnings, []);
}

#[test]
fn points_are_taken_in_the_order_of_their_sequence() {
    let mut reversed = points(&["2026-11-19T10:00:00Z", "2026-11-19T11:00:00Z", "2026-11-19T12:00:00Z"]);
    let policy = bare().with_keep_daily(1);
    let expected = plan(&policy, &reversed);
    reversed.reverse();
    assert_eq!(plan(&policy, &reversed), expected);
    assert_eq!(plan(&policy, &[]).decisions, []);
    let forgotten: Vec<u64> = expected.forgotten().map(|decision| decision.point.sequence).collect();
    assert_eq!(forgotten, [2]);
}

#[test]
fn times_at_the_ends_of_the_calendar_do_no_harm() {
    let mut points = points(&[NOW; 3]);
    points[0].finished = chrono::DateTime::<chrono::Utc>::MIN_UTC;
    points[1].finished = chrono::DateTime::<chrono::Utc>::MAX_UTC;
    let mut policy = RetentionPolicy::default().with_keep_within_weekly(36_500 * DAY).with_keep_last(u32::MAX);
    policy.keep_hourly = u32::MAX;
    assert_eq!(kept(&plan(&policy, &points)), [1, 2, 3]);
}

#[test]
fn a_policy_without_a_rule_that_keeps_is_refused() {
    let floors = RetentionPolicy::default().with_min_age(30 * DAY).with_keep_verified(9);
    for policy in [RetentionPolicy::default(), floors, bare().with_keep_daily(0).with_keep_within(Duration::ZERO)] {
        assert_eq!(policy.check().unwrap_err().kind(), ErrorKind::Configuration);
        let refused = policy.plan(&points(&[NOW]), &BTreeSet::new(), at(NOW)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Configuration);
    }
    let daily = bare().with_keep_daily(1);
    for endless in [bare().with_keep_within(Duration::MAX), bare().with_keep_within_yearly(37_000 * DAY)] {
        assert_eq!(endless.check().unwrap_err().kind(), ErrorKind::Configuration);
    }
    assert_eq!(daily.with_min_age(Duration::MAX).check().unwrap_err().kind(), ErrorKind::Configuration);
}

#[test]
fn a_policy_reads_back_and_refuses_what_it_does_not_know() {
    let text = r#"{"keep_last":1,"keep_hourly":168,"keep_daily":30,"keep_weekly":2,"keep_monthly":60,"keep_yearly":3,
        "keep_within":"1h30m","keep_within_hourly":"2w","keep_within_daily":"90s","keep_within_weekly":"1d",
        "keep_within_monthly":"365d","keep_within_yearly":"3650d","keep_labels":["release"],"min_age":"14d",
        "keep_verified":2}"#;
    let policy: RetentionPolicy = serde_json::from_str(text).unwrap();
    assert_eq!((policy.keep_within_hourly.0, policy.min_age.0), (14 * DAY, 14 * DAY));
    let written = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<RetentionPolicy>(&written).unwrap(), policy);
    assert_eq!(serde_json::from_str::<RetentionPolicy>("{}").unwrap(), RetentionPolicy::default());
    for wrong in [r#"{"keep-daily":1}"#, r#"{"keep_dayly":1}"#, r#"{"keep_last":-1}"#, r#"{"min_age":7}"#] {
        assert!(serde_json::from_str::<RetentionPolicy>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_plan_serialises_what_and_why() {
    let mut made = points(&["2026-11-20T10:00:00Z", "2026-11-21T10:00:00Z"]);
    made[0].labels.push("release".to_owned());
    let policy = RetentionPolicy::default().with_keep_daily(2).with_keep_within_yearly(DAY).with_keep_label("release");
    let plan = serde_json::to_value(plan(&policy, &made)).unwrap();
    assert_eq!(
        plan["decisions"][0]["kept"],
        serde_json::json!([
            { "rule": "label", "label": "release" },
            { "rule": "slot", "interval": "daily", "slot": "2026-11-20" },
            { "rule": "slot-within", "interval": "yearly", "slot": "2026", "period": "1d" },
            { "rule": "min-age", "period": "7d" },
        ])
    );
    assert_eq!(plan["decisions"][1]["kept"][2], serde_json::json!({ "rule": "newest", "status": "complete" }));
    assert_eq!(plan["decisions"][1]["point"]["sequence"], 2);
    assert_eq!((&plan["now"], &plan["warnings"]), (&serde_json::json!(NOW), &serde_json::json!([])));
}

#[test]
fn warnings_say_what_is_wrong_and_small_differences_of_clocks_do_not() {
    let mut points = points(&["2026-11-21T10:59:00Z", "2026-11-20T10:00:00Z", "2026-11-20T09:01:00Z"]);
    let policy = bare().with_keep_daily(2);
    assert_eq!(plan(&policy, &points).warnings, []);
    points[0].finished += TimeDelta::minutes(2);
    points[2].finished -= TimeDelta::minutes(2);
    let texts: Vec<String> = plan(&policy, &points).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "points that claim a time after now and count as made now: 1, the first is 1",
            "points that claim a time before that of an earlier point and count with its time: 1, the first is 3",
        ]
    );
}
