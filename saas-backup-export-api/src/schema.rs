//! The schema of an account, as the protocol publishes it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use saas_backup_core::{Catalog, Collection, CollectionName, Digest, Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use crate::canonical::canonical;

/// What a source exports: its collections, how they relate and how a person reads them.
///
/// The id of a schema is computed from its content, so that consumers notice every change.
///
/// ```
/// use saas_backup_core::{Body, Catalog, Collection, CollectionName, FieldMapping, Kind, Markup};
/// use saas_backup_export_api::Schema;
///
/// let notes = Collection::new(CollectionName::from_static("notes"), Kind::Document);
/// let schema = Schema::new(Catalog::new(vec![notes]));
/// assert!(schema.document()?.id().starts_with("sha256:"));
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Schema {
    /// The collections, in the order in which a snapshot walks them.
    pub catalog: Catalog,
    /// Since when the records have this shape.
    pub valid_from: Option<DateTime<Utc>>,
    /// Members of a collection's description that the catalog has no place for.
    annotations: BTreeMap<CollectionName, Map<String, Value>>,
}

/// A schema as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaDocument {
    /// SHA-256 of the canonical form of the document without its id.
    pub digest: Digest,
    /// The document.
    pub json: String,
}

impl SchemaDocument {
    /// The id: `sha256:` and the digest in hexadecimal.
    pub fn id(&self) -> String {
        format!("sha256:{}", self.digest)
    }

    pub(crate) fn value(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.json)?)
    }
}

impl Schema {
    /// A schema of these collections.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog, valid_from: None, annotations: BTreeMap::new() }
    }

    /// Says since when the records have this shape.
    #[must_use]
    pub fn with_valid_from(mut self, time: DateTime<Utc>) -> Self {
        self.valid_from = Some(time);
        self
    }

    /// Adds a member to a collection's description: `personal_data`, `open_formats`, `history`, …
    #[must_use]
    pub fn with_annotation(mut self, collection: &CollectionName, name: impl Into<String>, value: Value) -> Self {
        self.annotations.entry(collection.clone()).or_default().insert(name.into(), value);
        self
    }

    /// The document and its id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if a collection's name is not one of the protocol (`^[a-z][a-z0-9_]{0,62}$`) or
    /// stands twice; [`ErrorKind::InvalidData`] if a number in it is out of range.
    pub fn document(&self) -> Result<SchemaDocument> {
        let mut collections = Vec::with_capacity(self.catalog.collections.len());
        for (index, collection) in self.catalog.collections.iter().enumerate() {
            check_name(&collection.name)?;
            if self.catalog.names().take(index).any(|earlier| earlier == &collection.name) {
                return Err(Error::new(ErrorKind::Configuration, "a collection stands twice in the schema")
                    .with_context("collection", &collection.name));
            }
            collections.push(Value::Object(self.describe(collection)?));
        }
        let mut document = Map::new();
        document.insert("open_export".to_owned(), "1.0".into());
        if let Some(time) = self.valid_from {
            document.insert("valid_from".to_owned(), serde_json::to_value(time)?);
        }
        document.insert("collections".to_owned(), Value::Array(collections));
        let digest = Digest::of(canonical(&Value::Object(document.clone()))?.as_bytes());
        document.insert("schema".to_owned(), format!("sha256:{digest}").into());
        Ok(SchemaDocument { digest, json: Value::Object(document).to_string() })
    }

    fn describe(&self, collection: &Collection) -> Result<Map<String, Value>> {
        let refs = collection.refs.iter().map(|rule| {
            json!({
                "name": rule.name,
                "to": rule.to,
                "min": u8::from(rule.required),
                "max": if rule.many { Value::Null } else { 1.into() },
                "required_on_import": rule.required,
            })
        });
        let record = match &collection.schema {
            Some(schema) => schema.decode()?,
            None => json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object" }),
        };
        let mut out = Map::new();
        out.insert("name".to_owned(), serde_json::to_value(&collection.name)?);
        out.insert("title".to_owned(), collection.title.clone().into());
        out.insert("kind".to_owned(), serde_json::to_value(collection.kind)?);
        out.insert("record".to_owned(), record);
        out.insert("refs".to_owned(), refs.collect());
        let blobs = if collection.blobs { json!([{ "role": "attachment" }]) } else { json!([]) };
        out.insert("blobs".to_owned(), blobs);
        out.insert("access".to_owned(), json!({ "exported": collection.access }));
        let mut supports = vec!["snapshot", "changes", "inventory"];
        supports.extend(collection.restorable.then_some("import"));
        out.insert("supports".to_owned(), json!(supports));
        if !collection.fields.is_empty() {
            out.insert("x-open-export".to_owned(), json!({ "fields": collection.fields }));
        }
        if let Some(annotations) = self.annotations.get(&collection.name) {
            out.extend(annotations.clone());
        }
        Ok(out)
    }
}

fn check_name(name: &CollectionName) -> Result<()> {
    let bytes = name.as_str().as_bytes();
    let fits = bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_');
    if fits {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, "a collection's name must match ^[a-z][a-z0-9_]{0,62}$")
        .with_context("collection", name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use saas_backup_core::{Json, Kind, RefRule};

    fn notes() -> Collection {
        Collection::new(CollectionName::from_static("notes"), Kind::Document)
            .with_ref(RefRule::one("author", CollectionName::from_static("users")).required())
            .with_blobs()
    }

    #[test]
    fn the_id_is_the_digest_of_the_rest_of_the_document() {
        let document = Schema::new(Catalog::new(vec![notes()])).document().unwrap();
        let mut value: Value = serde_json::from_str(&document.json).unwrap();
        assert_eq!(value["schema"], document.id());
        value.as_object_mut().unwrap().remove("schema");
        assert_eq!(document.digest, Digest::of(canonical(&value).unwrap().as_bytes()));
    }

    #[test]
    fn every_change_changes_the_id() {
        let before = Schema::new(Catalog::new(vec![notes()])).document().unwrap();
        let changed = notes().with_schema(Json::parse(r#"{"type":"object","maxProperties":3}"#).unwrap());
        let after = Schema::new(Catalog::new(vec![changed])).document().unwrap();
        assert_ne!(before.digest, after.digest);
        let annotated = Schema::new(Catalog::new(vec![notes()]));
        let annotated = annotated.with_annotation(&notes().name, "history", json!("versions"));
        assert_ne!(before.digest, annotated.document().unwrap().digest);
    }

    #[test]
    fn names_that_no_line_may_carry_are_refused_before_anything_is_sent() {
        let odd = Collection::new(CollectionName::from_static("Notes & more"), Kind::Document);
        assert_eq!(Schema::new(Catalog::new(vec![odd])).document().unwrap_err().kind(), ErrorKind::Configuration);
        let twice = Schema::new(Catalog::new(vec![notes(), notes()]));
        assert_eq!(twice.document().unwrap_err().kind(), ErrorKind::Configuration);
    }
}
