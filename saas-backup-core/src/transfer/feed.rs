use std::collections::BTreeSet;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::Shared;
use super::batch::{Batch, FeedWriter};
use super::guard::{Evidence, Judgement, judge};
use super::retry;
use crate::{
    Cursor, Done, Epoch, Error, ErrorKind, Event, EventStream, Extent, Feed, FeedId, FeedKind, FeedStatus, Key, Only,
    Problem, ProgressEvent, ReadRequest, Reset, ResetReason, Result, Review, Scope, Verdict,
};

/// One read of one feed.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) feed: Feed,
    pub(super) from: Option<Cursor>,
    pub(super) only: Only,
    pub(super) sweep: bool,
    /// The full read that begins or goes on with this read.
    pub(super) epoch: Option<Epoch>,
    /// Written before the first event, and durable with the first flush.
    pub(super) reset: Option<Reset>,
}

impl Job {
    pub(super) fn new(feed: Feed) -> Self {
        Self { feed, from: None, only: Only::All, sweep: false, epoch: None, reset: None }
    }
}

/// How a read of a feed ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was read to its end; these collections must be read in full now.
    Finished {
        reset: Vec<Reset>,
    },
    /// A log refused its cursor.
    Expired,
    /// The source failed; the report says how.
    Failed,
    Cancelled,
}

/// What becomes of an extent that the guard lets through, and of one that it stops.
struct Verdicts {
    pass: Verdict,
    stop: Verdict,
}

/// How one stream ended.
enum StreamEnd {
    Done(Done),
    Failed(Error),
    Cancelled,
    /// The writing half gave up first, and knows why.
    Refused,
}

impl Shared {
    /// Reads one feed into the sink. An error is the sink's and ends the run; what goes wrong at the source is noted.
    pub(super) async fn read_feed(&self, job: Job) -> Result<Ended> {
        let mut sink = FeedWriter::open(self, &job.feed).await?;
        let ended = self.read_with(&job, &mut sink).await?;
        sink.writer.close().await?;
        Ok(ended)
    }

    async fn read_with(&self, job: &Job, sink: &mut FeedWriter<'_>) -> Result<Ended> {
        let feed = &job.feed;
        let (mut from, mut epoch, mut sweep) = (job.from.clone(), job.epoch, job.sweep);
        let (mut restarts, mut resets, mut read_again) = (0, Vec::new(), false);
        if let Some(reset) = &job.reset {
            sink.write(Batch { events: vec![Event::Reset(reset.clone())], ..Batch::default() }).await?;
        }
        loop {
            if let Some(epoch) = epoch {
                sink.writer.open_extent(epoch).await?;
            }
            let resumed = from.is_some();
            self.options.progress.event(&ProgressEvent::FeedStarted { feed: feed.clone(), resumed });
            let request =
                ReadRequest::new(feed.clone()).with_from(from.clone()).with_only(job.only.clone()).with_sweep(sweep);
            let before = sink.cursor.clone();
            match self.pump(feed, self.snapshot.read(request), sink, &mut resets).await? {
                StreamEnd::Done(done) => {
                    // A full read that broke off after its last checkpoint goes on as an increment, which cannot say
                    // what is gone.
                    let has_no_end = done.extent == Extent::Changes && epoch.is_some() && resumed && !sweep;
                    if has_no_end {
                        sink.flush().await?;
                    }
                    if has_no_end && read_again {
                        let error = Error::new(ErrorKind::Unavailable, "the read broke off before its end twice");
                        self.note(feed, FeedStatus::Failed, Some(Problem::from(&error)));
                        return Ok(Ended::Failed);
                    }
                    if has_no_end {
                        self.tally.reset(&feed.id, "its full read broke off before it said that it was full");
                        (from, epoch, read_again) = (None, Some(Epoch::new(self.options.clock.now())), true);
                        continue;
                    }
                    let status = self.finish_feed(job, &done, epoch, sweep, sink).await?;
                    self.note(feed, status, None);
                    return Ok(Ended::Finished { reset: resets });
                }
                StreamEnd::Refused => {
                    return Err(Error::new(ErrorKind::Unexpected, "the writing half of a feed ended first"));
                }
                StreamEnd::Cancelled => {
                    sink.flush().await?;
                    self.note(feed, FeedStatus::Cancelled, None);
                    return Ok(Ended::Cancelled);
                }
                StreamEnd::Failed(error) if error.kind() == ErrorKind::CursorExpired && from.is_some() => {
                    self.tally.reset(&feed.id, error.message());
                    // An extent begins after what was flushed: it judges what was just written, too.
                    sink.flush().await?;
                    if feed.is_log() {
                        return Ok(Ended::Expired);
                    }
                    // From here on it is a full read, whatever it was before.
                    from = None;
                    sweep = false;
                    epoch = self.mirrors().then(|| Epoch::new(self.options.clock.now()));
                }
                StreamEnd::Failed(error) => {
                    sink.flush().await?;
                    restarts = if sink.cursor == before { restarts + 1 } else { 1 };
                    let Some(wait) = retry::pause(&self.options, &error, restarts) else {
                        tracing::warn!(feed = %feed.id, %error, "a feed could not be read to its end");
                        self.note(feed, FeedStatus::Failed, Some(Problem::from(&error)));
                        return Ok(Ended::Failed);
                    };
                    self.tally.restarted(&feed.id);
                    from = sink.cursor.clone().or(from);
                    if from.is_none() {
                        // It begins anew: what was seen before may be gone since, and no later position tells of it.
                        epoch = epoch.map(|_| Epoch::new(self.options.clock.now()));
                    }
                    self.options.progress.event(&ProgressEvent::Waiting { feed: feed.id.clone(), wait });
                    if !retry::wait(&self.options, wait).await {
                        self.note(feed, FeedStatus::Cancelled, None);
                        return Ok(Ended::Cancelled);
                    }
                }
            }
        }
    }

