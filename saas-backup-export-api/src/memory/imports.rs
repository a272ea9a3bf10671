use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use saas_backup_core::{
    BlobId, ByteStream, Deletion, DeletionReason, Digest, Error, ErrorKind, Json, Key, Record, RecordId, Result,
    async_trait,
};
use serde_json::json;

use super::MemorySource;
use super::state::AccountState;
use crate::{
    Accepts, Entries, Grant, Import, ImportEntry, ImportState, ImportTarget, ImportWrite, Links, Origin, Placed,
};

/// The imports of an account.
#[derive(Debug, Default)]
pub(super) struct Imports {
    sessions: BTreeMap<String, Session>,
    /// What came from elsewhere, the latest one last.
    origins: Vec<(Origin, Key, Key)>,
    made: u64,
}

#[derive(Debug)]
struct Session {
    import: Import,
    entries: BTreeMap<String, ImportEntry>,
    blobs: BTreeMap<Digest, Bytes>,
}

impl Imports {
    fn session(&mut self, import: &str) -> Result<&mut Session> {
        self.sessions.get_mut(import).ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such import"))
    }

    fn imported(&self, origin: &Origin, keys: &[Key]) -> Vec<(Key, Key)> {
        let wanted: BTreeSet<&Key> = keys.iter().collect();
        let of_it = self.origins.iter().rev().filter(|(from, key, _)| from == origin && wanted.contains(key));
        of_it.map(|(_, key, target)| (key.clone(), target.clone())).collect()
    }
}

impl Session {
    fn entries(&self, which: &Entries) -> Vec<ImportEntry> {
        match which {
            Entries::Keys(keys) => keys.iter().filter_map(|key| self.entries.get(key)).cloned().collect(),
            Entries::Sources(keys) => {
                let wanted: BTreeSet<&Key> = keys.iter().collect();
                self.entries.values().filter(|entry| wanted.contains(&entry.source)).cloned().collect()
            }
            Entries::After(after, limit) => {
                let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                self.entries
                    .range::<String, _>((from, Bound::Unbounded))
                    .take(*limit)
                    .map(|(_, entry)| entry.clone())
                    .collect()
            }
        }
    }
}

impl AccountState {
    fn write(&mut self, import: &Import, write: &ImportWrite, now: chrono::DateTime<chrono::Utc>) -> Result<Placed> {
        let session = self.imports.session(&import.id)?;
        if session.entries.contains_key(&write.key) {
            return Err(Error::new(ErrorKind::Conflict, "this line was written before"));
        }
        let mut record = write.record.clone();
        for blob in &mut record.blobs {
            if let Some(bytes) = blob.digest.and_then(|digest| session.blobs.get(&digest).map(|bytes| (digest, bytes)))
            {
                let id = BlobId::parse(format!("b_{}", bytes.0))?;
                let media_type = blob.media_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned());
                blob.id = Some(id.clone());
                self.blobs.insert(id, super::state::HeldBlob { bytes: bytes.1.clone(), digest: bytes.0, media_type });
            }
        }
        let collection = write.source.collection.clone();
        let key = if let Some(target) = &write.target {
            target.clone()
        } else {
            self.imports.made += 1;
            Key::new(collection, RecordId::parse(format!("new_{}", self.imports.made))?)
        };
        record.key = key.clone();
        let origin = json!({"service": import.origin.service, "account": import.origin.account,
            "collection": write.source.collection, "id": write.source.id});
        record.extra.insert("origin".to_owned(), Json::from_value(&origin)?);
        let modified = record.modified;
        self.put(record, now);
        let mut placed = Placed::new(key.clone());
        if modified.is_some() {
            placed = placed.with_lost("/modified", "set-by-server");
        }
        self.imports.origins.push((import.origin.clone(), write.source.clone(), key));
        let entry = write.entry(&placed);
        self.imports.session(&import.id)?.entries.insert(entry.key.clone(), entry);
        Ok(placed)
    }

    fn link(
        &mut self,
        import: &Import,
        entry: &ImportEntry,
        links: &Links,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<()> {
        self.imports.session(&import.id)?.entries.insert(entry.key.clone(), entry.clone());
        if let Some(mut record) = self.record(&entry.target).cloned() {
            let before: Record = record.clone();
            (record.refs, record.by, record.access) = (links.refs.clone(), links.by.clone(), links.access.clone());
            if record != before {
                self.put(record, now);
            }
        }
        Ok(())
    }

    fn discard(&mut self, import: &Import, now: chrono::DateTime<chrono::Utc>) {
        let Some(session) = self.imports.sessions.remove(&import.id) else { return };
        if session.import.state == ImportState::Committed {
            return;
        }
        // What a later session wrote again is that one's.
        let adopted: BTreeSet<&Key> = self
            .imports
            .sessions
            .values()
            .flat_map(|other| other.entries.values())
            .map(|entry| &entry.target)
            .collect();
        let created = session.entries.into_values().filter(|entry| !entry.replaced);
        let gone: Vec<Key> = created.map(|entry| entry.target).filter(|key| !adopted.contains(key)).collect();
        for key in gone {
            self.imports.origins.retain(|(_, _, target)| *target != key);
            self.delete(Deletion::new(key, DeletionReason::Deleted), now);
        }
    }
}

