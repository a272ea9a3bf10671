use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, LocalResult, NaiveDateTime, SubsecRound as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::Cron;
use saas_backup_core::{Digest, Error, ErrorKind, Result};

use crate::blackout::Blackout;
use crate::zone::{change, first_instant, wall};

/// When a job is due: a cron pattern in a time zone.
///
/// Where clocks change, a fixed time of day that does not exist is due at the first instant after the gap, and one
/// that exists twice is due once, the first time. Patterns with a wildcard or a step in the hour or minute skip the gap
/// and are due in both halves of the overlap.
///
/// ```
/// use saas_backup_ops::Schedule;
///
/// let schedule = Schedule::parse("0 3 * * *", "Europe/Madrid")?;
/// let summer = "2026-07-01T00:00:00Z".parse().unwrap();
/// assert_eq!(schedule.next_after(summer).unwrap().to_rfc3339(), "2026-07-01T01:00:00+00:00");
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Schedule {
    /// A parsed pattern takes more than a kilobyte, and every list of jobs has it.
    cron: Arc<Cron>,
    zone: Tz,
    jitter: Duration,
    blackout: Blackout,
}

impl Schedule {
    /// Reads a cron pattern of five fields (six with leading seconds; `@daily` and the like; `L`, `W`, `#`) and the
    /// name of a time zone, such as `UTC` or `Europe/Madrid`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if one of them is unknown, or if the pattern is never due.
    pub fn parse(pattern: &str, time_zone: &str) -> Result<Self> {
        let cron = Cron::from_str(pattern).map_err(|error| {
            Error::new(ErrorKind::Configuration, "the schedule is not a cron pattern")
                .with_context("pattern", pattern)
                .with_context("reason", error)
        })?;
        let zone = Tz::from_str(time_zone).map_err(|_| {
            Error::new(ErrorKind::Configuration, "unknown time zone; use a name such as Europe/Madrid")
                .with_context("time_zone", time_zone)
        })?;
        let schedule = Self { cron: Arc::new(cron), zone, jitter: Duration::ZERO, blackout: Blackout::default() };
        if schedule.next_after(DateTime::UNIX_EPOCH).is_none() {
            return Err(
                Error::new(ErrorKind::Configuration, "the schedule is never due").with_context("pattern", pattern)
            );
        }
        Ok(schedule)
    }

    /// Starts each run up to this much later than it is due, so that many jobs of one pattern do not start at once.
    /// Default: not at all. The delay follows from the job and the time, so a restart does not change it.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Lets no run begin in these windows, by the clocks of the schedule's time zone: it begins when the window ends, once,
    /// however often it was due. Default: none.
    #[must_use]
    pub fn with_blackout(mut self, blackout: Blackout) -> Self {
        self.blackout = blackout;
        self
    }

    /// The first time after `time` at which a job is due; `None` if there is none that a calendar can name.
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let time = time.trunc_subsecs(0);
        let wall = wall(self.zone, time);
        let ahead = if self.is_interval() {
            self.ahead(wall, false, |at| match self.zone.from_local_datetime(&at) {
                LocalResult::None => None,
                LocalResult::Single(at) => Some(at.to_utc()).filter(|at| *at > time),
                LocalResult::Ambiguous(first, second) => {
                    [first, second].map(|at| at.to_utc()).into_iter().find(|at| *at > time)
                }
            })
        } else {
            self.ahead(wall, false, |at| Some(first_instant(self.zone, at)).filter(|at| *at > time))
        };
        // In the first half of an overlap, its second half is nearer than what the walk along the wall clock finds.
        let repeated = match self.zone.from_local_datetime(&wall) {
            LocalResult::Ambiguous(first, second) if self.is_interval() && first == time => {
                let change = change(self.zone, time, second.to_utc());
                self.ahead(crate::zone::wall(self.zone, change), true, |at| {
                    self.zone.from_local_datetime(&at).latest().map(|at| at.to_utc())
                })
            }
            _ => None,
        };
        [ahead, repeated].into_iter().flatten().min()
    }

    /// The first instant that a wall clock time of the pattern gives, from a wall clock time on.
    fn ahead(
        &self,
        wall: NaiveDateTime,
        inclusive: bool,
        instant: impl Fn(NaiveDateTime) -> Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        // The pattern walks along a clock that never changes; `instant` alone knows the zone.
        let mut next = self.cron.find_next_occurrence(&wall.and_utc(), inclusive).ok()?;
        loop {
            if let Some(found) = instant(next.naive_utc()) {
                return Some(found);
            }
            next = self.cron.find_next_occurrence(&next, false).ok()?;
        }
    }

    fn is_interval(&self) -> bool {
        [&self.cron.pattern.minutes, &self.cron.pattern.hours]
            .into_iter()
            .any(|field| field.from_wildcard || field.step != 1)
    }

    /// When the run of a job starts that is due: with its delay, and at the end of a blackout that it falls into.
    pub fn starts(&self, job: &str, due: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // What waited for the end of a window does not start at once with all others that did.
        let begins = self.may_begin(due)?;
        let delay = TimeDelta::from_std(self.delay(job, due)).ok()?;
        self.may_begin(begins.checked_add_signed(delay)?)
    }

    /// The first time from `time` on that lies in no blackout; `None` if there is none that a calendar can name.
    pub fn may_begin(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.blackout.end(self.zone, time)
    }

    /// How much later than `due`, or than the end of a blackout in which that lies, the run of a job starts.
    pub fn delay(&self, job: &str, due: DateTime<Utc>) -> Duration {
        let jitter = self.jitter.as_millis() as u64;
        if jitter == 0 {
            return Duration::ZERO;
        }
        let digest = Digest::of(format!("{job}\n{}", due.timestamp()).as_bytes());
        let number = digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        Duration::from_millis(number % (jitter + 1))
    }

    /// The longest delay.
    pub fn jitter(&self) -> Duration {
        self.jitter
    }
}

