//! JSON as Python writes it.

use std::fmt::Write as _;

use minijinja::value::ValueKind;

use super::Value;
use super::failure::{Failure, Outcome};
use super::limits::{MAX_DEPTH, held};
use super::python::{pairs, python_str, row};

/// Keys in their order or sorted; all that is not ASCII is escaped.
pub(super) fn write(value: &Value, sorted: bool) -> Outcome<String> {
    let mut out = String::new();
    put(value, sorted, &mut out, 0)?;
    Ok(out)
}

fn put(value: &Value, sorted: bool, out: &mut String, depth: usize) -> Outcome<()> {
    held(out.len())?;
    if depth > 2 * MAX_DEPTH {
        return Err(Failure::Type);
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&match python_str(value).as_str() {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            "nan" => "NaN".to_owned(),
            text => text.to_owned(),
        }),
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Map => {
            let mut all: Vec<(String, Value)> = Vec::new();
            for (key, value) in pairs(value).unwrap_or_default() {
                let name = match key.kind() {
                    ValueKind::String => python_str(&key),
                    ValueKind::None | ValueKind::Bool | ValueKind::Number => write(&key, false)?,
                    _ => return Err(Failure::Type),
                };
                all.push((name, value));
            }
            if sorted {
                all.sort_by(|(left, _), (right, _)| left.cmp(right));
            }
            out.push('{');
            for (at, (key, value)) in all.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                quote(key, out);
                out.push_str(": ");
                put(value, sorted, out, depth + 1)?;
            }
            out.push('}');
        }
        _ => {
            out.push('[');
            for (at, one) in row(value).ok_or(Failure::Type)?.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                put(one, sorted, out, depth + 1)?;
            }
            out.push(']');
        }
    }
    Ok(())
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for next in text.chars() {
        match next {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(next),
            _ => next.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out.push('"');
}
