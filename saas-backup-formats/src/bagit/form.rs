use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use saas_backup_core::{CollectionName, Digest, Error, ErrorKind, Result};

use super::metadata::{Crate, Part};
use crate::dataset::Dataset;
use crate::folder::HashingWriter;
use crate::form::{Desk, Form, Place};
use crate::names::{MAX_NAME_BYTES, Names};
use crate::spool::{SMALL, Spool};

pub(super) const MANIFEST: &str = "manifest-sha256.txt";
pub(super) const DECLARATION: &[u8] = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
const README: &str = include_str!("readme.txt");

/// The form of a bag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bag;

impl Form for Bag {
    const FORMAT: &'static str = "saas-backup-bagit";
    const VERSION: u32 = 1;

    fn write(&self, dataset: &Dataset, desk: &mut Desk) -> Result<()> {
        let mut bag =
            Bagging { payload: Spool::with_limit(dataset.scratch("payload"), SMALL), desk, files: 0, bytes: 0 };
        let parts = bag.records(dataset)?;
        bag.schemas(dataset)?;
        let account = dataset.account.as_ref();
        let name = account.map_or("Export", |account| &account.name);
        let described = Crate { name, parts, newest: newest(dataset)?, blobs: bag.blobs(dataset)? };
        bag.payload("data/ro-crate-metadata.json", &described.metadata()?)?;
        bag.tags(name, account.map(|account| account.id.as_str()))
    }
}

/// Fills a bag, and notes the digests of its payload.
struct Bagging<'a> {
    desk: &'a mut Desk,
    payload: Spool,
    files: u64,
    bytes: u64,
}

impl Bagging<'_> {
    fn records(&mut self, dataset: &Dataset) -> Result<Vec<Part>> {
        let mut names = Names::new();
        let mut parts = Vec::new();
        for (collection, records) in dataset.collections() {
            let name = collection.name.as_str();
            let path = format!("data/records/{}", names.give("", name, ".jsonl", name, MAX_NAME_BYTES));
            match dataset.records.get(&collection.name) {
                Some(lines) => self.adopt(&lines.path, &path, lines.written()?)?,
                None => self.payload(&path, b"")?,
            }
            let title = if collection.title.is_empty() { name } else { &collection.title };
            parts.push(Part { path: path.clone(), title: title.to_owned(), records });
            self.desk.place(&collection.name, Place::new(path, records));
        }
        Ok(parts)
    }

    fn schemas(&mut self, dataset: &Dataset) -> Result<()> {
        let mut names = Names::new();
        for collection in &dataset.catalog.collections {
            if let Some(schema) = &collection.schema {
                let name = collection.name.as_str();
                let file = names.give("", name, ".json", name, MAX_NAME_BYTES);
                self.payload(&format!("data/schemas/{file}"), schema.as_bytes())?;
            }
        }
        for (digest, document) in &dataset.schemas {
            self.payload(&format!("data/schemas/{digest}.json"), document.as_bytes())?;
        }
        Ok(())
    }

    /// Takes in the attachments; says how many there are.
    fn blobs(&mut self, dataset: &Dataset) -> Result<u64> {
        let mut count = 0;
        for digest in dataset.held()? {
            let digest = digest?;
            let from = dataset.blobs.path(&digest);
            let bytes = fs::metadata(&from)?.len();
            self.adopt(&from, &blob_path(&digest), (digest, bytes))?;
            count += 1;
        }
        Ok(count)
    }

    fn tags(self, name: &str, id: Option<&str>) -> Result<()> {
        let Self { desk, payload, files, bytes } = self;
        let mut info = format!("Payload-Oxum: {bytes}.{files}\nBag-Software-Agent: saas-backup\n");
        let _ = writeln!(info, "External-Description: {}", one_line(name));
        if let Some(id) = id {
            let _ = writeln!(info, "External-Identifier: {}", one_line(id));
        }
        let mut tags = Vec::new();
        for (path, text) in
            [("bag-info.txt", info.as_bytes()), ("bagit.txt", DECLARATION), ("README.txt", README.as_bytes())]
        {
            tags.push((path, tag(desk, path, |writer| Ok(writer.write_all(text)?))?));
        }
        let manifest = tag(desk, MANIFEST, |writer| {
            for entry in payload.finish()? {
                let entry = entry?;
                let digest = entry.line.try_into().map_err(|_| Error::new(ErrorKind::Integrity, "not a digest"))?;
                writeln!(writer, "{}  {}", Digest::from_bytes(digest), encoded(&entry.id))?;
            }
            Ok(())
        })?;
        tags.push((MANIFEST, manifest));
        let mut lines = String::new();
        for (path, digest) in tags {
            let _ = writeln!(lines, "{digest}  {path}");
        }
        desk.output.write("tagmanifest-sha256.txt", lines.as_bytes())
    }

    fn adopt(&mut self, from: &Path, path: &str, written: (Digest, u64)) -> Result<()> {
        self.desk.output.copy(from, path, written)?;
        self.note(path, written)
    }

    fn payload(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.desk.output.write(path, content)?;
        self.note(path, (Digest::of(content), content.len() as u64))
    }

    fn note(&mut self, path: &str, (digest, bytes): (Digest, u64)) -> Result<()> {
        self.files += 1;
        self.bytes += bytes;
        self.payload.push("", path, digest.as_bytes().to_vec())
    }
}

/// Writes a tag file; gives its digest.
fn tag(desk: &mut Desk, path: &str, fill: impl FnOnce(&mut HashingWriter) -> Result<()>) -> Result<Digest> {
    let mut writer = desk.output.create(path)?;
    fill(&mut writer)?;
    let (digest, bytes) = writer.finish(false)?;
    desk.output.note(path, digest, bytes)?;
    Ok(digest)
}

/// Where a blob lies.
pub(super) fn blob_path(digest: &Digest) -> String {
    let hex = digest.to_string();
    format!("data/blobs/{}/{hex}", hex.get(..2).unwrap_or_default())
}

/// A path in a manifest: RFC 8493, 2.1.3.
fn encoded(path: &str) -> String {
    path.replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The day of the newest change: a bag of the same records has the same date, whenever it was made.
fn newest(dataset: &Dataset) -> Result<Option<String>> {
    let mut newest = None;
    let names: Vec<&CollectionName> = dataset.records.keys().collect();
    for name in names {
        for record in dataset.records(name)? {
            let (record, _) = record?;
            newest = newest.max(record.modified.or(record.created));
        }
    }
    Ok(newest.map(|time| time.format("%Y-%m-%d").to_string()))
}
