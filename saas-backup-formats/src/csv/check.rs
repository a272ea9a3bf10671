use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};
use memchr::{memchr, memchr_iter};
use saas_backup_core::{CheckReport, Result};

use super::package::{Field, PACKAGE, Package, Resource};
use super::spreadsheet::{is_formula, is_number};
use crate::folder::{contained, digest_of, list};
use crate::names::short_hash;
use crate::table::NULL;

/// Keys of rows as digests, sorted: 8 bytes each.
type Keys = Vec<u64>;
/// By table and columns.
type KeySets = BTreeMap<(String, Vec<String>), Keys>;

/// Looks at every cell of the tables: its encoding and type, formulas where none may be, that keys are unique and
/// foreign keys lead to rows, that the descriptor's digests are those of the files.
///
/// It takes 8 bytes of memory a row for the keys that others point to.
///
/// # Errors
///
/// If a file cannot be read, or the descriptor is none.
pub fn check(folder: &Path) -> Result<CheckReport> {
    let package: Package = serde_json::from_slice(&fs::read(contained(folder, PACKAGE)?)?)?;
    let mut report = CheckReport::default();
    let mut keys = KeySets::new();
    for resource in &package.resources {
        for foreign in &resource.schema.foreign_keys {
            let table = referred(resource, &foreign.reference.resource);
            keys.insert((table.to_owned(), foreign.reference.fields.clone()), Keys::new());
        }
    }
    for resource in &package.resources {
        Table { folder, resource, report: &mut report }.cells(&mut keys)?;
    }
    for resource in package.resources.iter().filter(|resource| !resource.schema.foreign_keys.is_empty()) {
        Table { folder, resource, report: &mut report }.foreign_keys(&keys)?;
    }
    for path in list(folder)?.iter().filter(|path| path.ends_with(".excel.csv")) {
        spreadsheet(folder, path, &mut report)?;
    }
    Ok(report)
}

fn referred<'a>(resource: &'a Resource, name: &'a str) -> &'a str {
    if name.is_empty() { &resource.name } else { name }
}

/// One table of the descriptor.
struct Table<'a> {
    folder: &'a Path,
    resource: &'a Resource,
    report: &'a mut CheckReport,
}

impl Table<'_> {
    fn find(&mut self, at: impl Into<String>, problem: impl Into<String>) {
        self.report.find(&self.resource.path, at, problem);
    }

    /// Checks the file and its cells, and collects the keys of its rows.
    fn cells(&mut self, keys: &mut KeySets) -> Result<()> {
        let (resource, path) = (self.resource, contained(self.folder, &self.resource.path)?);
        self.report.files += 1;
        let Ok(metadata) = path.metadata() else {
            self.find("", "the file is not there");
            return Ok(());
        };
        if metadata.len() != resource.bytes || format!("sha256:{}", digest_of(&path)?) != resource.hash {
            self.find("", "the file is not the one that the descriptor describes");
        }
        let mut rows = open(&path)?;
        let fields = &resource.schema.fields;
        let mut row = ByteRecord::new();
        if !next(&mut rows, &mut row, &resource.path, self.report)
            || !row.iter().eq(fields.iter().map(|field| field.name.as_bytes()))
        {
            self.find("row 1", "the header is not the list of the descriptor's columns");
        }
        let primary = &resource.schema.primary_key;
        let mut sets = vec![(primary.clone(), positions(resource, primary), Keys::new())];
        for (_, columns) in keys.keys().filter(|(table, columns)| *table == resource.name && columns != primary) {
            sets.push((columns.clone(), positions(resource, columns), Keys::new()));
        }
        let (mut count, mut formulas) = (0_u64, 0_u64);
        while next(&mut rows, &mut row, &resource.path, self.report) {
            count += 1;
            if row.len() != fields.len() {
                self.find(format!("row {}", count + 1), format!("{} cells for {} columns", row.len(), fields.len()));
                continue;
            }
            for (field, cell) in fields.iter().zip(row.iter()) {
                match judge(field, cell) {
                    Ok(formula) => formulas += u64::from(formula),
                    Err(problem) => self.find(format!("row {}, column {}", count + 1, field.name), problem),
                }
            }
            for (_, columns, keys) in &mut sets {
                keys.extend(key(&row, columns));
            }
        }
        self.report.add("rows", count);
        if count != resource.rows {
            self.find("", format!("{count} rows, and the descriptor says {}", resource.rows));
        }
        if formulas > 0 && resource.formula_cells == 0 {
            self.find(
                "",
                format!("{formulas} cells are formulas to a spreadsheet, and the descriptor does not say so"),
            );
        }
        drop(row);
        for (number, (columns, _, mut found)) in sets.into_iter().enumerate() {
            found.sort_unstable();
            let before = found.len();
            found.dedup();
            if number == 0 && found.len() < before {
                self.find("", format!("{} rows have a key that another one has", before - found.len()));
            }
            if let Some(set) = keys.get_mut(&(resource.name.clone(), columns)) {
                *set = found;
            }
        }
        Ok(())
    }

    /// Follows every foreign key.
    fn foreign_keys(&mut self, keys: &KeySets) -> Result<()> {
        let (resource, path) = (self.resource, contained(self.folder, &self.resource.path)?);
        if !path.exists() {
            return Ok(());
        }
        let mut foreign = Vec::new();
        for declared in &resource.schema.foreign_keys {
            let table = referred(resource, &declared.reference.resource);
            let columns = positions(resource, &declared.fields);
            let known = keys.get(&(table.to_owned(), declared.reference.fields.clone()));
            foreign.push((columns, known, declared.fields.join(", "), table));
        }
        let mut rows = open(&path)?;
        let (mut row, mut number, mut followed) = (ByteRecord::new(), 0_u64, 0);
        // What is not CSV was found before.
        while rows.read_byte_record(&mut row).unwrap_or(false) {
            number += 1;
            if number == 1 {
                continue;
            }
            for (columns, known, fields, table) in &foreign {
                let Some(key) = key(&row, columns) else { continue };
                followed += 1;
                if known.is_none_or(|known| known.binary_search(&key).is_err()) {
                    self.find(format!("row {number}, column {fields}"), format!("no row of {table} has this key"));
                }
            }
        }
        self.report.add("foreign keys", followed);
        Ok(())
    }
}

