use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_backup_core::{
    BlobId, BlobStatus, Candidates, CollectionName, Cursor, Deletion, DeletionReason, Epoch, Error, ErrorKind, Event,
    Feed, FeedState, Gap, Json, Key, Line, LineCodec, Outcome, PartitionId, Problem, Record, Result, SchemaChange,
    Scope, Verdict, Writer,
};
use tokio::task::JoinSet;

use super::remembered::{DigestMap, DigestSet, Holders, Known, News, Said};
use super::session::{Flushed, Session};
use super::tables::{TableChange, put};
use crate::commit::ObjectRef;
use crate::committer::Later;
use crate::object::{Family, LineBuffer, Says, SegmentIndex};
use crate::reserved;

type Built = (usize, Family, Option<(ObjectRef, SegmentIndex)>);

/// What an open extent did not see.
#[derive(Debug)]
struct Missed {
    scope: Scope,
    /// Live records that nothing else holds.
    gone: Vec<Key>,
    /// Records that other partitions hold, too: nothing of them is lost.
    moved: Vec<Key>,
}

/// Writes one feed of a mirror.
pub(super) struct MirrorWriter {
    session: Arc<Session>,
    state: FeedState,
    /// The keys that the open extent saw, as digests.
    seen: DigestSet,
    /// Whether the source held nothing when the open extent began, and this writer followed it from there: then
    /// everything that it covers was seen.
    covers_all: bool,
    /// Whether this is the feed's first writer ever, and no event was applied yet.
    untouched: bool,
    /// What the open extent did not see, until the next event.
    missed: Option<Missed>,
    /// Whether a gap may be open that a record closes.
    gaps_open: bool,
    /// The gaps that the open extent reported.
    reported: Vec<Gap>,
    lines: LineBuffer,
    meta: LineBuffer,
    changes: Vec<TableChange>,
    /// What becomes known with the next flush.
    known: DigestMap<(CollectionName, Said)>,
    builds: JoinSet<Result<Built>>,
    built: Vec<Built>,
    next_build: usize,
    /// Bytes of lines that the session counts as waiting here.
    waiting: usize,
}

impl MirrorWriter {
    pub(super) fn open(session: Arc<Session>, feed: &Feed) -> Result<Self> {
        session.run()?;
        let (state, seen) = session.feed(&feed.id);
        let untouched = state.is_none();
        let state = state.unwrap_or_else(|| FeedState::new(feed.clone()));
        let mut this = Self {
            lines: session.lines(),
            meta: session.lines(),
            session,
            state,
            seen: seen.into_iter().collect(),
            covers_all: false,
            untouched,
            missed: None,
            gaps_open: false,
            reported: Vec::new(),
            changes: Vec::new(),
            known: DigestMap::default(),
            builds: JoinSet::new(),
            built: Vec::new(),
            next_build: 0,
            waiting: 0,
        };
        this.state.feed = feed.clone();
        Ok(this)
    }

    fn apply(&mut self, event: Event) -> Result<Outcome> {
        (self.missed, self.untouched) = (None, false);
        let digest = event.key().map(|key| self.session.remembered.key(&key));
        if digest.is_some() && self.state.feed.is_log() {
            self.session.logged.store(true, Ordering::Relaxed);
        }
        if self.state.epoch.is_some() {
            self.seen.extend(digest);
        }
        match (event, digest) {
            (Event::Put(record), Some(digest)) => self.put(*record, digest),
            (event, _) => self.apply_other(event),
        }
    }

    fn apply_other(&mut self, event: Event) -> Result<Outcome> {
        match event {
            Event::Delete(deletion) => self.delete(deletion),
            Event::Seen(_) => Ok(Outcome::Unchanged),
            Event::Gap(gap) => {
                self.gaps_open = true;
                self.reported.push(gap.clone());
                self.changes.push(TableChange::Gap(gap));
                Ok(Outcome::Stored)
            }
            Event::Reset(reset) => {
                let all = reset.collections.is_empty();
                let collections = if all { self.state.feed.covers.clone() } else { reset.collections };
                self.changes.push(TableChange::Reset(collections));
                Ok(Outcome::Stored)
            }
            Event::Schema(schema) => self.schema(&schema),
            _ => Ok(Outcome::Stored),
        }
    }

