use saas_backup_core::{
    Catalog, Collection, CollectionCoverage, CollectionName, Coverage, FieldMapping, Json, Kind, RefRule, Result,
    Visibility,
};

use super::structure::{Identity, Structure, Table};

/// Everything but rows: what it takes to make the tables again.
pub(super) const DEFINITIONS: &str = "definitions";
/// Where each sequence stands.
pub(super) const SEQUENCES: &str = "sequences";
/// Large objects, with their bytes.
pub(super) const LARGE_OBJECTS: &str = "large_objects";

pub(super) fn catalog(structure: &Structure) -> Result<Catalog> {
    let mut definitions = Collection::new(CollectionName::from_static(DEFINITIONS), Kind::Setting)
        .with_title("Definitions")
        .with_restore();
    let mut fields = FieldMapping::default();
    fields.title = Some("name".to_owned());
    definitions = definitions.with_fields(fields.clone());
    definitions.key = vec!["kind".to_owned(), "name".to_owned()];
    let mut sequences =
        Collection::new(CollectionName::from_static(SEQUENCES), Kind::Setting).with_title("Sequences").with_restore();
    sequences.key = vec!["name".to_owned()];
    sequences = sequences.with_fields(fields);
    let objects = Collection::new(CollectionName::from_static(LARGE_OBJECTS), Kind::File)
        .with_title("Large objects")
        .with_blobs()
        .with_restore();
    let mut collections = vec![definitions, sequences, objects];
    for table in &structure.tables {
        collections.push(collection(table)?);
    }
    Ok(Catalog::new(collections))
}

fn collection(table: &Table) -> Result<Collection> {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for column in &table.columns {
        let mut schema = column.form.schema();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("x-postgres-type".to_owned(), column.type_name.clone().into());
        }
        properties.insert(column.name.clone(), schema);
        if column.not_null {
            required.push(column.name.clone());
        }
    }
    let schema = serde_json::json!({ "type": "object", "properties": properties, "required": required });
    let mut collection =
        Collection::new(table.collection.clone(), Kind::Table).with_schema(Json::from_value(&schema)?).with_restore();
    collection.key = match &table.identity {
        Identity::Key(key) => {
            key.iter().filter_map(|place| table.columns.get(*place)).map(|column| column.name.clone()).collect()
        }
        Identity::Place => Vec::new(),
    };
    for foreign in &table.foreign {
        collection = collection.with_ref(RefRule::one(foreign.name.clone(), foreign.to.clone()));
    }
    Ok(collection)
}

/// What the role sees, and of what the definitions do not tell, by its kinds and counts.
pub(super) fn coverage(structure: &Structure, untold: &[(String, i64)], increments: bool) -> Coverage {
    let mut definitions = CollectionCoverage::new(Visibility::All);
    if !untold.is_empty() {
        let what: Vec<String> = untold.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        definitions = CollectionCoverage::new(Visibility::Partial)
            .with_hidden(untold.iter().map(|(_, count)| u64::try_from(*count).unwrap_or_default()).sum())
            .with_reason(format!("not captured: {}", what.join(", ")));
    }
    let mut coverage = Coverage::default()
        .with(CollectionName::from_static(DEFINITIONS), definitions)
        .with(CollectionName::from_static(SEQUENCES), CollectionCoverage::new(Visibility::All))
        .with(CollectionName::from_static(LARGE_OBJECTS), CollectionCoverage::new(Visibility::All));
    for table in &structure.tables {
        let mut one = CollectionCoverage::new(Visibility::All).with_count(table.rows, false);
        if let Some(hidden) = &table.hidden {
            one = CollectionCoverage::new(Visibility::None).with_reason(hidden.reason);
            one.grant = Some(hidden.grant.clone());
        } else if increments && !table.loggable {
            one = one.with_reason("the log does not name its rows, so each run reads all: give it a primary key");
        }
        coverage = coverage.with(table.collection.clone(), one);
    }
    coverage
}
