//! Columns of plain values.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::table::{Scalar, Seen, Shape};

const UTC: &str = "UTC";

/// A column of plain values of one type.
#[derive(Debug)]
pub(super) enum Leaf {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    /// Digits in all and behind the point, and the column.
    Decimal(u8, usize, Decimal128Builder),
    Text(StringBuilder),
    Date(Date32Builder),
    /// With its zone, which is UTC, or without one.
    Time(bool, TimestampMicrosecondBuilder),
}

impl Leaf {
    pub(super) fn text() -> Self {
        Self::Text(StringBuilder::new())
    }

    pub(super) fn integer() -> Self {
        Self::Integer(Int64Builder::new())
    }

    pub(super) fn instant() -> Self {
        Self::time(true)
    }

    fn time(zone: bool) -> Self {
        let builder = TimestampMicrosecondBuilder::new();
        Self::Time(zone, if zone { builder.with_timezone(UTC) } else { builder })
    }

    /// The column in which every value that was seen keeps what it means.
    pub(super) fn of(scalar: Scalar, shape: &Shape) -> Self {
        let exact = !shape.seen.any(Seen::FINE);
        match scalar {
            Scalar::Boolean => Self::Boolean(BooleanBuilder::new()),
            Scalar::Integer => Self::integer(),
            Scalar::Number => Self::number(shape),
            Scalar::Date => Self::Date(Date32Builder::new()),
            Scalar::Instant if exact => Self::time(true),
            Scalar::Local if exact => Self::time(false),
            Scalar::Text | Scalar::Instant | Scalar::Local => Self::text(),
        }
    }

    fn number(shape: &Shape) -> Self {
        let (whole, fraction) = shape.digits;
        let precision = u8::try_from(whole + fraction).unwrap_or(u8::MAX);
        let builder = i8::try_from(fraction).ok().filter(|_| !shape.seen.any(Seen::ODD)).and_then(|scale| {
            let fits = precision <= DECIMAL128_MAX_PRECISION;
            fits.then(|| Decimal128Builder::new().with_precision_and_scale(precision, scale).ok()).flatten()
        });
        builder.map_or_else(Self::text, |builder| Self::Decimal(precision, fraction, builder))
    }

    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean(_) => DataType::Boolean,
            Self::Integer(_) => DataType::Int64,
            Self::Decimal(precision, scale, _) => {
                DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            Self::Text(_) => DataType::Utf8,
            Self::Date(_) => DataType::Date32,
            Self::Time(zone, _) => DataType::Timestamp(TimeUnit::Microsecond, zone.then(|| UTC.into())),
        }
    }

    pub(super) fn null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_null(),
            Self::Decimal(_, _, builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(_, builder) => builder.append_null(),
        }
    }

    pub(super) fn boolean(&mut self, truth: bool) {
        match self {
            Self::Boolean(builder) => builder.append_value(truth),
            other => other.null(),
        }
    }

    pub(super) fn maybe(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.value(text),
            None => self.null(),
        }
    }

    /// Takes a number or text, in the form that was seen before.
    pub(super) fn value(&mut self, text: &str) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_option(text.parse().ok()),
            Self::Decimal(_, scale, builder) => builder.append_option(decimal(text, *scale)),
            Self::Text(builder) => builder.append_value(text),
            Self::Date(builder) => builder.append_option(date(text)),
            Self::Time(_, builder) => builder.append_option(micros(text)),
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Decimal(_, _, builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Time(_, builder) => Arc::new(builder.finish()),
        }
    }
}

/// The digits of a number as an integer, with so many behind the point.
fn decimal(token: &str, scale: usize) -> Option<i128> {
    let (whole, fraction) = token.split_once('.').unwrap_or((token, ""));
    let mut digits = String::with_capacity(whole.len() + scale);
    digits.push_str(whole);
    digits.push_str(fraction);
    digits.extend(std::iter::repeat_n('0', scale.checked_sub(fraction.len())?));
    digits.parse().ok()
}

fn date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn micros(text: &str) -> Option<i64> {
    let instant = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_micros());
    let local =
        || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|time| time.and_utc().timestamp_micros());
    instant.or_else(|_| local()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_what_they_mean() {
        assert_eq!(decimal("-1.10", 3), Some(-1100));
        assert_eq!(decimal("18446744073709551616", 0), Some(1 << 64));
        assert_eq!(decimal("-0.5", 2), Some(-50));
        assert_eq!(decimal("1.234", 2), None);
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("1969-12-31"), Some(-1));
        assert_eq!(micros("1970-01-01T00:00:01.5Z"), Some(1_500_000));
        assert_eq!(micros("1970-01-01T00:00:01"), Some(1_000_000));
        assert_eq!(micros("0001-01-01T00:00:00Z"), Some(-62_135_596_800_000_000));
    }
}
