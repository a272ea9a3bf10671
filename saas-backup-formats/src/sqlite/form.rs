use std::fs::{self, File};
use std::io;

use rusqlite::blob::ZeroBlob;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params};
use saas_backup_core::{Catalog, Collection, Result};

use super::database::{Rows, create, failed, run};
use super::datasette::metadata;
use super::schema::{self, OWN_TABLES, mapped};
use crate::dataset::Dataset;
use crate::folder::pretty;
use crate::folder::{Output, digest_of};
use crate::form::{Desk, Form, Losses, Place};
use crate::table::{Identifiers, Kind, Plan, RowWriter, Scalar, Survey, Table, blob_file, copy_blobs, held_blobs};

pub(super) const FILE: &str = "archive.db";

/// Texts of a table that are searched, where no field mapping names one.
const MAX_SEARCHED: usize = 16;
/// Most bytes of an attachment in a database: a row has a billion at most, of which its digest takes 64 and its head 8.
const MAX_INSIDE: u64 = 1_000_000_000 - 72;
/// Names that a full-text index has for itself.
const SEARCH_WORDS: [&str; 2] = ["rank", "rowid"];
/// The tables that a full-text index is made of.
const SEARCH_TABLES: [&str; 5] = ["_data", "_idx", "_content", "_docsize", "_config"];

/// The form of a database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Database {
    /// As in [`SqliteConfig`](super::SqliteConfig).
    pub(super) full_text: bool,
    /// As there.
    pub(super) blobs_inside: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self { full_text: true, blobs_inside: false }
    }
}

/// The full-text index of a table.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) index: String,
    pub(super) columns: Vec<String>,
}

/// What there is of a collection beside its table.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) view: String,
    pub(super) searched: Option<Searched>,
}

impl Form for Database {
    const FORMAT: &'static str = "saas-backup-sqlite";
    const VERSION: u32 = 1;
    const KEEPS_LINES: bool = false;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let survey = Survey::new(dataset)?;
        let mut plan = Plan::new(&survey, false);
        let beside = self.beside(&mut plan, &dataset.catalog);
        let path = dataset.scratch(FILE);
        let bytes = dataset.records.values().map(|lines| lines.bytes).sum();
        let database = create(&path, Self::VERSION, bytes)?;
        database.execute_batch("BEGIN").map_err(failed)?;
        database.execute_batch(OWN_TABLES).map_err(failed)?;
        describe(&database, dataset, &plan, &survey, &beside)?;
        for table in &plan.tables {
            run(&database, &schema::create(&plan.tables, table), &[])?;
        }
        fill(&database, dataset, &survey, &mut plan, &mut desk.losses)?;
        if self.blobs_inside {
            blobs(&database, dataset, &mut desk.output)?;
        } else {
            copy_blobs(dataset, &mut desk.output)?;
        }
        finish(&database, &plan, &beside, &dataset.catalog)?;
        database.execute_batch("COMMIT").map_err(failed)?;
        database.close().map_err(|(_, error)| failed(error))?;

        let written = (digest_of(&path)?, fs::metadata(&path)?.len());
        desk.output.copy(&path, FILE, written)?;
        desk.output.write("metadata.json", &pretty(&metadata(dataset, &plan, &beside))?)?;
        for (surveyed, table) in survey.collections.iter().zip(&plan.tables) {
            desk.place(&surveyed.name, Place::new(table.name.clone(), surveyed.records));
        }
        desk.content.insert("blobs_inside".to_owned(), self.blobs_inside.into());
        Ok(())
    }
}

impl Database {
    /// Names the views and full-text indexes of the collections.
    fn beside(self, plan: &mut Plan, catalog: &Catalog) -> Vec<Beside> {
        let mut beside = Vec::new();
        for (collection, table) in catalog.collections.iter().zip(&plan.tables) {
            let view = plan.names.give(&format!("{}_view", table.name), &table.name);
            let columns = if self.full_text { searched(collection, table) } else { Vec::new() };
            let searched = (!columns.is_empty()).then(|| {
                let index = plan.names.give_with(&format!("{}_fts", table.name), &table.name, &SEARCH_TABLES);
                Searched { index, columns }
            });
            beside.push(Beside { view, searched });
        }
        beside
    }
}

/// The columns that are searched: the mapped texts, or all texts where none is mapped.
fn searched(collection: &Collection, table: &Table) -> Vec<String> {
    let fields = &collection.fields;
    let body = fields.body.as_ref().map(|body| body.path.as_str());
    let summary = fields.summary.as_ref().map(|body| body.path.as_str());
    let mut columns = Vec::new();
    for path in [fields.title.as_deref(), summary, body] {
        columns.extend(mapped(table, path).filter(|column| column.kind == Kind::Plain(Scalar::Text)));
    }
    if columns.is_empty() {
        let texts = table
            .columns
            .iter()
            .filter(|column| column.kind == Kind::Plain(Scalar::Text) && column.path.starts_with("/data/"));
        columns.extend(texts.take(MAX_SEARCHED));
    }
    let mut names: Vec<String> = Vec::new();
    for column in columns {
        let own = SEARCH_WORDS.iter().any(|word| column.name.eq_ignore_ascii_case(word));
        if !own && !names.contains(&column.name) {
            names.push(column.name.clone());
        }
    }
    names
}

