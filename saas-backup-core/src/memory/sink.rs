use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};

use super::store::{Content, FeedEntry, Inner, MemoryPoint, MemoryStore, Version};
use crate::{
    BlobId, BlobRef, BlobSlot, BlobStatus, BlobWriter, Candidates, Cursor, Deletion, DeletionReason, Epoch, Error,
    ErrorKind, Event, Feed, FeedKind, FeedState, Gap, IdMap, Key, OpenGap, Outcome, PartitionId, Problem, Receipt,
    Record, RecordId, Reference, References, Result, RunId, RunReport, RunStart, Scope, Sink, SinkOptions, State,
    StoredBlob, Verdict, WriteMode, Writer, Written,
};

#[derive(Debug)]
pub(super) struct MemorySink {
    store: MemoryStore,
    session: u64,
    options: SinkOptions,
    assigns_ids: bool,
    sequence_before: u64,
}

impl MemorySink {
    pub(super) fn open(store: MemoryStore, options: SinkOptions, assigns_ids: bool) -> Self {
        let (session, sequence_before) = {
            let mut inner = store.lock();
            inner.session += 1;
            (inner.session, inner.visible)
        };
        Self { store, session, options, assigns_ids, sequence_before }
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn state(&self) -> Result<State> {
        let inner = self.store.session(self.session)?;
        Ok(State {
            feeds: inner.feeds.iter().map(|(id, entry)| (id.clone(), entry.state.clone())).collect(),
            gaps: inner.gaps.clone(),
            held: inner.held(),
            coverage: inner.coverage.clone(),
            reviews: inner.reviews.clone(),
            unfinished: inner.unfinished,
        })
    }

    async fn begin(&self, start: &RunStart) -> Result<()> {
        let mut inner = self.store.session(self.session)?;
        for collection in &start.catalog.collections {
            match inner.catalog.collections.iter_mut().find(|known| known.name == collection.name) {
                Some(known) => known.clone_from(collection),
                None => inner.catalog.collections.push(collection.clone()),
            }
        }
        inner.unfinished = Some(start.run);
        Ok(())
    }

    async fn blob(&self, _: &Key, blob: &BlobRef) -> Result<BlobSlot> {
        let Some(id) = &blob.id else { return Ok(BlobSlot::Unwanted) };
        let inner = self.store.session(self.session)?;
        Ok(match inner.blobs.get(id) {
            Some((stored, _)) => BlobSlot::Held(*stored),
            None => BlobSlot::Want(Box::new(MemoryBlobWriter {
                store: self.store.clone(),
                session: self.session,
                id: id.clone(),
                bytes: BytesMut::new(),
            })),
        })
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        let inner = self.store.session(self.session)?;
        let entry = inner.feeds.get(&feed.id);
        let state = entry.map_or_else(|| FeedState::new(feed.clone()), |entry| entry.state.clone());
        let run = inner.unfinished.ok_or_else(|| Error::new(ErrorKind::Configuration, "the session did not begin"))?;
        Ok(Box::new(MemoryWriter {
            store: self.store.clone(),
            session: self.session,
            mode: self.options.mode,
            ids: self.options.ids.clone(),
            assigns_ids: self.assigns_ids,
            run,
            state: FeedState { feed: feed.clone(), ..state },
            seen: entry.map(|entry| entry.seen.clone()).unwrap_or_default(),
            reported: Vec::new(),
            pending: Vec::new(),
            latest: HashMap::new(),
        }))
    }

    async fn commit(self: Box<Self>, report: &RunReport) -> Result<Receipt> {
        let mut inner = self.store.session(self.session)?;
        let written = inner.sequence != self.sequence_before;
        inner.visible = inner.sequence;
        inner.unfinished = None;
        inner.coverage = Some(report.coverage.clone());
        inner.reviews.clone_from(&report.reviews);
        let (sequence, time) = (inner.sequence, report.finished);
        inner.points.push(MemoryPoint { sequence, time, report: report.clone() });
        Ok(Receipt { sequence: Some(sequence), written, ..Receipt::default() })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryBlobWriter {
    store: MemoryStore,
    session: u64,
    id: BlobId,
    bytes: BytesMut,
}

#[async_trait]
impl BlobWriter for MemoryBlobWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.bytes.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>, blob: StoredBlob) -> Result<()> {
        let this = *self;
        this.store.session(this.session)?.blobs.insert(this.id, (blob, this.bytes.freeze()));
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// What was written and is not durable yet.
enum Pending {
    Content(Key, Content),
    Gap(Gap),
    /// A record is in a partition, or in none: its gaps are closed, but for those of blobs that are still missing.
    Entered(Key, Option<PartitionId>, Vec<BlobId>),
    /// A record left a partition, or all of them: its gaps there are closed.
    Left(Key, Option<PartitionId>),
    /// A full read of the scope ended: the gaps that it reported, and the keys that it saw.
    CloseScope(Scope, Vec<Gap>, BTreeSet<Key>),
    Reset(Vec<crate::CollectionName>),
    /// The feed does not exist any more.
    Forget,
}

struct MemoryWriter {
    store: MemoryStore,
    session: u64,
    mode: WriteMode,
    ids: IdMap,
    assigns_ids: bool,
    run: RunId,
    state: FeedState,
    seen: BTreeSet<Key>,
    /// The gaps that the open extent reported.
    reported: Vec<Gap>,
    pending: Vec<Pending>,
    /// Where in `pending` the last content of a key stands.
    latest: HashMap<Key, usize>,
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        batch.into_iter().map(|event| self.apply(event)).collect()
    }

    async fn flush(&mut self, cursor: Option<&Cursor>) -> Result<()> {
        let mut inner = self.store.session(self.session)?;
        if let Some(cursor) = cursor {
            self.state.cursor = Some(cursor.clone());
        }
        self.latest.clear();
        let entry = FeedEntry { state: self.state.clone(), seen: self.seen.clone() };
        inner.feeds.insert(self.state.feed.id.clone(), entry);
        for pending in self.pending.drain(..) {
            inner.apply(pending, &self.state.feed, self.run);
        }
        Ok(())
    }

    async fn open_extent(&mut self, epoch: Epoch) -> Result<()> {
        if self.mode == WriteMode::Mirror && self.state.epoch != Some(epoch) {
            self.state.epoch = Some(epoch);
            self.seen.clear();
            self.reported.clear();
        }
        Ok(())
    }

    async fn candidates(&mut self, scope: &Scope) -> Result<Candidates> {
        let (live, unseen) = self.unseen(scope)?;
        Ok(Candidates::of(scope.clone(), live, &unseen))
    }

    async fn close_extent(&mut self, scope: &Scope, verdict: Verdict, now: DateTime<Utc>) -> Result<u64> {
        let mut deleted = 0;
        match verdict {
            Verdict::Delete | Verdict::Gone => {
                for key in self.unseen(scope)?.1 {
                    let mut deletion = Deletion::new(key.clone(), DeletionReason::Reconciled);
                    deletion.at = Some(now);
                    deletion.partition.clone_from(&scope.partition);
                    self.push(key, Content::Deleted(deletion));
                    deleted += 1;
                }
                let (reported, seen) = (std::mem::take(&mut self.reported), std::mem::take(&mut self.seen));
                self.pending.push(Pending::CloseScope(scope.clone(), reported, seen));
                self.state.full_at = Some(now);
                if verdict == Verdict::Gone {
                    self.pending.push(Pending::Forget);
                }
            }
            Verdict::Keep => {}
            Verdict::Restart => {
                self.state.cursor = None;
                self.state.full_at = None;
            }
        }
        self.state.epoch = None;
        self.seen.clear();
        Ok(deleted)
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl MemoryWriter {
    fn apply(&mut self, event: Event) -> Result<Outcome> {
        if self.state.epoch.is_some()
            && let Some(key) = event.key()
        {
            self.seen.insert(key);
        }
        match event {
            Event::Put(record) => self.put(*record),
            Event::Delete(deletion) => self.delete(deletion),
            Event::Gap(gap) => {
                self.reported.push(gap.clone());
                self.pending.push(Pending::Gap(gap));
                Ok(Outcome::Stored)
            }
            Event::Reset(reset) => {
                let all = reset.collections.is_empty();
                let collections = if all { self.state.feed.covers.clone() } else { reset.collections };
                self.pending.push(Pending::Reset(collections));
                Ok(Outcome::Stored)
            }
            _ => Ok(Outcome::Stored),
        }
    }

    fn put(&mut self, mut record: Record) -> Result<Outcome> {
        record.sequence = None;
        let known = self.current(&record.key)?;
        let missing = record.blobs.iter().filter(|blob| blob.status != BlobStatus::Available);
        let missing: Vec<BlobId> = missing.filter_map(|blob| blob.id.clone()).collect();
        self.pending.push(Pending::Entered(record.key.clone(), record.partition.clone(), missing));
        if self.assigns_ids && self.mode != WriteMode::Mirror {
            return self.put_under_own_id(record);
        }
        if known.as_ref() == Some(&record) {
            return Ok(Outcome::Unchanged);
        }
        if known.is_some() && matches!(self.mode, WriteMode::Create | WriteMode::Merge) {
            return Ok(Outcome::Skipped(Box::new(Problem::new("exists", "a record with this id is there"))));
        }
        self.push(record.key.clone(), Content::Put(Box::new(record)));
        Ok(Outcome::Stored)
    }

    fn put_under_own_id(&mut self, mut record: Record) -> Result<Outcome> {
        let old = record.key.clone();
        let (new, again) = match self.ids.get(&old) {
            Some(new) => (new, true),
            None => (self.new_key(&old)?, false),
        };
        let mut missing = Vec::new();
        let mut map = |reference: &mut Reference| match self.ids.get(&reference.key()) {
            Some(key) => *reference = Reference::from(&key),
            None => missing.push(reference.key()),
        };
        for references in record.refs.values_mut() {
            match references {
                References::One(one) => map(one),
                References::Many(many) => many.iter_mut().for_each(&mut map),
                References::None => {}
            }
        }
        record.key = new.clone();
        self.ids.insert(old, new.clone());
        self.push(new.clone(), Content::Put(Box::new(record)));
        if !missing.is_empty() && !again {
            return Ok(Outcome::Deferred(missing));
        }
        let mut written = Written::new(new);
        for key in missing {
            written = written.with_loss("/refs", format!("no record of {} came along", key.collection));
        }
        Ok(Outcome::Written(Box::new(written)))
    }

    fn new_key(&self, old: &Key) -> Result<Key> {
        let mut inner = self.store.session(self.session)?;
        inner.next_id += 1;
        Ok(Key::new(old.collection.clone(), RecordId::parse(format!("new-{}", inner.next_id))?))
    }

    fn delete(&mut self, deletion: Deletion) -> Result<Outcome> {
        self.pending.push(Pending::Left(deletion.key.clone(), deletion.partition.clone()));
        let Some(known) = self.current(&deletion.key)? else { return Ok(Outcome::Unchanged) };
        if deletion.partition.is_some() && deletion.partition != known.partition {
            // Judged again by the flush: the partition that holds the record now may have told by then that it left.
            self.pending.push(Pending::Content(deletion.key.clone(), Content::Deleted(deletion)));
            let moved = Problem::new("moved", "the record is in another partition now");
            return Ok(Outcome::Skipped(Box::new(moved)));
        }
        self.push(deletion.key.clone(), Content::Deleted(deletion));
        Ok(Outcome::Stored)
    }

    fn push(&mut self, key: Key, content: Content) {
        self.latest.insert(key.clone(), self.pending.len());
        self.pending.push(Pending::Content(key, content));
    }

    /// The record as this writer sees it: its own writes included.
    fn current(&self, key: &Key) -> Result<Option<Record>> {
        match self.latest.get(key).and_then(|index| self.pending.get(*index)) {
            Some(Pending::Content(_, Content::Put(record))) => Ok(Some((**record).clone())),
            Some(_) => Ok(None),
            None => Ok(self.store.session(self.session)?.latest(key).cloned()),
        }
    }

    /// How many records are live in the scope, and which of them the open extent did not see.
    fn unseen(&self, scope: &Scope) -> Result<(u64, Vec<Key>)> {
        if self.state.epoch.is_none() {
            return Ok((0, Vec::new()));
        }
        let inner = self.store.session(self.session)?;
        let (mut live, mut unseen) = (0, Vec::new());
        for (key, versions) in &inner.versions {
            let Some(Version { content: Content::Put(record), .. }) = versions.last() else { continue };
            if scope.contains(&key.collection, record.partition.as_ref()) {
                live += 1;
                if !self.seen.contains(key) {
                    unseen.push(key.clone());
                }
            }
        }
        Ok((live, unseen))
    }
}

impl Inner {
    /// Whether a deletion is about a partition that the record has left.
    fn has_moved(&self, key: &Key, deletion: &Deletion) -> bool {
        deletion.partition.is_some() && self.latest(key).is_some_and(|known| known.partition != deletion.partition)
    }

    /// The feed of a partition speaks for that one only, and any other read for all of them: what a log told last of a
    /// record is not undone by the partitions.
    fn enters(&mut self, key: &Key, partition: Option<PartitionId>, feed: &Feed) {
        match (&feed.kind, partition) {
            (FeedKind::Slice { partition: Some(own), .. }, Some(partition)) if *own == partition => {
                self.holders.entry(key.clone()).or_default().insert(partition);
            }
            _ => drop(self.holders.remove(key)),
        }
    }

    fn leaves(&mut self, key: &Key, partition: Option<&PartitionId>) {
        let Some(partition) = partition else { return drop(self.holders.remove(key)) };
        if let Some(holders) = self.holders.get_mut(key) {
            holders.remove(partition);
        }
    }

    /// What another partition put and still holds. Feeds are read side by side, and the one that a record left may be
    /// written after the one that it entered.
    fn held_elsewhere(&self, key: &Key) -> Option<Content> {
        let holders = self.holders.get(key).filter(|holders| !holders.is_empty())?;
        let held = self.versions.get(key)?.iter().rev().find(|version| match &version.content {
            Content::Put(record) => record.partition.as_ref().is_some_and(|partition| holders.contains(partition)),
            Content::Deleted(_) => false,
        });
        held.map(|version| version.content.clone())
    }

    fn apply(&mut self, pending: Pending, feed: &Feed, run: RunId) {
        match pending {
            Pending::Content(key, Content::Deleted(deletion)) => {
                self.leaves(&key, deletion.partition.as_ref());
                // Another writer may have flushed the record in its new partition meanwhile.
                if !self.has_moved(&key, &deletion) {
                    let content = self.held_elsewhere(&key).unwrap_or(Content::Deleted(deletion));
                    self.push(key, content);
                }
            }
            Pending::Content(key, content) => self.push(key, content),
            Pending::Gap(gap) => match self.gaps.iter_mut().find(|open| open.gap.same_place(&gap)) {
                Some(open) => open.gap = gap,
                None => self.gaps.push(OpenGap::new(feed.id.clone(), gap, run)),
            },
            Pending::Entered(key, partition, missing) => {
                self.enters(&key, partition, feed);
                self.gaps.retain(|open| {
                    let gap = &open.gap;
                    let same = gap.collection == key.collection && gap.id.as_ref() == Some(&key.id);
                    !same || gap.blob.as_ref().is_some_and(|blob| missing.contains(blob))
                });
            }
            Pending::Left(key, left) => {
                self.leaves(&key, left.as_ref());
                self.gaps.retain(|open| {
                    let gap = &open.gap;
                    let same = gap.collection == key.collection && gap.id.as_ref() == Some(&key.id);
                    // A record that left one partition may still be missing in another.
                    let elsewhere = left.is_some() && gap.partition.is_some() && gap.partition != left;
                    !same || elsewhere
                });
            }
            Pending::CloseScope(scope, reported, seen) => {
                for (key, holders) in &mut self.holders {
                    if !seen.contains(key) {
                        holders.retain(|holder| !scope.contains(&key.collection, Some(holder)));
                    }
                }
                self.gaps.retain(|open| {
                    let gap = &open.gap;
                    // A record that was only seen was not read.
                    let exists = |id: &RecordId| seen.contains(&Key::new(gap.collection.clone(), id.clone()));
                    !scope.contains(&gap.collection, gap.partition.as_ref())
                        || gap.id.as_ref().is_some_and(exists)
                        || reported.iter().any(|other| other.same_place(gap))
                });
            }
            Pending::Reset(collections) => {
                for entry in self.feeds.values_mut() {
                    if matches!(&entry.state.feed.kind, FeedKind::Slice { collection, .. } if collections.contains(collection))
                    {
                        *entry = FeedEntry { state: FeedState::new(entry.state.feed.clone()), seen: BTreeSet::new() };
                    }
                }
            }
            Pending::Forget => {
                self.feeds.remove(&feed.id);
            }
        }
    }
}

impl std::fmt::Debug for MemoryWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemoryWriter").field("feed", &self.state.feed.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, CollectionName, Coverage, FeedId, Json};

    #[tokio::test]
    async fn a_record_that_two_partitions_lose_at_once_is_gone_whichever_is_flushed_first() {
        let (key, data) = (Key::parse("tasks", "1").unwrap(), Json::parse("{}").unwrap());
        let partitions = ["it moved from here", "to here"].map(PartitionId::from_static);
        for first in [0, 1] {
            let store = MemoryStore::new();
            let sink = MemorySink::open(store.clone(), SinkOptions::new(WriteMode::Mirror), false);
            let run = RunId::new(DateTime::UNIX_EPOCH);
            let start = RunStart::new(run, DateTime::UNIX_EPOCH, Catalog::default(), Coverage::default());
            sink.begin(&start).await.unwrap();
            let mut writers = Vec::new();
            for partition in &partitions {
                let (id, tasks) = (FeedId::parse(partition).unwrap(), CollectionName::from_static("tasks"));
                let mut writer = sink.writer(&Feed::partition(id, tasks, partition.clone())).await.unwrap();
                let record = Record::new(key.clone(), data.clone()).with_partition(partition.clone());
                writer.write(vec![Event::Put(Box::new(record))]).await.unwrap();
                writer.flush(None).await.unwrap();
                writers.push(writer);
            }
            for (writer, partition) in writers.iter_mut().zip(&partitions) {
                let gone = Deletion::new(key.clone(), DeletionReason::Deleted).with_partition(partition.clone());
                writer.write(vec![Event::Delete(gone)]).await.unwrap();
            }
            for writer in [first, 1 - first] {
                writers[writer].flush(None).await.unwrap();
            }
            assert_eq!(store.lock().latest(&key), None, "flushed first: {}", partitions[first]);
        }
    }
}
