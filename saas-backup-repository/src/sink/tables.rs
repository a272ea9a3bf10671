use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saas_backup_core::{
    BlobId, Catalog, CollectionName, Completeness, Coverage, Deletion, DeletionReason, Digest, Error, ErrorKind,
    FeedId, FeedKind, FeedState, Gap, Held, Key, Line, LineCodec, OpenGap, PartitionId, RecordId, Result, Review,
    RunId, RunReport, Scope,
};
use serde::{Deserialize, Serialize};

use super::remembered::DigestSet;
use crate::object::{Family, LineBuffer, Says};
use crate::read::{Bounds, Merge, PointSnapshot};
use crate::reserved::{self, FeedRow, ReportRow};

/// What the store knows of the source, and which of it is not durable yet.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) feeds: BTreeMap<FeedId, FeedState>,
    /// The digests of keys that a full read under way saw, by feed.
    pub(super) seen: BTreeMap<FeedId, Vec<u64>>,
    pub(super) gaps: BTreeMap<String, OpenGap>,
    pub(super) held: HeldRow,
    pub(super) catalog: Catalog,
    pub(super) coverage: Option<Coverage>,
    pub(super) reviews: Vec<Review>,
    pub(super) report: Option<RunReport>,
    /// The row of the last report: one that says the same is not written again.
    reported: Option<ReportRow>,
    moved: BTreeSet<FeedId>,
    changed_gaps: BTreeSet<String>,
    catalog_changed: bool,
    held_changed: bool,
    coverage_changed: bool,
}

/// What is held, and whether every line was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldRow {
    /// Whether every record was remembered from the first on.
    pub(crate) remembered: bool,
    pub(crate) collections: BTreeMap<CollectionName, Held>,
}

/// A change to the tables that waits for its writer's flush.
#[derive(Debug)]
pub(super) enum TableChange {
    Gap(Gap),
    /// The record's gaps are closed, but for those of blobs that are still missing.
    CloseGaps(Key, Vec<BlobId>),
    /// The record's gaps are closed; in one partition, if it is named.
    CloseDeleted(Key, Option<PartitionId>),
    /// Gaps of a scope are closed, but for those that were reported again and those of records that were only seen.
    CloseScope {
        scope: Scope,
        reported: Vec<Gap>,
        seen: DigestSet,
    },
    Reset(Vec<CollectionName>),
    /// The feed does not exist any more.
    Forget,
}

impl Tables {
    /// Reads what was true at the head.
    pub(super) async fn load(head: &PointSnapshot) -> Result<Self> {
        let mut tables = Self::default();
        for line in rows(head, reserved::FEEDS).await? {
            let mut row: FeedRow = reserved::value(&line)?;
            let seen = decode_seen(&std::mem::take(&mut row.seen))?;
            let state = row.into_state(&reserved::record(&line)?.key.id)?;
            if state.epoch.is_some() {
                tables.seen.insert(state.feed.id.clone(), seen);
            }
            tables.feeds.insert(state.feed.id.clone(), state);
        }
        for line in rows(head, reserved::GAPS).await? {
            let open: OpenGap = reserved::value(&line)?;
            tables.gaps.insert(place(&open.gap), open);
        }
        for line in rows(head, reserved::REVIEWS).await? {
            tables.reviews.push(reserved::value(&line)?);
        }
        if let Some(line) = head.row(reserved::HELD, reserved::ONLY).await? {
            tables.held = reserved::value(&line.text)?;
        }
        if let Some(line) = head.row(reserved::CATALOG, reserved::ONLY).await? {
            tables.catalog = reserved::value(&line.text)?;
        }
        if let Some(line) = head.row(reserved::COVERAGE, reserved::ONLY).await? {
            tables.coverage = Some(reserved::value(&line.text)?);
        }
        tables.report = head.report().await?;
        tables.reported = tables.report.as_ref().map(ReportRow::new).transpose()?;
        Ok(tables)
    }

    /// Adds the collections of a run's catalog, and replaces what is known of them.
    pub(super) fn learn(&mut self, catalog: &Catalog) {
        let mut known = self.catalog.clone();
        for collection in &catalog.collections {
            match known.collections.iter_mut().find(|known| known.name == collection.name) {
                Some(known) => known.clone_from(collection),
                None => known.collections.push(collection.clone()),
            }
        }
        if known != self.catalog {
            self.catalog = known;
            self.catalog_changed = true;
        }
    }

