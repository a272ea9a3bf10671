use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

use super::defaults::PARAMETERS;
use crate::expression::Expression;

/// A component of a manifest: members of one type, at one place.
#[derive(Clone, Debug)]
pub(crate) struct Component<'a> {
    members: Option<&'a Map<String, Value>>,
    place: String,
}

impl<'a> Component<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { members: value.as_object(), place: String::new() }
    }

    /// A component that was made while others were built.
    pub(crate) fn made(value: &'a Value, place: impl Into<String>) -> Self {
        Self { members: value.as_object(), place: place.into() }
    }

    /// Its type; empty where it has none.
    pub(crate) fn kind(&self) -> &'a str {
        self.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// A member that is there and not null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members?.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.members.into_iter().flatten()
    }

    /// What tells it from all others: its members.
    pub(crate) fn identity(&self) -> String {
        self.members.map(|members| serde_json::to_string(members).unwrap_or_default()).unwrap_or_default()
    }

    /// Its members, to make another of them.
    pub(crate) fn to_value(&self) -> Value {
        self.members.cloned().unwrap_or_default().into()
    }

    pub(crate) fn parameters(&self) -> Option<&'a Value> {
        self.get(PARAMETERS).filter(|parameters| parameters.as_object().is_some_and(|members| !members.is_empty()))
    }

    /// The component in a member.
    pub(crate) fn child(&self, name: &str) -> Result<Option<Self>> {
        self.get(name).map(|value| self.below(name, value)).transpose()
    }

    /// The component in a member that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<Self> {
        self.child(name)?.ok_or_else(|| self.wrong(format!("{name} is missing")))
    }

    /// The components in a member that is a list, or one.
    pub(crate) fn children(&self, name: &str) -> Result<Vec<Self>> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.iter().enumerate().map(|(index, item)| self.below(&format!("{name}[{index}]"), item)).collect()
            }
            Some(value) => Ok(vec![self.below(name, value)?]),
        }
    }

    fn below(&self, name: &str, value: &'a Value) -> Result<Self> {
        let place = if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) };
        match value {
            Value::Object(members) => Ok(Self { members: Some(members), place }),
            _ => Err(Error::new(ErrorKind::Configuration, "the manifest has no component there")
                .with_context("place", place)),
        }
    }

    /// A member as an expression, whatever scalar it is.
    pub(crate) fn expression(&self, name: &str) -> Result<Option<Expression>> {
        self.get(name).map(|value| self.expression_of(name, value)).transpose()
    }

    pub(crate) fn expression_of(&self, name: &str, value: &Value) -> Result<Expression> {
        Expression::of(value, self.parameters())
            .map_err(|error| error.with_context("place", format!("{}.{name}", self.place)))
    }

    /// A list of expressions: a path.
    pub(crate) fn path(&self, name: &str) -> Result<Vec<Expression>> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| self.expression_of(name, item)).collect(),
            Some(single) => Ok(vec![self.expression_of(name, single)?]),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    /// A member that is true, as a boolean or as a text.
    pub(crate) fn flag(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(value)) => *value,
            Some(Value::String(text)) => matches!(text.as_str(), "true" | "True" | "yes" | "on" | "1"),
            _ => false,
        }
    }

    /// A member that counts something, as a number or as a text.
    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        match self.get(name)? {
            Value::Number(number) => usize::try_from(number.as_u64()?).ok(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// What is wrong with it.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Configuration, format!("the manifest is wrong: {}", message.into()))
            .with_context("component", self.kind())
            .with_context("place", &self.place)
    }

    /// That there is no such component here.
    pub(crate) fn unknown(&self) -> Error {
        let kind = self.get("class_name").and_then(Value::as_str).map_or_else(|| self.kind(), |_| "custom Python code");
        Error::new(ErrorKind::Unsupported, format!("needs a component that is not supported: {kind}"))
            .with_context("place", &self.place)
    }
}
