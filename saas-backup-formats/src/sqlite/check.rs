use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use saas_backup_core::{BlobStatus, CheckReport, Digest, Line, LineCodec, Result};

use super::database::failed;
use super::form::{Database, FILE};
use super::read::open;
use super::schema::quoted;
use crate::folder::{contained, digest_from, digest_of};
use crate::form::Manifest;
use crate::table::blob_file;

/// Looks at the pages of the database, its indexes and foreign keys; at the records, which have to be lines of the stored
/// profile and a row each; at the full-text indexes, which have to know every row; at the attachments, which have to be
/// there with the bytes of their digests.
///
/// # Errors
///
/// If there is no database, or none of this format.
pub fn check(folder: &Path) -> Result<CheckReport> {
    Manifest::read::<Database>(folder)?;
    let mut report = CheckReport::default();
    report.files = 1;
    let mut look = Look { folder, database: &open(&contained(folder, FILE)?)?, report: &mut report };
    if look.pages() {
        look.foreign_keys()?;
        look.collections()?;
        look.records()?;
        look.blobs_inside()?;
    }
    Ok(report)
}

struct Look<'a> {
    folder: &'a Path,
    database: &'a Connection,
    report: &'a mut CheckReport,
}

impl Look<'_> {
    fn find(&mut self, at: impl Into<String>, problem: impl Into<String>) {
        self.report.find(FILE, at, problem);
    }

    /// What SQLite says of its own file; whether it can be read.
    fn pages(&mut self) -> bool {
        let said = self.list("PRAGMA integrity_check", |row| row.get::<_, String>(0));
        let problems: Vec<_> = match said {
            Ok(said) => said.into_iter().filter(|said| said != "ok").collect(),
            Err(error) => vec![error.to_string()],
        };
        for problem in &problems {
            self.find("", problem.clone());
        }
        problems.is_empty()
    }

    fn foreign_keys(&mut self) -> Result<()> {
        let broken = self.list("PRAGMA foreign_key_check", |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, String>(2)?))
        })?;
        for (table, row, target) in broken {
            let row = row.map_or(String::new(), |row| format!(", row {row}"));
            self.find(format!("{table}{row}"), format!("no row of {target} has this key"));
        }
        Ok(())
    }

    /// Each record has a row in its table, and each row is known to the full-text index.
    fn collections(&mut self) -> Result<()> {
        let collections = self
            .list("SELECT \"collection\", \"table\", \"full_text\" FROM \"_collections\"", |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
            })?;
        for (collection, table, index) in collections {
            let rows = self.count(&format!("SELECT count(*) FROM {}", quoted(&table)), &[])?;
            let lines = self.count("SELECT count(*) FROM \"_records\" WHERE collection = ?", &[&collection])?;
            let without = format!(
                "SELECT count(*) FROM {} AS t WHERE NOT EXISTS \
                 (SELECT 1 FROM \"_records\" AS r WHERE r.collection = ? AND r.id = t.\"_id\")",
                quoted(&table)
            );
            if rows != lines || self.count(&without, &[&collection])? > 0 {
                self.find(&*table, format!("{rows} rows for {lines} records, or not the same ones"));
            }
            self.report.add("rows", rows);
            let Some(index) = index else { continue };
            // The table of lengths has a row for each that was indexed.
            let sizes = quoted(&format!("{index}_docsize"));
            let unknown =
                format!("SELECT count(*) FROM {} AS t WHERE t._rowid_ NOT IN (SELECT id FROM {sizes})", quoted(&table));
            let unknown = self.count(&unknown, &[])?;
            if unknown > 0 || self.count(&format!("SELECT count(*) FROM {sizes}"), &[])? != rows {
                self.find(index, format!("the full-text index does not know the rows of {table}"));
            }
        }
        Ok(())
    }

    /// Every line is the record that its row says, and its attachments are there.
    fn records(&mut self) -> Result<()> {
        let codec = LineCodec::stored();
        let database = self.database;
        let mut records =
            database.prepare("SELECT collection, id, line FROM \"_records\" ORDER BY rowid").map_err(failed)?;
        let mut rows = records.query([]).map_err(failed)?;
        let mut seen = BTreeSet::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let cell = |column| row.get::<_, String>(column).map_err(failed);
            let (collection, id, line) = (cell(0)?, cell(1)?, cell(2)?);
            self.report.add("records", 1);
            let record = match codec.decode(&Bytes::from(line)) {
                Ok(Line::Put(record))
                    if record.key.collection.as_str() == collection && record.key.id.as_str() == id =>
                {
                    record
                }
                _ => {
                    self.find(format!("_records, {collection} {id}"), "the line is not this record");
                    continue;
                }
            };
            let held = record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available);
            seen.extend(held.filter_map(|blob| blob.digest));
        }
        for digest in seen {
            self.blob(digest)?;
        }
        Ok(())
    }

    /// An attachment beside the database or in it. One whose bytes never came is among the gaps.
    fn blob(&mut self, digest: Digest) -> Result<()> {
        let name = blob_file(&digest.to_string());
        let path = contained(self.folder, &name)?;
        if path.exists() {
            self.report.files += 1;
            self.report.add("attachments", 1);
            if digest_of(&path)? != digest {
                self.report.find(&name, "", "the attachment is not as it was written");
            }
            return Ok(());
        }
        let inside = self.count("SELECT count(*) FROM \"_blobs\" WHERE sha256 = ?", &[&digest.to_string()])?;
        if inside == 0 && self.listed(&name)? {
            self.report.find(&name, "", "the attachment is not there");
        }
        Ok(())
    }

    /// Whether a table says that the file is there.
    fn listed(&self, file: &str) -> Result<bool> {
        let tables = self.list(
            "SELECT \"table\" FROM \"_columns\" WHERE \"holds\" = 'attachments' AND \"column\" = 'file'",
            |row| row.get::<_, String>(0),
        )?;
        for table in tables {
            let find = format!("SELECT 1 FROM {} WHERE file = ? LIMIT 1", quoted(&table));
            let found =
                self.database.query_row(&find, [file], |row| row.get::<_, i64>(0)).optional().map_err(failed)?;
            if found.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn blobs_inside(&mut self) -> Result<()> {
        let rows = self.list("SELECT rowid, sha256 FROM \"_blobs\"", |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        for (row, sha256) in rows {
            self.report.add("attachments", 1);
            let blob = self.database.blob_open("main", "_blobs", "content", row, true).map_err(failed)?;
            if digest_from(blob)?.to_string() != sha256 {
                self.find(format!("_blobs, {sha256}"), "the attachment is not as it was written");
            }
        }
        Ok(())
    }

    fn count(&self, query: &str, values: &[&dyn ToSql]) -> Result<u64> {
        let count = self.database.query_row(query, values, |row| row.get::<_, i64>(0)).map_err(failed)?;
        Ok(count.cast_unsigned())
    }

    fn list<T>(&self, query: &str, of: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>> {
        let mut statement = self.database.prepare(query).map_err(failed)?;
        let rows = statement.query_map([], of).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }
}
