use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use saas_backup_core::Result;
use serde_json::value::RawValue;

use super::path::{each_member, first_byte};
use crate::template::Value;

/// JSON as templates see it, of which only what they ask for is read: a page of records is large, and the token of the
/// next one is small.
#[derive(Debug)]
struct View {
    raw: Box<RawValue>,
    members: OnceLock<Vec<(Arc<str>, Value)>>,
}

/// A member of a record for templates: a list, too, is only read when something asks for it.
pub(super) fn lazy(raw: &RawValue) -> Result<Value> {
    match first_byte(raw.get()) {
        b'{' | b'[' => Ok(List::of(raw)),
        _ => Ok(serde_json::from_str(raw.get())?),
    }
}

/// A value of JSON for templates.
pub(crate) fn view(raw: &RawValue) -> Result<Value> {
    match first_byte(raw.get()) {
        b'{' => Ok(Value::from_object(View { raw: raw.to_owned(), members: OnceLock::new() })),
        _ => Ok(serde_json::from_str(raw.get())?),
    }
}

impl View {
    fn members(&self) -> &[(Arc<str>, Value)] {
        self.members.get_or_init(|| {
            let mut members: Vec<(Arc<str>, Value)> = Vec::new();
            // It was read once to its end: what is wrong was found then.
            let _ = each_member(self.raw.get(), |name, value| {
                let value = List::of(value);
                match members.iter_mut().find(|(known, _)| **known == *name) {
                    Some((_, old)) => *old = value,
                    None => members.push((name.into(), value)),
                }
            });
            members.sort_by(|one, other| one.0.cmp(&other.0));
            members
        })
    }
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let found = self.members().binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.members().get(found).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.members().iter().map(|(name, _)| Value::from(Arc::clone(name))).collect())
    }
}

/// A list whose items are read when one is asked for.
#[derive(Debug)]
struct List {
    raw: Box<RawValue>,
    items: OnceLock<Vec<Value>>,
}

impl List {
    fn of(raw: &RawValue) -> Value {
        match first_byte(raw.get()) {
            b'[' => Value::from_object(Self { raw: raw.to_owned(), items: OnceLock::new() }),
            b'{' => Value::from_object(View { raw: raw.to_owned(), members: OnceLock::new() }),
            _ => serde_json::from_str(raw.get()).unwrap_or_default(),
        }
    }

    fn items(&self) -> &[Value] {
        self.items.get_or_init(|| {
            let items: Vec<&RawValue> = serde_json::from_str(self.raw.get()).unwrap_or_default();
            items.into_iter().map(Self::of).collect()
        })
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items().get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items().len())
    }
}
