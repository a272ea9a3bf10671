use std::collections::BTreeMap;

use saas_backup_core::{CollectionName, Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use crate::process::{Line, Stream};

/// What a tap can read, in the words of its own catalog.
#[derive(Clone, Debug)]
pub(super) struct TapCatalog {
    whole: Value,
    /// What its entries are called in messages and in states, in the order of `streams`.
    pub(super) names: Vec<Names>,
    pub(super) streams: Vec<Stream>,
    /// A person chose in it.
    chosen: bool,
}

/// An entry is called by its id in catalogs and states, and by its stream in messages; most taps call both the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    id: String,
    stream: String,
}

impl Names {
    pub(super) fn is(&self, name: &str) -> bool {
        self.id == name || self.stream == name
    }
}

impl TapCatalog {
    /// What a tap says when it is asked; what a library prints before it is passed over.
    pub(super) fn of_lines(lines: &[Line]) -> Result<Self> {
        let first = lines.iter().position(|line| line.bytes.trim_ascii_start().starts_with(b"{"));
        let text: Vec<&[u8]> = lines.iter().skip(first.unwrap_or(0)).map(|line| &*line.bytes).collect();
        let text = text.join(&b'\n');
        let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
        match values.next() {
            Some(Ok(whole)) => Self::new(whole, false),
            _ => Err(Error::new(ErrorKind::InvalidData, "the tap does not say what it can read")
                .with_context("next", "name a file with its catalog in `catalog`, if it cannot discover one")),
        }
    }

    /// A catalog in which somebody chose.
    pub(super) fn of_file(bytes: &[u8]) -> Result<Self> {
        let whole = serde_json::from_slice(bytes);
        Self::new(whole.map_err(|_| Error::new(ErrorKind::Configuration, "the file of the catalog is no JSON"))?, true)
    }

    fn new(whole: Value, chosen: bool) -> Result<Self> {
        let Some(entries) = whole.get("streams").and_then(Value::as_array) else {
            return Err(Error::new(ErrorKind::InvalidData, "the tap's catalog has no streams"));
        };
        let (mut names, mut streams) = (Vec::new(), Vec::new());
        for entry in entries {
            let text = |name| entry.get(name).and_then(Value::as_str);
            let Some(id) = text("tap_stream_id").or_else(|| text("stream")) else {
                return Err(Error::new(ErrorKind::InvalidData, "the tap's catalog has a stream without a name"));
            };
            let own = own_metadata(entry);
            let of = |name: &str| own.and_then(|own| own.get(name)).or_else(|| entry.get(name));
            if of("inclusion").and_then(Value::as_str) == Some("unsupported") || chosen && !is_selected(entry) {
                continue;
            }
            let list = |name| of(name).and_then(Value::as_array).filter(|list| !list.is_empty());
            let key =
                list("table-key-properties").or_else(|| list("view-key-properties")).or_else(|| list("key_properties"));
            let key = key.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
            let method =
                ["replication-method", "forced-replication-method", "replication_method"].into_iter().find_map(of);
            streams.push(Stream {
                name: CollectionName::parse(id)?,
                key,
                schema: entry.get("schema").filter(|schema| schema.is_object()).cloned(),
                whole: method.and_then(Value::as_str) == Some("FULL_TABLE"),
            });
            names.push(Names { id: id.to_owned(), stream: text("stream").unwrap_or(id).to_owned() });
        }
        Ok(Self { whole, names, streams, chosen })
    }

    /// The catalog with which a tap reads some streams and no others: all members of them, unless a person chose.
    pub(super) fn selecting(&self, wanted: &[&str]) -> Value {
        let mut whole = self.whole.clone();
        for entry in whole.get_mut("streams").and_then(Value::as_array_mut).into_iter().flatten() {
            let id = entry.get("tap_stream_id").or_else(|| entry.get("stream")).and_then(Value::as_str);
            let selected = id.is_some_and(|id| wanted.contains(&id));
            let members = if selected && !self.chosen { members(entry) } else { Vec::new() };
            let Some(entry) = entry.as_object_mut() else { continue };
            // Taps of before metadata look here.
            entry.insert("selected".to_owned(), selected.into());
            if let Some(Value::Object(schema)) = entry.get_mut("schema") {
                schema.insert("selected".to_owned(), selected.into());
            }
            let mut metadata = Metadata::of(entry.remove("metadata"));
            let own = metadata.at(&[]);
            own.insert("selected".to_owned(), selected.into());
            if selected && !self.chosen {
                choose_method(own);
            }
            for path in members {
                let member = metadata.at(&path);
                if member.get("inclusion").and_then(Value::as_str) != Some("unsupported") {
                    member.insert("selected".to_owned(), true.into());
                }
            }
            entry.insert("metadata".to_owned(), metadata.into_value());
        }
        whole
    }
}

