//! Records out of rows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use csv::StringRecord;
use saas_backup_core::{
    Access, BlobId, BlobRef, CollectionName, Digest, Error, ErrorKind, Json, Key, PartitionId, Principal, Record,
    RecordId, Reference, References, Result,
};
use serde::de::DeserializeOwned;

use super::package::{Field, Resource};
use crate::table::{NULL, members};

/// A row and its columns.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    pub(super) fields: &'a [Field],
    pub(super) row: &'a StringRecord,
}

/// The rows of a table that belong to one record.
pub(super) struct Rows<'a> {
    pub(super) resource: &'a Resource,
    pub(super) rows: Vec<StringRecord>,
}

impl<'a> Cells<'a> {
    /// The columns that are not NULL.
    fn iter(self) -> impl Iterator<Item = (&'a Field, &'a str)> {
        self.fields.iter().zip(self.row.iter()).filter(|(_, cell)| *cell != NULL)
    }

    fn get(self, name: &str) -> Option<&'a str> {
        self.iter().find(|(field, _)| field.name == name).map(|(_, cell)| cell)
    }

    fn time(self, name: &str) -> Result<Option<DateTime<Utc>>> {
        let parsed = self.get(name).map(DateTime::parse_from_rfc3339).transpose().map_err(|_| malformed(name))?;
        Ok(parsed.map(|time| time.to_utc()))
    }

    fn word<T: DeserializeOwned>(self, name: &str) -> Result<Option<T>> {
        let word = |text: &str| serde_json::from_value(serde_json::Value::from(text)).map_err(|_| malformed(name));
        self.get(name).map(word).transpose()
    }

    fn reference(self, prefix: &str) -> Result<Option<Reference>> {
        let get = |part: &str| self.get(&format!("{prefix}_{part}"));
        let (Some(collection), Some(id)) = (get("collection"), get("id")) else { return Ok(None) };
        let mut reference = Reference::new(CollectionName::parse(collection)?, RecordId::parse(id)?);
        reference.account = get("account").map(str::to_owned);
        Ok(Some(reference))
    }
}

/// References by the place of their relationship, and whether it has one at most; each with its order.
type Found = BTreeMap<(Vec<String>, bool), Vec<(u64, Reference)>>;

/// The record of a row, and of the rows that belong to it.
pub(super) fn record(collection: &CollectionName, cells: Cells<'_>, rows: &[Rows<'_>]) -> Result<Record> {
    let id = RecordId::parse(cells.get("_id").ok_or_else(|| malformed("_id"))?)?;
    let data = cells.get("_data_json").map_or_else(|| Tree::of(cells, rows).json(), str::to_owned);
    let mut record = Record::new(Key::new(collection.clone(), id), Json::parse(data)?);
    record.partition = cells.get("_partition").map(PartitionId::parse).transpose()?;
    record.sequence = cells.get("_sequence").and_then(|number| number.parse().ok());
    record.version = cells.get("_version").map(str::to_owned);
    record.created = cells.time("_created")?;
    record.modified = cells.time("_modified")?;
    record.state = cells.word("_state")?.unwrap_or_default();
    record.purge_at = cells.time("_purge_at")?;
    for member in cells.get("_extra_json").into_iter().flat_map(members) {
        record.extra.insert(member.name.into_owned(), Json::parse(member.value.text().to_owned())?);
    }
    references(&mut record, cells, rows)?;
    for row in rows_that_hold(rows, "attachments") {
        record.blobs.push(attachment(row)?);
    }
    for row in rows_that_hold(rows, "access") {
        record.access.push(permission(row)?);
    }
    Ok(record)
}

fn rows_that_hold<'a>(rows: &'a [Rows<'a>], what: &'static str) -> impl Iterator<Item = Cells<'a>> {
    let tables = rows.iter().filter(move |table| table.resource.holds == what);
    tables.flat_map(|table| table.rows.iter().map(|row| Cells { fields: &table.resource.schema.fields, row }))
}

/// The references that stand in columns, and those that have rows of their own.
fn references(record: &mut Record, cells: Cells<'_>, rows: &[Rows<'_>]) -> Result<()> {
    for (field, id) in cells.iter() {
        let Some(to) = &field.target else { continue };
        let mut reference = Reference::new(to.clone(), RecordId::parse(id)?);
        reference.account = cells.get(&format!("{}_account", field.name)).map(str::to_owned);
        let path: Vec<String> = parts(&field.path);
        match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["by", ..] => record.by = Some(reference),
            ["refs", name, ..] => drop(record.refs.insert((*name).to_owned(), References::One(reference))),
            _ => return Err(malformed(&field.name)),
        }
    }
    let mut many = Found::new();
    for table in rows.iter().filter(|table| table.resource.holds == "links") {
        for row in &table.rows {
            let cells = Cells { fields: &table.resource.schema.fields, row };
            let target = cells.iter().find_map(|(field, id)| Some((field.target.as_ref()?, id)));
            let (to, id) = target.ok_or_else(|| malformed("_target"))?;
            let mut reference = Reference::new(to.clone(), RecordId::parse(id)?);
            reference.account = cells.get("_account").map(str::to_owned);
            let order = cells.get("_order").and_then(|order| order.parse().ok()).ok_or_else(|| malformed("_order"))?;
            let place = (parts(&table.resource.place), table.resource.single);
            many.entry(place).or_default().push((order, reference));
        }
    }
    for ((path, single), mut found) in many {
        found.sort_by_key(|(order, _)| *order);
        let mut found: Vec<_> = found.into_iter().map(|(_, reference)| reference).collect();
        let name = path.get(1).cloned().unwrap_or_default();
        if path.first().is_some_and(|first| first == "by") {
            record.by = found.pop();
        } else if let (true, [one]) = (single, found.as_slice()) {
            record.refs.insert(name, References::One(one.clone()));
        } else {
            record.refs.insert(name, References::Many(found));
        }
    }
    Ok(())
}

