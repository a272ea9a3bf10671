//! Numbers for posts, terms and comments, as WordPress has them.

use std::collections::HashSet;

use saas_backup_core::Result;

use crate::form::Store;
use crate::names::short_hash;

/// Largest number that is given: it fits into 31 bits.
const MOST: u64 = 0x7fff_ffff;

/// Gives each thing a number of its own: the one that its id is, if that is free, else one that follows from its key.
/// Asked in the same order it gives the same numbers, and things that come later hardly change those of others.
#[derive(Debug)]
pub(super) struct Ids {
    given: Store,
    taken: HashSet<u32>,
}

impl Ids {
    pub(super) fn new(given: Store) -> Self {
        Self { given, taken: HashSet::new() }
    }

    /// The number of a thing; a new one if it has none.
    pub(super) fn give(&mut self, key: &str, id: &str) -> Result<u32> {
        if let Some(number) = self.get(key)? {
            return Ok(number);
        }
        let own = id.parse::<u32>().ok().filter(|number| (1..=MOST).contains(&u64::from(*number)));
        let mut number = own.filter(|number| !self.taken.contains(number));
        let mut hash = short_hash(key.as_bytes());
        while number.is_none() {
            // Above what a site of its own would count to.
            let candidate = (hash & MOST) as u32 | 0x4000_0000;
            number = Some(candidate).filter(|candidate| !self.taken.contains(candidate));
            hash = short_hash(&hash.to_be_bytes());
        }
        let number = number.unwrap_or_default();
        self.taken.insert(number);
        self.given.put(key, &number)?;
        Ok(number)
    }

    /// Makes a number known under another key, too.
    pub(super) fn alias(&mut self, key: &str, number: u32) -> Result<()> {
        self.given.put(key, &number)
    }

    pub(super) fn get(&mut self, key: &str) -> Result<Option<u32>> {
        self.given.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_and_no_two_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = Ids::new(Store::create(folder.path().join("ids")).unwrap());
        assert_eq!(ids.give("posts\u{0}7", "7").unwrap(), 7);
        let second = ids.give("pages\u{0}7", "7").unwrap();
        assert!(second >= 0x4000_0000);
        assert_eq!(ids.give("pages\u{0}7", "7").unwrap(), second);
        assert!(ids.give("notes\u{0}n_1", "n_1").unwrap() != second);
        assert!(ids.give("notes\u{0}0", "0").unwrap() > 0 && ids.give("x\u{0}4294967295", "4294967295").unwrap() > 0);
    }
}
