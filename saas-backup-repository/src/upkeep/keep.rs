//! Which lines of a key some point still needs.

use crate::object::{Word, holders, tell_next};

/// A line with its place in time.
pub(super) trait Dated: Word {
    fn sequence(&self) -> u64;
}

impl Dated for crate::object::StoredLine {
    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// The lines of a key that are still needed, as places among its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needed {
    /// What the present and all points to come need, newest first.
    pub(super) now: Vec<usize>,
    /// What only points of the past need, newest first.
    pub(super) past: Vec<usize>,
    /// The first number from which on the past is not needed.
    pub(super) until: u64,
    /// Whether the record is gone at every point, and all is left out.
    pub(super) gone: bool,
}

/// Chooses the lines of a key that `points`, in order, and the present need; `lines` stand newest first.
///
/// At each point, and after whatever is written later, the lines that are left say what all of them said. With `whole`
/// these are all that there are of the key: then a record that every point and the present know as gone leaves nothing.
pub(super) fn needed<L: Dated>(lines: &[L], points: &[u64], whole: bool) -> Needed {
    if let [_] = lines
        && !(whole && holders(lines).is_empty())
    {
        return Needed { now: vec![0], ..Needed::default() };
    }
    let newest = lines.first().map_or(0, Dated::sequence);
    if whole && holders(lines).is_empty() && points.first().is_some_and(|oldest| newest <= *oldest) {
        return Needed { gone: true, ..Needed::default() };
    }
    // Of each line, the newest point of the past that needs it.
    let mut needs = vec![None; lines.len()];
    let mut telling: Vec<Told<'_, L>> = Vec::new();
    for (place, line) in lines.iter().enumerate().rev() {
        tell_next(&mut telling, Told { line, place });
        let next = place.checked_sub(1).and_then(|next| lines.get(next)).map(Dated::sequence);
        let Some(next) = next else { break };
        let point = points.partition_point(|point| *point < next).checked_sub(1).and_then(|last| points.get(last));
        if let Some(point) = point.filter(|point| **point >= line.sequence()) {
            for told in &telling {
                if let Some(need) = needs.get_mut(told.place) {
                    *need = Some(*point);
                }
            }
        }
    }
    let is_now = |place: usize| telling.iter().any(|told| told.place == place);
    // Lines of one commit stay together: their order is that of their objects.
    let with_now = |line: &L| telling.iter().any(|told| told.line.sequence() == line.sequence());
    let mut chosen = Needed::default();
    for (place, (line, need)) in lines.iter().zip(&needs).enumerate() {
        if is_now(place) || (need.is_some() && with_now(line)) {
            chosen.now.push(place);
        } else if let Some(point) = need {
            chosen.past.push(place);
            chosen.until = chosen.until.max(point + 1);
        }
    }
    chosen
}

struct Told<'a, L> {
    line: &'a L,
    place: usize,
}

impl<L: Word> Word for Told<'_, L> {
    fn says(&self) -> &crate::object::Says {
        self.line.says()
    }
}

#[cfg(test)]
mod tests {
    use saas_backup_core::PartitionId;

    use super::*;
    use crate::object::{Says, effective};

    #[derive(Clone, Debug, PartialEq)]
    struct Line {
        says: Says,
        sequence: u64,
    }

    impl Word for Line {
        fn says(&self) -> &Says {
            &self.says
        }
    }

    impl Dated for Line {
        fn sequence(&self) -> u64 {
            self.sequence
        }
    }

    fn words() -> [Says; 7] {
        let [p, q] = [PartitionId::from_static("p"), PartitionId::from_static("q")];
        [
            Says::put(Some(p.clone())),
            Says::deleted(Some(p.clone())),
            Says::put(Some(q.clone())),
            Says::deleted(Some(q)),
            Says { sole: true, ..Says::put(Some(p)) },
            Says::put(None),
            Says::deleted(None),
        ]
    }

    /// What lines, newest first, say at a point: the state that they leave, where it came from, and who holds it.
    fn at(lines: &[Line], point: u64) -> (Option<(Line, Line)>, Vec<Line>) {
        let seen: Vec<Line> = lines.iter().filter(|line| line.sequence <= point).cloned().collect();
        let state = effective(&seen).map(|(state, since)| (state.clone(), since.clone()));
        (state.filter(|(state, _)| !state.says.deletion), holders(&seen).into_iter().cloned().collect())
    }

    /// Every order of few words in few commits, and every set of points: what is left says the same at each point and now.
    #[test]
    fn what_is_left_says_at_each_point_what_was_said() {
        every_order(&words(), 4);
        every_order(&words()[..5], 5);
    }

    fn every_order(words: &[Says], length: u32) {
        for number in 0..words.len().pow(length) {
            for commits in [[1, 2, 3, 4, 5], [1, 1, 2, 2, 3], [1, 2, 2, 2, 3]] {
                let mut lines: Vec<Line> = (0..length)
                    .zip(commits)
                    .map(|(digit, sequence)| Line {
                        says: words[number / words.len().pow(digit) % words.len()].clone(),
                        sequence,
                    })
                    .collect();
                lines.reverse();
                for set in 0..16_u64 {
                    let points: Vec<u64> = (1..5).filter(|point| set >> (point - 1) & 1 == 1).collect();
                    let needed = needed(&lines, &points, true);
                    let pick = |places: &[usize]| places.iter().map(|place| lines[*place].clone()).collect::<Vec<_>>();
                    let (now, past) = (pick(&needed.now), pick(&needed.past));
                    let mut all = [now.clone(), past].concat();
                    // Of one commit, what is kept for now is newer than what is kept for the past.
                    all.sort_by_key(|line| std::cmp::Reverse(line.sequence));
                    for point in points.iter().copied() {
                        assert_eq!(at(&all, point), at(&lines, point), "{lines:?} {points:?} {needed:?}");
                        if point >= needed.until {
                            assert_eq!(at(&now, point), at(&lines, point), "{lines:?} {points:?} {needed:?}");
                        }
                    }
                    assert_eq!(at(&now, 5), at(&lines, 5), "{lines:?} {points:?} {needed:?}");
                }
            }
        }
    }

    #[test]
    fn without_points_only_the_present_is_left() {
        let put = |sequence| Line { says: Says::put(None), sequence };
        let gone = |sequence| Line { says: Says::deleted(None), sequence };
        let lines = [put(9), put(5), gone(3), put(1)];
        assert_eq!(needed(&lines, &[], true), Needed { now: vec![0], ..Needed::default() });
        let chosen = needed(&lines, &[2, 4, 6, 9], true);
        assert_eq!(chosen, Needed { now: vec![0], past: vec![1, 2, 3], until: 7, gone: false });
    }

    #[test]
    fn a_deletion_stays_until_no_point_is_older_than_it() {
        let lines = [Line { says: Says::deleted(None), sequence: 5 }, Line { says: Says::put(None), sequence: 3 }];
        assert_eq!(needed(&lines, &[4, 8], true).past, [1]);
        assert_eq!(needed(&lines, &[2, 8], true).now, [0], "who knows the source as of 2 is to learn that it is gone");
        assert!(needed(&lines, &[5, 8], true).gone);
        assert_eq!(needed(&lines, &[5, 8], false).now, [0]);
        assert_eq!(needed(&lines[..1], &[8], true), Needed { gone: true, ..Needed::default() });
    }
}
