//! The share of scheduled runs that did what they should.

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::RunStatus;
use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// Due times that are looked at: for more, the time is cut short.
const MOST: usize = 50_000;

/// A due time without a run counts as missed after this, and the jitter.
const PUNCTUAL: TimeDelta = TimeDelta::minutes(5);

/// A run that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunOutcome {
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// How it ended.
    pub status: RunStatus,
}

impl RunOutcome {
    /// A run that ended so.
    pub fn new(started: DateTime<Utc>, finished: DateTime<Utc>, status: RunStatus) -> Self {
        Self { started, finished, status }
    }
}

/// How the runs of some time ended: one for each time that a run was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SuccessRate {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Times that a run was due.
    pub due: u64,
    /// Those whose run left nothing out.
    pub complete: u64,
    /// Those whose run left something out.
    pub incomplete: u64,
    /// Those whose run the deletion guard stopped.
    pub needs_review: u64,
    /// Those whose run failed, or was cancelled.
    pub failed: u64,
    /// Those without a run.
    pub missed: u64,
}

impl SuccessRate {
    /// Complete runs for each ten thousand that were due, rounded down: 9,990 are the 99.9 % that are often asked for. `None`
    /// if none was due.
    pub fn per_ten_thousand(&self) -> Option<u64> {
        (self.complete * 10_000).checked_div(self.due)
    }
}

/// Counts how the runs ended that were due after `since` and up to `now`.
///
/// What is due in a blackout is due once, at its end. A due time is served by the runs that began from then on until the next one is due, whoever asked for them; the best of
/// them counts. What is missing at all counts once the run is later than its jitter and five minutes. Incomplete runs, those
/// that wait for review, and missed ones are no success.
///
/// `runs` in the order in which they began.
pub fn success_rate(schedule: &Schedule, runs: &[RunOutcome], since: DateTime<Utc>, now: DateTime<Utc>) -> SuccessRate {
    let mut times: Vec<DateTime<Utc>> = Vec::new();
    let mut at = since;
    while let Some(due) = schedule.next_after(at).filter(|due| *due <= now && times.len() < MOST) {
        // However often it was due in a blackout, one run is, at its end.
        let begins = schedule.may_begin(due).filter(|begins| *begins <= now && times.last() != Some(begins));
        times.extend(begins);
        at = due;
    }
    let patience = PUNCTUAL + TimeDelta::from_std(schedule.jitter()).unwrap_or_default();
    let mut rate = SuccessRate { since, ..SuccessRate::default() };
    for (number, due) in times.iter().enumerate() {
        let end = times.get(number + 1).copied();
        let first = runs.partition_point(|run| run.started < *due);
        let own = runs.get(first..).unwrap_or_default().iter();
        let own = own.take_while(|run| end.is_none_or(|end| run.started < end));
        let best = own.map(|run| run.status).min();
        let is_open = best.is_none() && end.is_none_or(|end| end > now) && now - *due <= patience;
        if is_open {
            continue;
        }
        rate.due += 1;
        match best {
            Some(RunStatus::Complete) => rate.complete += 1,
            Some(RunStatus::Incomplete) => rate.incomplete += 1,
            Some(RunStatus::NeedsReview) => rate.needs_review += 1,
            Some(_) => rate.failed += 1,
            None => rate.missed += 1,
        }
    }
    rate
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Blackout;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-01T{text}:00Z").parse().unwrap()
    }

    /// A day of hourly runs, counted by hand.
    #[test]
    fn the_rate_is_that_of_a_table_counted_by_hand() {
        use RunStatus::{Cancelled, Complete, Failed, Incomplete, NeedsReview};
        let hourly = Schedule::parse("0 * * * *", "UTC").unwrap();
        let table = [
            ("00:10", Failed),      // Before the first due time that counts.
            ("01:00", Complete),    // 01: complete
            ("02:00", Failed),      // 02: failed, and again by hand:
            ("02:20", Complete),    //     complete
            ("03:00", Incomplete),  // 03: incomplete
            ("04:00", NeedsReview), // 04: needs review
            // 05: missed
            ("06:59", Complete),  // 06: late, and still before the next
            ("07:00", Cancelled), // 07: failed
            ("08:00", Failed),    // 08: failed
        ];
        let runs: Vec<RunOutcome> =
            table.iter().map(|(time, status)| RunOutcome::new(at(time), at(time), *status)).collect();
        let rate = |now| success_rate(&hourly, &runs, at("00:00"), at(now));
        let found = rate("09:03");
        let counted = (found.due, found.complete, found.incomplete, found.needs_review, found.failed, found.missed);
        assert_eq!(counted, (8, 3, 1, 1, 2, 1), "that of 09 may still begin");
        assert_eq!(found.per_ten_thousand(), Some(3750));
        assert_eq!((rate("09:06").due, rate("09:06").missed), (9, 2), "it did not");
        assert_eq!(rate("00:59").per_ten_thousand(), None, "nothing was due");
    }

    #[test]
    fn what_is_due_in_a_blackout_is_due_once_at_its_end() {
        let blackout = Blackout::parse(["02:30-05:30"]).unwrap();
        let schedule = Schedule::parse("0 * * * *", "UTC").unwrap().with_blackout(blackout);
        let run = |time| RunOutcome::new(at(time), at(time), RunStatus::Complete);
        let runs = [run("01:00"), run("02:00"), run("05:30"), run("06:00")];
        let rate = success_rate(&schedule, &runs, at("00:00"), at("06:30"));
        assert_eq!((rate.due, rate.complete, rate.missed), (4, 4, 0));
        assert_eq!(success_rate(&schedule, &runs[..2], at("00:00"), at("05:20")).due, 2);
        assert_eq!(success_rate(&schedule, &runs[..2], at("00:00"), at("05:40")).missed, 1);
    }

    #[test]
    fn a_run_that_may_start_later_is_waited_for() {
        let schedule = Schedule::parse("0 * * * *", "UTC").unwrap().with_jitter(Duration::from_mins(20));
        assert_eq!(success_rate(&schedule, &[], at("00:30"), at("01:24")).due, 0);
        assert_eq!(success_rate(&schedule, &[], at("00:30"), at("01:26")).missed, 1);
    }

    #[test]
    fn a_year_of_seconds_is_counted_as_far_as_is_bearable() {
        let schedule = Schedule::parse("* * * * * *", "UTC").unwrap();
        let year = at("00:00") + TimeDelta::days(365);
        assert_eq!(success_rate(&schedule, &[], at("00:00"), year).due, MOST as u64);
    }
}
