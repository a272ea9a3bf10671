//! Removing what nobody needs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{ErrorKind, Result};
use serde::Serialize;
use ulid::Ulid;

use super::{Maintainer, said};
use crate::commit::{Maintenance, ObjectKind};
use crate::layout::Map;
use crate::object::{sequence_of, ulid_of};
use crate::roles::{is_rewriting, settle};
use crate::source::{Shared, Source};

/// Layouts that are kept.
const LAYOUTS: usize = 16;
/// Objects that are removed at the same time.
const REMOVALS: usize = 8;

/// How to collect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectOptions {
    /// How long what was given up stays for readers that do not know yet. Default: 7 days; never less than twice the
    /// longest run.
    pub grace: TimeDelta,
    /// Follows what the timeline already says, and makes no commit: for a copy, whose timeline is that of the original.
    /// Default: no.
    pub copy: bool,
    /// Only says what would be done. Default: no.
    pub dry_run: bool,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self { grace: TimeDelta::days(7), copy: false, dry_run: false }
    }
}

impl CollectOptions {
    /// Keeps what was given up for so long. Readers and writers that are under way for longer may fail.
    #[must_use]
    pub fn with_grace(mut self, grace: TimeDelta) -> Self {
        self.grace = grace;
        self
    }

    /// Follows what the timeline already says, and makes no commit: for a copy, whose timeline is that of the original.
    #[must_use]
    pub fn with_copy(mut self, copy: bool) -> Self {
        self.copy = copy;
        self
    }

    /// Only says what would be done.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Collected {
    /// Objects that were given up and are removed.
    pub objects: u64,
    /// Objects that no commit names, left behind by runs that were stopped, and removed.
    pub orphans: u64,
    /// Commits that layouts hold, and old layouts, that are removed.
    pub commits: u64,
    /// Bytes of all these.
    pub bytes: u64,
    /// Objects that the storage's credentials may not remove; no fault.
    pub denied: u64,
    /// Objects that were given up and stay until their grace is over.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
}

impl Collected {
    /// This and another one together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            objects: self.objects + other.objects,
            orphans: self.orphans + other.orphans,
            commits: self.commits + other.commits,
            bytes: self.bytes + other.bytes,
            denied: self.denied + other.denied,
            waiting: self.waiting + other.waiting,
            waiting_bytes: self.waiting_bytes + other.waiting_bytes,
        }
    }
}

/// What is removed, by what it counts as.
#[derive(Default)]
pub(super) struct Garbage {
    objects: Vec<(String, u64)>,
    orphans: Vec<(String, u64)>,
    commits: Vec<(String, u64)>,
    waiting: u64,
    waiting_bytes: u64,
    /// Whether commits stay that were made before an erasure, because too few layouts repeat what they say.
    waits_for_layout: bool,
}

