use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{CollectionName, Digest, Json, Result};

/// The collections of an account: what they are, how they relate, how a person would read them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Catalog {
    /// The collections, in the order in which a person would expect them.
    pub collections: Vec<Collection>,
}

impl Catalog {
    /// A catalog of these collections.
    pub fn new(collections: Vec<Collection>) -> Self {
        Self { collections }
    }

    /// The collection of this name.
    pub fn get(&self, name: &CollectionName) -> Option<&Collection> {
        self.collections.iter().find(|collection| &collection.name == name)
    }

    /// The names, in the catalog's order.
    pub fn names(&self) -> impl Iterator<Item = &CollectionName> {
        self.collections.iter().map(|collection| &collection.name)
    }

    /// The order in which a restore writes: what others require comes first.
    ///
    /// Where required relationships form a cycle, the catalog's own order decides, and the references are patched
    /// at the end.
    pub fn restore_order(&self) -> Vec<CollectionName> {
        let known: BTreeSet<&CollectionName> = self.names().collect();
        let mut waits: BTreeMap<&CollectionName, BTreeSet<&CollectionName>> = BTreeMap::new();
        for collection in &self.collections {
            let needs = collection.refs.iter().filter(|rule| rule.required).flat_map(|rule| &rule.to);
            let needs = needs.filter(|to| *to != &collection.name && known.contains(to)).collect();
            waits.insert(&collection.name, needs);
        }
        let mut order = Vec::with_capacity(waits.len());
        while !waits.is_empty() {
            let free = self.names().find(|name| waits.get(name).is_some_and(BTreeSet::is_empty));
            let Some(next) = free.or_else(|| self.names().find(|name| waits.contains_key(name))) else { break };
            waits.remove(next);
            for needs in waits.values_mut() {
                needs.remove(next);
            }
            order.push(next.clone());
        }
        order
    }

    /// The SHA-256 of the catalog as it is stored.
    ///
    /// # Errors
    ///
    /// If a schema in it cannot be written.
    pub fn digest(&self) -> Result<Digest> {
        Ok(Digest::of(Json::from_value(self)?.as_bytes()))
    }
}

/// One kind of object of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Collection {
    /// Its name.
    pub name: CollectionName,
    /// Its name for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What its records are; decides the open format.
    #[serde(default)]
    pub kind: Kind,
    /// Dotted paths in `data` that make the id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// The JSON Schema of `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
    /// The relationships that records may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<RefRule>,
    /// Whether records may have attachments.
    #[serde(default)]
    pub blobs: bool,
    /// Whether records carry their permissions.
    #[serde(default)]
    pub access: bool,
    /// Whether a sink of the same provider can write it back.
    #[serde(default)]
    pub restorable: bool,
    /// How a person would read a record.
    #[serde(default, skip_serializing_if = "FieldMapping::is_empty")]
    pub fields: FieldMapping,
    /// The open form that a person chose for it, by the format's name; otherwise its kind and its fields decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
}

impl Collection {
    /// A collection of one kind, without schema, relationships or mapping.
    pub fn new(name: CollectionName, kind: Kind) -> Self {
        Self {
            title: name.as_str().to_owned(),
            name,
            kind,
            key: vec!["id".to_owned()],
            schema: None,
            refs: Vec::new(),
            blobs: false,
            access: false,
            restorable: false,
            fields: FieldMapping::default(),
            form: None,
        }
    }

    /// Sets the name for a person.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the JSON Schema.
    #[must_use]
    pub fn with_schema(mut self, schema: Json) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Adds a relationship.
    #[must_use]
    pub fn with_ref(mut self, rule: RefRule) -> Self {
        self.refs.push(rule);
        self
    }

    /// Says that records may have attachments.
    #[must_use]
    pub fn with_blobs(mut self) -> Self {
        self.blobs = true;
        self
    }

    /// Says that a sink of the same provider can write it back.
    #[must_use]
    pub fn with_restore(mut self) -> Self {
        self.restorable = true;
        self
    }

    /// Sets the field mapping.
    #[must_use]
    pub fn with_fields(mut self, fields: FieldMapping) -> Self {
        self.fields = fields;
        self
    }
}

/// What the records of a collection are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the words are the documentation")]
pub enum Kind {
    Document,
    Folder,
    File,
    Table,
    Record,
    Message,
    Conversation,
    Event,
    Contact,
    Issue,
    Comment,
    Repository,
    Transaction,
    Product,
    Media,
    User,
    Group,
    Permission,
    Setting,
    Automation,
    Audit,
    /// A kind that this version does not know, too.
    #[default]
    #[serde(other)]
    Other,
}