/// A tap that lets one choose how a stream is followed wants a choice.
fn choose_method(own: &mut Map<String, Value>) {
    let keys = own.get("valid-replication-keys").and_then(Value::as_array);
    let first = keys.and_then(|keys| keys.first()).cloned();
    if let Some(first) = first.filter(|_| !own.contains_key("replication-method")) {
        let method = own.get("forced-replication-method").cloned().unwrap_or_else(|| "INCREMENTAL".into());
        own.insert("replication-method".to_owned(), method);
        own.entry("replication-key").or_insert(first);
    }
}

/// What a catalog says of a whole stream.
fn own_metadata(entry: &Value) -> Option<&Map<String, Value>> {
    let all = entry.get("metadata")?.as_array()?;
    let own = all.iter().find(|one| one.get("breadcrumb").and_then(Value::as_array).is_some_and(Vec::is_empty));
    own?.get("metadata")?.as_object()
}

fn is_selected(entry: &Value) -> bool {
    let own = own_metadata(entry);
    let told = own.and_then(|own| own.get("selected")).or_else(|| own?.get("selected-by-default"));
    let older = || entry.get("selected").or_else(|| entry.get("schema")?.get("selected"));
    told.or_else(older).and_then(Value::as_bool).unwrap_or(false)
}

/// The paths of all members of a stream's records at every depth, as metadata names them.
fn members(entry: &Value) -> Vec<Vec<Value>> {
    let mut found = Vec::new();
    if let Some(schema) = entry.get("schema") {
        collect(schema, &mut Vec::new(), &mut found);
    }
    found
}

fn collect(schema: &Value, path: &mut Vec<Value>, found: &mut Vec<Vec<Value>>) {
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.extend([Value::from("properties"), Value::from(name.as_str())]);
        found.push(path.clone());
        collect(member, path, found);
        path.truncate(path.len() - 2);
    }
}

/// What a catalog says of a stream and its members, by their paths.
struct Metadata(BTreeMap<String, (Value, Map<String, Value>)>);

impl Metadata {
    fn of(list: Option<Value>) -> Self {
        let Some(Value::Array(list)) = list else { return Self(BTreeMap::new()) };
        let entries = list.into_iter().filter_map(|mut one| {
            let path = one.get_mut("breadcrumb")?.take();
            let Some(Value::Object(metadata)) = one.get_mut("metadata").map(Value::take) else { return None };
            Some((path.to_string(), (path, metadata)))
        });
        Self(entries.collect())
    }

    /// What is said at a path; nothing yet, if the catalog says nothing.
    fn at(&mut self, path: &[Value]) -> &mut Map<String, Value> {
        let path = Value::Array(path.to_vec());
        &mut self.0.entry(path.to_string()).or_insert_with(|| (path, Map::new())).1
    }

    fn into_value(self) -> Value {
        let entry = |(path, metadata)| json!({ "breadcrumb": path, "metadata": Value::Object(metadata) });
        self.0.into_values().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(chosen: bool) -> TapCatalog {
        let text = include_str!("../../tests/it/singer/catalog.json");
        TapCatalog::new(serde_json::from_str(text).unwrap(), chosen).unwrap()
    }

    #[test]
    fn keys_and_methods_are_found_where_taps_of_any_age_put_them() {
        let catalog = catalog(false);
        let found: Vec<(&str, Vec<&str>, bool)> = catalog
            .streams
            .iter()
            .map(|stream| (stream.name.as_str(), stream.key.iter().map(String::as_str).collect(), stream.whole))
            .collect();
        let wanted =
            [("orders", vec!["id"], false), ("rates", vec!["day", "currency"], true), ("old", vec!["key"], false)];
        assert_eq!(found, wanted);
        assert!(catalog.names.first().unwrap().is("public-orders") && catalog.names.first().unwrap().is("orders"));
    }

    #[test]
    fn one_stream_is_selected_with_all_its_members() {
        let selecting = catalog(false).selecting(&["orders"]);
        let orders = own_metadata(&selecting["streams"][0]).unwrap();
        assert_eq!((&orders["selected"], &orders["replication-method"]), (&json!(true), &json!("INCREMENTAL")));
        assert_eq!(orders["replication-key"], "updated");
        assert_eq!(own_metadata(&selecting["streams"][1]).unwrap()["selected"], false);
        assert_eq!(selecting["streams"][2]["schema"]["selected"], false);
        let metadata = selecting["streams"][0]["metadata"].as_array().unwrap();
        let of = |path: Value| metadata.iter().find(|one| one["breadcrumb"] == path).unwrap()["metadata"].clone();
        assert_eq!(of(json!(["properties", "lines", "properties", "price"]))["selected"], true);
        assert_eq!(of(json!(["properties", "hidden"])).get("selected"), None);
    }

    #[test]
    fn what_a_person_chose_is_left_as_it_is() {
        let catalog = catalog(true);
        assert_eq!(catalog.streams.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(), ["rates"]);
        let selecting = catalog.selecting(&["rates"]);
        assert_eq!(selecting["streams"][1]["metadata"].as_array().unwrap().len(), 2);
    }
}
