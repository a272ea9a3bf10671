use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use saas_backup_core::{BlobId, BlobRef, Collection, CollectionName, Digest, Kind, Record, Result};
use serde::{Deserialize, Serialize};
use url::Url;

use super::layout::{Shape, shapes};
use super::linker::{host_of, normal};
use super::listing::{ROWS, listing_name, listing_path};
use super::manifest::{AttachmentTotals, CollectionPages};
use crate::dataset::Dataset;
use crate::folder::{HashingWriter, Output};
use crate::form::value::{key_text, reference_text, refs, time_of, title_of, url_of};
use crate::form::{RESERVED, Store};
use crate::names::Names;
use crate::spool::Spool;

/// Longest name of a collection's folder, and of an attachment, in bytes.
const FOLDER_NAME: usize = 60;
const FILE_NAME: usize = 120;

/// What is known of a record before the pages have their places.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) title: String,
    pub(super) place: Place,
}

/// Where a record is to be found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Place {
    /// On a page of its own, below another record's.
    Page { folder: String, parent: Option<String> },
    /// On the page of another record; on this one if there is none.
    Thread { target: String, otherwise: String },
    /// On this page.
    Row(String),
}

/// What an address leads to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Target {
    Record(String),
    Blob(Digest),
}

/// All that pages link to.
#[derive(Debug)]
pub(super) struct Index {
    /// Records before they have a place.
    pub(super) nodes: Store,
    /// Title and path of records.
    pub(super) places: Store,
    /// Addresses.
    pub(super) urls: Store,
    /// Paths of attachments by digest.
    pub(super) attachments: Store,
    /// The sites that the records' own addresses are on.
    pub(super) hosts: BTreeSet<String>,
}

impl Index {
    fn create(scratch: &Path) -> Result<Self> {
        Ok(Self {
            nodes: Store::create(scratch.join("nodes"))?,
            places: Store::create(scratch.join("places"))?,
            urls: Store::create(scratch.join("urls"))?,
            attachments: Store::create(scratch.join("attachments"))?,
            hosts: BTreeSet::new(),
        })
    }
}

/// The first reading of all records: the sources are written, attachments find their places, titles and addresses are
/// noted.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) shapes: BTreeMap<CollectionName, Shape>,
    pub(super) collections: BTreeMap<CollectionName, CollectionPages>,
    pub(super) index: Index,
    /// Records that stand on another one's page, by that one and by time.
    pub(super) threads: Spool,
    pub(super) names: Names,
    pub(super) attachments: AttachmentTotals,
}

impl Survey {
    pub(super) fn new(dataset: &Dataset) -> Result<Self> {
        let mut names = Names::new();
        for name in ["_source", "index.md", NAMES].into_iter().chain(RESERVED) {
            names.reserve("", name);
        }
        let scratch = dataset.scratch("vault");
        Ok(Self {
            shapes: shapes(&dataset.catalog),
            collections: BTreeMap::new(),
            index: Index::create(&scratch)?,
            threads: Spool::new(scratch.join("threads")),
            names,
            attachments: AttachmentTotals::default(),
        })
    }