impl Source {
    /// Removes what compaction and forgetting gave up, once its grace is over: segments, attachments, keys, and commits
    /// and layouts that a later layout repeats; and objects that no commit ever named.
    ///
    /// Safe beside backups, restores and other maintainers: whatever they made or began to read within the grace stays,
    /// and a run that was interrupted for longer notices and is refused its commit. What the storage does not allow to be
    /// removed is counted and stays. Cancel safe; what is left is removed the next time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the owner's identity; [`ErrorKind::Conflict`] if another maintainer was
    /// faster.
    pub async fn collect(&self, options: &CollectOptions) -> Result<Collected> {
        let maintainer = Maintainer::open(self).await?;
        let shared = maintainer.shared();
        let before = shared.clock.now() - grace(&maintainer.map(), options);
        // Names are made before what they name is uploaded, and no later commit may name what is swept.
        let swept = match maintainer.map().upkeep.swept.clone().filter(|_| options.copy) {
            Some(swept) => swept,
            None if options.copy => String::new(),
            None => Ulid::from_parts(u64::try_from(before.timestamp_millis()).unwrap_or(0), 0).to_string(),
        };
        let says_more = !options.dry_run && !options.copy;
        let entries = shared.store.list(shared.names.prefix().trim_end_matches('/'), None);
        let present: BTreeMap<String, u64> = entries.map_ok(|entry| (entry.name, entry.size)).try_collect().await?;
        if !options.dry_run && present.keys().any(|name| is_rewriting(name)) {
            settle(shared).await?;
        }
        let look = async || Garbage::find(&maintainer.map(), &present, before, &swept, shared).await;
        let mut garbage = look().await?;
        if says_more && !garbage.orphans.is_empty() {
            let maintenance = Maintenance { swept: Some(swept.clone()), ..Maintenance::default() };
            maintainer.commit(said(maintainer.header(), maintenance, &[]), &[]).await?;
            // Somebody may have named one of them just before.
            garbage = look().await?;
        }
        if says_more && garbage.waits_for_layout {
            // Says nothing: it is there for the layout behind it, that what was erased may go with its commits.
            maintainer.commit(said(maintainer.header(), Maintenance::default(), &[]), &[]).await?;
        }
        let mut done =
            Collected { waiting: garbage.waiting, waiting_bytes: garbage.waiting_bytes, ..Collected::default() };
        let Garbage { objects, orphans, commits, .. } = garbage;
        // Commits and layouts first: none is left that names what is gone. What is left of that is named as given up.
        for (removed, garbage) in
            [(&mut done.commits, commits), (&mut done.objects, objects), (&mut done.orphans, orphans)]
        {
            let removals = stream::iter(garbage).map(|(name, size)| async move {
                if options.dry_run {
                    return Ok((size, true));
                }
                match shared.store.delete(&name).await {
                    Ok(()) => Ok((size, true)),
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok((size, false)),
                    Err(error) => Err(error),
                }
            });
            let tried: Vec<(u64, bool)> = removals.buffer_unordered(REMOVALS).try_collect().await?;
            for (size, gone) in tried {
                *removed += u64::from(gone);
                done.bytes += if gone { size } else { 0 };
                done.denied += u64::from(!gone);
            }
        }
        Ok(done)
    }
}

/// How long what was given up stays.
fn grace(map: &Map, options: &CollectOptions) -> TimeDelta {
    let longest = map.points.iter().map(|(_, _, point)| point.finished - point.started).max();
    options.grace.max(longest.unwrap_or_default() * 2)
}

impl Garbage {
    /// The names of all that may go.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.objects.iter().chain(&self.orphans).chain(&self.commits).map(|(name, _)| name)
    }

    pub(super) async fn find(
        map: &Map,
        present: &BTreeMap<String, u64>,
        before: DateTime<Utc>,
        swept: &str,
        shared: &Shared,
    ) -> Result<Self> {
        let mut found = Self::default();
        let needed = map.needed(&shared.keyring);
        let mut waiting = BTreeSet::new();
        let mut given_up = BTreeSet::new();
        // Layouts that are older name what is removed.
        let mut oldest_layout = 0;
        for dropped in &map.dropped {
            let key = dropped.domain.as_ref().map(|id| shared.keyring.object(id));
            let objects = [Some(dropped.name.clone()), key].into_iter().flatten();
            if dropped.at > before {
                waiting.extend(objects);
                found.waiting += u64::from(present.contains_key(&dropped.name));
                found.waiting_bytes += present.get(&dropped.name).copied().unwrap_or(0);
            } else {
                given_up.extend(objects);
                oldest_layout = oldest_layout.max(dropped.by);
            }
        }
        for closed in &map.upkeep.closed {
            let key = shared.keyring.object(&closed.id);
            let set = if closed.at.is_some_and(|at| at <= before) { &mut given_up } else { &mut waiting };
            set.insert(key);
        }
        let layouts = numbers(present, &shared.names.layouts());
        if !layouts.iter().any(|layout| *layout >= oldest_layout) {
            // Nothing repeats what the older ones say: what they name stays.
            waiting.append(&mut given_up);
            oldest_layout = 0;
        }
        // Commits since the last point before the grace stay.
        let settled = settled(map, before);
        let repeated = repeated(&layouts, oldest_layout, shared).await?;
        let floor = repeated.min(settled).unwrap_or(0);
        let erased = erased(map);
        let first = numbers(present, &shared.names.commits()).first().copied();
        // Where commits are encrypted, the keys to what they say go without them.
        found.waits_for_layout = !shared.keyring.is_encrypted()
            && repeated.is_none()
            && first.is_some()
            && first <= settled.min(Some(erased));
        for (name, size) in present {
            if shared.names.is_evidence(name) || needed.contains(name) || waiting.contains(name) {
                continue;
            }
            let entry = (name.clone(), *size);
            if name.starts_with(&format!("{}/", shared.names.commits())) {
                if sequence_of(name).is_some_and(|sequence| sequence <= floor) {
                    found.commits.push(entry);
                }
            } else if name.starts_with(&format!("{}/", shared.names.layouts())) {
                let Some(sequence) = sequence_of(name) else { continue };
                let newer = layouts.iter().filter(|layout| **layout > sequence).count();
                if sequence < oldest_layout.max(floor) || newer >= LAYOUTS {
                    found.commits.push(entry);
                }
            } else if given_up.contains(name) {
                found.objects.push(entry);
            } else if ulid_of(name).is_some_and(|ulid| ulid < swept) {
                found.orphans.push(entry);
            }
        }
        // No maintainer goes by what writers lay out, but readers do.
        if found.orphans.iter().any(|(name, _)| shared.names.is_bundle(name)) {
            let removed: BTreeSet<&String> = found.commits.iter().map(|(name, _)| name).collect();
            let staying = layouts.into_iter().filter(|layout| !removed.contains(&shared.names.layout(*layout)));
            let bundles = bundles(staying, shared).await?;
            found.orphans.retain(|(name, _)| !bundles.contains(name));
        }
        Ok(found)
    }
}

