use std::borrow::Cow;

use csv::{Terminator, Writer, WriterBuilder};
use saas_backup_core::{Error, ErrorKind, Key, RecordId, Result};

use super::package::{Resource, Written};
use super::spreadsheet::{harmless, is_formula};
use crate::folder::{HashingWriter, Output};
use crate::form::Losses;
use crate::table::{Cell, NULL, Sheet, Table, is_awkward, tamed};

/// What a file for spreadsheets begins with, so that they read UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The files of the tables of one collection.
pub(super) struct Files<'a> {
    tables: &'a [Table],
    files: Vec<Option<TableFile>>,
}

struct TableFile {
    exact: Writer<HashingWriter>,
    spreadsheet: Option<Writer<HashingWriter>>,
    written: Written,
}

impl<'a> Files<'a> {
    /// Begins the files of the tables that `wanted` says.
    pub(super) fn create(
        tables: &'a [Table],
        wanted: impl Fn(&Table) -> bool,
        output: &Output,
        spreadsheet: bool,
    ) -> Result<Self> {
        let mut files = Vec::new();
        for table in tables {
            let file = wanted(table).then(|| TableFile::create(table, output, spreadsheet));
            files.push(file.transpose()?);
        }
        Ok(Self { tables, files })
    }

    /// Ends the files, and describes them.
    pub(super) fn finish(self, output: &mut Output, resources: &mut [Option<Resource>]) -> Result<()> {
        for (number, file) in self.files.into_iter().enumerate() {
            let (Some(file), Some(table)) = (file, self.tables.get(number)) else { continue };
            let (digest, bytes) = output.seal(&exact_path(table), ended(file.exact)?)?;
            if let Some(spreadsheet) = file.spreadsheet {
                output.keep(&spreadsheet_path(table), ended(spreadsheet)?)?;
            }
            if let Some(place) = resources.get_mut(number) {
                *place = Some(Resource::new(self.tables, table, file.written, &digest.to_string(), bytes));
            }
        }
        Ok(())
    }
}

impl Sheet for Files<'_> {
    fn row(&mut self, table: usize, cells: &[Cell<'_>], losses: &mut Losses) -> Result<()> {
        let (Some(Some(file)), Some(table)) = (self.files.get_mut(table), self.tables.get(table)) else {
            return Ok(());
        };
        for (cell, column) in cells.iter().zip(&table.columns) {
            let text: Cow<'_, str> = match cell {
                Cell::Null => Cow::Borrowed(NULL),
                Cell::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
                Cell::Integer(number) => Cow::Owned(number.to_string()),
                Cell::Number(token) => Cow::Borrowed(token),
                Cell::Json(json) => Cow::Borrowed(json),
                Cell::Text(text) if is_awkward(text) => {
                    let reason = format!("the cell `{}` of `{}` cannot hold it as it is", column.name, table.name);
                    losses.part(&key_of(table, cells)?, &column.path, &reason)?;
                    Cow::Owned(tamed(text))
                }
                Cell::Text(text) => Cow::Borrowed(text),
            };
            let formula = matches!(cell, Cell::Text(_) | Cell::Json(_)) && is_formula(&text);
            file.written.formula_cells += u64::from(formula);
            file.exact.write_field(&*text).map_err(broken)?;
            if let Some(spreadsheet) = &mut file.spreadsheet {
                let shown = if matches!(cell, Cell::Null) { Cow::Borrowed("") } else { harmless(&text) };
                spreadsheet.write_field(&*shown).map_err(broken)?;
            }
        }
        file.written.rows += 1;
        file.end_row()
    }
}

impl TableFile {
    fn create(table: &Table, output: &Output, spreadsheet: bool) -> Result<Self> {
        let begin = |path: &str, mark: &[u8]| -> Result<Writer<HashingWriter>> {
            let mut file = output.create(path)?;
            std::io::Write::write_all(&mut file, mark)?;
            Ok(WriterBuilder::new().terminator(Terminator::CRLF).from_writer(file))
        };
        let mut file = Self {
            exact: begin(&exact_path(table), b"")?,
            spreadsheet: spreadsheet.then(|| begin(&spreadsheet_path(table), BYTE_ORDER_MARK)).transpose()?,
            written: Written::default(),
        };
        for column in &table.columns {
            file.exact.write_field(&column.name).map_err(broken)?;
            if let Some(spreadsheet) = &mut file.spreadsheet {
                spreadsheet.write_field(&*harmless(&column.name)).map_err(broken)?;
            }
        }
        file.end_row()?;
        Ok(file)
    }

    fn end_row(&mut self) -> Result<()> {
        self.exact.write_record(None::<&[u8]>).map_err(broken)?;
        match &mut self.spreadsheet {
            Some(spreadsheet) => spreadsheet.write_record(None::<&[u8]>).map_err(broken),
            None => Ok(()),
        }
    }
}

fn exact_path(table: &Table) -> String {
    format!("{}.csv", table.name)
}

fn spreadsheet_path(table: &Table) -> String {
    format!("{}.excel.csv", table.name)
}

fn key_of(table: &Table, cells: &[Cell<'_>]) -> Result<Key> {
    let id = match cells.first() {
        Some(Cell::Text(id)) => id,
        _ => "",
    };
    Ok(Key::new(table.collection.clone(), RecordId::parse(id)?))
}

fn ended(writer: Writer<HashingWriter>) -> Result<HashingWriter> {
    writer.into_inner().map_err(|error| Error::from(error.into_error()))
}

pub(super) fn broken(error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        _ => Error::new(ErrorKind::InvalidData, "a table is not CSV"),
    }
}
