use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use chrono::{Datelike as _, TimeDelta, Timelike as _};
use minijinja::value::{DynObject, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State};

use super::Value;
use crate::time::{DateFormat, Moment, Period};

/// A `datetime` of Python.
#[derive(Debug)]
struct DateTimeValue(Moment);

/// A `date` of Python.
#[derive(Debug)]
struct DateValue(Moment);

/// A `timedelta` of Python, or a duration with months.
#[derive(Debug)]
struct PeriodValue(Period);

pub(super) fn value(moment: Moment) -> Value {
    Value::from_object(DateTimeValue(moment))
}

pub(super) fn date(moment: Moment) -> Value {
    Value::from_object(DateValue(moment))
}

pub(super) fn period(period: Period) -> Value {
    Value::from_object(PeriodValue(period))
}

pub(super) fn moment_of(value: &Value) -> Option<Moment> {
    let time = value.downcast_object_ref::<DateTimeValue>().map(|time| time.0);
    time.or_else(|| value.downcast_object_ref::<DateValue>().map(|date| date.0))
}

/// A time plus or minus a duration.
pub(super) fn moved(value: &Value, by: &Value, sign: i32) -> Result<Value, Error> {
    let unfit = || Error::new(ErrorKind::InvalidOperation, "a time and a duration are needed");
    let period = by.downcast_object_ref::<PeriodValue>().ok_or_else(unfit)?.0;
    let moment = moment_of(value).ok_or_else(unfit)?;
    let moved = if sign > 0 { moment.plus(&period) } else { moment.minus(&period) }.ok_or_else(unfit)?;
    Ok(if value.downcast_object_ref::<DateValue>().is_some() { date(moved) } else { self::value(moved) })
}

/// How Python shows a time in a list.
pub(super) fn repr(value: &Value) -> Option<String> {
    let time = moment_of(value)?.0;
    if value.downcast_object_ref::<DateValue>().is_some() {
        return Some(format!("datetime.date({}, {}, {})", time.year(), time.month(), time.day()));
    }
    Some(format!(
        "datetime.datetime({}, {}, {}, {}, {}, tzinfo=datetime.timezone.utc)",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute()
    ))
}

/// `isoformat` with a separator.
fn iso(moment: Moment, separator: char) -> String {
    let format = if moment.0.nanosecond() == 0 { "%H:%M:%S" } else { "%H:%M:%S.%f" };
    let offset = DateFormat::parse("%z").write(moment);
    let offset = offset.split_at_checked(3).map_or_else(String::new, |(hours, minutes)| format!("{hours}:{minutes}"));
    format!(
        "{}{separator}{}{offset}",
        DateFormat::parse("%Y-%m-%d").write(moment),
        DateFormat::parse(format).write(moment)
    )
}

fn method(moment: Moment, of_date: bool, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let text = || {
        arguments.first().and_then(|argument| argument.as_str()).ok_or_else(|| Error::from(ErrorKind::MissingArgument))
    };
    Ok(match name {
        "strftime" => Value::from(DateFormat::parse(text()?).write(moment)),
        "isoformat" if of_date => Value::from(DateFormat::parse("%Y-%m-%d").write(moment)),
        "isoformat" => Value::from(iso(moment, 'T')),
        "timestamp" if !of_date => Value::from(moment.micros() as f64 / 1e6),
        "date" if !of_date => date(moment),
        "weekday" => Value::from(moment.0.weekday().num_days_from_monday()),
        "isoweekday" => Value::from(moment.0.weekday().number_from_monday()),
        "replace" => {
            let (given,): (minijinja::value::Kwargs,) = minijinja::value::from_args(arguments)?;
            let mut time = moment.0;
            for name in given.args() {
                let number: u32 = given.get(name)?;
                let replaced = match name {
                    "year" => time.with_year(number.cast_signed()),
                    "month" => time.with_month(number),
                    "day" => time.with_day(number),
                    "hour" => time.with_hour(number),
                    "minute" => time.with_minute(number),
                    "second" => time.with_second(number),
                    "microsecond" => time.with_nanosecond(number.saturating_mul(1000)),
                    _ => None,
                };
                time = replaced.ok_or_else(|| Error::from(ErrorKind::InvalidOperation))?;
            }
            if of_date { date(Moment(time)) } else { value(Moment(time)) }
        }
        _ => return Err(ErrorKind::UnknownMethod.into()),
    })
}

fn attribute(moment: Moment, name: &str) -> Option<Value> {
    let time = moment.0;
    Some(Value::from(match name {
        "year" => time.year(),
        "month" => time.month().cast_signed(),
        "day" => time.day().cast_signed(),
        "hour" => time.hour().cast_signed(),
        "minute" => time.minute().cast_signed(),
        "second" => time.second().cast_signed(),
        "microsecond" => (time.nanosecond() / 1000).cast_signed(),
        _ => return None,
    }))
}

impl Object for DateTimeValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        attribute(self.0, key.as_str()?)
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, name: &str, arguments: &[Value]) -> Result<Value, Error> {
        method(self.0, false, name, arguments)
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.micros().cmp(&other.downcast_ref::<Self>()?.0.micros()))
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&iso(self.0, ' '))
    }
}

impl Object for DateValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        attribute(self.0, key.as_str()?)
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, name: &str, arguments: &[Value]) -> Result<Value, Error> {
        method(self.0, true, name, arguments)
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.date().cmp(&other.downcast_ref::<Self>()?.0.date()))
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&DateFormat::parse("%Y-%m-%d").write(self.0))
    }
}

impl Object for PeriodValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As Python prints a `timedelta`.
        let zero = Moment::from_micros(0).and_then(|zero| zero.plus(&self.0)).map_or(0, Moment::micros);
        let (days, rest) = (zero.div_euclid(86_400_000_000), zero.rem_euclid(86_400_000_000));
        if days != 0 {
            write!(formatter, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" })?;
        }
        let time = TimeDelta::microseconds(rest);
        write!(formatter, "{}:{:02}:{:02}", time.num_hours(), time.num_minutes() % 60, time.num_seconds() % 60)
    }
}
