//! Writing the lines of many runs as one.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashSet;

use saas_backup_core::{Key, Result};
use serde::{Deserialize, Serialize};

use super::erasing::Erasing;
use super::keep::{Needed, needed};
use super::ledger::{Added, Ledger};
use super::references::References;
use crate::commit::Covers;
use crate::object::{Codec, SegmentBuilder, SegmentFile, StoredLine, effective};
use crate::read::{Group, StoredFrame};

/// A segment that is ready to be sealed.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) file: SegmentFile,
    pub(super) covers: Covers,
}

/// What is rewritten next, in the order of keys.
pub(super) enum Piece {
    Key(Group),
    /// A frame of the base, and what other runs hold of its keys and between them.
    Frame {
        frame: StoredFrame,
        beside: Vec<Group>,
    },
}

impl Piece {
    /// Bytes of its lines.
    pub(super) fn bytes(&self) -> usize {
        let length = |group: &Group| group.lines.iter().map(|line| line.text.len()).sum::<usize>();
        match self {
            Self::Key(group) => length(group),
            Self::Frame { frame, beside } => frame.raw + beside.iter().map(length).sum::<usize>(),
        }
    }

    /// Its last key.
    fn last(&self) -> Option<&Key> {
        match self {
            Self::Key(group) => Some(&group.key),
            Self::Frame { frame, beside } => {
                let own = frame.lines.last().map(|line| &line.key);
                own.max(beside.last().map(|group| &group.key))
            }
        }
    }
}

/// What came of the lines.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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
    /// The last key that was taken.
    last: Option<Key>,
    /// Keys up to this one were taken by another rewriter; only what is past of them may be missing.
    taken: Option<Key>,
}

/// How far a rewriting came.
#[derive(Serialize, Deserialize)]
pub(super) struct Reached {
    /// What is needed now of the keys up to this one lies in segments that are ended.
    through: Key,
    /// And what was needed before, of the keys up to this one.
    pub(super) past: Option<Key>,
    ledger: Added,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<Added>,
    /// The attachments that are referred to, as hashes.
    referred: HashSet<u64>,
    tally: Tally,
}

