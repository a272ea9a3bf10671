//! What one read gave, from its first event to its end.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;

use crate::testkit::Contents;
use crate::{Cursor, Done, Error, Event, EventStream, Extent, Key, Result};

/// All events of one read.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) events: Vec<Event>,
    pub(super) error: Option<Error>,
    /// Something came after the error.
    pub(super) goes_on: bool,
}

impl Trace {
    pub(super) async fn of(mut stream: EventStream) -> Self {
        let mut trace = Self::default();
        while let Some(item) = stream.next().await {
            match item {
                Ok(event) => trace.events.push(event),
                Err(error) => {
                    trace.error = Some(error);
                    trace.goes_on = stream.next().await.is_some();
                    break;
                }
            }
        }
        trace
    }

    /// The events of a read that came to its end.
    pub(super) async fn finished(stream: EventStream) -> Result<Self> {
        let mut trace = Self::of(stream).await;
        match trace.error.take() {
            Some(error) => Err(error),
            None => Ok(trace),
        }
    }

    pub(super) fn done(&self) -> Option<&Done> {
        match self.events.last() {
            Some(Event::Done(done)) => Some(done),
            _ => None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.done().is_some_and(|done| done.extent == Extent::Full)
    }

    /// The places of checkpoints, with their cursors.
    pub(super) fn checkpoints(&self) -> Vec<(usize, &Cursor)> {
        let found = self.events.iter().enumerate();
        found
            .filter_map(|(at, event)| if let Event::Checkpoint(cursor) = event { Some((at, cursor)) } else { None })
            .collect()
    }

    pub(super) fn last_cursor(&self) -> Option<&Cursor> {
        self.checkpoints().last().map(|(_, cursor)| *cursor)
    }

    pub(super) fn contents(&self) -> Contents {
        contents(&self.events)
    }

    /// The keys that were put or seen.
    pub(super) fn live_keys(&self) -> BTreeSet<Key> {
        let live = self.events.iter().filter(|event| matches!(event, Event::Put(_) | Event::Seen(_)));
        live.filter_map(Event::key).collect()
    }

    /// The keys of gaps that name a record.
    pub(super) fn gaps(&self) -> BTreeSet<Key> {
        self.events.iter().filter(|event| matches!(event, Event::Gap(_))).filter_map(Event::key).collect()
    }
}

pub(super) fn contents(events: &[Event]) -> Contents {
    let mut contents = Contents::default();
    events.iter().cloned().for_each(|event| contents.apply(event));
    contents
}

/// At most `limit` of the items, spread evenly, the last one included.
pub(super) fn spread<T: Copy>(items: &[T], limit: usize) -> Vec<T> {
    let step = items.len().div_ceil(limit).max(1);
    let mut spread: Vec<T> = items.iter().rev().step_by(step).copied().collect();
    spread.reverse();
    spread
}

/// Some keys of each collection.
pub(super) fn some_keys(contents: &Contents, each: usize) -> Vec<Key> {
    let mut by_collection: BTreeMap<&str, Vec<Key>> = BTreeMap::new();
    for key in contents.records.keys() {
        let keys = by_collection.entry(key.collection.as_str()).or_default();
        if keys.len() < each {
            keys.push(key.clone());
        }
    }
    by_collection.into_values().flatten().collect()
}
