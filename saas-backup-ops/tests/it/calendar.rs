//! Schedules against a brute force that looks at every minute, through every change of clocks of two years.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chrono::{DateTime, Datelike as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use saas_backup_ops::Schedule;

/// Changes of an hour by night, of half an hour, at midnight, across midnight, and around a month of the moon.
const ZONES: [Tz; 6] = [
    chrono_tz::Europe::Madrid,
    chrono_tz::America::New_York,
    chrono_tz::Australia::Lord_Howe,
    chrono_tz::Asia::Beirut,
    chrono_tz::America::Nuuk,
    chrono_tz::Africa::Casablanca,
];

/// Two years.
const FROM: &str = "2026-01-01T00:00:00Z";
const MINUTES: i64 = 2 * 365 * 24 * 60;

/// One field of a pattern: what it says, which values it takes, and whether it goes by wildcard or step.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    values: Vec<u32>,
    is_wild: bool,
}

impl Field {
    fn has(&self, value: u32) -> bool {
        self.values.contains(&value)
    }

    fn read(text: &str, (least, most): (u32, u32)) -> Self {
        let (range, step) = text.split_once('/').unwrap_or((text, "1"));
        let step: usize = step.parse().unwrap();
        let mut values = Vec::new();
        for part in range.split(',') {
            let (from, until) = match part.split_once('-') {
                _ if part == "*" => (least, most),
                Some((from, until)) => (from.parse().unwrap(), until.parse().unwrap()),
                None => (part.parse().unwrap(), part.parse().unwrap()),
            };
            values.extend((from..=until).step_by(step));
        }
        Self { text: text.to_owned(), values, is_wild: text.contains(['*', '/']) }
    }
}

#[derive(Clone, Debug)]
struct Pattern {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Pattern {
    fn read(text: &str) -> Self {
        let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let fields: Vec<Field> = text.split(' ').zip(bounds).map(|(text, bounds)| Field::read(text, bounds)).collect();
        let [minute, hour, day, month, weekday] = fields.try_into().unwrap();
        Self { minute, hour, day, month, weekday }
    }

    /// Whether it is due on a day, given as days since 1970.
    fn is_on(&self, day: i64) -> bool {
        let date = DateTime::UNIX_EPOCH.date_naive() + TimeDelta::days(day);
        let (of_month, of_week) = (self.day.has(date.day()), self.weekday.has(date.weekday().num_days_from_sunday()));
        // A day of the month and a day of the week: one of them suffices, as cron has it.
        let either = self.day.text != "*" && self.weekday.text != "*";
        self.month.has(date.month()) && if either { of_month || of_week } else { of_month && of_week }
    }