/// The pattern and the time zone.
impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.cron.as_str(), self.zone)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Schedule({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn due(pattern: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
        let schedule = Schedule::parse(pattern, zone).unwrap();
        let (mut at, until) = (time(from), time(until));
        let mut found = Vec::new();
        while let Some(next) = schedule.next_after(at).filter(|next| *next < until) {
            found.push(next.format("%m-%dT%H:%M").to_string());
            at = next;
        }
        found
    }

    #[test]
    fn a_time_that_does_not_exist_is_due_right_after_the_gap() {
        // Madrid, 29 March 2026: 02:00 becomes 03:00 (01:00 UTC).
        let found = due("30 2 * * *", "Europe/Madrid", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(found, ["03-28T01:30", "03-29T01:00", "03-30T00:30"]);
    }

    #[test]
    fn one_of_several_times_that_does_not_exist_is_due_right_after_the_gap() {
        let found = due("30 2,14 * * *", "Europe/Madrid", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z");
        assert_eq!(found, ["03-29T01:00", "03-29T12:30"]);
    }

    #[test]
    fn a_time_in_a_gap_that_ends_at_midnight_is_due_on_the_day_after() {
        // Nuuk, Saturday 28 March 2026: 23:00 becomes 00:00 (01:00 UTC).
        let found = due("30 23 * * SAT", "America/Nuuk", "2026-03-25T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(found, ["03-29T01:00"]);
    }

    #[test]
    fn a_time_that_exists_twice_is_due_once() {
        // Madrid, 25 October 2026: 03:00 becomes 02:00 (01:00 UTC).
        let found = due("30 2 * * *", "Europe/Madrid", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z");
        assert_eq!(found, ["10-24T00:30", "10-25T00:30", "10-26T01:30"]);
    }

    #[test]
    fn an_hourly_job_runs_every_real_hour_through_both_changes() {
        for (from, until) in
            [("2026-03-28T22:30:00Z", "2026-03-29T04:30:00Z"), ("2026-10-24T22:30:00Z", "2026-10-25T04:30:00Z")]
        {
            assert_eq!(due("0 * * * *", "Europe/Madrid", from, until).len(), 6, "{from}");
        }
    }

    #[test]
    fn a_half_hour_change_is_known() {
        // Lord Howe Island, 4 October 2026: 02:00 becomes 02:30 (15:30 UTC the day before).
        let found = due("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T16:00:00Z", "2026-10-05T00:00:00Z");
        assert_eq!(found, ["10-03T15:30", "10-04T15:15"]);
    }

    #[test]
    fn wrong_patterns_and_zones_say_what_is_wrong() {
        for (pattern, zone, part) in
            [("61 * * * *", "UTC", "61 * * * *"), ("0 0 30 2 *", "UTC", "never due"), ("@daily", "Madrid", "Madrid")]
        {
            let error = Schedule::parse(pattern, zone).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn jitter_is_bounded_spread_and_stable() {
        let schedule = Schedule::parse("@hourly", "UTC").unwrap().with_jitter(Duration::from_mins(10));
        let at = time("2026-01-01T00:00:00Z");
        let delays: Vec<_> = (0..100).map(|n| schedule.delay(&format!("job {n}"), at)).collect();
        assert!(delays.iter().all(|delay| *delay <= Duration::from_mins(10)));
        assert!(delays.iter().filter(|delay| **delay > Duration::from_mins(5)).count() > 25);
        assert_eq!(delays[7], schedule.delay("job 7", at));
    }

    proptest! {
        /// Whatever the zone and the season: the next time lies after, a daily job is due once a local day, and
        /// consecutive times are at most 25.5 hours apart.
        #[test]
        fn a_daily_job_is_due_once_a_local_day(
            zone in prop::sample::select(vec!["UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe",
                "Asia/Kathmandu", "America/Sao_Paulo", "Africa/Casablanca"]),
            hour in 0_u32..24, minute in 0_u32..60, start in 1_735_689_600_i64..1_830_297_600,
        ) {
            let schedule = Schedule::parse(&format!("{minute} {hour} * * *"), zone).unwrap();
            let tz: Tz = zone.parse().unwrap();
            let first = schedule.next_after(DateTime::from_timestamp(start, 0).unwrap()).unwrap();
            let mut before = first;
            for _ in 0..400 {
                let next = schedule.next_after(before).unwrap();
                prop_assert!(next > before);
                prop_assert!((next - before).num_minutes() <= 25 * 60 + 30, "{before} {next}");
                let days = next.with_timezone(&tz).date_naive() - before.with_timezone(&tz).date_naive();
                prop_assert_eq!(days.num_days(), 1);
                before = next;
            }
        }
    }
}
