//! The templates of manifests, as Airbyte evaluates them: Jinja whose results are texts that Python reads again.
//!
//! `{{ config['count'] }}` renders as the text `3`, and Python's `literal_eval` makes the number 3 of it; `None` becomes
//! nothing, and `{'a': 1}` a mapping. What Jinja cannot render because of types stays the template's own text; what
//! gives nothing becomes what its place falls back to.

mod datetime;
mod environment;
mod filters;
mod functions;
mod literal;
mod parse;
mod python;
mod scope;

use std::sync::Arc;

use minijinja::Expression;
use saas_backup_core::{Error, ErrorKind, Result};

pub(crate) use filters::first_match;
pub(crate) use functions::camel_to_snake;
pub(crate) use python::{python_float, python_str};
pub(crate) use scope::Scope;

use environment::ENVIRONMENT;
use parse::Segment;

/// The one kind of value that templates, records and requests share.
pub(crate) type Value = minijinja::Value;

/// A value of JSON as templates see it.
pub(crate) fn value_of(value: &impl serde::Serialize) -> Value {
    Value::from(minijinja::value::Serde(value))
}

/// Longest text that a template may give, in bytes.
const MAX_OUTPUT: usize = 4 * 1024 * 1024;

/// What the text that a template gives is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Types {
    /// Whatever it looks like.
    Any,
    /// A list where it looks like one; otherwise it stays a text.
    TextOrList,
    /// A text.
    Text,
    /// An integer where it looks like one.
    Integer,
    /// A number with a fraction where it looks like one.
    Number,
    /// A boolean where it looks like one.
    Boolean,
}

/// What a template that gives nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// Its own text, evaluated once more: what is undefined is an error then.
    Itself,
    /// Nothing.
    Nothing,
    /// False.
    No,
}

/// A template that was parsed.
#[derive(Clone, Debug)]
pub(crate) struct Template(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    source: String,
    form: Form,
    /// The variables that must be there.
    roots: Vec<String>,
}

enum Form {
    Constant,
    /// One expression and nothing else.
    Single(Expression<'static, 'static>),
    Segments(Vec<Piece>),
    /// With statements.
    Whole(minijinja::Environment<'static>),
}

enum Piece {
    Text(String),
    Expression(Expression<'static, 'static>),
}

impl std::fmt::Debug for Form {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Constant => "Constant",
            Self::Single(_) => "Single",
            Self::Segments(_) => "Segments",
            Self::Whole(_) => "Whole",
        })
    }
}

