use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::ValueKind;
use saas_backup_core::Result;

use super::Fields;
use super::fields::members;
use crate::expression::Expression;
use crate::manifest::Component;
use crate::template::{Scope, Types, Value, camel_to_snake};

/// A change of a record as the manifest sees it. The record itself stays as it arrived.
#[derive(Debug)]
pub(crate) enum Transform {
    Add {
        fields: Vec<Added>,
        condition: Option<Expression>,
    },
    Remove {
        paths: Vec<Vec<String>>,
        condition: Option<Expression>,
    },
    KeysToLower,
    KeysToSnakeCase,
    KeysReplace {
        old: Expression,
        new: Expression,
    },
    Flatten {
        lists: bool,
    },
    FlattenAt {
        path: Vec<Expression>,
        delete: bool,
        replace: bool,
        prefix: Option<Expression>,
        suffix: Option<Expression>,
    },
}

/// A member that is added.
#[derive(Debug)]
pub(crate) struct Added {
    path: Vec<String>,
    names: Value,
    value: Expression,
    types: Types,
}

impl Transform {
    pub(crate) fn build(component: &Component<'_>) -> Result<Self> {
        let needed =
            |name: &str| component.expression(name)?.ok_or_else(|| component.wrong(format!("{name} is missing")));
        let condition =
            || component.expression("condition").map(|found| found.filter(|_| component.text("condition") != Some("")));
        Ok(match component.kind() {
            "AddFields" => Self::Add {
                fields: component.children("fields")?.iter().map(Added::build).collect::<Result<_>>()?,
                condition: condition()?,
            },
            "RemoveFields" => {
                let pointers = component.get("field_pointers").and_then(serde_json::Value::as_array);
                Self::Remove { paths: pointers.into_iter().flatten().map(texts).collect(), condition: condition()? }
            }
            "KeysToLower" => Self::KeysToLower,
            "KeysToSnakeCase" => Self::KeysToSnakeCase,
            "KeysReplace" => Self::KeysReplace { old: needed("old")?, new: needed("new")? },
            "FlattenFields" => {
                Self::Flatten { lists: component.get("flatten_lists").is_none() || component.flag("flatten_lists") }
            }
            "DpathFlattenFields" => {
                let keys = component.child("key_transformation")?;
                let part = |name: &str| keys.as_ref().map_or(Ok(None), |keys| keys.expression(name));
                Self::FlattenAt {
                    path: component.path("field_path")?,
                    delete: component.flag("delete_origin_value"),
                    replace: component.flag("replace_record"),
                    prefix: part("prefix")?,
                    suffix: part("suffix")?,
                }
            }
            _ => return Err(component.unknown()),
        })
    }

