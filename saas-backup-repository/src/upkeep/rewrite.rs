//! Writing the lines of many runs as one.

use std::collections::HashSet;

use memchr::memmem::Finder;
use saas_backup_core::{Key, Result};

use super::erasing::Erasing;
use super::keep::{Needed, needed};
use super::ledger::Ledger;
use crate::commit::Covers;
use crate::object::{Codec, SegmentBuilder, SegmentFile, StoredLine, key_hash};
use crate::read::{BlobRow, Group};
use crate::reserved;

/// A segment that is ready to be sealed.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) file: SegmentFile,
    pub(super) covers: Covers,
}

/// What came of the lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) kept: u64,
    pub(super) dropped: u64,
    /// Lines that were left out as erased.
    pub(super) erased: u64,
    /// Attachments that nothing refers to any more.
    pub(super) released: u64,
    /// Whether a deletion was left out.
    pub(super) forgot_deletions: bool,
}

/// Rewrites one family; takes its keys in order.
pub(super) struct Rewriter {
    points: Vec<u64>,
    /// Whether these are all the lines of the family.
    whole: bool,
    segment_bytes: usize,
    pub(super) ledger: Ledger,
    /// What the points held before something was left out as erased; only where something is.
    pub(super) proof: Option<Ledger>,
    erasing: Erasing,
    now: Run,
    past: Run,
    pub(super) references: References,
    pub(super) tally: Tally,
}

/// Which attachments are referred to.
pub(super) enum References {
    /// Notes those of the records that are kept, as hashes.
    Collect(HashSet<u64>),
    /// Leaves out the rows of attachments that are not among these and were there at a point, and notes the objects that
    /// the others lie in.
    Release { referred: HashSet<u64>, latest: u64, objects: HashSet<u64> },
    /// Does neither.
    Ignore,
}

struct Run {
    builder: SegmentBuilder,
    covers: Option<Covers>,
}

impl Rewriter {
    /// Keeps what `points`, in order, and the present need.
    pub(super) fn new(
        points: Vec<u64>,
        whole: bool,
        segment_bytes: usize,
        ledger: Ledger,
        references: References,
    ) -> Self {
        let (now, past) = Default::default();
        let (proof, erasing) = Default::default();
        Self { points, whole, segment_bytes, ledger, proof, erasing, now, past, references, tally: Tally::default() }
    }

    /// Leaves out what is erased; `proof` is to take what is there before.
    pub(super) fn erasing(mut self, erasing: Erasing, proof: Option<Ledger>) -> Self {
        (self.erasing, self.proof) = (erasing, proof);
        self
    }

    /// Takes the next keys, or no keys at the end; gives the segments that are full, and in the end the last ones: those of
    /// the present, and those of the past.
    pub(super) fn take(&mut self, groups: &[Group]) -> Result<(Vec<Ready>, Vec<Ready>)> {
        let (mut now, mut past) = (Vec::new(), Vec::new());
        Codec::with(|codec| {
            for group in groups {
                self.key(codec, group)?;
                let full = self.segment_bytes;
                now.extend(self.now.end_at(full, codec)?);
                past.extend(self.past.end_at(full, codec)?);
            }
            if groups.is_empty() {
                now.extend(self.now.end_at(0, codec)?);
                past.extend(self.past.end_at(0, codec)?);
            }
            Ok(())
        })?;
        Ok((now, past))
    }

