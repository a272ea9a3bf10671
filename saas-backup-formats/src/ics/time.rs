use calcard::common::timezone::Tz as AnyTz;
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::beside::{member_of, text_of};

/// A time as calendars have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// A whole day.
    Date(NaiveDate),
    /// The same moment everywhere.
    Utc(NaiveDateTime),
    /// The time on the clocks of a zone.
    Zoned(NaiveDateTime, Tz),
    /// The time on the clock of whoever looks.
    Floating(NaiveDateTime),
}

/// The zone that a name means: of the IANA database, or one that Windows and Exchange have.
pub(super) fn zone_of(name: &str) -> Option<Tz> {
    match name.trim().parse::<AnyTz>() {
        Ok(AnyTz::Tz(zone)) => Some(zone),
        _ => None,
    }
}

impl When {
    /// Reads a text, a number of seconds, or an object with `dateTime` or `date`, and `timeZone`.
    pub(super) fn read(value: &Value, zone: Option<Tz>) -> Option<Self> {
        if let Value::Object(_) = value {
            let own = member_of(value, &["timeZone", "time_zone", "tz"]).and_then(|name| zone_of(&name));
            let text = member_of(value, &["dateTime", "date_time", "datetime", "date"])?;
            return Self::parse(&text, own.or(zone));
        }
        if let Value::Number(seconds) = value {
            let instant = DateTime::from_timestamp(seconds.as_i64()?, 0)?;
            return Some(Self::of_instant(instant, zone)).filter(|when| when.has_year());
        }
        Self::parse(&text_of(value)?, zone)
    }

    pub(super) fn parse(text: &str, zone: Option<Tz>) -> Option<Self> {
        Self::parse_any(text.trim(), zone).filter(|when| when.has_year())
    }

    /// Whether its year has the four digits that calendars give it.
    fn has_year(self) -> bool {
        (1..=9999).contains(&self.local().year())
    }

    fn parse_any(text: &str, zone: Option<Tz>) -> Option<Self> {
        let dates = ["%Y-%m-%d", "%Y%m%d"];
        if let Some(date) = dates.iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok()) {
            return Some(Self::Date(date));
        }
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Some(Self::of_instant(instant.to_utc(), zone));
        }
        let utc = ["%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%MZ"];
        if let Some(time) = utc.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()) {
            return Some(Self::of_instant(time.and_utc(), zone));
        }
        let local = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y%m%dT%H%M%S"];
        if let Some(time) = local.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()) {
            return Some(match zone {
                Some(zone) if is_utc(zone) => Self::Utc(time),
                Some(zone) => Self::Zoned(time, zone),
                None => Self::Floating(time),
            });
        }
        None
    }

    fn of_instant(instant: DateTime<Utc>, zone: Option<Tz>) -> Self {
        match zone.filter(|zone| !is_utc(*zone)) {
            Some(zone) => Self::Zoned(zone.from_utc_datetime(&instant.naive_utc()).naive_local(), zone),
            None => Self::Utc(instant.naive_utc()),
        }
    }

    /// The same in the form of another time: repetitions are named as the event itself is.
    pub(super) fn like(self, other: Self) -> Self {
        match (other, self) {
            (Self::Date(_), when) => Self::Date(when.local().date()),
            (Self::Zoned(_, zone), Self::Utc(time)) => Self::of_instant(time.and_utc(), Some(zone)),
            (Self::Zoned(_, zone), Self::Zoned(..)) => match self.instant() {
                Some(instant) => Self::of_instant(instant.and_utc(), Some(zone)),
                None => self,
            },
            (Self::Zoned(start, zone), Self::Date(date)) => Self::Zoned(date.and_time(start.time()), zone),
            (Self::Utc(_), when @ Self::Zoned(..)) => when.instant().map_or(when, Self::Utc),
            (Self::Utc(start), Self::Date(date)) => Self::Utc(date.and_time(start.time())),
            (Self::Floating(start), Self::Date(date)) => Self::Floating(date.and_time(start.time())),
            (Self::Zoned(_, zone), Self::Floating(time)) => Self::Zoned(time, zone),
            (Self::Utc(_), Self::Floating(time)) => Self::Utc(time),
            (Self::Floating(_), when) => Self::Floating(when.local()),
            (_, when) => when,
        }
    }

    /// What the clock shows.
    pub(super) fn local(self) -> NaiveDateTime {
        match self {
            Self::Date(date) => date.and_hms_opt(0, 0, 0).unwrap_or_default(),
            Self::Utc(time) | Self::Zoned(time, _) | Self::Floating(time) => time,
        }
    }

    /// The moment in UTC, where there is one.
    pub(super) fn instant(self) -> Option<NaiveDateTime> {
        match self {
            Self::Utc(time) => Some(time),
            Self::Zoned(time, zone) => {
                let found = zone.from_local_datetime(&time);
                // A time that the clocks skip is the one after it.
                let found = found.earliest().or_else(|| zone.from_local_datetime(&(time + HOUR)).earliest())?;
                Some(found.naive_utc())
            }
            Self::Date(_) | Self::Floating(_) => None,
        }
    }

    /// Whether this is before another time, where that can be told.
    pub(super) fn is_before(self, other: Self) -> bool {
        match (self.instant(), other.instant()) {
            (Some(one), Some(other)) => one < other,
            _ => self.local() < other.local(),
        }
    }

    pub(super) fn is_date(self) -> bool {
        matches!(self, Self::Date(_))
    }

    /// Whether it is the time on the clock of whoever looks.
    pub(super) fn is_floating(self) -> bool {
        matches!(self, Self::Floating(_))
    }

    /// The zone that has to be described.
    pub(super) fn zone(self) -> Option<Tz> {
        match self {
            Self::Zoned(_, zone) => Some(zone),
            _ => None,
        }
    }

    /// The parameters of a property that has this value.
    pub(super) fn parameters(self) -> String {
        match self {
            Self::Date(_) => ";VALUE=DATE".to_owned(),
            Self::Zoned(_, zone) => format!(";TZID={}", zone.name()),
            Self::Utc(_) | Self::Floating(_) => String::new(),
        }
    }

    /// The value.
    pub(super) fn value(self) -> String {
        match self {
            Self::Date(date) => date.format("%Y%m%d").to_string(),
            Self::Utc(time) => time.format("%Y%m%dT%H%M%SZ").to_string(),
            Self::Zoned(time, _) | Self::Floating(time) => time.format("%Y%m%dT%H%M%S").to_string(),
        }
    }
}