/// One relationship that the records of a collection may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefRule {
    /// Its name in [`Record::refs`](crate::Record::refs).
    pub name: String,
    /// The collections that it may point to.
    pub to: Vec<CollectionName>,
    /// Whether it may hold several.
    #[serde(default)]
    pub many: bool,
    /// Whether a record cannot be written without it.
    #[serde(default)]
    pub required: bool,
}

impl RefRule {
    /// An optional relationship to one record.
    pub fn one(name: impl Into<String>, to: CollectionName) -> Self {
        Self { name: name.into(), to: vec![to], many: false, required: false }
    }

    /// An optional relationship to many records.
    pub fn many(name: impl Into<String>, to: CollectionName) -> Self {
        Self { many: true, ..Self::one(name, to) }
    }

    /// Says that a record cannot be written without it.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Adds a collection that it may point to.
    #[must_use]
    pub fn or(mut self, to: CollectionName) -> Self {
        self.to.push(to);
        self
    }
}

/// Where the parts that a person reads stand in a record; connectors fill it, overlays override it, open formats read it.
///
/// A path is dotted and starts in `data`, such as `title.rendered`. Times, authors and parents that the record's
/// envelope has already need no path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FieldMapping {
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text, and how it is marked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// A short text about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Body>,
    /// The last part of its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// Its public address: links to it are links to the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The relationship that names the author, where `by` is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The time that a person would sort by, where it is neither `created` nor `modified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The relationship to the record above it in the hierarchy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The relationship to the record that it is an earlier version of. The property `changed` then says what the next
    /// version changed, and `ended` how this one came to its end, if they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_of: Option<String>,
    /// Relationships whose targets' titles are shown as labels: tags, categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Further paths worth showing, by the name to show them under.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

impl FieldMapping {
    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Replaces what another mapping says otherwise; its properties are added.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self { title, body, summary, slug, url, author, time, parent, version_of, labels, properties } = other;
        let replace = |mine: &mut Option<String>, theirs: Option<String>| {
            if theirs.is_some() {
                *mine = theirs;
            }
        };
        replace(&mut self.title, title);
        replace(&mut self.slug, slug);
        replace(&mut self.url, url);
        replace(&mut self.author, author);
        replace(&mut self.time, time);
        replace(&mut self.parent, parent);
        replace(&mut self.version_of, version_of);
        self.body = body.or(self.body.take());
        self.summary = summary.or(self.summary.take());
        if !labels.is_empty() {
            self.labels = labels;
        }
        self.properties.extend(properties);
    }
}

/// A text in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Body {
    /// The dotted path in `data`.
    pub path: String,
    /// How it is marked up.
    pub markup: Markup,
}

impl Body {
    /// A text at a path.
    pub fn new(path: impl Into<String>, markup: Markup) -> Self {
        Self { path: path.into(), markup }
    }
}

/// How a text is marked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Markup {
    /// Plain text.
    Plain,
    /// Markdown.
    Markdown,
    /// HTML.
    Html,
    /// The storage format of Confluence.
    Confluence,
    /// The tree of the editor Lexical, as JSON or as a text with JSON.
    Lexical,
    /// Blocks of Notion with what stands below them in `children`, as JSON or as a text with JSON.
    NotionBlocks,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> CollectionName {
        CollectionName::parse(text).unwrap()
    }

    #[test]
    fn what_others_require_is_restored_first() {
        let catalog = Catalog::new(vec![
            Collection::new(name("comments"), Kind::Comment)
                .with_ref(RefRule::one("post", name("posts")).required())
                .with_ref(RefRule::one("parent", name("comments")).required()),
            Collection::new(name("posts"), Kind::Document).with_ref(RefRule::one("author", name("users")).required()),
            Collection::new(name("users"), Kind::User).with_ref(RefRule::one("home", name("posts"))),
        ]);
        assert_eq!(catalog.restore_order(), [name("users"), name("posts"), name("comments")]);
    }

    #[test]
    fn a_cycle_falls_back_to_the_catalogs_order() {
        let catalog = Catalog::new(vec![
            Collection::new(name("b"), Kind::Record).with_ref(RefRule::one("a", name("a")).required()),
            Collection::new(name("a"), Kind::Record).with_ref(RefRule::one("b", name("b")).required()),
        ]);
        assert_eq!(catalog.restore_order(), [name("b"), name("a")]);
    }

    #[test]
    fn an_unknown_kind_reads_as_other() {
        assert_eq!(serde_json::from_str::<Kind>("\"hologram\"").unwrap(), Kind::Other);
    }
}