    /// Reads a stream to its end and writes it, the next batch being read while one is written.
    async fn pump(
        &self,
        feed: &Feed,
        stream: EventStream,
        sink: &mut FeedWriter<'_>,
        resets: &mut Vec<Reset>,
    ) -> Result<StreamEnd> {
        let (sender, mut receiver) = mpsc::channel::<Batch>(1);
        let reading = self.read_batches(feed, stream, sender);
        let writing = async {
            while let Some(batch) = receiver.recv().await {
                for event in &batch.events {
                    if let Event::Reset(reset) = event {
                        resets.push(reset.clone());
                    }
                }
                let written = sink.write(batch).await;
                let flushed = match written {
                    Ok(()) => sink.flush_if_due().await,
                    Err(error) => Err(error),
                };
                if let Err(error) = flushed {
                    receiver.close();
                    return Err(error);
                }
            }
            Ok(())
        };
        let (end, written) = tokio::join!(reading, writing);
        written.map(|()| end)
    }

    async fn read_batches(&self, feed: &Feed, mut stream: EventStream, sender: mpsc::Sender<Batch>) -> StreamEnd {
        let only: Option<BTreeSet<&Key>> = self.options.records.as_ref().map(|keys| keys.iter().collect());
        let mut batch = Batch::default();
        let end = loop {
            let next = tokio::select! {
                biased;
                () = self.options.cancel.cancelled() => break StreamEnd::Cancelled,
                next = stream.next() => next,
            };
            match next {
                None => break StreamEnd::Failed(Error::new(ErrorKind::Unavailable, "the stream was cut")),
                Some(Err(error)) => break StreamEnd::Failed(error),
                Some(Ok(Event::Done(done))) => break StreamEnd::Done(done),
                Some(Ok(Event::Checkpoint(cursor))) => batch.cursor = Some(cursor),
                // A slice speaks of nothing but itself: it cannot go on from where it was.
                Some(Ok(Event::Reset(_))) if !feed.is_log() => {
                    break StreamEnd::Failed(Error::new(ErrorKind::CursorExpired, "the provider reset the feed"));
                }
                Some(Ok(event)) => {
                    let wanted = only.as_ref().is_none_or(|only| event.key().is_some_and(|key| only.contains(&key)));
                    if wanted {
                        batch.bytes += event.weight();
                        batch.events.push(event);
                    }
                }
            }
            let options = &self.options;
            let is_due = batch.events.len() >= options.batch_events || batch.bytes >= options.batch_bytes;
            if is_due && sender.send(std::mem::take(&mut batch)).await.is_err() {
                return StreamEnd::Refused;
            }
        };
        if (!batch.events.is_empty() || batch.cursor.is_some()) && sender.send(batch).await.is_err() {
            return StreamEnd::Refused;
        }
        end
    }

