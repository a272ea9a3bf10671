use std::path::Path;

use chrono::{DateTime, Utc};
use saas_backup_core::{Collection, Kind, Record, Result};

use super::tree::{Tree, is_tree};
use crate::beside::{Beside, BlobFile, read_source, whole_files};
use crate::dataset::Dataset;
use crate::form::value::{key_text, text_at, title_of};
use crate::form::{Desk, Form, Place};
use crate::import::{Import, Loading};

/// The form of a tree of files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files;

impl Form for Files {
    const FORMAT: &'static str = "saas-backup-files";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let mut beside = Beside::create(dataset, desk)?;
        let mut tree = Tree::read(dataset, &beside)?;
        for (collection, records) in dataset.collections() {
            let top = beside.folder(&collection.name);
            for record in dataset.records(&collection.name)? {
                let (record, _) = record?;
                if is_tree(collection.kind) {
                    member(dataset, collection, &record, &mut tree, &mut beside, desk)?;
                } else {
                    for blob in &record.blobs {
                        let modified = blob.created.or(record.modified);
                        let file = BlobFile { key: &record.key, blob, title: None, modified };
                        beside.blob(dataset, desk, &top, &file)?;
                    }
                }
            }
            if is_tree(collection.kind) {
                desk.output.create_folder(&top)?;
                desk.place(&collection.name, Place::new(top, records));
            }
        }
        beside.finish(desk)
    }
}

impl Import for Files {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_source::<Self>(folder, into, whole_files)
    }
}

/// Writes the files of a record that is one, or makes its folder.
fn member(
    dataset: &Dataset,
    collection: &Collection,
    record: &Record,
    tree: &mut Tree,
    beside: &mut Beside,
    desk: &mut Desk,
) -> Result<()> {
    if collection.kind == Kind::Folder || tree.is_parent(record) {
        tree.folder(&key_text(&record.key), beside, desk)?;
    } else if record.blobs.is_empty() {
        desk.losses.part(&record.key, "/blobs", "the provider gave no bytes for this file")?;
    }
    if !record.access.is_empty() {
        desk.losses.part(&record.key, "/access", "permissions: in the source alone")?;
    }
    if record.blobs.is_empty() {
        return Ok(());
    }
    let folder = tree.above(collection, record, beside, desk)?;
    let title = title_of(collection, record);
    let modified = modified_of(collection, record);
    for blob in &record.blobs {
        let file = BlobFile { key: &record.key, blob, title: Some(&title), modified };
        beside.blob(dataset, desk, &folder, &file)?;
    }
    Ok(())
}

/// When a file was last changed: the property `modified`, the record's own time, what the mapping calls the time, or
/// when it was created.
fn modified_of(collection: &Collection, record: &Record) -> Option<DateTime<Utc>> {
    let at = |path: &String| text_at(&record.data, path)?.parse().ok();
    let fields = &collection.fields;
    let mapped = fields.properties.get("modified").and_then(at);
    mapped.or(record.modified).or_else(|| fields.time.as_ref().and_then(at)).or(record.created)
}
