//! Dates, times and their differences as values.
#![expect(clippy::cast_precision_loss, reason = "Python's floats lose the same")]

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter, Write as _};
use std::sync::Arc;

use chrono::{Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, Offset as _, Timelike as _, Utc};
use minijinja::value::{Object, ObjectRepr};

use super::Value;
use super::failure::{Failure, Outcome, wrong};
use super::methods::Given;
use super::python::{as_index, python_str};
use crate::time::{Moment, Period, plain_offset, shift, strftime};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Time {
    /// A time of the calendar, with an offset or without.
    Point(NaiveDateTime, Option<FixedOffset>),
    Day(NaiveDate),
    Span(Period),
}

impl Object for Time {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl From<Time> for Value {
    fn from(time: Time) -> Self {
        Self::from_object(time)
    }
}

impl From<Moment> for Time {
    fn from(moment: Moment) -> Self {
        Self::Point(moment.local(), Some(moment.offset()))
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point(local, offset) => f.write_str(&iso(*local, *offset, ' ')),
            Self::Day(day) => f.write_str(&iso_day(*day)),
            Self::Span(period) => {
                let (years, months) = (period.months / 12, period.months % 12);
                if years != 0 {
                    write!(f, "{years} years, ")?;
                }
                if months != 0 {
                    write!(f, "{months} month{}, ", if months <= 1 { "" } else { "s" })?;
                }
                f.write_str(&span(period.micros))
            }
        }
    }
}

const DAY: i64 = 86_400_000_000;

fn iso_day(day: NaiveDate) -> String {
    format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day())
}

fn iso(local: NaiveDateTime, offset: Option<FixedOffset>, between: char) -> String {
    let time = local.time();
    let mut text =
        format!("{}{between}{:02}:{:02}:{:02}", iso_day(local.date()), time.hour(), time.minute(), time.second());
    if time.nanosecond() != 0 {
        let _ = write!(text, ".{:06}", time.nanosecond() / 1000);
    }
    text + &offset.map(|offset| plain_offset(offset, ":")).unwrap_or_default()
}

