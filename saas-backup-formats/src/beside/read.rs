use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use saas_backup_core::{BlobStatus, CollectionName, Error, ErrorKind, Line, LineCodec, Record, Result};

use super::names_file::{Named, Span};
use super::{NAMES, SOURCES};
use crate::folder::{audit, contained};
use crate::form::{Form, Store, lines};
use crate::import::Loading;

/// Longest line of `names.json`: names, a path, and all references of a repository.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// Copies bytes that a file holds among others to a file of their own.
pub(crate) type Extract = fn(file: &Path, span: Span, to: &Path) -> Result<()>;

/// For forms that give every blob a file of its own.
pub(crate) fn whole_files(_file: &Path, _span: Span, _to: &Path) -> Result<()> {
    Err(Error::new(ErrorKind::InvalidData, "`names.json` names a part of a file"))
}

/// Reads the records of `_source/`, and their blobs from the files that `names.json` gives them.
pub(crate) fn read_source<F: Form>(folder: &Path, into: &mut Loading, extract: Extract) -> Result<()> {
    let manifest = into.manifest::<F>(folder)?;
    let changed = audit(folder)?.changed.len();
    if changed > 0 {
        into.lossy(&format!("{changed} files of the export were changed: records are read as they were exported"));
    }
    let sources = manifest.content.get(SOURCES).cloned().unwrap_or_default();
    let sources: std::collections::BTreeMap<CollectionName, String> = serde_json::from_value(sources)?;
    let mut blobs = Blobs { folder, files: named_files(folder, into)?, extract, extracted: 0 };
    let codec = LineCodec::stored();
    for source in sources.values() {
        for line in lines(Some(&contained(folder, source)?))? {
            let Line::Put(record) = codec.decode(&line?)? else {
                return Err(Error::new(ErrorKind::InvalidData, "a line of the source is not a record"));
            };
            blobs.read(&record, into)?;
            into.record(*record)?;
        }
    }
    Ok(())
}

/// Where the bytes of each digest are.
fn named_files(folder: &Path, into: &Loading) -> Result<Store> {
    let mut files = Store::create(into.scratch("names"))?;
    let mut lines = BufReader::new(File::open(contained(folder, NAMES)?)?);
    loop {
        let mut line = Vec::new();
        if lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(files);
        }
        let Some(named) = Named::read(&line)
            .map_err(|error| Error::new(ErrorKind::InvalidData, "`names.json` is damaged").with_source(error))?
        else {
            continue;
        };
        if let Some(digest) = named.sha256 {
            files.put(&digest.to_string(), &(named.file, named.span))?;
        }
    }
}

struct Blobs<'a> {
    folder: &'a Path,
    files: Store,
    extract: Extract,
    extracted: u64,
}

impl Blobs<'_> {
    fn read(&mut self, record: &Record, into: &mut Loading) -> Result<()> {
        for blob in record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available) {
            let (Some(id), Some(digest)) = (&blob.id, blob.digest) else { continue };
            let Some((file, span)) = self.files.get::<(String, Option<Span>)>(&digest.to_string())? else { continue };
            let mut path: PathBuf = contained(self.folder, &file)?;
            if let Some(span) = span {
                let to = into.scratch(&format!("extracted-{}", self.extracted));
                self.extracted += 1;
                (self.extract)(&path, span, &to)?;
                path = to;
            }
            let found = into.blob(id, &path)?.digest;
            if span.is_some() {
                std::fs::remove_file(&path)?;
            }
            if found != digest {
                let error = Error::new(ErrorKind::Integrity, "a file of the export is not as it was written");
                return Err(error.with_context("file", file));
            }
        }
        Ok(())
    }
}
