use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use saas_backup_core::Result;

use super::run::{FILE_BUFFER, damaged};

/// Entries that memory holds before all go to a file: what a map of 65,536 places takes.
const FEW: usize = 57_344;
/// Places of the first file, as a power of two.
const FIRST_BITS: u32 = 17;
/// Places behind the last one, for what finds its own taken.
const TAIL: u64 = 64;
/// Places that are read at once.
const WINDOW: u64 = 16;

/// Values of `N` bytes by hash: memory holds few of them, a file any number. Hashes have to be spread evenly.
///
/// The file has its entries in the order of their hashes, each at the place that its first bits say or a little behind:
/// finding one is one small read, and a larger file is written in one go.
#[derive(Debug)]
pub(crate) struct Hashes<const N: usize> {
    path: PathBuf,
    few: HashMap<u64, [u8; N]>,
    many: Option<Places<N>>,
}

impl<const N: usize> Hashes<N> {
    /// No entries; the file need not exist.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, few: HashMap::new(), many: None }
    }

    /// The value of a hash.
    pub(crate) fn get(&mut self, hash: u64) -> Result<Option<[u8; N]>> {
        let hash = kept(hash);
        match &mut self.many {
            None => Ok(self.few.get(&hash).copied()),
            Some(many) => Ok(many.find(hash)?.1),
        }
    }

    /// Sets the value of a hash that has none; `false` if it has one, which stays.
    pub(crate) fn insert(&mut self, hash: u64, value: [u8; N]) -> Result<bool> {
        self.set(hash, value, false)
    }

    /// Sets the value of a hash.
    pub(crate) fn replace(&mut self, hash: u64, value: [u8; N]) -> Result<()> {
        self.set(hash, value, true).map(drop)
    }

    fn set(&mut self, hash: u64, value: [u8; N], replace: bool) -> Result<bool> {
        let hash = kept(hash);
        if let Some(many) = &mut self.many {
            return many.set(hash, value, replace);
        }
        if replace || !self.few.contains_key(&hash) {
            self.few.insert(hash, value);
        } else {
            return Ok(false);
        }
        if self.few.len() > FEW {
            let mut entries: Vec<(u64, [u8; N])> = std::mem::take(&mut self.few).into_iter().collect();
            entries.sort_unstable();
            self.many = Some(Places::write(&self.path, FIRST_BITS, entries.into_iter().map(Ok))?);
        }
        Ok(true)
    }
}

/// No hash is 0 in the file: that is an empty place.
fn kept(hash: u64) -> u64 {
    hash.max(1)
}

