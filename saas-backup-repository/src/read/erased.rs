use std::collections::HashMap;
use std::sync::Arc;

use saas_backup_core::{Digest, Key, Result};

use super::Access;
use crate::commit::PartKind;
use crate::layout::{Map, Part};
use crate::object::StoredLine;

/// The keys whose lines do not count up to a commit, although they are still there.
#[derive(Debug, Default)]
pub(crate) struct Erased {
    through: HashMap<Key, u64>,
}

impl Erased {
    /// Lines of these keys do not count up to these commits.
    #[cfg(test)]
    pub(crate) fn of(keys: impl IntoIterator<Item = (Key, u64)>) -> Self {
        Self { through: keys.into_iter().collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.through.is_empty()
    }

    /// Whether lines of a key do not count.
    pub(crate) fn names(&self, key: &Key) -> bool {
        self.through.contains_key(key)
    }

    pub(crate) fn hides(&self, line: &StoredLine) -> bool {
        self.through.get(&line.key).is_some_and(|through| line.sequence <= *through)
    }

    /// Leaves out the lines of a key that do not count. Where no state is left, nothing is: there is nothing that a
    /// deletion could tell.
    pub(crate) fn leave_out(&self, lines: &mut Vec<StoredLine>) {
        if self.is_empty() {
            return;
        }
        let before = lines.len();
        lines.retain(|line| !self.hides(line));
        if lines.len() < before && lines.iter().all(StoredLine::is_deletion) {
            lines.clear();
        }
    }
}

impl Access {
    /// What is erased and not written anew yet.
    pub(crate) async fn erased(&self, map: &Map) -> Result<Arc<Erased>> {
        let lists = || map.parts.iter().filter(|part| part.kind == PartKind::Erased);
        if lists().next().is_none() {
            return Ok(Arc::default());
        }
        let parts: Vec<Part> = lists().cloned().collect();
        let of: Vec<(u64, Digest)> = parts.iter().map(|part| (part.sequence, part.sha256)).collect();
        if let Some((known, erased)) = &*self.lock_erased()
            && *known == of
        {
            return Ok(Arc::clone(erased));
        }
        let mut erased = Erased::default();
        for lines in self.all_part_lines(&parts).await? {
            for line in lines.iter() {
                let through = erased.through.entry(line.key.clone()).or_default();
                *through = line.sequence.max(*through);
            }
        }
        let erased = Arc::new(erased);
        *self.lock_erased() = Some((of, Arc::clone(&erased)));
        Ok(erased)
    }
}
