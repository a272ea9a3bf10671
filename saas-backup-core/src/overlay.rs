use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Account, BlobRef, ByteStream, Capabilities, Catalog, CollectionName, Connector, Coverage, Erasures, Error,
    ErrorKind, EventStream, FeedStream, FieldMapping, Key, Kind, ReadRequest, RefRule, Result, Sink, SinkOptions,
    Snapshot, SnapshotOptions,
};

/// What a person says of collections otherwise than their connector does: how records are read by people, and which
/// open form they take.
///
/// ```
/// use saas_backup_core::Overlay;
///
/// let overlay = Overlay::parse(&serde_json::json!({
///     "collections": {
///         "tickets": {
///             "kind": "document",
///             "fields": { "title": "subject", "body": { "path": "description", "markup": "html" } },
///         },
///     },
/// }))?;
/// # let mut catalog = saas_backup_core::Catalog::default();
/// assert!(overlay.apply(&mut catalog).is_err(), "there is no such collection");
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Overlay {
    /// What is said of each collection.
    pub collections: BTreeMap<CollectionName, CollectionOverlay>,
}

/// What a person says of one collection; what is not said stays as the connector says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CollectionOverlay {
    /// What its records are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Its name for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The open form that it takes where each collection takes the one that fits it, by the format's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Relationships: further ones, and others in the place of those of the same name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<RefRule>,
    /// How a person would read a record: each member that is set replaces the connector's.
    #[serde(skip_serializing_if = "FieldMapping::is_empty")]
    pub fields: FieldMapping,
}

impl Overlay {
    /// Reads an overlay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with the place of what this version does not understand: a misspelt word would
    /// change nothing without a word.
    pub fn parse(value: &Value) -> Result<Self> {
        let malformed = |error| Error::new(ErrorKind::Configuration, "the overlay is malformed").with_source(error);
        let overlay: Self = Self::deserialize(value).map_err(malformed)?;
        let understood = serde_json::to_value(&overlay).map_err(malformed)?;
        match difference(value, Some(&understood)) {
            None => Ok(overlay),
            Some(place) => Err(Error::new(ErrorKind::Configuration, "the overlay says something that is not known")
                .with_context("place", place)),
        }
    }

    /// Changes a catalog.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it speaks of a collection that the catalog has not.
    pub fn apply(&self, catalog: &mut Catalog) -> Result<()> {
        for (name, overlay) in &self.collections {
            let collection = catalog.collections.iter_mut().find(|collection| &collection.name == name);
            let Some(collection) = collection else {
                let known: Vec<&str> = catalog.names().map(CollectionName::as_str).collect();
                return Err(Error::new(ErrorKind::Configuration, "the overlay names a collection that is not there")
                    .with_context("collection", name)
                    .with_context("there are", known.join(" ")));
            };
            let CollectionOverlay { kind, title, form, refs, fields } = overlay.clone();
            collection.kind = kind.unwrap_or(collection.kind);
            collection.form = form.or(collection.form.take());
            if let Some(title) = title {
                collection.title = title;
            }
            for rule in refs {
                collection.refs.retain(|known| known.name != rule.name);
                collection.refs.push(rule);
            }
            collection.fields.merge(fields);
        }
        Ok(())
    }
}

/// The first place where what is said and what was understood differ.
fn difference(said: &Value, understood: Option<&Value>) -> Option<String> {
    match (said, understood) {
        (Value::Object(said), Some(Value::Object(understood))) => said.iter().find_map(|(name, value)| {
            let place = difference(value, understood.get(name))?;
            Some(if place.is_empty() { name.clone() } else { format!("{name}.{place}") })
        }),
        (Value::Array(said), Some(Value::Array(understood))) if said.len() == understood.len() => {
            said.iter().zip(understood).find_map(|(said, understood)| difference(said, Some(understood)))
        }
        (said, Some(understood)) => (said != understood).then(String::new),
        // An empty member says nothing.
        (Value::Object(members), None) => members.iter().find_map(|(name, value)| {
            difference(value, None).map(|place| if place.is_empty() { name.clone() } else { format!("{name}.{place}") })
        }),
        (Value::Array(items), None) => (!items.is_empty()).then(String::new),
        (Value::Null, None) => None,
        (_, None) => Some(String::new()),
    }
}

