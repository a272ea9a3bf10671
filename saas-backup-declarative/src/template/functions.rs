//! Airbyte's macros.

use chrono::TimeDelta;
use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, State};

use super::scope::CLOCK;
use super::{Value, datetime, python_str};
use crate::time::{DateFormat, Moment, Period};

pub(super) const NAMES: [&str; 14] = [
    "camel_case_to_snake_case",
    "day_delta",
    "duration",
    "format_datetime",
    "generate_uuid",
    "max",
    "min",
    "now_utc",
    "sanitize_url",
    "str_to_datetime",
    "timestamp",
    "today_utc",
    "today_with_timezone",
    "range",
];

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_function("now_utc", |state: &mut State<'_, '_>| now(state).map(datetime::value));
    environment.add_function("today_utc", |state: &mut State<'_, '_>| now(state).map(datetime::date));
    environment.add_function("today_with_timezone", |state: &mut State<'_, '_>, zone: &str| {
        // The zones that manifests name are UTC; others would need the database of zones.
        if matches!(zone, "UTC" | "GMT" | "Etc/UTC") { now(state).map(datetime::date) } else { Err(unfit()) }
    });
    environment.add_function("timestamp", |value: Value| match value.kind() {
        minijinja::value::ValueKind::Number => {
            i64::try_from(value.clone()).or_else(|_| f64::try_from(value).map(|value| value as i64))
        }
        _ => moment(&value).map(|moment| moment.micros().div_euclid(1_000_000)),
    });
    environment.add_function("max", |values: Rest<Value>| extreme(&values, std::cmp::Ordering::Greater));
    environment.add_function("min", |values: Rest<Value>| extreme(&values, std::cmp::Ordering::Less));
    environment.add_function(
        "day_delta",
        |state: &mut State<'_, '_>, days: Option<Value>, format: Option<Value>, named: Kwargs| {
            let days =
                argument(days, &named, "num_days")?.and_then(|days| i64::try_from(days).ok()).ok_or_else(unfit)?;
            let format = text(format, &named, "format")?;
            let moved = now(state)?.shifted(TimeDelta::try_days(days).ok_or_else(unfit)?).ok_or_else(unfit)?;
            Ok::<_, Error>(DateFormat::parse(format.as_deref().unwrap_or("%Y-%m-%dT%H:%M:%S.%f%z")).write(moved))
        },
    );
    environment.add_function("duration", |text: &str| {
        Period::parse(text).map(datetime::period).ok_or_else(|| Error::new(ErrorKind::EvalBlock, "not a duration"))
    });
    environment.add_function(
        "format_datetime",
        |time: Value, format: Option<Value>, input: Option<Value>, named: Kwargs| {
            let format = text(format, &named, "format")?.ok_or_else(unfit)?;
            let input = text(input, &named, "input_format")?;
            let time = match (input, time.as_str()) {
                (Some(input), Some(text)) => DateFormat::parse(&input).read(text).ok_or_else(unfit)?,
                _ => moment(&time)?,
            };
            Ok::<_, Error>(DateFormat::parse(&format).write(time))
        },
    );
    environment.add_function("str_to_datetime", |text: Value| moment(&text).map(datetime::value));
    environment.add_function("sanitize_url", |text: &str| {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    });
    environment.add_function("camel_case_to_snake_case", |text: &str| camel_to_snake_plain(text));
    environment.add_function("generate_uuid", || {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|_| unfit())?;
        let number = u128::from_be_bytes(bytes) & !(0xf << 76 | 0x3 << 62) | 4 << 76 | 2 << 62;
        let hex = format!("{number:032x}");
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
        Ok::<_, Error>([part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-"))
    });
    // Airbyte takes it away: a template could count for ever.
    environment.remove_global("range");
}

/// An argument by its place or its name.
fn argument(given: Option<Value>, named: &Kwargs, name: &str) -> Result<Option<Value>, Error> {
    let value = given.map_or_else(|| named.get::<Option<Value>>(name), |value| Ok(Some(value)))?;
    Ok(value.filter(|value| !value.is_none()))
}

fn text(given: Option<Value>, named: &Kwargs, name: &str) -> Result<Option<String>, Error> {
    Ok(argument(given, named, name)?.map(|value| python_str(&value)))
}

fn unfit() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the arguments do not fit")
}

fn now(state: &mut State<'_, '_>) -> Result<Moment, Error> {
    state.lookup(CLOCK).as_ref().and_then(datetime::moment_of).ok_or_else(unfit)
}

pub(super) fn moment(value: &Value) -> Result<Moment, Error> {
    match datetime::moment_of(value) {
        Some(moment) => Ok(moment),
        None if value.is_undefined() => Err(ErrorKind::UndefinedError.into()),
        None => Moment::parse_any(&python_str(value)).ok_or_else(|| Error::new(ErrorKind::EvalBlock, "not a time")),
    }
}

fn extreme(values: &[Value], wanted: std::cmp::Ordering) -> Result<Value, Error> {
    let items: Vec<Value> = match values {
        [single] => single.try_iter()?.collect(),
        several => several.to_vec(),
    };
    let mut items = items.into_iter();
    let mut found = items.next().ok_or_else(|| Error::new(ErrorKind::EvalBlock, "nothing to compare"))?;
    for item in items {
        if item.is_none() || found.is_none() {
            return Err(unfit());
        }
        if item.cmp(&found) == wanted {
            found = item;
        }
    }
    Ok(found)
}

/// `camelCase` as `camel_case`, as the macro does it.
fn camel_to_snake_plain(text: &str) -> String {
    let mut out = String::new();
    for (index, letter) in text.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// A key in snake case, as the transformation does it: words, capitals with what follows, and numbers are told apart.
pub(crate) fn camel_to_snake(key: &str) -> String {
    let mut tokens: Vec<String> = Vec::new();
    let letters: Vec<char> = key.chars().collect();
    let mut at = 0;
    while let Some(first) = letters.get(at) {
        let run =
            |from: usize, test: fn(&char) -> bool| letters.iter().skip(from).take_while(|letter| test(letter)).count();
        let length = if first.is_ascii_uppercase() {
            let capitals = run(at, char::is_ascii_uppercase);
            capitals + run(at + capitals, char::is_ascii_lowercase)
        } else if first.is_ascii_lowercase() {
            run(at, char::is_ascii_lowercase)
        } else if first.is_ascii_digit() {
            run(at, char::is_ascii_digit)
        } else {
            let others = run(at, |letter| !letter.is_ascii_alphanumeric());
            tokens.push(String::new());
            at += others;
            continue;
        };
        tokens.push(letters.iter().skip(at).take(length).collect());
        at += length;
    }
    if tokens.len() >= 3 {
        let last = tokens.len() - 1;
        let kept =
            tokens.iter().enumerate().filter(|(index, token)| *index == 0 || *index == last || !token.is_empty());
        tokens = kept.map(|(_, token)| token.clone()).collect();
    }
    if tokens.first().is_some_and(|first| first.starts_with(|letter: char| letter.is_ascii_digit())) {
        tokens.insert(0, String::new());
    }
    tokens.join("_").to_lowercase()
}
