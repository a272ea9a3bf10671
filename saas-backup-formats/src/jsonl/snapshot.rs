use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use saas_backup_core::{
    BlobRef, Budget, ByteStream, Catalog, Collection, CollectionName, Coverage, Cursor, Deletion, DeletionReason,
    Digest, Done, Error, ErrorKind, Event, EventStream, Feed, FeedKind, FeedStream, Key, Line, LineCodec, Only, Permit,
    ReadRequest, RecordId, Result, Scope, Snapshot, async_trait,
};
use sha2::{Digest as _, Sha256};

use super::assembly::{GAPS, blob_path};
use super::lines::Lines;
use super::open::Archive;
use crate::folder::digest_of;
use crate::session::blocking;

const CURSOR_VERSION: u32 = 1;
/// Bytes of lines that are read at a time.
const BATCH_BYTES: usize = 256 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads an archive.
#[derive(Debug)]
pub(crate) struct JsonlSnapshot {
    archive: Arc<Archive>,
    budget: Budget,
    /// Blobs whose digest was compared: a range of them needs no second look.
    verified: Mutex<BTreeSet<Digest>>,
}

impl JsonlSnapshot {
    pub(super) fn new(archive: Archive, budget: Budget) -> Self {
        Self { archive: Arc::new(archive), budget, verified: Mutex::new(BTreeSet::new()) }
    }
}

#[async_trait]
impl Snapshot for JsonlSnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        let mut catalog = self.archive.manifest.catalog.clone();
        let all = self.archive.manifest.collections.keys();
        let unnamed: Vec<_> = all.filter(|name| catalog.get(name).is_none()).cloned().collect();
        catalog
            .collections
            .extend(unnamed.into_iter().map(|name| Collection::new(name, saas_backup_core::Kind::Other)));
        Ok(catalog)
    }

    async fn coverage(&self) -> Result<Coverage> {
        Ok(self.archive.manifest.coverage.clone())
    }

    fn feeds(&self) -> FeedStream {
        let names: Vec<CollectionName> = self.archive.manifest.collections.keys().cloned().collect();
        stream::iter(names.into_iter().map(|name| Ok(Feed::slice(name)))).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        match Reading::begin(Arc::clone(&self.archive), self.budget.clone(), request) {
            Ok(reading) => stream::try_unfold(reading, Reading::next).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn open(&self, _owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let gone = || Error::new(ErrorKind::NotFound, "the archive does not hold this blob");
        let digest = blob.digest.ok_or_else(gone)?;
        let _request = self.budget.request().await?;
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest);
        let archive = Arc::clone(&self.archive);
        let whole = range.is_none();
        let (file, left) = blocking(move || {
            let path = archive.path(&blob_path(&digest))?;
            let mut file = File::open(&path).map_err(|error| gone().with_source(error))?;
            let size = file.metadata()?.len();
            let Some(range) = range else { return Ok((file, size)) };
            if range.start > size {
                return Err(Error::new(ErrorKind::Configuration, "the range begins after the end of the blob"));
            }
            // A part alone cannot be compared with the digest of the whole.
            if !verified && digest_of(&path)? != digest {
                return Err(damaged());
            }
            file.seek(SeekFrom::Start(range.start))?;
            Ok((file, range.end.min(size).saturating_sub(range.start)))
        })
        .await?;
        if !whole {
            self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        }
        let chunks = Chunks { file, left, check: whole.then(|| (Sha256::new(), digest)) };
        Ok(stream::try_unfold(chunks, Chunks::next).boxed())
    }
}

/// The rest of a blob.
struct Chunks {
    file: File,
    left: u64,
    check: Option<(Sha256, Digest)>,
}

