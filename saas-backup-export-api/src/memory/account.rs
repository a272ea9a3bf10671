use std::collections::BTreeMap;

use bytes::Bytes;
use saas_backup_core::{
    BlobId, BlobRef, CollectionName, Deletion, DeletionReason, Digest, Key, Record, RecordState, Reference,
};

use super::MemorySource;
use super::state::AccountState;
use crate::AccountId;

/// A handle on one account of a [`MemorySource`]: does what people do in a product, and what goes wrong in one.
#[derive(Clone, Debug)]
pub struct MemoryAccount {
    pub(super) source: MemorySource,
    id: AccountId,
}

impl MemoryAccount {
    pub(super) fn new(source: MemorySource, id: AccountId) -> Self {
        Self { source, id }
    }

    /// The account's id.
    pub fn id(&self) -> &AccountId {
        &self.id
    }

    pub(super) fn act<T>(&self, act: impl FnOnce(&mut AccountState) -> T) -> T {
        act(self.source.lock().accounts.entry(self.id.clone()).or_default())
    }

    /// Creates a record, or replaces it; its version and times are set here.
    pub fn put(&self, record: Record) {
        let now = self.source.clock.now();
        self.act(|account| account.put(record, now));
    }

    /// Changes a record; `false` if there is none.
    pub fn update(&self, key: &Key, change: impl FnOnce(&mut Record)) -> bool {
        let now = self.source.clock.now();
        self.act(|account| {
            let Some(mut record) = account.record(key).cloned() else { return false };
            change(&mut record);
            account.put(record, now);
            true
        })
    }

    /// Deletes a record for good; `false` if there is none.
    pub fn delete(&self, key: &Key) -> bool {
        self.remove(Deletion::new(key.clone(), DeletionReason::Deleted))
    }

    /// Puts a record into the trash; `false` if there is none.
    pub fn trash(&self, key: &Key) -> bool {
        self.update(key, |record| record.state = RecordState::Trashed)
    }

    /// Takes a record out of the trash; `false` if there is none.
    pub fn untrash(&self, key: &Key) -> bool {
        self.update(key, |record| record.state = RecordState::Live)
    }

    /// Merges a record into another one; `false` if there is none.
    pub fn merge(&self, from: &Key, into: &Key) -> bool {
        let mut deletion = Deletion::new(from.clone(), DeletionReason::Merged);
        deletion.into = Some(Reference::from(into));
        self.remove(deletion)
    }

    fn remove(&self, deletion: Deletion) -> bool {
        let now = self.source.clock.now();
        self.act(|account| account.delete(deletion, now))
    }

    /// Takes a record out of everybody's view; `false` if that changes nothing.
    pub fn hide(&self, key: &Key) -> bool {
        self.act(|account| account.set_hidden(key, true))
    }

    /// Shows a hidden record again; `false` if that changes nothing.
    pub fn unhide(&self, key: &Key) -> bool {
        self.act(|account| account.set_hidden(key, false))
    }

    /// Stores bytes and describes them; they can be read once a record names them.
    ///
    /// The id is made of the digest: equal bytes are one blob.
    pub fn add_blob(&self, bytes: impl Into<Bytes>, name: impl Into<String>, media_type: &str) -> BlobRef {
        let bytes = bytes.into();
        let hex = Digest::of(&bytes).to_string();
        let id = BlobId::parse(format!("b_{}", hex.get(..24).unwrap_or_default()));
        let id = id.unwrap_or_else(|_| BlobId::from_static("b_"));
        let size = bytes.len() as u64;
        let digest = self.act(|account| account.add_blob(&id, bytes, media_type.to_owned()));
        let blob = BlobRef::new(id, "attachment").with_name(name).with_media_type(media_type);
        blob.with_size(size).with_digest(digest)
    }

    /// A record as it is, hidden or not.
    pub fn get(&self, key: &Key) -> Option<Record> {
        self.act(|account| account.record(key).cloned())
    }

    /// What a reader should hold in the end: the version of each visible record.
    pub fn visible(&self) -> BTreeMap<Key, String> {
        self.act(|account| {
            let versions = account.visible().map(|record| (record.key.clone(), record.version.clone()));
            versions.map(|(key, version)| (key, version.unwrap_or_default())).collect()
        })
    }

    /// Begins a transaction: nothing of it is visible before its commit, and its place in the log is that of the commit.
    pub fn begin(&self) -> Transaction {
        Transaction { account: self.clone(), writes: Vec::new() }
    }

    /// Drops the log: all cursors given so far are dead.
    pub fn expire_cursors(&self) {
        self.act(AccountState::expire);
    }

    /// Begins a new generation, as after the vendor restored its own backup.
    pub fn bump_generation(&self) {
        self.act(AccountState::bump_generation);
    }

    /// Notes in the log that it cannot say what happened to some collections.
    pub fn reset(&self, collections: Vec<CollectionName>) {
        self.act(|account| account.reset(collections));
    }

    /// Makes a record unreadable, or readable again.
    pub fn fail_record(&self, key: &Key, fails: bool) {
        self.act(|account| account.fail_record(key.clone(), fails));
    }

    /// Makes a blob unreadable, or readable again.
    pub fn fail_blob(&self, blob: &BlobId, fails: bool) {
        self.act(|account| account.fail_blob(blob.clone(), fails));
    }

    /// Lets so many more pages be read and then fails one read.
    pub fn interrupt_after(&self, pages: usize) {
        self.act(|account| account.reads_left = Some(pages));
    }
}

/// Writes that become visible together.
#[derive(Debug)]
pub struct Transaction {
    account: MemoryAccount,
    writes: Vec<Write>,
}

#[derive(Debug)]
enum Write {
    Put(Box<Record>),
    Delete(Key),
}

impl Transaction {
    /// Creates or replaces a record at commit.
    pub fn put(&mut self, record: Record) {
        self.writes.push(Write::Put(Box::new(record)));
    }

    /// Deletes a record at commit.
    pub fn delete(&mut self, key: Key) {
        self.writes.push(Write::Delete(key));
    }

    /// Makes the writes visible; dropping the transaction instead rolls it back.
    pub fn commit(self) {
        let now = self.account.source.clock.now();
        self.account.act(|account| {
            for write in self.writes {
                match write {
                    Write::Put(record) => account.put(*record, now),
                    Write::Delete(key) => {
                        account.delete(Deletion::new(key, DeletionReason::Deleted), now);
                    }
                }
            }
        });
    }
}