const HOUR: chrono::TimeDelta = chrono::TimeDelta::hours(1);

pub(super) fn is_utc(zone: Tz) -> bool {
    matches!(zone.name(), "UTC" | "Etc/UTC" | "Etc/UCT" | "Etc/Universal" | "Etc/Zulu" | "UCT" | "Universal" | "Zulu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_providers_give() {
        let berlin = zone_of("Europe/Berlin");
        let cases = [
            (serde_json::json!("2024-03-31"), None, ";VALUE=DATE 20240331"),
            (serde_json::json!({"date": "2024-03-31"}), None, ";VALUE=DATE 20240331"),
            (serde_json::json!("2024-03-31T10:00:00+02:00"), None, " 20240331T080000Z"),
            (serde_json::json!("2024-03-31T10:00:00+02:00"), berlin, ";TZID=Europe/Berlin 20240331T100000"),
            (serde_json::json!("2024-03-31T10:00:00"), None, " 20240331T100000"),
            (
                serde_json::json!({"dateTime": "2024-03-31T10:00:00.0000000", "timeZone": "W. Europe Standard Time"}),
                None,
                ";TZID=Europe/Berlin 20240331T100000",
            ),
            (
                serde_json::json!({"dateTime": "2024-03-31T10:00:00.0000000", "timeZone": "UTC"}),
                berlin,
                " 20240331T100000Z",
            ),
            (serde_json::json!("20240331T100000Z"), None, " 20240331T100000Z"),
            (serde_json::json!(1_700_000_000), None, " 20231114T221320Z"),
        ];
        for (value, zone, expected) in cases {
            let when = When::read(&value, zone).unwrap();
            assert_eq!(format!("{} {}", when.parameters(), when.value()), expected, "{value}");
        }
        for value in [serde_json::json!("tomorrow"), serde_json::json!({}), serde_json::json!("2024-02-30")] {
            assert_eq!(When::read(&value, None), None, "{value}");
        }
        assert_eq!(zone_of("Mars/Olympus"), None);
    }
}
