//! What is read, and in which order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Digest, RunStatus};
use ulid::Ulid;

use super::VerifyOptions;
use crate::commit::{ObjectKind, ObjectRef, PartKind};
use crate::layout::{Map, Part, Segment};
use crate::object::ulid_of;
use crate::proof::{Mark, Proof};

/// Clocks that differ by less agree.
const TOLERANCE: TimeDelta = TimeDelta::hours(1);

/// Something that is read whole or not at all.
#[derive(Debug)]
pub(super) struct Unit<'a> {
    pub(super) what: What<'a>,
    pub(super) mark: Mark,
    pub(super) size: u64,
    /// When it was last read, or else written.
    since: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    Segment(&'a Segment),
    Other(&'a ObjectRef),
    Part(&'a Part),
}

impl Unit<'_> {
    /// The object that it lies in.
    pub(super) fn name(&self) -> &str {
        match self.what {
            What::Segment(segment) => &segment.object.name,
            What::Other(object) => &object.name,
            What::Part(part) => &part.place.object,
        }
    }

    pub(super) fn domain(&self) -> Option<&String> {
        match self.what {
            What::Segment(segment) => segment.object.domain.as_ref(),
            What::Other(object) => object.domain.as_ref(),
            What::Part(part) => part.domain.as_ref(),
        }
    }
}

/// All that a source is made of, but for commits and layouts, which every verification reads.
pub(super) fn units<'a>(map: &'a Map, proof: &Proof, now: DateTime<Utc>) -> Vec<Unit<'a>> {
    let unit = |what, sha256: &Digest, size, written: DateTime<Utc>| {
        let mark = Mark::of(sha256);
        // A clock that was ahead shall not put off what nobody read yet, nor what somebody read.
        let read = proof.read.get(&mark).map(|read| (*read).min(now));
        let written = if written > now + TOLERANCE { DateTime::UNIX_EPOCH } else { written };
        Unit { what, mark, size, since: read.unwrap_or(written) }
    };
    let segments = map.segments.iter().map(|segment| (What::Segment(segment), &segment.object));
    let objects = segments.chain(map.others.iter().map(|object| (What::Other(object), object)));
    let objects = objects.map(|(what, object)| unit(what, &object.sha256, object.size, written(object).unwrap_or(now)));
    let parts = map.parts.iter().map(|part| {
        let after = map.points.partition_point(|(sequence, ..)| *sequence < part.sequence);
        let written = map.points.get(after).map_or(now, |(_, _, point)| point.finished);
        unit(What::Part(part), &part.sha256, part.place.size, written)
    });
    objects.chain(parts).collect()
}

/// When an object was named.
fn written(object: &ObjectRef) -> Option<DateTime<Utc>> {
    let ulid = Ulid::from_string(ulid_of(&object.name)?).ok()?;
    DateTime::from_timestamp_millis(i64::try_from(ulid.timestamp_ms()).ok()?)
}

