use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use memchr::memmem::Finder;
use saas_backup_core::{
    Account, BlobId, BlobRef, ByteStream, Capabilities, Catalog, Collection, CollectionCoverage, CollectionName,
    Connector, Coverage, Cursor, Done, Error, ErrorKind, Event, EventStream, Feed, FeedStream, Json, Key, Kind, Only,
    ReadRequest, Record, RecordId, Result, Scope, Sink, SinkOptions, Snapshot, SnapshotOptions, Visibility,
    async_trait,
};

use crate::workload::{COLLECTIONS, attachment_path};

const CURSOR_VERSION: u32 = 1;

/// What stands before the members that make an envelope.
static ID: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("{\"id\":\""));
static REVISION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"revision\":"));
static ATTACHMENTS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"attachments\":["));

const PAGE: usize = 512 * 1024;

/// Reads the folder that a [`Workload`](crate::Workload) wrote as if it were a provider: pages of records, changes by
/// round, attachments.
///
/// A read without cursor gives the base shards and ends at the newest round; the shards must not have been rewritten,
/// or be those of that round. A read from a round gives the changes of the rounds after it.
#[derive(Clone, Debug)]
pub struct WorkloadConnector {
    folder: Arc<PathBuf>,
    records: u64,
}

impl WorkloadConnector {
    /// Reads a folder of so many records.
    pub fn new(folder: impl Into<PathBuf>, records: u64) -> Self {
        Self { folder: Arc::new(folder.into()), records }
    }

    fn rounds(&self) -> Result<Vec<u64>> {
        let folder = self.folder.join("changes");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut rounds = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            rounds.extend(entry?.file_name().to_string_lossy().parse::<u64>().ok());
        }
        rounds.sort_unstable();
        Ok(rounds)
    }

    /// The files to read for a collection, and the round up to which they go.
    fn files(&self, collection: &CollectionName, from: Option<u64>) -> Result<(Vec<PathBuf>, u64)> {
        let rounds = self.rounds()?;
        let newest = rounds.last().copied().unwrap_or(0);
        let mut files = Vec::new();
        match from {
            None => {
                let prefix = format!("{collection}-");
                for entry in std::fs::read_dir(self.folder.join("records"))? {
                    let entry = entry?;
                    if entry.file_name().to_string_lossy().starts_with(&prefix) {
                        files.push(entry.path());
                    }
                }
                files.sort();
            }
            Some(from) => {
                let later = rounds.iter().filter(|round| **round > from);
                files.extend(later.map(|round| self.folder.join(format!("changes/{round:05}/{collection}.jsonl"))));
            }
        }
        Ok((files, newest))
    }

    fn events(&self, request: &ReadRequest) -> Result<BoxStream<'static, Result<Event>>> {
        if !matches!(request.only, Only::All) || request.sweep {
            return Err(Error::new(ErrorKind::Unsupported, "the workload is read as a whole"));
        }
        let collection = request.feed.covers.first().cloned();
        let collection = collection.ok_or_else(|| Error::new(ErrorKind::Configuration, "a feed without collection"))?;
        let from = request.from.as_ref().map(|cursor| cursor.decode::<u64>(CURSOR_VERSION)).transpose()?;
        let (files, newest) = self.files(&collection, from)?;
        let scope = Scope::collection(collection.clone());
        let done = if from.is_none() { Done::full(scope) } else { Done::changes(scope) };
        let end = [Cursor::encode(CURSOR_VERSION, &newest).map(Event::Checkpoint), Ok(Event::Done(done))];
        let pages = stream::iter(files).map(pages).flatten();
        let records = pages.flat_map(move |page| {
            let events = match page {
                Ok(page) => records(&collection, &page),
                Err(error) => vec![Err(error)],
            };
            stream::iter(events)
        });
        Ok(records.chain(stream::iter(end)).boxed())
    }
}

/// The lines of a file, some at a time; every page ends with a whole line.
fn pages(path: PathBuf) -> BoxStream<'static, Result<Bytes>> {
    stream::try_unfold((None, path, Vec::new()), |(file, path, rest)| async move {
        let file = match file {
            Some(file) => file,
            None => File::open(&path)?,
        };
        let (file, mut page) = read_more(file, rest).await?;
        let Some(last) = memchr::memrchr(b'\n', &page) else { return Ok(None) };
        let rest = page.split_off(last + 1);
        Ok(Some((Bytes::from(page), (Some(file), path, rest))))
    })
    .boxed()
}

