//! What a source costs and how it fares, by layouts and headers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt as _;
use saas_backup_core::{ErrorKind, Result};
use serde::Serialize;

use crate::commit::{ObjectKind, PartKind};
use crate::layout::{Map, Segment};
use crate::object::Family;
use crate::proof::Found;
use crate::read::PointSnapshot;
use crate::reserved;
use crate::sink::HeldRow;
use crate::source::{Shared, Source};
use crate::upkeep::{Compacted, due};

/// The days that growth is told of.
const DAYS: i64 = 30;

/// What is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StoredKind {
    /// Segments that the present reads: the base, and runs that were merged since.
    Base,
    /// Segments that only earlier points read.
    History,
    /// Segments and inline lines of records that were not merged yet.
    Deltas,
    /// Attachments.
    Attachments,
    /// Cursors, gaps, reports, where attachments lie: what is no record, merged or not.
    Meta,
    /// Indexes of segments, and digests of points.
    Indexes,
    /// Commits: their headers alone, lines and indexes count with what they are.
    Commits,
    /// Layouts, with copies of parts of commits.
    Layouts,
}

/// How much there is of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoredBytes {
    /// Objects; inline lines and indexes are none.
    pub objects: u64,
    /// Bytes as they are stored.
    pub stored: u64,
    /// Bytes of lines before they were compressed; `None` where that is not known without reading more, or without the
    /// identity.
    pub raw: Option<u64>,
}

/// What a source costs and how it fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SourceStats {
    /// Points in time.
    pub points: u64,
    /// When the first of them was made.
    pub first: Option<DateTime<Utc>>,
    /// When the last of them was made.
    pub last: Option<DateTime<Utc>>,
    /// Live records, where the mirror counts them; `Source::count` counts all. Takes a key that reads metadata.
    pub records: Option<u64>,
    /// What is stored, by kind.
    pub kinds: BTreeMap<StoredKind, StoredBytes>,
    /// All objects.
    pub objects: u64,
    /// All bytes.
    pub stored: u64,
    /// Keys that destroy what they cover if they are destroyed.
    pub domains: u64,
    /// The share of the history in the stored bytes of merged lines of records, in percent; `None` before anything is
    /// merged.
    pub history_percent: Option<u8>,
    /// Objects that upkeep gave up and whose grace is not known to be over.
    pub given_up: u64,
    /// Their bytes.
    pub given_up_bytes: u64,
    /// When upkeep last changed something; `None` if it never did, or if that is not known any more.
    pub maintained: Option<DateTime<Utc>>,
    /// What [`Source::compact`] would do.
    pub due: Compacted,
    /// When data was last read and noted as good.
    pub verified: Option<DateTime<Utc>>,
    /// Points that count as verified.
    pub verified_points: u64,
    /// Bytes that runs added per day, over the last 30 days up to now, or since the first point if that is less.
    pub growth_per_day: u64,
}

impl Source {
    /// What the source costs and how it fares.
    ///
    /// Goes by the newest layout, the commits since, indexes, and listings of commits, layouts and noted verifications:
    /// for a source that is kept up some 20 requests, whatever it holds, and one more for each 1,000 commits. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if the timeline breaks off.
    pub async fn stats(&self) -> Result<SourceStats> {
        let shared = &self.shared;
        let map = shared.load().await?;
        map.check()?;
        let now = shared.clock.now();
        let mut stats = SourceStats { points: map.points.len() as u64, due: due(&map), ..SourceStats::default() };
        stats.first = map.points.first().map(|(_, _, point)| point.finished);
        stats.last = map.points.last().map(|(_, _, point)| point.finished);
        stats.growth_per_day = growth(&map, now);
        let domains = map.segments.iter().map(|segment| &segment.object).chain(&map.others);
        let domains = domains.filter_map(|object| object.domain.as_ref());
        let domains = domains.chain(map.parts.iter().filter_map(|part| part.domain.as_ref()));
        stats.domains =
            domains.chain(map.domains.iter().map(|domain| &domain.id)).collect::<BTreeSet<_>>().len() as u64;
        stats.given_up = map.dropped.len() as u64;
        stats.given_up_bytes = map.dropped.iter().map(|dropped| dropped.size).sum();
        stats.kinds = kinds(shared, &map).await?;
        stats.objects = stats.kinds.values().map(|kind| kind.objects).sum();
        stats.stored = stats.kinds.values().map(|kind| kind.stored).sum();
        let stored = |kind| stats.kinds.get(&kind).map_or(0, |kind: &StoredBytes| kind.stored);
        let (base, history) = (stored(StoredKind::Base), stored(StoredKind::History));
        stats.history_percent = (history * 100).checked_div(base + history).and_then(|share| u8::try_from(share).ok());
        stats.records = records(shared, &map).await?;
        stats.maintained = maintained(shared, &map).await?;
        let found = Found::of(shared).await?;
        stats.verified = found.proof.at;
        stats.verified_points = found.proof.verified(&map).len() as u64;
        Ok(stats)
    }
}

