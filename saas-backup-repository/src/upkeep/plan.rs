//! What is merged when.

use std::collections::BTreeSet;

use super::compact::CompactOptions;
use crate::commit::{Merged, ObjectKind};
use crate::layout::Map;
use crate::object::Family;
use crate::read::inline_kind;

/// Commits with lines of their own after which they are merged into one run.
const MERGE_AFTER: usize = 30;
/// What the runs beside the base may hold, as a share of it, and what forgotten points may have added, as a share of
/// everything, before all is merged into a new base.
const BESIDE_PERCENT: u64 = 25;
/// Small commits that are merged at once.
const MOST_AT_ONCE: usize = 1024;

/// Which ranges are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) merges: Vec<Merged>,
    /// Whether these are all lines.
    pub(super) whole: bool,
}

/// The commits whose lines lie in no merged run yet.
fn loose(map: &Map, family: Family) -> BTreeSet<u64> {
    let segments = map.segments.iter().filter(|segment| segment.family == family && segment.oldest.is_none());
    let parts = map.parts.iter().filter(|part| part.kind == inline_kind(family));
    segments.map(|segment| segment.sequence).chain(parts.map(|part| part.sequence)).collect()
}

/// The merged runs beside the base.
fn runs(map: &Map, family: Family) -> usize {
    let base = map.upkeep.tier(family).base;
    let beside = map.segments.iter().filter(|segment| segment.family == family && segment.sequence > base);
    beside.filter_map(|segment| segment.commit).collect::<BTreeSet<u64>>().len()
}

/// Stored bytes of the lines of commits after one, up to another.
pub(super) fn stored(map: &Map, family: Family, after: u64, through: u64) -> u64 {
    let within = |sequence: u64| after < sequence && sequence <= through;
    let segments = map.segments.iter().filter(|segment| segment.family == family && within(segment.sequence));
    let parts = map.parts.iter().filter(|part| part.kind == inline_kind(family) && within(part.sequence));
    segments.map(|segment| segment.object.size).sum::<u64>() + parts.map(|part| part.place.size).sum::<u64>()
}

/// Stored bytes of all lines and attachments.
fn held(map: &Map) -> u64 {
    let attachments = map.others.iter().filter(|object| object.kind != ObjectKind::Bundle);
    let lines = [Family::Data, Family::Meta].map(|family| stored(map, family, 0, u64::MAX));
    lines.into_iter().chain(attachments.map(|object| object.size)).fold(0, u64::saturating_add)
}

impl Plan {
    /// Merges all lines up to a commit.
    pub(super) fn whole(through: u64) -> Self {
        let merges = [Family::Data, Family::Meta].map(|family| Merged { family, after: 0, through });
        Self { merges: merges.to_vec(), whole: true }
    }

    pub(super) fn of(map: &Map, options: &CompactOptions) -> Self {
        let Some(head) = map.head.as_ref().map(|head| head.sequence) else { return Self::default() };
        let families = [Family::Data, Family::Meta];
        let merge = |family, after, through| Merged { family, after, through };
        // The lines of many small commits are held in memory while they are merged.
        let many = families.map(|family| (family, loose(map, family)));
        for (family, loose) in &many {
            if let Some(through) = loose.iter().nth(MOST_AT_ONCE) {
                let merges = vec![merge(*family, map.upkeep.tier(*family).merged, *through)];
                return Self { merges, whole: false };
            }
        }
        let is_full = |family: Family| {
            let base = map.upkeep.tier(family).base;
            stored(map, family, base, head) * 100 > stored(map, family, 0, base) * BESIDE_PERCENT
        };
        let is_many = |family: Family| many.iter().any(|(of, loose)| *of == family && loose.len() >= MERGE_AFTER);
        let is_erasing = map.upkeep.erasures.iter().any(|erasure| erasure.rewritten.is_none());
        let all = held(map).saturating_mul(BESIDE_PERCENT);
        let forgot = map.upkeep.forgotten.saturating_mul(100) > all;
        if options.all || is_erasing || forgot || (is_many(Family::Data) && is_full(Family::Data)) {
            return Self::whole(head);
        }
        let due = families.into_iter().filter(|family| is_many(*family));
        let merges = due.map(|family| {
            let tier = map.upkeep.tier(family);
            let after = match family {
                Family::Meta if is_full(family) => 0,
                _ if runs(map, family) >= MERGE_AFTER => tier.base,
                _ => tier.merged,
            };
            merge(family, after, head)
        });
        Self { merges: merges.collect(), whole: false }
    }

    /// How many commits with lines of their own it merges.
    pub(super) fn commits(&self, map: &Map) -> u64 {
        let merged = |merged: &Merged| {
            let family = merged.family;
            loose(map, family).into_iter().filter(|sequence| merged.holds(family, *sequence)).collect::<Vec<_>>()
        };
        self.merges.iter().flat_map(merged).collect::<BTreeSet<u64>>().len() as u64
    }
}
