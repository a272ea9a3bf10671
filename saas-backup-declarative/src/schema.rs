use std::sync::Arc;

use futures::TryStreamExt as _;
use minijinja::value::ValueKind;
use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use crate::expression::Expression;
use crate::extract::{Fields, Transform, at};
use crate::manifest::Component;
use crate::plan::Builder;
use crate::request::to_json;
use crate::shared::Shared;
use crate::stream::Stream;
use crate::template;
use crate::walk;

/// How deep lists may hold lists in a description.
const MAX_DEPTH: usize = 16;

/// What describes the records of a collection.
#[derive(Debug, Default)]
pub(crate) enum Schema {
    #[default]
    Nothing,
    Known(Value),
    /// The provider describes them.
    Asked(Box<Asked>),
}

/// Where an answer says which members records have.
#[derive(Debug)]
pub(crate) struct Asked {
    stream: Arc<Stream>,
    members: Vec<Expression>,
    name: Vec<Expression>,
    kind: Vec<Expression>,
    kinds: Vec<Renamed>,
    filter: Option<Expression>,
    transforms: Vec<Transform>,
}

/// A type of the provider's, and what it is called in JSON Schema.
#[derive(Debug)]
struct Renamed {
    theirs: Value,
    ours: Value,
    condition: Option<Expression>,
}

impl Schema {
    pub(crate) fn build(component: &Component<'_>, name: &str, builder: &mut Builder) -> Result<Self> {
        for loader in component.children("schema_loader")? {
            match loader.kind() {
                "InlineSchemaLoader" => return Ok(loader.get("schema").cloned().map_or(Self::Nothing, Self::Known)),
                // A file that lies beside the manifest in Airbyte's repository: the records say what they are.
                "JsonFileSchemaLoader" => {}
                "DynamicSchemaLoader" => return Ok(Self::Asked(Box::new(Asked::build(&loader, name, builder)?))),
                _ => return Err(loader.unknown()),
            }
        }
        Ok(Self::Nothing)
    }

    /// What the manifest itself says.
    pub(crate) fn known(&self) -> Option<&Value> {
        if let Self::Known(schema) = self { Some(schema) } else { None }
    }

    /// The JSON Schema, if there is one. A provider that does not give it does not keep anybody from the records.
    pub(crate) async fn load(&self, shared: &Arc<Shared>) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Known(schema) => Some(schema.clone()),
            Self::Asked(asked) => match asked.load(shared).await {
                Ok(schema) => Some(schema),
                Err(error) => {
                    tracing::warn!(collection = asked.stream.name, %error, "the provider does not describe its records");
                    None
                }
            },
        }
    }
}

impl Asked {
    fn build(component: &Component<'_>, name: &str, builder: &mut Builder) -> Result<Self> {
        let retriever = component.required("retriever")?;
        let place = component.required("schema_type_identifier")?;
        let kinds = place.children("types_mapping")?;
        let kinds = kinds.iter().map(|kind| {
            let needed = |name: &str| kind.get(name).cloned().ok_or_else(|| kind.wrong(format!("{name} is missing")));
            Ok(Renamed {
                theirs: needed("current_type")?,
                ours: needed("target_type")?,
                condition: kind.expression("condition")?,
            })
        });
        let filter = match component.child("schema_filter")? {
            Some(filter) if filter.kind() == "RecordFilter" => filter.expression("condition")?,
            Some(filter) => return Err(filter.unknown()),
            None => None,
        };
        let transforms = component.children("schema_transformations")?;
        Ok(Self {
            stream: Arc::new(Stream::of_retriever(format!("{name}: schema"), &retriever, builder)?),
            members: place.path("schema_pointer")?,
            name: place.path("key_pointer")?,
            kind: place.path("type_pointer")?,
            kinds: kinds.collect::<Result<_>>()?,
            filter,
            transforms: transforms.iter().map(Transform::build).collect::<Result<_>>()?,
        })
    }

