//! What points hold, as digests that do not depend on where the lines lie.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use saas_backup_core::{CollectionName, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::crypto;
use crate::object::{StoredLine, effective};

/// A number below 2^256 as four words, the lowest first.
type Sum = [u64; 4];

/// What a point holds of one collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    /// Live records.
    pub(crate) records: u64,
    /// The sum, modulo 2^256, of the HMAC-SHA-256 of each live line; hexadecimal.
    pub(crate) sum: String,
}

/// What some points hold, by collection.
pub(crate) type Totals = BTreeMap<u64, BTreeMap<CollectionName, Total>>;

/// The digests that a source states of its points: a part of a commit.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stated {
    /// The key of the digests in base64: without it they would confirm guesses.
    key: String,
    /// What each point holds.
    pub(crate) points: Totals,
}

impl Stated {
    pub(crate) fn read(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text).map_err(|_| damaged())
    }

    pub(crate) fn new(key: &LedgerKey, points: Totals) -> Self {
        Self { key: STANDARD.encode(key.0), points }
    }

    pub(crate) fn key(&self) -> Result<LedgerKey> {
        let key = STANDARD.decode(&self.key).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
        key.map(LedgerKey).ok_or_else(damaged)
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "the digests of the points are damaged")
}

/// The key of the digests of a source.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerKey([u8; 32]);

/// What a ledger added up: by collection the points, by their places, at which something changes.
pub(crate) type Added = BTreeMap<CollectionName, Vec<(usize, i64, Sum)>>;

impl LedgerKey {
    pub(crate) fn generate() -> Result<Self> {
        crypto::random().map(Self)
    }
}

/// Adds up what points hold while keys pass by in any order.
pub(crate) struct Ledger {
    mac: Hmac<Sha256>,
    points: Vec<u64>,
    /// By collection, what changes at each point.
    changes: HashMap<CollectionName, Vec<Change>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Change {
    records: i64,
    sum: Sum,
}

impl Ledger {
    /// Looks at these points, in order.
    pub(crate) fn new(key: &LedgerKey, points: Vec<u64>) -> Result<Self> {
        let mac = Hmac::new_from_slice(&key.0).map_err(|_| damaged())?;
        Ok(Self { mac, points, changes: HashMap::new() })
    }

    /// Takes all lines of a key, newest first.
    pub(crate) fn take(&mut self, lines: &[StoredLine]) -> Result<()> {
        let Some(newest) = lines.first() else { return Ok(()) };
        let mut before: Option<(&StoredLine, Sum)> = None;
        for (place, line) in lines.iter().enumerate().rev() {
            // The first point that sees this line, unless it sees the next one, too.
            let point = self.points.partition_point(|point| *point < line.sequence);
            let next = place.checked_sub(1).and_then(|next| lines.get(next));
            let Some(number) = self.points.get(point).copied() else { break };
            if next.is_some_and(|next| next.sequence <= number) {
                continue;
            }
            let state = effective(lines.get(place..).unwrap_or_default()).map(|(state, _)| state);
            let state = state.filter(|state| !state.is_deletion());
            if before.map(|(before, _)| std::ptr::from_ref(before)) == state.map(std::ptr::from_ref) {
                continue;
            }
            let now = state.map(|state| self.digest(state).map(|sum| (state, sum))).transpose()?;
            let points = self.points.len();
            let changes = match self.changes.get_mut(&newest.key.collection) {
                Some(changes) => changes,
                None => {
                    self.changes.entry(newest.key.collection.clone()).or_insert_with(|| vec![Change::default(); points])
                }
            };
            if let Some(change) = changes.get_mut(point) {
                if let Some((_, sum)) = before {
                    change.records -= 1;
                    change.sum = add(change.sum, negative(sum));
                }
                if let Some((_, sum)) = now {
                    change.records += 1;
                    change.sum = add(change.sum, sum);
                }
            }
            before = now;
        }
        Ok(())
    }

    /// What was added up to here.
    pub(crate) fn added(&self) -> Added {
        let places = |changes: &[Change]| {
            let changes = changes.iter().enumerate().filter(|(_, change)| **change != Change::default());
            changes.map(|(place, change)| (place, change.records, change.sum)).collect()
        };
        self.changes.iter().map(|(collection, changes)| (collection.clone(), places(changes))).collect()
    }

    /// Begins with what another ledger of the same key and points added up.
    pub(crate) fn go_on(&mut self, added: Added) {
        let points = self.points.len();
        for (collection, places) in added {
            let changes = self.changes.entry(collection).or_insert_with(|| vec![Change::default(); points]);
            for (place, records, sum) in places {
                if let Some(change) = changes.get_mut(place) {
                    *change = Change { records, sum };
                }
            }
        }
    }

