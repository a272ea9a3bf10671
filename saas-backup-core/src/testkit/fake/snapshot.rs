use std::collections::VecDeque;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};

use crate::{
    BlobRef, Budget, ByteStream, Catalog, Coverage, Deletion, DeletionReason, Done, Error, ErrorKind, Event,
    EventStream, Feed, FeedStream, Key, Only, Permit, ReadRequest, Result, Seen, Snapshot,
};

use super::page::through_page;
use super::position::Position;
use super::{FakeProvider, Request, Rule};

/// Bytes of one chunk of a blob.
const CHUNK: usize = 1024;

/// The fake provider's data as they are now.
#[derive(Debug)]
pub(super) struct FakeSnapshot {
    pub(super) provider: FakeProvider,
    pub(super) budget: Budget,
}

#[async_trait]
impl Snapshot for FakeSnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        self.provider.answer(&self.budget, Request::Catalog).await?;
        Ok(FakeProvider::catalog())
    }

    async fn coverage(&self) -> Result<Coverage> {
        self.provider.answer(&self.budget, Request::Coverage).await?;
        Ok(self.provider.coverage())
    }

    fn feeds(&self) -> FeedStream {
        stream::iter(self.provider.feeds().into_iter().map(Ok)).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let reader = Reader {
            provider: self.provider.clone(),
            budget: self.budget.clone(),
            request,
            queue: VecDeque::new(),
            held: None,
            phase: Phase::Start,
        };
        stream::try_unfold(reader, Reader::next).boxed()
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let id = blob.id.clone().ok_or_else(|| Error::new(ErrorKind::NotFound, "the blob has no id"))?;
        let request = Request::Blob { owner: owner.clone(), id: id.clone(), range: range.clone() };
        self.provider.answer(&self.budget, request).await?;
        let mut world = self.provider.world();
        if let Some(error) = world.faults.blob_error(&id) {
            return Err(error);
        }
        let missing = || Error::new(ErrorKind::NotFound, "there is no such blob").with_context("blob", &id);
        let bytes = world.blobs.get(&id).cloned().ok_or_else(missing)?;
        let end = range.as_ref().map_or(bytes.len(), |range| bytes.len().min(range.end as usize));
        let start = range.map_or(0, |range| end.min(range.start as usize));
        let cut = world.faults.cut_blob.take().map(|cut| end.min(start + cut as usize));
        Ok(chunks(&bytes.slice(start..cut.unwrap_or(end)), cut.is_some()))
    }
}

fn chunks(bytes: &Bytes, cut: bool) -> ByteStream {
    let chunks = (0..bytes.len()).step_by(CHUNK).map(|at| Ok(bytes.slice(at..bytes.len().min(at + CHUNK))));
    let mut chunks: Vec<Result<Bytes>> = chunks.collect();
    if cut {
        chunks.push(Err(Error::new(ErrorKind::Unavailable, "the connection broke")));
    }
    stream::iter(chunks).boxed()
}

struct Reader {
    provider: FakeProvider,
    budget: Budget,
    request: ReadRequest,
    queue: VecDeque<Event>,
    /// The page's part of the budget, until its last event was taken.
    held: Option<Permit>,
    phase: Phase,
}

enum Phase {
    Start,
    Pages { position: Position, full: bool },
    Sweep { after: Option<Key> },
    End,
}

