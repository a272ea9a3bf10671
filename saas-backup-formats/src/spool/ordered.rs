use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
#[cfg(feature = "_table")]
use std::sync::Arc;

use saas_backup_core::{BlobStatus, CollectionName, LineHead, Record, Result};

use super::Entry;
use super::run::{FILE_BUFFER, damaged};
use crate::dataset::{Lines, Owned};
use crate::folder::LineFile;
#[cfg(feature = "_table")]
use crate::table::Look;

/// Collections that have a file at once: each is open until the end.
const FILES: usize = 32;

/// Records that come sorted by their ids, each once and with nothing missing, as a repository gives them: their lines
/// go to a file for each collection, which is then as sorting would have made it.
#[derive(Debug)]
pub(super) struct Ordered {
    folder: PathBuf,
    /// Whether the files are a part of the export: if not, tables are made of them.
    kept: bool,
    collections: BTreeMap<CollectionName, Course>,
    files: usize,
}

/// How the events of one collection came so far.
#[derive(Debug)]
struct Course {
    lines: Option<Written>,
    /// Whether nothing of it had to be sorted.
    in_order: bool,
}

#[derive(Debug)]
struct Written {
    path: PathBuf,
    writer: LineFile,
    last: String,
    records: u64,
    blobs: Owned,
    #[cfg(feature = "_table")]
    look: Option<Look>,
}

impl Ordered {
    pub(super) fn new(folder: PathBuf, kept: bool) -> Self {
        Self { folder, kept, collections: BTreeMap::new(), files: 0 }
    }

    /// Writes the line of a record that nothing is missing of; `false` if it does not follow in order.
    pub(super) fn write(&mut self, record: &Record, line: &[u8]) -> Result<bool> {
        let (collection, id) = (&record.key.collection, record.key.id.as_str());
        if !self.collections.contains_key(collection) {
            self.begin(collection)?;
        }
        let Some(Course { lines: Some(lines), in_order: true }) = self.collections.get_mut(collection) else {
            return Ok(false);
        };
        if lines.records > 0 && lines.last.as_str() >= id {
            return Ok(false);
        }
        lines.writer.line(line)?;
        lines.last.replace_range(.., id);
        lines.records += 1;
        #[cfg(feature = "_table")]
        if let Some(look) = &mut lines.look {
            look.record(record)?;
        }
        let held = record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available);
        for digest in held.filter_map(|blob| blob.digest.as_ref()) {
            lines.blobs.add(digest)?;
        }
        Ok(true)
    }

    fn begin(&mut self, collection: &CollectionName) -> Result<()> {
        let lines = if self.files < FILES {
            let path = self.folder.join(self.files.to_string());
            self.files += 1;
            let writer = LineFile::create(&path, self.kept)?;
            let blobs = Owned::new(path.with_extension("blobs"));
            #[cfg(feature = "_table")]
            let look = (!self.kept).then(|| Look::new(path.with_extension("look"))).transpose()?;
            Some(Written {
                path,
                writer,
                last: String::new(),
                records: 0,
                blobs,
                #[cfg(feature = "_table")]
                look,
            })
        } else {
            None
        };
        self.collections.insert(collection.clone(), Course { lines, in_order: true });
        Ok(())
    }

    /// Notes that an event of this collection is sorted: so are all that follow it.
    pub(super) fn leave(&mut self, collection: &CollectionName) {
        match self.collections.get_mut(collection) {
            Some(course) => course.in_order = false,
            None => drop(self.collections.insert(collection.clone(), Course { lines: None, in_order: false })),
        }
    }

    /// Hands out the collections of which nothing had to be sorted, durable on the disk.
    pub(super) fn take_whole(&mut self) -> Result<BTreeMap<CollectionName, Lines>> {
        let mut whole = BTreeMap::new();
        for (collection, course) in &mut self.collections {
            if !course.in_order {
                continue;
            }
            let Some(written) = course.lines.take() else { continue };
            whole.insert(collection.clone(), written.finish()?);
        }
        Ok(whole)
    }

    /// Ends the files that were not handed out, to be merged with what was sorted.
    pub(super) fn finish(self) -> Result<Vec<LineReader>> {
        let mut readers = Vec::new();
        for (collection, course) in self.collections {
            let Some(Written { path, writer, .. }) = course.lines else { continue };
            writer.finish(false)?;
            readers.push(LineReader::open(&collection, &path)?);
        }
        Ok(readers)
    }
}

impl Written {
    /// Ends the file, durable on the disk.
    fn finish(self) -> Result<Lines> {
        let (digest, bytes) = self.writer.finish(true)?;
        Ok(Lines {
            path: self.path,
            digest,
            bytes,
            count: self.records,
            blobs: self.blobs.finish()?,
            #[cfg(feature = "_table")]
            looked: self.look.map(|look| look.finish().map(Arc::new)).transpose()?,
        })
    }
}

/// Reads the lines of a collection as entries that came before all others.
#[derive(Debug)]
pub(super) struct LineReader {
    group: String,
    file: BufReader<File>,
}

impl LineReader {
    fn open(collection: &CollectionName, path: &Path) -> Result<Self> {
        let file = BufReader::with_capacity(FILE_BUFFER, File::open(path)?);
        Ok(Self { group: collection.as_str().to_owned(), file })
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let mut line = Vec::new();
        if self.file.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(damaged());
        }
        let id = LineHead::parse(&line)?.id.ok_or_else(damaged)?.into_owned();
        Ok(Some(Entry { group: self.group.clone(), id, arrival: 0, line }))
    }
}