    pub(super) fn set_feed(&mut self, state: FeedState, seen: Option<Vec<u64>>) {
        let id = state.feed.id.clone();
        let same_seen = seen.as_ref() == self.seen.get(&id);
        if self.feeds.get(&id) == Some(&state) && same_seen {
            return;
        }
        match seen {
            Some(seen) => self.seen.insert(id.clone(), seen),
            None => self.seen.remove(&id),
        };
        self.feeds.insert(id.clone(), state);
        self.moved.insert(id);
    }

    pub(super) fn count(&mut self, collection: &CollectionName, change: impl FnOnce(&mut Held)) {
        let held = self.held.collections.entry(collection.clone()).or_default();
        let before = *held;
        change(held);
        self.held_changed |= before != *held;
    }

    pub(super) fn set_remembered(&mut self, remembered: bool) {
        self.held_changed |= self.held.remembered != remembered;
        self.held.remembered = remembered;
        if !remembered {
            self.held.collections.values_mut().for_each(|held| held.records = None);
        }
    }

    /// Makes a change true; `digest` gives the digest by which a key is remembered.
    pub(super) fn apply(&mut self, change: TableChange, feed: &FeedId, run: RunId, digest: impl Fn(&Key) -> u64) {
        match change {
            TableChange::Gap(gap) => {
                let place = place(&gap);
                match self.gaps.get_mut(&place) {
                    Some(open) if open.gap == gap => return,
                    Some(open) => open.gap = gap,
                    None => {
                        self.gaps.insert(place.clone(), OpenGap::new(feed.clone(), gap, run));
                    }
                }
                self.changed_gaps.insert(place);
            }
            TableChange::CloseGaps(key, missing) => self.close_gaps(|gap| {
                gap.collection == key.collection
                    && gap.id.as_ref() == Some(&key.id)
                    && gap.blob.as_ref().is_none_or(|blob| !missing.contains(blob))
            }),
            TableChange::CloseDeleted(key, left) => self.close_gaps(|gap| {
                // A record that left one partition may still be missing in another.
                let elsewhere = left.is_some() && gap.partition.is_some() && gap.partition != left;
                gap.collection == key.collection && gap.id.as_ref() == Some(&key.id) && !elsewhere
            }),
            TableChange::CloseScope { scope, reported, seen } => self.close_gaps(|gap| {
                let key = gap.id.clone().map(|id| Key::new(gap.collection.clone(), id));
                scope.contains(&gap.collection, gap.partition.as_ref())
                    && !reported.iter().any(|other| other.same_place(gap))
                    && !key.is_some_and(|key| seen.contains(&digest(&key)))
            }),
            TableChange::Reset(collections) => {
                for (id, state) in &mut self.feeds {
                    if matches!(&state.feed.kind, FeedKind::Slice { collection, .. } if collections.contains(collection))
                    {
                        *state = FeedState::new(state.feed.clone());
                        self.seen.remove(id);
                        self.moved.insert(id.clone());
                    }
                }
            }
            TableChange::Forget => {
                self.feeds.remove(feed);
                self.seen.remove(feed);
                self.moved.insert(feed.clone());
            }
        }
    }

    fn close_gaps(&mut self, is_closed: impl Fn(&Gap) -> bool) {
        // Looking through all gaps for each record that arrives would cost the product of both.
        if self.gaps.is_empty() {
            return;
        }
        let changed = &mut self.changed_gaps;
        self.gaps.retain(|place, open| {
            let closed = is_closed(&open.gap);
            if closed {
                changed.insert(place.clone());
            }
            !closed
        });
    }

    /// Whether something beside the feeds' positions changed.
    pub(super) fn is_changed(&self) -> bool {
        !self.changed_gaps.is_empty() || self.catalog_changed || self.held_changed
    }

    pub(super) fn has_gaps(&self) -> bool {
        !self.gaps.is_empty()
    }

    pub(super) fn has_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    pub(super) fn moved(&self) -> impl Iterator<Item = &FeedId> {
        self.moved.iter()
    }

    /// Takes over what a finished run reports; whether that is news.
    pub(super) fn finish(&mut self, report: &RunReport) -> bool {
        let before = self.report.as_ref();
        let same = before.is_some_and(|before| {
            before.status == report.status
                && before.reviews == report.reviews
                && before.coverage == report.coverage
                && lasting(&before.completeness) == lasting(&report.completeness)
        });
        self.coverage_changed |= self.coverage.as_ref() != Some(&report.coverage);
        self.coverage = Some(report.coverage.clone());
        self.reviews.clone_from(&report.reviews);
        self.report = Some(report.clone());
        !same
    }

