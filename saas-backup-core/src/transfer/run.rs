use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use tokio::task::JoinSet;

use super::Shared;
use super::batch::{Batch, FeedWriter};
use super::feed::{Ended, Job, expired, slice_of};
use super::listing::{Listing, Slices};
use super::stand_in::is_stand_in;
use crate::{
    CollectionName, Epoch, Error, ErrorKind, Event, Feed, FeedId, FeedReport, FeedState, FeedStatus, Gap, Key, Only,
    OpenGap, Problem, Reset, ResetReason, Result,
};

/// Rounds of resets in one run before a feed is given up.
const MAX_ROUNDS: u32 = 3;
/// Records that are asked for at once.
const RECORDS_AT_ONCE: usize = 500;
/// Rounds in which deferred records are given again.
const DEFERRED_ROUNDS: u32 = 3;

/// The order of a run: gaps, positions of logs, slices, logs, and what was deferred.
pub(super) struct Run {
    shared: Arc<Shared>,
    /// Where the feeds stand, resets of this run included.
    feeds: BTreeMap<FeedId, FeedState>,
    tasks: JoinSet<(Feed, Result<Ended>)>,
    cancelled: bool,
    /// A list of the feeds broke off.
    list_failed: bool,
}

impl Run {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let mut feeds = shared.state.feeds.clone();
        if shared.options.full {
            feeds.clear();
        }
        Self { shared, feeds, tasks: JoinSet::new(), cancelled: false, list_failed: false }
    }

    /// Runs to the end; when it returns, no task of it is left.
    pub(super) async fn finish(mut self) -> Result<()> {
        let result = self.phases().await;
        self.tasks.shutdown().await;
        result
    }

    async fn phases(&mut self) -> Result<()> {
        if self.shared.mirrors() && self.shared.options.records.is_none() {
            self.reread_gaps().await?;
        }
        let (mut logs, mut followed, mut slices) = (Vec::new(), Vec::new(), Vec::new());
        let mut listing = Listing::new(Arc::clone(&self.shared));
        while let Some(feed) = self.list(&mut listing).await {
            let Some(feed) = self.restricted(feed) else { continue };
            if feed.is_log() {
                // Slices are read below a log that failed too: a copy without its last changes is better than none.
                if self.position(&feed).await? {
                    followed.push(feed.clone());
                }
                logs.push(feed);
            } else if self.shared.target.ordered {
                slices.push(feed);
            } else if let Some(job) = self.slice_job(&feed, &logs) {
                self.start(job).await?;
            }
        }
        self.in_order(slices, &logs).await?;
        self.settle().await?;
        for log in followed {
            self.follow(&log).await?;
        }
        self.judge_vanished(&listing.into_slices()).await?;
        self.give_deferred().await
    }

    /// The next feed; `None` at the end of the list, or where it breaks off, which the report then says.
    async fn list(&mut self, listing: &mut Listing) -> Option<Feed> {
        match listing.next().await {
            Ok(feed) => feed,
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                self.cancelled = true;
                self.shared.tally.lock().cancelled = true;
                None
            }
            Err(error) => {
                self.feeds_failed(&error);
                None
            }
        }
    }

    /// Judges what is held of partitions and collections that the source lists no longer: no feed reads them any more.
    async fn judge_vanished(&mut self, listed: &Slices) -> Result<()> {
        let listed_all = |run: &Self| !run.cancelled && !run.list_failed;
        if !self.shared.mirrors() || self.shared.options.records.is_some() || !listed_all(self) {
            return Ok(());
        }
        let known = self.shared.sink.state().await?.feeds.into_values().map(|state| state.feed);
        let (told, known): (Vec<Feed>, Vec<Feed>) = known.partition(is_stand_in);
        let own: Slices = known.iter().collect();
        let (told, relieved): (Vec<Feed>, Vec<Feed>) = told.into_iter().partition(|feed| own.lacks(feed));
        for feed in relieved {
            self.shared.relieve(&feed).await?;
        }
        let mut vanished: Vec<Feed> = known.into_iter().chain(told).filter(|feed| listed.lacks(feed)).collect();
        if vanished.is_empty() {
            return Ok(());
        }
        // A partition may have come back meanwhile, and a log may have told of its records.
        let mut again = Listing::new(Arc::clone(&self.shared));
        while self.list(&mut again).await.is_some() {}
        let listed = again.into_slices();
        if !listed_all(self) {
            return Ok(());
        }
        vanished.retain(|feed| listed.lacks(feed));
        // The catalog lacks a collection that is gone, too.
        let everything = self.shared.options.collections.is_none();
        for feed in vanished.into_iter().filter_map(|feed| if everything { Some(feed) } else { self.restricted(feed) })
        {
            let Some(collection) = slice_of(&feed) else { continue };
            // The list itself has holes, and a gap says so.
            let is_hole = |gap: &Gap| &gap.collection == collection && gap.id.is_none() && gap.partition.is_none();
            let hole = self.shared.tally.lock().gaps.iter().any(|(_, gap)| is_hole(gap));
            if !hole {
                self.shared.judge_vanished(&feed, listed.any_of(collection)).await?;
            }
        }
        Ok(())
    }

    /// Reads again, alone, what is known to be missing.
    async fn reread_gaps(&mut self) -> Result<()> {
        if !self.shared.source.reads_records {
            return Ok(());
        }
        let mut missing: BTreeMap<FeedId, (Feed, BTreeSet<Key>)> = BTreeMap::new();
        for open in &self.shared.state.gaps {
            if let (Some(id), Some(feed)) = (&open.gap.id, self.speaks_of(open)) {
                let key = Key::new(open.gap.collection.clone(), id.clone());
                missing.entry(feed.id.clone()).or_insert_with(|| (feed.clone(), BTreeSet::new())).1.insert(key);
            }
        }
        for (feed, keys) in missing.into_values() {
            if self.restricted(feed.clone()).is_some() {
                self.start_records(&feed, keys.into_iter().collect()).await?;
            }
        }
        self.settle().await
    }

    /// The feed by which a gap is read again: the one that reported it, or, where that one is forgotten with its
    /// partition, one that speaks of where the record is.
    fn speaks_of(&self, open: &OpenGap) -> Option<&Feed> {
        let feeds = &self.shared.state.feeds;
        if let Some(state) = feeds.get(&open.feed) {
            return Some(&state.feed);
        }
        let gap = &open.gap;
        let here = |feed: &&Feed| feed.scope().contains(&gap.collection, gap.partition.as_ref()) && !is_stand_in(feed);
        feeds.values().map(|state| &state.feed).filter(here).min_by_key(|feed| feed.is_log())
    }

    /// The feed with the collections that this run is about; `None` if there are none.
    fn restricted(&self, mut feed: Feed) -> Option<Feed> {
        feed.covers.retain(|name| self.shared.catalog.get(name).is_some());
        if let Some(records) = &self.shared.options.records {
            feed.covers.retain(|name| records.iter().any(|key| &key.collection == name));
        }
        (!feed.covers.is_empty()).then_some(feed)
    }

    /// Makes sure that a log has a position before any slice that it covers is read. `false` if that failed.
    async fn position(&mut self, log: &Feed) -> Result<bool> {
        if !self.shared.mirrors() {
            return Ok(true);
        }
        let Some(state) = self.feeds.get(&log.id).filter(|state| state.cursor.is_some()) else {
            return self.reposition(log, expired(log)).await;
        };
        let new = log.covers.iter().filter(|name| !state.feed.covers.contains(name));
        let new: Vec<CollectionName> = new.cloned().collect();
        if !new.is_empty() {
            self.widen(log, Reset::new(new, ResetReason::CoverageChanged)).await?;
        }
        Ok(true)
    }

    /// Drops what is known of collections that a log covers from now on: they are read in full, and then followed from
    /// the position that it has. A newer one would pass over what happened to the others meanwhile.
    async fn widen(&mut self, log: &Feed, reset: Reset) -> Result<()> {
        self.forget_slices(&reset.collections, log);
        let mut sink = FeedWriter::open(&self.shared, log).await?;
        sink.write(Batch { events: vec![Event::Reset(reset)], ..Batch::default() }).await?;
        sink.flush().await?;
        sink.writer.close().await
    }

    async fn reposition(&mut self, log: &Feed, reset: Reset) -> Result<bool> {
        self.forget_slices(&reset.collections, log);
        let job = Job { reset: Some(reset), only: self.only(log), ..Job::new(log.clone()) };
        self.start(job).await?;
        self.settle().await?;
        let noted = self.shared.tally.lock().report.feeds.get(&log.id).map(|report| report.status);
        Ok(noted == Some(FeedStatus::Changes))
    }

    fn forget_slices(&mut self, collections: &[CollectionName], log: &Feed) {
        let all = collections.is_empty();
        let hit = |name: &CollectionName| if all { log.covers.contains(name) } else { collections.contains(name) };
        self.feeds.retain(|_, state| !slice_of(&state.feed).is_some_and(hit));
    }

    fn only(&self, feed: &Feed) -> Only {
        if feed.is_log() && self.shared.options.collections.is_some() {
            Only::Collections(feed.covers.clone())
        } else {
            Only::All
        }
    }

    /// How to read a slice now; `None` if a log has kept it up to date.
    fn slice_job(&self, feed: &Feed, logs: &[Feed]) -> Option<Job> {
        let shared = &self.shared;
        let (options, mut job) = (&shared.options, Job::new(feed.clone()));
        if let Some(keys) = &options.records {
            if shared.source.reads_records {
                let mine = keys.iter().filter(|key| feed.covers.contains(&key.collection));
                job.only = Only::Records(mine.cloned().collect());
            }
            return Some(job);
        }
        if !shared.mirrors() {
            return Some(job);
        }
        let now = options.clock.now();
        let new_epoch = Some(Epoch::new(now));
        let Some(state) = self.feeds.get(&feed.id) else {
            return Some(Job { epoch: new_epoch, ..job });
        };
        let scope = feed.scope();
        let hole = shared.state.gaps.iter().any(|open| {
            let gap = &open.gap;
            gap.id.is_none() && scope.contains(&gap.collection, gap.partition.as_ref())
        });
        if hole {
            return Some(Job { epoch: new_epoch, ..job });
        }
        if state.epoch.is_some() && state.cursor.is_some() {
            // A full read, or a sweep, is under way: go on with it.
            job.sweep = state.full_at.is_some() && shared.source.sweeps;
            return Some(Job { from: state.cursor.clone(), epoch: state.epoch, ..job });
        }
        let every = if shared.source.sweeps { options.sweep_every } else { options.full_every };
        let every = TimeDelta::from_std(every).unwrap_or(TimeDelta::MAX);
        let waits = shared.state.reviews.iter().any(|review| review.feed == feed.id);
        let old = !shared.source.reports_deletions && state.full_at.is_none_or(|at| now - at >= every);
        let due = waits || old;
        let covered = logs.iter().any(|log| feed.covers.iter().all(|name| log.covers.contains(name)));
        if covered && state.full_at.is_some() && !due {
            return None;
        }
        let usable = shared.source.incremental && (!covered || state.full_at.is_some());
        let Some(cursor) = state.cursor.clone().filter(|_| usable && (!due || shared.source.sweeps)) else {
            return Some(Job { epoch: new_epoch, ..job });
        };
        if due {
            return Some(Job { from: Some(cursor), sweep: true, epoch: new_epoch, ..job });
        }
        Some(Job { from: Some(cursor), ..job })
    }

    /// Reads slices collection by collection, in restore order.
    async fn in_order(&mut self, slices: Vec<Feed>, logs: &[Feed]) -> Result<()> {
        for name in self.shared.catalog.restore_order() {
            for feed in slices.iter().filter(|feed| slice_of(feed) == Some(&name)) {
                if let Some(job) = self.slice_job(feed, logs) {
                    self.start(job).await?;
                }
            }
            self.settle().await?;
        }
        Ok(())
    }

    /// Reads a log to its end, and the slices that it can no longer follow in full.
    async fn follow(&mut self, log: &Feed) -> Result<()> {
        if !self.shared.mirrors() || self.cancelled {
            return Ok(());
        }
        for _ in 0..MAX_ROUNDS {
            let state = self.shared.sink.state().await?;
            let from = state.feeds.get(&log.id).and_then(|state| state.cursor.clone());
            let job = Job { from, only: self.only(log), ..Job::new(log.clone()) };
            match self.shared.read_feed(job).await? {
                Ended::Failed => return Ok(()),
                Ended::Cancelled => {
                    self.cancelled = true;
                    return Ok(());
                }
                Ended::Finished { reset } if reset.is_empty() => return Ok(()),
                Ended::Finished { reset } => {
                    for reset in reset {
                        self.shared.tally.reset(&log.id, "the log could not tell all changes");
                        self.forget_slices(&reset.collections, log);
                    }
                }
                Ended::Expired => {
                    if !self.reposition(log, expired(log)).await? {
                        return Ok(());
                    }
                }
            }
            self.reread_slices(log).await?;
        }
        let error = Error::new(ErrorKind::LimitExceeded, "the log was reset again and again in one run");
        self.shared.tally.ended(log, FeedStatus::Failed, Some(Problem::from(&error)));
        Ok(())
    }

    /// Reads the slices of a log whose positions were dropped.
    async fn reread_slices(&mut self, log: &Feed) -> Result<()> {
        let mut listing = Listing::new(Arc::clone(&self.shared));
        while let Some(feed) = self.list(&mut listing).await {
            let known = self.feeds.contains_key(&feed.id);
            let Some(feed) = self.restricted(feed).filter(|feed| !feed.is_log() && !known) else { continue };
            if feed.covers.iter().all(|name| log.covers.contains(name))
                && let Some(job) = self.slice_job(&feed, std::slice::from_ref(log))
            {
                self.start(job).await?;
            }
        }
        self.settle().await
    }

    /// Gives the records again that waited for others, until nothing changes any more.
    async fn give_deferred(&mut self) -> Result<()> {
        for round in 0..DEFERRED_ROUNDS {
            let deferred = std::mem::take(&mut self.shared.tally.lock().deferred);
            if deferred.is_empty() {
                return Ok(());
            }
            if !self.shared.target.defers || !self.shared.source.reads_records {
                let error = Error::new(ErrorKind::Unsupported, "the source cannot read single records again");
                self.leave(&deferred, &error);
                return Ok(());
            }
            tracing::debug!(records = deferred.len(), round, "giving deferred records again");
            let mut by_feed: BTreeMap<FeedId, (Feed, Vec<Key>)> = BTreeMap::new();
            for (feed, key) in deferred {
                by_feed.entry(feed.id.clone()).or_insert_with(|| (feed, Vec::new())).1.push(key);
            }
            for (feed, keys) in by_feed.into_values() {
                self.start_records(&feed, keys).await?;
            }
            self.settle().await?;
        }
        let left = std::mem::take(&mut self.shared.tally.lock().deferred);
        self.leave(&left, &Error::new(ErrorKind::NotFound, "records that it points to did not come along"));
        Ok(())
    }

    fn leave(&self, left: &[(Feed, Key)], error: &Error) {
        let mut tally = self.shared.tally.lock();
        for (feed, key) in left {
            let problem = Box::new(Problem::from(error));
            let counts = tally.outcome(feed, key, true, crate::Outcome::Skipped(problem));
            let sum = tally.report.collections.entry(key.collection.clone()).or_default();
            *sum = sum.plus(&counts);
        }
    }

    async fn start_records(&mut self, feed: &Feed, keys: Vec<Key>) -> Result<()> {
        for keys in keys.chunks(RECORDS_AT_ONCE) {
            let only = Only::Records(keys.to_vec());
            self.start(Job { only, ..Job::new(feed.clone()) }).await?;
            // One writer a feed at a time.
            self.settle().await?;
        }
        Ok(())
    }

    async fn start(&mut self, job: Job) -> Result<()> {
        while self.tasks.len() >= self.shared.options.feeds_in_flight.max(1) {
            self.next().await?;
        }
        if self.cancelled {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let feed = job.feed.clone();
            let ended = shared.read_feed(job).await;
            drop(shared);
            (feed, ended)
        });
        Ok(())
    }

    /// Waits until every feed that was started has ended.
    async fn settle(&mut self) -> Result<()> {
        while !self.tasks.is_empty() {
            self.next().await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<()> {
        match self.tasks.join_next().await {
            Some(Ok((_, Ok(Ended::Cancelled)))) => {
                self.cancelled = true;
                Ok(())
            }
            None | Some(Ok((_, Ok(_)))) => Ok(()),
            Some(Ok((feed, Err(error)))) => Err(error.with_context("feed", feed.id)),
            Some(Err(error)) => {
                Err(Error::new(ErrorKind::Unexpected, "a feed ended without a result").with_source(error))
            }
        }
    }

    /// The list of feeds broke off: what was not listed was not read.
    fn feeds_failed(&mut self, error: &Error) {
        self.list_failed = true;
        let mut tally = self.shared.tally.lock();
        tally.failed.extend(self.shared.catalog.names().cloned());
        let mut report = FeedReport::new();
        report.problem = Some(Problem::from(error));
        tally.report.feeds.insert(FeedId::from_static("(list of feeds)"), report);
    }
}