/// How rendering ended without a text.
enum Stopped {
    /// Something that is not there was used.
    Undefined,
    /// Types do not fit: the template stays as it is.
    Types,
    Failed(Error),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it is none.
    pub(crate) fn parse(source: &str) -> Result<Self> {
        let wrong = |error: minijinja::Error| {
            Error::new(ErrorKind::Configuration, "the manifest holds a template that is none")
                .with_context("template", source.chars().take(200).collect::<String>())
                .with_source(error)
        };
        if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
            return Ok(Self(Arc::new(Parsed { source: source.to_owned(), form: Form::Constant, roots: Vec::new() })));
        }
        let mut roots = std::collections::BTreeSet::new();
        let form = match parse::segments(source) {
            Some(segments) => {
                let mut pieces = Vec::new();
                for segment in segments {
                    pieces.push(match segment {
                        Segment::Text(text) => Piece::Text(text),
                        Segment::Expression(text) => {
                            let compiled = ENVIRONMENT.compile_expression_owned(text).map_err(wrong)?;
                            roots.extend(compiled.undeclared_variables(false));
                            Piece::Expression(compiled)
                        }
                    });
                }
                match pieces.pop() {
                    Some(Piece::Expression(single)) if pieces.is_empty() => Form::Single(single),
                    last => Form::Segments(pieces.into_iter().chain(last).collect()),
                }
            }
            None => {
                let mut own = ENVIRONMENT.clone();
                own.add_template_owned("template", parse::rewritten(source)).map_err(wrong)?;
                roots.extend(own.get_template("template").map_err(wrong)?.undeclared_variables(false));
                Form::Whole(own)
            }
        };
        let roots = roots.into_iter().filter(|name| !environment::is_global(name)).collect();
        Ok(Self(Arc::new(Parsed { source: source.to_owned(), form, roots })))
    }

    /// What it gives, read as types; what it falls back to if it gives nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it uses a variable that there is not in this place, or something undefined that
    /// nothing stands in for; [`ErrorKind::LimitExceeded`] if it does not come to an end.
    pub(crate) fn evaluate(&self, scope: &Scope, types: Types, fallback: Fallback) -> Result<Value> {
        let parsed = &*self.0;
        if matches!(parsed.form, Form::Constant) && !parsed.source.is_empty() {
            return Ok(literal::typed(&parsed.source, types));
        }
        self.check_roots(scope)?;
        let stopped = match self.render(scope) {
            Ok(Rendered::Value(value)) if types == Types::Any && python::is_plain(&value) => return Ok(value),
            Ok(rendered) => {
                let text = rendered.text();
                if text.len() > MAX_OUTPUT {
                    return Err(Error::new(ErrorKind::LimitExceeded, "a template of the manifest gives too much")
                        .with_context("limit", MAX_OUTPUT));
                }
                if !text.is_empty() {
                    return Ok(literal::typed(&text, types));
                }
                None
            }
            Err(Stopped::Types) => return Ok(literal::typed(&parsed.source, types)),
            Err(Stopped::Failed(error)) => return Err(error),
            Err(Stopped::Undefined) => Some(()),
        };
        match (fallback, stopped) {
            (Fallback::Nothing, _) => Ok(Value::from(())),
            (Fallback::No, _) => Ok(Value::from(false)),
            (Fallback::Itself, None) => Ok(Value::from("")),
            (Fallback::Itself, Some(())) => {
                Err(Error::new(ErrorKind::Configuration, "a template of the manifest uses what is not there")
                    .with_context("template", parsed.source.chars().take(200).collect::<String>()))
            }
        }
    }

    /// Whether it gives something that is true.
    pub(crate) fn truth(&self, scope: &Scope) -> Result<bool> {
        let value = self.evaluate(scope, Types::Any, Fallback::No)?;
        Ok(match value.as_str() {
            Some(text) => !matches!(text, "False" | "false" | "{}" | "[]" | "()" | "" | "0" | "0.0"),
            None => value.is_true(),
        })
    }

    fn check_roots(&self, scope: &Scope) -> Result<()> {
        match self.0.roots.iter().find(|name| !scope.knows(name)) {
            None => Ok(()),
            Some(unknown) => Err(Error::new(
                ErrorKind::Configuration,
                "a template of the manifest uses a variable that is not there",
            )
            .with_context("variable", unknown)),
        }
    }

    fn render(&self, scope: &Scope) -> Result<Rendered, Stopped> {
        let context = scope.context();
        match &self.0.form {
            Form::Constant => Ok(Rendered::Text(self.0.source.clone())),
            Form::Single(expression) => Ok(Rendered::Value(expression.eval(context).map_err(stopped)?)),
            Form::Segments(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(literal) => text.push_str(literal),
                        Piece::Expression(expression) => {
                            text.push_str(&python_str(&expression.eval(context.clone()).map_err(stopped)?));
                        }
                    }
                }
                Ok(Rendered::Text(text))
            }
            Form::Whole(environment) => {
                let template = environment.get_template("template").map_err(stopped)?;
                Ok(Rendered::Text(template.render(context).map_err(stopped)?))
            }
        }
    }
}

enum Rendered {
    Value(Value),
    Text(String),
}

impl Rendered {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Value(value) => python_str(value).into(),
        }
    }
}

fn stopped(error: minijinja::Error) -> Stopped {
    use minijinja::ErrorKind as Kind;
    match error.kind() {
        Kind::UndefinedError | Kind::UnknownMethod => Stopped::Undefined,
        Kind::InvalidOperation
        | Kind::NonPrimitive
        | Kind::NonKey
        | Kind::TooManyArguments
        | Kind::MissingArgument
        | Kind::CannotUnpack
        | Kind::CannotDeserialize
        | Kind::BadSerialization => Stopped::Types,
        Kind::OutOfFuel => {
            Stopped::Failed(Error::new(ErrorKind::LimitExceeded, "a template of the manifest does not come to an end"))
        }
        // The source would quote what the template was given.
        _ => Stopped::Failed(
            Error::new(ErrorKind::Configuration, "a template of the manifest cannot be evaluated")
                .with_context("reason", format!("{:?}", error.kind())),
        ),
    }
}

#[cfg(test)]
mod tests;