/// Reads until there is a page that begins with `rest`, or the file ends.
async fn read_more<R: Read + Send + 'static>(mut file: R, rest: Vec<u8>) -> Result<(R, Vec<u8>)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut page = Vec::with_capacity(PAGE.max(rest.len()));
        page.extend_from_slice(&rest);
        file.by_ref().take(PAGE.saturating_sub(rest.len()) as u64).read_to_end(&mut page)?;
        Ok((file, page))
    });
    read.await.map_err(|error| Error::new(ErrorKind::Unexpected, "a read ended early").with_source(error))?
}

fn records(collection: &CollectionName, page: &Bytes) -> Vec<Result<Event>> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', page);
    ends.map(|end| record(collection, page.slice(std::mem::replace(&mut start, end + 1)..end))).collect()
}

/// Finds the few members that make an envelope where the workload writes them: making records is no part of what is
/// measured, and parsing each a second time would be.
fn record(collection: &CollectionName, line: Bytes) -> Result<Event> {
    let json = Json::parse(line)?;
    let text = json.as_str();
    let id = between(text, &ID, b'"')?;
    let revision = between(text, &REVISION, b',')?;
    let attachments = between(text, &ATTACHMENTS, b']')?;
    let mut record = Record::new(Key::new(collection.clone(), RecordId::parse(id)?), json.clone());
    record = record.with_version(revision);
    for id in attachments.split(',').filter(|id| !id.is_empty()) {
        record = record.with_blob(BlobRef::new(BlobId::parse(id.trim_matches('"'))?, "attachment"));
    }
    Ok(Event::Put(Box::new(record)))
}

fn between<'a>(text: &'a str, before: &Finder<'_>, after: u8) -> Result<&'a str> {
    let found = before.find(text.as_bytes());
    let rest = found.and_then(|at| text.get(at + before.needle().len()..));
    let found = rest.and_then(|rest| rest.get(..memchr::memchr(after, rest.as_bytes())?));
    found.ok_or_else(|| Error::new(ErrorKind::InvalidData, "not a record of the workload"))
}

#[async_trait]
impl Connector for WorkloadConnector {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        (can.read, can.incremental, can.reports_deletions) = (true, true, true);
        (can.blobs, can.blob_ranges) = (true, true);
        can
    }

    async fn check(&self) -> Result<Account> {
        Ok(Account::new("workload", "workload"))
    }

    async fn snapshot(&self, _: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(self.clone()))
    }

    async fn sink(&self, _: SinkOptions) -> Result<Box<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "the workload is only read"))
    }
}

#[async_trait]
impl Snapshot for WorkloadConnector {
    async fn catalog(&self) -> Result<Catalog> {
        let collection = |name: &&'static str| Collection::new(CollectionName::from_static(name), Kind::Record);
        Ok(Catalog::new(COLLECTIONS.iter().map(|name| collection(name).with_blobs()).collect()))
    }

    async fn coverage(&self) -> Result<Coverage> {
        let count = self.records / COLLECTIONS.len() as u64;
        Ok(COLLECTIONS.iter().fold(Coverage::default(), |coverage, name| {
            let all = CollectionCoverage::new(Visibility::All).with_count(count, true);
            coverage.with(CollectionName::from_static(name), all)
        }))
    }

    fn feeds(&self) -> FeedStream {
        stream::iter(COLLECTIONS.iter().map(|name| Ok(Feed::slice(CollectionName::from_static(name))))).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.events(&request).unwrap_or_else(|error| stream::iter([Err(error)]).boxed())
    }

    async fn open(&self, _: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let gone = || Error::new(ErrorKind::NotFound, "no such attachment");
        let id = blob.id.as_ref().ok_or_else(gone)?;
        let mut file = File::open(self.folder.join(attachment_path(id.as_str())))?;
        let range = range.unwrap_or(0..u64::MAX);
        file.seek(SeekFrom::Start(range.start))?;
        let chunks = stream::try_unfold(file.take(range.end - range.start), |left| async move {
            let (left, chunk) = read_more(left, Vec::new()).await?;
            Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), left)))
        });
        Ok(chunks.boxed())
    }
}
