//! Merging runs of lines: small commits into larger segments, and all of them into a base.

use std::collections::HashSet;
use std::sync::Arc;

use saas_backup_core::Result;
use serde::Serialize;

use super::erasing::Erasing;
use super::ledger::{Ledger, LedgerKey, Stated, Totals};
use super::merging::{Aside, changed, on_trial};
use super::plan::{Plan, stored};
use super::references::{References, Release};
use super::rewrite::Rewriter;
use super::unfinished::Steps;
use super::{Maintainer, is_loss, may_follow, said};
use crate::commit::{Maintenance, Merged, PartKind};
use crate::layout::Map;
use crate::object::Family;
use crate::source::Source;

/// Compressed bytes after which a merged segment is ended: two are begun at a time, and one more is sealed.
pub(super) const SEGMENT_BYTES: usize = 12 * 1024 * 1024;
/// How to compact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactOptions {
    /// Merges everything into a new base, whether it is due or not. Default: no.
    pub all: bool,
    /// Compressed bytes after which a segment is ended. Default: 12 MiB.
    pub segment_bytes: usize,
    /// Only says what would be done. Default: no.
    pub dry_run: bool,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self { all: false, segment_bytes: SEGMENT_BYTES, dry_run: false }
    }
}

impl CompactOptions {
    /// Merges everything into a new base, whether it is due or not.
    #[must_use]
    pub fn with_all(mut self, all: bool) -> Self {
        self.all = all;
        self
    }

