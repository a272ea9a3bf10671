use serde_json::{Value, json};

use super::alert::{self, AlertHead};
use super::source::SourceHead;
use super::{Head, Text};
use crate::registry::Registry;

/// The JSON Schema of a configuration file, with the settings of every connector of a registry.
pub(crate) fn config_schema(registry: &Registry) -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let text = generator.subschema_for::<Text>().to_value();
    let mut head = generator.subschema_for::<Head>().to_value();
    let source = generator.subschema_for::<SourceHead>().to_value();
    let alert = generator.subschema_for::<AlertHead>().to_value();
    let kinds = alert::settings(&mut generator);
    let mut definitions = generator.take_definitions(true);
    let resolve = |schema: &Value, definitions: &serde_json::Map<String, Value>| {
        name_of(schema).and_then(|name| definitions.get(name).cloned()).unwrap_or_else(|| schema.clone())
    };
    let of_kinds: Vec<String> = kinds.iter().filter_map(|(_, schema)| name_of(schema).map(str::to_owned)).collect();
    let (source, alert) = (resolve(&source, &definitions), resolve(&alert, &definitions));
    let routes = kinds.into_iter().map(|(kind, settings)| {
        let mut settings = resolve(&settings, &definitions);
        texts_anywhere(&mut settings, &text);
        joined(&alert, &settings, ("kind", kind), &format!("Alerts of the kind {kind}."))
    });
    let routes: Vec<Value> = routes.collect();
    head = resolve(&head, &definitions);
    let mut choices = Vec::new();
    for entry in registry.connectors() {
        let mut settings = entry.schema();
        if let Some(Value::Object(own)) = settings.as_object_mut().and_then(|schema| schema.remove("$defs")) {
            // Two connectors may call different types by one name.
            let prefix = format!("{}.", entry.name());
            rename_refs(&mut settings, &prefix);
            for (name, mut schema) in own {
                rename_refs(&mut schema, &prefix);
                texts_anywhere(&mut schema, &text);
                definitions.insert(format!("{prefix}{name}"), schema);
            }
        }
        texts_anywhere(&mut settings, &text);
        choices.push(joined(&source, &settings, ("connector", entry.name()), entry.summary()));
    }
    definitions.remove("Head");
    definitions.remove("SourceHead");
    definitions.remove("AlertHead");
    definitions.remove("AlertKind");
    for name in of_kinds {
        definitions.remove(&name);
    }
    if let Some(properties) = head.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(
            "source".to_owned(),
            json!({ "type": "array", "description": "The accounts.", "items": { "oneOf": choices } }),
        );
        properties.insert(
            "alert".to_owned(),
            json!({ "type": "array", "description": "Who is told what is wrong.", "items": { "oneOf": routes } }),
        );
    }
    if let Some(schema) = head.as_object_mut() {
        schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        schema.insert("title".to_owned(), json!("saas-backup.toml"));
        schema.insert("description".to_owned(), json!("A repository and the accounts that are backed up to it."));
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    head
}

/// The name of the definition that a schema refers to.
fn name_of(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

/// A table with the settings of what one of its members chooses: a source with those of a connector, an alert with those of
/// its kind.
fn joined(table: &Value, settings: &Value, (member, name): (&str, &str), summary: &str) -> Value {
    let mut properties = members(table, "properties");
    properties.extend(members(settings, "properties"));
    let chosen = properties.get(member).and_then(|chosen| chosen.get("description").cloned());
    properties.insert(member.to_owned(), json!({ "const": name, "description": chosen }));
    let required = [table, settings].into_iter().filter_map(|schema| schema.get("required")?.as_array());
    json!({
        "type": "object", "title": name, "description": summary, "properties": properties,
        "required": required.flatten().collect::<Vec<_>>(), "additionalProperties": false,
    })
}

fn members(schema: &Value, name: &str) -> serde_json::Map<String, Value> {
    schema.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Lets every free text below a schema be found elsewhere.
fn texts_anywhere(schema: &mut Value, text: &Value) {
    match schema {
        Value::Object(members) => {
            let is_text = match members.get("type") {
                Some(Value::String(kind)) => kind == "string",
                Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
                _ => false,
            };
            if is_text && !members.contains_key("enum") && !members.contains_key("const") {
                let description = members.remove("description");
                let plain = Value::Object(std::mem::take(members));
                members.insert("anyOf".to_owned(), json!([plain, text]));
                members.extend(description.map(|text| ("description".to_owned(), text)));
                return;
            }
            for value in members.values_mut() {
                texts_anywhere(value, text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| texts_anywhere(item, text)),
        _ => {}
    }
}

fn rename_refs(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(path) if name == "$ref" => {
                        if let Some(target) = path.strip_prefix("#/$defs/") {
                            *path = format!("#/$defs/{prefix}{target}");
                        }
                    }
                    _ => rename_refs(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_refs(item, prefix)),
        _ => {}
    }
}
