//! The clocks of a time zone, and how they change.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset as _, SubsecRound as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// What a clock on the wall shows.
pub(crate) fn wall(zone: Tz, time: DateTime<Utc>) -> NaiveDateTime {
    time.with_timezone(&zone).naive_local()
}

/// How far the clocks are ahead of UTC, in seconds.
pub(crate) fn offset(zone: Tz, time: DateTime<Utc>) -> i32 {
    zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc()
}

/// When the clocks change between two times of which they are not equally far ahead.
pub(crate) fn change(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> DateTime<Utc> {
    let before = offset(zone, from);
    first_where(from.trunc_subsecs(0), until, |time| offset(zone, time) != before)
}

/// When the clocks first show a time, or pass it.
pub(crate) fn first_instant(zone: Tz, at: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&at) {
        LocalResult::Single(found) | LocalResult::Ambiguous(found, _) => found.to_utc(),
        LocalResult::None => {
            // No zone is further than 14 hours from UTC.
            let (from, until) = (at.and_utc() - TimeDelta::hours(15), at.and_utc() + TimeDelta::hours(15));
            first_where(from, until, |time| wall(zone, time) >= at)
        }
    }
}

/// The first whole second after `from` of which something is true that stays true, and is true at the end.
fn first_where(from: DateTime<Utc>, until: DateTime<Utc>, is_true: impl Fn(DateTime<Utc>) -> bool) -> DateTime<Utc> {
    let (mut before, mut after) = (0, (until - from).num_seconds());
    while after - before > 1 {
        let middle = i64::midpoint(before, after);
        if is_true(from + TimeDelta::seconds(middle)) { after = middle } else { before = middle }
    }
    from + TimeDelta::seconds(after)
}
