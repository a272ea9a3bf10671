use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use saas_backup_core::{Key, PartitionId, Result};

use crate::crypto::NamingKey;
use crate::object::Family;
use crate::read::{Bounds, Merge, PointSnapshot, effective};
use crate::reserved;

/// Maps and sets of digests. A keyed digest is as good as random to whoever does not know the key: hashing it once
/// more would protect from nothing.
pub(super) type DigestMap<V> = HashMap<u64, V, BuildHasherDefault<Itself>>;
pub(super) type DigestSet = HashSet<u64, BuildHasherDefault<Itself>>;

/// The hash of a digest is the digest.
#[derive(Debug, Default)]
pub(super) struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

/// What a mirror remembers of each record: 32 bytes or so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The digest of its line.
    pub(super) content: u64,
    /// The digest of its partition; 0 for none.
    pub(super) partition: u64,
}

/// What the mirror of a forgetful source remembers, and what this session deleted.
#[derive(Debug)]
pub(super) struct Remembered {
    naming: NamingKey,
    /// `None` where the source reports deletions and repeats nothing.
    known: Option<Mutex<DigestMap<Known>>>,
    /// By key, the partitions that told it; `None` for a deletion that no partition told.
    deleted: Mutex<DigestMap<Vec<Option<u64>>>>,
}

impl Remembered {
    pub(super) fn nothing(naming: NamingKey) -> Self {
        Self { naming, known: None, deleted: Mutex::default() }
    }

    /// Reads what earlier sessions remembered.
    pub(super) async fn load(naming: NamingKey, head: &PointSnapshot) -> Result<Self> {
        let mut known = DigestMap::default();
        let bounds = Bounds { family: Family::Meta, collection: None, after: None, since: 0, at: head.at };
        let mut merge = Merge::open(std::sync::Arc::clone(&head.shared.access), &head.map, bounds).await?;
        while let Some(group) = merge.next().await? {
            if group.key.collection.is_reserved() {
                continue;
            }
            if let Some(line) = effective(&group.lines).filter(|line| !line.deletion) {
                let record = reserved::record(&line.text)?;
                let content =
                    record.version.as_deref().and_then(|hash| u64::from_str_radix(hash, 16).ok()).unwrap_or(0);
                let partition = partition(&naming, line.partition.as_ref());
                known.insert(key(&naming, &group.key), Known { content, partition });
            }
        }
        Ok(Self { naming, known: Some(Mutex::new(known)), deleted: Mutex::default() })
    }

    pub(super) fn remembers(&self) -> bool {
        self.known.is_some()
    }

    /// The digest by which a key is remembered.
    pub(super) fn key(&self, of: &Key) -> u64 {
        key(&self.naming, of)
    }

    pub(super) fn partition(&self, of: Option<&PartitionId>) -> u64 {
        partition(&self.naming, of)
    }

    /// What is remembered of a record whose line is this.
    pub(super) fn known(&self, line: &[u8], of: Option<&PartitionId>) -> Known {
        Known { content: self.naming.short("line", &[line]), partition: self.partition(of) }
    }

    pub(super) fn get(&self, key: u64) -> Option<Known> {
        self.known.as_ref().and_then(|known| lock(known).get(&key).copied())
    }

    /// Notes a record's state; what was known of it before.
    pub(super) fn put(&self, key: u64, state: Known) -> Option<Known> {
        lock(&self.deleted).remove(&key);
        self.known.as_ref().and_then(|known| lock(known).insert(key, state))
    }

    /// Notes a deletion, and the partition that told it, if one did; what was known of the record before.
    pub(super) fn delete(&self, key: u64, told_by: Option<u64>) -> Option<Known> {
        lock(&self.deleted).entry(key).or_default().push(told_by);
        self.known.as_ref().and_then(|known| lock(known).remove(&key))
    }

    /// Whether this session recorded any deletion of a key.
    pub(super) fn was_deleted(&self, key: u64) -> bool {
        lock(&self.deleted).contains_key(&key)
    }

    /// Whether this session recorded a deletion that counts for a record of a partition.
    pub(super) fn is_deleted(&self, key: u64, partition: u64) -> bool {
        lock(&self.deleted).get(&key).is_some_and(|told| told.iter().any(|told_by| counts(*told_by, partition)))
    }
}

/// Whether a deletion counts for a record of a partition: one that another partition tells is late news of a move.
pub(super) fn counts(told_by: Option<u64>, partition: u64) -> bool {
    told_by.is_none_or(|told_by| told_by == partition)
}

fn key(naming: &NamingKey, key: &Key) -> u64 {
    naming.short("key", &[key.collection.as_str().as_bytes(), key.id.as_str().as_bytes()])
}

fn partition(naming: &NamingKey, partition: Option<&PartitionId>) -> u64 {
    partition.map_or(0, |partition| naming.short("partition", &[partition.as_str().as_bytes()]))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
