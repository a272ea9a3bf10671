use std::borrow::Cow;

use saas_backup_core::Result;

use crate::template::{Fallback, Scope, Template, Types, Value, python_str, value_of};

/// A member of a component that may hold a template, with the parameters of the component.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    form: Form,
    parameters: Option<Value>,
}

#[derive(Clone, Debug)]
enum Form {
    /// A number, a boolean: whatever YAML has that is no text.
    Plain(Value),
    Template(Template),
}

impl Expression {
    pub(crate) fn of(value: &serde_json::Value, parameters: Option<&serde_json::Value>) -> Result<Self> {
        let form = match value {
            serde_json::Value::String(text) => Form::Template(Template::parse(text)?),
            other => Form::Plain(value_of(other)),
        };
        Ok(Self { form, parameters: parameters.map(value_of) })
    }

    /// What it gives; a template that gives nothing gives its own text.
    pub(crate) fn value(&self, scope: &Scope) -> Result<Value> {
        self.evaluate(scope, Types::Any, Fallback::Itself)
    }

    /// What it gives, as Python prints it.
    pub(crate) fn text(&self, scope: &Scope) -> Result<String> {
        Ok(python_str(&self.value(scope)?))
    }

    /// What it gives, if it gives something.
    pub(crate) fn option(&self, scope: &Scope) -> Result<Option<Value>> {
        let value = self.evaluate(scope, Types::Any, Fallback::Nothing)?;
        Ok(Some(value).filter(|value| !value.is_none() && !value.is_undefined()))
    }

    /// The text or list that it gives for a parameter of a request, if it gives something. Numbers stay as they are
    /// written.
    pub(crate) fn parameter(&self, scope: &Scope) -> Result<Option<Value>> {
        let value = self.evaluate(scope, Types::TextOrList, Fallback::Nothing)?;
        Ok(Some(value).filter(|value| !value.is_none() && !value.is_undefined()))
    }

    /// What it gives, read as a type only where it has this form.
    pub(crate) fn typed(&self, scope: &Scope, types: Types) -> Result<Value> {
        self.evaluate(scope, types, Fallback::Itself)
    }

    /// Whether it gives something that is true.
    pub(crate) fn truth(&self, scope: &Scope) -> Result<bool> {
        match &self.form {
            Form::Plain(value) => Ok(value.is_true()),
            Form::Template(template) => template.truth(&self.within(scope)),
        }
    }

    fn evaluate(&self, scope: &Scope, types: Types, fallback: Fallback) -> Result<Value> {
        match &self.form {
            Form::Plain(value) => Ok(value.clone()),
            Form::Template(template) => template.evaluate(&self.within(scope), types, fallback),
        }
    }

    /// The scope with the parameters of the component; one without has those of the scope, which are none.
    fn within<'a>(&self, scope: &'a Scope) -> Cow<'a, Scope> {
        match &self.parameters {
            Some(parameters) => Cow::Owned(scope.clone().with("parameters", parameters.clone())),
            None => Cow::Borrowed(scope),
        }
    }
}
