//! Going on without what is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use saas_backup_core::{CollectionName, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::compact::{SEGMENT_BYTES, with_present};
use super::erasing::Erasing;
use super::ledger::{Ledger, LedgerKey, Stated};
use super::losses::{Losses, LostCount, LostKeys, LostLines};
use super::merging::Aside;
use super::references::{References, Release};
use super::rewrite::Rewriter;
use super::{Compacted, Maintainer, said};
use crate::commit::{Lost, Maintenance, Merged, ObjectKind, PartKind};
use crate::crypto::NamingKey;
use crate::layout::{Map, Part, Segment};
use crate::object::{Family, key_hash};
use crate::read::{Access, BlobRow, Bounds, INLINE_ORDINAL, Merge};
use crate::reserved;
use crate::source::Source;

/// What was, or would be, given up because it cannot be had any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GivenUp {
    /// Objects, and commits whose inline lines are lost.
    pub objects: Vec<String>,
    /// The points that needed them.
    pub points: BTreeSet<u64>,
    /// What each collection lost.
    pub collections: BTreeMap<CollectionName, LostCount>,
}

/// What a commit states of the losses: a sealed part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LossNote {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) collections: BTreeMap<CollectionName, LostCount>,
}

impl Source {
    /// Gives up what lies in these damaged or lost objects, so that everything else goes on without: one commit that says
    /// what of the lines is left. The next backup reads everything again. Where nothing is lost but an index, or a segment
    /// is damaged elsewhere than in its lines, these are made anew; their names are the second that is given.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if metadata is among it, without which no session can go on.
    pub(crate) async fn drop_lost(&self, names: &BTreeSet<String>, change: Change) -> Result<(GivenUp, Vec<String>)> {
        let keyring = &self.shared.keyring;
        let naming = keyring.naming_object();
        let (maintainer, naming) = if names.contains(&naming) {
            (Maintainer::with_naming(self, NamingKey::generate()?).await?, Some(naming))
        } else {
            (Maintainer::open(self).await?, None)
        };
        let map = maintainer.map();
        let is_lost = |name: &String, domain: Option<&String>| {
            names.contains(name) || domain.is_some_and(|domain| names.contains(&keyring.object(domain)))
        };
        let mut rest = Map::clone(&map);
        let mut losses = Losses { naming, ..Losses::default() };
        let (mut meta, mut anew) = (Vec::new(), Vec::new());
        let suspects: Vec<Segment> =
            map.segments.iter().filter(|one| is_lost(&one.object.name, one.object.domain.as_ref())).cloned().collect();
        for segment in suspects {
            match find_lines(&self.shared.access, &map, &segment).await? {
                Found::Good => anew.push(segment.object.name),
                _ if segment.family == Family::Meta => meta.push(segment.object.name),
                Found::Some(lost) => losses.lines.push(lost),
                Found::None(lost) => {
                    losses.lines.push(lost);
                    rest.segments.retain(|other| other.object.name != segment.object.name);
                }
            }
        }
        let mut gone: HashSet<(PartKind, u64)> = HashSet::new();
        let suspects = map.parts.iter().filter(|part| is_lost(&part.place.object, part.domain.as_ref()));
        for part in suspects {
            match self.shared.access.part(part).await {
                Ok(_) => {}
                Err(error) if !is_loss(error.kind()) => return Err(error),
                Err(error) if part.kind == PartKind::Erased => {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        "the list of what is erased is lost before everything else was written anew, and nobody else knows \
                         what must not come back: fetch it from a copy with repair --from",
                    )
                    .with_context("object", &part.place.object)
                    .with_source(error));
                }
                Err(_) if !matches!(part.kind, PartKind::Delta | PartKind::Meta) => {
                    anew.push(part.place.object.clone());
                }
                Err(_) if part.kind == PartKind::Meta => meta.push(part.place.object.clone()),
                Err(_) => {
                    gone.insert((part.kind, part.sequence));
                    losses.lines.push(LostLines {
                        object: self.shared.names.commit(part.sequence),
                        from: part.sequence,
                        through: part.sequence,
                        until: None,
                        ordinal: INLINE_ORDINAL,
                        keys: LostKeys::All,
                    });
                }
            }
        }
        anew.sort_unstable();
        anew.dedup();
        rest.parts.retain(|part: &Part| !gone.contains(&(part.kind, part.sequence)));
        if let Some(object) = meta.first() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "metadata is lost, and nothing goes on without it: fetch it from a copy with repair --from, or begin a new \
                 source and keep this one to read",
            )
            .with_context("object", object));
        }
        let attachments = map.others.iter().filter(|one| matches!(one.kind, ObjectKind::Blob | ObjectKind::Pack));
        let attachments = attachments.filter(|one| is_lost(&one.name, one.domain.as_ref()));
        losses.objects = attachments.map(|object| (object.name.clone(), u64::MAX)).collect();
        rest.others.retain(|object| !losses.objects.contains_key(&object.name));
        if losses.is_empty() && (anew.is_empty() || change == Change::Nothing) {
            return Ok((GivenUp::default(), anew));
        }
        maintainer.look_at_meta(&rest, &mut losses).await?;
        let is_dry = match change {
            Change::All => false,
            Change::WhatIsNotLost => !losses.is_empty(),
            Change::Nothing => true,
        };
        Ok((maintainer.drop(&map, &rest, losses, is_dry).await?, anew))
    }
}