/// Bytes that were added per day.
fn growth(map: &Map, now: DateTime<Utc>) -> u64 {
    let begin = now - TimeDelta::days(DAYS);
    let points = map.points.iter().map(|(_, _, point)| point).filter(|point| point.finished > begin);
    let added: u64 = points.filter_map(|point| point.bytes_added).sum();
    let first = map.points.first().map_or(now, |(_, _, point)| point.started);
    let days = (now - first.max(begin)).num_hours().unsigned_abs().div_ceil(24).max(1);
    added / days
}

fn kind_of(segment: &Segment) -> StoredKind {
    match (segment.family, segment.until, segment.oldest) {
        (Family::Meta, ..) => StoredKind::Meta,
        (Family::Data, Some(_), _) => StoredKind::History,
        (Family::Data, None, Some(_)) => StoredKind::Base,
        (Family::Data, None, None) => StoredKind::Deltas,
    }
}

async fn kinds(shared: &Shared, map: &Map) -> Result<BTreeMap<StoredKind, StoredBytes>> {
    let mut kinds: BTreeMap<StoredKind, StoredBytes> = BTreeMap::new();
    let mut add = |kind, objects, stored, raw: Option<u64>| {
        let bytes = kinds.entry(kind).or_insert(StoredBytes { raw: Some(0), ..StoredBytes::default() });
        bytes.objects += objects;
        bytes.stored += stored;
        bytes.raw = bytes.raw.zip(raw).map(|(sum, raw)| sum + raw);
    };
    for family in [Family::Data, Family::Meta] {
        let segments: Vec<Segment> = map.segments.iter().filter(|segment| segment.family == family).cloned().collect();
        let indexes = match shared.access.indexes(map, &segments).await {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Vec::new(),
            indexes => indexes?,
        };
        for (place, segment) in segments.iter().enumerate() {
            let raw = indexes.get(place).map(|index| index.frames.iter().map(|frame| u64::from(frame.raw)).sum());
            add(kind_of(segment), 1, segment.object.size, raw);
        }
    }
    let mut in_commits = 0;
    for part in &map.parts {
        let kind = match part.kind {
            PartKind::Delta => StoredKind::Deltas,
            PartKind::Meta | PartKind::Erased => StoredKind::Meta,
            PartKind::Index | PartKind::MetaIndex | PartKind::Digests | PartKind::Lost | PartKind::Other => {
                StoredKind::Indexes
            }
        };
        if part.place.object.starts_with(&shared.names.commits()) {
            in_commits += part.place.size;
            add(kind, 0, part.place.size, None);
        }
    }
    for object in &map.others {
        let kind = match object.kind {
            ObjectKind::Bundle => StoredKind::Layouts,
            _ => StoredKind::Attachments,
        };
        add(kind, 1, object.size, None);
    }
    for (folder, kind) in [(shared.names.commits(), StoredKind::Commits), (shared.names.layouts(), StoredKind::Layouts)]
    {
        let listed: Vec<u64> = shared.store.list(&folder, None).map_ok(|entry| entry.size).try_collect().await?;
        let inside = if kind == StoredKind::Commits { in_commits } else { 0 };
        add(kind, listed.len() as u64, listed.iter().sum::<u64>().saturating_sub(inside), None);
    }
    Ok(kinds)
}

/// The live records, where the mirror counts them.
async fn records(shared: &Arc<Shared>, map: &Arc<Map>) -> Result<Option<u64>> {
    let at = map.head.as_ref().map_or(0, |head| head.sequence);
    let (shared, map) = (Arc::clone(shared), Arc::clone(map));
    let now = PointSnapshot { shared, map, at, budget: saas_backup_core::Budget::default() };
    let row = match now.row(reserved::HELD, reserved::ONLY).await {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
        row => row?,
    };
    let Some(row) = row else { return Ok(None) };
    let held: HeldRow = reserved::value(&row.text)?;
    // Of a source that reports deletions some collections are counted, and others not.
    let counted = held.collections.values().map(|held| held.records).sum::<Option<u64>>();
    Ok(counted.filter(|_| held.remembered))
}

/// When upkeep last changed something.
async fn maintained(shared: &Shared, map: &Map) -> Result<Option<DateTime<Utc>>> {
    let known = map.dropped.iter().map(|dropped| dropped.at).max();
    if map.upkeep.last == 0 {
        return Ok(None);
    }
    match shared.loader.commit(map.upkeep.last).await {
        Ok(commit) => Ok(commit.map(|(_, header, _)| header.at)),
        // Layouts hold what it said.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(known),
        Err(error) => Err(error),
    }
}
