use std::collections::BTreeMap;

use saas_backup_core::{
    Body, Catalog, Collection, CollectionCoverage, Coverage, Error, ErrorKind, FieldMapping, Json, Kind, Markup,
    RefRule, Result, Visibility,
};
use serde::Deserialize;

use super::model::{CoverageDocument, SchemaCollection, SchemaDocument};

/// More collections than this are not a schema.
const MAX_COLLECTIONS: usize = 4_096;

/// The catalog of a schema.
pub(super) fn catalog(document: SchemaDocument) -> Result<Catalog> {
    if document.collections.len() > MAX_COLLECTIONS {
        return Err(Error::new(ErrorKind::LimitExceeded, "the schema has too many collections")
            .with_context("limit", MAX_COLLECTIONS));
    }
    Ok(Catalog::new(document.collections.into_iter().map(collection).collect()))
}

fn collection(described: SchemaCollection) -> Collection {
    let fields = match described.hints {
        Some(hints) if !hints.fields.is_empty() => hints.fields,
        _ => guess_fields(described.kind, described.record.as_ref(), &described.refs),
    };
    let mut collection = Collection::new(described.name, described.kind).with_fields(fields);
    // The id stands in the envelope, wherever the vendor has it in its data.
    collection.key.clear();
    if let Some(title) = described.title {
        collection = collection.with_title(title);
    }
    if let Some(schema) = described.record {
        collection = collection.with_schema(schema);
    }
    for rule in described.refs {
        let mut to = rule.to.into_iter();
        let Some(first) = to.next() else { continue };
        let many = rule.max.is_none_or(|max| max > 1);
        let mut described = if many { RefRule::many(rule.name, first) } else { RefRule::one(rule.name, first) };
        described = to.fold(described, RefRule::or);
        collection = collection.with_ref(if rule.required_on_import { described.required() } else { described });
    }
    if !described.blobs.is_empty() {
        collection = collection.with_blobs();
    }
    if described.supports.iter().any(|way| way == "import") {
        collection = collection.with_restore();
    }
    collection.access = described.access.exported;
    collection
}

/// The part of a JSON Schema that tells where the text of a record stands.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RecordSchema {
    properties: BTreeMap<String, Property>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Property {
    #[serde(rename = "contentMediaType")]
    media_type: Option<String>,
}

/// Where the title and the text stand, for a vendor that gives no hints: by the names that most use.
fn guess_fields(kind: Kind, schema: Option<&Json>, refs: &[super::model::SchemaRef]) -> FieldMapping {
    let readable = !matches!(kind, Kind::Permission | Kind::Setting | Kind::Audit);
    // A schema of an unusual form gives no hints, and the record is exported as it is.
    let schema: RecordSchema = schema.and_then(|schema| schema.decode().ok()).unwrap_or_default();
    let first = |names: &[&str]| {
        names.iter().find(|name| schema.properties.contains_key(**name)).map(|name| (*name).to_owned())
    };
    let mut fields = FieldMapping::default();
    if !readable {
        return fields;
    }
    fields.title = first(&["title", "name", "subject", "summary"]);
    let body = ["body", "content", "markdown", "html", "text", "description", "message"];
    let body = first(&body).filter(|path| Some(path) != fields.title.as_ref());
    fields.body = body.map(|path| {
        let media_type = schema.properties.get(&path).and_then(|property| property.media_type.as_deref());
        let markup = match (media_type, path.as_str()) {
            (Some("text/markdown"), _) | (None, "markdown") => Markup::Markdown,
            (Some("text/html"), _) | (None, "html") => Markup::Html,
            _ => Markup::Plain,
        };
        Body::new(path, markup)
    });
    let relationship =
        |names: &[&str]| refs.iter().find(|rule| names.contains(&rule.name.as_str())).map(|rule| rule.name.clone());
    fields.parent = relationship(&["parent", "folder"]);
    fields.author = relationship(&["author", "owner", "created_by"]);
    fields
}