/// What may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Nothing,
    WhatIsNotLost,
    All,
}

/// What of a segment can be read.
enum Found {
    Good,
    Some(LostLines),
    None(LostLines),
}

/// Looks which frames of a segment are lost, and reads it from then on without them.
async fn find_lines(access: &Access, map: &Map, segment: &Segment) -> Result<Found> {
    let lost = |keys| LostLines {
        object: segment.object.name.clone(),
        from: segment.oldest.unwrap_or(segment.sequence),
        through: segment.sequence,
        until: segment.until,
        ordinal: segment.ordinal,
        keys,
    };
    let index = match access.indexes(map, std::slice::from_ref(segment)).await {
        Ok(indexes) => indexes.into_iter().next(),
        Err(error) if is_loss(error.kind()) => None,
        Err(error) => return Err(error),
    };
    let Some(index) = index else { return Ok(Found::None(lost(LostKeys::All))) };
    let mut bad = HashSet::new();
    for at in 0..index.frames.len() {
        match access.frames(segment, &index, at, at + 1).await {
            Ok(_) => {}
            Err(error) if is_loss(error.kind()) => drop(bad.insert(at)),
            Err(error) => return Err(error),
        }
    }
    if bad.is_empty() {
        return Ok(Found::Good);
    }
    let is_all = bad.len() == index.frames.len();
    let mut left = (*index).clone();
    let mut at = 0..;
    left.frames.retain(|_| at.next().is_some_and(|at| !bad.contains(&at)));
    access.set_index(left);
    let lost = lost(LostKeys::Frames(index, bad));
    Ok(if is_all { Found::None(lost) } else { Found::Some(lost) })
}

/// Whether an error says that something is lost, and not that it cannot be had just now.
pub(crate) fn is_loss(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Integrity | ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::UnsupportedVersion
    )
}

impl Maintainer {
    /// Finds what metadata tells of the losses: the attachments, the keys of inline lines, and how many records are left.
    async fn look_at_meta(&self, rest: &Map, losses: &mut Losses) -> Result<()> {
        let latest = rest.head.as_ref().map_or(0, |head| head.sequence);
        let whole = Merged { family: Family::Meta, after: 0, through: latest };
        let mut exactly: HashMap<u64, HashSet<(u64, u64)>> = HashMap::new();
        let merged = rest.upkeep.tier(Family::Meta).merged;
        // Where all records are remembered, and each run's rows are still there, they tell which ones it wrote.
        let loose = losses.lines.iter().filter(|lost| lost.from == lost.through && lost.from > merged);
        exactly.extend(loose.map(|lost| (lost.from, HashSet::new())));
        let mut merge = self.merge_counting(rest, &whole).await?;
        while let Some(group) = merge.next().await? {
            match group.key.collection.as_str() {
                reserved::BLOBS => {
                    for line in group.lines.iter().filter(|line| !line.is_deletion()) {
                        let row: BlobRow = reserved::value(&line.text)?;
                        for part in row.parts {
                            if let Some(from) = losses.objects.get_mut(&part.object) {
                                *from = line.sequence.min(*from);
                                losses.attachments.insert(group.key.id.as_str().to_owned());
                            }
                        }
                    }
                }
                reserved::HELD => losses.held = group.live().map(|line| reserved::value(&line.text)).transpose()?,
                _ if group.key.collection.is_reserved() => {}
                _ => {
                    for line in &group.lines {
                        if let Some(keys) = exactly.get_mut(&line.sequence) {
                            keys.insert(key_hash(&group.key));
                        }
                    }
                }
            }
        }
        let Some(mut held) = losses.held.take().filter(|held| held.remembered) else { return Ok(()) };
        for lost in &mut losses.lines {
            if lost.from == lost.through
                && let Some(keys) = exactly.get(&lost.from)
                && matches!(lost.keys, LostKeys::All)
            {
                lost.keys = LostKeys::Exactly(keys.clone());
            }
        }
        let mut left: HashMap<CollectionName, u64> = HashMap::new();
        let bounds = Bounds::all(Family::Meta, latest);
        let mut merge = Merge::open(Arc::clone(&self.shared().access), rest, bounds).await?;
        while let Some(group) = merge.next().await? {
            let is_row = !group.key.collection.is_reserved() && group.live().is_some();
            if is_row && !losses.may_hold(&group.key) {
                *left.entry(group.key.collection).or_default() += 1;
            }
        }
        for (collection, held) in &mut held.collections {
            held.records = held.records.map(|_| left.get(collection).copied().unwrap_or(0));
        }
        losses.held = Some(held);
        Ok(())
    }

