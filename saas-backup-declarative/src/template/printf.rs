//! Texts with places for values: `'%s' % a` and `'{}'.format(a)`.

use super::Value;
use super::eval::{item, member};
use super::failure::{Failure, Outcome, wrong};
use super::limits::held;
use super::methods::Given;
use super::python::{Number, integer, pairs, python_repr, python_str, row};

/// The widest field.
const MAX_WIDTH: usize = 4096;

/// `text % given`
pub(super) fn format(text: &str, given: &Value) -> Outcome<String> {
    let map = pairs(given).is_some();
    let all = if given.is_tuple() { row(given).unwrap_or_default() } else { vec![given.clone()] };
    let mut left = all.iter();
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut named = None;
        if chars.next_if_eq(&'(').is_some() {
            let name: String = chars.by_ref().take_while(|next| *next != ')').collect();
            named = Some(item(given, &Value::from(name))?);
        }
        let mut spec = String::new();
        while let Some(flag) = chars.next_if(|next| matches!(next, '-' | '+' | ' ' | '0'..='9' | '.' | '#')) {
            spec.push(flag);
        }
        let kind = chars.next().ok_or_else(|| wrong("a template's text ends within a place for a value"))?;
        let value = match named {
            Some(value) => value,
            None => left.next().ok_or(Failure::Type)?.clone(),
        };
        let spec = match spec.strip_prefix('-') {
            Some(spec) => format!("<{spec}"),
            None => format!(">{}", spec.trim_start_matches('#')),
        };
        let value = match kind {
            's' => python_str(&value).into(),
            'r' | 'a' => python_repr(&value).into(),
            'd' | 'i' | 'u' => match Number::of(&value).ok_or(Failure::Type)? {
                Number::Integer(number) => integer(number),
                Number::Float(number) => integer(number as i128),
            },
            _ => value,
        };
        let kind = if matches!(kind, 's' | 'r' | 'a') { "s".to_owned() } else { kind.to_string() };
        out.push_str(&one(&value, &(spec + &kind))?);
        held(out.len())?;
    }
    if left.next().is_some() && !map {
        return Err(Failure::Type);
    }
    Ok(out)
}

/// `text.format(…)`
pub(super) fn braces(text: &str, given: &Given) -> Outcome<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut count = 0;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(rest.get(..at).unwrap_or_default());
        let from = rest.get(at..).unwrap_or_default();
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            out.push(if from.starts_with('{') { '{' } else { '}' });
            rest = after;
            continue;
        }
        let end = from
            .find('}')
            .filter(|_| from.starts_with('{'))
            .ok_or_else(|| wrong("a template's text has a brace too many"))?;
        let field = from.get(1..end).unwrap_or_default();
        rest = from.get(end + 1..).unwrap_or_default();
        let (field, spec) = field.split_once(':').unwrap_or((field, ""));
        let (field, conversion) = field.split_once('!').unwrap_or((field, ""));
        let split = field.find(['.', '[']).unwrap_or(field.len());
        let (name, path) = field.split_at(split);
        let value = match name.parse::<usize>() {
            Ok(at) => given.placed.get(at).cloned(),
            Err(_) if name.is_empty() => {
                count += 1;
                given.placed.get(count - 1).cloned()
            }
            Err(_) => given.named.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone()),
        };
        let mut value = value.ok_or_else(|| wrong("a template's text has a place that nothing fills"))?;
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            value = match part.strip_suffix(']') {
                Some(index) => match index.parse::<i64>() {
                    Ok(at) => item(&value, &Value::from(at))?,
                    Err(_) => item(&value, &Value::from(index))?,
                },
                None => member(&value, part)?,
            };
        }
        match conversion {
            "r" => out.push_str(&one(&python_repr(&value).into(), spec)?),
            "s" => out.push_str(&one(&python_str(&value).into(), spec)?),
            _ => out.push_str(&one(&value, spec)?),
        }
        held(out.len())?;
    }
    Ok(out + rest)
}

