use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use saas_backup_core::{CollectionName, Key, Result};

use super::lookup::{inline_kind, state};
use super::{Access, Erased, StoredFrame};
use crate::layout::{Map, Part, Segment};
use crate::object::{Family, SegmentIndex, StoredLine, decisive, effective, holders};

/// Raw bytes of frames that one segment holds decoded while it is merged.
const READ_AHEAD: u64 = 1024 * 1024;

/// Which lines to merge.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) family: Family,
    /// One collection; all of them without it.
    pub(crate) collection: Option<CollectionName>,
    /// Only keys after this one.
    pub(crate) after: Option<Key>,
    /// Only runs that may hold lines newer than this.
    pub(crate) since: u64,
    /// Only lines that existed at this point.
    pub(crate) at: u64,
    /// Also lines that say nothing of what is true at this point any more.
    pub(crate) past: bool,
    /// Also lines that were erased and are still there.
    pub(crate) erased: bool,
}

/// All lines of one key, newest first.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: Key,
    pub(crate) lines: Vec<StoredLine>,
}

impl Group {
    /// What these lines say is true: the state, or the deletion. Its place in time is that of the line which made it so.
    pub(crate) fn state(&self) -> Option<StoredLine> {
        state(&self.lines)
    }

    /// The line of the live state, if they say that there is one.
    pub(crate) fn live(&self) -> Option<&StoredLine> {
        effective(&self.lines).map(|(line, _)| line).filter(|line| !line.is_deletion())
    }

    /// The line of each partition that holds the record, going by these lines; the newest last.
    pub(crate) fn holders(&self) -> Vec<&StoredLine> {
        holders(&self.lines)
    }

    /// Whether older lines of the key could not change what is true.
    pub(crate) fn is_decided(&self) -> bool {
        decisive(&self.lines).is_some()
    }
}

/// Merges the runs of a source in the order of keys.
///
/// Holds the inline lines that are in its bounds, and of each segment that reaches the current key one read-ahead.
#[derive(Debug)]
pub(crate) struct Merge {
    access: Arc<Access>,
    bounds: Bounds,
    erased: Arc<Erased>,
    heap: BinaryHeap<Reverse<Next>>,
    runs: Vec<Run>,
}

#[derive(Debug)]
enum Run {
    Inline(VecDeque<StoredLine>),
    Segment {
        segment: Box<Segment>,
        index: Arc<SegmentIndex>,
        /// Whether it is one of the base: no other one of the base holds its keys.
        is_base: bool,
        /// The frame after the one that `lines` are of.
        next_frame: usize,
        lines: VecDeque<StoredLine>,
        /// What was read of that frame and those after it.
        ahead: VecDeque<StoredFrame>,
    },
}

impl Run {
    /// The live records of the next frame, if it was not opened yet, all of it is in the bounds and in one
    /// collection, and it ends before `other`, the next key of any other run.
    fn lone_frame(&self, bounds: &Bounds, other: Option<&Key>, once: bool) -> Option<(CollectionName, u64)> {
        let Self::Segment { segment, index, next_frame, lines, .. } = self else { return None };
        if once && segment.oldest.is_some_and(|oldest| oldest < segment.sequence) {
            return None;
        }
        let frame = index.frames.get(*next_frame)?;
        let live = frame.live?;
        let after = index.frames.get(*next_frame + 1).map(|after| &after.first);
        let is_alone = match (after, other) {
            (_, None) => true,
            (Some(after), Some(other)) => after <= other,
            (None, Some(other)) => &index.last < other,
        };
        let collection = &frame.first.collection;
        let is_one = &after.unwrap_or(&index.last).collection == collection;
        let is_whole = lines.is_empty() && segment.sequence <= bounds.at && bounds.after.is_none();
        let is_wanted = bounds.collection.as_ref().is_none_or(|wanted| wanted == collection);
        (is_alone && is_one && is_whole && is_wanted).then(|| (collection.clone(), u64::from(live)))
    }
}

