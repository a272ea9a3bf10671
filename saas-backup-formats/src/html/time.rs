//! Times for a person.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::view::Time;

/// A time as the provider wrote it: UTC where it says which time it is, its own words where it does not.
pub(super) fn time_view(text: &str) -> Time {
    match instant(text) {
        Some(time) => Time {
            exact: Some(time.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
            text: time.format("%-d %b %Y, %H:%M UTC").to_string(),
        },
        None => match text.parse::<NaiveDateTime>() {
            Ok(time) => Time { exact: Some(text.to_owned()), text: time.format("%-d %b %Y, %H:%M").to_string() },
            Err(_) => match text.parse::<NaiveDate>() {
                Ok(date) => Time { exact: Some(text.to_owned()), text: date.format("%-d %b %Y").to_string() },
                Err(_) => Time { exact: None, text: text.to_owned() },
            },
        },
    }
}

/// The instant that a text names.
pub(super) fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// What sorts newer times before older ones, and those that are none after all others.
pub(super) fn newest_first(text: Option<&str>) -> String {
    let seconds = text.and_then(|text| {
        let local = || text.parse::<NaiveDateTime>().ok().map(|time| time.and_utc());
        let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|time| time.and_utc());
        instant(text).or_else(local).or_else(day).map(|time| time.timestamp())
    });
    match seconds {
        Some(seconds) => format!("{:020}", i64::MAX.abs_diff(seconds)),
        None => "~".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_comes_first_whatever_the_zone() {
        let mut times = [
            None,
            Some("soon"),
            Some("2020-01-01"),
            Some("1969-01-01T00:00:00Z"),
            Some("2021-05-05T12:00:00+02:00"),
            Some("2021-05-05T11:00:00Z"),
            Some("2021-05-05T10:30:00"),
        ];
        times.sort_by_key(|time| newest_first(*time));
        assert_eq!(
            times,
            [
                Some("2021-05-05T11:00:00Z"),
                Some("2021-05-05T10:30:00"),
                Some("2021-05-05T12:00:00+02:00"),
                Some("2020-01-01"),
                Some("1969-01-01T00:00:00Z"),
                None,
                Some("soon")
            ]
        );
    }

    #[test]
    fn what_is_no_time_stays_as_it_is() {
        let shown = |text: &str| (time_view(text).text, time_view(text).exact.is_some());
        assert_eq!(shown("2026-01-05T09:03:00Z"), ("5 Jan 2026, 09:03 UTC".to_owned(), true));
        assert_eq!(shown("2026-01-05T09:03:00"), ("5 Jan 2026, 09:03".to_owned(), true));
        assert_eq!(shown("last week"), ("last week".to_owned(), false));
    }
}
