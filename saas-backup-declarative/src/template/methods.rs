//! Methods of texts, lists and maps.

use minijinja::value::{Tuple, ValueKind};

use super::Value;
use super::dates::Time;
use super::dict::Dict;
use super::eval::{Machine, item, member};
use super::failure::{Failure, Outcome, wrong};
use super::limits::held;
use super::printf;
use super::python::{as_index, equal, items, pairs, row, truth};
use super::tree::Name;

/// The arguments of a call.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) placed: Vec<Value>,
    pub(super) named: Vec<(Name, Value)>,
}

impl Given {
    pub(super) fn find(&self, at: usize, name: &str) -> Option<Value> {
        self.placed
            .get(at)
            .or_else(|| self.named.iter().find(|(known, _)| **known == *name).map(|(_, value)| value))
            .cloned()
    }

    pub(super) fn need(&self, at: usize, name: &str) -> Outcome<Value> {
        self.find(at, name).ok_or(Failure::Type)
    }

    pub(super) fn text(&self, at: usize, name: &str) -> Outcome<String> {
        self.need(at, name)?.as_str().map(str::to_owned).ok_or(Failure::Type)
    }

    /// A text that may be left out.
    pub(super) fn optional_text(&self, at: usize, name: &str) -> Outcome<Option<String>> {
        match self.find(at, name) {
            Some(value) if !value.is_none() => value.as_str().map(|text| Some(text.to_owned())).ok_or(Failure::Type),
            _ => Ok(None),
        }
    }

    pub(super) fn count(&self, at: usize, name: &str) -> Outcome<Option<i128>> {
        self.find(at, name)
            .filter(|value| !value.is_none())
            .map(|value| as_index(&value).ok_or(Failure::Type))
            .transpose()
    }

    pub(super) fn flag(&self, at: usize, name: &str) -> bool {
        self.find(at, name).is_some_and(|value| truth(&value))
    }
}

/// What a method that changes its value leaves, and what it gives.
pub(super) struct Changed {
    pub(super) now: Value,
    pub(super) gives: Value,
}

/// Methods that change a list or a map; nothing for all others.
pub(super) fn change(target: &Value, method: &str, given: &Given) -> Outcome<Option<Changed>> {
    let done = |now: Value| Ok(Some(Changed { now, gives: ().into() }));
    if let (Some(mut all), false) = (row(target), target.is_tuple()) {
        match method {
            "append" => all.push(given.need(0, "object")?),
            "extend" => all.extend(items(&given.need(0, "iterable")?)?),
            "insert" => {
                let at = given.count(0, "index")?.ok_or(Failure::Type)?;
                let at = if at < 0 { at + all.len() as i128 } else { at }.clamp(0, all.len() as i128);
                all.insert(usize::try_from(at).unwrap_or(0), given.need(1, "object")?);
            }
            "reverse" => all.reverse(),
            "clear" => all.clear(),
            "pop" => {
                let at = given.count(0, "index")?.unwrap_or(-1);
                let at = usize::try_from(if at < 0 { at + all.len() as i128 } else { at }).unwrap_or(usize::MAX);
                if at >= all.len() {
                    return Err(wrong("a template takes from a list what is not there"));
                }
                let taken = all.remove(at);
                return Ok(Some(Changed { now: all.into(), gives: taken }));
            }
            "remove" => {
                let value = given.need(0, "value")?;
                let at = all.iter().position(|one| equal(one, &value));
                all.remove(at.ok_or_else(|| wrong("a template takes from a list what is not there"))?);
            }
            _ => return Ok(None),
        }
        held(all.len())?;
        return done(all.into());
    }
    let Some(all) = pairs(target).filter(|_| matches!(method, "update" | "setdefault" | "pop" | "clear")) else {
        return Ok(None);
    };
    let mut dict: Dict = all.into_iter().collect();
    let given_back = match method {
        "update" => {
            let more = given.placed.first().map_or(Some(Vec::new()), pairs).ok_or(Failure::Type)?;
            for (key, value) in more {
                dict.set(key, value);
            }
            for (key, value) in &given.named {
                dict.set(Value::from(&**key), value.clone());
            }
            ().into()
        }
        "clear" => {
            dict = Dict::default();
            ().into()
        }
        _ => {
            let key = given.need(0, "key")?;
            let found = item(target, &key)?;
            match (method, found.is_undefined()) {
                ("setdefault", true) => {
                    let value = given.find(1, "default").unwrap_or_else(|| ().into());
                    dict.set(key, value.clone());
                    value
                }
                ("pop", true) => {
                    given.find(1, "default").ok_or_else(|| wrong("a template takes from a map what is not there"))?
                }
                ("pop", false) => {
                    dict.remove(&key);
                    found
                }
                _ => found,
            }
        }
    };
    Ok(Some(Changed { now: dict.into(), gives: given_back }))
}

