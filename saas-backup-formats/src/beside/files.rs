use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use saas_backup_core::{BlobRef, BlobStatus, Collection, CollectionName, Digest, Key, Record, Result};

use super::names_file::{Named, NamesFile};
use super::{ATTACHMENTS, NAMES, SOURCE, SOURCES};
use crate::dataset::Dataset;
use crate::form::{Desk, Place, RESERVED};
use crate::names::{Names, short_hash, split_extension};
use crate::spool::Hashes;

/// Longest name of a collection's folder, in bytes.
const FOLDER_NAME: usize = 60;
/// Longest name of a file, in bytes: with its folders it stays within the 260 characters that Windows takes.
pub(crate) const FILE_NAME: usize = 110;

/// Longest original name that `names.json` has, in bytes.
const MAX_ORIGINAL: usize = 4096;

/// The files beside those that a form is named after.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) names: Names,
    pub(crate) names_file: NamesFile,
    folders: BTreeMap<CollectionName, String>,
    /// Blobs that have a file already: another file must not be the same one under a second name.
    taken: Hashes<0>,
}

impl Beside {
    /// Writes a line for every record to `_source/`, and gives every collection a folder's name.
    pub(crate) fn create(dataset: &Dataset, desk: &mut Desk) -> Result<Self> {
        let mut names = Names::new();
        for name in [SOURCE, ATTACHMENTS, NAMES].into_iter().chain(RESERVED) {
            names.reserve("", name);
        }
        let (mut folders, mut sources) = (BTreeMap::new(), serde_json::Map::new());
        let mut collections: Vec<(&Collection, u64)> = dataset.collections().collect();
        collections.sort_by_key(|(collection, records)| (*records == 0, &collection.name));
        for (collection, records) in collections {
            let name = collection.name.as_str();
            let folder = names.give("", name, "", name, FOLDER_NAME);
            let source = format!("{SOURCE}/{folder}.jsonl");
            match dataset.records.get(&collection.name) {
                Some(lines) => desk.output.copy(&lines.path, &source, lines.written()?)?,
                None => desk.output.write(&source, b"")?,
            }
            sources.insert(name.to_owned(), source.clone().into());
            desk.place(&collection.name, Place::new(source, records));
            folders.insert(collection.name.clone(), folder);
        }
        desk.content.insert(SOURCES.to_owned(), sources.into());
        let taken = Hashes::new(dataset.scratch("taken"));
        Ok(Self { names, names_file: NamesFile::create(&desk.output)?, folders, taken })
    }

    /// The name of a collection's folder.
    pub(crate) fn folder(&self, collection: &CollectionName) -> String {
        self.folders.get(collection).cloned().unwrap_or_else(|| ATTACHMENTS.to_owned())
    }

    /// Gives the bytes of a blob a file of their own in `folder`; `None` if they are not held.
    pub(crate) fn blob(
        &mut self,
        dataset: &Dataset,
        desk: &mut Desk,
        folder: &str,
        file: &BlobFile<'_>,
    ) -> Result<Option<String>> {
        let &BlobFile { key, blob, title, modified } = file;
        let Some((from, digest)) = dataset.blob(blob) else {
            note_missing(desk, key, blob)?;
            return Ok(None);
        };
        let original = [blob.name.as_deref(), title].into_iter().flatten().find(|name| !name.trim().is_empty());
        let media_type = blob.media_type.as_deref().filter(|_| original.is_none());
        let (stem, extension) = split_extension(original.unwrap_or(key.id.as_str()), media_type);
        let id = format!("{key}\0{}\0{digest}", blob.role);
        let path = format!("{folder}/{}", self.names.give(folder, stem, &extension, &id, FILE_NAME));
        self.place(desk, &path, (&from, digest), modified)?;
        self.note(&path, key, Some(&blob.role), original, Some(digest))?;
        Ok(Some(path))
    }

    /// Gives the bytes of a blob a file of their own.
    pub(crate) fn place(
        &mut self,
        desk: &mut Desk,
        path: &str,
        (from, digest): (&Path, Digest),
        modified: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let written = (digest, fs::metadata(from)?.len());
        if self.taken.insert(short_hash(digest.as_bytes()), [])? {
            desk.output.copy(from, path, written)?;
        } else {
            desk.output.duplicate(from, path, written)?;
        }
        match modified {
            Some(modified) => desk.output.set_modified(path, modified),
            None => Ok(()),
        }
    }

    /// Gives all blobs of a record files below the attachments' folder.
    pub(crate) fn attachments(&mut self, dataset: &Dataset, desk: &mut Desk, record: &Record) -> Result<Vec<String>> {
        let folder = format!("{ATTACHMENTS}/{}", self.folder(&record.key.collection));
        let mut paths = Vec::new();
        for blob in &record.blobs {
            let file = BlobFile { key: &record.key, blob, title: None, modified: None };
            paths.extend(self.blob(dataset, desk, &folder, &file)?);
        }
        Ok(paths)
    }

    /// Notes which record a file is of.
    pub(crate) fn note(
        &mut self,
        path: &str,
        key: &Key,
        role: Option<&str>,
        name: Option<&str>,
        sha256: Option<Digest>,
    ) -> Result<()> {
        self.names_file.line(&Named {
            file: path.to_owned(),
            collection: key.collection.as_str().to_owned(),
            id: Some(key.id.as_str().to_owned()),
            role: role.map(str::to_owned),
            // A name that no file system takes stands in the source alone.
            name: name.filter(|name| name.len() <= MAX_ORIGINAL).map(str::to_owned),
            sha256,
            ..Named::default()
        })
    }

    /// Writes `names.json`.
    pub(crate) fn finish(self, desk: &mut Desk) -> Result<()> {
        self.names_file.finish(&mut desk.output)
    }
}

/// A blob that is to have a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlobFile<'a> {
    pub(crate) key: &'a Key,
    pub(crate) blob: &'a BlobRef,
    /// Its name where the blob itself has none.
    pub(crate) title: Option<&'a str>,
    pub(crate) modified: Option<DateTime<Utc>>,
}

/// Bytes that should have come are among the gaps already; those that nobody offered are told here.
fn note_missing(desk: &mut Desk, key: &Key, blob: &BlobRef) -> Result<()> {
    let reason = match blob.status {
        BlobStatus::Available | BlobStatus::Missing => return Ok(()),
        BlobStatus::External => "the bytes lie elsewhere",
        BlobStatus::Pending => "the provider was still making the bytes",
        BlobStatus::Blocked => "the provider refuses the bytes",
        BlobStatus::TooLarge => "the bytes are larger than a limit that was set",
        _ => "the bytes are not held",
    };
    desk.losses.part(key, blob.path.as_deref().unwrap_or("/blobs"), reason)
}