impl Chunks {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        blocking(move || {
            let want = self.left.min(CHUNK_BYTES as u64);
            let mut chunk = Vec::with_capacity(want as usize);
            self.file.by_ref().take(want).read_to_end(&mut chunk)?;
            self.left -= chunk.len() as u64;
            if let Some((running, _)) = &mut self.check {
                running.update(&chunk);
            }
            if !chunk.is_empty() {
                return Ok(Some((Bytes::from(chunk), self)));
            }
            let intact =
                self.check.is_none_or(|(running, digest)| Digest::from_bytes(running.finalize().into()) == digest);
            if intact && self.left == 0 { Ok(None) } else { Err(damaged()) }
        })
        .await
    }
}

/// One read of one collection: what was read of the file and not handed out yet.
struct Reading {
    source: Option<Source>,
    budget: Budget,
    queue: VecDeque<Event>,
    permit: Option<Permit>,
}

/// The file of the collection and where the read of it stands.
struct Source {
    archive: Arc<Archive>,
    collection: CollectionName,
    codec: LineCodec,
    lines: Option<Lines>,
    last: Option<RecordId>,
    count: u64,
    /// Lines before this offset are read for the digest alone.
    from: u64,
    /// The records that are wanted and were not found yet; `None` for all.
    wanted: Option<BTreeSet<RecordId>>,
    extent: Done,
}

impl Reading {
    fn begin(archive: Arc<Archive>, budget: Budget, request: ReadRequest) -> Result<Self> {
        let FeedKind::Slice { collection, partition: None } = request.feed.kind else {
            return Err(Error::new(ErrorKind::NotFound, "an archive has one feed for each collection"));
        };
        archive.file_of(&collection)?;
        let scope = Scope::collection(collection.clone());
        let (wanted, unwanted) = match request.only {
            Only::Records(keys) => {
                let ids = keys.into_iter().filter(|key| key.collection == collection).map(|key| key.id);
                (Some(ids.collect::<BTreeSet<_>>()), false)
            }
            only => (None, !only.wants(&collection)),
        };
        let position = match &request.from {
            Some(cursor) if wanted.is_none() && !request.sweep => archive.position(cursor)?,
            _ => Position::Offset(0),
        };
        let mut queue = VecDeque::new();
        let mut source = Source {
            codec: LineCodec::stored(),
            lines: None,
            last: None,
            count: 0,
            from: 0,
            extent: if wanted.is_some() { Done::changes(scope.clone()) } else { Done::full(scope.clone()) },
            wanted,
            archive,
            collection,
        };
        let source = match position {
            _ if unwanted => {
                queue.push_back(Event::Done(Done::changes(scope)));
                None
            }
            Position::End => {
                queue.push_back(Event::Checkpoint(source.archive.cursor(&Position::End)?));
                queue.push_back(Event::Done(Done::changes(scope)));
                None
            }
            Position::Offset(offset) => {
                source.from = offset;
                Some(source)
            }
        };
        Ok(Self { source, budget, queue, permit: None })
    }

    async fn next(mut self) -> Result<Option<(Event, Self)>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                if self.queue.is_empty() {
                    self.permit = None;
                }
                return Ok(Some((event, self)));
            }
            let Some(mut source) = self.source.take() else { return Ok(None) };
            self.permit = Some(self.budget.bytes(BATCH_BYTES).await?);
            let (source, queue) = blocking(move || {
                let mut queue = VecDeque::new();
                let more = source.fill(&mut queue)?;
                Ok((more.then_some(source), queue))
            })
            .await?;
            (self.source, self.queue) = (source, queue);
        }
    }
}

