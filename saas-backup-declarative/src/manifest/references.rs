//! `$ref` and `"#/…"`: what is defined once and used in many places.
//!
//! As in Airbyte's `ManifestReferenceResolver`: a text that begins with `#/` stands for the value at that path, and a
//! mapping with `$ref` takes the members of what it refers to, where its own count first. A path may hold names with
//! `/`: the whole rest is tried before its first part.

use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

const REFERENCE: &str = "$ref";
/// What values of settings are looked up in; texts in them that look like references are none.
const VERBATIM: [&str; 1] = ["authenticators_config_values"];
/// Members of a manifest that are used where something refers to them, and only there.
const ONLY_REFERRED_TO: [&str; 3] = ["definitions", "metadata", "schemas"];
/// How far references may lead to references.
const MAX_DEPTH: usize = 256;
/// How many values a manifest may have once all references are resolved. The largest public one has 600,000.
const MAX_NODES: usize = 8_000_000;

pub(super) fn resolve(manifest: &Value) -> Result<Value> {
    let mut resolver = Resolver { manifest, open: Vec::new(), nodes: 0 };
    let Some(members) = manifest.as_object() else { return resolver.value(manifest, 0) };
    let mut whole = Map::new();
    for (name, member) in members.iter().filter(|(name, _)| !ONLY_REFERRED_TO.contains(&name.as_str())) {
        whole.insert(name.clone(), resolver.value(member, 1)?);
    }
    Ok(Value::Object(whole))
}

struct Resolver<'a> {
    manifest: &'a Value,
    open: Vec<String>,
    nodes: usize,
}

impl Resolver<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<Value> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            let error = Error::new(ErrorKind::LimitExceeded, "the manifest's references grow without end");
            return Err(error.with_context("limit", if depth > MAX_DEPTH { MAX_DEPTH } else { MAX_NODES }));
        }
        match value {
            Value::Object(members) => self.object(members, depth),
            Value::Array(items) => items.iter().map(|item| self.value(item, depth + 1)).collect(),
            Value::String(text) if text.starts_with("#/") => self.reference(text, depth),
            plain => Ok(plain.clone()),
        }
    }

    fn object(&mut self, members: &Map<String, Value>, depth: usize) -> Result<Value> {
        let mut own = Map::new();
        for (name, member) in members.iter().filter(|(name, _)| *name != REFERENCE) {
            let member =
                if VERBATIM.contains(&name.as_str()) { member.clone() } else { self.value(member, depth + 1)? };
            own.insert(name.clone(), member);
        }
        let Some(reference) = members.get(REFERENCE) else { return Ok(Value::Object(own)) };
        match self.value(reference, depth + 1)? {
            Value::Object(mut referred) => {
                referred.extend(own);
                Ok(Value::Object(referred))
            }
            other => Ok(other),
        }
    }

    fn reference(&mut self, text: &str, depth: usize) -> Result<Value> {
        let wrong =
            |message: &'static str| Error::new(ErrorKind::Configuration, message).with_context("reference", text);
        if self.open.iter().any(|open| open == text) {
            return Err(wrong("a reference of the manifest leads to itself"));
        }
        let manifest = self.manifest;
        let target = find(manifest, text.strip_prefix("#/").unwrap_or(text))
            .ok_or_else(|| wrong("a reference of the manifest leads nowhere"))?;
        self.open.push(text.to_owned());
        let resolved = self.value(target, depth + 1);
        self.open.pop();
        resolved
    }
}

fn find<'a>(mut node: &'a Value, mut path: &str) -> Option<&'a Value> {
    while !path.is_empty() {
        if let Some(found) = node.as_object().and_then(|members| members.get(path)) {
            return Some(found);
        }
        let (head, rest) = path.split_once('/').unwrap_or((path, ""));
        node = match node {
            Value::Array(items) => items.get(head.parse::<usize>().ok()?)?,
            other => other.get(head)?,
        };
        path = rest;
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_members_count_before_those_of_what_is_referred_to() {
        let manifest = json!({
            "definitions": { "base": { "a": 1, "b": { "$ref": "#/definitions/inner" } }, "inner": { "c": [10, 20] } },
            "x": { "$ref": "#/definitions/base", "a": 2 },
            "y": "#/definitions/inner/c/1",
        });
        let resolved = resolve(&manifest).unwrap();
        assert_eq!(resolved["x"], json!({ "a": 2, "b": { "c": [10, 20] } }));
        assert_eq!(resolved["y"], json!(20));
    }

    #[test]
    fn a_name_with_a_slash_is_found_before_a_path() {
        let manifest = json!({ "nested": { "path": "first one" }, "nested/path": "uh oh", "value": "#/nested/path" });
        assert_eq!(resolve(&manifest).unwrap()["value"], "uh oh");
    }

    #[test]
    fn a_reference_to_itself_or_to_nothing_is_named() {
        for (manifest, message) in [
            (json!({ "a": { "$ref": "#/b" }, "b": { "$ref": "#/a" } }), "leads to itself"),
            (json!({ "a": { "$ref": "#/nowhere" } }), "leads nowhere"),
        ] {
            let error = resolve(&manifest).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn references_that_double_at_each_step_end_at_a_limit() {
        let mut manifest = Map::new();
        manifest.insert("a0".to_owned(), json!("x"));
        for step in 1..64 {
            let below = json!({ "$ref": format!("#/a{}", step - 1) });
            manifest.insert(format!("a{step}"), json!([below.clone(), below]));
        }
        assert_eq!(resolve(&Value::Object(manifest)).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
}
