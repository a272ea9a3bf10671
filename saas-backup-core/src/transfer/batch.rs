use std::collections::BTreeMap;

use tokio::time::Instant;

use super::Shared;
use crate::{Counts, Cursor, Error, ErrorKind, Event, Feed, Gap, Key, Outcome, ProgressEvent, Result, Writer};

/// Events that are written together, and the last checkpoint among them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) cursor: Option<Cursor>,
    pub(super) bytes: usize,
}

/// The writing half of a feed: hands batches to the sink, counts what became of them, and flushes when it is due.
#[derive(Debug)]
pub(super) struct FeedWriter<'a> {
    shared: &'a Shared,
    feed: &'a Feed,
    pub(super) writer: Box<dyn Writer>,
    /// The last checkpoint of what was written.
    pub(super) cursor: Option<Cursor>,
    /// Whether `cursor` is newer than the last flush.
    moved: bool,
    unflushed: usize,
    flushed_at: Instant,
    /// Whether any record of the scope was put, seen or named by a gap.
    pub(super) saw_anything: bool,
    pub(super) gaps: Vec<Gap>,
    /// The run was cancelled while a batch waited for its blobs: nothing more is written.
    abandoned: bool,
}

impl<'a> FeedWriter<'a> {
    pub(super) async fn open(shared: &'a Shared, feed: &'a Feed) -> Result<Self> {
        let writer = shared.sink.writer(feed).await?;
        Ok(Self {
            shared,
            feed,
            writer,
            cursor: None,
            moved: false,
            unflushed: 0,
            flushed_at: Instant::now(),
            saw_anything: false,
            gaps: Vec::new(),
            abandoned: false,
        })
    }

    /// Fetches the blobs of a batch, writes it, and counts the outcomes.
    pub(super) async fn write(&mut self, batch: Batch) -> Result<()> {
        let Batch { events, cursor, bytes } = batch;
        if self.abandoned {
            return Ok(());
        }
        let Some((events, mut counts)) = self.shared.with_blobs(self.feed, events).await? else {
            self.abandoned = true;
            return Ok(());
        };
        let mut about: Vec<Option<(Key, bool)>> = Vec::with_capacity(events.len());
        for event in &events {
            self.saw_anything |= matches!(event, Event::Put(_) | Event::Seen(_) | Event::Gap(_));
            about.push(match event {
                Event::Put(record) => {
                    counts.entry(record.key.collection.clone()).or_default().read += 1;
                    Some((record.key.clone(), true))
                }
                Event::Delete(deletion) => Some((deletion.key.clone(), false)),
                Event::Gap(gap) => {
                    counts.entry(gap.collection.clone()).or_default().gaps += 1;
                    self.gaps.push(gap.clone());
                    self.shared.tally.lock().gaps.push((self.feed.id.clone(), gap.clone()));
                    None
                }
                _ => None,
            });
        }
        if self.feed.is_log() && self.shared.mirrors() {
            self.shared.meet(&events).await?;
        }
        if !events.is_empty() {
            let outcomes = self.writer.write(events).await?;
            self.count(about, outcomes, &mut counts)?;
        }
        for (collection, counts) in &counts {
            self.shared.tally.add(&self.feed.id, collection, counts);
        }
        let sum = counts.values().fold(Counts::default(), Counts::plus);
        self.shared.options.progress.event(&ProgressEvent::Advanced { feed: self.feed.id.clone(), counts: sum });
        self.unflushed += bytes;
        // A read of some records only covers nothing.
        if cursor.is_some() && self.shared.options.records.is_none() {
            self.cursor = cursor;
            self.moved = true;
        }
        Ok(())
    }

    fn count(
        &self,
        about: Vec<Option<(Key, bool)>>,
        outcomes: Vec<Outcome>,
        counts: &mut BTreeMap<crate::CollectionName, Counts>,
    ) -> Result<()> {
        if about.len() != outcomes.len() {
            return Err(Error::new(ErrorKind::Unexpected, "the sink did not give one outcome for each event")
                .with_context("events", about.len())
                .with_context("outcomes", outcomes.len()));
        }
        let mut tally = self.shared.tally.lock();
        for (about, outcome) in about.into_iter().zip(outcomes) {
            if let Some((key, was_put)) = about {
                let added = tally.outcome(self.feed, &key, was_put, outcome);
                let sum = counts.entry(key.collection).or_default();
                *sum = sum.plus(&added);
            }
        }
        Ok(())
    }

    /// Flushes if enough was written, or enough time has passed, since the last time; a checkpoint alone flushes
    /// nothing, and nothing is flushed without one.
    pub(super) async fn flush_if_due(&mut self) -> Result<()> {
        let options = &self.shared.options;
        let due = self.unflushed >= options.flush_bytes || self.flushed_at.elapsed() >= options.flush_every;
        if due && self.moved { self.flush().await } else { Ok(()) }
    }

    /// Makes everything written durable, with the cursor that covers it.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let cursor = if self.moved { self.cursor.clone() } else { None };
        self.flush_with(cursor.as_ref()).await
    }

    /// Makes everything written durable, with this cursor.
    pub(super) async fn flush_with(&mut self, cursor: Option<&Cursor>) -> Result<()> {
        self.writer.flush(cursor).await?;
        self.shared.known().insert(self.feed);
        self.shared.options.ids.flush()?;
        (self.moved, self.unflushed, self.flushed_at) = (false, 0, Instant::now());
        self.shared.options.progress.event(&ProgressEvent::Flushed { feed: self.feed.id.clone() });
        Ok(())
    }
}
