//! What `is` asks.

use std::cmp::Ordering;

use minijinja::value::ValueKind;

use super::failure::{Failure, Outcome, wrong};
use super::methods::Given;
use super::python::{as_index, contains, equal, order, row};
use super::{Value, filters};

const KNOWN: [&str; 39] = [
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "==",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    ">=",
    "gt",
    "greaterthan",
    ">",
    "in",
    "integer",
    "iterable",
    "le",
    "<=",
    "lower",
    "lt",
    "lessthan",
    "<",
    "mapping",
    "ne",
    "!=",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

pub(super) fn holds(name: &str, value: &Value, given: &Given) -> Outcome<bool> {
    let kind = value.kind();
    let other = || given.need(0, "other");
    let ordered = || order(value, &other()?);
    let rest = |by: i128| -> Outcome<i128> {
        if value.is_undefined() {
            return Err(Failure::Undefined);
        }
        as_index(value).ok_or(Failure::Type)?.checked_rem_euclid(by).ok_or_else(|| wrong("a template divides by zero"))
    };
    Ok(match name {
        "boolean" => kind == ValueKind::Bool,
        "callable" | "escaped" => false,
        "defined" => kind != ValueKind::Undefined,
        "undefined" => kind == ValueKind::Undefined,
        "none" => kind == ValueKind::None,
        "true" => kind == ValueKind::Bool && value.is_true(),
        "false" => kind == ValueKind::Bool && !value.is_true(),
        "number" => matches!(kind, ValueKind::Number | ValueKind::Bool),
        "integer" => value.is_integer(),
        "float" => kind == ValueKind::Number && !value.is_integer(),
        "string" => kind == ValueKind::String,
        "mapping" => kind == ValueKind::Map,
        "sequence" => matches!(kind, ValueKind::String | ValueKind::Map | ValueKind::Undefined) || row(value).is_some(),
        "iterable" => matches!(kind, ValueKind::String | ValueKind::Map | ValueKind::Undefined) || row(value).is_some(),
        "lower" => {
            let text = super::python_str(value);
            text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
        }
        "upper" => {
            let text = super::python_str(value);
            text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
        }
        "even" => rest(2)? == 0,
        "odd" => rest(2)? == 1,
        "divisibleby" => rest(as_index(&given.need(0, "num")?).ok_or(Failure::Type)?)? == 0,
        "eq" | "equalto" | "==" => equal(value, &other()?),
        "ne" | "!=" => !equal(value, &other()?),
        "lt" | "lessthan" | "<" => ordered()? == Some(Ordering::Less),
        "le" | "<=" => ordered()?.is_some_and(Ordering::is_le),
        "gt" | "greaterthan" | ">" => ordered()? == Some(Ordering::Greater),
        "ge" | ">=" => ordered()?.is_some_and(Ordering::is_ge),
        "in" => contains(&given.need(0, "seq")?, value)?,
        "sameas" => {
            let other = other()?;
            other.kind() == kind && equal(value, &other)
        }
        "filter" => value.as_str().is_some_and(filters::is_known),
        "test" => value.as_str().is_some_and(is_known),
        _ => return Err(wrong("a template has a test that is not known")),
    })
}