/// What the service says that the token sees.
pub(super) fn coverage(document: CoverageDocument) -> Coverage {
    document.collections.into_iter().fold(Coverage::default(), |coverage, entry| {
        let mut collection = CollectionCoverage::new(entry.visible);
        collection.count = entry.count;
        // Records come and go while they are counted, and a service may round.
        collection.count_exact = false;
        collection.hidden = entry.hidden_count;
        collection.reason = entry.reason;
        collection.grant = entry.grant;
        coverage.with(entry.name, collection)
    })
}

/// The coverage of a service that has none: the profile `minimal` serves tokens that see everything.
pub(super) fn whole(catalog: &Catalog) -> Coverage {
    let all = |coverage: Coverage, name: &saas_backup_core::CollectionName| {
        coverage.with(name.clone(), CollectionCoverage::new(Visibility::All))
    };
    catalog.names().fold(Coverage::default(), all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Catalog {
        catalog(serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_schema_becomes_a_catalog() {
        let catalog = of(r#"{"open_export":"1.0","collections":[{"name":"pages","title":"Pages","kind":"document",
            "record":{"type":"object"},"refs":[
                {"name":"parent","to":["pages","databases"],"min":0,"max":1,"required_on_import":true},
                {"name":"mentions","to":["users"],"min":0,"max":null},{"name":"nothing","to":[]}],
            "blobs":[{"role":"attachment","max_bytes":5}],"access":{"exported":true,"roles":["owner"]},
            "supports":["snapshot"]},{"name":"odd","kind":"hologram"}]}"#);
        let pages = &catalog.collections[0];
        assert_eq!(
            (pages.title.as_str(), pages.kind, pages.blobs, pages.access),
            ("Pages", Kind::Document, true, true)
        );
        assert_eq!(pages.refs.len(), 2);
        assert!(pages.refs[0].required && !pages.refs[0].many && pages.refs[0].to.len() == 2);
        assert!(pages.refs[1].many && !pages.refs[1].required);
        assert_eq!(catalog.collections[1].kind, Kind::Other);
    }

    #[test]
    fn hints_win_over_names() {
        let catalog = of(r#"{"collections":[{"name":"pages","kind":"document",
            "record":{"properties":{"title":{},"body":{"contentMediaType":"text/markdown"},"headline":{}}},
            "x-open-export":{"fields":{"title":"headline"}}}]}"#);
        assert_eq!(catalog.collections[0].fields.title.as_deref(), Some("headline"));
        assert_eq!(catalog.collections[0].fields.body, None);
    }

    #[test]
    fn without_hints_the_usual_names_are_found() {
        let catalog = of(r#"{"collections":[{"name":"pages","kind":"document",
            "record":{"properties":{"name":{},"body":{"contentMediaType":"text/markdown"}}},
            "refs":[{"name":"parent","to":["pages"]},{"name":"author","to":["users"]}]},
            {"name":"mail","kind":"message","record":{"properties":{"subject":{},"html":{}}}},
            {"name":"log","kind":"audit","record":{"properties":{"title":{},"body":{}}}},
            {"name":"odd","kind":"document","record":true}]}"#);
        let [pages, mail, log, odd] = &catalog.collections[..] else { panic!("four collections") };
        assert_eq!(pages.fields.title.as_deref(), Some("name"));
        assert_eq!(pages.fields.body, Some(Body::new("body", Markup::Markdown)));
        assert_eq!((pages.fields.parent.as_deref(), pages.fields.author.as_deref()), (Some("parent"), Some("author")));
        assert_eq!(mail.fields.body, Some(Body::new("html", Markup::Html)));
        assert!(log.fields.is_empty() && odd.fields.is_empty());
    }

    #[test]
    fn a_schema_without_bounds_is_refused() {
        let many = (0..=MAX_COLLECTIONS).map(|number| format!(r#"{{"name":"c{number}"}}"#)).collect::<Vec<_>>();
        let text = format!(r#"{{"collections":[{}]}}"#, many.join(","));
        let error = catalog(serde_json::from_str(&text).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }
}
