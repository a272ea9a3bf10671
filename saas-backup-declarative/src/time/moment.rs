use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use super::{DateFormat, Period};

/// A time with its offset from UTC, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) DateTime<FixedOffset>);

/// What texts without a stated format are tried as, in this order.
const FORMS: [&str; 10] = [
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
];

impl Moment {
    pub(crate) fn utc(self) -> DateTime<Utc> {
        self.0.to_utc()
    }

    /// Microseconds of Unix time.
    pub(crate) fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    pub(crate) fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(Self::from)
    }

    /// A time without an offset is one of UTC.
    pub(crate) fn from_naive(naive: NaiveDateTime) -> Self {
        naive.and_utc().into()
    }

    /// Reads a time in one of the usual forms, or a number of seconds.
    pub(crate) fn parse_any(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse::<f64>() {
            // Thirteen digits are milliseconds, as in Airbyte's parser.
            let seconds = if number.abs() >= 1e11 { number / 1000.0 } else { number };
            return Self::from_micros((seconds * 1e6).round() as i64);
        }
        FORMS.iter().find_map(|form| DateFormat::parse(form).read(text)).or_else(|| {
            DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text)).ok().map(Self)
        })
    }

    pub(crate) fn plus(self, period: &Period) -> Option<Self> {
        period.add_to(self, 1)
    }

    pub(crate) fn minus(self, period: &Period) -> Option<Self> {
        period.add_to(self, -1)
    }

    pub(crate) fn shifted(self, by: TimeDelta) -> Option<Self> {
        self.0.checked_add_signed(by).map(Self)
    }

    pub(crate) fn date(self) -> NaiveDate {
        self.0.date_naive()
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.fixed_offset())
    }
}
