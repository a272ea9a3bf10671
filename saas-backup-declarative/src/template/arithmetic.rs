//! Python's operators.
#![expect(clippy::cast_precision_loss, reason = "Python's floats lose the same")]

use minijinja::value::{Tuple, ValueKind};

use super::Value;
use super::dates::Time;
use super::failure::{Failure, Outcome, wrong};
use super::limits::held;
use super::printf;
use super::python::{Number, as_index, integer, items, row};
use super::tree::Op;

fn large() -> Failure {
    wrong("a number of a template becomes too large")
}

fn by_zero() -> Failure {
    wrong("a template divides by zero")
}

pub(super) fn negative(value: &Value) -> Outcome<Value> {
    if let Some(time) = Time::of(value) {
        return Ok(time.times(-1.0)?.into());
    }
    match number(value)? {
        Number::Integer(number) => number.checked_neg().map(integer).ok_or_else(large),
        Number::Float(number) => Ok((-number).into()),
    }
}

pub(super) fn positive(value: &Value) -> Outcome<Value> {
    number(value).map(of_number)
}

fn of_number(number: Number) -> Value {
    match number {
        Number::Integer(number) => integer(number),
        Number::Float(number) => number.into(),
    }
}

fn number(value: &Value) -> Outcome<Number> {
    if value.is_undefined() {
        return Err(Failure::Undefined);
    }
    Number::of(value).ok_or(Failure::Type)
}

pub(super) fn binary(operator: Op, left: &Value, right: &Value) -> Outcome<Value> {
    if let (Op::Mod, Some(text)) = (operator, left.as_str()) {
        return Ok(printf::format(text, right)?.into());
    }
    if left.is_undefined() || right.is_undefined() {
        return Err(Failure::Undefined);
    }
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return numbers(operator, left, right);
    }
    match operator {
        Op::Add => add(left, right),
        Op::Sub => match (Time::of(left), Time::of(right)) {
            (Some(left), Some(right)) => Ok(left.minus(right)?.into()),
            _ => Err(Failure::Type),
        },
        Op::Mul => match repeat(left, right) {
            Err(Failure::Type) => repeat(right, left),
            done => done,
        },
        Op::Div | Op::FloorDiv => match (Time::of(left), Time::of(right), Number::of(right)) {
            (Some(Time::Span(one)), Some(Time::Span(other)), _)
                if other.micros != 0 && one.months == 0 && other.months == 0 =>
            {
                Ok(if operator == Op::Div {
                    (one.micros as f64 / other.micros as f64).into()
                } else {
                    one.micros.div_euclid(other.micros).into()
                })
            }
            (Some(span), None, Some(number)) if number.float() != 0.0 => Ok(span.times(1.0 / number.float())?.into()),
            _ => Err(Failure::Type),
        },
        _ => Err(Failure::Type),
    }
}

fn add(left: &Value, right: &Value) -> Outcome<Value> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        held(left.len() + right.len())?;
        return Ok([left, right].concat().into());
    }
    if let (Some(left), Some(right)) = (Time::of(left), Time::of(right)) {
        return Ok(left.plus(right)?.into());
    }
    match (row(left), row(right)) {
        (Some(mut all), Some(more)) if left.is_tuple() == right.is_tuple() => {
            held(all.len() + more.len())?;
            all.extend(more);
            Ok(if left.is_tuple() { Value::from(Tuple::new(all)) } else { all.into() })
        }
        _ => Err(Failure::Type),
    }
}

fn repeat(whole: &Value, count: &Value) -> Outcome<Value> {
    if let (Some(time), Some(number)) = (Time::of(whole), Number::of(count)) {
        return Ok(time.times(number.float())?.into());
    }
    let count = as_index(count).ok_or(Failure::Type)?.max(0);
    let count = usize::try_from(count).map_err(|_| large())?;
    if let Some(text) = whole.as_str() {
        held(text.len().saturating_mul(count))?;
        return Ok(text.repeat(count).into());
    }
    let all = row(whole).ok_or(Failure::Type)?;
    held(all.len().saturating_mul(count))?;
    let all: Vec<Value> = std::iter::repeat_n(all, count).flatten().collect();
    Ok(if whole.is_tuple() { Value::from(Tuple::new(all)) } else { all.into() })
}

fn numbers(operator: Op, left: Number, right: Number) -> Outcome<Value> {
    if let (Number::Integer(left), Number::Integer(right)) = (left, right) {
        let whole = match operator {
            Op::Add => left.checked_add(right),
            Op::Sub => left.checked_sub(right),
            Op::Mul => left.checked_mul(right),
            Op::Div | Op::FloorDiv | Op::Mod if right == 0 => return Err(by_zero()),
            Op::Div => return Ok((left as f64 / right as f64).into()),
            Op::FloorDiv => {
                left.checked_div(right).map(|down| down - i128::from(left % right != 0 && (left < 0) != (right < 0)))
            }
            Op::Mod => left
                .checked_rem(right)
                .map(|rest| if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest }),
            Op::Pow if right < 0 => return power(left as f64, right as f64),
            Op::Pow => u32::try_from(right).ok().and_then(|right| left.checked_pow(right)),
        };
        return whole.map(integer).ok_or_else(large);
    }
    let (left, right) = (left.float(), right.float());
    Ok(match operator {
        Op::Add => left + right,
        Op::Sub => left - right,
        Op::Mul => left * right,
        Op::Div | Op::FloorDiv | Op::Mod if right == 0.0 => return Err(by_zero()),
        Op::Div => left / right,
        Op::FloorDiv => (left / right).floor(),
        Op::Mod => left - right * (left / right).floor(),
        Op::Pow => return power(left, right),
    }
    .into())
}

fn power(left: f64, right: f64) -> Outcome<Value> {
    if left == 0.0 && right < 0.0 { Err(by_zero()) } else { Ok(left.powf(right).into()) }
}

/// `a[from:to:step]`
pub(super) fn slice(whole: &Value, [from, to, step]: [Option<i128>; 3]) -> Outcome<Value> {
    if whole.is_undefined() {
        return Err(Failure::Undefined);
    }
    if whole.kind() != ValueKind::String && row(whole).is_none() {
        return Err(Failure::Type);
    }
    let all = items(whole)?;
    let count = all.len() as i128;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(wrong("a template cuts in steps of zero"));
    }
    let (least, most) = if step > 0 { (0, count) } else { (-1, count - 1) };
    let place = |bound: Option<i128>, usual: i128| {
        bound.map_or(usual, |at| if at < 0 { at.saturating_add(count) } else { at }.clamp(least, most))
    };
    let (mut at, end) =
        if step > 0 { (place(from, 0), place(to, count)) } else { (place(from, count - 1), place(to, -1)) };
    let mut kept = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        kept.extend(usize::try_from(at).ok().and_then(|at| all.get(at).cloned()));
        at = at.saturating_add(step);
    }
    Ok(match whole.kind() {
        ValueKind::String => kept.iter().filter_map(Value::as_str).collect::<String>().into(),
        _ if whole.is_tuple() => Value::from(Tuple::new(kept)),
        _ => kept.into(),
    })
}
