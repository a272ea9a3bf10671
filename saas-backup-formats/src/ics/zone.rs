//! Descriptions of time zones, made of the transitions that the time zone database has.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Timelike as _, Weekday};
use chrono_tz::{OffsetComponents as _, OffsetName as _, Tz};

use crate::content_line::LineWriter;

/// The last year whose transitions are looked at: what repeats until then is taken to go on for ever.
const LAST_YEAR: i32 = 2037;
/// How many years in a row a transition must follow one rule to be written as one.
const YEARS: usize = 4;

/// What a clock shows between two transitions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Clock {
    offset: i32,
    daylight: bool,
    name: String,
}

/// One transition: what the clock showed when it came.
type Onset = NaiveDateTime;

/// Describes a zone from a year on, under a name.
pub(super) fn describe(tzid: &str, zone: Tz, from_year: i32) -> String {
    let from_year = from_year.clamp(1900, LAST_YEAR - 1);
    let start = NaiveDate::from_ymd_opt(from_year, 1, 1).and_then(|date| date.and_hms_opt(0, 0, 0)).unwrap_or_default();
    let end = NaiveDate::from_ymd_opt(LAST_YEAR + 1, 1, 1).and_then(|date| date.and_hms_opt(0, 0, 0));
    let mut writer = LineWriter::default();
    writer.line("BEGIN", "VTIMEZONE");
    writer.line("TZID", tzid);
    writer.line("X-LIC-LOCATION", zone.name());
    let first = clock_at(zone, start);
    let local = start + TimeDelta::seconds(first.offset.into());
    observance(&mut writer, &first, &first, local, None, &[]);
    for ((before, after), onsets) in transitions(zone, start, end.unwrap_or(start)) {
        let (singles, rule) = yearly(&onsets);
        if let Some((first, rest)) = singles.split_first() {
            observance(&mut writer, &before, &after, *first, None, rest);
        }
        if let Some((first, rule)) = rule {
            observance(&mut writer, &before, &after, first, Some(&rule), &[]);
        }
    }
    writer.line("END", "VTIMEZONE");
    writer.into_text()
}

fn clock_at(zone: Tz, utc: NaiveDateTime) -> Clock {
    let offset = zone.offset_from_utc_datetime(&utc);
    let seconds = offset.fix().local_minus_utc();
    let daylight = !offset.dst_offset().is_zero();
    Clock { offset: seconds, daylight, name: offset.abbreviation().unwrap_or_default().to_owned() }
}

/// All transitions by what the clock showed before and after, in the order of time.
fn transitions(zone: Tz, start: NaiveDateTime, end: NaiveDateTime) -> BTreeMap<(Clock, Clock), Vec<Onset>> {
    let mut found: BTreeMap<(Clock, Clock), Vec<Onset>> = BTreeMap::new();
    let mut here = (start, clock_at(zone, start));
    while here.0 < end {
        let next = here.0 + TimeDelta::days(1);
        let after = clock_at(zone, next);
        if after != here.1 {
            let (mut low, mut high) = (here.0, next);
            while high - low > TimeDelta::seconds(1) {
                let middle = low + (high - low) / 2;
                let middle = middle.with_nanosecond(0).unwrap_or(middle);
                if clock_at(zone, middle) == here.1 { low = middle } else { high = middle }
            }
            let onset = high + TimeDelta::seconds(here.1.offset.into());
            found.entry((here.1.clone(), after.clone())).or_default().push(onset);
        }
        here = (next, after);
    }
    found
}

/// The transitions that follow no rule, and the beginning and the rule of those that do, to the end of what is known.
fn yearly(onsets: &[Onset]) -> (Vec<Onset>, Option<(Onset, String)>) {
    let Some(last) = onsets.last().filter(|last| last.year() == LAST_YEAR) else { return (onsets.to_vec(), None) };
    let mut year = LAST_YEAR + 1;
    let run = onsets.iter().rev().take_while(|onset| {
        year -= 1;
        onset.year() == year
            && (onset.month(), onset.weekday(), onset.time()) == (last.month(), last.weekday(), last.time())
    });
    let run = run.count();
    // The longest run that one rule describes: an older rule may have had the same month and weekday.
    for length in (YEARS..=run).rev() {
        let from = onsets.len() - length;
        let (singles, ruled) = onsets.split_at(from);
        if let (Some(first), Some(rule)) = (ruled.first(), rule_of(ruled)) {
            return (singles.to_vec(), Some((*first, rule)));
        }
    }
    (onsets.to_vec(), None)
}

fn rule_of(onsets: &[Onset]) -> Option<String> {
    let first = onsets.first()?;
    let (month, weekday) = (first.month(), day_text(first.weekday()));
    let days = || onsets.iter().map(Datelike::day);
    let (low, high) = (days().min()?, days().max()?);
    let nth = low.div_ceil(7);
    let day = if days().all(|day| day.div_ceil(7) == nth) {
        format!("BYDAY={nth}{weekday}")
    } else if onsets.iter().all(|onset| (onset.date() + TimeDelta::days(7)).month() != month) {
        format!("BYDAY=-1{weekday}")
    } else if high - low == 6 {
        let days: Vec<String> = (low..=high).map(|day| day.to_string()).collect();
        format!("BYMONTHDAY={};BYDAY={weekday}", days.join(","))
    } else {
        return None;
    };
    Some(format!("FREQ=YEARLY;BYMONTH={month};{day}"))
}

fn day_text(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "MO",
        Weekday::Tue => "TU",
        Weekday::Wed => "WE",
        Weekday::Thu => "TH",
        Weekday::Fri => "FR",
        Weekday::Sat => "SA",
        Weekday::Sun => "SU",
    }
}

fn observance(
    writer: &mut LineWriter,
    before: &Clock,
    after: &Clock,
    onset: Onset,
    rule: Option<&str>,
    more: &[Onset],
) {
    let kind = if after.daylight { "DAYLIGHT" } else { "STANDARD" };
    writer.line("BEGIN", kind);
    writer.line("DTSTART", &time_text(onset));
    if let Some(rule) = rule {
        writer.line("RRULE", rule);
    }
    if !more.is_empty() {
        let more: Vec<String> = more.iter().map(|onset| time_text(*onset)).collect();
        writer.line("RDATE", &more.join(","));
    }
    writer.line("TZOFFSETFROM", &offset_text(before.offset));
    writer.line("TZOFFSETTO", &offset_text(after.offset));
    if !after.name.is_empty() {
        writer.text("TZNAME", &after.name);
    }
    writer.line("END", kind);
}

fn time_text(time: Onset) -> String {
    time.format("%Y%m%dT%H%M%S").to_string()
}

fn offset_text(offset: i32) -> String {
    let (sign, seconds) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
    let text = format!("{sign}{:02}{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds.is_multiple_of(60) { text } else { format!("{text}{:02}", seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_described() {
        let shown = |zone: Tz, year| describe(zone.name(), zone, year).replace("\r\n", "\n");
        insta::assert_snapshot!(
            [
                shown(Tz::Europe__Berlin, 2024),
                shown(Tz::America__New_York, 2005),
                shown(Tz::Asia__Kolkata, 2024),
                shown(Tz::Asia__Jerusalem, 2024),
                shown(Tz::Australia__Lord_Howe, 2024),
                shown(Tz::Africa__Casablanca, 2030),
                shown(Tz::Africa__Monrovia, 1971),
            ]
            .join("\n")
        );
    }
}