/// The next key of a run; a segment that was not opened yet stands with its first key.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    key: Key,
    newest: Reverse<(u64, u32)>,
    run: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.key, &self.newest, self.run).cmp(&(&other.key, &other.newest, other.run))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Merge {
    pub(crate) async fn open(access: Arc<Access>, map: &Map, bounds: Bounds) -> Result<Self> {
        let erased = if bounds.erased { Arc::default() } else { access.erased(map).await? };
        let mut merge = Self { access, bounds, erased, heap: BinaryHeap::new(), runs: Vec::new() };
        let bounds = merge.bounds.clone();
        let parts = map.parts_at(inline_kind(bounds.family), bounds.at).filter(|part| part.sequence > bounds.since);
        let parts: Vec<Part> = parts.cloned().collect();
        for lines in merge.access.all_part_lines(&parts).await? {
            let wanted: VecDeque<StoredLine> = lines.iter().filter(|line| bounds.holds(&line.key)).cloned().collect();
            if !wanted.is_empty() {
                merge.add(Run::Inline(wanted));
            }
        }
        let segments: Vec<Segment> = map
            .segments_at(bounds.family, bounds.at, bounds.past)
            .filter(|segment| segment.sequence > bounds.since)
            .cloned()
            .collect();
        let indexes = merge.access.indexes(map, &segments).await?;
        let base = map.upkeep.tier(bounds.family).base;
        for (segment, index) in segments.into_iter().zip(indexes) {
            let lower = bounds.lower();
            let next_frame = lower.as_ref().and_then(|key| index.frame_of(key)).unwrap_or(0);
            let is_past = lower.as_ref().is_some_and(|lower| &index.last < lower);
            let is_before = bounds.collection.as_ref().is_some_and(|collection| {
                index.frames.get(next_frame).is_some_and(|frame| &frame.first.collection > collection)
            });
            if !is_past && !is_before {
                let segment = Box::new(segment);
                let is_base = segment.until.is_none() && segment.oldest.is_some() && segment.sequence <= base;
                let (lines, ahead) = Default::default();
                merge.add(Run::Segment { segment, index, is_base, next_frame, lines, ahead });
            }
        }
        Ok(merge)
    }

    fn add(&mut self, run: Run) {
        self.runs.push(run);
        self.requeue(self.runs.len() - 1);
    }

    /// Puts a run back into the heap by its next key.
    fn requeue(&mut self, run: usize) {
        let next = match self.runs.get(run) {
            Some(Run::Inline(lines)) => lines.front().map(|line| (line.key.clone(), (line.sequence, line.ordinal))),
            Some(Run::Segment { segment, index, next_frame, lines, .. }) => match lines.front() {
                Some(line) => Some((line.key.clone(), (line.sequence, line.ordinal))),
                None => index
                    .frames
                    .get(*next_frame)
                    .map(|frame| (frame.first.clone(), (segment.sequence, segment.ordinal))),
            },
            None => None,
        };
        if let Some((key, newest)) = next {
            let past = self.bounds.collection.as_ref().is_some_and(|collection| &key.collection > collection);
            if !past {
                self.heap.push(Reverse(Next { key, newest: Reverse(newest), run }));
            }
        }
    }

    /// Opens the next frame of a segment, and reads ahead; `None` at its end.
    async fn open_frame(&mut self, run: usize) -> Result<Option<StoredFrame>> {
        let Some(Run::Segment { segment, index, next_frame, ahead, .. }) = self.runs.get_mut(run) else {
            return Ok(None);
        };
        if ahead.is_empty() {
            let mut to = *next_frame;
            let mut raw = 0;
            while let Some(frame) = index.frames.get(to) {
                raw += u64::from(frame.raw);
                if raw > READ_AHEAD && to > *next_frame {
                    break;
                }
                to += 1;
            }
            ahead.extend(self.access.frames(segment, index, *next_frame, to).await?);
        }
        *next_frame += usize::from(!ahead.is_empty());
        Ok(ahead.pop_front())
    }

    /// Takes the lines of the next frame of a segment that holds none.
    async fn fill(&mut self, run: usize) -> Result<()> {
        let frame = self.open_frame(run).await?;
        let (bounds, at) = (&self.bounds, self.bounds.at);
        if let (Some(frame), Some(Run::Segment { lines, .. })) = (frame, self.runs.get_mut(run)) {
            lines.extend(frame.lines.into_iter().filter(|line| line.sequence <= at && bounds.holds(&line.key)));
        }
        Ok(())
    }

    /// The next frame of the base as it is stored, and the lines of its keys, and of those between them, that other runs
    /// hold; `None` where something else comes next.
    pub(crate) async fn next_frame(&mut self) -> Result<Option<(StoredFrame, Vec<Group>)>> {
        let Some(run) = self.heap.peek().map(|next| next.0.run) else { return Ok(None) };
        let end = match self.runs.get(run) {
            Some(Run::Segment { is_base: true, index, next_frame, lines, .. })
                if lines.is_empty() && self.bounds.holds_all_from(index, *next_frame) =>
            {
                index.frames.get(*next_frame + 1).map(|after| after.first.clone())
            }
            _ => return Ok(None),
        };
        self.heap.pop();
        let Some(frame) = self.open_frame(run).await? else { return Ok(None) };
        self.requeue(run);
        let last = frame.lines.last().map(|line| line.key.clone());
        let mut beside = Vec::new();
        loop {
            let is_within = self.heap.peek().is_some_and(|Reverse(next)| match &end {
                Some(end) => &next.key < end,
                None => last.as_ref().is_some_and(|last| &next.key <= last),
            });
            if !is_within {
                return Ok(Some((frame, beside)));
            }
            beside.extend(self.next_stored().await?);
        }
    }

    /// Passes over a frame whose keys no other run may hold and whose live records its segment counted: their
    /// collection and number. Nothing is read for it. With `once` only where one commit wrote them all.
    pub(crate) fn pass_frame(&mut self, once: bool) -> Option<(CollectionName, u64)> {
        if !self.erased.is_empty() {
            // Its count is that of the keys which are erased, too.
            return None;
        }
        let next = self.heap.pop()?;
        let run = next.0.run;
        let other = self.heap.peek().map(|Reverse(other)| &other.key);
        let Some(counted) = self.runs.get(run).and_then(|run| run.lone_frame(&self.bounds, other, once)) else {
            self.heap.push(next);
            return None;
        };
        if let Some(Run::Segment { next_frame, ahead, .. }) = self.runs.get_mut(run) {
            *next_frame += 1;
            ahead.pop_front();
        }
        self.requeue(run);
        Some(counted)
    }

    /// The next key with all its lines.
    pub(crate) async fn next(&mut self) -> Result<Option<Group>> {
        loop {
            let Some(mut group) = self.next_stored().await? else { return Ok(None) };
            self.erased.leave_out(&mut group.lines);
            if !group.lines.is_empty() {
                return Ok(Some(group));
            }
        }
    }

    async fn next_stored(&mut self) -> Result<Option<Group>> {
        let mut group: Option<Group> = None;
        while let Some(Reverse(next)) = self.heap.peek() {
            if group.as_ref().is_some_and(|group| group.key != next.key) {
                break;
            }
            let run = next.run;
            self.heap.pop();
            match self.runs.get_mut(run) {
                Some(Run::Inline(lines) | Run::Segment { lines, .. }) => match lines.pop_front() {
                    Some(line) if line.sequence <= self.bounds.at => match &mut group {
                        Some(group) => group.lines.push(line),
                        None => group = Some(Group { key: line.key.clone(), lines: vec![line] }),
                    },
                    Some(_) => {}
                    None => self.fill(run).await?,
                },
                None => {}
            }
            self.requeue(run);
        }
        if let Some(group) = &mut group {
            group.lines.sort_by_key(|line| Reverse((line.sequence, line.ordinal)));
        }
        Ok(group)
    }
}

impl Bounds {
    /// All lines of a family that say what is true at a point.
    pub(crate) fn all(family: Family, at: u64) -> Self {
        Self { family, collection: None, after: None, since: 0, at, past: false, erased: false }
    }

    fn holds(&self, key: &Key) -> bool {
        self.collection.as_ref().is_none_or(|collection| &key.collection == collection)
            && self.after.as_ref().is_none_or(|after| key > after)
    }

    /// Whether no key of a segment from one of its frames on comes before the bounds.
    fn holds_all_from(&self, index: &SegmentIndex, frame: usize) -> bool {
        let Some(after) = &self.after else { return true };
        index.frames.get(frame).is_some_and(|frame| &frame.first > after)
    }

    /// No key in the bounds is smaller than this one.
    fn lower(&self) -> Option<Key> {
        if let Some(after) = &self.after {
            return Some(after.clone());
        }
        // The shortest id that sorts before every other one: ids hold no control characters.
        let collection = self.collection.clone()?;
        Some(Key::new(collection, saas_backup_core::RecordId::from_static(" ")))
    }
}
