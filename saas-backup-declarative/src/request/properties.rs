use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt as _;
use saas_backup_core::{Json, Result};
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use crate::extract::{Item, each_member};
use crate::manifest::Component;
use crate::plan::Builder;
use crate::shared::Shared;
use crate::stream::Stream;
use crate::template::{Value, python_str};
use crate::walk;

/// What a comma between two properties takes in an address.
const ENCODED_COMMA: usize = 3;
/// Longest list of properties.
const MAX_PROPERTIES: usize = 100_000;

/// A parameter that names the members of records that are wanted, in several requests where there are too many for one.
#[derive(Debug)]
pub(crate) struct QueryProperties {
    parameter: String,
    list: List,
    always: Vec<String>,
    chunks: Option<Chunks>,
}

#[derive(Debug)]
enum List {
    These(Vec<String>),
    /// The provider names them.
    Asked {
        stream: Arc<Stream>,
        path: Vec<String>,
        known: OnceCell<Vec<String>>,
    },
}

/// How many properties go into one request, and what the answers are put together by.
#[derive(Debug)]
struct Chunks {
    by_characters: bool,
    limit: usize,
    key: Vec<String>,
}

impl QueryProperties {
    /// The one among the parameters of a requester.
    pub(crate) fn build(requester: &Component<'_>, name: &str, builder: &mut Builder) -> Result<Option<Self>> {
        let Some(parameters) = requester.get("request_parameters").and_then(serde_json::Value::as_object) else {
            return Ok(None);
        };
        let Some((parameter, found)) = parameters.iter().find(|(_, value)| value.is_object()) else { return Ok(None) };
        let component = Component::made(found, format!("{name}.{parameter}"));
        if component.kind() != "QueryProperties" {
            return Err(component.unknown());
        }
        let scope = builder.shared.scope();
        let texts = |value: &serde_json::Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let list = match component.get("property_list") {
            Some(serde_json::Value::Object(_)) => {
                let asked = component.required("property_list")?;
                if asked.kind() != "PropertiesFromEndpoint" {
                    return Err(asked.unknown());
                }
                let path = asked.path("property_field_path")?;
                List::Asked {
                    stream: Arc::new(Stream::of_retriever(
                        format!("{name}: properties"),
                        &asked.required("retriever")?,
                        builder,
                    )?),
                    path: path.iter().map(|part| part.text(&scope)).collect::<Result<_>>()?,
                    known: OnceCell::new(),
                }
            }
            Some(list) => List::These(texts(list)),
            None => return Err(component.wrong("property_list is missing")),
        };
        let chunks = match component.child("property_chunking")? {
            None => None,
            Some(chunking) => {
                let key = match chunking.child("record_merge_strategy")? {
                    Some(merge) if merge.kind() != "GroupByKeyMergeStrategy" => return Err(merge.unknown()),
                    Some(merge) => match merge.get("key") {
                        Some(serde_json::Value::String(name)) => vec![name.clone()],
                        Some(several) => texts(several),
                        None => vec!["id".to_owned()],
                    },
                    None => vec!["id".to_owned()],
                };
                Some(Chunks {
                    by_characters: chunking.text("property_limit_type") == Some("characters"),
                    limit: chunking.count("property_limit").unwrap_or(usize::MAX).max(1),
                    key,
                })
            }
        };
        let always = component.get("always_include_properties").map(texts).unwrap_or_default();
        Ok(Some(Self { parameter: parameter.clone(), list, always, chunks }))
    }

