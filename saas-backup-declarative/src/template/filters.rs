//! What stands after `|`.

use std::cmp::Ordering;

use minijinja::value::{Tuple, ValueKind};

use super::dates::Time;
use super::dict::Dict;
use super::eval::{Machine, item, member};
use super::failure::{Failure, Outcome, wrong};
use super::limits::held;
use super::methods::{self, Given};
use super::python::{Number, equal, integer, items, order, pairs, python_str, row, truth};
use super::text::{percent, regex, too_much};
use super::{Value, arithmetic, checks, digest, json, macros, printf, tree};

const KNOWN: [&str; 56] = [
    "abs",
    "attr",
    "base64binascii_decode",
    "base64decode",
    "base64encode",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "hash",
    "hmac",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
];

pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

#[expect(clippy::too_many_lines, reason = "a table: one short arm for each name")]
pub(super) fn apply(machine: &mut Machine<'_>, name: &str, value: &Value, given: &Given) -> Outcome<Value> {
    machine.fuel.burn(1 + value.len().unwrap_or(0))?;
    let text = || {
        let wrong =
            || if value.is_undefined() { Failure::Undefined } else { wrong("a template encodes what is no text") };
        value.as_str().ok_or_else(wrong)
    };
    let all = || items(value);
    Ok(match name {
        "base64encode" => digest::encode(text()?).into(),
        "base64decode" => digest::decode(text()?)?.into(),
        // It encodes, whatever its name says.
        "base64binascii_decode" => match text()? {
            text if text.is_ascii() => digest::encode(text).into(),
            _ => return Err(wrong("a template encodes what is not ASCII")),
        },
        "hash" => {
            let kind = given.optional_text(0, "hash_type")?;
            let salt = given.find(1, "salt").filter(truth).map(|salt| python_str(&salt)).unwrap_or_default();
            digest::hash(&python_str(value), &salt, kind.as_deref().unwrap_or("md5"))?.into()
        }
        "hmac" => {
            let kind = given.optional_text(1, "hash_type")?;
            digest::hmac(&python_str(value), &python_str(&given.need(0, "key")?), kind.as_deref().unwrap_or("sha256"))?
                .into()
        }
        "string" => match value.as_str() {
            Some(_) => value.clone(),
            None => format!("\"\"\"{}\"\"\"", json::write(value, false)?).into(),
        },
        "regex_search" => {
            let found = regex(&given.text(0, "regex")?)?
                .captures(value.as_str().ok_or(Failure::Type)?)
                .map_err(|_| too_much())?;
            // A group that took no part is none.
            match found {
                Some(found) if found.len() > 1 => found.get(1).map_or_else(|| ().into(), |group| group.as_str().into()),
                _ => "".into(),
            }
        }
        "regex_replace" => replace_matches(value.as_str().ok_or(Failure::Type)?, given)?.into(),
        "tojson" => {
            let text = json::write(value, true)?;
            let text =
                text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027");
            text.into()
        }
        "lower" => python_str(value).to_lowercase().into(),
        "upper" => python_str(value).to_uppercase().into(),
        "capitalize" => methods::capitalize(&python_str(value)).into(),
        "title" => methods::title(&python_str(value)).into(),
        "safe" | "pprint" => python_str(value).into(),
        "e" | "escape" | "forceescape" => {
            let text = python_str(value).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('"', "&#34;").replace('\'', "&#39;").into()
        }
        "trim" | "center" => {
            let text = Value::from(python_str(value));
            let usual = Given { placed: vec![80.into()], named: Vec::new() };
            let (method, given) = match name {
                "trim" => ("strip", given),
                _ if given.placed.is_empty() => ("center", &usual),
                _ => ("center", given),
            };
            methods::call(machine, &text, method, given)?
        }
        "format" => printf::format(
            &python_str(value),
            &if given.named.is_empty() {
                Value::from(Tuple::new(given.placed.clone()))
            } else {
                given.named.iter().map(|(name, value)| (Value::from(&**name), value.clone())).collect::<Dict>().into()
            },
        )?
        .into(),
        "replace" => {
            let text = python_str(value);
            let part = |at, name| given.need(at, name).map(|part| python_str(&part));
            methods::replace(&text, &part(0, "old")?, &part(1, "new")?, given.count(2, "count")?)?.into()
        }
        "truncate" => truncate(&python_str(value), given)?.into(),
        "wordcount" => python_str(value)
            .split(|next: char| !next.is_alphanumeric() && next != '_')
            .filter(|word| !word.is_empty())
            .count()
            .into(),
        "indent" => {
            let width = usize::try_from(given.count(0, "width")?.unwrap_or(4)).unwrap_or(0).min(1024);
            let text = python_str(value);
            let mut out = String::new();
            for (at, line) in text.split('\n').enumerate() {
                out.push_str(if at == 0 { "" } else { "\n" });
                if (at > 0 || given.flag(1, "first")) && !line.is_empty() {
                    out.push_str(&" ".repeat(width));
                }
                out.push_str(line);
                held(out.len())?;
            }
            out.into()
        }
        "urlencode" => match pairs(value) {
            None if row(value).is_none() => percent(&python_str(value), "/_.-~").into(),
            found => {
                let form = |value: &Value| percent(&python_str(value), "_.-~").replace("%20", "+");
                let found = found.map_or_else(
                    || {
                        row(value)
                            .unwrap_or_default()
                            .iter()
                            .map(|pair| match items(pair)?.as_slice() {
                                [key, value] => Ok((key.clone(), value.clone())),
                                _ => Err(wrong("a template encodes what is no pair")),
                            })
                            .collect::<Outcome<Vec<_>>>()
                    },
                    Ok,
                )?;
                found
                    .iter()
                    .map(|(key, value)| format!("{}={}", form(key), form(value)))
                    .collect::<Vec<_>>()
                    .join("&")
                    .into()
            }
        },
        "filesizeformat" => return Err(wrong("a template has a filter that is not there")),
        "int" => to_int(value, given)?,
        "float" => to_float(value, given)?,
        "abs" => match Number::of(value) {
            Some(Number::Integer(number)) => number.checked_abs().map(integer).ok_or(Failure::Type)?,
            Some(Number::Float(number)) => number.abs().into(),
            None if value.is_undefined() => return Err(Failure::Undefined),
            None => match Time::of(value) {
                Some(time @ Time::Span(period)) => if period.micros < 0 { time.times(-1.0)? } else { time }.into(),
                _ => return Err(Failure::Type),
            },
        },
        "round" => round(value, given)?,
        "d" | "default" => {
            let absent = value.is_undefined() || (given.flag(1, "boolean") && !truth(value));
            if absent { given.find(0, "default_value").unwrap_or_else(|| "".into()) } else { value.clone() }
        }
        "length" | "count" => match value.kind() {
            ValueKind::Undefined => 0.into(),
            _ => all()?.len().into(),
        },
        "attr" => match given.text(0, "name")?.as_str() {
            name if value.kind() == ValueKind::Map => {
                let _ = name;
                Value::UNDEFINED
            }
            name => member(value, name)?,
        },
        "items" => match value.kind() {
            ValueKind::Undefined => Vec::<Value>::new().into(),
            ValueKind::Map => methods::call(machine, value, "items", given)?,
            _ => return Err(Failure::Type),
        },
        _ => rows(machine, name, value, all()?, given)?,
    })
}

