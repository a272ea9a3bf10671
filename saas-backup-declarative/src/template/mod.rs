//! Templates of manifests, evaluated as the framework of the manifests evaluates them.
//!
//! They are Jinja over the values of Python: what a template makes is a text, which is then read as a literal of Python.
//! Here a template is read once, and one that is a single expression is evaluated without its text where that comes to the
//! same. `minijinja` gives the values; the operators are Python's, which no engine of this language has: dates add and
//! subtract, a value of the wrong type leaves the template as it stands, and what is not there ends it.
mod arithmetic;
mod block;
mod checks;
mod dates;
mod dict;
mod digest;
mod eval;
mod failure;
mod filters;
mod json;
mod kept;
mod lex;
mod limits;
mod literal;
mod macros;
mod methods;
mod names;
mod parse;
mod printf;
mod python;
mod scope;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use minijinja::value::ValueKind;
use saas_backup_core::{Error, ErrorKind, Result};

use self::eval::Machine;
use self::failure::{Failure, Outcome};
use self::python::equal;
use self::tree::{Expr, Name, Node};

use self::literal::literal_eval;
pub(crate) use self::python::{python_float, python_str};
pub(crate) use self::scope::Scope;
pub(crate) use self::text::{camel_to_snake, first_match};

/// The values of the engine.
pub(crate) type Value = minijinja::Value;

/// A value of JSON as templates see it.
pub(crate) fn value_of(value: &impl serde::Serialize) -> Value {
    Value::from(minijinja::value::Serde(value))
}

/// What a template's text is read as, if it has that form. What has another form stays text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Types {
    Any,
    Text,
    TextOrList,
    Integer,
    Number,
    Boolean,
}

/// What a template gives when it makes no text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fallback {
    /// Its own evaluation again: an empty text, or that something is not there.
    Itself,
    /// None.
    Nothing,
}

/// A template, read once. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Template(Arc<Read>);

struct Read {
    source: String,
    nodes: Vec<Node>,
    free: Vec<Name>,
}

impl Debug for Template {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.source).finish()
    }
}

impl Template {
    /// Refuses what Jinja cannot read, and what is out of bounds.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.len() > limits::MAX_TEMPLATE {
            return Err(Error::new(ErrorKind::LimitExceeded, "a template is too long")
                .with_context("limit", limits::MAX_TEMPLATE));
        }
        let nodes = lex::parts(text).and_then(block::nodes).map_err(|error| error.with_context("template", text))?;
        let free = names::free(&nodes);
        Ok(Self(Arc::new(Read { source: text.to_owned(), nodes, free })))
    }

    fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether it gives something that is true: neither nothing, nor a zero, nor a word for it.
    pub(crate) fn truth(&self, scope: &Scope) -> Result<bool> {
        let value = match self.made(scope) {
            Ok(made) => read(made, Types::Any),
            Err(Failure::Undefined) => return Ok(false),
            Err(failure) => return Err(self.error(failure)),
        };
        Ok(match value.kind() {
            ValueKind::String => {
                !matches!(value.as_str().unwrap_or_default(), "" | "False" | "false" | "{}" | "[]" | "()" | "0" | "0.0")
            }
            ValueKind::None | ValueKind::Undefined => false,
            ValueKind::Bool | ValueKind::Number => !equal(&value, &Value::from(0)),
            _ => value.len() != Some(0),
        })
    }

    pub(crate) fn evaluate(&self, scope: &Scope, types: Types, fallback: Fallback) -> Result<Value> {
        match (self.made(scope), fallback) {
            (Ok(made), Fallback::Nothing) if made.is_undefined() || made.as_str() == Some("") => Ok(().into()),
            (Ok(made), _) => Ok(read(made, types)),
            (Err(Failure::Undefined), Fallback::Nothing) => Ok(().into()),
            (Err(failure), _) => Err(self.error(failure)),
        }
    }

    fn error(&self, failure: Failure) -> Error {
        let error = match failure {
            Failure::Undefined => Error::new(ErrorKind::Configuration, "a template uses what is not there"),
            Failure::Type => Error::new(ErrorKind::Configuration, "a template uses a value of the wrong type"),
            Failure::Other(error) => *error,
        };
        error.with_context("template", self.source())
    }

    /// What stands for the text that the template makes.
    fn made(&self, scope: &Scope) -> Outcome<Value> {
        if self.0.source.contains("stream_state") {
            return Err(failure::wrong(
                "a template uses stream_state, which is gone; stream_interval is there instead",
            ));
        }
        if let Some(name) = self.0.free.iter().find(|name| scope.get(name).is_none()) {
            let error = Error::new(ErrorKind::Configuration, "a template uses a name that means nothing there");
            return Err(error.with_context("name", name).into());
        }
        let made = match self.0.nodes.as_slice() {
            [] => Ok("".into()),
            [Node::Text(text)] => Ok(text.as_str().into()),
            [Node::Output(expr)] => Self::single(expr, scope),
            nodes => {
                let mut out = String::new();
                Machine::new(scope).run(nodes, &mut out).map(|()| out.into())
            }
        };
        match made {
            Err(Failure::Type) => Ok(self.source().into()),
            made => made,
        }
    }

    fn single(expr: &Expr, scope: &Scope) -> Outcome<Value> {
        let value = Machine::new(scope).eval(expr)?;
        if value.is_undefined() {
            return Ok("".into());
        }
        if is_plain(&value, 0) {
            return Ok(value);
        }
        let text = python_str(&value);
        limits::held(text.len())?;
        Ok(text.into())
    }
}

/// Whether a value is what its text reads as, so that the text need not be made; or is a text itself.
fn is_plain(value: &Value, depth: usize) -> bool {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::String => true,
        ValueKind::Number => value.is_integer() || f64::try_from(value.clone()).is_ok_and(f64::is_finite),
        _ if depth > 16 => false,
        ValueKind::Seq if !value.is_tuple() => {
            python::row(value).is_some_and(|all| all.iter().all(|one| is_plain(one, depth + 1)))
        }
        ValueKind::Map => python::pairs(value)
            .is_some_and(|all| all.iter().all(|(key, value)| key.as_str().is_some() && is_plain(value, depth + 1))),
        _ => false,
    }
}

/// Reads what was made as a literal.
fn read(made: Value, types: Types) -> Value {
    let found = match made.as_str() {
        Some(text) => literal_eval(text),
        None => Some(made.clone()),
    };
    let Some(found) = found else { return made };
    let fits = match types {
        Types::Any => true,
        Types::Text => found.kind() == ValueKind::String,
        Types::TextOrList => found.kind() == ValueKind::String || (found.kind() == ValueKind::Seq && !found.is_tuple()),
        Types::Integer => found.is_integer() || found.kind() == ValueKind::Bool,
        Types::Number => found.kind() == ValueKind::Number && !found.is_integer(),
        Types::Boolean => found.kind() == ValueKind::Bool,
    };
    if fits { found } else { python_str(&made).into() }
}
