use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDateTime, TimeDelta, Timelike as _, Utc, Weekday};
use chrono_tz::Tz;
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::zone::{change, offset, wall};

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

/// Windows of the week in which no run begins, by the clock on the wall.
///
/// A window is half open: at its end a run may begin. Where clocks change, a time that exists twice lies in a window both
/// times, and one that does not exist lies in none.
///
/// ```
/// use saas_backup_ops::{Blackout, Schedule};
///
/// let office_hours = Blackout::parse(["Mon-Fri 08:00-18:00", "Sat 22:00-02:00"])?;
/// let schedule = Schedule::parse("0 * * * *", "Europe/Madrid")?.with_blackout(office_hours);
/// let monday = "2026-07-06T06:00:00Z".parse().unwrap();
/// assert_eq!(schedule.starts("blog", monday).unwrap().to_rfc3339(), "2026-07-06T16:00:00+00:00");
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Window>")]
pub struct Blackout {
    /// Minutes of the week from Monday on, from and until: in order, apart from each other.
    windows: Vec<(u16, u16)>,
}

impl Blackout {
    /// Reads windows such as `Mon-Fri 08:00-18:00`, `Sat,Sun 00:00-24:00`, or `22:00-02:00` for every day; one whose end is
    /// not after its begin goes on to the next day. Several may overlap.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if one cannot be read, or if together they leave no time at which a run could begin.
    pub fn parse<W: AsRef<str>>(windows: impl IntoIterator<Item = W>) -> Result<Self> {
        windows.into_iter().map(|window| Window::parse(window.as_ref())).collect::<Result<Vec<_>>>()?.try_into()
    }

    /// Whether there is no window.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The first time from `time` on that lies in no window; `None` if there is none that a calendar can name.
    pub(crate) fn end(&self, zone: Tz, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut time = time;
        if self.is_empty() {
            return Some(time);
        }
        while let Some(left) = self.left(wall(zone, time)) {
            let until = time.checked_add_signed(left)?;
            // Where the clocks change in a window, it may end before, later, or not at all.
            time = if offset(zone, until) == offset(zone, time) { until } else { change(zone, time, until) };
        }
        Some(time)
    }

    /// How long a window goes on at a time on the wall; `None` if that lies in none.
    fn left(&self, wall: NaiveDateTime) -> Option<TimeDelta> {
        let days = TimeDelta::days(wall.weekday().num_days_from_monday().into());
        let of_week = days + TimeDelta::seconds(wall.num_seconds_from_midnight().into());
        let next = self.windows.partition_point(|(from, _)| TimeDelta::minutes((*from).into()) <= of_week);
        let (_, until) = self.windows.get(next.checked_sub(1)?)?;
        let left = TimeDelta::minutes((*until).into()) - of_week;
        (left > TimeDelta::zero()).then(|| left - TimeDelta::nanoseconds(wall.nanosecond().into()))
    }
}

impl TryFrom<Vec<Window>> for Blackout {
    type Error = Error;

    fn try_from(windows: Vec<Window>) -> Result<Self> {
        let mut parts: Vec<(u16, u16)> = windows.into_iter().flat_map(|Window(parts)| parts).collect();
        parts.sort_unstable();
        let mut windows: Vec<(u16, u16)> = Vec::new();
        for (from, until) in parts {
            match windows.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => windows.push((from, until)),
            }
        }
        if windows == [(0, WEEK)] {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the blackouts cover the whole week: no run could ever begin",
            ));
        }
        Ok(Self { windows })
    }
}

/// One window, as minutes of the week.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Window(Vec<(u16, u16)>);

impl TryFrom<String> for Window {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl Window {
    fn parse(text: &str) -> Result<Self> {
        window(text).map(Self).ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "a blackout is written as \"Mon-Fri 08:00-18:00\", \"Sat,Sun 00:00-24:00\" or \"22:00-02:00\"",
            )
        })
    }
}

