//! The descriptor: a Data Package in version 2, with members of our own that readers pass over.

use std::collections::BTreeMap;

use saas_backup_core::{Account, CollectionName};
use serde::{Deserialize, Serialize};

use crate::table::{Column, Kind, NULL, Scalar, Seen, Table};

pub(super) const PACKAGE: &str = "datapackage.json";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Package {
    #[serde(rename = "$schema", default)]
    profile: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    pub(super) resources: Vec<Resource>,
}

/// One table.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Resource {
    pub(super) name: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(rename = "type", default)]
    kind: String,
    pub(super) path: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    mediatype: String,
    #[serde(default)]
    encoding: String,
    #[serde(default)]
    dialect: Dialect,
    pub(super) bytes: u64,
    pub(super) hash: String,
    pub(super) schema: Schema,
    /// The collection that the rows belong to.
    #[serde(default)]
    pub(super) collection: Option<CollectionName>,
    /// What the rows are: `records`, `items`, `links`, `attachments` or `access`.
    #[serde(default)]
    pub(super) holds: String,
    /// Where they stand in the record's line: a JSON pointer with `*` for the items of a list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) place: String,
    /// Whether a record has at most one of these references.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) single: bool,
    /// How many there are.
    #[serde(default)]
    pub(super) rows: u64,
    /// How many cells a spreadsheet would run: it must not open this file if there are any.
    #[serde(rename = "formulaCells", default)]
    pub(super) formula_cells: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dialect {
    delimiter: String,
    line_terminator: String,
    quote_char: String,
    double_quote: bool,
    header: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            delimiter: ",".to_owned(),
            line_terminator: "\r\n".to_owned(),
            quote_char: "\"".to_owned(),
            double_quote: true,
            header: true,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schema {
    pub(super) fields: Vec<Field>,
    #[serde(default)]
    missing_values: Vec<String>,
    #[serde(default)]
    pub(super) primary_key: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) foreign_keys: Vec<Foreign>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) constraints: BTreeMap<String, bool>,
    /// Where in the record's line it stands: a JSON pointer with `*` for the items of a list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) path: String,
    /// The collection whose ids it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<CollectionName>,
    /// It has numbers that a double rounds or prints in another way.
    #[serde(rename = "beyondDouble", default, skip_serializing_if = "std::ops::Not::not")]
    beyond_double: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Foreign {
    pub(super) fields: Vec<String>,
    pub(super) reference: Referred,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Referred {
    /// The table; empty for the same one.
    pub(super) resource: String,
    pub(super) fields: Vec<String>,
}

/// What was written of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) formula_cells: u64,
}

impl Package {
    pub(super) fn new(account: Option<&Account>, resources: Vec<Resource>) -> Self {
        Self {
            profile: "https://datapackage.org/profiles/2.0/datapackage.json".to_owned(),
            name: "saas-backup".to_owned(),
            title: account.map(|account| account.name.clone()).filter(|name| !name.is_empty()),
            resources,
        }
    }
}

impl Resource {
    pub(super) fn new(tables: &[Table], table: &Table, written: Written, digest: &str, bytes: u64) -> Self {
        let names = |table: &Table, columns: &mut dyn Iterator<Item = usize>| -> Vec<String> {
            columns.filter_map(|column| table.columns.get(column)).map(|column| column.name.clone()).collect()
        };
        let foreign = table.foreign.iter().filter_map(|foreign| {
            let target = tables.get(foreign.table)?;
            Some(Foreign {
                fields: names(table, &mut foreign.columns.iter().copied()),
                reference: Referred {
                    resource: if target.name == table.name { String::new() } else { target.name.clone() },
                    fields: names(target, &mut (0..foreign.columns.len())),
                },
            })
        });
        Self {
            name: table.name.clone(),
            title: table.title.clone(),
            kind: "table".to_owned(),
            path: format!("{}.csv", table.name),
            format: "csv".to_owned(),
            mediatype: "text/csv".to_owned(),
            encoding: "utf-8".to_owned(),
            dialect: Dialect::default(),
            bytes,
            hash: format!("sha256:{digest}"),
            schema: Schema {
                fields: table.columns.iter().map(field).collect(),
                missing_values: vec![NULL.to_owned()],
                primary_key: names(table, &mut (0..table.key)),
                foreign_keys: foreign.collect(),
            },
            collection: Some(table.collection.clone()),
            holds: table.role.as_str().to_owned(),
            place: table.path.clone(),
            single: !table.many,
            rows: written.rows,
            formula_cells: written.formula_cells,
        }
    }
}

fn field(column: &Column) -> Field {
    let kind = column.kind.word();
    let constraints = column.required.then(|| ("required".to_owned(), true)).into_iter().collect();
    let format = matches!(column.kind, Kind::Plain(Scalar::Instant | Scalar::Local)).then(|| "any".to_owned());
    Field {
        name: column.name.clone(),
        kind: kind.to_owned(),
        format,
        constraints,
        path: column.path.clone(),
        target: column.target.clone(),
        beyond_double: kind == "number" && column.seen.any(Seen::INEXACT),
    }
}