    /// Writes the rows of what changed, and forgets that it changed.
    pub(super) fn write(&mut self, out: &mut LineBuffer, finished: Option<&[Review]>) -> Result<()> {
        for id in std::mem::take(&mut self.moved) {
            let key = reserved::key(reserved::FEEDS, id.as_str())?;
            match self.feeds.get(&id) {
                Some(state) => {
                    let seen = self.seen.get(&id).map(|seen| encode_seen(seen)).unwrap_or_default();
                    put(out, key, &FeedRow::new(state, seen))?;
                }
                None => delete(out, key)?,
            }
        }
        for place in std::mem::take(&mut self.changed_gaps) {
            let key = reserved::key(reserved::GAPS, &place)?;
            match self.gaps.get(&place) {
                Some(open) => put(out, key, open)?,
                None => delete(out, key)?,
            }
        }
        if std::mem::take(&mut self.catalog_changed) {
            put(out, reserved::key(reserved::CATALOG, reserved::ONLY)?, &self.catalog)?;
        }
        if std::mem::take(&mut self.held_changed) {
            put(out, reserved::key(reserved::HELD, reserved::ONLY)?, &self.held)?;
        }
        let Some(reviews_before) = finished else { return Ok(()) };
        if let Some(coverage) = self.coverage.as_ref().filter(|_| self.coverage_changed) {
            put(out, reserved::key(reserved::COVERAGE, reserved::ONLY)?, coverage)?;
        }
        self.coverage_changed = false;
        if let Some(report) = &self.report {
            let row = ReportRow::new(report)?;
            if self.reported.as_ref() != Some(&row) {
                put(out, reserved::key(reserved::REPORT, reserved::ONLY)?, &row)?;
            }
            self.reported = Some(row);
        }
        for review in reviews_before.iter().filter(|before| self.reviews.iter().all(|now| now.feed != before.feed)) {
            delete(out, reserved::key(reserved::REVIEWS, review.feed.as_str())?)?;
        }
        for review in &self.reviews {
            put(out, reserved::key(reserved::REVIEWS, review.feed.as_str())?, review)?;
        }
        Ok(())
    }
}

/// Completeness without the time of the last full read: that moves with every run.
fn lasting(completeness: &Completeness) -> Completeness {
    let mut lasting = completeness.clone();
    lasting.collections.values_mut().for_each(|collection| collection.deletions_as_of = None);
    lasting
}

async fn rows(head: &PointSnapshot, collection: &'static str) -> Result<Vec<bytes::Bytes>> {
    let collection = Some(reserved::collection(collection));
    let bounds = Bounds { collection, ..Bounds::all(Family::Meta, head.at) };
    let mut merge = Merge::open(std::sync::Arc::clone(&head.shared.access), &head.map, bounds).await?;
    let mut rows = Vec::new();
    while let Some(group) = merge.next().await? {
        rows.extend(group.live().map(|line| line.text.clone()));
    }
    Ok(rows)
}

/// The id of a gap's row: 32 hexadecimal digits of the digest of what is missing.
fn place(gap: &Gap) -> String {
    let parts = [
        Some(gap.collection.as_str()),
        gap.id.as_ref().map(RecordId::as_str),
        gap.blob.as_ref().map(BlobId::as_str),
        gap.partition.as_ref().map(PartitionId::as_str),
    ];
    let joined = parts.map(Option::unwrap_or_default).join("\u{0}");
    Digest::of(joined.as_bytes()).to_string().chars().take(32).collect()
}

/// Appends a row.
pub(super) fn put(out: &mut LineBuffer, key: Key, value: &impl Serialize) -> Result<()> {
    let record = reserved::row(key.clone(), value)?;
    out.push(key, Says::put(None), |text| LineCodec::stored().encode_put(&record, text))
}

fn delete(out: &mut LineBuffer, key: Key) -> Result<()> {
    let line = Line::Delete(Deletion::new(key.clone(), DeletionReason::Deleted));
    out.push(key, Says::deleted(None), |text| LineCodec::stored().encode(&line, text))
}

fn encode_seen(seen: &[u64]) -> String {
    let bytes: Vec<u8> = seen.iter().flat_map(|key| key.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

fn decode_seen(text: &str) -> Result<Vec<u64>> {
    let damaged = || Error::new(ErrorKind::Integrity, "the position of a feed is damaged");
    let bytes = STANDARD.decode(text).map_err(|_| damaged())?;
    let words = bytes.chunks_exact(8);
    if !words.remainder().is_empty() {
        return Err(damaged());
    }
    Ok(words.map(|word| u64::from_le_bytes(std::array::from_fn(|at| word.get(at).copied().unwrap_or(0)))).collect())
}