    async fn load(&self, shared: &Arc<Shared>) -> Result<Value> {
        let scope = shared.scope();
        let texts = |path: &[Expression]| path.iter().map(|part| part.text(&scope)).collect::<Result<Vec<String>>>();
        let first = walk::all(Arc::clone(&self.stream), Arc::clone(shared)).try_next().await?;
        let mut properties = Arc::new(Fields::default());
        if let Some((_, item)) = first {
            let (members, name, kind) = (texts(&self.members)?, texts(&self.name)?, texts(&self.kind)?);
            let list = at(&item.value()?, &members).filter(|list| list.kind() == ValueKind::Seq);
            let missing = || Error::new(ErrorKind::InvalidData, "the answer has nothing where the manifest looks");
            for member in list.ok_or_else(missing)?.try_iter().into_iter().flatten() {
                let named = at(&member, &name).ok_or_else(missing)?;
                let theirs = match at(&member, &kind) {
                    Some(theirs) if !kind.is_empty() => to_json(&theirs)?,
                    _ => "string".into(),
                };
                let described = template::value_of(&self.described(&theirs, &member, shared)?);
                let named = template::python_str(&named);
                let scope = scope.clone().with("record", template::value_of(&json!({ &named: &described })));
                if self.filter.as_ref().is_none_or(|filter| filter.truth(&scope).unwrap_or(false)) {
                    Arc::make_mut(&mut properties).set(&[named], described);
                }
            }
        }
        self.transforms.iter().try_for_each(|transform| transform.apply(&mut properties, &scope))?;
        let properties = properties.0.iter().map(|(name, value)| Ok((name.to_string(), to_json(value)?)));
        Ok(json!({ "type": "object", "properties": properties.collect::<Result<Map<_, _>>>()? }))
    }

    fn described(&self, theirs: &Value, member: &template::Value, shared: &Shared) -> Result<Value> {
        let scope = shared.scope().with("raw_schema", member.clone());
        for kind in self.kinds.iter().filter(|kind| kind.theirs == *theirs) {
            if kind.condition.as_ref().map_or(Ok(true), |condition| condition.truth(&scope))? {
                return Ok(schema_of(&kind.ours, 0));
            }
        }
        Ok(schema_of(theirs, 0))
    }
}

/// The JSON Schema of a type by its name, of one of several, or of a list. What is not known may be anything.
fn schema_of(kind: &Value, depth: usize) -> Value {
    let with_format = |format: &str| json!({ "type": ["null", "string"], "format": format });
    match kind {
        Value::String(name) => match name.as_str() {
            "string" | "boolean" | "integer" | "number" | "array" | "object" => json!({ "type": ["null", name] }),
            "date" => with_format("date"),
            "timestamp_without_timezone" | "timestamp_with_timezone" => with_format("date-time"),
            "time_without_timezone" | "time_with_timezone" => with_format("time"),
            _ => json!({}),
        },
        Value::Array(several) => {
            json!({ "oneOf": several.iter().map(|one| schema_of(one, depth + 1)).collect::<Vec<_>>() })
        }
        Value::Object(members) if depth < MAX_DEPTH => {
            let mut schema = schema_of(members.get("field_type").unwrap_or(&Value::Null), depth + 1);
            if let (Some(items), Some(schema)) = (members.get("items"), schema.as_object_mut()) {
                schema.insert("items".to_owned(), schema_of(items, depth + 1));
            }
            schema
        }
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_become_json_schema_and_unknown_ones_may_be_anything() {
        let lists = json!({ "field_type": "array", "items": { "field_type": "array", "items": "integer" } });
        assert_eq!(
            schema_of(&lists, 0),
            json!({ "type": ["null", "array"], "items": { "type": ["null", "array"], "items": { "type": ["null", "integer"] } } })
        );
        assert_eq!(
            schema_of(&json!(["date", "hologram"]), 0),
            json!({ "oneOf": [{ "type": ["null", "string"], "format": "date" }, {}] })
        );
    }
}
