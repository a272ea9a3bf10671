//! What `testing/declarative/oracle.py` wrote down of the framework, against what is here.
use std::sync::Arc;

use chrono::{TimeZone as _, Utc};
use saas_backup_core::ManualClock;
use serde_json::Value as Json;

use crate::template::{Fallback, Scope, Template, Types, Value, python_str};
use crate::time::{DateFormat, Moment, Period};

fn table() -> Json {
    let path = std::env::var_os("SAAS_BACKUP_TEMPLATES");
    let text =
        path.map_or_else(|| include_str!("oracle.json").to_owned(), |path| std::fs::read_to_string(path).unwrap());
    serde_json::from_str(&text).unwrap()
}

fn scope(context: &Json) -> Scope {
    let now = Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).single().unwrap();
    let mut scope = Scope::new(Arc::new(ManualClock::new(now)));
    for name in ["config", "parameters"] {
        scope = scope.with(name, Value::from(minijinja::value::Serde(serde_json::json!({}))));
    }
    for (name, value) in context.as_object().unwrap() {
        let name = name.as_str();
        scope = scope.with(name.to_owned(), Value::from(minijinja::value::Serde(value)));
    }
    scope
}

/// Floats may be written as integers and the other way round; what is no JSON is a text under `$`.
fn same(expected: &Json, found: &Value) -> bool {
    match expected {
        Json::Null => found.is_none() || found.is_undefined(),
        Json::Bool(expected) => found == &Value::from(*expected),
        Json::Number(number) => {
            found.is_number()
                && found.is_integer() != number.is_f64()
                && (python_str(found) == number.to_string()
                    || f64::try_from(found.clone()).ok().zip(number.as_f64()).is_some_and(|(found, number)| {
                        // The tables are read by a parser that may err in the last digit.
                        (found - number).abs() <= number.abs() * f64::EPSILON
                    }))
        }
        Json::String(text) => found.as_str() == Some(text.as_str()),
        Json::Array(all) => {
            found.as_str().is_none()
                && found.try_iter().is_ok_and(|found| {
                    let found: Vec<Value> = found.collect();
                    found.len() == all.len() && all.iter().zip(&found).all(|(expected, found)| same(expected, found))
                })
        }
        Json::Object(fields) if fields.contains_key("$") => fields["$"].as_str() == Some(python_str(found).as_str()),
        Json::Object(fields) => {
            found.len() == Some(fields.len())
                && crate::template::python::pairs(found).is_some_and(|found| {
                    found.iter().all(|(name, value)| {
                        fields.get(&python_str(name)).is_some_and(|expected| same(expected, value))
                    })
                })
        }
    }
}

/// What differs, if anything does.
fn compare(expected: &Json, found: Option<&Value>) -> Option<String> {
    let shown = || format!("{expected} became {:?}", found.map(crate::template::python::python_repr));
    match (expected.get("error"), found) {
        (Some(_), None) => None,
        (None, Some(found)) => {
            let text = expected["text"].as_str() == Some(python_str(found).as_str()) || expected["value"].is_object();
            (!text || !same(&expected["value"], found)).then(shown)
        }
        _ => Some(shown()),
    }
}

#[test]
fn templates_give_what_the_framework_gives() {
    let table = table();
    let mut wrong = Vec::new();
    let cases = table["templates"].as_array().unwrap();
    for case in cases {
        let text = case["template"].as_str().unwrap();
        let scope = scope(&table["contexts"][case["context"].as_str().unwrap()]);
        let template = Template::parse(text).ok();
        let value =
            |fallback| template.as_ref().and_then(|template| template.evaluate(&scope, Types::Any, fallback).ok());
        let truth = template.as_ref().and_then(|template| template.truth(&scope).ok());
        let truth_differs = case["truth"] != truth.map_or(Json::from("error"), Json::from);
        let differences = [
            compare(&case["string"], value(Fallback::Itself).as_ref()),
            compare(&case["mapped"], value(Fallback::Nothing).as_ref()),
            truth_differs.then(|| format!("{} became {truth:?}", case["truth"])),
        ];
        if let Some(difference) = differences.into_iter().flatten().next() {
            wrong.push(format!("[{}] {text:?}: {difference}", case["context"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn times_are_read_written_and_moved_as_the_framework_does() {
    let table = table();
    let mut wrong = Vec::new();
    let mut check = |case: &Json, name: &str, found: Json| {
        if case[name] != found {
            wrong.push(format!("{case}: {name} became {found}"));
        }
    };
    let text = |case: &Json, name: &str| case[name].as_str().unwrap().to_owned();
    let micros = |moment: Option<Moment>| moment.map_or(Json::Null, |moment| moment.micros().into());
    for case in table["reads"].as_array().unwrap() {
        check(case, "micros", micros(DateFormat::parse(&text(case, "format")).read(&text(case, "text"))));
    }
    for case in table["writes"].as_array().unwrap() {
        let time = Moment::parse_any(&text(case, "time")).unwrap();
        check(case, "text", DateFormat::parse(&text(case, "format")).write(time).into());
    }
    for case in table["any"].as_array().unwrap() {
        check(case, "micros", micros(Moment::parse_any(&text(case, "text"))));
    }
    for case in table["periods"].as_array().unwrap() {
        let period = Period::parse(&text(case, "period"));
        let time = Moment::parse_any(&text(case, "time")).unwrap();
        check(case, "plus", micros(period.and_then(|period| time.plus(&period))));
        check(case, "minus", micros(period.and_then(|period| time.minus(&period))));
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
