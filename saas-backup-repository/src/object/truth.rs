//! What the lines of a key say together.

use saas_backup_core::PartitionId;

/// What a line says of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Says {
    /// The partition that it speaks for; `None` for all of them.
    pub(crate) partition: Option<PartitionId>,
    /// Whether the record is gone from there.
    pub(crate) deletion: bool,
    /// Whether no other partition holds the record.
    pub(crate) sole: bool,
}

impl Says {
    /// The record is there, and what other partitions say of it stands.
    pub(crate) fn put(partition: Option<PartitionId>) -> Self {
        Self { partition, ..Self::default() }
    }

    /// The record is gone from there.
    pub(crate) fn deleted(partition: Option<PartitionId>) -> Self {
        Self { partition, deletion: true, ..Self::default() }
    }

    /// Whether nothing that was said before matters.
    pub(crate) fn is_last_word(&self) -> bool {
        self.sole || self.partition.is_none()
    }
}

/// What says something of a record.
pub(crate) trait Word {
    fn says(&self) -> &Says;
}

impl<W: Word> Word for &W {
    fn says(&self) -> &Says {
        (*self).says()
    }
}

/// The lines of a live record, given all that are about it, newest first: one of each partition that holds it, the
/// newest last. None if it is gone.
///
/// Each partition speaks for itself: it holds what it put last, until it says that the record is gone.
pub(crate) fn holders<L: Word>(lines: &[L]) -> Vec<&L> {
    let mut holders: Vec<&L> = Vec::new();
    for line in lines.iter().rev() {
        tell(&mut holders, line);
    }
    holders
}

fn tell<'a, L: Word>(holders: &mut Vec<&'a L>, line: &'a L) {
    let says = line.says();
    if says.is_last_word() {
        holders.clear();
    } else {
        holders.retain(|holder| match &holder.says().partition {
            // Its place was unknown: it is the first partition that holds the record.
            None => says.deletion,
            partition => *partition != says.partition,
        });
    }
    if !says.deletion {
        holders.push(line);
    }
}

/// Takes the next line of a key, given those before it that still tell something, oldest first: a partition's newer word
/// replaces its older ones but for a deletion that is told again, and a word on all of them replaces all.
///
/// With the lines that are left the same is true as with all of them, whatever was written before the first and is
/// written after the last.
pub(crate) fn tell_next<L: Word>(telling: &mut Vec<L>, next: L) {
    let says = next.says();
    let is_known = |known: &L| known.says().deletion && known.says().partition == says.partition;
    if says.deletion && !says.is_last_word() && telling.iter().any(is_known) {
        // It is gone from there since the older word.
        return;
    }
    telling.retain(|known| {
        let known = known.says();
        // That a word was on all partitions, or told a place that was unknown, still counts.
        let counts = known.is_last_word() || (says.deletion && !known.deletion);
        !says.is_last_word() && (counts || known.partition != says.partition)
    });
    telling.push(next);
}

/// What is true of a record, given its lines, newest first: the line of its live state, or of its deletion.
///
/// Its state is what was put last of what partitions hold. The second value is the line that made it so: the same
/// one, or the deletion which left nothing newer.
pub(crate) fn effective<L: Word>(lines: &[L]) -> Option<(&L, &L)> {
    if let [line, rest @ ..] = lines
        && (rest.is_empty() || !line.says().deletion || line.says().is_last_word())
    {
        return Some((line, line));
    }
    let (mut holders, mut state): (Vec<&L>, Option<(&L, &L)>) = (Vec::new(), None);
    for line in lines.iter().rev() {
        tell(&mut holders, line);
        let now = holders.last().copied();
        let before = state.map(|(state, _)| state).filter(|state| !state.says().deletion);
        state = match (now, before) {
            (Some(now), Some(before)) if std::ptr::eq(now, before) => state,
            (Some(now), _) => Some((now, line)),
            (None, Some(_)) => Some((line, line)),
            (None, None) => state.filter(|_| !line.says().is_last_word()).or(Some((line, line))),
        };
    }
    state
}

