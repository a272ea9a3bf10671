use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    CollectionName, Counts, Feed, FeedId, FeedReport, FeedStatus, Gap, Key, Outcome, Problem, Refusal, Review,
    RunReport,
};

/// Refusals that a report lists one by one.
const MAX_REFUSALS: usize = 1000;

/// What the feeds of a run have counted so far.
#[derive(Debug)]
pub(super) struct Tally(Mutex<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) report: RunReport,
    /// Gaps of this run, for targets that do not remember them.
    pub(super) gaps: Vec<(FeedId, Gap)>,
    /// Records to give again once their references are there.
    pub(super) deferred: Vec<(Feed, Key)>,
    /// Collections of which a feed failed.
    pub(super) failed: BTreeSet<CollectionName>,
    /// Feeds of which a full read was judged.
    pub(super) judged: BTreeSet<FeedId>,
    /// Collections that a feed was read of.
    pub(super) touched: BTreeSet<CollectionName>,
    pub(super) cancelled: bool,
}

impl Tally {
    pub(super) fn new(report: RunReport) -> Self {
        Self(Mutex::new(Inner {
            report,
            gaps: Vec::new(),
            deferred: Vec::new(),
            failed: BTreeSet::new(),
            judged: BTreeSet::new(),
            touched: BTreeSet::new(),
            cancelled: false,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, feed: &FeedId, collection: &CollectionName, counts: &Counts) {
        let mut inner = self.lock();
        let sum = inner.report.collections.entry(collection.clone()).or_default();
        *sum = sum.plus(counts);
        let report = inner.report.feeds.entry(feed.clone()).or_insert_with(FeedReport::new);
        report.counts = report.counts.plus(counts);
    }

    /// Notes that a feed is judged in this run: what an earlier judgement of the run asked is answered by this one.
    pub(super) fn judging(&self, feed: &FeedId) {
        let mut inner = self.lock();
        inner.judged.insert(feed.clone());
        inner.report.reviews.retain(|review| &review.feed != feed);
    }

    pub(super) fn review(&self, review: Review) {
        self.lock().report.reviews.push(review);
    }

    pub(super) fn restarted(&self, feed: &FeedId) {
        self.lock().report.feeds.entry(feed.clone()).or_insert_with(FeedReport::new).restarts += 1;
    }

    pub(super) fn reset(&self, feed: &FeedId, why: &str) {
        self.lock().report.feeds.entry(feed.clone()).or_insert_with(FeedReport::new).reset = Some(why.to_owned());
    }

    /// Notes how a read of a feed ended; a failure is not forgotten when a later read goes well.
    pub(super) fn ended(&self, feed: &Feed, status: FeedStatus, problem: Option<Problem>) {
        let mut inner = self.lock();
        inner.touched.extend(feed.covers.iter().cloned());
        match status {
            FeedStatus::Failed => inner.failed.extend(feed.covers.iter().cloned()),
            FeedStatus::Cancelled => inner.cancelled = true,
            FeedStatus::Full | FeedStatus::Changes => {}
        }
        let report = inner.report.feeds.entry(feed.id.clone()).or_insert_with(FeedReport::new);
        if report.problem.is_none() {
            report.status = status;
            report.problem = problem;
        }
    }
}

impl Inner {
    /// Notes what became of one event; says what it adds to the counts.
    pub(super) fn outcome(&mut self, feed: &Feed, key: &Key, was_put: bool, outcome: Outcome) -> Counts {
        let mut counts = Counts::default();
        match outcome {
            Outcome::Stored if was_put => counts.written = 1,
            Outcome::Stored => counts.deleted = 1,
            Outcome::Unchanged if was_put => counts.unchanged = 1,
            Outcome::Unchanged => {}
            Outcome::Written(written) => {
                counts.written = 1;
                self.report.note_losses(&key.collection, &written.lost);
            }
            Outcome::Deferred(_) => self.deferred.push((feed.clone(), key.clone())),
            Outcome::Skipped(problem) => {
                counts.skipped = 1;
                self.refused(Refusal::new(key.clone(), false, *problem));
            }
            Outcome::Rejected(problem) => {
                counts.rejected = 1;
                self.refused(Refusal::new(key.clone(), true, *problem));
            }
        }
        counts
    }

    fn refused(&mut self, refusal: Refusal) {
        if self.report.refused.len() < MAX_REFUSALS {
            self.report.refused.push(refusal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Candidates, RunId, Scope};

    #[test]
    fn the_last_judgement_of_a_run_answers_the_reviews_before_it() {
        let run = RunId::new(chrono::DateTime::UNIX_EPOCH);
        let tally = Tally::new(RunReport::new(run, chrono::DateTime::UNIX_EPOCH));
        let [mine, other] = ["mine", "other"].map(FeedId::from_static);
        for feed in [&mine, &other] {
            tally.judging(feed);
            let scope = Scope::collection(CollectionName::from_static("notes"));
            tally.review(Review::new(feed.clone(), Candidates::none(scope), "too many", run));
        }
        tally.judging(&mine);
        let inner = tally.lock();
        let waiting: Vec<&FeedId> = inner.report.reviews.iter().map(|review| &review.feed).collect();
        assert_eq!((waiting, inner.judged.len()), (vec![&other], 2));
    }
}
