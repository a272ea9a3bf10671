use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::MAX_COLLECTIONS;
use crate::expression::Expression;
use crate::manifest::Component;
use crate::plan::Builder;
use crate::shared::Shared;
use crate::slice::SliceView;
use crate::stream::Stream;
use crate::template;
use crate::walk;

/// What tells which collections there are.
#[derive(Debug)]
pub(super) enum Source {
    /// The provider: each record of a listing is a collection.
    Asked(Arc<Stream>),
    /// The settings: each combination of the items of lists.
    Settings(Vec<Pointer>),
    /// The manifest.
    Given(Vec<Value>),
}

/// A list in the settings, and items that are always there.
#[derive(Debug)]
pub(super) struct Pointer {
    path: Vec<Expression>,
    usual: Vec<Value>,
}

/// What fills the template of one collection.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) components: Value,
    pub(super) slice: template::Value,
}

impl Source {
    pub(super) fn build(component: &Component<'_>, name: &str, builder: &mut Builder) -> Result<Self> {
        let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(match component.kind() {
            "HttpComponentsResolver" => {
                let retriever = component.required("retriever")?;
                Self::Asked(Arc::new(Stream::of_retriever(format!("{name}: collections"), &retriever, builder)?))
            }
            "ConfigComponentsResolver" => {
                let pointers = component.children("stream_config")?;
                let pointers = pointers.iter().map(|pointer| {
                    Ok(Pointer { path: pointer.path("configs_pointer")?, usual: list(pointer.get("default_values")) })
                });
                Self::Settings(pointers.collect::<Result<_>>()?)
            }
            "ParametrizedComponentsResolver" => {
                let parameters = component.required("stream_parameters")?;
                Self::Given(list(parameters.get("list_of_parameters_for_stream")))
            }
            _ => return Err(component.unknown()),
        })
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    pub(super) fn is_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    /// Whether a text that is YAML stands for what it says. Never what a provider wrote.
    pub(super) fn reads_yaml(&self) -> bool {
        !self.is_asked()
    }

    pub(super) fn known(&self, shared: &Shared) -> Result<Vec<Values>> {
        let values = match self {
            Self::Asked(_) => Vec::new(),
            Self::Given(values) => values.clone(),
            Self::Settings(pointers) => combined(pointers, shared)?,
        };
        let none = || template::value_of(&json!({}));
        Ok(values.into_iter().map(|components| Values { components, slice: none() }).collect())
    }

    pub(super) fn asked(&self, shared: &Arc<Shared>) -> BoxStream<'static, Result<Values>> {
        let Self::Asked(stream) = self else { return stream::empty().boxed() };
        walk::all(Arc::clone(stream), Arc::clone(shared))
            .and_then(|(partition, item)| async move {
                let mut components = serde_json::to_value(item.value()?)?;
                plain(&mut components);
                let slice = template::Value::from_dyn_object(Arc::new(SliceView { partition, window: None }));
                Ok(Values { components, slice })
            })
            .boxed()
    }
}

/// Makes texts mean themselves once they stand in a template: what somebody named a table may ask for the settings
/// otherwise.
fn plain(value: &mut Value) {
    match value {
        Value::String(text) if ["{{", "{%", "{#"].iter().any(|sign| text.contains(sign)) => {
            *text = text.replace('{', "{{ '{' }}");
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(members) => members.values_mut().for_each(plain),
        _ => {}
    }
}

/// Each item of the first list with each of the others, as one mapping.
fn combined(pointers: &[Pointer], shared: &Shared) -> Result<Vec<Value>> {
    let settings = serde_json::to_value(shared.config())?;
    let mut combined = vec![Map::new()];
    for (place, pointer) in pointers.iter().enumerate() {
        let mut at = Some(&settings);
        for part in &pointer.path {
            let part = part.text(&shared.scope())?;
            at = at.and_then(|at| match at {
                Value::Array(items) => items.get(part.parse::<usize>().ok()?),
                other => other.get(&part),
            });
        }
        let mut items = match at {
            None => Vec::new(),
            Some(Value::Array(items)) => items.clone(),
            Some(other) => vec![other.clone()],
        };
        items.extend(pointer.usual.iter().cloned());
        if combined.len().saturating_mul(items.len()) > MAX_COLLECTIONS {
            return Err(Error::new(ErrorKind::LimitExceeded, "there are too many collections")
                .with_context("limit", MAX_COLLECTIONS));
        }
        let mut next = Vec::with_capacity(combined.len() * items.len());
        for before in &combined {
            for (index, item) in items.iter().enumerate() {
                let mut both = before.clone();
                match item {
                    Value::Object(members) => both.extend(members.clone()),
                    // A list's item that is no mapping goes by the place of its list.
                    other => {
                        both.entry(format!("source_config_{place}")).or_insert_with(|| json!([index, other]));
                    }
                }
                next.push(both);
            }
        }
        combined = next;
    }
    Ok(combined.into_iter().map(Value::Object).collect())
}
