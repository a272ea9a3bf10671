//! Airbyte's filters, Jinja's that minijinja has otherwise, and the methods of Python's values.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, State};
use regex::{Regex, RegexBuilder};
use sha2::{Sha256, Sha512};

use super::{Value, datetime, python_str};

/// Most memory that one pattern may take.
const PATTERN_BYTES: usize = 1024 * 1024;
/// Most patterns that are kept compiled.
const MAX_PATTERNS: usize = 256;

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("_minus", |time: Value, by: Value| datetime::moved(&time, &by, -1));
    environment.add_filter("_plus", |time: Value, by: Value| datetime::moved(&time, &by, 1));
    environment.add_filter("string", |value: Value| python_str(&value));
    environment.add_filter("base64encode", |text: Value| STANDARD.encode(python_str(&text)));
    environment.add_filter("base64decode", |text: &str| {
        decode(text).and_then(|bytes| String::from_utf8(bytes).map_err(|_| unfit()))
    });
    environment.add_filter("base64binascii_decode", |text: &str| {
        decode(text).and_then(|bytes| String::from_utf8(bytes).map_err(|_| unfit()))
    });
    environment.add_filter("hash", |value: Value, kind: Option<&str>, salt: Option<Value>| {
        let text = format!("{}{}", python_str(&value), salt.map(|salt| python_str(&salt)).unwrap_or_default());
        digest(kind.unwrap_or("md5"), text.as_bytes())
    });
    environment.add_filter("hmac", |value: Value, key: Value, kind: Option<&str>| {
        let (value, key) = (python_str(&value), python_str(&key));
        match kind.unwrap_or("sha256") {
            "sha256" => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| unfit())?;
                mac.update(value.as_bytes());
                Ok(hex(&mac.finalize().into_bytes()))
            }
            "sha512" => {
                let mut mac = Hmac::<Sha512>::new_from_slice(key.as_bytes()).map_err(|_| unfit())?;
                mac.update(value.as_bytes());
                Ok(hex(&mac.finalize().into_bytes()))
            }
            _ => Err(Error::new(ErrorKind::EvalBlock, "a digest that is not known")),
        }
    });
    environment.add_filter("regex_search", |text: &str, pattern: &str| {
        first_match(pattern, text).map(|found| found.unwrap_or_default()).map_err(|_| unfit())
    });
    environment.add_filter("regex_replace", |text: &str, pattern: &str, with: &str| {
        let with = with.replace('$', "$$");
        // Python writes groups with a backslash.
        let groups = compiled(r"\\(\d)").map_err(|_| unfit())?;
        let with = groups.replace_all(&with, "$${$1}").into_owned();
        Ok::<_, Error>(compiled(pattern).map_err(|_| unfit())?.replace_all(text, with.as_str()).into_owned())
    });
    environment.add_filter("int", |value: Value, usual: Option<i64>| {
        let number = match value.kind() {
            ValueKind::Number => f64::try_from(value.clone())
                .ok()
                .map(|number| number.trunc() as i64)
                .filter(|_| !value.is_integer())
                .or_else(|| i64::try_from(value).ok()),
            ValueKind::Bool => Some(i64::from(value.is_true())),
            _ => {
                let text = python_str(&value);
                text.trim()
                    .parse::<i64>()
                    .ok()
                    .or_else(|| text.trim().parse::<f64>().ok().map(|number| number.trunc() as i64))
            }
        };
        number.or(usual).unwrap_or(0)
    });
    environment.add_filter("float", |value: Value, usual: Option<f64>| {
        f64::try_from(value.clone()).ok().or_else(|| python_str(&value).trim().parse().ok()).or(usual).unwrap_or(0.0)
    });
    environment.add_filter("urlencode", |value: Value| -> String {
        if value.kind() == ValueKind::Map {
            let names = value.try_iter().into_iter().flatten();
            let pairs = names.map(|name| (python_str(&name), python_str(&value.get_item(&name).unwrap_or_default())));
            return pairs
                .map(|(name, value)| format!("{}={}", quoted(&name, false), quoted(&value, false)))
                .collect::<Vec<_>>()
                .join("&");
        }
        quoted(&python_str(&value), true)
    });
}

fn quoted(text: &str, keep_slash: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b'/' if keep_slash => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn unfit() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the arguments do not fit")
}

fn decode(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text.trim()).map_err(|_| unfit())
}

fn digest(kind: &str, bytes: &[u8]) -> Result<String, Error> {
    match kind {
        "md5" => Ok(hex(&Md5::digest(bytes))),
        "sha256" => Ok(hex(&Sha256::digest(bytes))),
        "sha512" => Ok(hex(&Sha512::digest(bytes))),
        _ => Err(Error::new(ErrorKind::EvalBlock, "a digest that is not known")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first group of the first match of a pattern, or all of it where it has no group.
pub(crate) fn first_match(pattern: &str, text: &str) -> saas_backup_core::Result<Option<String>> {
    let wrong = |_| {
        saas_backup_core::Error::new(
            saas_backup_core::ErrorKind::Configuration,
            "the manifest holds a pattern that is none",
        )
    };
    let pattern = compiled(pattern).map_err(wrong)?;
    Ok(pattern
        .captures(text)
        .and_then(|found| found.get(1).or_else(|| found.get(0)))
        .map(|found| found.as_str().to_owned()))
}

fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    static COMPILED: Mutex<Vec<(String, Regex)>> = Mutex::new(Vec::new());
    let mut held = COMPILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, found)) = held.iter().find(|(known, _)| known == pattern) {
        return Ok(found.clone());
    }
    let made = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build()?;
    if held.len() < MAX_PATTERNS {
        held.push((pattern.to_owned(), made.clone()));
    }
    Ok(made)
}

/// The methods of Python's texts, lists and mappings.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "format") => format(text, arguments),
        (Some(text), "zfill") => {
            let width = arguments.first().and_then(Value::as_usize).ok_or_else(unfit)?.min(1024);
            Ok(Value::from(format!("{text:0>width$}")))
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

/// `str.format` with positions and names, without formats.
fn format(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (positional, named): (&[Value], minijinja::value::Kwargs) = minijinja::value::from_args(arguments)?;
    let (mut out, mut rest, mut next) = (String::new(), text, 0);
    while let Some(open) = rest.find(['{', '}']) {
        out.push_str(rest.get(..open).unwrap_or_default());
        let tail = rest.get(open..).unwrap_or_default();
        if let Some(after) = tail.strip_prefix("{{").or_else(|| tail.strip_prefix("}}")) {
            out.push_str(tail.get(..1).unwrap_or_default());
            rest = after;
            continue;
        }
        let (field, after) = tail.get(1..).unwrap_or_default().split_once('}').ok_or_else(unfit)?;
        let field = field.split(':').next().unwrap_or_default();
        let found = if field.is_empty() {
            next += 1;
            positional.get(next - 1).cloned()
        } else {
            match field.parse::<usize>() {
                Ok(index) => positional.get(index).cloned(),
                Err(_) => named.get::<Value>(field).ok(),
            }
        };
        out.push_str(&python_str(&found.ok_or_else(unfit)?));
        rest = after;
    }
    out.push_str(rest);
    Ok(Value::from(out))
}
