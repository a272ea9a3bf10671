//! What the fake provider holds, and the order in which it became visible.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::DateTime;

use crate::{
    BlobId, CollectionName, Deletion, DeletionReason, Error, ErrorKind, Event, Feed, FeedKind, Gap, Key, PartitionId,
    Record, Reset, ResetReason, Result,
};

use super::Rule;
use super::faults::Faults;
use super::position::Position;

/// One change that a transaction makes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Box<Record>),
    Delete(Key),
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) record: Record,
    pub(super) hidden: bool,
}

/// One line of the change log, in the order of commits; its sequence number is from when the change began.
#[derive(Debug)]
struct Entry {
    sequence: u64,
    fact: Fact,
}

#[derive(Debug)]
enum Fact {
    Put(Box<Record>),
    /// The record left the view, and for a partition's feed also: it left the partition.
    Gone {
        key: Key,
        partition: Option<PartitionId>,
        reason: DeletionReason,
    },
    Left {
        key: Key,
        partition: PartitionId,
    },
    Reset(Vec<CollectionName>),
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) rows: BTreeMap<Key, Row>,
    pub(super) blobs: BTreeMap<BlobId, Bytes>,
    pub(super) partitions: BTreeSet<PartitionId>,
    pub(super) log_covers: Vec<CollectionName>,
    pub(super) page_size: usize,
    pub(super) pretty: bool,
    pub(super) reports_deletions: bool,
    pub(super) faults: Faults,
    pub(super) broken: BTreeSet<Rule>,
    pub(super) muted: bool,
    sequence: u64,
    generation: u64,
    log: Vec<Entry>,
    /// Positions before it are no longer served.
    floor: usize,
    /// The same for the slices of one collection.
    floors: BTreeMap<CollectionName, usize>,
    open: BTreeMap<u64, Change>,
}

/// A page as the provider answers it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<Event>,
    pub(super) next: Position,
    pub(super) last: bool,
}