/// The places of the units that are read: those that nobody read for longest, until the share of the bytes is full.
pub(super) fn chosen(units: &[Unit<'_>], options: &VerifyOptions, proof: &Proof, now: DateTime<Utc>) -> HashSet<usize> {
    let total: u64 = units.iter().map(|unit| unit.size).sum();
    let budget = match options.due {
        Some(period) => due(total, period, now - proof.due.unwrap_or(now - TimeDelta::days(1))),
        None => share(total, u64::from(options.read_percent), 100),
    };
    let is_all = options.due.is_none() && options.read_percent >= 100;
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_cached_key(|place| {
        let unit = units.get(*place);
        let turn = unit.map(|unit| Digest::of(format!("{} {:?}", options.turn, unit.mark).as_bytes()));
        // Where nobody notes what was read, another part each turn; else what was not read for longest.
        let since = unit.filter(|_| proof.at.is_some() || options.due.is_some()).map(|unit| unit.since);
        (since, turn.map(|turn| *turn.as_bytes()))
    });
    let mut taken = 0;
    let within = |place: &usize| {
        let fits = is_all || taken < budget;
        taken += units.get(*place).map_or(0, |unit| unit.size.max(1));
        fits
    };
    order.into_iter().take_while(within).collect()
}

/// The bytes that are due after some time, for everything to be read within a period.
fn due(total: u64, period: TimeDelta, elapsed: TimeDelta) -> u64 {
    let elapsed = elapsed.clamp(TimeDelta::zero(), period).num_seconds().unsigned_abs();
    share(total, elapsed.max(1), period.num_seconds().unsigned_abs().max(1))
}

/// A share of a number, rounded up.
fn share(total: u64, part: u64, whole: u64) -> u64 {
    let share = (u128::from(total) * u128::from(part)).div_ceil(u128::from(whole));
    u64::try_from(share).unwrap_or(u64::MAX).min(total)
}

/// How much nobody read yet, and since when the rest was not read.
#[derive(Debug, Default)]
pub(super) struct Age {
    pub(super) unread: u64,
    pub(super) unread_bytes: u64,
    pub(super) oldest: Option<DateTime<Utc>>,
}

impl Age {
    pub(super) fn of(units: &[Unit<'_>], proof: &Proof) -> Self {
        let mut age = Self::default();
        for unit in units {
            let read = proof.read.get(&unit.mark).copied();
            if read.is_none() {
                age.unread += 1;
                age.unread_bytes += unit.size;
            }
            let since = read.unwrap_or(unit.since);
            age.oldest = Some(age.oldest.map_or(since, |oldest| oldest.min(since)));
        }
        age
    }
}

/// From which point on a unit is needed, and until which; `None` if no point needs it.
fn needed(
    unit: &Unit<'_>,
    indexed: &HashMap<u64, u64>,
    attachments: &HashMap<Mark, u64>,
) -> Option<(u64, Option<u64>)> {
    match unit.what {
        What::Segment(segment) => Some((oldest(segment), segment.until)),
        What::Other(object) => match object.kind {
            ObjectKind::Blob | ObjectKind::Pack => attachments.get(&unit.mark).map(|from| (*from, None)),
            _ => None,
        },
        What::Part(part) => match part.kind {
            PartKind::Meta | PartKind::Delta => Some((part.sequence, None)),
            PartKind::Index | PartKind::MetaIndex => indexed.get(&part.sequence).map(|from| (*from, None)),
            // Nothing is read without knowing what does not count.
            PartKind::Erased => Some((0, None)),
            PartKind::Digests | PartKind::Lost | PartKind::Other => None,
        },
    }
}

/// The first commit whose lines a segment may hold.
fn oldest(segment: &Segment) -> u64 {
    segment.oldest.unwrap_or(segment.sequence)
}

/// The points that count as verified: complete, and of all that they need everything was read since they were made; those
/// that counted before, unless they need what is bad.
///
/// `attachments` says from which commit on an object of attachments is needed.
pub(super) fn verified(
    map: &Map,
    units: &[Unit<'_>],
    proof: &Proof,
    attachments: &HashMap<Mark, u64>,
    is_bad: impl Fn(&Unit<'_>) -> bool,
    now: DateTime<Utc>,
) -> BTreeMap<u64, DateTime<Utc>> {
    // What begins to be needed, and ceases to be, in the order of points.
    let mut begins: Vec<(u64, Need)> = Vec::new();
    let mut ends: Vec<(u64, Need)> = Vec::new();
    let mut indexed: HashMap<u64, u64> = HashMap::new();
    for segment in &map.segments {
        let from = indexed.entry(segment.introduced()).or_insert(u64::MAX);
        *from = oldest(segment).min(*from);
    }
    for (place, unit) in units.iter().enumerate() {
        let Some((from, until)) = needed(unit, &indexed, attachments) else { continue };
        let read = if is_bad(unit) { None } else { proof.read.get(&unit.mark).copied() };
        let need = Need { is_good: !is_bad(unit), read, place };
        begins.push((from, need));
        ends.extend(until.map(|until| (until, need)));
    }
    begins.sort_by_key(|(from, _)| Reverse(*from));
    ends.sort_by_key(|(until, _)| Reverse(*until));
    let is_short = |point: u64| map.lost.iter().any(|lost| lost.is_needed_at(point));
    let mut needs = BTreeSet::new();
    let mut verified = BTreeMap::new();
    for (sequence, _, point) in &map.points {
        while let Some((_, need)) = begins.pop_if(|(from, _)| *from <= *sequence) {
            needs.insert(need);
        }
        while let Some((_, need)) = ends.pop_if(|(until, _)| *until <= *sequence) {
            needs.remove(&need);
        }
        let worst = needs.first();
        let before = proof.points.get(sequence).filter(|_| worst.is_none_or(|worst| worst.is_good));
        let is_read = worst.is_none_or(|worst| worst.read.is_some_and(|read| read >= point.finished));
        match before {
            Some(before) => {
                verified.insert(*sequence, *before);
            }
            None if point.status == RunStatus::Complete && is_read && !is_short(*sequence) => {
                verified.insert(*sequence, now);
            }
            None => {}
        }
    }
    verified
}

/// What some points need; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    is_good: bool,
    read: Option<DateTime<Utc>>,
    place: usize,
}