    fn put(&mut self, mut record: Record, digest: u64) -> Result<Outcome> {
        if record.key.collection.is_reserved() {
            return Ok(reserved_name());
        }
        record.sequence = None;
        let own = record.partition.is_some() && record.partition == self.state.feed.scope().partition;
        let sole = !own && record.partition.is_some();
        let remembers = self.session.remembered.remembers();
        // A record is the same whoever tells it: what is remembered is the line without that.
        let mut line = match self.lines.begin(|out| encode(&record, sole && !remembers, out)) {
            Ok(line) => line,
            Err(error) => return Ok(Outcome::Rejected(Box::new(Problem::from(&error)))),
        };
        if self.gaps_open {
            let missing = record.blobs.iter().filter(|blob| blob.status != BlobStatus::Available);
            let missing: Vec<BlobId> = missing.filter_map(|blob| blob.id.clone()).collect();
            self.changes.push(TableChange::CloseGaps(record.key.clone(), missing));
        }
        let remembered = &self.session.remembered;
        let news = |known| if own { News::Put(known) } else { News::Sole(known) };
        if remembers {
            let known = remembered.known(self.lines.draft(&line), record.partition.as_ref());
            let current = self.current(digest);
            if if own { current.iter().any(|held| held == known) } else { current.is_only(known) } {
                self.lines.take_back(line);
                return Ok(Outcome::Unchanged);
            }
            if sole {
                self.lines.take_back(line);
                line = self.lines.begin(|out| encode(&record, sole, out))?;
            }
            let mut row =
                Record::new(record.key.clone(), Json::from_value(&0)?).with_version(format!("{:016x}", known.content));
            row.partition.clone_from(&record.partition);
            let says = Says { partition: record.partition.clone(), deletion: false, sole };
            self.meta.push(record.key.clone(), says, |out| encode(&row, sole, out))?;
            self.say(digest, &record.key.collection, news(known));
        } else if self.known.contains_key(&digest) || remembered.was_deleted(digest) {
            let known = Known { content: 0, partition: remembered.partition(record.partition.as_ref()) };
            self.say(digest, &record.key.collection, news(known));
        }
        let Record { key, partition, .. } = record;
        self.lines.keep(line, key, Says { partition, deletion: false, sole });
        Ok(Outcome::Stored)
    }

    fn say(&mut self, digest: u64, collection: &CollectionName, news: News) {
        match self.known.get_mut(&digest) {
            Some((_, said)) => said.add(news),
            None => drop(self.known.insert(digest, (collection.clone(), Said::new(news)))),
        }
    }

    fn delete(&mut self, mut deletion: Deletion) -> Result<Outcome> {
        if deletion.key.collection.is_reserved() {
            return Ok(reserved_name());
        }
        deletion.sequence = None;
        let digest = self.session.remembered.key(&deletion.key);
        if self.gaps_open {
            self.changes.push(TableChange::CloseDeleted(deletion.key.clone(), deletion.partition.clone()));
        }
        let told_by = deletion.partition.as_ref().map(|partition| self.session.remembered.partition(Some(partition)));
        let mut moved = false;
        if self.session.remembered.remembers() {
            let current = self.current(digest);
            if current.is_empty() {
                return Ok(Outcome::Unchanged);
            }
            let holds = |partition| current.iter().any(|held| held.partition == partition);
            if told_by.is_some_and(|left| !holds(left)) {
                return Ok(moved_on());
            }
            moved = told_by.is_some_and(|left| current.iter().any(|held| held.partition != left));
            self.push_deletion(&deletion, Family::Meta)?;
        }
        self.say(digest, &deletion.key.collection, News::Deleted(told_by));
        self.push_deletion(&deletion, Family::Data)?;
        Ok(if moved { moved_on() } else { Outcome::Stored })
    }

    fn push_deletion(&mut self, deletion: &Deletion, family: Family) -> Result<()> {
        let (key, says) = (deletion.key.clone(), Says::deleted(deletion.partition.clone()));
        let line = Line::Delete(deletion.clone());
        let out = match family {
            Family::Data => &mut self.lines,
            Family::Meta => &mut self.meta,
        };
        out.push(key, says, |out| LineCodec::stored().encode(&line, out))
    }

    fn schema(&mut self, schema: &SchemaChange) -> Result<Outcome> {
        let Some(document) = &schema.document else { return Ok(Outcome::Stored) };
        let key = reserved::key(reserved::SCHEMAS, schema.schema.to_string())?;
        put(&mut self.meta, key, document)?;
        Ok(Outcome::Stored)
    }

    /// What is known of a record, this writer's own unflushed writes included.
    fn current(&self, digest: u64) -> Holders {
        let known = self.session.remembered.get(digest);
        match self.known.get(&digest) {
            Some((_, said)) => said.after(&known),
            None => known,
        }
    }

