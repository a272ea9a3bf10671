use saas_backup_core::{Collection, Json, Record};
use serde_json::Value;

use crate::form::value::text_at;

/// The properties of a record by the names that a form knows, as the field mapping leads to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Properties<'a> {
    collection: &'a Collection,
    data: &'a Json,
}

impl<'a> Properties<'a> {
    pub(crate) fn new(collection: &'a Collection, record: &'a Record) -> Self {
        Self { collection, data: &record.data }
    }

    /// The path that a name is mapped to.
    pub(crate) fn path(&self, name: &str) -> Option<&'a str> {
        self.collection.fields.properties.get(name).map(String::as_str)
    }

    /// The value, if it is there.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        let path = self.path(name)?;
        match self.data.member::<Value>(path) {
            Ok(value) => value,
            // Half a surrogate pair has no place in a text; the rest of it has.
            Err(_) => text_at(self.data, path).map(Value::String),
        }
    }

    /// The value as text, if it is a text, a number or a truth value, and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text_at(self.data, self.path(name)?).filter(|text| !text.trim().is_empty())
    }

    /// The items of a list; a value that is no list is its one item.
    pub(crate) fn items(&self, name: &str) -> Vec<Value> {
        match self.value(name) {
            Some(Value::Array(items)) => items,
            value => value.into_iter().collect(),
        }
    }

    /// Whether the value is `true`.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}

/// A text, a number or a truth value as text, if it is not empty.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The first of these members that has a text; members of members stand behind a dot.
pub(crate) fn member_of(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let place = name.split('.').try_fold(value, |value, name| value.get(name))?;
        text_of(place)
    })
}
