use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use saas_backup_core::{
    CollectionName, Deletion, DeletionReason, Done, Error, ErrorKind, Event, EventStream, Key, Only, Permit, Result,
    Scope, StreamKind,
};

use super::client::{Api, Body};
use super::page::{Page, Rest};
use super::position::{Position, text_of};
use crate::http::PageGuard;

/// Most records that one request names.
const RECORDS_AT_ONCE: usize = 500;

/// Reads one feed, page by page.
#[derive(Debug)]
pub(super) struct Reader {
    api: Api,
    /// What the feed speaks of.
    scope: Scope,
    /// The collections whose events are wanted.
    only: Only,
    next: Next,
    guard: PageGuard,
}

/// What to read next.
#[derive(Debug)]
enum Next {
    /// The position of the log now.
    Head,
    /// The first page of a collection.
    First(CollectionName),
    /// Another page.
    At(Position),
    /// Records by name.
    Records(Vec<Key>),
    /// Nothing.
    Ended,
}

/// The events of one page, and its share of the byte budget.
type Batch = (Vec<Event>, Option<Permit>);

impl Reader {
    /// The log without a cursor: its position, and nothing else.
    pub(super) fn head(api: Api, scope: Scope) -> Self {
        Self::new(api, scope, Next::Head)
    }

    /// A collection in full.
    pub(super) fn full(api: Api, collection: CollectionName) -> Self {
        Self::new(api, Scope::collection(collection.clone()), Next::First(collection))
    }

    /// What follows a position.
    pub(super) fn from(api: Api, scope: Scope, position: Position, only: Only) -> Self {
        Self { only, ..Self::new(api, scope, Next::At(position)) }
    }

    /// Records by name.
    pub(super) fn records(api: Api, scope: Scope, keys: Vec<Key>) -> Self {
        Self::new(api, scope, Next::Records(keys))
    }

    fn new(api: Api, scope: Scope, next: Next) -> Self {
        Self { api, scope, only: Only::All, next, guard: PageGuard::default() }
    }

    pub(super) fn into_events(self) -> EventStream {
        let pages = stream::try_unfold(self, |mut reader| async move {
            Ok::<_, Error>(reader.batch().await?.map(|batch| (batch, reader)))
        });
        let events = pages.map_ok(|(events, permit)| {
            stream::iter(events.into_iter().map(move |event| {
                // The page's memory is given back when its last event was taken.
                let _held = &permit;
                Ok(event)
            }))
        });
        events.try_flatten().boxed()
    }

    async fn batch(&mut self) -> Result<Option<Batch>> {
        match std::mem::replace(&mut self.next, Next::Ended) {
            Next::Head => self.read_head().await.map(Some),
            Next::First(collection) => {
                let body = self.api.snapshot(Some(collection.as_str()), None, self.api.page_lines).await?;
                self.snapshot_page(body, None).map(Some)
            }
            Next::At(Position::Snapshot { cursor, changes, generation }) => {
                let body = self.api.snapshot(None, Some(&cursor), self.api.page_lines).await?;
                self.snapshot_page(body, Some((cursor, changes, generation))).map(Some)
            }
            Next::At(Position::Changes { cursor, generation }) => {
                let body = self.api.changes(&cursor).await?;
                self.changes_page(body, cursor, generation).map(Some)
            }
            Next::Records(keys) => self.read_records(keys).await.map(Some),
            Next::Ended => Ok(None),
        }
    }

    async fn read_head(&mut self) -> Result<Batch> {
        let (body, permit) = self.api.snapshot(None, None, 1).await?;
        let page = self.open(body, StreamKind::Snapshot, None)?;
        let position = Position::Changes { cursor: changes_cursor(&page)?, generation: page.start.generation };
        let events = vec![Event::Checkpoint(position.to_cursor()?), Event::Done(Done::changes(self.scope.clone()))];
        Ok((events, permit))
    }

