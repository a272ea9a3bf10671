//! Rewriting the lines of one range, in batches, and comparing what came of it.

use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::{Digest, Error, ErrorKind, Key, Result};

use super::Maintainer;
use super::compact::Compacted;
use super::ledger::{Ledger, LedgerKey, Totals};
use super::losses::Losses;
use super::rewrite::{Piece, Ready, Rewriter};
use super::unfinished::{Made, Steps};
use crate::commit::{CommitHeader, Merged, ObjectRef};
use crate::committer::Sealed;
use crate::layout::Map;
use crate::object::{Family, SegmentIndex};
use crate::read::{Bounds, Merge, blocking};

/// Bytes of lines that are rewritten at once.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What is special about a rewriting.
pub(super) enum Aside<'a> {
    /// Nothing.
    Nothing,
    /// Something is lost, and left out.
    Losses(&'a mut Losses),
    /// It may be interrupted, and was perhaps.
    Steps(&'a mut Steps),
}

/// What comes next: where everything is merged, whole frames of the base, for they may stay as they are.
async fn next_piece(merge: &mut Merge, merged: &Merged, aside: &mut Aside<'_>) -> Result<Option<Piece>> {
    if let Aside::Losses(losses) = aside {
        while let Some(group) = merge.next().await? {
            if let Some(left) = losses.edit(merged.family, group)? {
                return Ok(Some(Piece::Key(left)));
            }
        }
        return Ok(None);
    }
    if merged.after == 0
        && let Some((frame, beside)) = merge.next_frame().await?
    {
        return Ok(Some(Piece::Frame { frame, beside }));
    }
    Ok(merge.next().await?.map(Piece::Key))
}

impl Maintainer {
    /// Rewrites the lines of one range; the segments are uploaded and stand in `header`.
    #[expect(clippy::too_many_arguments, reason = "what is rewritten, by whom, and what comes of it")]
    pub(super) async fn rewrite(
        &self,
        map: &Map,
        merged: &Merged,
        mut rewriter: Rewriter,
        mut aside: Aside<'_>,
        header: &mut CommitHeader,
        done: &mut Compacted,
        progress: &mut (dyn FnMut(&Compacted) + Send),
    ) -> Result<(Vec<SegmentIndex>, Rewriter)> {
        let (mut made, mut after) = (Made::default(), None);
        if let Aside::Steps(steps) = &mut aside
            && let Some(left) = steps.take_left()
        {
            after.clone_from(&left.reached.past);
            rewriter.go_on(left.reached);
            (made, header.domains) = (left.made, left.domains);
            done.resumed = true;
        }
        // What is lost may have been erased, too: what is left out counts for neither.
        let is_all = !matches!(aside, Aside::Losses(_));
        let mut merge = self.merge_after(map, merged, after, is_all).await?;
        let lines_before = (done.lines_kept, done.lines_dropped, done.lines_erased);
        loop {
            let (mut pieces, mut bytes) = (Vec::new(), 0);
            while bytes < BATCH_BYTES
                && let Some(piece) = next_piece(&mut merge, merged, &mut aside).await?
            {
                bytes += piece.bytes();
                pieces.push(piece);
            }
            let is_end = pieces.is_empty();
            let ready;
            (rewriter, ready) = blocking(move || {
                let ready = rewriter.take(&pieces)?;
                Ok((rewriter, ready))
            })
            .await?;
            for segment in ready.0 {
                self.upload(merged.family, segment, header, &mut made.now, &mut made.indexes).await?;
            }
            for segment in ready.1 {
                self.upload(merged.family, segment, header, &mut made.past, &mut made.indexes).await?;
            }
            done.lines_kept = lines_before.0 + rewriter.tally.kept;
            done.lines_dropped = lines_before.1 + rewriter.tally.dropped;
            done.lines_erased = lines_before.2 + rewriter.tally.erased;
            progress(done);
            if is_end {
                break;
            }
            if let Aside::Steps(steps) = &mut aside
                && steps.is_due(&made)
            {
                let paused;
                (rewriter, paused) = blocking(move || {
                    let paused = rewriter.pause()?;
                    Ok((rewriter, paused))
                })
                .await?;
                if let Some((ready, reached)) = paused {
                    if let Some(segment) = ready {
                        self.upload(merged.family, segment, header, &mut made.now, &mut made.indexes).await?;
                    }
                    steps.note(self, header, &made, reached).await?;
                }
            }
        }
        // Of two segments of a commit the later one is the newer.
        header.objects.extend(made.past.into_iter().chain(made.now));
        Ok((made.indexes, rewriter))
    }

    async fn upload(
        &self,
        family: Family,
        Ready { file, covers }: Ready,
        header: &mut CommitHeader,
        objects: &mut Vec<ObjectRef>,
        indexes: &mut Vec<SegmentIndex>,
    ) -> Result<()> {
        let (object, index) = self.committer.put_segment(family, file, Some(covers), header).await?;
        objects.push(object);
        indexes.push(index);
        Ok(())
    }

    pub(super) async fn merge(&self, map: &Map, merged: &Merged) -> Result<Merge> {
        self.merge_after(map, merged, None, true).await
    }

    /// The lines of a range that count.
    pub(super) async fn merge_counting(&self, map: &Map, merged: &Merged) -> Result<Merge> {
        self.merge_after(map, merged, None, false).await
    }

    /// The lines of a range, of the keys after one; those that are erased, too, or not.
    async fn merge_after(&self, map: &Map, merged: &Merged, after: Option<Key>, erased: bool) -> Result<Merge> {
        let all = Bounds::all(merged.family, merged.through);
        let bounds = Bounds { since: merged.after, past: true, erased, after, ..all };
        Merge::open(Arc::clone(&self.shared().access), map, bounds).await
    }

    /// Reads the new segments back, and compares what each point holds with what it held.
    pub(super) async fn compare(&self, trial: &Map, merged: &Merged, key: &LedgerKey, before: &Totals) -> Result<()> {
        let mut ledger = Ledger::new(key, before.keys().copied().collect())?;
        let mut merge = self.merge(trial, merged).await?;
        while let Some(group) = merge.next().await? {
            ledger.take(&group.lines)?;
        }
        let after = ledger.totals();
        if &after == before {
            return Ok(());
        }
        Err(changed(before.iter().find(|(point, held)| after.get(point) != Some(held)).map(|(point, _)| *point)))
    }
}

/// What the map would be with a commit.
pub(super) fn on_trial(map: &Map, header: &CommitHeader, parts: &[Sealed]) -> Map {
    let header = CommitHeader { sequence: map.next(), ..header.clone() };
    let body: Vec<u8> = parts.iter().flat_map(|part| part.bytes.iter().copied()).collect();
    let mut trial = map.clone();
    trial.push("", &header, Digest::of(b""), 0, &Bytes::from(body));
    trial
}

pub(super) fn changed(point: Option<u64>) -> Error {
    let error = Error::new(ErrorKind::Integrity, "a point does not hold what it held; nothing was changed");
    match point {
        Some(point) => error.with_context("point", point),
        None => error,
    }
}
