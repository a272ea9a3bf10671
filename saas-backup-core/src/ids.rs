use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Key, Result};

/// Old key → new key, for a restore into an end that gives ids of its own.
///
/// Kept as an artefact of the restore: with [`open`](IdMap::open) each pair is a line of JSON in a file, durable at
/// every [`flush`](IdMap::flush), and a second try of the same restore continues with it. Cloning gives another
/// handle on the same map.
#[derive(Clone, Default)]
pub struct IdMap(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    pairs: HashMap<Key, Key>,
    unwritten: Vec<Pair>,
    file: Option<File>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Pair {
    from: Key,
    to: Key,
}

impl IdMap {
    /// Opens, or makes, a map that is kept in a file.
    ///
    /// A last line that was cut by a crash is dropped: its pair was never promised.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if a line before the last one is not a pair; file errors.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let (mut pairs, mut whole) = (HashMap::new(), 0_u64);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            let pair: Pair = serde_json::from_slice(&line).map_err(|_| {
                Error::new(ErrorKind::InvalidData, "the id map holds a line that is not a pair of keys")
                    .with_context("line", pairs.len() + 1)
            })?;
            pairs.insert(pair.from, pair.to);
            whole += length as u64;
        }
        file.set_len(whole)?;
        file.flush()?;
        Ok(Self(Arc::new(Mutex::new(Inner { pairs, unwritten: Vec::new(), file: Some(file) }))))
    }

    /// The new key of a record.
    pub fn get(&self, from: &Key) -> Option<Key> {
        self.lock().pairs.get(from).cloned()
    }

    /// Notes the new key of a record; a later pair for the same record replaces it.
    pub fn insert(&self, from: Key, to: Key) {
        let mut inner = self.lock();
        if inner.file.is_some() {
            inner.unwritten.push(Pair { from: from.clone(), to: to.clone() });
        }
        inner.pairs.insert(from, to);
    }

    /// How many records are mapped.
    pub fn len(&self) -> usize {
        self.lock().pairs.len()
    }

    /// Whether no record is mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All pairs, sorted by old key.
    pub fn pairs(&self) -> Vec<(Key, Key)> {
        let mut pairs: Vec<_> = self.lock().pairs.iter().map(|(from, to)| (from.clone(), to.clone())).collect();
        pairs.sort();
        pairs
    }

    /// Makes the new pairs durable; does nothing for a map without a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; the pairs are kept and tried again by the next call.
    pub fn flush(&self) -> Result<()> {
        let mut inner = self.lock();
        if inner.unwritten.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for pair in &inner.unwritten {
            serde_json::to_writer(&mut lines, pair)?;
            lines.push(b'\n');
        }
        if let Some(file) = &mut inner.file {
            file.write_all(&lines)?;
            file.sync_data()?;
        }
        inner.unwritten.clear();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for IdMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "IdMap({} pairs)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_try_continues_with_what_was_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.ndjson");
        let (old, new) = (Key::parse("posts", "1").unwrap(), Key::parse("posts", "901").unwrap());
        let ids = IdMap::open(&path).unwrap();
        ids.insert(old.clone(), new.clone());
        ids.flush().unwrap();
        ids.insert(Key::parse("posts", "2").unwrap(), new.clone());
        drop(ids);

        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"from\":{\"coll");
        std::fs::write(&path, torn).unwrap();

        let ids = IdMap::open(&path).unwrap();
        assert_eq!(ids.pairs(), [(old, new.clone())]);
        ids.insert(Key::parse("posts", "3").unwrap(), new);
        ids.flush().unwrap();
        assert_eq!(IdMap::open(&path).unwrap().len(), 2);
    }
}