fn attachment(cells: Cells<'_>) -> Result<BlobRef> {
    let role = cells.get("role").unwrap_or_default();
    let url = cells.get("external_url").map(str::to_owned);
    let mut blob = match cells.get("blob") {
        Some(id) => BlobRef::new(BlobId::parse(id)?, role),
        None => BlobRef::external(url.clone().unwrap_or_default(), role),
    };
    blob.external_url = url;
    blob.name = cells.get("name").map(str::to_owned);
    blob.media_type = cells.get("media_type").map(str::to_owned);
    blob.path = cells.get("place").map(str::to_owned);
    blob.size = cells.get("size").and_then(|size| size.parse().ok());
    blob.digest = cells.get("sha256").map(Digest::from_hex).transpose()?;
    blob.status = cells.word("status")?.ok_or_else(|| malformed("status"))?;
    blob.created = cells.time("created")?;
    Ok(blob)
}

fn permission(cells: Cells<'_>) -> Result<Access> {
    let principal = match cells.reference("principal")? {
        Some(reference) => Principal::Record(reference),
        None => Principal::Named(cells.get("named").unwrap_or_default().to_owned()),
    };
    let mut access = Access::new(principal, cells.get("role").unwrap_or_default());
    access.inherited_from = cells.reference("inherited")?;
    access.expires = cells.time("expires")?;
    Ok(access)
}

/// A value that is put together.
enum Tree {
    Token(String),
    Object(Vec<(String, Tree)>),
    List(Vec<Tree>),
}

impl Default for Tree {
    fn default() -> Self {
        Self::Object(Vec::new())
    }
}

impl Tree {
    /// The data of a record.
    fn of(cells: Cells<'_>, rows: &[Rows<'_>]) -> Self {
        let mut data = Self::default();
        fill(&mut data, cells, "/data", &[], rows);
        data
    }

    /// Puts a value at a place below.
    fn put(&mut self, path: &[String], value: Self) {
        let Some((name, deeper)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self, Self::Object(_)) {
            *self = Self::default();
        }
        let Self::Object(members) = self else { return };
        let place = members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            members.push((name.clone(), Self::default()));
            members.len() - 1
        });
        if let Some((_, member)) = members.get_mut(place) {
            member.put(deeper, value);
        }
    }

    fn json(&self) -> String {
        let list = |inner: Vec<String>| inner.join(",");
        match self {
            Self::Token(token) => token.clone(),
            Self::List(items) => format!("[{}]", list(items.iter().map(Self::json).collect())),
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| format!("{}:{}", quoted(name), value.json());
                format!("{{{}}}", list(members.iter().map(member).collect()))
            }
        }
    }
}

/// Puts the cells of a row, and the lists that belong to it, into a value: `key` is the row's own.
fn fill(into: &mut Tree, cells: Cells<'_>, place: &str, key: &[&str], rows: &[Rows<'_>]) {
    for (field, cell) in cells.iter() {
        let Some(path) = below(&field.path, place).filter(|path| !path.iter().any(|part| part == "*")) else {
            continue;
        };
        if field.name == "_rest_json" {
            for member in members(cell) {
                into.put(&[member.name.into_owned()], Tree::Token(member.value.text().to_owned()));
            }
        } else {
            into.put(&path, Tree::Token(token(field, cell)));
        }
    }
    for table in rows.iter().filter(|table| table.resource.holds == "items") {
        let Some(list) = table.resource.place.strip_suffix("/*") else { continue };
        let Some(path) = below(list, place).filter(|path| !path.iter().any(|part| part == "*")) else { continue };
        let depth = key.len() + 1;
        let fields = &table.resource.schema.fields;
        let has_members =
            fields.iter().any(|field| below(&field.path, &table.resource.place).is_some_and(|path| !path.is_empty()));
        let mut items = Vec::new();
        for row in table.rows.iter().filter(|row| row.iter().skip(1).take(key.len()).eq(key.iter().copied())) {
            let mut item = if has_members { Tree::default() } else { Tree::Token("null".to_owned()) };
            let key: Vec<&str> = row.iter().skip(1).take(depth).collect();
            fill(&mut item, Cells { fields, row }, &table.resource.place, &key, rows);
            items.push(item);
        }
        if !items.is_empty() {
            into.put(&path, Tree::List(items));
        }
    }
}

/// The parts of a place behind another one.
fn below(path: &str, place: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix(place)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| parts(rest))
}

/// The names of a JSON pointer.
fn parts(path: &str) -> Vec<String> {
    path.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

fn token(field: &Field, cell: &str) -> String {
    match field.kind.as_str() {
        "boolean" | "integer" | "number" | "object" | "array" | "any" => cell.to_owned(),
        _ => quoted(cell),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn malformed(column: &str) -> Error {
    Error::new(ErrorKind::InvalidData, "a cell does not have the form that its column has")
        .with_context("column", column)
}