    pub(crate) fn apply(&self, fields: &mut Arc<Fields>, scope: &Scope) -> Result<()> {
        match self {
            Self::Add { fields: added, condition } => {
                for field in added {
                    let scope = scope.clone().with("record", Value::from_dyn_object(Arc::clone(fields)));
                    let value = field.value.typed(&scope, field.types)?;
                    if let Some(condition) = condition {
                        let scope = scope.clone().with("value", value.clone()).with("path", field.names.clone());
                        if !condition.truth(&scope)? {
                            continue;
                        }
                    }
                    drop(scope);
                    Arc::make_mut(fields).set(&field.path, value);
                }
                Ok(())
            }
            Self::Remove { paths, condition } => {
                for path in paths {
                    Arc::make_mut(fields).remove(path, &mut |value| match condition {
                        Some(condition) => condition.truth(&scope.clone().with("property", value.clone())),
                        None => Ok(true),
                    })?;
                }
                Ok(())
            }
            Self::KeysToLower => {
                let old = std::mem::take(&mut Arc::make_mut(fields).0);
                Arc::make_mut(fields).0 =
                    old.into_iter().map(|(name, value)| (name.to_lowercase().into(), value)).collect();
                Ok(())
            }
            Self::KeysToSnakeCase => {
                rename(Arc::make_mut(fields), &|name| camel_to_snake(name));
                Ok(())
            }
            Self::KeysReplace { old, new } => {
                let scope = scope.clone().with("record", Value::from_dyn_object(Arc::clone(fields)));
                let (old, new) = (old.text(&scope)?, new.text(&scope)?);
                drop(scope);
                rename(Arc::make_mut(fields), &|name| name.replace(&old, &new));
                Ok(())
            }
            Self::Flatten { lists } => {
                let old = std::mem::take(&mut Arc::make_mut(fields).0);
                Arc::make_mut(fields).0 = flatten(old, *lists);
                Ok(())
            }
            Self::FlattenAt { path, delete, replace, prefix, suffix } => {
                let path = path.iter().map(|part| part.text(scope)).collect::<Result<Vec<String>>>()?;
                let Some(found) = found_at(fields, &path).filter(|found| found.kind() == ValueKind::Map) else {
                    return Ok(());
                };
                let text = |part: &Option<Expression>| part.as_ref().map_or(Ok(String::new()), |part| part.text(scope));
                let (prefix, suffix) = (text(prefix)?, text(suffix)?);
                let inner: BTreeMap<Arc<str>, Value> = members(&found)
                    .into_iter()
                    .map(|(name, value)| (format!("{prefix}{name}{suffix}").into(), value))
                    .collect();
                let fields = Arc::make_mut(fields);
                if *replace && !inner.is_empty() {
                    fields.0 = inner;
                } else if !inner.keys().any(|name| fields.0.contains_key(name)) {
                    if *delete {
                        fields.remove(&path, &mut |_| Ok(true))?;
                    }
                    fields.0.extend(inner);
                }
                Ok(())
            }
        }
    }
}

impl Added {
    fn build(component: &Component<'_>) -> Result<Self> {
        let path = component.get("path").map(texts).unwrap_or_default();
        if path.is_empty() {
            return Err(component.wrong("path is missing"));
        }
        let types = match component.text("value_type") {
            None => Types::Any,
            Some("string") => Types::Text,
            Some("integer") => Types::Integer,
            Some("number") => Types::Number,
            Some("boolean") => Types::Boolean,
            Some(_) => return Err(component.wrong("value_type is none that is known")),
        };
        let value = component.expression("value")?.ok_or_else(|| component.wrong("value is missing"))?;
        Ok(Self { names: Value::from(path.clone()), path, value, types })
    }
}

fn texts(value: &serde_json::Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
}

fn found_at(fields: &Fields, path: &[String]) -> Option<Value> {
    match path.iter().position(|part| part == "*") {
        None => fields.get(path),
        Some(at) => {
            let (above, below) = path.split_at(at);
            let holder = if above.is_empty() { fields.0.clone() } else { members(&fields.get(above)?) };
            let rest = below.get(1..).unwrap_or_default();
            holder
                .into_values()
                .find_map(|value| if rest.is_empty() { Some(value) } else { Fields(members(&value)).get(rest) })
        }
    }
}

fn rename(fields: &mut Fields, name: &dyn Fn(&str) -> String) {
    let old = std::mem::take(&mut fields.0);
    for (key, value) in old {
        let value = if value.kind() == ValueKind::Map {
            let mut inner = Fields(members(&value));
            rename(&mut inner, name);
            Value::from_object(inner)
        } else {
            value
        };
        fields.0.insert(name(&key).into(), value);
    }
}

/// As Airbyte flattens: the last members come first, and a name that is taken gets those above it in front.
fn flatten(record: BTreeMap<Arc<str>, Value>, lists: bool) -> BTreeMap<Arc<str>, Value> {
    let mut flat = BTreeMap::new();
    let mut stack = vec![(Value::from_object(Fields(record)), Arc::from("_"))];
    let mut named = false;
    while let Some((value, key)) = stack.pop() {
        match value.kind() {
            ValueKind::Map => {
                for (name, inner) in members(&value) {
                    let name = if named || flat.contains_key(&name) { format!("{key}.{name}").into() } else { name };
                    stack.push((inner, name));
                }
            }
            ValueKind::Seq if lists => {
                for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
                    named = true;
                    stack.push((item, format!("{key}.{index}").into()));
                }
            }
            _ => {
                flat.insert(key, value);
            }
        }
    }
    flat
}
