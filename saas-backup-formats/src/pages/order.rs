//! How lists are sorted.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use saas_backup_core::{Collection, Record};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::form::value::time_of;

/// Text without accents, case and forms of letters.
pub(crate) fn fold(text: &str) -> String {
    let plain: String = text.nfkd().filter(|character| !is_combining_mark(*character)).collect();
    plain.to_lowercase().nfkd().filter(|character| !is_combining_mark(*character)).map(sigma).collect()
}

/// One letter that has a form of its own at the end of a word.
fn sigma(character: char) -> char {
    if character == 'ς' { 'σ' } else { character }
}

/// The instant that a text names.
pub(crate) fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// What sorts newer times before older ones, and those that are none after all others.
pub(crate) fn newest_first(text: Option<&str>) -> String {
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

/// The day of a record in UTC, as `2026-01-31`; `undated` if it has no time.
pub(crate) fn day_of(collection: &Collection, record: &Record) -> String {
    let mapped = time_of(collection, record).and_then(|text| {
        let local = || text.parse::<NaiveDateTime>().ok().map(|time| time.date());
        instant(&text).map(|time| time.date_naive()).or_else(local).or_else(|| text.parse().ok())
    });
    let day = mapped.or_else(|| record.created.or(record.modified).map(|time| time.date_naive()));
    day.map_or_else(|| "undated".to_owned(), |day| day.to_string())
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
}
