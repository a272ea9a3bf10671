use std::cmp::Reverse;

use saas_backup_core::{Key, Result};

use super::Access;
use super::access::{INLINE_ORDINAL, lines_of};
use crate::commit::PartKind;
use crate::layout::{Map, Part, Segment};
use crate::object::{Family, StoredLine, decisive, effective};

/// The part that holds a family's inline lines.
pub(crate) fn inline_kind(family: Family) -> PartKind {
    match family {
        Family::Data => PartKind::Delta,
        Family::Meta => PartKind::Meta,
    }
}

/// What is true of a record, given its lines, newest first: its state, or its deletion. Its place in time is that of the
/// line which made it so.
pub(crate) fn state(lines: &[StoredLine]) -> Option<StoredLine> {
    let (state, since) = effective(lines)?;
    Some(StoredLine { sequence: since.sequence, ordinal: since.ordinal, ..state.clone() })
}

enum Run<'a> {
    Part(&'a Part),
    Segment(&'a Segment),
}

impl Run<'_> {
    fn newest(&self) -> (u64, u32) {
        match self {
            Self::Part(part) => (part.sequence, INLINE_ORDINAL),
            Self::Segment(segment) => (segment.sequence, segment.ordinal),
        }
    }
}

impl Access {
    /// The lines of one key at a point, newest first: all, or as many as decide what is true.
    pub(crate) async fn versions(
        &self,
        map: &Map,
        family: Family,
        key: &Key,
        at: u64,
        all: bool,
    ) -> Result<Vec<StoredLine>> {
        let segments: Vec<Segment> = map.segments_at(family, at, all).cloned().collect();
        let indexes = self.indexes(map, &segments).await?;
        let parts: Vec<&Part> = map.parts_at(inline_kind(family), at).collect();
        let mut runs: Vec<(Run<'_>, usize)> = parts.iter().map(|part| (Run::Part(part), 0)).collect();
        runs.extend(segments.iter().enumerate().map(|(index, segment)| (Run::Segment(segment), index)));
        runs.sort_by_key(|(run, _)| Reverse(run.newest()));
        let mut found: Vec<StoredLine> = Vec::new();
        for (run, place) in runs {
            let decided = decisive(&found);
            if !all && decided.is_some_and(|line| (line.sequence, line.ordinal) > run.newest()) {
                break;
            }
            let lines = match run {
                Run::Part(part) => self.part_lines_among(part, &parts).await?,
                Run::Segment(segment) => {
                    let Some(index) = indexes.get(place).filter(|index| index.may_hold(key)) else { continue };
                    let Some(frame) = index.frame_of(key) else { continue };
                    self.frame(segment, index, frame).await?
                }
            };
            found.extend(lines_of(&lines, key).iter().filter(|line| line.sequence <= at).cloned());
            found.sort_by_key(|line| Reverse((line.sequence, line.ordinal)));
        }
        self.erased(map).await?.leave_out(&mut found);
        Ok(found)
    }

    /// The line that says what is true of a key at a point: its state, or its deletion.
    pub(crate) async fn lookup(&self, map: &Map, family: Family, key: &Key, at: u64) -> Result<Option<StoredLine>> {
        let versions = self.versions(map, family, key, at, false).await?;
        Ok(state(&versions))
    }
}