pub(super) fn call(machine: &mut Machine<'_>, target: &Value, method: &str, given: &Given) -> Outcome<Value> {
    if let Some(time) = Time::of(target) {
        return time.call(method, given);
    }
    match target.kind() {
        ValueKind::String => {
            let text = target.as_str().unwrap_or_default();
            machine.fuel.burn(text.len() / 64)?;
            texts(text, method, given)
        }
        ValueKind::Map => maps(target, method, given),
        ValueKind::Seq | ValueKind::Iterable => lists(target, method, given),
        ValueKind::Number if method == "is_integer" => {
            Ok(super::python::Number::of(target).is_some_and(|number| number.float().fract() == 0.0).into())
        }
        _ => Err(Failure::Undefined),
    }
}

fn maps(target: &Value, method: &str, given: &Given) -> Outcome<Value> {
    let all = || pairs(target).unwrap_or_default();
    match method {
        "get" => {
            let found = item(target, &given.need(0, "key")?)?;
            let otherwise = || given.find(1, "default").unwrap_or_else(|| ().into());
            Ok(if found.is_undefined() { otherwise() } else { found })
        }
        "items" => Ok(all()
            .into_iter()
            .map(|(key, value)| Value::from(Tuple::new(vec![key, value])))
            .collect::<Vec<_>>()
            .into()),
        "keys" => Ok(all().into_iter().map(|(key, _)| key).collect::<Vec<_>>().into()),
        "values" => Ok(all().into_iter().map(|(_, value)| value).collect::<Vec<_>>().into()),
        "copy" => Ok(target.clone()),
        _ => match member(target, method)? {
            found if found.is_undefined() => Err(Failure::Undefined),
            _ => Err(Failure::Type),
        },
    }
}

fn lists(target: &Value, method: &str, given: &Given) -> Outcome<Value> {
    let all = row(target).ok_or(Failure::Type)?;
    let wanted = || given.need(0, "value");
    match method {
        "count" => {
            let wanted = wanted()?;
            Ok(all.iter().filter(|one| equal(one, &wanted)).count().into())
        }
        "index" => {
            let wanted = wanted()?;
            let at = all.iter().position(|one| equal(one, &wanted));
            at.map(Value::from).ok_or_else(|| wrong("a template looks in a list for what is not there"))
        }
        "copy" => Ok(target.clone()),
        _ => Err(Failure::Undefined),
    }
}