/// A connector whose snapshots have a catalog that an overlay changed; all else is the connector's own.
///
/// ```
/// use std::sync::Arc;
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{Overlaid, Overlay};
///
/// let copies = Arc::new(MemoryConnector::new(MemoryStore::new()));
/// let to_export = Overlaid::new(copies, Overlay::default());
/// ```
#[derive(Clone, Debug)]
pub struct Overlaid {
    inner: Arc<dyn Connector>,
    overlay: Overlay,
}

impl Overlaid {
    /// Puts an overlay over a connector.
    pub fn new(inner: Arc<dyn Connector>, overlay: Overlay) -> Self {
        Self { inner, overlay }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Connector for Overlaid {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn check(&self) -> Result<Account> {
        self.inner.check().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        let inner = self.inner.snapshot(options).await?;
        Ok(Box::new(OverlaidSnapshot { inner, overlay: self.overlay.clone() }))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        self.inner.sink(options).await
    }

    fn erasures(&self) -> Option<Arc<dyn Erasures>> {
        self.inner.erasures()
    }
}

#[derive(Debug)]
struct OverlaidSnapshot {
    inner: Box<dyn Snapshot>,
    overlay: Overlay,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Snapshot for OverlaidSnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        let mut catalog = self.inner.catalog().await?;
        self.overlay.apply(&mut catalog)?;
        Ok(catalog)
    }

    async fn coverage(&self) -> Result<Coverage> {
        self.inner.coverage().await
    }

    fn feeds(&self) -> FeedStream {
        self.inner.feeds()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.inner.read(request)
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.inner.open(owner, blob, range).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Body, Collection, Markup};

    fn catalog() -> Catalog {
        let mut fields = FieldMapping { title: Some("name".to_owned()), ..FieldMapping::default() };
        fields.properties.insert("price".to_owned(), "price".to_owned());
        let name = CollectionName::parse("tickets").unwrap();
        Catalog::new(vec![Collection::new(name, Kind::Other).with_fields(fields)])
    }

    #[test]
    fn what_is_said_replaces_what_the_connector_says_and_the_rest_stays() {
        let overlay = Overlay::parse(&json!({ "collections": { "tickets": {
            "kind": "document", "form": "html",
            "fields": { "body": { "path": "text", "markup": "html" }, "properties": { "size": "size" } },
        } } }));
        let mut catalog = catalog();
        overlay.unwrap().apply(&mut catalog).unwrap();
        let collection = &catalog.collections[0];
        assert_eq!((collection.kind, collection.form.as_deref()), (Kind::Document, Some("html")));
        assert_eq!(collection.fields.title.as_deref(), Some("name"));
        assert_eq!(collection.fields.body, Some(Body::new("text", Markup::Html)));
        assert_eq!(collection.fields.properties.len(), 2);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        for (given, place) in [
            (json!({ "collection": {} , "x": 1}), "x"),
            (json!({ "collections": { "tickets": { "kind": "documnt" } } }), "collections.tickets.kind"),
            (
                json!({ "collections": { "tickets": { "fields": { "titel": "x" } } } }),
                "collections.tickets.fields.titel",
            ),
        ] {
            let error = Overlay::parse(&given).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(place), "{error}");
        }
        let unknown = Overlay::parse(&json!({ "collections": { "tikets": { "title": "x" } } })).unwrap();
        assert_eq!(unknown.apply(&mut catalog()).unwrap_err().kind(), ErrorKind::Configuration);
    }
}
