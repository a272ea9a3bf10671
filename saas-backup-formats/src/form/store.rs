use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::names::short_hash;
use crate::spool::Hashes;

const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of an entry that are read at once: most have no more.
const ENTRY_BYTES: usize = 512;

/// Values by key in a file: memory holds little of them, however many there are.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    file: File,
    /// Where the entry of a key begins.
    index: Hashes<8>,
    entries: u64,
    buffer: Vec<u8>,
    flushed: u64,
}

impl Store {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        crate::folder::create_parents(&path)?;
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let index = Hashes::new(path.with_extension("index"));
        Ok(Self { path, file, index, entries: 0, buffer: Vec::new(), flushed: 0 })
    }

    /// Sets the value of a key that has none; the first value stays.
    pub(crate) fn put(&mut self, key: &str, value: &impl Serialize) -> Result<()> {
        let offset = self.flushed + self.buffer.len() as u64;
        if !self.index.insert(short_hash(key.as_bytes()), offset.to_le_bytes())? {
            return Ok(());
        }
        self.entries += 1;
        let entry = serde_json::to_vec(&(key, value))?;
        self.buffer.extend_from_slice(&(entry.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(&entry);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// The value of a key.
    pub(crate) fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        let Some(offset) = self.index.get(short_hash(key.as_bytes()))?.map(u64::from_le_bytes) else { return Ok(None) };
        let entry = if let Some(start) = offset.checked_sub(self.flushed) {
            read_entry(&mut self.buffer.get(start as usize..).unwrap_or_default())?
        } else {
            self.file.seek(SeekFrom::Start(offset))?;
            read_entry(&mut BufReader::with_capacity(ENTRY_BYTES, &self.file))?
        };
        let (found, value): (String, T) = serde_json::from_slice(&entry)?;
        Ok((found == key).then_some(value))
    }

    /// Whether a key has a value.
    pub(crate) fn contains(&mut self, key: &str) -> Result<bool> {
        Ok(self.index.get(short_hash(key.as_bytes()))?.is_some())
    }

    /// All entries, in the order in which they came.
    pub(crate) fn scan<T: DeserializeOwned>(&mut self) -> Result<impl Iterator<Item = Result<(String, T)>> + use<T>> {
        self.flush()?;
        let mut left = self.entries;
        let mut file = BufReader::new(File::open(&self.path)?);
        Ok(std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            Some(read_entry(&mut file).and_then(|entry| Ok(serde_json::from_slice(&entry)?)))
        }))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(self.flushed))?;
        self.file.write_all(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn read_entry(file: &mut impl std::io::Read) -> Result<Vec<u8>> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut entry = Vec::new();
    file.take(length).read_to_end(&mut entry)?;
    if entry.len() as u64 == length { Ok(entry) } else { Err(damaged()) }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "a temporary file is not as it was written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_the_buffer_and_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::create(folder.path().join("x")).unwrap();
        for number in 0..20_000_u32 {
            store.put(&format!("key {number}"), &(number, "x".repeat(number as usize % 50))).unwrap();
        }
        store.put("key 7", &(0, "the first value stays")).unwrap();
        assert!(store.flushed > 0 && !store.buffer.is_empty());
        for number in [0, 7, 19_999, 4711] {
            let found: (u32, String) = store.get(&format!("key {number}")).unwrap().unwrap();
            assert_eq!(found, (number, "x".repeat(number as usize % 50)));
        }
        assert_eq!(store.get::<(u32, String)>("key 20000").unwrap(), None);
        assert!(store.contains("key 1").unwrap() && !store.contains("key").unwrap());
        let all: Vec<(String, (u32, String))> = store.scan().unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().enumerate().all(|(index, (_, value))| value.0 as usize == index));
    }
}
