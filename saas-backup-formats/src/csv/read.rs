use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use csv::{Reader, StringRecord};
use saas_backup_core::{BlobStatus, CollectionName, Error, ErrorKind, Record, Result};

use super::form::Tables;
use super::package::{PACKAGE, Package, Resource};
use super::rebuild::{Cells, Rows, record};
use super::sheet::broken;
use crate::folder::contained;
use crate::import::{Import, Loading};
use crate::table::blob_file;

/// What the coverage says of what was read back.
const LOSS: &str =
    "read from tables, which do not tell `null`, an empty list or object and nothing apart, nor the order of members";

impl Import for Tables {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        into.manifest::<Self>(folder)?;
        into.lossy(LOSS);
        let package: Package = serde_json::from_slice(&fs::read(contained(folder, PACKAGE)?)?)?;
        let mut collections: BTreeMap<CollectionName, Vec<Resource>> = BTreeMap::new();
        for resource in package.resources {
            let collection = resource.collection.clone().ok_or_else(|| damaged(&resource.path, "of no collection"))?;
            collections.entry(collection).or_default().push(resource);
        }
        for (name, resources) in collections {
            collection(&name, resources, folder, into)?;
        }
        Ok(())
    }
}

/// Reads the records of a collection: its table, and along with it those whose rows belong to its rows.
fn collection(name: &CollectionName, resources: Vec<Resource>, folder: &Path, into: &mut Loading) -> Result<()> {
    let (mut root, mut others) = (None, Vec::new());
    for resource in resources {
        let table = Table::open(resource, folder)?;
        if table.resource.holds == "records" { root = Some(table) } else { others.push(table) }
    }
    let Some(mut root) = root else { return Err(damaged(name.as_str(), "without a table of its records")) };
    while let Some(row) = root.take()? {
        let id = row.get(0).unwrap_or_default();
        let mut rows = Vec::new();
        for table in &mut others {
            let of_it = table.rows_of(id)?;
            rows.push(Rows { resource: &table.resource, rows: of_it });
        }
        let record = record(name, Cells { fields: &root.resource.schema.fields, row: &row }, &rows)?;
        blobs(&record, folder, into)?;
        into.record(record)?;
    }
    // Rows stand in the order of their records.
    match others.iter().find(|table| table.next.is_some()) {
        Some(table) => Err(damaged(&table.resource.path, "with rows of no record, or in another order")),
        None => Ok(()),
    }
}

/// A table that is being read.
struct Table {
    resource: Resource,
    rows: Reader<File>,
    next: Option<StringRecord>,
}

impl Table {
    fn open(resource: Resource, folder: &Path) -> Result<Self> {
        let mut rows = Reader::from_reader(File::open(contained(folder, &resource.path)?)?);
        let fields = resource.schema.fields.iter().map(|field| field.name.as_str());
        if !rows.headers().map_err(broken)?.iter().eq(fields) {
            return Err(damaged(&resource.path, "with other columns than the descriptor says"));
        }
        let mut table = Self { resource, rows, next: None };
        table.advance()?;
        Ok(table)
    }

    fn advance(&mut self) -> Result<()> {
        let mut row = StringRecord::new();
        self.next = self.rows.read_record(&mut row).map_err(broken)?.then_some(row);
        Ok(())
    }

    fn take(&mut self) -> Result<Option<StringRecord>> {
        let row = self.next.take();
        self.advance()?;
        Ok(row)
    }

    fn rows_of(&mut self, id: &str) -> Result<Vec<StringRecord>> {
        let mut rows = Vec::new();
        while self.next.as_ref().is_some_and(|row| row.get(0) == Some(id)) {
            rows.extend(self.take()?);
        }
        Ok(rows)
    }
}

fn blobs(record: &Record, folder: &Path, into: &mut Loading) -> Result<()> {
    for blob in record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available) {
        let (Some(id), Some(digest)) = (&blob.id, blob.digest) else { continue };
        let file = blob_file(&digest.to_string());
        let path = contained(folder, &file)?;
        if path.exists() && into.blob(id, &path)?.digest != digest {
            return Err(damaged(&file, "other than it was written"));
        }
    }
    Ok(())
}

pub(super) fn damaged(file: &str, how: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the export has a file {how}")).with_context("file", file)
}