    /// Hands full buffers to the builders, and waits for one of them where too many are under way.
    async fn build_if_full(&mut self) -> Result<()> {
        self.note_waiting();
        if self.session.is_full(self.lines.bytes()) {
            let lines = std::mem::replace(&mut self.lines, self.session.lines());
            self.build(Family::Data, lines).await?;
        }
        if self.session.is_full(self.meta.bytes()) {
            let meta = std::mem::replace(&mut self.meta, self.session.lines());
            self.build(Family::Meta, meta).await?;
        }
        self.note_waiting();
        Ok(())
    }

    fn note_waiting(&mut self) {
        let now = self.lines.bytes() + self.meta.bytes();
        self.session.waits(std::mem::replace(&mut self.waiting, now), now);
    }

    async fn build(&mut self, family: Family, lines: LineBuffer) -> Result<()> {
        while let Some(built) = self.builds.try_join_next() {
            self.built.push(built.map_err(|_| ended())??);
        }
        // Before the next buffer is begun: so many full ones there are in a session, however many feeds it has.
        let permit = Arc::clone(&self.session.builders).acquire_owned().await.map_err(|_| ended())?;
        let (session, number) = (Arc::clone(&self.session), self.next_build);
        self.next_build += 1;
        self.builds.spawn(async move {
            let _permit = permit;
            let built = session.upload_segment(family, lines, &mut Later(&session.committer)).await?;
            Ok((number, family, built))
        });
        Ok(())
    }

    async fn join_one(&mut self) -> Result<()> {
        if let Some(built) = self.builds.join_next().await {
            self.built.push(built.map_err(|_| ended())??);
        }
        Ok(())
    }

    /// Notes in the session what this writer's flush makes known.
    fn publish(&mut self) {
        let session = &self.session;
        let mut inner = session.lock();
        for (digest, (collection, said)) in self.known.drain() {
            let (before, after) = session.remembered.tell(digest, &said);
            if inner.tables.held.remembered {
                let change = i64::from(!after.is_empty()) - i64::from(!before.is_empty());
                inner.tables.count(&collection, |held| {
                    held.records = Some(held.records.unwrap_or(0).saturating_add_signed(change));
                });
            }
        }
    }

    /// Whether a partition that held a record at the head still does.
    fn still_holds(&self, digest: u64, partition: Option<&PartitionId>) -> bool {
        let remembered = &self.session.remembered;
        let partition = remembered.partition(partition);
        match self.known.get(&digest).and_then(|(_, said)| said.of(partition)) {
            Some(News::Put(_)) => true,
            Some(News::Sole(known)) => known.partition == partition,
            Some(News::Deleted(_)) => false,
            None => !remembered.is_deleted(digest, partition),
        }
    }

    /// The keys that the copy holds in a scope and that the open extent did not see.
    async fn missed(&mut self, scope: &Scope) -> Result<Missed> {
        let mut missed = Missed { scope: scope.clone(), gone: Vec::new(), moved: Vec::new() };
        if self.covers_all && !self.session.logged.load(Ordering::Relaxed) {
            return Ok(missed);
        }
        if let Some(missed) = self.missed.take().filter(|missed| missed.scope == *scope) {
            return Ok(missed);
        }
        let remembered = &self.session.remembered;
        // What another feed flushed is part of the copy, too, and may be gone by now.
        let head = self
            .session
            .head_with(|line| {
                scope.contains(&line.key.collection, line.says.partition.as_ref())
                    && !self.seen.contains(&remembered.key(&line.key))
            })
            .await?;
        self.session
            .each_held(&head, scope, |key, partitions| {
                let digest = remembered.key(&key);
                if self.seen.contains(&digest) {
                    return;
                }
                let (mut here, mut elsewhere) = (false, false);
                for partition in partitions.iter().filter(|partition| self.still_holds(digest, **partition)) {
                    let is_here = scope.contains(&key.collection, *partition);
                    (here, elsewhere) = (here || is_here, elsewhere || !is_here);
                }
                match (here, elsewhere) {
                    (true, false) => missed.gone.push(key),
                    (true, true) => missed.moved.push(key),
                    (false, _) => {}
                }
            })
            .await?;
        Ok(missed)
    }
}

