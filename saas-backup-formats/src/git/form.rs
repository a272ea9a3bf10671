use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::Path;

use saas_backup_core::{BlobRef, Collection, Kind, Record, Result};

use super::bundle::Head;
use super::owners::Owners;
use crate::beside::{ATTACHMENTS, Beside, BlobFile, Named, is_of, read_source, whole_files};
use crate::dataset::Dataset;
use crate::folder::HashingWriter;
use crate::form::value::{key_text, title_of};
use crate::form::{Desk, Form, Place, Store};
use crate::import::{Import, Loading};
use crate::spool::Spool;

/// Longest name of a repository, in bytes.
const NAME: usize = 80;
/// Longest name of a file beside it, in bytes.
const BESIDE_NAME: usize = 60;
/// What a blob must be to be a repository.
const MEDIA_TYPES: [&str; 2] = ["application/x-git-bundle", "application/vnd.git.bundle"];

/// The form of repositories.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repositories;

impl Form for Repositories {
    const FORMAT: &'static str = "saas-backup-git";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let mut beside = Beside::create(dataset, desk)?;
        let mut owners = Owners::read(dataset)?;
        // Where what belongs to a repository lies.
        let mut folders = Store::create(dataset.scratch("folders"))?;
        let mut about = Spool::new(dataset.scratch("about"));
        for (collection, records) in dataset.collections() {
            let is_repository = collection.kind == Kind::Repository;
            for record in dataset.records(&collection.name)? {
                let (record, line) = record?;
                if is_repository {
                    repository(dataset, collection, &record, &mut folders, &mut beside, desk)?;
                } else {
                    beside.attachments(dataset, desk, &record)?;
                    if let Some(owner) = owners.of(&record)? {
                        let group = format!("{owner}\0{}", collection.name);
                        about.push(&group, record.key.id.as_str(), line.to_vec())?;
                    }
                }
            }
            if is_repository {
                let folder = beside.folder(&collection.name);
                desk.output.create_folder(&folder)?;
                desk.place(&collection.name, Place::new(folder, records));
            }
        }
        let mut open: Option<(String, Named, HashingWriter)> = None;
        for entry in about.finish()? {
            let entry = entry?;
            if open.as_ref().is_none_or(|(group, ..)| *group != entry.group) {
                end(open.take(), &mut beside, desk)?;
                let (owner, collection) = entry.group.rsplit_once('\0').unwrap_or_default();
                let Some(folder) = folders.get::<String>(owner)? else { continue };
                let name = beside.names.give(&folder, collection, ".jsonl", collection, BESIDE_NAME);
                let file = format!("{folder}/{name}");
                let (of, id) = owner.split_once('\0').unwrap_or_default();
                let named = Named {
                    file: file.clone(),
                    collection: of.to_owned(),
                    id: Some(id.to_owned()),
                    role: Some(collection.to_owned()),
                    ..Named::default()
                };
                open = Some((entry.group.clone(), named, desk.output.create(&file)?));
            }
            if let Some((_, _, file)) = &mut open {
                file.write_all(&entry.line)?;
                file.write_all(b"\n")?;
            }
        }
        end(open, &mut beside, desk)?;
        beside.finish(desk)
    }
}

impl Import for Repositories {
    fn read(&self, folder: &Path, into: &mut Loading) -> Result<()> {
        read_source::<Self>(folder, into, whole_files)
    }
}

fn end(open: Option<(String, Named, HashingWriter)>, beside: &mut Beside, desk: &mut Desk) -> Result<()> {
    let Some((_, named, file)) = open else { return Ok(()) };
    beside.names_file.line(&named)?;
    desk.output.keep(&named.file, file)
}

/// Whether a blob is a repository.
fn is_bundle(blob: &BlobRef) -> bool {
    blob.role == "bundle" || is_of(blob, &MEDIA_TYPES)
}

fn repository(
    dataset: &Dataset,
    collection: &Collection,
    record: &Record,
    folders: &mut Store,
    beside: &mut Beside,
    desk: &mut Desk,
) -> Result<()> {
    let top = beside.folder(&collection.name);
    let title = title_of(collection, record);
    let key = key_text(&record.key);
    let folder = format!("{top}/{}", beside.names.give(&top, &title, "", &key, NAME));
    folders.put(&key, &folder)?;
    let mut found = false;
    for blob in &record.blobs {
        let Some((path, digest)) = dataset.blob(blob).filter(|_| is_bundle(blob)) else {
            let attachments = format!("{ATTACHMENTS}/{top}");
            let file = BlobFile { key: &record.key, blob, title: None, modified: None };
            beside.blob(dataset, desk, &attachments, &file)?;
            continue;
        };
        // A wiki is a repository beside the first one.
        let role = if blob.role == "bundle" { String::new() } else { format!(" - {}", blob.role) };
        let name = beside.names.give(&top, &format!("{title}{role}"), ".bundle", &format!("{key}{role}"), NAME + 20);
        let file = format!("{top}/{name}");
        beside.place(desk, &file, (&path, digest), None)?;
        let refs = match Head::read(BufReader::new(File::open(&path)?))? {
            Ok(head) => {
                if head.needs > 0 {
                    let reason = "the bundle needs commits that it does not hold: nobody can clone it";
                    desk.losses.part(&record.key, "/blobs", reason)?;
                }
                head.refs
            }
            Err(fault) => {
                desk.losses.part(&record.key, "/blobs", &format!("the bundle cannot be read: {fault}"))?;
                BTreeMap::new()
            }
        };
        beside.names_file.line(&Named {
            file,
            collection: collection.name.as_str().to_owned(),
            id: Some(record.key.id.as_str().to_owned()),
            role: Some(blob.role.clone()),
            name: blob.name.clone().filter(|name| name.len() < 4096),
            sha256: Some(digest),
            refs,
            ..Named::default()
        })?;
        found = true;
    }
    if !found {
        desk.losses.part(&record.key, "/blobs", "no bundle is held: what the repository holds is not here")?;
    }
    if !record.access.is_empty() {
        desk.losses.part(&record.key, "/access", "permissions: in the source alone")?;
    }
    Ok(())
}
