use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use saas_backup_core::{BlobRef, Collection, CollectionName, Digest, Kind, Record, Result};
use serde::{Deserialize, Serialize};
use url::Url;

use super::attachments::{addresses, file_name, guard, plain_name};
use super::counts::{AttachmentTotals, CollectionPages};
use super::layout::{Shape, shapes};
use super::linker::{host_of, normal};
use super::names_file::{NAMES, NamesFile, source_of};
use super::order::day_of;
use super::style::Style;
use crate::dataset::Dataset;
use crate::folder::Output;
use crate::form::value::{key_text, reference_text, refs, time_of, title_of, url_of};
use crate::form::{self, Desk, RESERVED, Store};
use crate::names::Names;
use crate::spool::{SMALL, Spool};

/// Longest name of a collection's folder, and of an attachment, in bytes.
const FOLDER_NAME: usize = 60;
const FILE_NAME: usize = 120;

/// What is known of a record before the pages have their places.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) title: String,
    pub(crate) place: Place,
}

/// Where a record is to be found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// On a page of its own, below another record's.
    Page { folder: String, parent: Option<String> },
    /// On the page of another record, or on the one that this has for a day; on another one if there is none.
    Thread { target: String, day: Option<String>, otherwise: String },
    /// On this page.
    Row(String),
}

/// What an address leads to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Target {
    Record(String),
    Blob(Digest),
}

/// All that pages link to.
#[derive(Debug)]
pub(crate) struct Index {
    /// Records before they have a place.
    pub(crate) nodes: Store,
    /// Title and path of records.
    pub(crate) places: Store,
    /// Addresses.
    pub(crate) urls: Store,
    /// Paths of attachments by digest.
    pub(crate) attachments: Store,
    /// Paths of the pages that a conversation has for its days.
    pub(super) days: Store,
    /// The sites that the records' own addresses are on.
    pub(crate) hosts: BTreeSet<String>,
}

impl Index {
    fn create(scratch: &Path) -> Result<Self> {
        Ok(Self {
            nodes: Store::create(scratch.join("nodes"))?,
            places: Store::create(scratch.join("places"))?,
            urls: Store::create(scratch.join("urls"))?,
            attachments: Store::create(scratch.join("attachments"))?,
            days: Store::create(scratch.join("days"))?,
            hosts: BTreeSet::new(),
        })
    }
}

/// The first reading of all records: the sources are written, attachments find their places, titles and addresses are
/// noted.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) shapes: BTreeMap<CollectionName, Shape>,
    pub(crate) collections: BTreeMap<CollectionName, CollectionPages>,
    pub(crate) index: Index,
    /// Records that stand on another one's page, by that one and by time.
    pub(crate) threads: Spool,
    pub(crate) names: Names,
    pub(crate) style: Style,
    pub(crate) attachments: AttachmentTotals,
}

impl Survey {
    /// Reads everything once, and notes in the manifest where collections are. The file of names is still open.
    pub(crate) fn of(dataset: &Dataset, style: Style, desk: &mut Desk) -> Result<(Self, NamesFile)> {
        let mut names_file = NamesFile::create(&desk.output)?;
        let mut survey = Self::new(dataset, style)?;
        survey.run(dataset, &mut desk.output, &mut names_file)?;
        for (name, pages) in &survey.collections {
            desk.place(name, form::Place::new(pages.folder.clone(), pages.records));
        }
        Ok((survey, names_file))
    }

    fn new(dataset: &Dataset, style: Style) -> Result<Self> {
        let mut names = Names::new();
        let index = style.listing_name(1);
        let own = ["_source", &index, NAMES].into_iter().chain(style.reserved.iter().copied());
        for name in own.chain(RESERVED) {
            names.reserve("", name);
        }
        let scratch = dataset.scratch("vault");
        Ok(Self {
            shapes: shapes(&dataset.catalog),
            collections: BTreeMap::new(),
            index: Index::create(&scratch)?,
            threads: Spool::with_limit(scratch.join("threads"), SMALL),
            names,
            style,
            attachments: AttachmentTotals::default(),
        })
    }

    /// Reads collections with records first.
    fn run(&mut self, dataset: &Dataset, output: &mut Output, names_file: &mut NamesFile) -> Result<()> {
        let mut collections: Vec<(&Collection, u64)> = dataset.collections().collect();
        collections.sort_by_key(|(collection, records)| (*records == 0, &collection.name));
        for (collection, _) in collections {
            let folder = self.names.give("", collection.name.as_str(), "", collection.name.as_str(), FOLDER_NAME);
            let listing = self.style.listing_name(1);
            let shadow = format!("_attachments{}", self.style.extension);
            let own = [&listing, "_attachments", &shadow].into_iter();
            for taken in own.chain(self.style.reserved_below.iter().copied()) {
                self.names.reserve(&folder, taken);
            }
            let source = source_of(&folder);
            match dataset.records.get(&collection.name) {
                Some(lines) => output.copy(&lines.path, &source, lines.written()?)?,
                None => output.write(&source, b"")?,
            }
            self.collections.insert(collection.name.clone(), CollectionPages::new(folder.clone(), source));
            for record in dataset.records(&collection.name)? {
                let (record, line) = record?;
                self.record(collection, &record, &line, dataset, output, names_file)?;
            }
            let records = self.collections.get(&collection.name).map_or(0, |entry| entry.records);
            for page in 2..=records.div_ceil(self.style.rows) {
                self.names.reserve(&folder, &self.style.listing_name(page));
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
        let (folder, style) = (entry.folder.clone(), self.style);
        let listing = style.listing_path(&folder, entry.records.div_ceil(style.rows));
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
                    let day = (style.days && collection.kind == Kind::Message).then(|| day_of(collection, record));
                    let id = format!("{}\0{}\0{time}\0{}", to.id, day.as_deref().unwrap_or_default(), record.key);
                    self.threads.push(to.collection.as_str(), &id, line.to_vec())?;
                    Place::Thread { target: key_text(&to.key()), day, otherwise: style.listing_path(&folder, 1) }
                }
                None => Place::Row(style.listing_path(&folder, 1)),
            },
            _ => Place::Row(listing),
        };
        if let Some(url) = url_of(collection, record).and_then(|url| Url::parse(&url).ok()) {
            self.index.hosts.extend(host_of(&url));
            // A link to the address of a record that changed leads to what it is now.
            if let Some(url) = normal(&url).filter(|_| collection.fields.version_of.is_none()) {
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
        if !self.index.attachments.contains(&hex)? {
            let (mut stem, mut extension) = file_name(blob, urls.first(), &hex);
            if self.style.plain_names {
                stem = plain_name(&stem);
            }
            if self.style.browsed {
                extension.push_str(guard(&extension, &file)?);
            }
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
