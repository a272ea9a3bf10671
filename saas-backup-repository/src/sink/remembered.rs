use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use saas_backup_core::{Key, PartitionId, Result};

use crate::crypto::NamingKey;
use crate::object::Family;
use crate::read::{Bounds, Merge, PointSnapshot};
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

/// What a mirror remembers of each record, for each partition that holds it: 32 bytes or so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The digest of its line.
    pub(super) content: u64,
    /// The digest of its partition.
    pub(super) partition: u64,
}

/// What stands for the digest of a partition where there is none.
const NO_PARTITION: u64 = 0;

/// What a writer has to say of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A partition holds it.
    Put(Known),
    /// A partition holds it, and no other.
    Sole(Known),
    /// It is gone from the partition of this digest; from all of them without one.
    Deleted(Option<u64>),
}

impl News {
    /// Whether nothing that was said before matters.
    fn is_last_word(self) -> bool {
        matches!(self, Self::Sole(_) | Self::Deleted(None))
    }

    fn partition(self) -> Option<u64> {
        match self {
            Self::Put(known) | Self::Sole(known) => Some(known.partition),
            Self::Deleted(told_by) => told_by,
        }
    }
}

/// What a writer has to say of one record, oldest first.
#[derive(Debug)]
pub(super) struct Said {
    earlier: Vec<News>,
    last: News,
}

impl Said {
    pub(super) fn new(news: News) -> Self {
        Self { earlier: Vec::new(), last: news }
    }

    pub(super) fn add(&mut self, news: News) {
        let last = std::mem::replace(&mut self.last, news);
        if news.is_last_word() {
            self.earlier.clear();
            return;
        }
        self.earlier.push(last);
        let is_gone = matches!(news, News::Deleted(_));
        self.earlier.retain(|said| {
            let counts = said.is_last_word() || (is_gone && matches!(said, News::Put(_)));
            counts || said.partition() != news.partition()
        });
    }

    fn iter(&self) -> impl Iterator<Item = News> {
        self.earlier.iter().copied().chain([self.last])
    }

    /// What is said of the record in a partition in the end; `None` if nothing is.
    pub(super) fn of(&self, partition: u64) -> Option<News> {
        self.iter().filter(|news| news.is_last_word() || news.partition() == Some(partition)).last()
    }

    /// The words on the partitions that hold a record, with this said; the newest last.
    pub(super) fn after(&self, holders: &Holders) -> Holders {
        let mut holders = holders.clone();
        self.iter().for_each(|news| holders.tell(news));
        holders
    }
}

/// What is known of each partition that holds a record; the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    earlier: Vec<Known>,
    last: Option<Known>,
}

impl Holders {
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Whether this is all that is known.
    pub(super) fn is_only(&self, known: Known) -> bool {
        self.last == Some(known) && self.earlier.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Known> {
        self.earlier.iter().copied().chain(self.last)
    }

    fn tell(&mut self, news: News) {
        if news.is_last_word() {
            self.earlier.clear();
            self.last = None;
        }
        match news {
            News::Put(known) | News::Sole(known) => {
                let stays = |holder: &Known| ![known.partition, NO_PARTITION].contains(&holder.partition);
                self.earlier.extend(self.last.filter(stays));
                self.earlier.retain(stays);
                self.last = Some(known);
            }
            News::Deleted(told_by) => {
                self.earlier.retain(|holder| Some(holder.partition) != told_by);
                self.last = self.last.filter(|holder| Some(holder.partition) != told_by).or_else(|| self.earlier.pop());
            }
        }
    }
}

/// What is known of all records. Hardly any is held by two partitions.
#[derive(Debug, Default)]
struct Memory {
    last: DigestMap<Known>,
    earlier: DigestMap<Vec<Known>>,
}

impl Memory {
    fn get(&self, key: u64) -> Holders {
        let earlier = self.earlier.get(&key).cloned().unwrap_or_default();
        Holders { earlier, last: self.last.get(&key).copied() }
    }

    fn set(&mut self, key: u64, Holders { earlier, last }: Holders) {
        match last {
            Some(last) => drop(self.last.insert(key, last)),
            None => drop(self.last.remove(&key)),
        }
        if earlier.is_empty() {
            self.earlier.remove(&key);
        } else {
            self.earlier.insert(key, earlier);
        }
    }
}

/// What the mirror of a forgetful source remembers, and what this session deleted.
#[derive(Debug)]
pub(super) struct Remembered {
    naming: NamingKey,
    /// `None` where the source reports deletions and repeats nothing.
    known: Option<Mutex<Memory>>,
    /// By key, the partitions that told it; `None` for a deletion that no partition told.
    deleted: Mutex<DigestMap<Vec<Option<u64>>>>,
}

impl Remembered {
    pub(super) fn nothing(naming: NamingKey) -> Self {
        Self { naming, known: None, deleted: Mutex::default() }
    }

    /// Reads what earlier sessions remembered.
    pub(super) async fn load(naming: NamingKey, head: &PointSnapshot) -> Result<Self> {
        let mut known = Memory::default();
        let bounds = Bounds::all(Family::Meta, head.at);
        let mut merge = Merge::open(std::sync::Arc::clone(&head.shared.access), &head.map, bounds).await?;
        while let Some(group) = merge.next().await? {
            if group.key.collection.is_reserved() {
                continue;
            }
            let mut holders = Holders::default();
            for line in group.holders() {
                let record = reserved::record(&line.text)?;
                let content =
                    record.version.as_deref().and_then(|hash| u64::from_str_radix(hash, 16).ok()).unwrap_or(0);
                let partition = partition(&naming, line.says.partition.as_ref());
                holders.tell(News::Put(Known { content, partition }));
            }
            known.set(key(&naming, &group.key), holders);
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

    pub(super) fn get(&self, key: u64) -> Holders {
        self.known.as_ref().map(|known| lock(known).get(key)).unwrap_or_default()
    }

    /// Notes what was said of a record; what is known of it before and after.
    pub(super) fn tell(&self, key: u64, said: &Said) -> (Holders, Holders) {
        let mut deleted = lock(&self.deleted);
        for news in said.iter() {
            match news {
                News::Deleted(told_by) => deleted.entry(key).or_default().push(told_by),
                News::Put(_) | News::Sole(_) => drop(deleted.remove(&key)),
            }
        }
        let Some(mut known) = self.known.as_ref().map(lock) else { return Default::default() };
        let before = known.get(key);
        let after = said.after(&before);
        known.set(key, after.clone());
        (before, after)
    }

    /// Whether this session recorded any deletion of a key.
    pub(super) fn was_deleted(&self, key: u64) -> bool {
        lock(&self.deleted).contains_key(&key)
    }

    /// Whether this session recorded a deletion that counts for a partition: one that another partition told is late
    /// news of a move.
    pub(super) fn is_deleted(&self, key: u64, partition: u64) -> bool {
        let counts = |told_by: &Option<u64>| told_by.is_none_or(|told_by| told_by == partition);
        lock(&self.deleted).get(&key).is_some_and(|told| told.iter().any(counts))
    }
}

fn key(naming: &NamingKey, key: &Key) -> u64 {
    naming.short("key", &[key.collection.as_str().as_bytes(), key.id.as_str().as_bytes()])
}

fn partition(naming: &NamingKey, partition: Option<&PartitionId>) -> u64 {
    partition.map_or(NO_PARTITION, |partition| naming.short("partition", &[partition.as_str().as_bytes()]))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