#[async_trait]
impl Writer for MirrorWriter {
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        self.session.check()?;
        self.gaps_open |= self.session.lock().tables.has_gaps();
        let mut outcomes = Vec::with_capacity(batch.len());
        for event in batch {
            outcomes.push(self.apply(event)?);
        }
        self.build_if_full().await?;
        Ok(outcomes)
    }

    async fn flush(&mut self, cursor: Option<&Cursor>) -> Result<()> {
        if let Some(cursor) = cursor {
            self.state.cursor = Some(cursor.clone());
        }
        while !self.builds.is_empty() {
            self.join_one().await?;
        }
        let mut flushed = Flushed {
            lines: std::mem::replace(&mut self.lines, self.session.lines()),
            meta: std::mem::replace(&mut self.meta, self.session.lines()),
            changes: std::mem::take(&mut self.changes),
            ..Flushed::default()
        };
        self.note_waiting();
        self.built.sort_by_key(|(number, _, _)| *number);
        for (_, family, built) in self.built.drain(..) {
            if let Some((object, index)) = built {
                flushed.objects.push(object);
                match family {
                    Family::Data => flushed.indexes.push(index),
                    Family::Meta => flushed.meta_indexes.push(index),
                }
            }
        }
        self.publish();
        let seen = self.state.epoch.map(|_| {
            let mut seen: Vec<u64> = self.seen.iter().copied().collect();
            seen.sort_unstable();
            seen
        });
        self.gaps_open = false;
        self.session.flush(flushed, self.state.clone(), seen).await
    }

    async fn open_extent(&mut self, epoch: Epoch) -> Result<()> {
        if self.state.epoch != Some(epoch) {
            let begins = self.session.begins(&self.state.feed.id);
            self.covers_all = self.untouched && begins;
            self.state.epoch = Some(epoch);
            self.seen.clear();
            self.reported.clear();
        }
        Ok(())
    }

    async fn candidates(&mut self, scope: &Scope) -> Result<Candidates> {
        if self.state.epoch.is_none() {
            return Ok(Candidates::none(scope.clone()));
        }
        let missed = self.missed(scope).await?;
        let live = self.seen.len() as u64 + missed.gone.len() as u64;
        let candidates = Candidates::of(scope.clone(), live, &missed.gone);
        self.missed = Some(missed);
        Ok(candidates)
    }

    async fn close_extent(&mut self, scope: &Scope, verdict: Verdict, at: DateTime<Utc>) -> Result<u64> {
        let mut deleted = 0;
        match verdict {
            Verdict::Delete | Verdict::Gone => {
                if self.state.epoch.is_some() {
                    let Missed { gone, moved, .. } = self.missed(scope).await?;
                    let in_all = gone.len();
                    for (place, key) in gone.into_iter().chain(moved).enumerate() {
                        let mut deletion = Deletion::new(key, DeletionReason::Reconciled);
                        deletion.at = Some(at);
                        deletion.partition.clone_from(&scope.partition);
                        let stored = matches!(self.delete(deletion)?, Outcome::Stored);
                        deleted += u64::from(stored && place < in_all);
                    }
                }
                let (reported, seen) = (std::mem::take(&mut self.reported), std::mem::take(&mut self.seen));
                self.changes.push(TableChange::CloseScope { scope: scope.clone(), reported, seen });
                self.state.full_at = Some(at);
                if verdict == Verdict::Gone {
                    self.changes.push(TableChange::Forget);
                }
            }
            Verdict::Keep => {}
            Verdict::Restart => {
                self.state.cursor = None;
                self.state.full_at = None;
            }
        }
        self.state.epoch = None;
        self.covers_all = false;
        self.seen.clear();
        self.build_if_full().await?;
        Ok(deleted)
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Drop for MirrorWriter {
    fn drop(&mut self) {
        self.session.waits(self.waiting, 0);
    }
}

impl fmt::Debug for MirrorWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MirrorWriter").field("feed", &self.state.feed.id).finish_non_exhaustive()
    }
}

fn reserved_name() -> Outcome {
    Outcome::Rejected(Box::new(Problem::new(
        "reserved",
        "names of collections that begin with `_` are the store's own",
    )))
}

fn moved_on() -> Outcome {
    Outcome::Skipped(Box::new(Problem::new("moved", "the record is in another partition now")))
}

/// Writes the line of a record; whether no other partition holds it is said with it.
fn encode(record: &Record, sole: bool, out: &mut Vec<u8>) -> Result<()> {
    let codec = LineCodec::stored();
    if sole { codec.encode_sole_put(record, out) } else { codec.encode_put(record, out) }
}

fn ended() -> Error {
    Error::new(ErrorKind::Unexpected, "building a segment was interrupted")
}