/// Filters of rows of values.
#[expect(clippy::too_many_lines, reason = "a table: one short arm for each name")]
fn rows(machine: &mut Machine<'_>, name: &str, value: &Value, all: Vec<Value>, given: &Given) -> Outcome<Value> {
    let key = |attribute: Option<&Value>, fold: bool, one: &Value| -> Outcome<Value> {
        let found = match attribute {
            Some(path) => at_path(one, path)?,
            None => one.clone(),
        };
        Ok(match found.as_str() {
            Some(text) if fold => text.to_lowercase().into(),
            _ => found,
        })
    };
    let some = |at: usize, name: &str| given.find(at, name).filter(|value| !value.is_none());
    Ok(match name {
        "first" => all.first().cloned().unwrap_or_default(),
        "last" if value.kind() == ValueKind::Undefined => Value::UNDEFINED,
        "last" => all.last().cloned().unwrap_or_default(),
        "list" => all.into(),
        "reverse" if value.kind() == ValueKind::String => {
            value.as_str().unwrap_or_default().chars().rev().collect::<String>().into()
        }
        "reverse" => all.into_iter().rev().collect::<Vec<_>>().into(),
        "join" => {
            let between = some(0, "d").map(|between| python_str(&between)).unwrap_or_default();
            let attribute = some(1, "attribute");
            let mut out = String::new();
            for (at, one) in all.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { &between });
                out.push_str(&python_str(&key(attribute.as_ref(), false, one)?));
                held(out.len())?;
            }
            out.into()
        }
        "sum" => {
            let attribute = some(0, "attribute");
            let mut sum = given.find(1, "start").unwrap_or_else(|| 0.into());
            for one in &all {
                sum = arithmetic::binary(tree::Op::Add, &sum, &key(attribute.as_ref(), false, one)?)?;
            }
            sum
        }
        "min" | "max" => {
            let fold = !given.flag(0, "case_sensitive");
            let attribute = some(1, "attribute");
            let keys = all.iter().map(|one| key(attribute.as_ref(), fold, one)).collect::<Outcome<Vec<_>>>()?;
            let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
            match macros::best(keys.clone(), wanted)? {
                Some(best) => keys
                    .iter()
                    .position(|key| equal(key, &best))
                    .and_then(|at| all.get(at).cloned())
                    .unwrap_or_default(),
                None => Value::UNDEFINED,
            }
        }
        "unique" => {
            let fold = !given.flag(0, "case_sensitive");
            let attribute = some(1, "attribute");
            let (mut seen, mut kept): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
            for one in all {
                machine.fuel.burn(seen.len())?;
                let key = key(attribute.as_ref(), fold, &one)?;
                if !seen.iter().any(|known| equal(known, &key)) {
                    seen.push(key);
                    kept.push(one);
                }
            }
            kept.into()
        }
        "sort" => {
            let attribute = some(2, "attribute");
            let fold = !given.flag(1, "case_sensitive");
            sorted(all, given.flag(0, "reverse"), |one| key(attribute.as_ref(), fold, one))?.into()
        }
        "dictsort" => {
            let by = usize::from(given.optional_text(1, "by")?.as_deref() == Some("value"));
            let fold = !given.flag(0, "case_sensitive");
            let all = pairs(value)
                .ok_or(Failure::Type)?
                .into_iter()
                .map(|(key, value)| Value::from(Tuple::new(vec![key, value])));
            let place = Value::from(by);
            sorted(all.collect(), given.flag(2, "reverse"), |one| key(Some(&place), fold, one))?.into()
        }
        "groupby" => {
            let attribute = given.need(0, "attribute")?;
            let fold = !given.flag(2, "case_sensitive");
            let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
            for one in sorted(all, false, |one| key(Some(&attribute), fold, one))? {
                let name = key(Some(&attribute), fold, &one)?;
                match groups.last_mut() {
                    Some((known, _, members)) if equal(known, &name) => members.push(one),
                    _ => groups.push((name, key(Some(&attribute), false, &one)?, vec![one])),
                }
            }
            groups
                .into_iter()
                .map(|(_, name, members)| Value::from(Tuple::new(vec![name, members.into()])))
                .collect::<Vec<_>>()
                .into()
        }
        "batch" | "slice" => {
            let count = usize::try_from(given.count(0, "linecount")?.ok_or(Failure::Type)?).unwrap_or(0);
            if count == 0 {
                return Err(wrong("a template cuts a list into nothing"));
            }
            let filled = some(1, "fill_with");
            let mut parts: Vec<Vec<Value>> = Vec::new();
            if name == "batch" {
                parts.extend(all.chunks(count).map(<[Value]>::to_vec));
                if let (Some(fill), Some(last)) = (filled, parts.last_mut()) {
                    held(count)?;
                    last.resize(count, fill);
                }
            } else {
                held(count)?;
                let (each, more) = (all.len() / count, all.len() % count);
                let mut rest = all.into_iter();
                for at in 0..count {
                    parts.push(rest.by_ref().take(each + usize::from(at < more)).collect());
                    if let (Some(fill), Some(last)) = (&filled, parts.last_mut().filter(|_| more > 0 && at >= more)) {
                        last.push(fill.clone());
                    }
                }
            }
            parts.into_iter().map(Value::from).collect::<Vec<_>>().into()
        }
        "map" => map(machine, &all, given)?,
        "select" | "reject" | "selectattr" | "rejectattr" => {
            let by_member = name.ends_with("attr");
            let attribute = if by_member { Some(given.need(0, "attribute")?) } else { None };
            let mut placed = given.placed.iter().skip(usize::from(by_member)).cloned();
            let test = placed.next();
            let rest = Given { placed: placed.collect(), named: Vec::new() };
            let test = test
                .map(|test| {
                    test.as_str()
                        .map(str::to_owned)
                        .filter(|test| checks::is_known(test))
                        .ok_or_else(|| wrong("a template has a test that is not known"))
                })
                .transpose()?;
            let mut kept = Vec::new();
            for one in all {
                machine.fuel.burn(1)?;
                let found = key(attribute.as_ref(), false, &one)?;
                let holds =
                    test.as_ref().map_or_else(|| Ok(truth(&found)), |test| checks::holds(test, &found, &rest))?;
                if holds == name.starts_with("select") {
                    kept.push(one);
                }
            }
            kept.into()
        }
        _ => return Err(wrong("a template has a filter that is not known")),
    })
}

