use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use saas_backup_core::{BlobStatus, Digest, Error, ErrorKind, Line, LineCodec, Record, Result};

use super::database::failed;
use super::form::{Database, FILE};
use crate::folder::{contained, create_parents};
use crate::import::{Import, Loading};
use crate::table::blob_file;

impl Import for Database {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        into.manifest::<Self>(folder)?;
        let database = open(&contained(folder, FILE)?)?;
        let codec = LineCodec::stored();
        let mut records = database.prepare("SELECT line FROM \"_records\" ORDER BY rowid").map_err(failed)?;
        let mut rows = records.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let line: String = row.get(0).map_err(failed)?;
            let Line::Put(record) = codec.decode(&Bytes::from(line))? else {
                return Err(Error::new(ErrorKind::InvalidData, "a line of `_records` is not a record"));
            };
            blobs(&database, &record, folder, into)?;
            into.record(*record)?;
        }
        Ok(())
    }
}

/// Opens a database that nobody writes to.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(failed)?;
    // Nothing that stands in the file may run functions that it has no business with.
    database.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON").map_err(failed)?;
    Ok(database)
}

/// Hands over the attachments of a record, from beside the database or out of it.
fn blobs(database: &Connection, record: &Record, folder: &Path, into: &mut Loading) -> Result<()> {
    for blob in record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available) {
        let (Some(id), Some(digest)) = (&blob.id, blob.digest) else { continue };
        let beside = contained(folder, &blob_file(&digest.to_string()))?;
        let file = if beside.exists() {
            beside
        } else {
            let Some(file) = unpacked(database, digest, into)? else { continue };
            file
        };
        if into.blob(id, &file)?.digest != digest {
            return Err(Error::new(ErrorKind::Integrity, "an attachment is not as it was written")
                .with_context("sha256", digest));
        }
    }
    Ok(())
}

/// Puts an attachment that stands in the database into a file.
fn unpacked(database: &Connection, digest: Digest, into: &Loading) -> Result<Option<PathBuf>> {
    let file = into.scratch("blobs").join(digest.to_string());
    if file.exists() {
        return Ok(Some(file));
    }
    let find = "SELECT rowid FROM \"_blobs\" WHERE sha256 = ?";
    let row = database.query_row(find, [digest.to_string()], |row| row.get(0)).optional().map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let mut blob = database.blob_open("main", "_blobs", "content", row, true).map_err(failed)?;
    create_parents(&file)?;
    io::copy(&mut blob, &mut File::create(&file)?)?;
    Ok(Some(file))
}