    /// Ends segments after so many compressed bytes.
    #[must_use]
    pub fn with_segment_bytes(mut self, bytes: usize) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Only says what would be done.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Compacted {
    /// Whether anything was merged, or would be.
    pub due: bool,
    /// Whether all lines were merged into a new base.
    pub base: bool,
    /// Whether an interrupted merge was gone on with: lines count that it had kept, and commits since it began do not.
    pub resumed: bool,
    /// Commits with lines of their own that were merged.
    pub commits: u64,
    /// Lines that were kept.
    pub lines_kept: u64,
    /// Lines that no point needs any more.
    pub lines_dropped: u64,
    /// Lines that were erased and are left out.
    pub lines_erased: u64,
    /// Attachments that no point refers to any more.
    pub attachments_released: u64,
    /// Points whose content was compared before and after.
    pub points_compared: u64,
    /// Stored bytes of lines before.
    pub bytes_before: u64,
    /// Stored bytes of lines after; what they replace is removed by [`Source::collect`].
    pub bytes_after: u64,
}

impl Source {
    /// Merges small commits into larger runs, and all runs into a base with the history that points still need, where
    /// that is due: after 30 commits, and when runs beside the base hold a quarter of what it does.
    ///
    /// Every point reads the same before and after. That is proven, before anything takes effect, by digests over what
    /// each point holds: out of the old objects, out of the new ones, and as stated when they were last merged. What was
    /// replaced stays until [`collect`](Self::collect) removes it. Backups go on meanwhile. `progress` is called as lines
    /// are rewritten. Cancel safe: a long merge that is interrupted is gone on with by the next call, unless something else
    /// was maintained meanwhile; what it left otherwise is swept as nobody's.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](saas_backup_core::ErrorKind::PermissionDenied) without the owner's identity;
    /// [`Integrity`](saas_backup_core::ErrorKind::Integrity) if a point does not hold what it held, in which case nothing is
    /// changed; [`Conflict`](saas_backup_core::ErrorKind::Conflict) if another maintainer was faster, or if a backup came to
    /// refer to an attachment that was about to be given up.
    pub async fn compact(
        &self,
        options: &CompactOptions,
        progress: &mut (dyn FnMut(&Compacted) + Send),
    ) -> Result<Compacted> {
        let maintainer = Maintainer::open(self).await?;
        let (mut done, mut resumes) = (Compacted::default(), true);
        loop {
            let map = maintainer.map();
            let mut plan = if done.base { Plan::default() } else { Plan::of(&map, options) };
            if plan.merges.is_empty() {
                return Ok(done);
            }
            let steps = if plan.whole && resumes { Steps::find(&maintainer, &map).await? } else { None };
            if let Some(steps) = &steps {
                plan = Plan::whole(steps.through);
            }
            let (before, was_begun) = (done.clone(), steps.is_some());
            done.base = plan.whole;
            done.commits += plan.commits(&map);
            done.due = true;
            if options.dry_run {
                done.resumed = was_begun;
                return Ok(done);
            }
            match maintainer.compact(&map, &plan, steps, options, &mut done, progress).await {
                Err(error) if was_begun && is_loss(error.kind()) => {
                    tracing::warn!(source = self.shared.name, %error, "an interrupted merge begins anew");
                    (done, resumes) = (before, false);
                }
                result => result?,
            }
        }
    }
}

impl Maintainer {
    async fn compact(
        &self,
        map: &Arc<Map>,
        plan: &Plan,
        steps: Option<Steps>,
        options: &CompactOptions,
        done: &mut Compacted,
        progress: &mut (dyn FnMut(&Compacted) + Send),
    ) -> Result<()> {
        let stated = self.stated(map).await?;
        let erased = if plan.whole { self.shared().access.erased(map).await? } else { Arc::default() };
        let stated_key = stated.as_ref().map(Stated::key).transpose()?;
        // Digests by the old key would confirm guesses at what was erased.
        let key = match (&steps, &stated_key) {
            (Some(steps), _) => steps.key.clone(),
            (None, Some(key)) if erased.is_empty() => key.clone(),
            _ => LedgerKey::generate()?,
        };
        let through = plan.merges.iter().map(|merged| merged.through).max().unwrap_or(0);
        let latest = map.points.iter().rfind(|(point, ..)| *point <= through).map_or(0, |(point, ..)| *point);
        let mut steps = steps.unwrap_or_else(|| Steps::begin(map, through, key.clone()));
        let (mut header, mut parts) = (self.header(), Vec::new());
        let mut maintenance = Maintenance { merges: plan.merges.clone(), ..Maintenance::default() };
        let (mut before, mut referred, mut release) = (Vec::new(), None, None);
        for merged in &plan.merges {
            let references = match (plan.whole, merged.family, referred.take()) {
                (true, Family::Data, _) => References::Collect(HashSet::new()),
                (true, Family::Meta, Some(referred)) => References::Release(Release::new(referred, latest)),
                _ => References::Ignore,
            };
            let points = points_of(map, merged);
            let ledger = Ledger::new(&key, with_present(&points, merged))?;
            let mut erasing = Erasing { erased: Arc::clone(&erased), ..Erasing::default() };
            let proof = match (&stated_key, merged.family) {
                (Some(key), Family::Data) if !erased.is_empty() => Some(Ledger::new(key, points.clone())?),
                _ => None,
            };
            if let References::Release(release) = &references
                && !erased.is_empty()
            {
                erasing.moved = self.repack(map, &erased, release, &mut header).await?;
            }
            let rewriter = Rewriter::new(points, merged.after == 0, options.segment_bytes, ledger, references)
                .erasing(erasing, proof);
            // The rows of the store's own are few.
            let aside = match merged.family {
                Family::Data if plan.whole => Aside::Steps(&mut steps),
                _ => Aside::Nothing,
            };
            let (indexes, rewriter) = self.rewrite(map, merged, rewriter, aside, &mut header, done, progress).await?;
            let Rewriter { ledger, proof, mut references, tally, .. } = rewriter;
            parts.extend(self.committer.seal_indexes(merged.family, &indexes, &mut header).await?);
            if tally.forgot_deletions && merged.family == Family::Data {
                maintenance.horizon = map.points.first().map(|(oldest, ..)| *oldest);
            }
            maintenance.released += tally.released;
            done.attachments_released += tally.released;
            if let References::Collect(_) = &references {
                // Backups went on meanwhile. What comes after this look is looked at when the commit is made.
                let now = self.committer.reload().await?;
                may_follow(&now, map.next())?;
                self.note_later(&now, Family::Data, merged.through, &mut references).await?;
            } else {
                self.note_later(map, merged.family, merged.through, &mut references).await?;
            }
            match references {
                References::Collect(found) => referred = Some(found),
                References::Release(done) => {
                    maintenance.drops = done.unreferred(map);
                    release = Some(done);
                }
                References::Ignore => {}
            }
            if let Some(proof) = proof {
                compare_with_stated(stated.as_ref(), &proof.totals())?;
            }
            before.push((merged.clone(), ledger.totals()));
        }
        if let Some((merged, totals)) = before.iter().find(|(merged, _)| plan.whole && merged.family == Family::Data) {
            let points: Totals = points_of(map, merged)
                .into_iter()
                .map(|point| (point, totals.get(&point).cloned().unwrap_or_default()))
                .collect();
            if erased.is_empty() {
                compare_with_stated(stated.as_ref(), &points)?;
            }
            done.points_compared = points.len() as u64;
            let text = serde_json::to_vec(&Stated::new(&key, points))?;
            parts.push(self.committer.seal_part(PartKind::Digests, Family::Data, text, &mut header).await?);
        }
        let header = said(header, maintenance, &parts);
        let trial = on_trial(map, &header, &parts);
        // Out of what was stored, before anything takes effect.
        for (merged, before) in &before {
            self.compare(&trial, merged, &key, before).await?;
        }
        done.bytes_before +=
            plan.merges.iter().map(|merged| stored(map, merged.family, merged.after, merged.through)).sum::<u64>();
        done.bytes_after += header.objects.iter().map(|object| object.size).sum::<u64>();
        self.commit_releasing(header, &parts, release.as_ref()).await?;
        steps.remove(self).await;
        progress(done);
        Ok(())
    }

    /// The digests that the last base stated.
    async fn stated(&self, map: &Map) -> Result<Option<Stated>> {
        match map.parts.iter().find(|part| part.kind == PartKind::Digests) {
            Some(part) => Ok(Some(Stated::read(&self.shared().access.part(part).await?)?)),
            None => Ok(None),
        }
    }
}

/// The points whose lines are merged.
fn points_of(map: &Map, merged: &Merged) -> Vec<u64> {
    let points = map.points.iter().map(|(point, ..)| *point);
    points.filter(|point| merged.holds(merged.family, *point)).collect()
}

/// Points, and the present.
pub(super) fn with_present(points: &[u64], merged: &Merged) -> Vec<u64> {
    let present = (points.last() != Some(&merged.through)).then_some(merged.through);
    points.iter().copied().chain(present).collect()
}

/// # Errors
///
/// [`ErrorKind::Integrity`] if a point does not hold what the last base stated.
fn compare_with_stated(stated: Option<&Stated>, points: &Totals) -> Result<()> {
    let Some(stated) = stated else { return Ok(()) };
    let differs = |(point, held): &(&u64, _)| stated.points.get(point).is_some_and(|stated| &stated != held);
    match points.iter().find(differs) {
        Some((point, _)) => Err(changed(Some(*point))),
        None => Ok(()),
    }
}