    /// The parameter, once for each request that a page takes.
    pub(crate) async fn parameters(&self, shared: &Arc<Shared>) -> Result<Vec<(String, Value)>> {
        let properties = match &self.list {
            List::These(properties) => properties,
            List::Asked { stream, path, known } => {
                known.get_or_try_init(|| Box::pin(ask(stream, path, shared))).await?
            }
        };
        let mut chunks = vec![self.always.clone()];
        let mut size = 0;
        for property in properties {
            let takes = match &self.chunks {
                Some(chunks) if chunks.by_characters => property.len() + ENCODED_COMMA,
                _ => 1,
            };
            if size > 0 && self.chunks.as_ref().is_some_and(|chunks| size + takes > chunks.limit) {
                chunks.push(self.always.clone());
                size = 0;
            }
            size += takes;
            if let Some(last) = chunks.last_mut() {
                last.push(property.clone());
            }
        }
        Ok(chunks.into_iter().map(|chunk| (self.parameter.clone(), Value::from(chunk.join(",")))).collect())
    }

    /// Puts the parts of records together that several requests gave.
    pub(crate) fn merged(&self, items: Vec<Item>) -> Result<Vec<Item>> {
        let Some(chunks) = &self.chunks else { return Ok(items) };
        let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        let mut merged: Vec<Item> = Vec::new();
        for item in items {
            let key =
                chunks.key.iter().map(|name| Ok(item.get(std::slice::from_ref(name))?.map(|value| python_str(&value))));
            let key = key.collect::<Result<Option<Vec<String>>>>()?;
            if let Some(known) = key.as_ref().and_then(|key| merged.get_mut(*places.get(key)?)) {
                let (one, other): (&RawValue, &RawValue) =
                    (serde_json::from_str(known.raw.as_str())?, serde_json::from_str(item.raw.as_str())?);
                let whole = merge(one, other)?;
                known.raw = Json::parse(whole)?;
                if let (Some(mine), Some(theirs)) = (&mut known.fields, item.fields) {
                    let mine = Arc::make_mut(mine);
                    for (name, value) in &theirs.0 {
                        mine.0.insert(Arc::clone(name), value.clone());
                    }
                }
                continue;
            }
            if let Some(key) = key {
                places.insert(key, merged.len());
            }
            merged.push(item);
        }
        Ok(merged)
    }
}

async fn ask(stream: &Arc<Stream>, path: &[String], shared: &Arc<Shared>) -> Result<Vec<String>> {
    let mut records = walk::all(Arc::clone(stream), Arc::clone(shared));
    let mut properties = Vec::new();
    while let Some((_, item)) = records.try_next().await? {
        properties.extend(item.get(path)?.map(|value| python_str(&value)));
        properties.truncate(MAX_PROPERTIES);
    }
    Ok(properties)
}

/// Two parts of an object as one, token for token: members of the second that the first has, too, are put together where
/// both are objects, and otherwise stay as the first has them.
fn merge(one: &RawValue, other: &RawValue) -> Result<String> {
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    each_member(one.get(), |name, value| mine.push((name, value)))?;
    each_member(other.get(), |name, value| theirs.push((name, value)))?;
    let mut text = String::from("{");
    let mut add = |name: &str, value: &str| -> Result<()> {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(name)?);
        text.push(':');
        text.push_str(value);
        Ok(())
    };
    for (name, value) in &mine {
        match theirs.iter().find(|(known, _)| known == name) {
            Some((_, theirs)) if value.get().starts_with('{') && theirs.get().starts_with('{') => {
                add(name, &merge(value, theirs)?)?;
            }
            _ => add(name, value.get())?,
        }
    }
    for (name, value) in theirs.iter().filter(|(name, _)| !mine.iter().any(|(known, _)| known == name)) {
        add(name, value.get())?;
    }
    text.push('}');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_record_become_one_token_for_token() {
        let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).unwrap();
        let one = raw(r#"{"id":"1","properties":{"a":1.10,"b":null},"x":[1]}"#);
        let other = raw(r#"{"id":"1","properties":{"c":18446744073709551617},"y":"z"}"#);
        assert_eq!(
            merge(&one, &other).unwrap(),
            r#"{"id":"1","properties":{"a":1.10,"b":null,"c":18446744073709551617},"x":[1],"y":"z"}"#
        );
    }
}