/// The last point before the grace.
fn settled(map: &Map, before: DateTime<Utc>) -> Option<u64> {
    map.points.iter().filter(|(_, _, point)| point.finished <= before).map(|(point, ..)| *point).max()
}

/// The last commit that erased something which no object that is named holds any more; 0 without one.
fn erased(map: &Map) -> u64 {
    let erased = map.upkeep.erasures.iter().filter(|erasure| erasure.rewritten.is_some());
    erased.map(|erasure| erasure.commit).max().unwrap_or(0)
}

/// The commit up to which commits that are missing were removed by upkeep, or may have been: two layouts tell what they
/// said, and they were settled before the grace, or held what was erased since.
pub(crate) async fn collected_through(shared: &Shared, map: &Map) -> Result<u64> {
    let before = shared.clock.now() - grace(map, &CollectOptions::default());
    let layouts = shared.loader.sequences(&shared.names.layouts(), None).await?;
    let repeated = repeated(&layouts, 0, shared).await?.unwrap_or(0);
    Ok(repeated.min(settled(map, before).unwrap_or(0).max(erased(map))))
}

/// The commit up to which two layouts of maintainers that will stay repeat what commits say, the later one in case that
/// the other is lost.
async fn repeated(layouts: &[u64], oldest_layout: u64, shared: &Shared) -> Result<Option<u64>> {
    let mut good = 0;
    for layout in layouts.iter().rev().copied().filter(|layout| *layout >= oldest_layout) {
        match shared.loader.layout(layout).await {
            Ok((_, true)) => good += 1,
            Ok((_, false)) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
        if good == 2 {
            return Ok(Some(layout));
        }
    }
    Ok(None)
}

/// The bundles that layouts lean on, whoever wrote them.
async fn bundles(layouts: impl Iterator<Item = u64>, shared: &Shared) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for layout in layouts {
        match shared.loader.layout(layout).await {
            Ok((map, _)) => {
                let bundles = map.others.into_iter().filter(|object| object.kind == ObjectKind::Bundle);
                found.extend(bundles.map(|bundle| bundle.name));
            }
            Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The numbers of commits or layouts, in order.
fn numbers(present: &BTreeMap<String, u64>, folder: &str) -> Vec<u64> {
    let folder = format!("{folder}/");
    present.keys().filter(|name| name.starts_with(&folder)).filter_map(|name| sequence_of(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_collections_did_adds_up() {
        let told = |unit: u64| Collected {
            objects: unit,
            orphans: 2 * unit,
            commits: 3 * unit,
            bytes: 4 * unit,
            denied: 5 * unit,
            waiting: 6 * unit,
            waiting_bytes: 7 * unit,
        };
        assert_eq!(told(10).plus(&told(4)), told(14));
    }
}
