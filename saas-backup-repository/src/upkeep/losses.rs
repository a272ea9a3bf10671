//! What lines say once some of them are lost: never what was true before them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use saas_backup_core::{CollectionName, Deletion, DeletionReason, Key, Line, LineCodec, Result};
use serde::{Deserialize, Serialize};

use super::keep::needed;
use crate::object::{Family, Says, SegmentIndex, StoredLine, key_hash};
use crate::read::{BlobRow, Group};
use crate::reserved;
use crate::sink::HeldRow;

/// Lines of records that nobody can read any more.
#[derive(Debug)]
pub(super) struct LostLines {
    /// The object, or the commit, that held them.
    pub(super) object: String,
    /// The numbers of the oldest and of the newest.
    pub(super) from: u64,
    pub(super) through: u64,
    /// From this point on none of them matters.
    pub(super) until: Option<u64>,
    /// Of the same commit, lines with a higher one are newer.
    pub(super) ordinal: u32,
    pub(super) keys: LostKeys,
}

/// Which keys lost lines may be about.
#[derive(Debug)]
pub(super) enum LostKeys {
    /// Any.
    All,
    /// Those that the frames at these places of a segment may hold.
    Frames(Arc<SegmentIndex>, HashSet<usize>),
    /// Those with these hashes.
    Exactly(HashSet<(u64, u64)>),
}

impl LostKeys {
    fn may_hold(&self, key: &Key) -> bool {
        match self {
            Self::All => true,
            Self::Frames(index, lost) => {
                index.may_hold(key) && index.frame_of(key).is_some_and(|frame| lost.contains(&frame))
            }
            Self::Exactly(keys) => keys.contains(&key_hash(key)),
        }
    }
}

/// What a collection lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LostCount {
    /// Records, as far as it is known: those whose lines are lost, and those of which it is not known whether older lines
    /// still told the truth.
    pub records: u64,
    /// References to attachments that are lost.
    pub attachments: u64,
}

/// Takes what is lost out of keys and their lines.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) lines: Vec<LostLines>,
    /// Objects of attachments that are lost, with the first commit that needed them.
    pub(super) objects: HashMap<String, u64>,
    /// The naming key, where it is lost: positions that were noted by it tell nothing.
    pub(super) naming: Option<String>,
    /// The attachments that lay there.
    pub(super) attachments: HashSet<String>,
    pub(super) held: Option<HeldRow>,
    pub(super) collections: BTreeMap<CollectionName, LostCount>,
}

impl Losses {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.objects.is_empty() && self.naming.is_none()
    }

    /// Whether the truth about a record may be lost.
    pub(super) fn may_hold(&self, key: &Key) -> bool {
        self.lines.iter().any(|lost| lost.keys.may_hold(key))
    }

    /// What is left of a key; `None` if nothing is.
    pub(super) fn edit(&mut self, family: Family, mut group: Group) -> Result<Option<Group>> {
        match (family, group.key.collection.as_str()) {
            // What is missing is told by reading everything again.
            (Family::Meta, reserved::FEEDS) => return Ok(None),
            (Family::Meta, reserved::BLOBS) => {
                let mut left = Vec::new();
                for line in group.lines {
                    let row: Option<BlobRow> =
                        if line.is_deletion() { None } else { Some(reserved::value(&line.text)?) };
                    let is_lost = |row: &BlobRow| row.parts.iter().any(|part| self.objects.contains_key(&part.object));
                    if !row.as_ref().is_some_and(is_lost) {
                        left.push(line);
                    }
                }
                group.lines = left;
            }
            (Family::Meta, reserved::HELD) => {
                if let (Some(held), Some(newest)) = (&self.held, group.lines.first_mut()) {
                    newest.text = reserved::line(newest.key.clone(), held)?;
                }
            }
            (Family::Meta, _) if !group.key.collection.is_reserved() && self.may_hold(&group.key) => return Ok(None),
            (Family::Meta, _) => {}
            (Family::Data, _) => self.edit_record(&mut group)?,
        }
        Ok(Some(group).filter(|group| !group.lines.is_empty()))
    }

    fn edit_record(&mut self, group: &mut Group) -> Result<()> {
        let was_live = group.live().is_some();
        let mut is_hidden = false;
        for lost in self.lines.iter().filter(|lost| lost.keys.may_hold(&group.key)) {
            let lines = std::mem::take(&mut group.lines);
            is_hidden |=
                lines.iter().any(|line| line.sequence <= lost.through) && !matches!(lost.keys, LostKeys::Frames(..));
            group.lines = lost.hide(&group.key, lines)?;
        }
        let count = |losses: &mut Self, records, attachments| {
            let count = losses.collections.entry(group.key.collection.clone()).or_default();
            count.records += records;
            count.attachments += attachments;
        };
        if is_hidden && was_live && group.live().is_none() {
            count(self, 1, 0);
        }
        if !self.attachments.is_empty()
            && let Some(line) = group.live()
        {
            let blobs = reserved::record(&line.text)?.blobs;
            let ids = blobs.iter().filter_map(|blob| blob.id.as_ref());
            let lost = ids.filter(|id| self.attachments.contains(id.as_str())).count() as u64;
            if lost > 0 {
                count(self, 0, lost);
            }
        }
        Ok(())
    }
}

