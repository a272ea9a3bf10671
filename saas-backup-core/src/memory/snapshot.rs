use std::ops::{Bound, Range};

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};

use super::store::{Content, MemoryStore, at};
use crate::{
    BlobRef, Budget, ByteStream, Catalog, CollectionCoverage, CollectionName, Coverage, Cursor, Deletion,
    DeletionReason, Done, Error, ErrorKind, Event, EventStream, Feed, FeedKind, FeedStream, Key, Only, ReadRequest,
    RecordId, Result, Seen, Snapshot, Visibility,
};

const CURSOR_VERSION: u32 = 1;
const PAGE: usize = 1000;

/// Where a read of one collection stopped.
#[derive(Clone, Serialize, Deserialize)]
struct Position {
    /// The changes up to this sequence number are known.
    at: u64,
    /// The last id of a full read that is under way.
    after: Option<RecordId>,
}

#[derive(Debug)]
pub(super) struct MemorySnapshot {
    store: MemoryStore,
    sequence: u64,
    budget: Budget,
}

impl MemorySnapshot {
    pub(super) fn new(store: MemoryStore, sequence: u64, budget: Budget) -> Self {
        Self { store, sequence, budget }
    }
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(self.store.lock().catalog())
    }

    async fn coverage(&self) -> Result<Coverage> {
        let inner = self.store.lock();
        let mut coverage = Coverage::default();
        for name in inner.catalog().names() {
            let in_collection = inner.versions.iter().filter(|(key, _)| &key.collection == name);
            let live = in_collection
                .filter(|(_, versions)| {
                    at(versions, self.sequence).is_some_and(|version| matches!(version.content, Content::Put(_)))
                })
                .count();
            let all = CollectionCoverage::new(Visibility::All).with_count(live as u64, true);
            coverage = coverage.with(name.clone(), all);
        }
        Ok(coverage)
    }

    fn feeds(&self) -> FeedStream {
        let names: Vec<CollectionName> = self.store.lock().catalog().names().cloned().collect();
        stream::iter(names.into_iter().map(|name| Ok(Feed::slice(name)))).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (store, sequence, budget) = (self.store.clone(), self.sequence, self.budget.clone());
        let FeedKind::Slice { collection, .. } = request.feed.kind.clone() else {
            let error = Error::new(ErrorKind::Unsupported, "a memory store has no logs");
            return stream::iter([Err(error)]).boxed();
        };
        let reader = Reader { store, sequence, budget, collection: collection.clone() };
        match request.only {
            only if !only.wants(&collection) && !matches!(only, Only::Records(_)) => {
                stream::iter([Ok(Event::Done(Done::changes(request.feed.scope())))]).boxed()
            }
            Only::Records(keys) => stream::iter(reader.records(keys).into_iter().map(Ok)).boxed(),
            _ => match request.from.as_ref().map(|cursor| cursor.decode::<Position>(CURSOR_VERSION)).transpose() {
                Err(error) => stream::iter([Err(error)]).boxed(),
                Ok(Some(Position { at: since, after: None })) => {
                    stream::iter(reader.changes(since, request.sweep)).boxed()
                }
                Ok(Some(Position { at, after })) => reader.full(at, after),
                Ok(None) => {
                    let sequence = reader.sequence;
                    reader.full(sequence, None)
                }
            },
        }
    }

    async fn open(&self, _: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let _request = self.budget.request().await?;
        let gone = || Error::new(ErrorKind::NotFound, "the store does not hold this blob");
        let bytes = self.store.blob(blob.id.as_ref().ok_or_else(gone)?).ok_or_else(gone)?;
        let range = range.unwrap_or(0..bytes.len() as u64);
        let (start, end) = (range.start as usize, (range.end as usize).min(bytes.len()));
        if start > end {
            return Err(Error::new(ErrorKind::Configuration, "the range begins after the end of the blob"));
        }
        Ok(stream::iter([Ok(bytes.slice(start..end))]).boxed())
    }
}

struct Reader {
    store: MemoryStore,
    sequence: u64,
    budget: Budget,
    collection: CollectionName,
}

impl Reader {
    /// Everything live in pages by id; each page is a step that may be resumed.
    fn full(self, position: u64, after: Option<RecordId>) -> EventStream {
        let scope = crate::Scope::collection(self.collection.clone());
        stream::unfold(Some((self, after)), move |state| {
            let scope = scope.clone();
            async move {
                let (reader, after) = state?;
                let _request = reader.budget.request().await.ok()?;
                let (mut events, last) = reader.page(after.as_ref());
                let more = last.is_some();
                match Cursor::encode(CURSOR_VERSION, &Position { at: position, after: last.clone() }) {
                    Ok(cursor) => events.push(Ok(Event::Checkpoint(cursor))),
                    Err(error) => events.push(Err(error)),
                }
                if !more {
                    events.push(Ok(Event::Done(Done::full(scope))));
                }
                Some((stream::iter(events), more.then_some((reader, last))))
            }
        })
        .flatten()
        .boxed()
    }

    fn page(&self, after: Option<&RecordId>) -> (Vec<Result<Event>>, Option<RecordId>) {
        let inner = self.store.lock();
        let (mut events, mut last, mut looked_at) = (Vec::new(), None, 0);
        let lower = match after {
            Some(id) => Bound::Excluded(Key::new(self.collection.clone(), id.clone())),
            // No id sorts before the shortest one.
            None => Bound::Included(Key::new(self.collection.clone(), RecordId::from_static(" "))),
        };
        for (key, versions) in inner.versions.range((lower, Bound::Unbounded)) {
            if key.collection != self.collection {
                break;
            }
            if looked_at == PAGE {
                return (events, last);
            }
            looked_at += 1;
            last = Some(key.id.clone());
            if let Some(version) = at(versions, self.sequence)
                && let Content::Put(record) = &version.content
            {
                events.push(Ok(Event::Put(record.clone())));
            }
        }
        (events, None)
    }

    /// What changed after a sequence number, by id; deletions too.
    fn changes(self, since: u64, sweep: bool) -> Vec<Result<Event>> {
        let scope = crate::Scope::collection(self.collection.clone());
        let inner = self.store.lock();
        let mut events = Vec::new();
        for (key, versions) in inner.versions.iter().filter(|(key, _)| key.collection == self.collection) {
            match at(versions, self.sequence) {
                Some(version) if version.sequence > since => events.push(Ok(version.content.event())),
                Some(version) if sweep && matches!(version.content, Content::Put(_)) => {
                    events.push(Ok(Event::Seen(Seen::new(key.clone()))));
                }
                _ => {}
            }
        }
        let position = Position { at: self.sequence.max(since), after: None };
        events.push(Cursor::encode(CURSOR_VERSION, &position).map(Event::Checkpoint));
        events.push(Ok(Event::Done(if sweep { Done::full(scope) } else { Done::changes(scope) })));
        events
    }

    fn records(&self, keys: Vec<Key>) -> Vec<Event> {
        let inner = self.store.lock();
        let mut events = Vec::new();
        for key in keys.into_iter().filter(|key| key.collection == self.collection) {
            let version = inner.versions.get(&key).and_then(|versions| at(versions, self.sequence));
            events.push(match version {
                Some(version) => version.content.event(),
                None => Event::Delete(Deletion::new(key, DeletionReason::Unknown)),
            });
        }
        events.push(Event::Done(Done::changes(crate::Scope::collection(self.collection.clone()))));
        events
    }
}

impl Content {
    fn event(&self) -> Event {
        match self {
            Self::Put(record) => Event::Put(record.clone()),
            Self::Deleted(deletion) => Event::Delete(deletion.clone()),
        }
    }
}