fn map(machine: &mut Machine<'_>, all: &[Value], given: &Given) -> Outcome<Value> {
    let attribute = given.named.iter().find(|(name, _)| &**name == "attribute").map(|(_, value)| value);
    let usual = given.named.iter().find(|(name, _)| &**name == "default").map(|(_, value)| value);
    let mut out = Vec::with_capacity(all.len());
    let filter = given.placed.first().and_then(Value::as_str).map(str::to_owned);
    let rest = Given { placed: given.placed.iter().skip(1).cloned().collect(), named: given.named.clone() };
    for one in all {
        machine.fuel.burn(1)?;
        out.push(match (attribute, &filter) {
            (Some(path), None) => match (at_path(one, path)?, usual) {
                (found, Some(usual)) if found.is_undefined() => usual.clone(),
                (found, _) => found,
            },
            (None, Some(filter)) if is_known(filter) => apply(machine, filter, one, &rest)?,
            _ => return Err(wrong("a template maps by a filter that is not known")),
        });
    }
    Ok(out.into())
}

/// The member at `a.b.0`.
fn at_path(one: &Value, path: &Value) -> Outcome<Value> {
    let Some(text) = path.as_str() else { return item(one, path) };
    let mut found = one.clone();
    for part in text.split('.') {
        found = match part.parse::<i64>() {
            Ok(at) if part.bytes().all(|byte| byte.is_ascii_digit()) => item(&found, &Value::from(at))?,
            _ => item(&found, &Value::from(part))?,
        };
    }
    Ok(found)
}

