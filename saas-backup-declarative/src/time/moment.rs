use chrono::{DateTime, Days, FixedOffset, Months, NaiveDateTime, Offset, TimeDelta, Utc};

use super::{Period, read_any};

/// A point in time, exact to the microsecond, with the offset that it was written with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment(DateTime<FixedOffset>);

impl Moment {
    /// A time of the calendar at an offset; without one it is UTC.
    pub(crate) fn of(local: NaiveDateTime, offset: Option<FixedOffset>) -> Option<Self> {
        local.and_local_timezone(offset.unwrap_or(Utc.fix())).single().map(Self)
    }

    /// Microseconds since 1970, or nothing where Python's calendar ends (years 1 to 9999).
    pub(crate) fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(Self::from).filter(|moment| within(moment.0.naive_local()))
    }

    /// What can be read of any text that says a time: a count of seconds, ISO 8601, or one of the usual forms.
    pub(crate) fn parse_any(text: &str) -> Option<Self> {
        read_any(text)
    }

    pub(crate) fn utc(self) -> DateTime<Utc> {
        self.0.to_utc()
    }

    pub(crate) fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Seconds since 1970, as the nearest float.
    #[expect(clippy::cast_precision_loss, reason = "a calendar of 9999 years fits")]
    pub(crate) fn seconds(self) -> f64 {
        self.micros() as f64 / 1e6
    }

    pub(crate) fn local(self) -> NaiveDateTime {
        self.0.naive_local()
    }

    pub(crate) fn offset(self) -> FixedOffset {
        *self.0.offset()
    }

    pub(crate) fn plus(self, period: &Period) -> Option<Self> {
        Self::of(shift(self.local(), period)?, Some(self.offset()))
    }

    pub(crate) fn minus(self, period: &Period) -> Option<Self> {
        self.plus(&period.negated())
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.fixed_offset())
    }
}

/// Months first, where the day is held within the month, then the rest.
pub(crate) fn shift(local: NaiveDateTime, period: &Period) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(period.months.unsigned_abs()).ok()?);
    let moved = if period.months < 0 { local.checked_sub_months(count)? } else { local.checked_add_months(count)? };
    let days = period.micros.div_euclid(DAY);
    let count = Days::new(days.unsigned_abs());
    let moved = if days < 0 { moved.checked_sub_days(count)? } else { moved.checked_add_days(count)? };
    moved.checked_add_signed(TimeDelta::microseconds(period.micros.rem_euclid(DAY))).filter(|time| within(*time))
}

const DAY: i64 = 86_400_000_000;

fn within(local: NaiveDateTime) -> bool {
    use chrono::Datelike as _;
    (1..=9999).contains(&local.year())
}