impl Reader {
    async fn next(mut self) -> Result<Option<(Event, Self)>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                if let Some(cut) = self.provider.world().faults.cuts_here() {
                    let broke = || Error::new(ErrorKind::Unavailable, "the connection broke");
                    return if cut.told { Err(broke()) } else { Ok(None) };
                }
                if self.queue.is_empty() {
                    self.held = None;
                }
                return Ok(Some((event, self)));
            }
            match std::mem::replace(&mut self.phase, Phase::End) {
                Phase::Start => self.start().await?,
                Phase::Pages { position, full } => self.page(&position, full).await?,
                Phase::Sweep { after } => self.sweep(after).await?,
                Phase::End => return Ok(None),
            }
        }
    }

    async fn start(&mut self) -> Result<()> {
        let feed = self.request.feed.clone();
        if let Only::Records(keys) = &self.request.only {
            return self.records(keys.clone()).await;
        }
        match &self.request.from {
            Some(cursor) => {
                let position = Position::from_cursor(cursor)?;
                let full = position.is_full_read();
                self.phase = Phase::Pages { position, full };
            }
            None if feed.is_log() => {
                self.provider.answer(&self.budget, Request::position(&feed)).await?;
                let position = self.provider.world().start(&feed);
                self.queue.push_back(Event::Checkpoint(position.to_cursor()?));
                if self.request.sweep {
                    self.phase = Phase::Sweep { after: None };
                } else {
                    self.queue.push_back(Event::Done(Done::changes(feed.scope())));
                }
            }
            None => {
                let position = self.provider.world().start(&feed);
                self.phase = Phase::Pages { position, full: true };
            }
        }
        Ok(())
    }

    async fn page(&mut self, position: &Position, full: bool) -> Result<()> {
        let feed = self.request.feed.clone();
        let full_page = matches!(position, Position::Full { .. });
        self.provider.answer(&self.budget, Request::page(&feed, full_page)).await?;
        let (page, told) = {
            let world = self.provider.world();
            (world.page(&feed, position)?, !world.broken.contains(&Rule::FullReadsSaySo))
        };
        let wanted = page.events.into_iter().filter(|event| self.wants(event)).collect();
        self.take(wanted).await?;
        self.queue.push_back(Event::Checkpoint(page.next.to_cursor()?));
        self.provider.page_was_read();
        if !page.last {
            self.phase = Phase::Pages { position: page.next, full };
        } else if self.request.sweep && !full {
            self.phase = Phase::Sweep { after: None };
        } else {
            let scope = feed.scope();
            self.queue.push_back(Event::Done(if full && told { Done::full(scope) } else { Done::changes(scope) }));
        }
        Ok(())
    }

    async fn sweep(&mut self, after: Option<Key>) -> Result<()> {
        let feed = self.request.feed.clone();
        self.provider.answer(&self.budget, Request::Listing { feed: feed.id.clone() }).await?;
        let (records, last) = self.provider.world().listing(&feed, after.as_ref());
        let after = records.last().map(|record| record.key.clone());
        let seen = records.into_iter().map(|record| {
            let version = record.version.unwrap_or_default();
            Event::Seen(Seen::new(record.key).with_version(version))
        });
        let wanted = seen.filter(|event| self.wants(event)).collect();
        self.take(wanted).await?;
        self.provider.page_was_read();
        if last {
            self.queue.push_back(Event::Done(Done::full(feed.scope())));
        } else {
            self.phase = Phase::Sweep { after };
        }
        Ok(())
    }

    async fn records(&mut self, keys: Vec<Key>) -> Result<()> {
        let feed = self.request.feed.clone();
        self.provider.answer(&self.budget, Request::Records { feed: feed.id.clone(), keys: keys.clone() }).await?;
        let events = {
            let world = self.provider.world();
            let state = |key: Key| match world.visible(&key) {
                Some(record) => world.state_of(record),
                None => Event::Delete(Deletion::new(key, DeletionReason::Unknown)),
            };
            keys.into_iter().map(state).collect()
        };
        self.take(events).await?;
        self.queue.push_back(Event::Done(Done::changes(feed.scope())));
        Ok(())
    }

    /// Sends the events through a page, and holds its part of the budget until they are taken.
    ///
    /// The request's own permit is given back before: a reader that waits for memory must not keep the others from
    /// asking, or nobody ever frees any.
    async fn take(&mut self, mut events: Vec<Event>) -> Result<()> {
        let pretty = self.provider.world().pretty;
        let length = through_page(&mut events, pretty)?;
        self.held = Some(self.budget.bytes(length).await?);
        self.queue.extend(events);
        Ok(())
    }

    fn wants(&self, event: &Event) -> bool {
        let collection = match event {
            Event::Reset(reset) => return reset.collections.iter().any(|name| self.request.only.wants(name)),
            Event::Gap(gap) => &gap.collection,
            Event::Put(record) => &record.key.collection,
            Event::Delete(deletion) => &deletion.key.collection,
            Event::Seen(seen) => &seen.key.collection,
            _ => return true,
        };
        self.request.only.wants(collection)
    }
}

impl Request {
    fn page(feed: &Feed, full: bool) -> Self {
        Self::Page { feed: feed.id.clone(), full }
    }

    fn position(feed: &Feed) -> Self {
        Self::Position { feed: feed.id.clone() }
    }
}