impl LostLines {
    /// The lines of a key of which some may be lost, so that nothing stands for true that these might have ended.
    fn hide(&self, key: &Key, lines: Vec<StoredLine>) -> Result<Vec<StoredLine>> {
        let newer = |line: &StoredLine| match self.until {
            Some(until) => line.sequence >= until,
            None => {
                line.sequence > self.through
                    || (self.from == self.through && line.sequence == self.through && line.ordinal > self.ordinal)
            }
        };
        // Where only the past is lost, what is left tells the truth from then on.
        let (newest, now) = match self.until {
            Some(until) => {
                let newest = lines.partition_point(|line| line.sequence >= until);
                (newest, needed(lines.get(newest..).unwrap_or_default(), &[], false).now)
            }
            None => (0, Vec::new()),
        };
        let (mut left, mut older) = (Vec::new(), Vec::new());
        for (place, line) in lines.into_iter().enumerate() {
            let is_older = line.sequence < self.from;
            if newer(&line) {
                left.push(line);
                continue;
            }
            if let (Some(until), Some(true)) = (self.until, place.checked_sub(newest).map(|place| now.contains(&place)))
            {
                left.push(StoredLine { sequence: until, ..line.clone() });
            }
            if is_older {
                older.push(line);
            }
        }
        if !older.is_empty() {
            left.push(gone(key, self.from, self.ordinal)?);
            left.append(&mut older);
        }
        Ok(left)
    }
}

/// The line that says of a record that it is not known any more.
fn gone(key: &Key, sequence: u64, ordinal: u32) -> Result<StoredLine> {
    let mut text = Vec::new();
    LineCodec::stored().encode(&Line::Delete(Deletion::new(key.clone(), DeletionReason::Unknown)), &mut text)?;
    Ok(StoredLine { key: key.clone(), says: Says::deleted(None), sequence, ordinal, text: Bytes::from(text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::effective;

    fn line(sequence: u64, text: &str) -> StoredLine {
        let text = format!(r#"{{"type":"put","collection":"notes","id":"1","data":"{text}"}}"#);
        StoredLine {
            key: Key::parse("notes", "1").unwrap(),
            says: Says::put(None),
            sequence,
            ordinal: 0,
            text: Bytes::from(text),
        }
    }

    /// What each point up to the tenth reads.
    fn read(lines: &[StoredLine]) -> Vec<Option<char>> {
        let at = |point: u64| {
            let seen: Vec<StoredLine> = lines.iter().filter(|line| line.sequence <= point).cloned().collect();
            let live = effective(&seen).map(|(line, _)| line).filter(|line| !line.is_deletion())?;
            std::str::from_utf8(&live.text).unwrap().chars().rev().nth(2)
        };
        (1..=10).map(at).collect()
    }

    /// Whichever line was in the lost object: no point reads another than it had, and what is newer reads the same.
    #[test]
    fn no_point_reads_what_a_lost_line_may_have_ended() {
        let all = [line(9, "d"), line(6, "c"), line(4, "b"), line(2, "a")];
        for (begin, lost_place) in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)] {
            let all = &all[begin..];
            let (whole, lost) = (read(all), all[lost_place].sequence);
            let left: Vec<StoredLine> = all.iter().filter(|line| line.sequence != lost).cloned().collect();
            let ends = [(lost, lost, None), (1.max(lost - 1), (lost + 1).min(9), None), (1, 9, None)];
            // A history: of lines that the present does not need.
            let past = (lost_place > 0).then_some((1, 6, Some(9)));
            let older = (lost < 4).then_some((1, 2, Some(4)));
            for (from, through, until) in ends.into_iter().chain(past).chain(older) {
                let keys = LostKeys::All;
                let lost = LostLines { object: String::new(), from, through, until, ordinal: 0, keys };
                let after = read(&lost.hide(&all[0].key, left.clone()).unwrap());
                for (point, (before, after)) in (1..).zip(whole.iter().zip(&after)) {
                    assert!(after.is_none() || after == before, "{lost:?} at {point}");
                    let is_touched = from <= point && until.is_none_or(|until| point < until);
                    assert!(is_touched || after == before, "{lost:?} at {point}: {after:?}");
                }
                let newer = until.is_some() || all.iter().any(|line| line.sequence > through);
                assert!(!newer || after[9] == whole[9], "{lost:?}");
            }
        }
    }
}