impl Source {
    /// Reads some lines; `false` after the last one.
    fn fill(&mut self, queue: &mut VecDeque<Event>) -> Result<bool> {
        if self.lines.is_none() {
            let (entry, digest) = self.archive.file_of(&self.collection)?;
            self.lines = Some(Lines::open(&self.archive.path(&entry.file)?, digest, self.codec)?);
        }
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(lines) = &mut self.lines else { break };
            let begins = lines.offset;
            let Some(text) = lines.next()? else {
                self.end(queue)?;
                return Ok(false);
            };
            bytes += text.len();
            self.count += 1;
            if begins < self.from {
                continue;
            }
            let event = self.record(&text)?;
            let wanted = self.wanted.as_mut();
            if wanted.is_none_or(|wanted| event.key().is_some_and(|key| wanted.remove(&key.id))) {
                queue.push_back(event);
            }
        }
        if let (None, Some(lines)) = (&self.wanted, &self.lines)
            && lines.offset > self.from
        {
            queue.push_back(Event::Checkpoint(self.archive.cursor(&Position::Offset(lines.offset))?));
        }
        Ok(true)
    }

    fn record(&mut self, text: &Bytes) -> Result<Event> {
        let malformed = |what| {
            Err(Error::new(ErrorKind::InvalidData, what)
                .with_context("collection", &self.collection)
                .with_context("line", self.count))
        };
        let record = match self.codec.decode(text) {
            Ok(Line::Put(record)) => record,
            Ok(_) => return malformed("a line of the archive is not a record"),
            Err(error) => return Err(error.with_context("line", self.count)),
        };
        if record.key.collection != self.collection {
            return malformed("a record stands in the file of another collection");
        }
        if self.last.as_ref().is_some_and(|last| *last >= record.key.id) {
            return malformed("the records are not sorted by id, or one stands twice");
        }
        self.last = Some(record.key.id.clone());
        Ok(Event::Put(record))
    }

    fn end(&mut self, queue: &mut VecDeque<Event>) -> Result<()> {
        let (entry, _) = self.archive.file_of(&self.collection)?;
        if entry.records != self.count {
            return Err(Error::new(
                ErrorKind::Integrity,
                "the file has another number of records than the manifest says",
            )
            .with_context("collection", &self.collection));
        }
        match &self.wanted {
            None => {
                self.gaps(queue)?;
                queue.push_back(Event::Checkpoint(self.archive.cursor(&Position::End)?));
            }
            Some(missing) => queue.extend(missing.iter().map(|id| {
                let key = Key::new(self.collection.clone(), id.clone());
                Event::Delete(Deletion::new(key, DeletionReason::Unknown))
            })),
        }
        queue.push_back(Event::Done(self.extent.clone()));
        Ok(())
    }

    /// What the archive knows to be missing of the collection: a copy of it is no more complete than it is.
    fn gaps(&self, queue: &mut VecDeque<Event>) -> Result<()> {
        if self.archive.manifest.gaps == 0 {
            return Ok(());
        }
        let mut lines = Lines::open(&self.archive.path(GAPS)?, self.archive.digest_of(GAPS)?, self.codec)?;
        while let Some(line) = lines.next()? {
            match self.codec.decode(&line)? {
                Line::Gap(gap) if gap.collection == self.collection => queue.push_back(Event::Gap(gap)),
                Line::Gap(_) => {}
                _ => return Err(Error::new(ErrorKind::InvalidData, "a line of `gaps.jsonl` is not a gap")),
            }
        }
        Ok(())
    }
}

/// Where a read stands.
enum Position {
    /// Before the line at this offset.
    Offset(u64),
    /// Behind everything.
    End,
}

impl Archive {
    fn cursor(&self, position: &Position) -> Result<Cursor> {
        let offset = match position {
            Position::Offset(offset) => Some(*offset),
            Position::End => None,
        };
        Cursor::encode(CURSOR_VERSION, &(self.identity, offset))
    }

    /// Reads a cursor; one of another archive has expired.
    fn position(&self, cursor: &Cursor) -> Result<Position> {
        let (identity, offset): (Digest, Option<u64>) = cursor.decode(CURSOR_VERSION)?;
        if identity != self.identity {
            return Err(Error::new(ErrorKind::CursorExpired, "the cursor is of another archive"));
        }
        Ok(offset.map_or(Position::End, Position::Offset))
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "a blob of the archive is not as it was written")
}