impl<const N: usize> Drop for Hashes<N> {
    fn drop(&mut self) {
        if self.many.take().is_some() {
            // Whoever owns the folder above removes it too: nothing is lost if this fails.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The places of a file: each empty, or a hash and its value.
#[derive(Debug)]
struct Places<const N: usize> {
    path: PathBuf,
    file: File,
    bits: u32,
    length: u64,
    taken: u64,
    window: Vec<u8>,
}

impl<const N: usize> Places<N> {
    const BYTES: usize = 8 + N;

    /// Writes sorted entries to a new file, which takes the place of an old one.
    fn write(path: &Path, bits: u32, entries: impl Iterator<Item = Result<(u64, [u8; N])>>) -> Result<Self> {
        crate::folder::create_parents(path)?;
        let new = path.with_extension("new");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        let mut writer = BufWriter::with_capacity(FILE_BUFFER, file);
        let (mut places, mut taken) = (0, 0);
        for entry in entries {
            let (hash, value) = entry?;
            while places < hash >> (64 - bits) {
                writer.write_all(&[0; 8])?;
                writer.write_all(&[0; N])?;
                places += 1;
            }
            writer.write_all(&hash.to_le_bytes())?;
            writer.write_all(&value)?;
            places += 1;
            taken += 1;
        }
        let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        let places = places.max(1 << bits) + TAIL;
        file.set_len(places * Self::BYTES as u64)?;
        fs::rename(new, path)?;
        Ok(Self { path: path.to_path_buf(), file, bits, length: places, taken, window: Vec::new() })
    }

    /// The first place whose hash is not smaller, or that is empty; the value if the hash is there.
    fn find(&mut self, hash: u64) -> Result<(u64, Option<[u8; N]>)> {
        let mut at = hash >> (64 - self.bits);
        while at < self.length {
            self.read(at)?;
            for place in self.window.chunks_exact(Self::BYTES) {
                let (held, value) = entry(place)?;
                if held == 0 || held >= hash {
                    return Ok((at, (held == hash).then_some(value)));
                }
                at += 1;
            }
        }
        Ok((at, None))
    }

    fn set(&mut self, hash: u64, value: [u8; N], replace: bool) -> Result<bool> {
        if self.taken > (1 << self.bits) / 8 * 5 {
            self.grow()?;
        }
        let (at, found) = self.find(hash)?;
        if found.is_some() && !replace {
            return Ok(false);
        }
        let mut moved = hash.to_le_bytes().to_vec();
        moved.extend_from_slice(&value);
        if found.is_none() {
            // All that stands here up to the next empty place moves by one.
            let mut next = at;
            'places: loop {
                if next >= self.length {
                    self.grow()?;
                    return self.set(hash, value, replace);
                }
                self.read(next)?;
                for place in self.window.chunks_exact(Self::BYTES) {
                    if entry::<N>(place)?.0 == 0 {
                        break 'places;
                    }
                    moved.extend_from_slice(place);
                    next += 1;
                }
            }
            self.taken += 1;
        }
        self.file.seek(SeekFrom::Start(at * Self::BYTES as u64))?;
        self.file.write_all(&moved)?;
        Ok(true)
    }

    /// Reads some places into the window.
    fn read(&mut self, at: u64) -> Result<()> {
        let places = WINDOW.min(self.length - at) as usize;
        self.window.resize(places * Self::BYTES, 0);
        self.file.seek(SeekFrom::Start(at * Self::BYTES as u64))?;
        Ok(self.file.read_exact(&mut self.window)?)
    }

    fn grow(&mut self) -> Result<()> {
        let mut old = BufReader::with_capacity(FILE_BUFFER, File::open(&self.path)?);
        let (mut left, mut place) = (self.length, vec![0; Self::BYTES]);
        let entries = std::iter::from_fn(|| {
            while left > 0 {
                left -= 1;
                match old.read_exact(&mut place).map_err(Into::into).and_then(|()| entry(&place)) {
                    Ok((0, _)) => {}
                    found => return Some(found),
                }
            }
            None
        });
        *self = Self::write(&self.path, self.bits + 1, entries)?;
        Ok(())
    }
}

fn entry<const N: usize>(place: &[u8]) -> Result<(u64, [u8; N])> {
    let (hash, value) = place.split_first_chunk::<8>().ok_or_else(damaged)?;
    Ok((u64::from_le_bytes(*hash), value.try_into().map_err(|_| damaged())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::short_hash;

    #[test]
    fn every_entry_is_found_while_the_file_grows() {
        let folder = tempfile::tempdir().unwrap();
        let mut hashes = Hashes::<4>::new(folder.path().join("x/hashes"));
        let hash = |number: u32| short_hash(&number.to_be_bytes());
        for number in 0..90_000_u32 {
            assert!(hashes.insert(hash(number), number.to_le_bytes()).unwrap());
            let again = number / 2;
            assert!(!hashes.insert(hash(again), [0; 4]).unwrap(), "{again}");
        }
        assert!(hashes.few.is_empty());
        hashes.replace(hash(7), [9; 4]).unwrap();
        for number in 0..90_000_u32 {
            let expected = if number == 7 { [9; 4] } else { number.to_le_bytes() };
            assert_eq!(hashes.get(hash(number)).unwrap(), Some(expected));
            assert_eq!(hashes.get(hash(number + 90_000)).unwrap(), None);
        }
    }

    #[test]
    fn hashes_at_the_ends_have_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut hashes = Hashes::<0>::new(folder.path().join("hashes"));
        hashes.insert(0, []).unwrap();
        assert!(hashes.get(0).unwrap().is_some());
        let spread = (1..=FEW as u64).map(|number| number * (u64::MAX / (FEW as u64 + 1)));
        let ends = (0..300).flat_map(|number| [number, u64::MAX - number]);
        for hash in spread.chain(ends.clone()) {
            hashes.insert(hash, []).unwrap();
        }
        assert!(hashes.many.is_some());
        for hash in ends {
            assert!(hashes.get(hash).unwrap().is_some(), "{hash}");
        }
        assert_eq!(hashes.get(1_000_000).unwrap(), None);
    }
}
