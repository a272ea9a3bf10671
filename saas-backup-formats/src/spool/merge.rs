#[cfg(feature = "_pages")]
use std::cmp::Ordering;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::PathBuf;

use saas_backup_core::Result;

use super::Entry;
use super::ordered::LineReader;
use super::run::RunReader;

/// Sorted runs as one.
#[derive(Debug)]
pub(crate) struct Merge {
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
    runs: Vec<RunReader>,
    ordered: Vec<LineReader>,
    buffer: std::vec::IntoIter<Entry>,
    folder: Option<PathBuf>,
}

impl Merge {
    pub(super) fn new<'a>(
        runs: impl Iterator<Item = &'a PathBuf>,
        ordered: Vec<LineReader>,
        buffer: Vec<Entry>,
        folder: Option<PathBuf>,
    ) -> Result<Self> {
        let runs = runs.map(|run| RunReader::open(run)).collect::<Result<Vec<_>>>()?;
        let mut merge = Self { heads: BinaryHeap::new(), runs, ordered, buffer: buffer.into_iter(), folder };
        for source in 0..=merge.runs.len() + merge.ordered.len() {
            merge.advance(source)?;
        }
        Ok(merge)
    }

    /// Takes the next entry of a source: first come the runs, then what came sorted, at last the buffer.
    fn advance(&mut self, source: usize) -> Result<()> {
        let ordered = source.wrapping_sub(self.runs.len());
        let next = match (self.runs.get_mut(source), self.ordered.get_mut(ordered)) {
            (Some(run), _) => run.next()?,
            (None, Some(lines)) => lines.next()?,
            (None, None) => self.buffer.next(),
        };
        if let Some(entry) = next {
            self.heads.push(Reverse((entry, source)));
        }
        Ok(())
    }

    /// The next entry that is of this record or of one before it, and which of both: for entries that are grouped by a
    /// collection and begin their ids with that of a record and a NUL, while records are gone through in their order.
    #[cfg(feature = "_pages")]
    pub(crate) fn next_up_to(&mut self, collection: &str, id: &str) -> Result<Option<(Ordering, Entry)>> {
        let order = self.peek().map(|next| {
            let target = next.id.split('\0').next().unwrap_or_default();
            (next.group.as_str(), target).cmp(&(collection, id))
        });
        let Some(order) = order.filter(|order| order.is_le()) else { return Ok(None) };
        Ok(self.next().transpose()?.map(|entry| (order, entry)))
    }

    /// The next entry, without taking it.
    pub(crate) fn peek(&self) -> Option<&Entry> {
        self.heads.peek().map(|Reverse((entry, _))| entry)
    }
}

impl Iterator for Merge {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((entry, source)) = self.heads.pop()?;
        Some(self.advance(source).map(|()| entry))
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        self.runs.clear();
        if let Some(folder) = &self.folder {
            // Whoever owns the folder above removes it too: nothing is lost if this fails.
            let _ = fs::remove_dir_all(folder);
        }
    }
}