/// Judges a cell; says whether it is a formula to a spreadsheet.
fn judge(field: &Field, cell: &[u8]) -> std::result::Result<bool, &'static str> {
    let text = std::str::from_utf8(cell).map_err(|_| "not UTF-8")?;
    if text == NULL {
        let required = field.constraints.get("required").copied().unwrap_or(false);
        return if required { Err("NULL where a value is required") } else { Ok(false) };
    }
    if memchr(0, cell).is_some() {
        return Err("a NUL: many readers end here");
    }
    if memchr_iter(b'\r', cell).any(|at| cell.get(at + 1) != Some(&b'\n')) {
        return Err("a lone carriage return: some readers end the row here");
    }
    match field.kind.as_str() {
        "integer" if text.parse::<i64>().is_err() => Err("not an integer within 63 bits"),
        "number" if !is_number(text) => Err("not a number"),
        "boolean" if !matches!(text, "true" | "false") => Err("neither true nor false"),
        "object" if !(text.starts_with('{') && is_json(text)) => Err("not a JSON object"),
        "array" if !(text.starts_with('[') && is_json(text)) => Err("not a JSON array"),
        "any" if !is_json(text) => Err("not JSON"),
        "integer" | "number" | "boolean" | "object" | "array" => Ok(false),
        _ => Ok(is_formula(text)),
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The digest of the cells that make a key; `None` if one of them is NULL.
fn key(row: &ByteRecord, columns: &[usize]) -> Option<u64> {
    let mut key = Vec::new();
    for column in columns {
        let cell = row.get(*column).filter(|cell| *cell != NULL.as_bytes())?;
        key.extend_from_slice(&(cell.len() as u64).to_le_bytes());
        key.extend_from_slice(cell);
    }
    (!columns.is_empty()).then(|| short_hash(&key))
}

fn positions(resource: &Resource, names: &[String]) -> Vec<usize> {
    let fields = &resource.schema.fields;
    names.iter().filter_map(|name| fields.iter().position(|field| field.name == *name)).collect()
}

/// A file for spreadsheets has no formula, and a byte order mark.
fn spreadsheet(folder: &Path, path: &str, report: &mut CheckReport) -> Result<()> {
    report.files += 1;
    let file = contained(folder, path)?;
    let mut rows = open(&file)?;
    let (mut row, mut number) = (ByteRecord::new(), 0_u64);
    while next(&mut rows, &mut row, path, report) {
        number += 1;
        for cell in &row {
            let cell = cell.strip_prefix("\u{feff}".as_bytes()).unwrap_or(cell);
            let text = String::from_utf8_lossy(cell);
            // An apostrophe in front is what makes it a text.
            if !text.starts_with('\'') && is_formula(&text) {
                report.find(path, format!("row {number}"), "a formula");
            }
        }
    }
    report.add("rows for spreadsheets", number.saturating_sub(1));
    Ok(())
}

fn open(path: &Path) -> Result<csv::Reader<BufReader<File>>> {
    let file = BufReader::with_capacity(128 * 1024, File::open(path)?);
    Ok(ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file))
}

/// Reads the next row.
fn next(rows: &mut csv::Reader<BufReader<File>>, row: &mut ByteRecord, path: &str, report: &mut CheckReport) -> bool {
    rows.read_byte_record(row).unwrap_or_else(|error| {
        report.find(path, "", format!("not CSV: {error}"));
        false
    })
}