    /// Judges what a full read did not see, and makes the end of the read durable.
    async fn finish_feed(
        &self,
        job: &Job,
        done: &Done,
        epoch: Option<Epoch>,
        sweep: bool,
        sink: &mut FeedWriter<'_>,
    ) -> Result<FeedStatus> {
        // Only an extent that the sink has followed from its first event can tell what is gone.
        if done.extent == Extent::Changes || (self.mirrors() && epoch.is_none()) {
            if epoch.is_some() {
                // Left open, the extent would make a full read of every later increment.
                sink.writer.close_extent(&done.scope, Verdict::Keep, self.options.clock.now()).await?;
            }
            sink.flush().await?;
            return Ok(FeedStatus::Changes);
        }
        if epoch.is_none() {
            sink.flush().await?;
            return Ok(FeedStatus::Full);
        }
        // An extent of an earlier run may be a full read as well as a sweep: what it began with is not remembered.
        let began_here = self.state.feeds.get(&job.feed.id).is_none_or(|before| before.epoch != epoch);
        let stop = if sweep && began_here { Verdict::Keep } else { Verdict::Restart };
        let verdicts = Verdicts { pass: Verdict::Delete, stop };
        self.judge_extent(&job.feed.id, &done.scope, verdicts, sink).await?;
        Ok(FeedStatus::Full)
    }

    /// Asks the guard about what the open extent did not see, and makes its word durable.
    async fn judge_extent(
        &self,
        feed: &FeedId,
        scope: &Scope,
        verdicts: Verdicts,
        sink: &mut FeedWriter<'_>,
    ) -> Result<()> {
        let candidates = sink.writer.candidates(scope).await?;
        let judgement = judge(
            self.options.guard,
            &Evidence {
                candidates: &candidates,
                saw_anything: sink.saw_anything,
                gaps: &sink.gaps,
                worse_coverage: &self.worse,
                reviews: &self.state.reviews,
                feed,
                accepted: self.options.accept_deletions,
            },
        );
        self.tally.judging(feed);
        let now = self.options.clock.now();
        match judgement {
            Judgement::Pass => {
                let deleted = sink.writer.close_extent(scope, verdicts.pass, now).await?;
                let counts = crate::Counts { deleted, ..crate::Counts::default() };
                if let Some(collection) = scope.collections.first().filter(|_| deleted > 0) {
                    self.tally.add(feed, collection, &counts);
                }
                sink.flush().await?;
            }
            Judgement::Stop(reason) => {
                sink.writer.close_extent(scope, verdicts.stop, now).await?;
                // The cursor does not advance: what was not believed is read again.
                sink.flush_with(None).await?;
                let earlier = self.state.reviews.iter().find(|review| &review.feed == feed);
                let since = earlier.map_or(self.run, |review| review.since);
                tracing::warn!(%feed, candidates = candidates.count, reason, "deletions need a review");
                self.tally.review(Review::new(feed.clone(), candidates, reason, since));
            }
        }
        Ok(())
    }

    /// Judges the records of a slice that the source lists no longer, as a full read of it would that sees none;
    /// `in_company`: other partitions of the collection were listed.
    pub(super) async fn judge_vanished(&self, feed: &Feed, in_company: bool) -> Result<()> {
        let mut sink = FeedWriter::open(self, feed).await?;
        sink.writer.open_extent(Epoch::new(self.options.clock.now())).await?;
        sink.saw_anything = in_company;
        let verdicts = Verdicts { pass: Verdict::Gone, stop: Verdict::Restart };
        self.judge_extent(&feed.id, &feed.scope(), verdicts, &mut sink).await?;
        self.tally.reset(&feed.id, "the source lists it no longer");
        self.note(feed, FeedStatus::Full, None);
        sink.writer.close().await
    }

    fn note(&self, feed: &Feed, status: FeedStatus, problem: Option<Problem>) {
        self.tally.ended(feed, status, problem);
        self.options.progress.event(&ProgressEvent::FeedFinished { feed: feed.id.clone(), status });
    }
}

/// What a reset of a log's cursor means for the slices that it covers.
pub(super) fn expired(feed: &Feed) -> Reset {
    Reset::new(feed.covers.clone(), ResetReason::CursorExpired)
}

/// The collection and partition of a slice.
pub(super) fn slice_of(feed: &Feed) -> Option<&crate::CollectionName> {
    match &feed.kind {
        FeedKind::Slice { collection, .. } => Some(collection),
        FeedKind::Log => None,
    }
}