    /// The digest of a line, wherever its sequence number stands.
    fn digest(&self, line: &StoredLine) -> Result<Sum> {
        let (before, behind) = line.unnumbered()?;
        let (mut mac, key) = (self.mac.clone(), &line.key);
        for name in [key.collection.as_str(), key.id.as_str()] {
            mac.update(name.as_bytes());
            mac.update(&[0]);
        }
        mac.update(before);
        mac.update(behind);
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let mut sum = Sum::default();
        for (word, bytes) in sum.iter_mut().zip(bytes.rchunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Ok(sum)
    }

    /// What each point holds.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals: Totals = self.points.iter().map(|point| (*point, BTreeMap::new())).collect();
        for (collection, changes) in &self.changes {
            let mut held = Change::default();
            for (point, change) in self.points.iter().zip(changes) {
                held = Change { records: held.records + change.records, sum: add(held.sum, change.sum) };
                if held.records == 0 && held.sum == Sum::default() {
                    continue;
                }
                let [one, two, three, four] = held.sum;
                let total = Total {
                    records: held.records.unsigned_abs(),
                    sum: format!("{four:016x}{three:016x}{two:016x}{one:016x}"),
                };
                totals.entry(*point).or_default().insert(collection.clone(), total);
            }
        }
        totals
    }
}

fn add(one: Sum, other: Sum) -> Sum {
    let (mut sum, mut carry) = (one, false);
    for (word, other) in sum.iter_mut().zip(other) {
        let (first, over) = word.overflowing_add(other);
        let (second, again) = first.overflowing_add(u64::from(carry));
        (*word, carry) = (second, over || again);
    }
    sum
}

fn negative(sum: Sum) -> Sum {
    add(sum.map(|word| !word), [1, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use saas_backup_core::Key;

    use super::*;
    use crate::object::Says;

    fn line(id: &str, sequence: u64, text: &str, numbered: bool) -> StoredLine {
        let seq = if numbered { format!(",\"seq\":{sequence}") } else { String::new() };
        let (kind, says) = if text.is_empty() { ("del", Says::deleted(None)) } else { ("put", Says::put(None)) };
        let text = format!(r#"{{"type":"{kind}","collection":"notes","id":"{id}"{seq},"data":"{text}"}}"#);
        StoredLine { key: Key::parse("notes", id).unwrap(), says, sequence, ordinal: 0, text: Bytes::from(text) }
    }

    fn totals(points: &[u64], keys: &[&[StoredLine]]) -> Totals {
        let mut ledger = Ledger::new(&LedgerKey([7; 32]), points.to_vec()).unwrap();
        for lines in keys {
            ledger.take(lines).unwrap();
        }
        ledger.totals()
    }

    #[test]
    fn points_that_hold_the_same_have_the_same_totals_wherever_the_lines_lie() {
        let whole =
            [line("1", 9, "c", false), line("1", 5, "", false), line("1", 4, "b", false), line("1", 1, "a", false)];
        let other = [line("2", 2, "x", false)];
        let points = [1, 3, 6, 10];
        let all = totals(&points, &[&whole, &other]);
        let records: Vec<u64> = all.values().map(|held| held.values().map(|total| total.records).sum()).collect();
        assert_eq!(records, [1, 2, 1, 2]);
        let merged = [line("1", 9, "c", true), line("1", 5, "", true), line("1", 1, "a", true)];
        assert_eq!(
            totals(&points, &[&other, &merged]),
            all,
            "in another order, numbered, and without what nobody sees"
        );
        let wrong = [line("1", 9, "c", true), line("1", 5, "", true), line("1", 1, "A", true)];
        assert_ne!(totals(&points, &[&other, &wrong]), all);
        let lost = [line("1", 9, "c", true), line("1", 1, "a", true)];
        assert_ne!(totals(&points, &[&other, &lost]), all);
    }

    #[test]
    fn sums_carry_and_what_leaves_is_taken_off() {
        let most = [u64::MAX; 4];
        assert_eq!(add(most, [1, 0, 0, 0]), [0; 4]);
        assert_eq!(add([u64::MAX, 0, 0, 0], [1, 0, 0, 0]), [0, 1, 0, 0]);
        for sum in [[0; 4], most, [5, 0, 7, 0], [0, 0, 0, 1]] {
            assert_eq!(add(sum, negative(sum)), [0; 4]);
        }
    }

    #[test]
    fn what_a_commit_states_reads_back() {
        let key = LedgerKey::generate().unwrap();
        let stated = Stated::new(&key, totals(&[1], &[&[line("1", 1, "a", false)]]));
        let read = Stated::read(&serde_json::to_vec(&stated).unwrap()).unwrap();
        assert!(read.key().unwrap() == key);
        assert_eq!(read.points, stated.points);
        assert!(Stated::read(b"{}").is_err());
    }
}
