//! Values as Python prints, counts and compares them.
#![expect(clippy::cast_precision_loss, reason = "Python's floats lose the same")]

use std::cmp::Ordering;
use std::fmt::Write as _;

use minijinja::value::ValueKind;

use super::Value;
use super::dates::Time;
use super::failure::{Failure, Outcome};
use super::limits::{MAX_DEPTH, held};

/// A number; booleans count as ones.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::Bool => Some(Self::Integer(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok().map(Self::Integer),
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Self::Float),
            _ => None,
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => Some(left.cmp(&right)),
            (left, right) => left.float().partial_cmp(&right.float()),
        }
    }
}

pub(super) fn integer(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

/// A whole number, not a boolean made of one: an index, a count.
pub(super) fn as_index(value: &Value) -> Option<i128> {
    match Number::of(value) {
        Some(Number::Integer(number)) => Some(number),
        _ => None,
    }
}

/// The members of a list, a tuple or another row of values; nothing for texts and maps.
pub(super) fn row(value: &Value) -> Option<Vec<Value>> {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
        .then(|| value.try_iter().ok().map(Iterator::collect))?
}

/// The keys and values of a map.
pub(super) fn pairs(value: &Value) -> Option<Vec<(Value, Value)>> {
    if value.kind() != ValueKind::Map {
        return None;
    }
    value.as_object()?.try_iter_pairs().map(Iterator::collect)
}

/// What a loop goes over: members, keys or characters.
pub(super) fn items(value: &Value) -> Outcome<Vec<Value>> {
    match value.kind() {
        ValueKind::Undefined => Ok(Vec::new()),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().chars().map(Value::from).collect()),
        ValueKind::Map => Ok(pairs(value).unwrap_or_default().into_iter().map(|(key, _)| key).collect()),
        _ => row(value).ok_or(Failure::Type),
    }
}

pub(super) fn truth(value: &Value) -> bool {
    match Time::of(value) {
        Some(time) => time.is_true(),
        None => value.is_true(),
    }
}

/// A value as `str` prints it.
pub(crate) fn python_str(value: &Value) -> String {
    match (value.kind(), value.as_str()) {
        (ValueKind::Undefined, _) => String::new(),
        (_, Some(text)) => text.to_owned(),
        _ => match Time::of(value) {
            Some(time) => time.to_string(),
            None => python_repr(value),
        },
    }
}

/// A value as `repr` prints it.
pub(crate) fn python_repr(value: &Value) -> String {
    let mut out = String::new();
    // What exceeds a bound is cut off there; what is evaluated was bounded before.
    let _ = repr(value, &mut out, 0);
    out
}

fn repr(value: &Value, out: &mut String, depth: usize) -> Outcome<()> {
    if depth > 2 * MAX_DEPTH {
        return Err(Failure::Type);
    }
    held(out.len())?;
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => match Number::of(value) {
            Some(Number::Float(number)) => out.push_str(&python_float(number)),
            _ => {
                let _ = write!(out, "{value}");
            }
        },
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Map => {
            out.push('{');
            for (at, (key, value)) in pairs(value).unwrap_or_default().iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                repr(key, out, depth + 1)?;
                out.push_str(": ");
                repr(value, out, depth + 1)?;
            }
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let all = row(value).unwrap_or_default();
            let [open, close] = if value.is_tuple() { ['(', ')'] } else { ['[', ']'] };
            out.push(open);
            for (at, one) in all.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                repr(one, out, depth + 1)?;
            }
            out.push_str(if value.is_tuple() && all.len() == 1 { "," } else { "" });
            out.push(close);
        }
        _ => match Time::of(value) {
            Some(time) => out.push_str(&time.repr()),
            None => {
                let _ = write!(out, "{value}");
            }
        },
    }
    Ok(())
}

fn quote(text: &str, out: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for next in text.chars() {
        let code = next as u32;
        let _ = match next {
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            _ if next == mark => write!(out, "\\{next}"),
            _ if is_printable(next) => out.write_char(next),
            _ if code < 0x100 => write!(out, "\\x{code:02x}"),
            _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out.push(mark);
}

/// Whether Python prints a character as it is; of characters that are seldom seen, it may err.
fn is_printable(next: char) -> bool {
    next == ' '
        || !(next.is_control()
            || next.is_whitespace()
            || matches!(next, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(next, '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..))
}

/// A float as Python prints it: the fewest digits that read back as the same.
pub(crate) fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let short = format!("{number:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 || (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

pub(super) fn equal(left: &Value, right: &Value) -> bool {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        return left == right;
    }
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return left.order(right) == Some(Ordering::Equal);
    }
    if left.kind() != right.kind() && !(row(left).is_some() && row(right).is_some()) {
        return false;
    }
    match left.kind() {
        ValueKind::None | ValueKind::Undefined => true,
        ValueKind::Seq | ValueKind::Iterable => {
            let (Some(one), Some(other)) = (row(left), row(right)) else { return false };
            left.is_tuple() == right.is_tuple()
                && one.len() == other.len()
                && one.iter().zip(&other).all(|(left, right)| equal(left, right))
        }
        ValueKind::Map => {
            let (Some(one), Some(other)) = (pairs(left), pairs(right)) else { return false };
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.iter().any(|(name, held)| equal(key, name) && equal(value, held)))
        }
        _ => match (Time::of(left), Time::of(right)) {
            (Some(left), Some(right)) => left.order(right).is_ok_and(|order| order == Ordering::Equal),
            _ => left == right,
        },
    }
}

/// How two values stand to each other; nothing for a float that is no number.
pub(super) fn order(left: &Value, right: &Value) -> Outcome<Option<Ordering>> {
    if left.is_undefined() || right.is_undefined() {
        return Err(Failure::Undefined);
    }
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        return Ok(Some(left.cmp(right)));
    }
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return Ok(left.order(right));
    }
    if let (Some(left), Some(right)) = (Time::of(left), Time::of(right)) {
        return left.order(right).map(Some);
    }
    if left.is_tuple() != right.is_tuple() {
        return Err(Failure::Type);
    }
    let (Some(left), Some(right)) = (row(left), row(right)) else { return Err(Failure::Type) };
    for (one, other) in left.iter().zip(&right) {
        if !equal(one, other) {
            return order(one, other);
        }
    }
    Ok(Some(left.len().cmp(&right.len())))
}

/// Whether a value is in a text, a list or the keys of a map.
pub(super) fn contains(whole: &Value, part: &Value) -> Outcome<bool> {
    if let Some(text) = whole.as_str() {
        return part.as_str().map(|part| text.contains(part)).ok_or(Failure::Type);
    }
    if whole.kind() == ValueKind::Map && part.as_str().is_some() {
        return Ok(!whole.get_item(part).unwrap_or_default().is_undefined() || keyed(whole, part));
    }
    Ok(items(whole)?.iter().any(|one| equal(one, part)))
}

fn keyed(map: &Value, key: &Value) -> bool {
    pairs(map).unwrap_or_default().iter().any(|(name, _)| equal(name, key))
}