/// A value by `[[fill]align][sign][0][width][,][.precision][kind]`.
pub(super) fn one(value: &Value, spec: &str) -> Outcome<String> {
    if let Some(time) = super::dates::Time::of(value) {
        return if spec.is_empty() { Ok(time.to_string()) } else { time.strftime(spec) };
    }
    let mut chars: Vec<char> = spec.chars().collect();
    let kind = match chars.last() {
        Some(kind) if kind.is_ascii_alphabetic() || *kind == '%' => chars.pop(),
        _ => None,
    };
    let mut rest = chars.into_iter().collect::<String>();
    let mut fill = ' ';
    let mut align = None;
    let is_align = |next: Option<char>| next.filter(|next| matches!(next, '<' | '>' | '^' | '='));
    if let Some(found) = is_align(rest.chars().nth(1)) {
        fill = rest.chars().next().unwrap_or(' ');
        align = Some(found);
        rest = rest.chars().skip(2).collect();
    } else if let Some(found) = is_align(rest.chars().next()) {
        align = Some(found);
        rest = rest.chars().skip(1).collect();
    }
    let sign = rest.chars().next().filter(|next| matches!(next, '+' | ' ' | '-'));
    let rest = if sign.is_some() { rest.get(1..).unwrap_or_default() } else { &rest };
    let (width, precision) = rest.split_once('.').unwrap_or((rest, ""));
    let grouped = width.contains(',');
    let width = width.replace(',', "");
    let number = Number::of(value);
    if width.starts_with('0') && number.is_some() {
        (fill, align) = ('0', Some('='));
    }
    let count = |text: &str| {
        if text.is_empty() {
            Ok(None)
        } else {
            text.parse::<usize>().map(Some).map_err(|_| wrong("a template's text has a place of no known form"))
        }
    };
    let (width, precision) = (count(&width)?.unwrap_or(0), count(precision)?);
    if width.max(precision.unwrap_or(0)) > MAX_WIDTH {
        return Err(wrong("a template's text has a place that is too wide"));
    }
    let body = match (kind, number) {
        (Some('d'), Some(Number::Integer(number))) => number.to_string(),
        (Some('x'), Some(Number::Integer(number))) => format!("{number:x}"),
        (Some('X'), Some(Number::Integer(number))) => format!("{number:X}"),
        (Some('o'), Some(Number::Integer(number))) => format!("{number:o}"),
        (Some('b'), Some(Number::Integer(number))) => format!("{number:b}"),
        (Some('f' | 'F'), Some(number)) => format!("{:.*}", precision.unwrap_or(6), number.float()),
        (Some('%'), Some(number)) => format!("{:.*}%", precision.unwrap_or(6), number.float() * 100.0),
        (Some('e'), Some(number)) => {
            let text = format!("{:.*e}", precision.unwrap_or(6), number.float());
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        (None | Some('g'), Some(_)) => python_str(value),
        (None | Some('s'), None) => {
            let text = python_str(value);
            precision.map_or(text.clone(), |count| text.chars().take(count).collect())
        }
        (Some('s'), Some(_)) if sign.is_none() => python_str(value),
        (_, None) => return Err(Failure::Type),
        _ => return Err(wrong("a template's text has a place of no known form")),
    };
    let (minus, body) = body.strip_prefix('-').map_or(("", body.as_str()), |body| ("-", body));
    let front = match (number, sign) {
        (Some(_), Some(sign @ ('+' | ' '))) if minus.is_empty() => sign.to_string(),
        _ => minus.to_owned(),
    };
    let body = if grouped { group(body) } else { body.to_owned() };
    let missing = width.saturating_sub(front.chars().count() + body.chars().count());
    let pad = |count: usize| fill.to_string().repeat(count);
    Ok(match align.unwrap_or(if number.is_some() { '>' } else { '<' }) {
        '<' => front + &body + &pad(missing),
        '^' => pad(missing / 2) + &front + &body + &pad(missing - missing / 2),
        '=' => front + &pad(missing) + &body,
        _ => pad(missing) + &front + &body,
    })
}

/// `1,234,567.8`
fn group(body: &str) -> String {
    let (whole, fraction) = body.find('.').map_or((body, ""), |at| body.split_at(at));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}