    /// Reads everything once, collections with records first.
    pub(super) fn run(&mut self, dataset: &Dataset, output: &mut Output, names_file: &mut NamesFile) -> Result<()> {
        let mut collections: Vec<(&Collection, u64)> = dataset.collections().collect();
        collections.sort_by_key(|(collection, records)| (*records == 0, &collection.name));
        for (collection, _) in collections {
            let folder = self.names.give("", collection.name.as_str(), "", collection.name.as_str(), FOLDER_NAME);
            for taken in ["index.md", "_attachments", "_attachments.md"] {
                self.names.reserve(&folder, taken);
            }
            let source = source_of(&folder);
            match dataset.records.get(&collection.name) {
                Some(lines) => output.copy(&lines.path, &source, lines.written)?,
                None => output.write(&source, b"")?,
            }
            self.collections.insert(collection.name.clone(), CollectionPages::new(folder.clone(), source));
            for record in dataset.records(&collection.name)? {
                let (record, line) = record?;
                self.record(collection, &record, &line, dataset, output, names_file)?;
            }
            let records = self.collections.get(&collection.name).map_or(0, |entry| entry.records);
            for page in 2..=records.div_ceil(ROWS) {
                self.names.reserve(&folder, &listing_name(page));
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        collection: &Collection,
        record: &Record,
        line: &[u8],
        dataset: &Dataset,
        output: &mut Output,
        names_file: &mut NamesFile,
    ) -> Result<()> {
        let Some(entry) = self.collections.get_mut(&collection.name) else { return Ok(()) };
        entry.records += 1;
        let (folder, listing) = (entry.folder.clone(), listing_path(&entry.folder, entry.records.div_ceil(ROWS)));
        let key = key_text(&record.key);
        let place = match self.shapes.get(&collection.name) {
            Some(Shape::Pages) => {
                entry.pages += 1;
                let parent = refs(record, collection.fields.parent.as_deref()).find_map(reference_text);
                Place::Page { folder: folder.clone(), parent }
            }
            Some(Shape::Thread { via }) => match refs(record, Some(via)).find(|to| to.account.is_none()) {
                Some(to) => {
                    let time = time_of(collection, record).unwrap_or_default();
                    let id = format!("{}\0{time}\0{}", to.id, record.key);
                    self.threads.push(to.collection.as_str(), &id, line.to_vec())?;
                    Place::Thread { target: key_text(&to.key()), otherwise: listing_path(&folder, 1) }
                }
                None => Place::Row(listing_path(&folder, 1)),
            },
            _ => Place::Row(listing),
        };
        if let Some(url) = url_of(collection, record).and_then(|url| Url::parse(&url).ok()) {
            self.index.hosts.extend(host_of(&url));
            if let Some(url) = normal(&url) {
                self.index.urls.put(&url, &Target::Record(key))?;
            }
        }
        for blob in &record.blobs {
            self.blob(&folder, record, blob, dataset, output, names_file)?;
        }
        let place = match place {
            // Who follows a link to a file wants the file, not its row in a list.
            Place::Row(row) if matches!(collection.kind, Kind::Media | Kind::File) => {
                let digest = record.blobs.first().and_then(|blob| blob.digest);
                let file = digest.map_or(Ok(None), |digest| self.index.attachments.get(&digest.to_string()))?;
                Place::Row(file.unwrap_or(row))
            }
            place => place,
        };
        self.index.nodes.put(&key_text(&record.key), &Node { title: title_of(collection, record), place })
    }

    fn blob(
        &mut self,
        folder: &str,
        record: &Record,
        blob: &BlobRef,
        dataset: &Dataset,
        output: &mut Output,
        names_file: &mut NamesFile,
    ) -> Result<()> {
        let Some((file, digest)) = dataset.blob(blob) else { return Ok(()) };
        let urls = addresses(record, blob);
        let hex = digest.to_string();
        if !self.index.attachments.contains(&hex) {
            let (stem, extension) = file_name(blob, urls.first(), &hex);
            let folder = format!("{folder}/_attachments");
            let name = self.names.give(&folder, &stem, &extension, &hex, FILE_NAME);
            let path = format!("{folder}/{name}");
            let bytes = fs::metadata(&file)?.len();
            output.copy(&file, &path, (digest, bytes))?;
            self.attachments.bytes += bytes;
            self.attachments.count += 1;
            names_file.attachment(&path, digest, blob.name.as_deref())?;
            self.index.attachments.put(&hex, &path)?;
        }
        for url in urls {
            if let Some(url) = normal(&url) {
                self.index.urls.put(&url, &Target::Blob(digest))?;
            }
        }
        Ok(())
    }
}

/// The addresses under which texts may speak of a blob: what stands at its place in the record.
fn addresses(record: &Record, blob: &BlobRef) -> Vec<Url> {
    // Where a provider gives files no id, their address is it.
    let named = blob.external_url.as_deref().into_iter().chain(blob.id.as_ref().map(BlobId::as_str));
    let mut found: Vec<Url> = named.filter_map(|url| Url::parse(url).ok()).collect();
    let Some(pointer) = blob.path.as_deref().and_then(|path| path.strip_prefix("/data")) else { return found };
    let Ok(data) = record.data.decode::<serde_json::Value>() else { return found };
    let texts: Vec<&str> = match data.pointer(pointer) {
        Some(serde_json::Value::String(text)) => vec![text],
        Some(serde_json::Value::Object(members)) => members.values().filter_map(serde_json::Value::as_str).collect(),
        _ => Vec::new(),
    };
    found.extend(texts.into_iter().filter_map(|text| Url::parse(text).ok()));
    found
}

/// The name of an attachment, and its extension with the dot.
fn file_name(blob: &BlobRef, url: Option<&Url>, hex: &str) -> (String, String) {
    let of_url = || {
        let last = url?.path_segments()?.next_back().filter(|segment| !segment.is_empty())?;
        crate::text::unescape_path(last)
    };
    let name = blob.name.clone().filter(|name| !name.trim().is_empty()).or_else(of_url);
    let name = name.unwrap_or_else(|| hex.get(..16).unwrap_or(hex).to_owned());
    if let Some((stem, extension)) = name.rsplit_once('.')
        && (1..=10).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !stem.is_empty()
    {
        return (stem.to_owned(), format!(".{extension}"));
    }
    let extension = match blob.media_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim() {
        "image/png" => ".png",
        "image/jpeg" => ".jpg",
        "image/gif" => ".gif",
        "image/webp" => ".webp",
        "image/svg+xml" => ".svg",
        "application/pdf" => ".pdf",
        "application/zip" => ".zip",
        "application/json" => ".json",
        "text/plain" => ".txt",
        "text/html" => ".html",
        "text/csv" => ".csv",
        "text/markdown" => ".markdown",
        "audio/mpeg" => ".mp3",
        "video/mp4" => ".mp4",
        _ => "",
    };
    (name, extension.to_owned())
}

/// `names.json`: an array with one file a line.
#[derive(Debug)]
pub(super) struct NamesFile {
    file: HashingWriter,
    first: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum NameLine<'a> {
    Page { file: &'a str, collection: &'a str, id: &'a str },
    Attachment { file: &'a str, sha256: Digest, name: Option<&'a str> },
}

pub(super) const NAMES: &str = "names.json";

/// The file with the records of a collection as their provider gave them, by the collection's folder.
pub(super) fn source_of(folder: &str) -> String {
    format!("_source/{folder}.jsonl")
}

impl NamesFile {
    pub(super) fn create(output: &Output) -> Result<Self> {
        Ok(Self { file: output.create(NAMES)?, first: true })
    }

    fn attachment(&mut self, file: &str, sha256: Digest, name: Option<&str>) -> Result<()> {
        self.line(&NameLine::Attachment { file, sha256, name })
    }

    /// Notes which record a page is, by the record's key in a store.
    pub(super) fn page(&mut self, file: &str, key: &str) -> Result<()> {
        let (collection, id) = key.split_once('\0').unwrap_or((key, ""));
        self.line(&NameLine::Page { file, collection, id })
    }

    fn line(&mut self, line: &NameLine<'_>) -> Result<()> {
        self.file.write_all(if self.first { b"[\n" } else { b",\n" })?;
        self.first = false;
        Ok(serde_json::to_writer(&mut self.file, line)?)
    }

    pub(super) fn finish(mut self, output: &mut Output) -> Result<()> {
        self.file.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
        output.keep(NAMES, self.file)
    }
}
