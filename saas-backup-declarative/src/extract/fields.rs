use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use saas_backup_core::Result;

use super::path::each_member;
use super::view::lazy;
use crate::template::Value;

/// The members of a record as templates and transformations see them; the record itself stays as it arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(pub(crate) BTreeMap<Arc<str>, Value>);

impl Fields {
    /// Lists and mappings in the members are read when something asks for them.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut members = Vec::new();
        each_member(text, |name, value| members.push((name, value)))?;
        members.into_iter().map(|(name, value)| Ok((name.into(), lazy(value)?))).collect::<Result<_>>().map(Self)
    }

    /// The value at a path.
    pub(crate) fn get(&self, path: &[String]) -> Option<Value> {
        let (first, rest) = path.split_first()?;
        at(self.0.get(first.as_str())?, rest)
    }

    /// Sets the value at a path; what is missing on the way becomes mappings.
    pub(crate) fn set(&mut self, path: &[String], value: Value) {
        let Some((first, rest)) = path.split_first() else { return };
        let old = self.0.get(first.as_str()).cloned().unwrap_or_default();
        self.0.insert(first.as_str().into(), with(&old, rest, value));
    }

    /// Removes what is at a path, if it passes.
    pub(crate) fn remove(&mut self, path: &[String], passes: &mut dyn FnMut(&Value) -> Result<bool>) -> Result<()> {
        let Some((first, rest)) = path.split_first() else { return Ok(()) };
        let names: Vec<Arc<str>> =
            if first == "*" || first == "**" { self.0.keys().cloned().collect() } else { vec![first.as_str().into()] };
        for name in names {
            let Some(old) = self.0.get(&name).cloned() else { continue };
            if rest.is_empty() {
                if passes(&old)? {
                    self.0.remove(&name);
                }
            } else {
                self.0.insert(name, without(&old, rest, passes)?);
            }
        }
        Ok(())
    }
}

/// What is at a path below a value.
pub(crate) fn at(value: &Value, path: &[String]) -> Option<Value> {
    path.iter().try_fold(value.clone(), |value, name| step(&value, name))
}

fn step(value: &Value, name: &str) -> Option<Value> {
    let found = match value.kind() {
        ValueKind::Seq => value.get_item_by_index(name.parse().ok()?).ok()?,
        ValueKind::Map => value.get_item(&Value::from(name)).ok()?,
        _ => return None,
    };
    (!found.is_undefined()).then_some(found)
}

/// The members of a mapping.
pub(crate) fn members(value: &Value) -> BTreeMap<Arc<str>, Value> {
    let names = value.try_iter().into_iter().flatten();
    names.filter_map(|name| Some((Arc::from(name.as_str()?), value.get_item(&name).ok()?))).collect()
}

fn with(old: &Value, path: &[String], value: Value) -> Value {
    let Some((first, rest)) = path.split_first() else { return value };
    if let (ValueKind::Seq, Ok(index)) = (old.kind(), first.parse::<usize>()) {
        let mut items: Vec<Value> = old.try_iter().into_iter().flatten().collect();
        if index >= items.len() {
            items.resize(index.min(items.len() + 1024) + 1, Value::from(()));
        }
        if let Some(item) = items.get_mut(index) {
            *item = with(&item.clone(), rest, value);
        }
        return Value::from(items);
    }
    let mut map = if old.kind() == ValueKind::Map { members(old) } else { BTreeMap::new() };
    let inner = map.get(first.as_str()).cloned().unwrap_or_default();
    map.insert(first.as_str().into(), with(&inner, rest, value));
    Value::from_object(Fields(map))
}

fn without(old: &Value, path: &[String], passes: &mut dyn FnMut(&Value) -> Result<bool>) -> Result<Value> {
    Ok(match old.kind() {
        ValueKind::Map => {
            let mut fields = Fields(members(old));
            fields.remove(path, passes)?;
            Value::from_object(fields)
        }
        // What stands in a list is not deleted from it, but in its items.
        ValueKind::Seq => match path.split_first() {
            Some((first, rest)) if !rest.is_empty() => {
                let mut items: Vec<Value> = old.try_iter().into_iter().flatten().collect();
                for (index, item) in items.iter_mut().enumerate() {
                    if first == "*" || first.parse() == Ok(index) {
                        *item = without(&item.clone(), rest, passes)?;
                    }
                }
                Value::from(items)
            }
            _ => old.clone(),
        },
        _ => old.clone(),
    })
}

impl Object for Fields {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|name| Value::from(Arc::clone(name))).collect())
    }
}
