use saas_backup_core::Result;
use serde_json::{Map, Value};

use crate::expression::Expression;
use crate::manifest::{Component, parse_yaml};
use crate::request::to_json;
use crate::template::{Scope, Types};

/// Where in a template a value goes.
#[derive(Debug)]
pub(super) struct Mapping {
    path: Vec<Expression>,
    value: Expression,
    types: Types,
    /// Whether a place that the template lacks is made.
    create: bool,
    condition: Option<Expression>,
}

impl Mapping {
    pub(super) fn build(component: &Component<'_>) -> Result<Self> {
        if component.kind() != "ComponentMappingDefinition" {
            return Err(component.unknown());
        }
        let path = component.path("field_path")?;
        if path.is_empty() {
            return Err(component.wrong("field_path is missing"));
        }
        Ok(Self {
            path,
            value: component.expression("value")?.ok_or_else(|| component.wrong("value is missing"))?,
            types: match component.text("value_type") {
                None => Types::Any,
                Some("string") => Types::Text,
                Some("integer") => Types::Integer,
                Some("number") => Types::Number,
                Some("boolean") => Types::Boolean,
                Some(_) => return Err(component.wrong("value_type is no type")),
            },
            create: component.flag("create_or_update"),
            condition: component.expression("condition")?.filter(|_| component.text("condition") != Some("")),
        })
    }

    /// Puts the value into a template. `yaml` says that a text which is YAML stands for what it says.
    pub(super) fn apply(&self, template: &mut Value, scope: &Scope, yaml: bool) -> Result<()> {
        if let Some(condition) = &self.condition
            && !condition.truth(scope)?
        {
            return Ok(());
        }
        let mut value = to_json(&self.value.typed(scope, self.types)?)?;
        if yaml
            && self.types != Types::Text
            && let Some(text) = value.as_str()
        {
            // What is no YAML is a text: a template, a format of times.
            value = parse_yaml(text).unwrap_or_else(|_| text.into());
        }
        let path = self.path.iter().map(|part| part.text(scope)).collect::<Result<Vec<String>>>()?;
        if !set(template, &path, &value) && self.create && yaml && !value.is_null() {
            create(template, &path, value);
        }
        Ok(())
    }
}

/// Sets what is there at a path; whether anything is. `*` stands for each member, `**` for any number of steps.
fn set(target: &mut Value, path: &[String], value: &Value) -> bool {
    let Some((first, rest)) = path.split_first() else {
        *target = value.clone();
        return true;
    };
    let (any, deep) = (first == "*", first == "**");
    let mut changed = false;
    let mut step = |is_named: bool, member: &mut Value| {
        // What stands below is set first: what a value brings along is not looked through.
        changed |= deep && set(member, path, value);
        changed |= (is_named || any) && !deep && set(member, rest, value);
    };
    match target {
        Value::Object(members) => members.iter_mut().for_each(|(name, member)| step(name == first, member)),
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(index, item)| step(first.parse() == Ok(index), item));
        }
        _ => {}
    }
    if deep && !rest.is_empty() {
        changed |= set(target, rest, value);
    }
    changed
}

/// Sets what is at a path; what is missing on the way becomes mappings.
fn create(target: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *target = value;
        return;
    };
    if let (Value::Array(items), Ok(index)) = (&mut *target, first.parse::<usize>()) {
        let index = index.min(items.len());
        if index == items.len() {
            items.push(Value::Null);
        }
        if let Some(item) = items.get_mut(index) {
            create(item, rest, value);
        }
        return;
    }
    if !target.is_object() {
        *target = Map::new().into();
    }
    if let Some(members) = target.as_object_mut() {
        create(members.entry(first.clone()).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_value_goes_to_each_place_that_is_there() {
        let mut template = json!({ "a": { "x": 1, "y": { "x": 2 } }, "b": [{ "x": 3 }, { "z": 4 }] });
        assert!(set(&mut template, &path("b.1.z"), &json!(9)));
        assert!(set(&mut template, &path("*.x"), &json!({ "x": 0 })));
        assert!(!set(&mut template, &path("a.none"), &json!(9)));
        assert_eq!(template, json!({ "a": { "x": { "x": 0 }, "y": { "x": 2 } }, "b": [{ "x": 3 }, { "z": 9 }] }));
        let mut template = json!({ "x": 0, "a": { "x": 1, "y": { "x": 2 } }, "b": [{ "x": 3 }] });
        assert!(set(&mut template, &path("**.x"), &json!(7)));
        assert_eq!(template, json!({ "x": 7, "a": { "x": 7, "y": { "x": 7 } }, "b": [{ "x": 7 }] }));
    }

    #[test]
    fn a_place_that_is_missing_is_made() {
        let mut template = json!({ "a": [1], "b": "text" });
        create(&mut template, &path("a.7.c"), json!(2));
        create(&mut template, &path("b.d"), json!(3));
        assert_eq!(template, json!({ "a": [1, { "c": 2 }], "b": { "d": 3 } }));
    }
}