/// The newest line before which nothing matters to what is true, among lines that are the newest of a key, newest
/// first.
pub(crate) fn decisive<L: Word>(lines: &[L]) -> Option<&L> {
    let mut left: Vec<&PartitionId> = Vec::new();
    for line in lines {
        let says = line.says();
        match &says.partition {
            Some(partition) if says.deletion => left.push(partition),
            Some(partition) if !says.sole && left.contains(&partition) => {}
            _ => return Some(line),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Word for Says {
        fn says(&self) -> &Says {
            self
        }
    }

    fn in_(partition: &'static str) -> Says {
        Says::put(Some(PartitionId::from_static(partition)))
    }

    fn gone_from(partition: &'static str) -> Says {
        Says::deleted(Some(PartitionId::from_static(partition)))
    }

    fn only_in(partition: &'static str) -> Says {
        Says { sole: true, ..in_(partition) }
    }

    /// The lines as they were said, and the places of the state and of what made it so; the decisive line decides.
    fn truth(said: &[Says]) -> Option<(usize, usize)> {
        let lines: Vec<&Says> = said.iter().rev().collect();
        let place = |line: &Says| said.iter().position(|other| std::ptr::eq(other, line)).unwrap();
        let found = effective(&lines).map(|(state, since)| (place(state), place(since)));
        if let Some(last) = decisive(&lines) {
            let needed: Vec<&Says> = said.get(place(last)..).unwrap().iter().rev().collect();
            assert_eq!(effective(&needed).map(|(state, since)| (place(state), place(since))), found, "{said:?}");
        }
        found
    }

    #[test]
    fn a_moved_record_survives_the_deletion_from_its_old_partition() {
        assert_eq!(truth(&[in_("p"), in_("q"), gone_from("p")]), Some((1, 1)));
        assert_eq!(truth(&[in_("p"), in_("q"), gone_from("p"), gone_from("q")]), Some((3, 3)));
        assert_eq!(truth(&[in_("q"), Says::deleted(None)]), Some((1, 1)));
        assert_eq!(truth(&[]), None);
    }

    #[test]
    fn a_record_is_what_its_new_partition_says_however_late_the_old_one_is_written() {
        assert_eq!(truth(&[in_("q"), in_("p"), gone_from("p")]), Some((0, 2)));
        assert_eq!(truth(&[in_("q"), in_("p"), gone_from("p"), gone_from("q")]), Some((3, 3)));
        assert_eq!(truth(&[in_("q"), in_("p"), in_("q"), gone_from("p")]), Some((2, 2)));
    }

    #[test]
    fn what_was_said_of_all_partitions_ends_what_each_said_before() {
        assert_eq!(truth(&[in_("p"), only_in("q"), gone_from("q")]), Some((2, 2)));
        assert_eq!(truth(&[in_("p"), only_in("q"), gone_from("p")]), Some((1, 1)));
        assert_eq!(truth(&[in_("p"), Says::put(None), gone_from("p")]), Some((1, 1)));
        assert_eq!(truth(&[Says::put(None), in_("p"), gone_from("p")]), Some((2, 2)), "an unknown place was p");
        assert_eq!(truth(&[in_("p"), Says::deleted(None), gone_from("p")]), Some((1, 1)));
    }

    /// What few partitions can say in any order: what is not newer than the decisive line changes nothing.
    #[test]
    fn the_decisive_line_decides_in_every_order() {
        let words =
            [in_("p"), gone_from("p"), in_("q"), gone_from("q"), only_in("p"), Says::put(None), Says::deleted(None)];
        for number in 0..words.len().pow(5) {
            let places = (0..5_u32).map(|digit| number / words.len().pow(digit) % words.len());
            truth(&places.map(|place| words[place].clone()).collect::<Vec<_>>());
        }
    }
}
