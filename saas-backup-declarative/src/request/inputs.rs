use minijinja::value::ValueKind;
use saas_backup_core::Result;
use serde_json::Map;

use super::option::{Parts, to_json};
use crate::expression::Expression;
use crate::manifest::Component;
use crate::template::{Scope, Value, python_str};

/// What a requester always sends: parameters, headers and a body, each a mapping of templates or one template.
#[derive(Clone, Debug, Default)]
pub(super) struct Inputs {
    parameters: Named,
    headers: Named,
    form: Named,
    json: Option<Nested>,
}

impl Inputs {
    pub(super) fn build(component: &Component<'_>) -> Result<Self> {
        let mut inputs = Self {
            parameters: Named::build(component, "request_parameters", component.get("request_parameters"))?,
            headers: Named::build(component, "request_headers", component.get("request_headers"))?,
            form: Named::build(component, "request_body_data", component.get("request_body_data"))?,
            json: component
                .get("request_body_json")
                .map(|value| Nested::build(component, "request_body_json", value))
                .transpose()?,
        };
        if let Some(body) = component.child("request_body")? {
            let value = body.get("value");
            match body.kind() {
                "RequestBodyJsonObject" | "RequestBodyGraphQL" => {
                    inputs.json = value.map(|value| Nested::build(component, "request_body", value)).transpose()?;
                }
                "RequestBodyPlainText" | "RequestBodyUrlEncodedForm" => {
                    inputs.form = Named::build(component, "request_body", value)?;
                }
                _ => return Err(body.unknown()),
            }
        }
        Ok(inputs)
    }

    pub(super) fn parts(&self, scope: &Scope) -> Result<Parts> {
        let mut parts = Parts {
            parameters: self.parameters.pairs(scope, Expression::parameter)?,
            headers: self.headers.pairs(scope, Expression::option)?,
            ..Parts::default()
        };
        match &self.form {
            Named::Text(template) => {
                let value = template.value(scope)?;
                match value.kind() {
                    // As in Airbyte's: a text that reads as a mapping is a form.
                    ValueKind::Map => parts.form = pairs_of(&value),
                    ValueKind::None | ValueKind::Undefined => {}
                    _ => parts.text = Some(python_str(&value)).filter(|text| !text.is_empty()),
                }
            }
            named => parts.form = named.pairs(scope, Expression::parameter)?,
        }
        if let Some(json) = &self.json {
            match json.value(scope)? {
                serde_json::Value::Object(members) => parts.json = members,
                serde_json::Value::Null => {}
                other => parts.text = Some(other.to_string()),
            }
        }
        Ok(parts)
    }
}

/// Names and values that are templates; or one template that gives a mapping.
#[derive(Clone, Debug, Default)]
enum Named {
    #[default]
    Nothing,
    Text(Expression),
    Pairs(Vec<(Expression, Expression)>),
}

impl Named {
    fn build(component: &Component<'_>, member: &str, value: Option<&serde_json::Value>) -> Result<Self> {
        Ok(match value {
            None => Self::Nothing,
            Some(serde_json::Value::Object(members)) => Self::Pairs(
                members
                    .iter()
                    // A component: `QueryProperties`, which the stream takes care of.
                    .filter(|(_, value)| !value.is_object())
                    .map(|(name, value)| {
                        let name = component.expression_of(member, &name.as_str().into())?;
                        Ok((name, component.expression_of(member, value)?))
                    })
                    .collect::<Result<_>>()?,
            ),
            Some(value) => Self::Text(component.expression_of(member, value)?),
        })
    }

    fn pairs(
        &self,
        scope: &Scope,
        evaluate: fn(&Expression, &Scope) -> Result<Option<Value>>,
    ) -> Result<Vec<(String, Value)>> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Text(template) => Ok(pairs_of(&template.value(scope)?)),
            Self::Pairs(pairs) => {
                let mut found = Vec::with_capacity(pairs.len());
                for (name, value) in pairs {
                    if let Some(value) = evaluate(value, scope)? {
                        let name = name.parameter(scope)?.map(|name| python_str(&name)).unwrap_or_default();
                        found.push((name, value));
                    }
                }
                Ok(found)
            }
        }
    }
}

fn pairs_of(value: &Value) -> Vec<(String, Value)> {
    if value.kind() != ValueKind::Map {
        return Vec::new();
    }
    let names = value.try_iter().into_iter().flatten();
    names
        .filter_map(|name| {
            let member = value.get_item(&name).ok()?;
            (!member.is_none()).then(|| (python_str(&name), member))
        })
        .collect()
}

/// A value of JSON whose texts are templates.
#[derive(Clone, Debug)]
enum Nested {
    Leaf(Expression),
    List(Vec<Nested>),
    Members(Vec<(Expression, Nested)>),
}

impl Nested {
    fn build(component: &Component<'_>, member: &str, value: &serde_json::Value) -> Result<Self> {
        Ok(match value {
            serde_json::Value::Array(items) => {
                Self::List(items.iter().map(|item| Self::build(component, member, item)).collect::<Result<_>>()?)
            }
            serde_json::Value::Object(members) => Self::Members(
                members
                    .iter()
                    .map(|(name, value)| {
                        let name = component.expression_of(member, &name.as_str().into())?;
                        Ok((name, Self::build(component, member, value)?))
                    })
                    .collect::<Result<_>>()?,
            ),
            leaf => Self::Leaf(component.expression_of(member, leaf)?),
        })
    }

    fn value(&self, scope: &Scope) -> Result<serde_json::Value> {
        Ok(match self {
            Self::Leaf(expression) => match expression.option(scope)? {
                Some(value) => to_json(&value)?,
                None => serde_json::Value::Null,
            },
            Self::List(items) => items.iter().map(|item| item.value(scope)).collect::<Result<_>>()?,
            Self::Members(members) => {
                let mut object = Map::new();
                for (name, value) in members {
                    let value = value.value(scope)?;
                    if !value.is_null() {
                        object.insert(name.text(scope)?, value);
                    }
                }
                object.into()
            }
        })
    }
}