#[async_trait]
impl ImportTarget for MemorySource {
    async fn accepts(&self, _grant: &Grant) -> Result<Accepts> {
        let collections = self.lock().schema.catalog.names().cloned().collect::<Vec<_>>();
        Ok(Accepts::new(collections).with_lost("/modified", "set-by-server"))
    }

    async fn imports(&self, grant: &Grant) -> Result<Vec<Import>> {
        self.with_account(&grant.account, |account| {
            account.imports.sessions.values().map(|session| session.import.clone()).collect()
        })
    }

    async fn keep(&self, grant: &Grant, import: &Import) -> Result<()> {
        self.with_account(&grant.account, |account| {
            let sessions = &mut account.imports.sessions;
            let new = || Session { import: import.clone(), entries: BTreeMap::new(), blobs: BTreeMap::new() };
            sessions.entry(import.id.clone()).or_insert_with(new).import = import.clone();
        })
    }

    async fn entries(&self, grant: &Grant, import: &str, which: &Entries) -> Result<Vec<ImportEntry>> {
        self.with_account(&grant.account, |account| Ok(account.imports.session(import)?.entries(which)))?
    }

    async fn imported(&self, grant: &Grant, origin: &Origin, keys: &[Key]) -> Result<Vec<(Key, Key)>> {
        self.with_account(&grant.account, |account| {
            let pairs = account.imports.imported(origin, keys);
            pairs.into_iter().filter(|(_, target)| account.entry(target).is_some()).collect()
        })
    }

    async fn write(&self, grant: &Grant, import: &Import, write: &ImportWrite) -> Result<Placed> {
        let now = self.clock.now();
        self.with_account(&grant.account, |account| account.write(import, write, now))?
    }

    async fn link(&self, grant: &Grant, import: &Import, entry: &ImportEntry, links: &Links) -> Result<()> {
        let now = self.clock.now();
        self.with_account(&grant.account, |account| account.link(import, entry, links, now))?
    }

    async fn has_blob(&self, grant: &Grant, import: &str, digest: &Digest) -> Result<bool> {
        self.with_account(&grant.account, |account| Ok(account.imports.session(import)?.blobs.contains_key(digest)))?
    }

    async fn put_blob(&self, grant: &Grant, import: &str, digest: &Digest, _: u64, bytes: ByteStream) -> Result<()> {
        let whole = bytes.try_fold(BytesMut::new(), async |mut whole, piece| {
            whole.extend_from_slice(&piece);
            Ok(whole)
        });
        let whole = whole.await?.freeze();
        self.with_account(&grant.account, |account| {
            account.imports.session(import)?.blobs.insert(*digest, whole);
            Ok(())
        })?
    }

    async fn discard(&self, grant: &Grant, import: &Import) -> Result<()> {
        let now = self.clock.now();
        self.with_account(&grant.account, |account| account.discard(import, now))
    }
}