    fn snapshot_page(&mut self, body: Body, at: Option<(String, String, String)>) -> Result<Batch> {
        let (body, permit) = body;
        let generation = at.as_ref().map(|(_, _, generation)| generation.as_str());
        let mut page = self.open(body, StreamKind::Snapshot, generation)?;
        self.advance(at.as_ref().map_or("", |(cursor, _, _)| cursor), &page)?;
        let changes = match at {
            Some((_, changes, _)) => changes,
            None => changes_cursor(&page)?,
        };
        let generation = std::mem::take(&mut page.start.generation);
        let mut events = std::mem::take(&mut page.events);
        if let Some(stray) = events.iter().find_map(|event| outside(event, &self.scope)) {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the service sent a record of a collection that was not asked for",
            )
            .with_context("collection", stray));
        }
        let Some(cursor) = goes_on(page)? else {
            let end = Position::Changes { cursor: changes, generation };
            events.push(Event::Checkpoint(end.to_cursor()?));
            events.push(Event::Done(Done::full(self.scope.clone())));
            return Ok((events, permit));
        };
        let position = Position::Snapshot { cursor, changes, generation };
        events.push(Event::Checkpoint(position.to_cursor()?));
        self.next = Next::At(position);
        Ok((events, permit))
    }

    fn changes_page(&mut self, body: Body, cursor: String, generation: String) -> Result<Batch> {
        let (body, permit) = body;
        let mut page = self.open(body, StreamKind::Changes, Some(&generation))?;
        self.advance(&cursor, &page)?;
        let mut events = std::mem::take(&mut page.events);
        events.retain(|event| self.is_wanted(event));
        let last = match &page.rest {
            Rest::Whole(end) if !end.more => Some(end.cursor.as_ref().map_or(Ok(cursor), text_of)?),
            _ => None,
        };
        if let Some(cursor) = last {
            events.push(Event::Checkpoint(Position::Changes { cursor, generation }.to_cursor()?));
            events.push(Event::Done(Done::changes(self.scope.clone())));
            return Ok((events, permit));
        }
        let cursor = goes_on(page)?.ok_or_else(no_cursor)?;
        let position = Position::Changes { cursor, generation };
        events.push(Event::Checkpoint(position.to_cursor()?));
        self.next = Next::At(position);
        Ok((events, permit))
    }

    async fn read_records(&mut self, mut keys: Vec<Key>) -> Result<Batch> {
        let rest = keys.split_off(keys.len().min(RECORDS_AT_ONCE));
        if keys.is_empty() {
            return Ok((vec![Event::Done(Done::changes(self.scope.clone()))], None));
        }
        let (body, permit) = self.api.records(&keys).await?;
        let page = self.open(body, StreamKind::Records, None)?;
        if let Rest::Cut(error) = page.rest {
            return Err(error);
        }
        let mut missing: BTreeSet<Key> = keys.into_iter().collect();
        let mut events = page.events;
        events.retain(|event| event.key().is_some_and(|key| missing.remove(&key)));
        // The answer is whole: what it leaves out does not exist, or not for this token.
        let gone = |key| Event::Delete(Deletion::new(key, DeletionReason::Unknown));
        events.extend(missing.into_iter().map(gone));
        self.next = Next::Records(rest);
        Ok((events, permit))
    }

    fn open(&self, body: bytes::Bytes, kind: StreamKind, generation: Option<&str>) -> Result<Page> {
        let page = Page::read(body, kind)?;
        if page.start.account != self.api.account_id() {
            return Err(Error::new(ErrorKind::InvalidData, "the service answered for another account"));
        }
        if generation.is_some_and(|generation| generation != page.start.generation) {
            return Err(Error::new(ErrorKind::CursorExpired, "the service rebuilt the account"));
        }
        Ok(page)
    }

    fn advance(&mut self, cursor: &str, page: &Page) -> Result<()> {
        self.guard.advance(cursor, &page.mark())
    }

    /// Whether an event is of what was asked for. A collection that is not in the catalog yet is read in full once it is.
    fn is_wanted(&self, event: &Event) -> bool {
        outside(event, &self.scope).is_none()
            && match (event.key(), event) {
                (Some(key), _) => self.only.wants(&key.collection),
                (None, Event::Gap(gap)) => self.only.wants(&gap.collection),
                _ => true,
            }
    }
}

/// Where to go on: the next page, or the last checkpoint of one that was cut; `None` at the end.
pub(super) fn goes_on<T>(page: Page<T>) -> Result<Option<String>> {
    match (page.rest, page.checkpoint) {
        (Rest::Whole(end), _) if !end.more => Ok(None),
        (Rest::Whole(end), _) => text_of(end.cursor.as_ref().ok_or_else(no_cursor)?).map(Some),
        (Rest::Cut(error), Some(checkpoint)) => {
            tracing::debug!(%error, "an answer was cut: going on at its last checkpoint");
            text_of(&checkpoint).map(Some)
        }
        (Rest::Cut(error), None) => Err(error),
    }
}

fn changes_cursor(page: &Page) -> Result<String> {
    let missing = || Error::new(ErrorKind::InvalidData, "the snapshot does not say where its changes begin");
    text_of(page.start.changes_cursor.as_ref().ok_or_else(missing)?)
}

/// The collection of an event, if the feed does not speak of it.
fn outside(event: &Event, scope: &Scope) -> Option<CollectionName> {
    let collection = match event {
        Event::Gap(gap) => gap.collection.clone(),
        event => event.key()?.collection,
    };
    (!scope.collections.contains(&collection)).then_some(collection)
}

fn no_cursor() -> Error {
    Error::new(ErrorKind::InvalidData, "the service says that there is more, and not where")
}