    fn key(&mut self, codec: &mut Codec, group: &Group) -> Result<()> {
        if let Some(proof) = &mut self.proof {
            proof.take(&group.lines)?;
        }
        let changed = self.erasing.change(group)?;
        let lines_before = group.lines.len();
        let group = changed.as_ref().unwrap_or(group);
        let Group { key, lines } = group;
        self.tally.erased += (lines_before - lines.len()) as u64;
        if lines.is_empty() {
            return Ok(());
        }
        if self.references.releases(group) {
            self.tally.released += u64::from(group.live().is_some());
            self.tally.dropped += lines.len() as u64;
            return Ok(());
        }
        self.ledger.take(lines)?;
        let needed = needed(lines, &self.points, self.whole);
        self.tally.forgot_deletions |= needed.gone;
        let kept = needed.now.len() + needed.past.len();
        self.tally.kept += kept as u64;
        self.tally.dropped += (lines.len() - kept) as u64;
        let Needed { now, past, until, .. } = needed;
        // A run that does not hold all lines of its keys has no past of its own: what is newer lies elsewhere.
        let (now, past) = if self.whole { (now, past) } else { (in_order(now, past), Vec::new()) };
        for (run, places, until) in [(&mut self.now, now, None), (&mut self.past, past, Some(until))] {
            let lines: Vec<&StoredLine> = places.iter().filter_map(|place| lines.get(*place)).collect();
            lines.iter().try_for_each(|line| self.references.note(line))?;
            run.push(codec, key, &lines, until)?;
        }
        Ok(())
    }
}

fn in_order(now: Vec<usize>, past: Vec<usize>) -> Vec<usize> {
    let mut all = [now, past].concat();
    all.sort_unstable();
    all
}

impl Default for Run {
    fn default() -> Self {
        Self { builder: SegmentBuilder::read_back(), covers: None }
    }
}

impl Run {
    fn push(&mut self, codec: &mut Codec, key: &Key, lines: &[&StoredLine], until: Option<u64>) -> Result<()> {
        let (Some(newest), Some(oldest)) = (lines.first(), lines.last()) else { return Ok(()) };
        let covers = self.covers.get_or_insert(Covers { oldest: u64::MAX, newest: 0, until });
        covers.oldest = covers.oldest.min(oldest.sequence);
        covers.newest = covers.newest.max(newest.sequence);
        covers.until = covers.until.max(until);
        let length = lines.iter().map(|line| line.text.len() + SEQUENCE_BYTES).sum();
        let raw = self.builder.group(codec, key, lines, length)?;
        for line in lines {
            let (before, behind) = line.unnumbered()?;
            raw.extend_from_slice(before);
            raw.extend_from_slice(format!(",\"seq\":{}", line.sequence).as_bytes());
            raw.extend_from_slice(behind);
            raw.push(b'\n');
        }
        Ok(())
    }

    /// Ends the segment if it has so many bytes.
    fn end_at(&mut self, bytes: usize, codec: &mut Codec) -> Result<Option<Ready>> {
        if self.builder.size() < bytes {
            return Ok(None);
        }
        let Self { builder, covers } = std::mem::take(self);
        let Some(covers) = covers else { return Ok(None) };
        Ok(builder.finish(codec)?.map(|file| Ready { file, covers }))
    }
}

/// What a sequence number adds to a line at most, and its line feed.
const SEQUENCE_BYTES: usize = 28;

impl References {
    /// Whether the key is the row of an attachment that is to be given up.
    fn releases(&self, group: &Group) -> bool {
        let Self::Release { referred, latest, .. } = self else { return false };
        group.key.collection.as_str() == reserved::BLOBS
            && group.lines.first().is_some_and(|newest| newest.sequence <= *latest)
            && !referred.contains(&key_hash(&group.key).0)
    }

    fn note(&mut self, line: &StoredLine) -> Result<()> {
        if line.is_deletion() {
            return Ok(());
        }
        match self {
            Self::Collect(referred) => {
                // Most records have none: a look at the bytes is enough to know.
                if Finder::new(b"\"blobs\":").find(&line.text).is_none() {
                    return Ok(());
                }
                for blob in reserved::record(&line.text)?.blobs {
                    if let Some(id) = blob.id {
                        referred.insert(key_hash(&reserved::key(reserved::BLOBS, id.as_str())?).0);
                    }
                }
            }
            Self::Release { objects, .. } if line.key.collection.as_str() == reserved::BLOBS => {
                let row: BlobRow = reserved::value(&line.text)?;
                objects.extend(row.parts.iter().map(|part| object_hash(&part.object)));
            }
            Self::Release { .. } | Self::Ignore => {}
        }
        Ok(())
    }
}

/// The hash by which an object is noted.
pub(super) fn object_hash(name: &str) -> u64 {
    let digest = blake3::hash(name.as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
}
