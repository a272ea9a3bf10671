use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::Map;

use crate::expression::Expression;
use crate::manifest::Component;
use crate::template::{Scope, Value, python_str};

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Parameter,
    Header,
    Form,
    Json,
}

/// A value's place in a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestOption {
    place: Place,
    path: Vec<Expression>,
}

impl RequestOption {
    pub(crate) fn build(component: &Component<'_>) -> Result<Self> {
        if component.kind() != "RequestOption" {
            return Err(component.unknown());
        }
        let place = match component.text("inject_into") {
            Some("request_parameter") => Place::Parameter,
            Some("header") => Place::Header,
            Some("body_data") => Place::Form,
            Some("body_json") => Place::Json,
            _ => return Err(component.wrong("inject_into names no part of a request")),
        };
        let path = match component.expression("field_name")? {
            Some(name) => vec![name],
            None if place == Place::Json => component.path("field_path")?,
            None => Vec::new(),
        };
        if path.is_empty() {
            return Err(component.wrong("field_name is missing"));
        }
        Ok(Self { place, path })
    }

    /// The option of a member that may be missing.
    pub(crate) fn build_optional(parent: &Component<'_>, name: &str) -> Result<Option<Self>> {
        parent.child(name)?.map(|component| Self::build(&component)).transpose()
    }

    /// Puts a value in its place.
    pub(crate) fn put(&self, parts: &mut Parts, value: &Value, scope: &Scope) -> Result<()> {
        let path = self.path.iter().map(|part| part.text(scope)).collect::<Result<Vec<String>>>()?;
        match (self.place, path.split_last()) {
            (Place::Json, Some((last, above))) => {
                let mut members = &mut parts.json;
                for name in above {
                    let inner = members.entry(name.clone()).or_insert_with(|| Map::new().into());
                    members = inner.as_object_mut().ok_or_else(|| collision(name))?;
                }
                members.insert(last.clone(), to_json(value)?);
            }
            (place, Some((last, _))) => parts.list(place).push((last.clone(), value.clone())),
            (_, None) => {}
        }
        Ok(())
    }
}

/// The parts of a request, before they are put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) parameters: Vec<(String, Value)>,
    pub(crate) headers: Vec<(String, Value)>,
    pub(crate) form: Vec<(String, Value)>,
    pub(crate) json: Map<String, serde_json::Value>,
    /// A body that is a text.
    pub(crate) text: Option<String>,
}

impl Parts {
    fn list(&mut self, place: Place) -> &mut Vec<(String, Value)> {
        match place {
            Place::Header => &mut self.headers,
            Place::Form => &mut self.form,
            Place::Parameter | Place::Json => &mut self.parameters,
        }
    }

    /// Adds parts that must not say a second time what is said.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        for (mine, theirs) in
            [(&mut self.parameters, other.parameters), (&mut self.headers, other.headers), (&mut self.form, other.form)]
        {
            for (name, value) in theirs {
                if mine.iter().any(|(known, _)| *known == name) {
                    return Err(collision(&name));
                }
                mine.push((name, value));
            }
        }
        merge_json(&mut self.json, other.json)?;
        if other.text.is_some() && (self.text.is_some() || !self.form.is_empty()) {
            return Err(collision("the body"));
        }
        self.text = self.text.take().or(other.text);
        Ok(())
    }

    /// Adds parts whose values count before those that are there.
    pub(crate) fn replace(&mut self, other: Self) {
        for (mine, theirs) in
            [(&mut self.parameters, other.parameters), (&mut self.headers, other.headers), (&mut self.form, other.form)]
        {
            for (name, value) in theirs {
                mine.retain(|(known, _)| *known != name);
                mine.push((name, value));
            }
        }
        self.json.extend(other.json);
    }
}

fn merge_json(mine: &mut Map<String, serde_json::Value>, theirs: Map<String, serde_json::Value>) -> Result<()> {
    for (name, value) in theirs {
        match (mine.get_mut(&name), value) {
            (None, value) => {
                mine.insert(name, value);
            }
            (Some(serde_json::Value::Object(mine)), serde_json::Value::Object(theirs)) => merge_json(mine, theirs)?,
            (Some(mine), value) if *mine == value => {}
            (Some(_), _) => return Err(collision(&name)),
        }
    }
    Ok(())
}

/// A value of a template in a body of JSON.
pub(crate) fn to_json(value: &Value) -> Result<serde_json::Value> {
    Ok(serde_json::to_value(value)?)
}

/// A parameter's or a form field's values: a list stands for several.
pub(super) fn texts(value: &Value) -> Vec<String> {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Vec::new(),
        ValueKind::Seq => match value.try_iter() {
            Ok(items) => items.filter(|item| !item.is_none()).map(|item| python_str(&item)).collect(),
            Err(_) => Vec::new(),
        },
        _ => vec![python_str(value)],
    }
}

fn collision(name: &str) -> Error {
    Error::new(ErrorKind::Configuration, "the manifest sets a part of a request twice").with_context("part", name)
}