/// Says in the database what it is.
fn describe(database: &Connection, dataset: &Dataset, plan: &Plan, survey: &Survey, beside: &[Beside]) -> Result<()> {
    let archive = [
        ("format", Database::FORMAT.to_owned()),
        ("version", Database::VERSION.to_string()),
        ("account", serde_json::to_string(&dataset.account)?),
        ("catalog", serde_json::to_string(&dataset.catalog)?),
        ("coverage", serde_json::to_string(&dataset.coverage)?),
    ];
    for (name, value) in archive {
        run(database, "INSERT INTO \"_archive\" VALUES (?, ?)", params![name, value])?;
    }
    for ((surveyed, table), beside) in survey.collections.iter().zip(&plan.tables).zip(beside) {
        let index = beside.searched.as_ref().map(|searched| &searched.index);
        run(
            database,
            "INSERT INTO \"_collections\" VALUES (?, ?, ?, ?, ?, ?)",
            params![
                surveyed.name.as_str(),
                surveyed.title,
                table.name,
                beside.view,
                index,
                surveyed.records.cast_signed()
            ],
        )?;
    }
    let mut insert = database.prepare("INSERT INTO \"_columns\" VALUES (?, ?, ?, ?, ?, ?)").map_err(failed)?;
    for table in &plan.tables {
        let (collection, holds) = (table.collection.as_str(), table.role.as_str());
        for column in &table.columns {
            let kind = column.kind.word();
            insert.execute(params![table.name, column.name, kind, column.path, collection, holds]).map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes the rows, and every record as it came.
fn fill(database: &Connection, dataset: &Dataset, survey: &Survey, plan: &mut Plan, losses: &mut Losses) -> Result<()> {
    let Plan { tables, collections, .. } = plan;
    let mut keep = database.prepare("INSERT INTO \"_records\" VALUES (?, ?, ?)").map_err(failed)?;
    for (layout, surveyed) in collections.iter_mut().zip(&survey.collections) {
        let mut rows = Rows::new(database, tables, |table| table.collection == surveyed.name)?;
        let mut writer = RowWriter::new(dataset, &survey.keys, losses, &mut rows, false);
        keep.raw_bind_parameter(1, surveyed.name.as_str()).map_err(failed)?;
        for record in dataset.records(&surveyed.name)? {
            let (record, line) = record?;
            writer.record(layout, &record)?;
            keep.raw_bind_parameter(2, record.key.id.as_str()).map_err(failed)?;
            keep.raw_bind_parameter(3, ToSqlOutput::Borrowed(ValueRef::Text(&line))).map_err(failed)?;
            keep.raw_execute().map_err(failed)?;
        }
    }
    Ok(())
}

/// Puts the attachments into the database; those that are too large for it stand beside it.
fn blobs(database: &Connection, dataset: &Dataset, output: &mut Output) -> Result<()> {
    for blob in held_blobs(dataset)? {
        let (digest, path, bytes) = blob?;
        if bytes > MAX_INSIDE {
            output.copy(&path, &blob_file(&digest.to_string()), (digest, bytes))?;
            continue;
        }
        let insert = "INSERT INTO \"_blobs\" VALUES (?, ?)";
        run(database, insert, params![digest.to_string(), ZeroBlob(bytes)])?;
        let row = database.last_insert_rowid();
        let mut blob = database.blob_open("main", "_blobs", "content", row, false).map_err(failed)?;
        io::copy(&mut File::open(path)?, &mut blob)?;
    }
    Ok(())
}

/// Makes what needs all rows: indexes, full-text search, views, and what the planner knows.
fn finish(database: &Connection, plan: &Plan, beside: &[Beside], catalog: &Catalog) -> Result<()> {
    let mut names = Identifiers::default();
    let catalog: Vec<&Collection> = catalog.collections.iter().collect();
    for table in &plan.tables {
        for statement in schema::indexes(table, &mut names) {
            run(database, &statement, &[])?;
        }
    }
    for (number, (table, beside)) in plan.tables.iter().zip(beside).enumerate() {
        if let Some(searched) = &beside.searched {
            for statement in schema::full_text(table, searched) {
                run(database, &statement, &[])?;
            }
        }
        if let Some(statement) = schema::view(plan, number, &beside.view, &catalog) {
            run(database, &statement, &[])?;
        }
    }
    Ok(())
}