#[expect(clippy::too_many_lines, reason = "a table: one short arm for each name")]
fn texts(text: &str, method: &str, given: &Given) -> Outcome<Value> {
    let strip = |start: bool, end: bool| -> Outcome<Value> {
        let set = given.optional_text(0, "chars")?;
        let matches = |next: char| set.as_ref().map_or(next.is_whitespace(), |set| set.contains(next));
        let text = if start { text.trim_start_matches(matches) } else { text };
        Ok(if end { text.trim_end_matches(matches) } else { text }.into())
    };
    let any = |test: &dyn Fn(&str) -> bool| -> Outcome<Value> {
        let wanted = given.need(0, "prefix")?;
        match wanted.as_str() {
            Some(wanted) => Ok(test(wanted).into()),
            None if wanted.is_tuple() => {
                let all = row(&wanted).unwrap_or_default();
                Ok(all.iter().any(|one| one.as_str().is_some_and(test)).into())
            }
            None => Err(Failure::Type),
        }
    };
    let all = |test: fn(char) -> bool| -> Outcome<Value> { Ok((!text.is_empty() && text.chars().all(test)).into()) };
    let place = |at: Option<usize>| {
        at.and_then(|at| text.get(..at)).map_or(-1, |before| before.chars().count().cast_signed() as i64)
    };
    let pad = |right: bool, both: bool| -> Outcome<Value> {
        let width = usize::try_from(given.count(0, "width")?.ok_or(Failure::Type)?).unwrap_or(0);
        held(width)?;
        let fill = given.optional_text(1, "fillchar")?.unwrap_or_else(|| " ".to_owned());
        let missing = width.saturating_sub(text.chars().count());
        let left = if both {
            missing / 2 + (missing & width & 1)
        } else if right {
            missing
        } else {
            0
        };
        Ok((fill.repeat(left) + text + &fill.repeat(missing - left)).into())
    };
    Ok(match method {
        "lower" | "casefold" => text.to_lowercase().into(),
        "upper" => text.to_uppercase().into(),
        "title" => title(text).into(),
        "capitalize" => capitalize(text).into(),
        "swapcase" => text
            .chars()
            .map(|next| {
                if next.is_uppercase() {
                    next.to_lowercase().collect::<String>()
                } else {
                    next.to_uppercase().collect()
                }
            })
            .collect::<String>()
            .into(),
        "strip" => strip(true, true)?,
        "lstrip" => strip(true, false)?,
        "rstrip" => strip(false, true)?,
        "startswith" => any(&|wanted| text.starts_with(wanted))?,
        "endswith" => any(&|wanted| text.ends_with(wanted))?,
        "removeprefix" => text.strip_prefix(given.text(0, "prefix")?.as_str()).unwrap_or(text).into(),
        "removesuffix" => text.strip_suffix(given.text(0, "suffix")?.as_str()).unwrap_or(text).into(),
        "replace" => replace(text, &given.text(0, "old")?, &given.text(1, "new")?, given.count(2, "count")?)?.into(),
        "split" => split(text, given)?.into(),
        "rsplit" => rsplit(text, given)?.into(),
        "splitlines" => text.lines().map(Value::from).collect::<Vec<_>>().into(),
        "partition" | "rpartition" => {
            let at = given.text(0, "sep")?;
            let found =
                if method == "partition" { text.split_once(at.as_str()) } else { text.rsplit_once(at.as_str()) };
            let parts = match found {
                Some((before, after)) => [before, at.as_str(), after],
                None if method == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            Value::from(Tuple::new(parts.map(Value::from).to_vec()))
        }
        "join" => {
            let all = items(&given.need(0, "iterable")?)?;
            let all = all.iter().map(|one| one.as_str().ok_or(Failure::Type)).collect::<Outcome<Vec<&str>>>()?;
            held(all.iter().map(|one| one.len() + text.len()).sum())?;
            all.join(text).into()
        }
        "format" => printf::braces(text, given)?.into(),
        "find" => place(text.find(given.text(0, "sub")?.as_str())).into(),
        "rfind" => place(text.rfind(given.text(0, "sub")?.as_str())).into(),
        "index" | "rindex" => match text.find(given.text(0, "sub")?.as_str()) {
            None => return Err(wrong("a template looks in a text for what is not there")),
            at => place(at).into(),
        },
        "count" => text.matches(given.text(0, "sub")?.as_str()).count().into(),
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric)?,
        "isalpha" => all(char::is_alphabetic)?,
        "isalnum" => all(char::is_alphanumeric)?,
        "isspace" => all(char::is_whitespace)?,
        "isupper" => (text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)).into(),
        "islower" => (text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)).into(),
        "zfill" => {
            let width = usize::try_from(given.count(0, "width")?.ok_or(Failure::Type)?).unwrap_or(0);
            held(width)?;
            let (sign, digits) =
                text.strip_prefix(['-', '+']).map_or(("", text), |digits| (text.get(..1).unwrap_or_default(), digits));
            format!("{sign}{}{digits}", "0".repeat(width.saturating_sub(text.chars().count()))).into()
        }
        "ljust" => pad(false, false)?,
        "rjust" => pad(true, false)?,
        "center" => pad(false, true)?,
        "encode" => Value::from_bytes(text.as_bytes().to_vec()),
        _ => return Err(Failure::Undefined),
    })
}

pub(super) fn replace(text: &str, old: &str, new: &str, count: Option<i128>) -> Outcome<String> {
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    held(text.len().saturating_add(found.min(count).saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, count))
}

fn limit(given: &Given) -> Outcome<usize> {
    let count = given.count(1, "maxsplit")?.and_then(|count| usize::try_from(count).ok());
    Ok(count.map_or(usize::MAX, |count| count.saturating_add(1)))
}

fn split(text: &str, given: &Given) -> Outcome<Vec<Value>> {
    let limit = limit(given)?;
    match given.optional_text(0, "sep")? {
        Some(at) if at.is_empty() => Err(wrong("a template splits at nothing")),
        Some(at) => Ok(text.splitn(limit, at.as_str()).map(Value::from).collect()),
        None => {
            let mut parts = Vec::new();
            let mut rest = text.trim_start();
            while !rest.is_empty() {
                let end = if parts.len() + 1 >= limit {
                    rest.len()
                } else {
                    rest.find(char::is_whitespace).unwrap_or(rest.len())
                };
                let (part, after) = rest.split_at(end);
                parts.push(Value::from(part));
                rest = after.trim_start();
            }
            Ok(parts)
        }
    }
}

fn rsplit(text: &str, given: &Given) -> Outcome<Vec<Value>> {
    match given.optional_text(0, "sep")? {
        Some(at) if !at.is_empty() => {
            let mut parts: Vec<Value> = text.rsplitn(limit(given)?, at.as_str()).map(Value::from).collect();
            parts.reverse();
            Ok(parts)
        }
        _ => split(text, given),
    }
}

pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect())
}

pub(super) fn title(text: &str) -> String {
    let mut inside = false;
    text.chars()
        .map(|next| {
            let cased = if inside { next.to_lowercase().collect::<String>() } else { next.to_uppercase().collect() };
            inside = next.is_alphabetic();
            cased
        })
        .collect()
}
