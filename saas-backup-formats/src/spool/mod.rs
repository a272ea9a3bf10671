//! Sorting more than memory holds: entries come in any order and go out by group, id and arrival.

mod hashes;
mod merge;
mod ordered;
mod run;
mod settle;

use std::fs;
use std::path::PathBuf;

use saas_backup_core::Result;

pub(crate) use hashes::Hashes;
pub(crate) use merge::Merge;
pub(crate) use settle::Intake;

use ordered::LineReader;
use run::RunWriter;

/// Memory that unsorted entries may take, in bytes.
const BUFFER_BYTES: usize = 32 * 1024 * 1024;
/// Memory of a spool where there are others at the same time, in bytes.
pub(crate) const SMALL: usize = 6 * 1024 * 1024;
/// Runs of one level that are merged into one of the next: bounds the files that are open at once.
const FAN_IN: usize = 32;

/// One entry: a line, and what it is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// Sorted by this first.
    pub(crate) group: String,
    /// And then by this.
    pub(crate) id: String,
    /// And then by this: the order in which entries came.
    pub(crate) arrival: u64,
    /// The content.
    pub(crate) line: Vec<u8>,
}

impl Entry {
    fn weight(&self) -> usize {
        self.group.len() + self.id.len() + self.line.len() + size_of::<Self>()
    }
}

/// Takes entries and sorts them with bounded memory, in files of a folder of its own.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    limit: usize,
    buffer: Vec<Entry>,
    weight: usize,
    levels: Vec<Vec<PathBuf>>,
    files: u64,
    /// The number of the next one; what comes sorted has the number 0.
    arrivals: u64,
}

impl Spool {
    /// A spool that keeps its files in `folder`, which need not exist.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self::with_limit(folder, BUFFER_BYTES)
    }

    pub(crate) fn with_limit(folder: PathBuf, limit: usize) -> Self {
        Self { folder, limit, buffer: Vec::new(), weight: 0, levels: Vec::new(), files: 0, arrivals: 1 }
    }

    /// Takes an entry.
    pub(crate) fn push(&mut self, group: &str, id: &str, line: Vec<u8>) -> Result<()> {
        let entry = Entry { group: group.to_owned(), id: id.to_owned(), arrival: self.arrivals, line };
        self.arrivals += 1;
        self.weight += entry.weight();
        self.buffer.push(entry);
        if self.weight >= self.limit { self.spill() } else { Ok(()) }
    }

    /// Gives all entries in order; the files are removed when the merge is dropped.
    pub(crate) fn finish(self) -> Result<Merge> {
        self.finish_with(Vec::new())
    }

    /// Gives all entries in order, those of `ordered` among them.
    fn finish_with(mut self, ordered: Vec<LineReader>) -> Result<Merge> {
        self.buffer.sort_unstable();
        let runs = self.levels.iter().flatten();
        Merge::new(runs, ordered, std::mem::take(&mut self.buffer), Some(self.folder.clone()))
    }

    fn spill(&mut self) -> Result<()> {
        self.buffer.sort_unstable();
        let mut writer = self.new_run()?;
        for entry in self.buffer.drain(..) {
            writer.1.write(&entry)?;
        }
        self.weight = 0;
        writer.1.finish()?;
        self.add_run(0, writer.0)
    }

    fn new_run(&mut self) -> Result<(PathBuf, RunWriter)> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(self.files.to_string());
        self.files += 1;
        let writer = RunWriter::create(&path)?;
        Ok((path, writer))
    }

    fn add_run(&mut self, level: usize, path: PathBuf) -> Result<()> {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        let Some(runs) = self.levels.get_mut(level) else { return Ok(()) };
        runs.push(path);
        if runs.len() < FAN_IN {
            return Ok(());
        }
        let runs = std::mem::take(runs);
        let (path, mut writer) = self.new_run()?;
        for entry in Merge::new(runs.iter(), Vec::new(), Vec::new(), None)? {
            writer.write(&entry?)?;
        }
        writer.finish()?;
        for run in runs {
            fs::remove_file(run)?;
        }
        self.add_run(level + 1, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_memory_holds_comes_out_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let spool = |limit| Spool::with_limit(folder.path().join("spool"), limit);
        for limit in [1, 300, 1 << 20] {
            let mut spool = spool(limit);
            let mut expected = Vec::new();
            for number in 0..1500_u64 {
                let (group, id) = ((number * 7 % 3).to_string(), (number * 31 % 97).to_string());
                let line = vec![b'x'; (number % 11) as usize];
                spool.push(&group, &id, line.clone()).unwrap();
                expected.push(Entry { group, id, arrival: number + 1, line });
            }
            expected.sort();
            let found: Vec<Entry> = spool.finish().unwrap().collect::<Result<_>>().unwrap();
            assert!(found == expected, "limit {limit}");
            assert!(!folder.path().join("spool").exists(), "the files are gone");
        }
    }

    #[test]
    fn an_empty_spool_gives_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Spool::new(folder.path().join("spool")).finish().unwrap().count(), 0);
    }
}