fn window(text: &str) -> Option<Vec<(u16, u16)>> {
    let (days, times) = match text.trim().rsplit_once(char::is_whitespace) {
        Some((days, times)) => (days_of(days)?, times),
        None => ((0..7).collect(), text.trim()),
    };
    let (from, until) = times.split_once('-')?;
    let (from, until) = (minute_of_day(from)?, minute_of_day(until)?);
    if from == until || from == DAY {
        return None;
    }
    let length = if until > from { until - from } else { until + DAY - from };
    let parts = days.into_iter().flat_map(|day| {
        let from = day * DAY + from;
        let over = (from + length).saturating_sub(WEEK);
        [(from, from + length - over), (0, over)]
    });
    Some(parts.filter(|(from, until)| from < until).collect())
}

/// Days of the week, counted from Monday.
fn days_of(text: &str) -> Option<Vec<u16>> {
    let day = |name: &str| Some(name.trim().parse::<Weekday>().ok()?.num_days_from_monday() as u16);
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        days.extend((0..=(last + 7 - first) % 7).map(|more| (first + more) % 7));
    }
    Some(days)
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let (hour, minute) = (number(hour)?, number(minute).filter(|_| minute.len() == 2)?);
    let minutes = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

/// The windows as minutes of the week.
impl fmt::Debug for Blackout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.windows).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(windows: &[&str], zone: Tz, time: &str) -> String {
        let blackout = Blackout::parse(windows).unwrap();
        let end = blackout.end(zone, time.parse().unwrap()).unwrap();
        end.format("%m-%dT%H:%M:%S%.f").to_string()
    }

    #[test]
    fn windows_end_when_the_wall_says() {
        let utc = Tz::UTC;
        for (windows, time, expected) in [
            // Monday, 5 January 2026.
            (&["Mon-Fri 08:00-18:00"][..], "2026-01-05T07:59:59Z", "01-05T07:59:59"),
            (&["Mon-Fri 08:00-18:00"], "2026-01-05T08:00:00Z", "01-05T18:00:00"),
            (&["Mon-Fri 08:00-18:00"], "2026-01-05T17:59:59.999Z", "01-05T18:00:00"),
            (&["Mon-Fri 08:00-18:00"], "2026-01-05T18:00:00Z", "01-05T18:00:00"),
            (&["mon-fri 8:00-18:00"], "2026-01-10T12:00:00Z", "01-10T12:00:00"),
            (&["Sat 22:00-02:00"], "2026-01-11T01:00:00Z", "01-11T02:00:00"),
            (&["Sun 22:00-02:00"], "2026-01-11T23:00:00Z", "01-12T02:00:00"),
            (&["Sun 22:00-02:00"], "2026-01-11T01:00:00Z", "01-11T01:00:00"),
            (&["22:00-02:00"], "2026-01-07T23:00:00Z", "01-08T02:00:00"),
            (&["Fri-Mon 00:00-24:00"], "2026-01-09T00:00:00Z", "01-13T00:00:00"),
            (&["Sat, Sun 00:00-24:00", "Mon 00:00-06:00", "05:00-07:00"], "2026-01-10T12:00:00Z", "01-12T07:00:00"),
            (&[], "2026-01-05T12:00:00Z", "01-05T12:00:00"),
        ] {
            assert_eq!(end(windows, utc, time), expected, "{windows:?} {time}");
        }
    }

    #[test]
    fn windows_end_when_the_wall_says_through_both_changes() {
        let madrid = chrono_tz::Europe::Madrid;
        // 29 March 2026: 02:00 becomes 03:00 (01:00 UTC). 25 October 2026: 03:00 becomes 02:00 (01:00 UTC).
        for (window, time, expected) in [
            ("01:00-02:30", "2026-03-29T00:30:00Z", "03-29T01:00:00"),
            ("01:00-06:00", "2026-03-29T00:30:00Z", "03-29T04:00:00"),
            ("01:00-06:00", "2026-10-25T00:30:00Z", "10-25T05:00:00"),
            ("01:00-02:30", "2026-10-25T00:10:00Z", "10-25T00:30:00"),
            ("01:00-02:30", "2026-10-25T01:10:00Z", "10-25T01:30:00"),
            ("02:30-04:00", "2026-10-25T00:40:00Z", "10-25T01:00:00"),
        ] {
            assert_eq!(end(&[window], madrid, time), expected, "{window} {time}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_never_lets_a_run_begin_is_refused() {
        for text in [
            "",
            "Mon",
            "08:00",
            "08:00-08:00",
            "24:00-08:00",
            "08:00-24:01",
            "08:60-09:00",
            "Mom 08:00-18:00",
            "Mon-Fri-Sun 08:00-18:00",
            "8-18",
            "1093:00-08:00",
            "Mon- 08:00-18:00",
            "+8:00-18:00",
            "08:0-18:00",
            "mon..fri 08:00-18:00",
        ] {
            let error = Blackout::parse([text]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains("is written as"), "{error}");
        }
        for windows in [
            &["00:00-24:00"][..],
            &["08:00-20:00", "20:00-08:00"],
            &["Mon-Sat 12:00-12:30", "Sun 00:00-24:00", "Mon-Sat 00:00-24:00"],
        ] {
            let error = Blackout::parse(windows).unwrap_err();
            assert!(error.to_string().contains("no run could ever begin"), "{error}");
        }
        Blackout::parse(["Mon-Sat 00:00-24:00", "Sun 00:00-23:59"]).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Against a look at each minute: whether the wall shows a time in a window.
        #[test]
        fn the_end_is_the_first_minute_outside(
            windows in prop::collection::vec((0_u16..7, 0_u16..7, 0_u16..DAY, 1_u16..=DAY), 0..4),
            zone in prop::sample::select(vec![chrono_tz::Europe::Madrid, chrono_tz::Australia::Lord_Howe,
                chrono_tz::America::Nuuk, chrono_tz::Asia::Beirut, chrono_tz::Africa::Casablanca, Tz::UTC]),
            starts in prop::collection::vec(0_i64..2 * 365 * 24 * 60, 12), near_change in any::<bool>(),
        ) {
            let windows: Vec<_> = windows.into_iter().filter(|(_, _, from, until)| from != until).collect();
            let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
            let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let texts: Vec<String> = windows.iter().map(|(first, last, from, until)| {
                format!("{}-{} {}-{}", names[usize::from(*first)], names[usize::from(*last)], time(*from), time(*until))
            }).collect();
            let is_in = |wall: NaiveDateTime| {
                let (day, minute) = (wall.weekday().num_days_from_monday() as u16, (wall.hour() * 60 + wall.minute()) as u16);
                windows.iter().any(|(first, last, from, until)| {
                    let on = |day: u16| (day + 7 - first) % 7 <= (last + 7 - first) % 7;
                    if from < until { on(day) && (*from..*until).contains(&minute) }
                    else { on(day) && minute >= *from || on((day + 6) % 7) && minute < *until }
                })
            };
            let Ok(blackout) = Blackout::parse(&texts) else {
                prop_assert!((0..WEEK).all(|minute| is_in(DateTime::UNIX_EPOCH.naive_utc() + TimeDelta::minutes(minute.into()))));
                return Ok(());
            };
            let base = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
            for start in starts {
                let mut start = base + TimeDelta::minutes(start);
                if near_change {
                    let day = (0..400).map(|day| start + TimeDelta::days(day));
                    let changes = day.map(|day| (day, day + TimeDelta::days(1)));
                    let changed = changes.into_iter().find(|(day, next)| offset(zone, *day) != offset(zone, *next));
                    start = changed.map_or(start, |(day, _)| day);
                }
                let mut expected = start;
                while is_in(wall(zone, expected)) {
                    expected += TimeDelta::minutes(1);
                }
                prop_assert_eq!(blackout.end(zone, start), Some(expected), "{:?} {} {}", texts, zone, start);
            }
        }
    }
}