fn span(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let seconds = rest / 1_000_000;
    let mut text = match days {
        0 => String::new(),
        _ => format!("{days} day{}, ", if days.abs() == 1 { "" } else { "s" }),
    };
    let _ = write!(text, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if rest % 1_000_000 != 0 {
        let _ = write!(text, ".{:06}", rest % 1_000_000);
    }
    text
}

fn outside() -> Failure {
    wrong("a template leaves the calendar")
}

impl Time {
    pub(super) fn of(value: &Value) -> Option<Self> {
        value.downcast_object_ref::<Self>().copied()
    }

    pub(super) fn is_true(self) -> bool {
        !matches!(self, Self::Span(period) if period.is_zero())
    }

    pub(super) fn repr(self) -> String {
        match self {
            Self::Point(local, offset) => {
                let time = local.time();
                let mut text = format!(
                    "datetime.datetime({}, {}, {}, {}, {}",
                    local.year(),
                    local.month(),
                    local.day(),
                    time.hour(),
                    time.minute()
                );
                let micros = time.nanosecond() / 1000;
                if time.second() != 0 || micros != 0 {
                    let _ = write!(text, ", {}", time.second());
                }
                if micros != 0 {
                    let _ = write!(text, ", {micros}");
                }
                text + if offset.is_some() { ", tzinfo=datetime.timezone.utc)" } else { ")" }
            }
            Self::Day(day) => format!("datetime.date({}, {}, {})", day.year(), day.month(), day.day()),
            Self::Span(period) => {
                let (days, rest) = (period.micros.div_euclid(DAY), period.micros.rem_euclid(DAY));
                let parts = [("days", days), ("seconds", rest / 1_000_000), ("microseconds", rest % 1_000_000)];
                let parts: Vec<String> = parts
                    .iter()
                    .filter(|(_, count)| *count != 0)
                    .map(|(name, count)| format!("{name}={count}"))
                    .collect();
                format!("datetime.timedelta({})", if parts.is_empty() { "0".to_owned() } else { parts.join(", ") })
            }
        }
    }

    pub(super) fn order(self, other: Self) -> Outcome<Ordering> {
        match (self, other) {
            (Self::Point(left, None), Self::Point(right, None)) => Ok(left.cmp(&right)),
            (Self::Point(left, Some(one)), Self::Point(right, Some(two))) => Ok((left - one).cmp(&(right - two))),
            (Self::Day(left), Self::Day(right)) => Ok(left.cmp(&right)),
            (Self::Span(left), Self::Span(right)) if left.months == right.months => Ok(left.micros.cmp(&right.micros)),
            _ => Err(Failure::Type),
        }
    }

    pub(super) fn plus(self, other: Self) -> Outcome<Self> {
        Ok(match (self, other) {
            (Self::Span(left), Self::Span(right)) => Self::Span(Period {
                months: left.months + right.months,
                micros: left.micros.checked_add(right.micros).ok_or_else(outside)?,
            }),
            (Self::Point(local, offset), Self::Span(period)) | (Self::Span(period), Self::Point(local, offset)) => {
                Self::Point(shift(local, &period).ok_or_else(outside)?, offset)
            }
            (Self::Day(day), Self::Span(period)) | (Self::Span(period), Self::Day(day)) => {
                Self::Day(whole(day, &period, 1)?)
            }
            _ => return Err(Failure::Type),
        })
    }

    pub(super) fn minus(self, other: Self) -> Outcome<Self> {
        let between = |left: NaiveDateTime, right: NaiveDateTime| {
            let micros = (left - right).num_microseconds().ok_or_else(outside)?;
            Ok(Self::Span(Period { months: 0, micros }))
        };
        match (self, other) {
            (Self::Day(day), Self::Span(period)) => Ok(Self::Day(whole(day, &period, -1)?)),
            (_, Self::Span(period)) => self.plus(Self::Span(period.negated())),
            (Self::Day(left), Self::Day(right)) => between(left.into(), right.into()),
            (Self::Point(left, None), Self::Point(right, None)) => between(left, right),
            (Self::Point(left, Some(one)), Self::Point(right, Some(two))) => between(left - one, right - two),
            _ => Err(Failure::Type),
        }
    }

    pub(super) fn times(self, factor: f64) -> Outcome<Self> {
        match self {
            Self::Span(period) => {
                let micros = (period.micros as f64 * factor).round_ties_even();
                if micros.abs() > 9e18 {
                    return Err(outside());
                }
                Ok(Self::Span(Period { months: (period.months as f64 * factor) as i64, micros: micros as i64 }))
            }
            _ => Err(Failure::Type),
        }
    }

    pub(super) fn member(self, name: &str) -> Option<Value> {
        let number = |number: u32| Value::from(number);
        Some(match (self, name) {
            (Self::Point(local, _), "hour") => number(local.hour()),
            (Self::Point(local, _), "minute") => number(local.minute()),
            (Self::Point(local, _), "second") => number(local.second()),
            (Self::Point(local, _), "microsecond") => number(local.nanosecond() / 1000),
            (Self::Point(_, offset), "tzinfo") => offset.map_or_else(|| Value::from(()), |_| Value::from("UTC")),
            (Self::Point(..) | Self::Day(_), "year") => self.day()?.year().into(),
            (Self::Point(..) | Self::Day(_), "month") => number(self.day()?.month()),
            (Self::Point(..) | Self::Day(_), "day") => number(self.day()?.day()),
            (Self::Span(period), "days") => period.micros.div_euclid(DAY).into(),
            (Self::Span(period), "seconds") => (period.micros.rem_euclid(DAY) / 1_000_000).into(),
            (Self::Span(period), "microseconds") => (period.micros.rem_euclid(1_000_000)).into(),
            (Self::Span(period), "years") => (period.months / 12).into(),
            (Self::Span(period), "months") => (period.months % 12).into(),
            _ => return None,
        })
    }

    fn day(self) -> Option<NaiveDate> {
        match self {
            Self::Point(local, _) => Some(local.date()),
            Self::Day(day) => Some(day),
            Self::Span(_) => None,
        }
    }

    pub(super) fn strftime(self, format: &str) -> Outcome<String> {
        match self {
            Self::Point(local, offset) => Ok(strftime(local, offset, format)),
            Self::Day(day) => Ok(strftime(day.into(), None, format)),
            Self::Span(_) => Err(Failure::Undefined),
        }
    }

    /// Seconds since 1970; a time without an offset is UTC.
    pub(super) fn seconds(self) -> Option<f64> {
        match self {
            Self::Point(local, offset) => {
                Some((local - offset.unwrap_or(Utc.fix())).and_utc().timestamp_micros() as f64 / 1e6)
            }
            _ => None,
        }
    }

    pub(super) fn call(self, name: &str, given: &Given) -> Outcome<Value> {
        match (self, name) {
            (Self::Span(period), "total_seconds") => Ok((period.micros as f64 / 1e6).into()),
            (Self::Span(_), _) => Err(Failure::Undefined),
            (_, "strftime" | "__format__") => Ok(self.strftime(&given.text(0, "format")?)?.into()),
            (Self::Point(local, offset), "isoformat") => {
                let between = given.find(0, "sep").map(|value| python_str(&value));
                let between = between.as_deref().and_then(|text| text.chars().next()).unwrap_or('T');
                Ok(iso(local, offset, between).into())
            }
            (Self::Day(day), "isoformat") => Ok(iso_day(day).into()),
            (Self::Point(..), "timestamp") => self.seconds().map(Value::from).ok_or(Failure::Type),
            (Self::Point(local, _), "date") => Ok(Self::Day(local.date()).into()),
            (Self::Point(local, _), "astimezone") => {
                match self.seconds().and_then(|seconds| Moment::from_micros((seconds * 1e6) as i64)) {
                    Some(moment) => Ok(Self::Point(moment.local(), Some(moment.offset())).into()),
                    None => Ok(Self::Point(local, Some(Utc.fix())).into()),
                }
            }
            (_, "replace") => self.replace(given),
            _ => {
                let day = self.day().ok_or(Failure::Undefined)?;
                match name {
                    "weekday" => Ok(day.weekday().num_days_from_monday().into()),
                    "isoweekday" => Ok(day.weekday().number_from_monday().into()),
                    "toordinal" => Ok(day.num_days_from_ce().into()),
                    _ => Err(Failure::Undefined),
                }
            }
        }
    }

    fn replace(self, given: &Given) -> Outcome<Value> {
        let part = |at: usize, name: &str, now: u32| -> Outcome<u32> {
            given.find(at, name).map_or(Ok(now), |value| {
                as_index(&value).and_then(|number| u32::try_from(number).ok()).ok_or(Failure::Type)
            })
        };
        let day = self.day().ok_or(Failure::Undefined)?;
        let year = part(0, "year", day.year().unsigned_abs())?.cast_signed();
        let day = NaiveDate::from_ymd_opt(year, part(1, "month", day.month())?, part(2, "day", day.day())?)
            .ok_or_else(outside)?;
        let Self::Point(local, offset) = self else { return Ok(Self::Day(day).into()) };
        let hms = [(3, "hour", local.hour()), (4, "minute", local.minute()), (5, "second", local.second())];
        let [hour, minute, second] = hms.map(|(at, name, now)| part(at, name, now));
        let micros = part(6, "microsecond", local.nanosecond() / 1000)?;
        let local = day.and_hms_micro_opt(hour?, minute?, second?, micros).ok_or_else(outside)?;
        let offset = match given.find(7, "tzinfo") {
            Some(zone) if zone.is_none() => None,
            _ => offset,
        };
        Ok(Self::Point(local, offset).into())
    }
}

/// A day knows no hours: what a difference has of them is lost, and a part of a negative day counts as a day.
fn whole(day: NaiveDate, period: &Period, sign: i64) -> Outcome<NaiveDate> {
    let micros = period.micros.div_euclid(DAY) * DAY;
    let period = Period { months: sign * period.months, micros: sign * micros };
    Ok(shift(day.into(), &period).ok_or_else(outside)?.date())
}
