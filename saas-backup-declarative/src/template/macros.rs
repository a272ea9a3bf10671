//! The functions that templates can call.

use std::cmp::Ordering;
use std::sync::Arc;

use chrono_tz::Tz;
use minijinja::value::ValueKind;
use saas_backup_core::{Error, ErrorKind};

use super::Value;
use super::dates::Time;
use super::dict::Dict;
use super::eval::Machine;
use super::failure::{Failure, Outcome, wrong};
use super::kept::Kept;
use super::methods::Given;
use super::python::{Number, as_index, integer, items, order, pairs};
use super::text::{camel_to_snake, quote_plus};
use crate::time::{DateFormat, Moment, Pattern, Period, read_iso, strftime};

const DAY: f64 = 86_400e6;

pub(super) fn call(machine: &Machine<'_>, name: &str, given: &Given) -> Outcome<Value> {
    let now = || machine.scope.now();
    match name {
        "now_utc" => Ok(Time::from(now()).into()),
        "today_utc" => Ok(Time::Day(now().local().date()).into()),
        "today_with_timezone" => {
            let zone: Tz = given
                .text(0, "timezone")?
                .parse()
                .map_err(|_| wrong("a template names a time zone that is not known"))?;
            Ok(Time::Day(now().utc().with_timezone(&zone).date_naive()).into())
        }
        "timestamp" => {
            let value = given.need(0, "dt")?;
            match Number::of(&value) {
                Some(Number::Integer(number)) => Ok(integer(number)),
                Some(Number::Float(number)) if number.is_finite() => Ok(integer(number as i128)),
                _ => Ok(to_time(&value)?.seconds().into()),
            }
        }
        "str_to_datetime" => Ok(Time::from(to_time(&given.need(0, "s")?)?).into()),
        "max" => extreme(given, Ordering::Greater),
        "min" => extreme(given, Ordering::Less),
        "day_delta" => {
            let days = given.need(0, "num_days")?;
            let days = Number::of(&days).ok_or(Failure::Type)?.float() * DAY;
            if days.is_nan() || days.abs() >= 9e18 {
                return Err(wrong("a template leaves the calendar"));
            }
            let period = Period { months: 0, micros: days as i64 };
            let moved = now().plus(&period).ok_or_else(|| wrong("a template leaves the calendar"))?;
            let format = given.optional_text(1, "format")?;
            let format = format.as_deref().unwrap_or("%Y-%m-%dT%H:%M:%S.%f%z");
            Ok(strftime(moved.local(), Some(moved.offset()), format).into())
        }
        "duration" => {
            let text = given.text(0, "datestring")?;
            Period::parse(&text)
                .map(|period| Time::Span(period).into())
                .ok_or_else(|| wrong("a template has a duration of no known form"))
        }
        "format_datetime" => format_datetime(given),
        "sanitize_url" => Ok(quote_plus(&given.text(0, "value")?).into()),
        "camel_case_to_snake_case" => Ok(camel_to_snake(&given.text(0, "value")?).into()),
        "generate_uuid" => uuid(),
        "dict" => {
            let mut dict: Dict = given.placed.first().and_then(pairs).unwrap_or_default().into_iter().collect();
            given.named.iter().for_each(|(name, value)| dict.set(Value::from(&**name), value.clone()));
            Ok(dict.into())
        }
        "lipsum" | "cycler" | "joiner" => Err(Error::new(ErrorKind::Unsupported, "a template calls what is not there")
            .with_context("function", name)
            .into()),
        _ => Err(Failure::Undefined),
    }
}

fn to_time(value: &Value) -> Outcome<Moment> {
    let text = value.as_str().ok_or_else(|| match value.kind() {
        ValueKind::Undefined => Failure::Undefined,
        // What has a length is taken for a text that is none.
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => no_time(),
        _ => Failure::Type,
    })?;
    let (local, offset) = read_iso(text).ok_or_else(no_time)?;
    Moment::of(local, offset).map(|moment| Moment::from(moment.utc())).ok_or_else(no_time)
}

fn no_time() -> Failure {
    wrong("a template has a time of no known form")
}

fn format_datetime(given: &Given) -> Outcome<Value> {
    let value = given.need(0, "dt")?;
    let format = given.text(1, "format")?;
    let input = given.optional_text(2, "input_format")?;
    if let Some(Time::Point(local, offset)) = Time::of(&value) {
        return Ok(strftime(local, offset, &format).into());
    }
    let time = match (as_index(&value), input) {
        (Some(number), input) => date_format(input.as_deref().unwrap_or("%s"))?.read(&number.to_string()),
        (None, Some(input)) => {
            let (local, offset) = strptime(&input)?.read(value.as_str().ok_or(Failure::Type)?).ok_or_else(no_time)?;
            Moment::of(local, offset)
        }
        (None, None) => Some(to_time(&value)?),
    };
    Ok(date_format(&format)?.write(time.ok_or_else(no_time)?).into())
}

fn date_format(text: &str) -> Outcome<Arc<DateFormat>> {
    static KEPT: Kept<DateFormat> = Kept::new();
    KEPT.get(text, |text| Ok(DateFormat::parse(text)))
}

fn strptime(text: &str) -> Outcome<Arc<Pattern>> {
    static KEPT: Kept<Pattern> = Kept::new();
    KEPT.get(text, |text| Ok(Pattern::of(text)))
}

fn extreme(given: &Given, wanted: Ordering) -> Outcome<Value> {
    let all = match given.placed.as_slice() {
        [] => return Err(Failure::Type),
        [only] => items(only)?,
        all => all.to_vec(),
    };
    best(all, wanted)?.ok_or_else(|| wrong("a template wants the least or the most of nothing"))
}

/// The first of those that nothing exceeds.
pub(super) fn best(all: Vec<Value>, wanted: Ordering) -> Outcome<Option<Value>> {
    let mut all = all.into_iter();
    let Some(mut best) = all.next() else { return Ok(None) };
    for one in all {
        if order(&one, &best)? == Some(wanted) {
            best = one;
        }
    }
    Ok(Some(best))
}

fn uuid() -> Outcome<Value> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Unavailable, "the system gives no random numbers"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |from: usize, to: usize| number.get(from..to).unwrap_or_default();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-").into())
}
