use std::collections::BTreeSet;

use saas_backup_core::{
    Body, Catalog, Collection, CollectionName, FieldMapping, Json, Kind, MAX_COLLECTION_BYTES, RefRule, Result,
};
use serde_json::{Value, json};

/// A collection of past versions.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// The collection whose records they were.
    pub(super) of: CollectionName,
    /// Its own description.
    pub(super) collection: Collection,
    /// The relationship from a version to its record.
    pub(super) relation: String,
}

impl History {
    /// Describes the past versions of a collection; the name is none that is taken.
    pub(super) fn of(collection: &Collection, taken: &BTreeSet<CollectionName>) -> Result<Self> {
        let mut relation = "version_of".to_owned();
        while collection.refs.iter().any(|rule| rule.name == relation) {
            relation.push('_');
        }
        let title = if collection.title.is_empty() { collection.name.as_str() } else { &collection.title };
        let mut own = collection.clone().with_title(format!("{title}: earlier versions"));
        own.name = free_name(&collection.name, taken)?;
        own.kind = match collection.kind {
            Kind::Document | Kind::Folder | Kind::Issue | Kind::Conversation => Kind::Document,
            _ => Kind::Record,
        };
        own.key = vec!["id".to_owned(), "sequence".to_owned()];
        own.schema = Some(schema(collection.schema.as_ref())?);
        own.refs.push(RefRule::one(&relation, collection.name.clone()));
        own.restorable = false;
        own.fields = fields(&collection.fields, &relation);
        own.form = None;
        Ok(Self { of: collection.name.clone(), collection: own, relation })
    }

    /// The name of the collection of past versions.
    pub(super) fn name(&self) -> &CollectionName {
        &self.collection.name
    }
}

/// A catalog with the collections of past versions behind those whose records they were.
pub(super) fn with_histories(catalog: Catalog, histories: &[History]) -> Catalog {
    let mut collections = Vec::with_capacity(catalog.collections.len() + histories.len());
    for collection in catalog.collections {
        let history = histories.iter().find(|history| history.of == collection.name);
        collections.push(collection);
        collections.extend(history.map(|history| history.collection.clone()));
    }
    Catalog::new(collections)
}

fn free_name(of: &CollectionName, taken: &BTreeSet<CollectionName>) -> Result<CollectionName> {
    let plain = format!("{of}.history");
    if plain.len() <= MAX_COLLECTION_BYTES {
        let plain = CollectionName::parse(plain)?;
        if !taken.contains(&plain) {
            return Ok(plain);
        }
    }
    let mut number = 1_u32;
    loop {
        let name = CollectionName::parse(format!("history-{number}"))?;
        if !taken.contains(&name) {
            return Ok(name);
        }
        number += 1;
    }
}

/// Where the parts stand that a person reads: the record as it was is a member of its version.
fn fields(of: &FieldMapping, relation: &str) -> FieldMapping {
    let inside = |path: &String| format!("data.{path}");
    let body = |body: &Body| Body::new(inside(&body.path), body.markup);
    let mut fields = of.clone();
    fields.title = of.title.as_ref().map(inside);
    fields.body = of.body.as_ref().map(body);
    fields.summary = of.summary.as_ref().map(body);
    fields.slug = of.slug.as_ref().map(inside);
    fields.url = of.url.as_ref().map(inside);
    fields.time = Some("since".to_owned());
    // A version stands below nothing: what it was below is among its relationships.
    fields.parent = None;
    fields.version_of = Some(relation.to_owned());
    fields.properties = of.properties.iter().map(|(name, path)| (name.clone(), inside(path))).collect();
    for own in ["since", "until", "ended", "changed"] {
        fields.properties.insert(own.to_owned(), own.to_owned());
    }
    fields
}

fn schema(of: Option<&Json>) -> Result<Json> {
    let data = of.map_or(Ok(Value::Bool(true)), Json::decode)?;
    let time = json!({ "type": "string", "format": "date-time" });
    Json::from_value(&json!({
        "type": "object",
        "required": ["id", "sequence", "since", "until", "ended_by", "ended", "changed", "data"],
        "properties": {
            "id": { "type": "string", "description": "The id of the record." },
            "sequence": { "type": "integer", "description": "The place of this version in the source's timeline." },
            "since": { "description": "The first point in time that holds this version.", "$ref": "#/$defs/time" },
            "until": { "description": "The first point in time that no longer does.", "$ref": "#/$defs/time" },
            "ended_by": { "type": "integer", "description": "The place of what ended it." },
            "ended": { "enum": ["changed", "deleted"] },
            "changed": {
                "type": "array", "items": { "type": "string" },
                "description": "JSON pointers to what the next version changed.",
            },
            "data": data,
        },
        "$defs": { "time": time },
    }))
}
