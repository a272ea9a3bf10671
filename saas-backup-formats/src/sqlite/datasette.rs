use serde_json::{Map, Value, json};

use super::form::Beside;
use super::schema::mapped;
use crate::dataset::Dataset;
use crate::table::Plan;

/// What Datasette shows beside the tables.
pub(super) fn metadata(dataset: &Dataset, plan: &Plan, beside: &[Beside]) -> Value {
    let mut tables = Map::new();
    for own in ["_archive", "_collections", "_columns", "_records", "_blobs"] {
        tables.insert(own.to_owned(), json!({ "hidden": true }));
    }
    for ((collection, table), beside) in dataset.catalog.collections.iter().zip(&plan.tables).zip(beside) {
        let mut shown = json!({ "title": collection.title });
        if let Some(column) = mapped(table, collection.fields.title.as_deref()) {
            shown["label_column"] = column.name.clone().into();
        }
        if let Some(searched) = &beside.searched {
            shown["fts_table"] = searched.index.clone().into();
            shown["fts_pk"] = "rowid".into();
        }
        tables.insert(table.name.clone(), shown);
        tables.insert(beside.view.clone(), json!({ "title": format!("{}: what a person reads", collection.title) }));
    }
    let title = dataset.account.as_ref().map_or("Archive", |account| &account.name);
    json!({ "title": title, "databases": { "archive": { "tables": tables } } })
}