impl World {
    pub(super) fn new(log_covers: Vec<CollectionName>) -> Self {
        Self {
            rows: BTreeMap::new(),
            blobs: BTreeMap::new(),
            partitions: BTreeSet::new(),
            log_covers,
            page_size: 3,
            pretty: false,
            reports_deletions: true,
            faults: Faults::default(),
            broken: BTreeSet::new(),
            muted: false,
            sequence: 0,
            generation: 1,
            log: Vec::new(),
            floor: 0,
            floors: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    fn breaks(&self, rule: Rule) -> bool {
        self.broken.contains(&rule)
    }

    pub(super) fn visible(&self, key: &Key) -> Option<&Record> {
        let row = self.rows.get(key)?;
        (!row.hidden && self.faults.sees(&key.collection)).then_some(&row.record)
    }

    pub(super) fn visible_records(&self) -> impl Iterator<Item = &Record> {
        self.rows.keys().filter_map(|key| self.visible(key))
    }

    pub(super) fn begin(&mut self, mut change: Change) -> u64 {
        self.sequence += 1;
        if let Change::Put(record) = &mut change {
            record.version = Some(self.sequence.to_string());
            record.modified = DateTime::from_timestamp(1_700_000_000 + self.sequence.cast_signed(), 0);
        }
        self.open.insert(self.sequence, change);
        self.sequence
    }

    pub(super) fn open_transactions(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    pub(super) fn commit(&mut self, sequence: u64) {
        match self.open.remove(&sequence) {
            Some(Change::Put(record)) => self.put(sequence, *record),
            Some(Change::Delete(key)) => {
                if let Some(row) = self.rows.remove(&key) {
                    self.tell(
                        sequence,
                        Fact::Gone { key, partition: row.record.partition, reason: DeletionReason::Deleted },
                    );
                }
            }
            None => {}
        }
    }

    fn put(&mut self, sequence: u64, mut record: Record) {
        self.partitions.extend(record.partition.clone());
        let before = self.rows.get(&record.key);
        let hidden = before.is_some_and(|row| row.hidden);
        record.created = before.map_or(record.modified, |row| row.record.created);
        if let Some(old) = before.and_then(|row| row.record.partition.clone())
            && Some(&old) != record.partition.as_ref()
        {
            self.tell(sequence, Fact::Left { key: record.key.clone(), partition: old });
        }
        self.tell(sequence, Fact::Put(Box::new(record.clone())));
        self.rows.insert(record.key.clone(), Row { record, hidden });
    }

    pub(super) fn set_hidden(&mut self, key: &Key, hidden: bool) {
        let Some(row) = self.rows.get_mut(key).filter(|row| row.hidden != hidden) else { return };
        row.hidden = hidden;
        let record = row.record.clone();
        self.sequence += 1;
        let fact = if hidden {
            Fact::Gone { key: record.key, partition: record.partition, reason: DeletionReason::AccessLost }
        } else {
            Fact::Put(Box::new(record))
        };
        self.tell(self.sequence, fact);
    }

    pub(super) fn drop_partition(&mut self, partition: &PartitionId) {
        self.partitions.remove(partition);
        self.rows.retain(|_, row| row.record.partition.as_ref() != Some(partition));
    }

    fn tell(&mut self, sequence: u64, fact: Fact) {
        if !self.muted {
            self.log.push(Entry { sequence, fact });
        }
    }

    pub(super) fn expire_cursors(&mut self) {
        // One more entry, so that a reader that is at the head is behind the floor, too.
        self.log.push(Entry { sequence: self.sequence, fact: Fact::Reset(Vec::new()) });
        self.floor = self.log.len();
    }

    pub(super) fn reset(&mut self, collections: Vec<CollectionName>) {
        self.muted = false;
        self.log.push(Entry { sequence: self.sequence, fact: Fact::Reset(collections.clone()) });
        for collection in collections {
            self.floors.insert(collection, self.log.len());
        }
    }

    /// The provider went back to an older state of its own: half of the records vanish, and no change tells of it.
    pub(super) fn bump_generation(&mut self, keep: impl Fn(&Key) -> bool) {
        self.generation += 1;
        self.rows.retain(|key, _| keep(key));
    }

    /// The position now.
    pub(super) fn head(&self) -> Position {
        Position::Since { generation: self.generation, at: self.head_mark() }
    }

    fn head_mark(&self) -> usize {
        if self.breaks(Rule::PositionsFollowCommits) {
            return self.log.iter().map(|entry| entry.sequence as usize).max().unwrap_or(0);
        }
        self.log.len()
    }

    /// Where a read without a cursor begins.
    pub(super) fn start(&self, feed: &Feed) -> Position {
        let start = (!self.breaks(Rule::PositionBeforePages)).then(|| self.head_mark());
        match feed.kind {
            FeedKind::Log if start.is_none() => Position::Later { generation: self.generation },
            FeedKind::Log => self.head(),
            FeedKind::Slice { .. } => Position::Full { generation: self.generation, start, after: None, offset: 0 },
        }
    }

    /// Answers one page, and where the next one begins.
    pub(super) fn page(&self, feed: &Feed, position: &Position) -> Result<Page> {
        if position.generation() != self.generation && !self.breaks(Rule::Generations) {
            return Err(expired("the provider has rebuilt its data"));
        }
        match position {
            Position::Full { start, after, offset, .. } => Ok(self.full_page(feed, *start, after.as_deref(), *offset)),
            Position::Replay { at, .. } => {
                let mut page = self.log_page(feed, *at)?;
                if !page.last
                    && let Position::Since { generation, at } = page.next
                {
                    page.next = Position::Replay { generation, at };
                }
                Ok(page)
            }
            Position::Since { at, .. } => self.log_page(feed, *at),
            Position::Later { .. } => self.log_page(feed, self.head_mark()),
        }
    }

    /// Answers one page of a listing of ids and versions.
    pub(super) fn listing(&self, feed: &Feed, after: Option<&Key>) -> (Vec<Record>, bool) {
        if self.faults.answers_nothing() {
            return (Vec::new(), true);
        }
        let listed = self.visible_records().filter(|record| holds(feed, record));
        let rest: Vec<_> = listed.filter(|record| after.is_none_or(|after| &record.key > after)).collect();
        let last = rest.len() <= self.page_size;
        (rest.into_iter().take(self.page_size).cloned().collect(), last)
    }

    fn full_page(&self, feed: &Feed, start: Option<usize>, after: Option<&str>, offset: usize) -> Page {
        let generation = self.generation;
        let listed = self.visible_records().filter(|record| holds(feed, record));
        let rest: Vec<&Record> = if self.breaks(Rule::StablePages) {
            listed.skip(offset).collect()
        } else {
            listed.filter(|record| after.is_none_or(|after| record.key.id.as_str() > after)).collect()
        };
        let empty = self.faults.answers_nothing();
        let taken: Vec<&Record> = rest.iter().copied().take(if empty { 0 } else { self.page_size }).collect();
        let events = taken.iter().map(|record| self.state_of(record)).collect();
        if rest.len() > self.page_size && !empty {
            let after = taken.last().map(|record| record.key.id.as_str().to_owned());
            let next = Position::Full { generation, start, after, offset: offset + taken.len() };
            return Page { events, next, last: false };
        }
        let at = start.unwrap_or_else(|| self.head_mark());
        let covered = self.is_covered(feed);
        let next = if covered { Position::Since { generation, at } } else { Position::Replay { generation, at } };
        Page { events, next, last: covered }
    }

    /// Whether the log tells what happens to this slice, too.
    pub(super) fn is_covered(&self, feed: &Feed) -> bool {
        !feed.is_log() && feed.covers.iter().all(|collection| self.log_covers.contains(collection))
    }

    fn log_page(&self, feed: &Feed, at: usize) -> Result<Page> {
        let generation = self.generation;
        if self.breaks(Rule::PositionsFollowCommits) {
            let mut newer: Vec<&Entry> = self.log.iter().filter(|entry| entry.sequence as usize > at).collect();
            newer.sort_by_key(|entry| entry.sequence);
            let mut taken = newer.iter().take(self.page_size);
            let events = taken.clone().filter_map(|entry| self.tells(feed, entry)).collect();
            let at = taken.next_back().map_or(at, |entry| entry.sequence as usize);
            return Ok(Page { events, next: Position::Since { generation, at }, last: newer.len() <= self.page_size });
        }
        if self.is_expired(feed, at) {
            if !self.breaks(Rule::ExpiryIsTold) {
                return Err(expired("the change log no longer reaches back to the cursor"));
            }
            return Ok(Page { events: Vec::new(), next: self.head(), last: true });
        }
        let end = self.log.len().min(at + self.page_size);
        let entries = self.log.get(at..end).unwrap_or_default();
        let events = entries.iter().filter_map(|entry| self.tells(feed, entry)).collect();
        Ok(Page { events, next: Position::Since { generation, at: end.max(at) }, last: end >= self.log.len() })
    }

    fn is_expired(&self, feed: &Feed, at: usize) -> bool {
        let floor = match &feed.kind {
            FeedKind::Slice { collection, .. } => self.floors.get(collection).copied().unwrap_or(0).max(self.floor),
            FeedKind::Log => self.floor,
        };
        at < floor
    }

    /// What a change log says of one entry, judged now and not when the change was made.
    fn tells(&self, feed: &Feed, entry: &Entry) -> Option<Event> {
        match &entry.fact {
            Fact::Put(then) if self.breaks(Rule::AccessWhenServed) => {
                (feed.covers.contains(&then.key.collection)).then(|| self.state_of(then))
            }
            Fact::Put(then) => {
                let record = self.visible(&then.key)?;
                holds(feed, record).then(|| self.state_of(record))
            }
            Fact::Gone { key, partition, reason } => {
                let wanted = self.reports_deletions && feed.scope().contains(&key.collection, partition.as_ref());
                wanted.then(|| Event::Delete(deletion(feed, key, *reason)))
            }
            Fact::Left { key, partition } => {
                let here = matches!(&feed.kind, FeedKind::Slice { collection, partition: Some(part) }
                    if collection == &key.collection && part == partition);
                (here && self.reports_deletions).then(|| Event::Delete(deletion(feed, key, DeletionReason::Unknown)))
            }
            Fact::Reset(collections) => {
                let concerned =
                    collections.iter().filter(|name| feed.covers.contains(name)).cloned().collect::<Vec<_>>();
                let told = feed.is_log() && !concerned.is_empty();
                told.then(|| Event::Reset(Reset::new(concerned, ResetReason::TooManyChanges)))
            }
        }
    }

    /// The record as it is, or the gap where it cannot be read.
    pub(super) fn state_of(&self, record: &Record) -> Event {
        match self.faults.record_error(&record.key) {
            Some(error) => {
                let gap = Gap::record(&record.key, &error);
                Event::Gap(match &record.partition {
                    Some(partition) => gap.with_partition(partition.clone()),
                    None => gap,
                })
            }
            None => Event::Put(Box::new(record.clone())),
        }
    }
}

fn holds(feed: &Feed, record: &Record) -> bool {
    feed.scope().contains(&record.key.collection, record.partition.as_ref())
}

fn deletion(feed: &Feed, key: &Key, reason: DeletionReason) -> Deletion {
    let deletion = Deletion::new(key.clone(), reason);
    match &feed.kind {
        FeedKind::Slice { partition: Some(partition), .. } => deletion.with_partition(partition.clone()),
        _ => deletion,
    }
}

fn expired(message: &'static str) -> Error {
    Error::new(ErrorKind::CursorExpired, message)
}