/// In a stable order; what cannot be compared is a fault.
fn sorted(all: Vec<Value>, reverse: bool, key: impl Fn(&Value) -> Outcome<Value>) -> Outcome<Vec<Value>> {
    let mut keyed = all.into_iter().map(|one| Ok((key(&one)?, one))).collect::<Outcome<Vec<_>>>()?;
    let mut fault = None;
    keyed.sort_by(|(left, _), (right, _)| match order(left, right) {
        Ok(found) => {
            let found = found.unwrap_or(Ordering::Equal);
            if reverse { found.reverse() } else { found }
        }
        Err(failure) => {
            fault = Some(failure);
            Ordering::Equal
        }
    });
    fault.map_or_else(|| Ok(keyed.into_iter().map(|(_, one)| one).collect()), Err)
}

fn to_int(value: &Value, given: &Given) -> Outcome<Value> {
    let usual = given.find(0, "default").unwrap_or_else(|| 0.into());
    let base = given.count(1, "base")?.and_then(|base| u32::try_from(base).ok()).unwrap_or(10);
    if value.is_undefined() {
        return Err(Failure::Undefined);
    }
    Ok(match (value.as_str(), Number::of(value)) {
        (Some(text), _) => {
            let plain = text.trim().replace('_', "");
            let whole = if (2..=36).contains(&base) { i128::from_str_radix(&plain, base).ok() } else { None };
            match (whole, plain.parse::<f64>()) {
                (Some(number), _) => integer(number),
                (None, Ok(number)) if number.is_finite() => integer(number as i128),
                _ => usual,
            }
        }
        (None, Some(Number::Integer(number))) => integer(number),
        (None, Some(Number::Float(number))) if number.is_finite() => integer(number as i128),
        _ => usual,
    })
}