struct Run {
    builder: SegmentBuilder,
    covers: Option<Covers>,
    /// The last key that was taken before its first one.
    after: Option<Key>,
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
        let (tally, last, taken) = Default::default();
        Self { points, whole, segment_bytes, ledger, proof, erasing, now, past, references, tally, last, taken }
    }

    /// Leaves out what is erased; `proof` is to take what is there before.
    pub(super) fn erasing(mut self, erasing: Erasing, proof: Option<Ledger>) -> Self {
        (self.erasing, self.proof) = (erasing, proof);
        self
    }

    /// Goes on where another one stopped that rewrote the same, and that noted how far it came; to be given what comes after
    /// [`Reached::past`].
    pub(super) fn go_on(&mut self, reached: Reached) {
        let Reached { through, past, ledger, proof, referred, tally } = reached;
        self.ledger.go_on(ledger);
        if let (Some(proof), Some(added)) = (&mut self.proof, proof) {
            proof.go_on(added);
        }
        if let References::Collect(found) = &mut self.references {
            *found = referred;
        }
        (self.last, self.taken, self.tally) = (past, Some(through), tally);
    }

    /// Ends the segment of the present, and says how far everything came; `None` if nothing was taken that was not before.
    pub(super) fn pause(&mut self) -> Result<Option<(Option<Ready>, Reached)>> {
        let Some(through) = self.last.clone().filter(|last| self.taken.as_ref().is_none_or(|taken| last > taken))
        else {
            return Ok(None);
        };
        let ready = Codec::with(|codec| self.now.end_at(0, codec))?;
        let past = if self.past.covers.is_some() { self.past.after.clone() } else { Some(through.clone()) };
        let referred = match &self.references {
            References::Collect(referred) => referred.clone(),
            References::Release(_) | References::Ignore => HashSet::new(),
        };
        let (ledger, proof) = (self.ledger.added(), self.proof.as_ref().map(Ledger::added));
        Ok(Some((ready, Reached { through, past, ledger, proof, referred, tally: self.tally })))
    }

    /// Takes the next keys, or no keys at the end; gives the segments that are full, and in the end the last ones: those of
    /// the present, and those of the past.
    pub(super) fn take(&mut self, pieces: &[Piece]) -> Result<(Vec<Ready>, Vec<Ready>)> {
        let (mut now, mut past) = (Vec::new(), Vec::new());
        Codec::with(|codec| {
            for (place, piece) in pieces.iter().enumerate() {
                let was_empty = self.past.covers.is_none();
                match piece {
                    Piece::Key(group) => self.key(codec, &group.key, &group.lines)?,
                    Piece::Frame { frame, beside } => self.frame(codec, frame, beside)?,
                }
                if was_empty && self.past.covers.is_some() {
                    let before = place.checked_sub(1).and_then(|before| pieces.get(before)?.last().cloned());
                    self.past.after = before.or_else(|| self.last.clone());
                }
                let full = self.segment_bytes;
                now.extend(self.now.end_at(full, codec)?);
                past.extend(self.past.end_at(full, codec)?);
            }
            if let Some(last) = pieces.last().and_then(Piece::last) {
                self.last = Some(last.clone());
            }
            if pieces.is_empty() {
                now.extend(self.now.end_at(0, codec)?);
                past.extend(self.past.end_at(0, codec)?);
            }
            Ok(())
        })?;
        Ok((now, past))
    }

    /// Takes over a frame as it is, if all its lines stay where they are, and no other line comes between them.
    fn frame(&mut self, codec: &mut Codec, frame: &StoredFrame, beside: &[Group]) -> Result<()> {
        let keys = joined(frame, beside);
        let Some(kept) = self.all_that_stays(frame, &keys)? else {
            return keys.iter().try_for_each(|key| self.key(codec, key.key, &key.lines));
        };
        for (Joined { key, lines, places }, needed) in keys.iter().zip(kept) {
            for ledger in self.proof.iter_mut().chain([&mut self.ledger]) {
                ledger.take(lines)?;
            }
            self.tally.kept += (places.len() + needed.past.len()) as u64;
            self.tally.dropped += (lines.len() - places.len() - needed.past.len()) as u64;
            let past: Vec<&StoredLine> = needed.past.iter().filter_map(|place| lines.get(*place)).collect();
            for line in places.iter().filter_map(|place| lines.get(*place)).chain(past.iter().copied()) {
                self.references.note(line)?;
            }
            self.past.push(codec, key, &past, Some(needed.until))?;
        }
        self.now.copy(codec, frame)
    }

    /// What is needed of the keys of a frame, if the lines that it holds are those that the present needs, and nothing else
    /// is changed.
    fn all_that_stays(&self, frame: &StoredFrame, keys: &[Joined<'_>]) -> Result<Option<Vec<Needed>>> {
        if frame.raw < SMALLEST_COPY || keys.first().is_some_and(|key| self.was_taken(key.key)) {
            return Ok(None);
        }
        let mut kept = Vec::with_capacity(keys.len());
        for Joined { key, lines, places } in keys {
            if self.references.gives_up(key, lines) || self.erasing.change(lines)?.is_some() {
                return Ok(None);
            }
            let needed = needed(lines, &self.points, self.whole);
            if needed.gone || needed.now != *places {
                return Ok(None);
            }
            kept.push(needed);
        }
        Ok(Some(kept))
    }

    /// Whether another rewriter took a key.
    fn was_taken(&self, key: &Key) -> bool {
        self.taken.as_ref().is_some_and(|taken| key <= taken)
    }

    fn key(&mut self, codec: &mut Codec, key: &Key, lines: &[StoredLine]) -> Result<()> {
        if self.was_taken(key) {
            return self.past_of(codec, key, lines);
        }
        if let Some(proof) = &mut self.proof {
            proof.take(lines)?;
        }
        let changed = self.erasing.change(lines)?;
        let before = lines.len();
        let lines = changed.as_deref().unwrap_or(lines);
        self.tally.erased += (before - lines.len()) as u64;
        if lines.is_empty() {
            return Ok(());
        }
        if self.references.gives_up(key, lines) {
            self.references.note_released(key);
            self.tally.released += u64::from(effective(lines).is_some_and(|(line, _)| !line.is_deletion()));
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

    /// Takes what was needed before of a key of which the rest was taken.
    fn past_of(&mut self, codec: &mut Codec, key: &Key, lines: &[StoredLine]) -> Result<()> {
        let changed = self.erasing.change(lines)?;
        let lines = changed.as_deref().unwrap_or(lines);
        if lines.is_empty() || !self.whole {
            return Ok(());
        }
        let Needed { past, until, .. } = needed(lines, &self.points, self.whole);
        let lines: Vec<&StoredLine> = past.iter().filter_map(|place| lines.get(*place)).collect();
        self.past.push(codec, key, &lines, Some(until))
    }
}

/// A key with all its lines, newest first, and the places among them of those that a frame holds.
struct Joined<'a> {
    key: &'a Key,
    lines: Cow<'a, [StoredLine]>,
    places: Vec<usize>,
}

impl<'a> Joined<'a> {
    fn of(key: &'a Key, own: &'a [StoredLine], other: &'a [StoredLine]) -> Self {
        if other.is_empty() {
            return Self { key, lines: Cow::Borrowed(own), places: (0..own.len()).collect() };
        }
        let mut lines: Vec<(bool, &StoredLine)> = own.iter().map(|line| (true, line)).collect();
        lines.extend(other.iter().map(|line| (false, line)));
        lines.sort_by_key(|(_, line)| Reverse((line.sequence, line.ordinal)));
        let places = lines.iter().enumerate().filter(|(_, (is_own, _))| *is_own).map(|(place, _)| place).collect();
        Self { key, lines: lines.into_iter().map(|(_, line)| line.clone()).collect(), places }
    }
}

/// The keys of a frame and of what lies beside it, in order.
fn joined<'a>(frame: &'a StoredFrame, beside: &'a [Group]) -> Vec<Joined<'a>> {
    let own = frame.lines.chunk_by(|one, two| one.key == two.key);
    let mut own = own.filter_map(|lines| Some((&lines.first()?.key, lines))).peekable();
    let mut beside = beside.iter().peekable();
    let mut keys = Vec::new();
    loop {
        let key = match (own.peek(), beside.peek()) {
            (Some((own, _)), Some(other)) => (*own).min(&other.key),
            (Some((own, _)), None) => *own,
            (None, Some(other)) => &other.key,
            (None, None) => return keys,
        };
        let own = own.next_if(|(own, _)| *own == key).map(|(_, lines)| lines).unwrap_or_default();
        let other = beside.next_if(|other| &other.key == key).map(|other| other.lines.as_slice()).unwrap_or_default();
        keys.push(Joined::of(key, own, other));
    }
}

fn in_order(now: Vec<usize>, past: Vec<usize>) -> Vec<usize> {
    let mut all = [now, past].concat();
    all.sort_unstable();
    all
}

impl Default for Run {
    fn default() -> Self {
        Self { builder: SegmentBuilder::read_back(), covers: None, after: None }
    }
}

impl Run {
    fn push(&mut self, codec: &mut Codec, key: &Key, lines: &[&StoredLine], until: Option<u64>) -> Result<()> {
        let (Some(newest), Some(oldest)) = (lines.first(), lines.last()) else { return Ok(()) };
        self.cover(oldest.sequence, newest.sequence, until);
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

    fn copy(&mut self, codec: &mut Codec, frame: &StoredFrame) -> Result<()> {
        for line in &frame.lines {
            self.cover(line.sequence, line.sequence, None);
        }
        let keys = frame.lines.chunk_by(|one, two| one.key == two.key);
        self.builder.copy(codec, &frame.stored, frame.raw, keys.filter_map(|lines| Some((&lines.first()?.key, lines))))
    }

    fn cover(&mut self, oldest: u64, newest: u64, until: Option<u64>) {
        let covers = self.covers.get_or_insert(Covers { oldest: u64::MAX, newest: 0, until });
        covers.oldest = covers.oldest.min(oldest);
        covers.newest = covers.newest.max(newest);
        covers.until = covers.until.max(until);
    }

    /// Ends the segment if it has so many bytes.
    fn end_at(&mut self, bytes: usize, codec: &mut Codec) -> Result<Option<Ready>> {
        if self.builder.size() < bytes {
            return Ok(None);
        }
        let Self { builder, covers, .. } = std::mem::take(self);
        let Some(covers) = covers else { return Ok(None) };
        Ok(builder.finish(codec)?.map(|file| Ready { file, covers }))
    }
}

/// Frames that are taken over as they are have so many bytes of lines at least: smaller ones grow together again.
const SMALLEST_COPY: usize = 128 * 1024;
/// What a sequence number adds to a line at most, and its line feed.
const SEQUENCE_BYTES: usize = 28;