    /// When it is due, by the rules that `Schedule` states, looked for at every minute.
    fn due_times(&self, zone: Tz) -> Vec<DateTime<Utc>> {
        let is_interval = self.minute.is_wild || self.hour.is_wild;
        let from = FROM.parse::<DateTime<Utc>>().unwrap();
        let first_day = from.timestamp() / (24 * 60 * 60) - 1;
        let days: Vec<bool> = (0..MINUTES / (24 * 60) + 3).map(|day| self.is_on(first_day + day)).collect();
        let hours: Vec<bool> = (0..24).map(|hour| self.hour.has(hour)).collect();
        let minutes: Vec<bool> = (0..60).map(|minute| self.minute.has(minute)).collect();
        let at = |values: &[bool], place: i64| values[usize::try_from(place).unwrap()];
        let is_due = |wall: i64| {
            at(&days, wall / (24 * 60) - first_day) && at(&hours, wall / 60 % 24) && at(&minutes, wall % 60)
        };
        let start = from.timestamp() / 60;
        let mut due = Vec::new();
        // The latest time that the clocks have shown, in minutes.
        let mut shown = start + ahead(zone, start);
        let mut offset = 0;
        for minute in start + 1..start + MINUTES {
            // Clocks change at quarters of an hour.
            if minute % 15 == 0 || minute == start + 1 {
                offset = ahead(zone, minute);
            }
            let now = minute + offset;
            let is_repeated = now <= shown;
            let was_skipped = || (shown + 1..now).any(is_due);
            if if is_interval { is_due(now) } else { !is_repeated && (is_due(now) || was_skipped()) } {
                due.push(DateTime::from_timestamp(minute * 60, 0).unwrap());
            }
            shown = shown.max(now);
        }
        due
    }
}

/// How many minutes the clocks are ahead of UTC.
fn ahead(zone: Tz, minute: i64) -> i64 {
    let time = DateTime::from_timestamp(minute * 60, 0).unwrap().naive_utc();
    (zone.from_utc_datetime(&time).naive_local() - time).num_minutes()
}

fn scheduled(schedule: &Schedule) -> Vec<DateTime<Utc>> {
    let from: DateTime<Utc> = FROM.parse().unwrap();
    let until = from + TimeDelta::minutes(MINUTES);
    let next = |time: &DateTime<Utc>| schedule.next_after(*time).filter(|next| *next < until);
    std::iter::successors(next(&from), next).collect()
}

#[test]
fn the_zones_change_their_clocks_in_every_way() {
    let start = FROM.parse::<DateTime<Utc>>().unwrap().timestamp() / 60;
    for zone in ZONES {
        let quarters = (start..start + MINUTES).step_by(15);
        let changes = quarters.filter(|minute| ahead(zone, *minute) != ahead(zone, minute - 15));
        assert_eq!(changes.count(), 4, "{zone}");
    }
}

#[test]
fn patterns_that_meet_the_changes_are_due_as_the_rules_say() {
    for text in [
        "30 2 * * *",
        "0,30 1-3 * * *",
        "0 * * * *",
        "*/15 * * * *",
        "15 0,12,23 * * *",
        "30 23 * * 6",
        "30 23 28-31 * *",
        "*/20 2 * * *",
        "* 2 * * *",
        "0 2,14 * * 0",
    ] {
        let pattern = Pattern::read(text);
        for zone in ZONES {
            let schedule = Schedule::parse(text, zone.name()).unwrap();
            assert_eq!(first_difference(&scheduled(&schedule), &pattern.due_times(zone)), None, "{text} {zone}");
        }
    }
}

/// The text of a field that names its values.
fn listed(least: u32, most: u32) -> impl Strategy<Value = String> {
    let one = move || least..=most;
    prop_oneof![
        (one(), one()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (one(), one(), 2_u32..9).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        prop::collection::btree_set(one(), 1..4).prop_map(|values| values
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",")),
    ]
}

fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        2 => (2..=(most - least)).prop_map(|step| format!("*/{step}")),
        3 => listed(least, most),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    // Clocks change by night: most patterns are due then.
    let hour = prop_oneof![1 => field(0, 23), 2 => listed(0, 3), 1 => listed(22, 23)];
    let rarely = |least, most| prop_oneof![3 => Just("*".to_owned()), 1 => field(least, most)];
    let minute = prop_oneof![1 => (7_u32..59).prop_map(|step| format!("*/{step}")), 3 => listed(0, 59)];
    (minute, hour, rarely(1, 31), rarely(1, 12), rarely(0, 6))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

type Pair = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

fn first_difference(found: &[DateTime<Utc>], expected: &[DateTime<Utc>]) -> Option<Pair> {
    let place = (0..found.len().max(expected.len())).find(|place| found.get(*place) != expected.get(*place))?;
    Some((found.get(place).copied(), expected.get(place).copied()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two years of any pattern in any of the zones: no due time is lost, and none is added.
    #[test]
    fn any_pattern_is_due_as_a_look_at_every_minute_says(
        pattern in pattern(), zone in prop::sample::select(ZONES.to_vec()),
    ) {
        let expected = Pattern::read(&pattern).due_times(zone);
        match Schedule::parse(&pattern, zone.name()) {
            Ok(schedule) => {
                let found = scheduled(&schedule);
                prop_assert_eq!(first_difference(&found, &expected), None, "{} {}", pattern, zone);
            }
            Err(error) => prop_assert!(expected.is_empty(), "{pattern}: {error}"),
        }
    }
}