fn to_float(value: &Value, given: &Given) -> Outcome<Value> {
    if value.is_undefined() {
        return Err(Failure::Undefined);
    }
    let usual = given.find(0, "default").unwrap_or_else(|| 0.0.into());
    Ok(match (value.as_str(), Number::of(value)) {
        (Some(text), _) => text.trim().replace('_', "").parse::<f64>().map_or(usual, Value::from),
        (None, Some(number)) => number.float().into(),
        _ => usual,
    })
}

fn round(value: &Value, given: &Given) -> Outcome<Value> {
    let places = given.count(0, "precision")?.unwrap_or(0).clamp(-300, 300) as i32;
    let method = given.optional_text(1, "method")?;
    let number = match Number::of(value) {
        Some(number) => number,
        None if value.is_undefined() => return Err(Failure::Undefined),
        None => return Err(Failure::Type),
    };
    let scale = 10f64.powi(places);
    Ok(match (method.as_deref().unwrap_or("common"), number) {
        ("common", Number::Integer(number)) if places >= 0 => integer(number),
        ("common", number) if places >= 0 => format!("{:.*}", places.unsigned_abs() as usize, number.float())
            .parse::<f64>()
            .unwrap_or(number.float())
            .into(),
        ("common", number) => ((number.float() * scale).round_ties_even() / scale).into(),
        ("ceil", number) => ((number.float() * scale).ceil() / scale).into(),
        ("floor", number) => ((number.float() * scale).floor() / scale).into(),
        _ => return Err(wrong("a template rounds in a way that is not known")),
    })
}

fn truncate(text: &str, given: &Given) -> Outcome<String> {
    let length = usize::try_from(given.count(0, "length")?.unwrap_or(255)).unwrap_or(0);
    let end = given.optional_text(2, "end")?.unwrap_or_else(|| "...".to_owned());
    let leeway = usize::try_from(given.count(3, "leeway")?.unwrap_or(5)).unwrap_or(0);
    if text.chars().count() <= length + leeway {
        return Ok(text.to_owned());
    }
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = if given.flag(1, "killwords") {
        kept.as_str()
    } else {
        kept.rsplit_once(' ').map_or(kept.as_str(), |(kept, _)| kept)
    };
    Ok(kept.to_owned() + &end)
}

/// Python's `re.sub`, where `\1` and `\g<name>` stand for groups.
fn replace_matches(text: &str, given: &Given) -> Outcome<String> {
    let pattern = regex(&given.text(0, "regex")?)?;
    let with = given.text(1, "replacement")?;
    let mut out = String::new();
    let mut done = 0;
    for found in pattern.captures_iter(text) {
        let found = found.map_err(|_| too_much())?;
        let Some(whole) = found.get(0) else { continue };
        out.push_str(text.get(done..whole.start()).unwrap_or_default());
        done = whole.end();
        let mut rest = with.as_str();
        while let Some(at) = rest.find('\\') {
            out.push_str(rest.get(..at).unwrap_or_default());
            let after = rest.get(at + 1..).unwrap_or_default();
            let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
            let (name, length) = match after.strip_prefix("g<").and_then(|name| name.split_once('>')) {
                Some((name, _)) => (name, name.len() + 3),
                None => (after.get(..digits).unwrap_or_default(), digits),
            };
            rest = after.get(length..).unwrap_or_default();
            if name.is_empty() {
                let next = rest.chars().next().unwrap_or('\\');
                out.push(match next {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    next => next,
                });
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
                continue;
            }
            let group = name.parse::<usize>().map_or_else(|_| found.name(name), |at| found.get(at));
            out.push_str(group.map_or("", |group| group.as_str()));
            held(out.len())?;
        }
        out.push_str(rest);
        held(out.len())?;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Ok(out)
}
