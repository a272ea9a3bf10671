use std::path::Path;

use rusqlite::types::Null;
use rusqlite::{Connection, Statement, ToSql};
use saas_backup_core::{Error, ErrorKind, Result};

use super::schema::{Storage, insert};
use crate::form::Losses;
use crate::table::{Cell, Sheet, Table};

/// Told to `file` and its like: an archive of this project.
const APPLICATION: i64 = 0x5361_6153;
/// Bytes of a page, in a database of so many bytes of records or of more. In small pages records of a kilobyte leave a
/// tenth empty, and more of them are written; large ones would make a small database large.
const PAGES: [(u64, u32); 2] = [(0, 4096), (64 * 1024 * 1024, 64 * 1024)];
/// Memory for pages, in KiB.
const CACHE: i64 = 16 * 1024;

/// Makes a database in which the same statements give the same bytes.
pub(super) fn create(path: &Path, version: u32, bytes: u64) -> Result<Connection> {
    crate::folder::create_parents(path)?;
    let page = PAGES.iter().rfind(|(from, _)| *from <= bytes).map_or(4096, |(_, page)| *page);
    let database = Connection::open(path).map_err(failed)?;
    // Nobody reads it before it is whole, so it needs no journal.
    database
        .execute_batch(&format!(
            "PRAGMA page_size = {page}; PRAGMA encoding = 'UTF-8'; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
             PRAGMA locking_mode = EXCLUSIVE; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -{CACHE}; \
             PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version};"
        ))
        .map_err(failed)?;
    Ok(database)
}

/// Puts rows into tables.
pub(super) struct Rows<'a> {
    inserts: Vec<Option<(Statement<'a>, Vec<Storage>)>>,
}

impl<'a> Rows<'a> {
    /// Prepares the tables that `wanted` says.
    pub(super) fn new(database: &'a Connection, tables: &'a [Table], wanted: impl Fn(&Table) -> bool) -> Result<Self> {
        let prepare = |table: &Table| -> Result<_> {
            let statement = database.prepare(&insert(table)).map_err(failed)?;
            Ok((statement, table.columns.iter().map(Storage::of).collect()))
        };
        let inserts = tables.iter().map(|table| wanted(table).then(|| prepare(table)).transpose());
        Ok(Self { inserts: inserts.collect::<Result<_>>()? })
    }
}

impl Sheet for Rows<'_> {
    fn row(&mut self, table: usize, cells: &[Cell<'_>], _losses: &mut Losses) -> Result<()> {
        let Some(Some((statement, storage))) = self.inserts.get_mut(table) else { return Ok(()) };
        for (position, (cell, storage)) in cells.iter().zip(storage).enumerate() {
            bind(statement, position + 1, cell, *storage).map_err(failed)?;
        }
        statement.raw_execute().map(drop).map_err(failed)
    }
}

fn bind(statement: &mut Statement<'_>, position: usize, cell: &Cell<'_>, storage: Storage) -> rusqlite::Result<()> {
    let text: &str = match cell {
        Cell::Null => return statement.raw_bind_parameter(position, Null),
        Cell::Bool(truth) => return statement.raw_bind_parameter(position, i64::from(*truth)),
        Cell::Integer(number) => return statement.raw_bind_parameter(position, number.cast_signed()),
        Cell::Number(token) => token,
        Cell::Text(text) | Cell::Json(text) => return statement.raw_bind_parameter(position, &**text),
    };
    // What was seen in the column says that each token fits.
    match storage {
        Storage::Text => statement.raw_bind_parameter(position, text),
        Storage::Real => statement.raw_bind_parameter(position, text.parse::<f64>().ok()),
        Storage::Integer | Storage::Any => match text.parse::<i64>() {
            Ok(number) => statement.raw_bind_parameter(position, number),
            Err(_) => statement.raw_bind_parameter(position, text.parse::<f64>().ok()),
        },
    }
}

/// Runs one statement with values.
pub(super) fn run(database: &Connection, statement: &str, values: &[&dyn ToSql]) -> Result<()> {
    database.execute(statement, values).map(drop).map_err(failed)
}

pub(super) fn failed(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => ErrorKind::StorageFull,
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => ErrorKind::Integrity,
        Some(rusqlite::ErrorCode::TooBig) => ErrorKind::LimitExceeded,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, "the database does not take or give it").with_source(error)
}
