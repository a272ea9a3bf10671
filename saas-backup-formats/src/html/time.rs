//! Times for a person.

use chrono::{NaiveDate, NaiveDateTime};

use super::view::Time;
use crate::pages::instant;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_stays_as_it_is() {
        let shown = |text: &str| (time_view(text).text, time_view(text).exact.is_some());
        assert_eq!(shown("2026-01-05T09:03:00Z"), ("5 Jan 2026, 09:03 UTC".to_owned(), true));
        assert_eq!(shown("2026-01-05T09:03:00"), ("5 Jan 2026, 09:03".to_owned(), true));
        assert_eq!(shown("last week"), ("last week".to_owned(), false));
    }
}