    async fn drop(&self, map: &Arc<Map>, rest: &Map, mut losses: Losses, dry_run: bool) -> Result<GivenUp> {
        let head = map.head.as_ref().map_or(0, |head| head.sequence);
        for lost in &losses.lines {
            if let LostKeys::Frames(index, bad) = &lost.keys {
                for frame in bad.iter().filter_map(|at| index.frames.get(*at)) {
                    let count = losses.collections.entry(frame.first.collection.clone()).or_default();
                    count.records += u64::from(frame.live.unwrap_or(0));
                }
            }
        }
        let lines =
            losses.lines.iter().map(|lost| Lost { object: lost.object.clone(), from: lost.from, until: lost.until });
        let objects =
            losses.objects.iter().map(|(object, from)| Lost { object: object.clone(), from: *from, until: None });
        let lost: Vec<Lost> = lines.chain(objects).collect();
        let is_hit = |point: &u64| lost.iter().any(|lost| lost.is_needed_at(*point));
        let mut dropped = GivenUp {
            objects: lost.iter().map(|lost| lost.object.clone()).chain(losses.naming.clone()).collect(),
            points: map.points.iter().map(|(point, ..)| *point).filter(is_hit).collect(),
            collections: BTreeMap::new(),
        };
        dropped.objects.sort_unstable();
        let merges: Vec<Merged> =
            [Family::Data, Family::Meta].map(|family| Merged { family, after: 0, through: head }).to_vec();
        if dry_run {
            let all = Merged { family: Family::Data, after: 0, through: head };
            let mut merge = self.merge_counting(rest, &all).await?;
            while let Some(group) = merge.next().await? {
                losses.edit(Family::Data, group)?;
            }
            dropped.collections = losses.collections;
            return Ok(dropped);
        }
        let (key, mut header, mut parts) = (LedgerKey::generate()?, self.header(), Vec::new());
        let points: Vec<u64> = map.points.iter().map(|(point, ..)| *point).collect();
        let mut before = Vec::new();
        let mut horizon = None;
        let mut drops: Vec<String> = losses.objects.keys().cloned().collect();
        let erased = self.shared().access.erased(rest).await?;
        for merged in &merges {
            let ledger = Ledger::new(&key, with_present(&points, merged))?;
            let mut erasing = Erasing { erased: Arc::clone(&erased), ..Erasing::default() };
            let mut references = References::Ignore;
            if merged.family == Family::Meta && !erased.is_empty() {
                // Nothing is given up for not being referred to: who refers to it may be what is lost.
                let release = Release::new(HashSet::new(), 0);
                erasing.moved = self.repack(rest, &erased, &release, &mut header).await?;
                references = References::Release(release);
            }
            let rewriter =
                Rewriter::new(points.clone(), true, SEGMENT_BYTES, ledger, references).erasing(erasing, None);
            let mut done = Compacted::default();
            let aside = if losses.is_empty() { Aside::Nothing } else { Aside::Losses(&mut losses) };
            let (indexes, rewriter) =
                self.rewrite(rest, merged, rewriter, aside, &mut header, &mut done, &mut |_| {}).await?;
            parts.extend(self.committer.seal_indexes(merged.family, &indexes, &mut header).await?);
            if rewriter.tally.forgot_deletions && merged.family == Family::Data {
                horizon = points.first().copied();
            }
            if let References::Release(release) = &rewriter.references {
                drops.extend(release.unreferred(rest));
            }
            before.push((merged.clone(), rewriter.ledger.totals()));
        }
        if let Some((_, totals)) = before.first() {
            let stated = totals.iter().filter(|(point, _)| points.contains(point));
            let stated = stated.map(|(point, held)| (*point, held.clone())).collect();
            let text = serde_json::to_vec(&Stated::new(&key, stated))?;
            parts.push(self.committer.seal_part(PartKind::Digests, Family::Data, text, &mut header).await?);
        }
        dropped.collections.clone_from(&losses.collections);
        if let Some(from) = lost.iter().map(|lost| lost.from).min() {
            let note = LossNote { from, until: head + 1, collections: losses.collections };
            let text = serde_json::to_vec(&note)?;
            parts.push(self.committer.seal_part(PartKind::Lost, Family::Meta, text, &mut header).await?);
        }
        let maintenance = Maintenance { merges, horizon, drops, lost, ..Maintenance::default() };
        let header = said(header, maintenance, &parts);
        let trial = super::merging::on_trial(map, &header, &parts);
        for (merged, before) in &before {
            self.compare(&trial, merged, &key, before).await?;
        }
        if losses.naming.is_some() {
            // Until the commit states it, nobody takes it for the source's.
            let to = self.shared().audience().await?;
            self.shared().keyring.replace_naming_key(&self.committer.naming, &to).await?;
        }
        self.commit(header, &parts).await?;
        Ok(dropped)
    }
}
