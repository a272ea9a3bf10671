use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{
    BlobId, CollectionName, Deletion, DeletionReason, Digest, Error, ErrorKind, Gap, Key, Problem, Record, RecordId,
    Reset, ResetReason, Result,
};

use super::erasures::Erasures;
use super::imports::Imports;
use crate::{AccountId, Change, ChangePage, Entry, ScanRequest, Schema, ServiceInfo, Watermark};

#[derive(Debug)]
pub(super) struct State {
    pub(super) service: ServiceInfo,
    pub(super) schema: Schema,
    pub(super) accounts: BTreeMap<AccountId, AccountState>,
}

impl State {
    pub(super) fn new(service: ServiceInfo, schema: Schema) -> Self {
        Self { service, schema, accounts: BTreeMap::new() }
    }
}

/// One account: what is there, and a log of what was committed.
#[derive(Debug, Default)]
pub(super) struct AccountState {
    generation: u64,
    records: BTreeMap<Key, Held>,
    /// Versions outlive their records: a record that comes back must not repeat one.
    versions: BTreeMap<Key, u64>,
    log: Vec<Logged>,
    /// The position before the first entry of the log.
    floor: u64,
    pub(super) blobs: BTreeMap<BlobId, HeldBlob>,
    failing: BTreeSet<Key>,
    failing_blobs: BTreeSet<BlobId>,
    pub(super) erasures: Erasures,
    pub(super) imports: Imports,
    pub(super) reads_left: Option<usize>,
}

#[derive(Debug)]
struct Held {
    record: Record,
    hidden: bool,
}

#[derive(Clone, Debug)]
pub(super) struct HeldBlob {
    pub(super) bytes: Bytes,
    pub(super) digest: Digest,
    pub(super) media_type: String,
}

#[derive(Clone, Debug)]
enum Logged {
    Touched(Key),
    Deleted(Deletion),
    Reset(Vec<CollectionName>),
}

impl AccountState {
    pub(super) fn generation_name(&self) -> String {
        format!("g{}", self.generation)
    }

    pub(super) fn position(&self) -> u64 {
        self.floor + self.log.len() as u64
    }

    pub(super) fn put(&mut self, mut record: Record, now: DateTime<Utc>) {
        let key = record.key.clone();
        let version = self.versions.entry(key.clone()).or_default();
        *version += 1;
        record.version = Some(version.to_string());
        let before = self.records.get(&key);
        record.created = record.created.or_else(|| before.and_then(|held| held.record.created)).or(Some(now));
        record.modified = Some(now);
        let hidden = before.is_some_and(|held| held.hidden);
        self.records.insert(key.clone(), Held { record, hidden });
        self.log.push(Logged::Touched(key));
    }

    pub(super) fn delete(&mut self, mut deletion: Deletion, now: DateTime<Utc>) -> bool {
        let found = self.records.remove(&deletion.key).is_some();
        if found {
            deletion.at = deletion.at.or(Some(now));
            self.log.push(Logged::Deleted(deletion));
        }
        found
    }

    pub(super) fn keys_of(&self, wanted: impl Fn(&Record) -> bool) -> Vec<Key> {
        self.records
            .values()
            .map(|held| &held.record)
            .filter(|record| wanted(record))
            .map(|record| record.key.clone())
            .collect()
    }

    /// Takes a record and the attachments that no other record has.
    pub(super) fn erase(&mut self, key: Key, now: DateTime<Utc>) {
        let blobs = self.record(&key).map(|record| record.blobs.clone()).unwrap_or_default();
        self.delete(Deletion::new(key, DeletionReason::Erased), now);
        for id in blobs.into_iter().filter_map(|blob| blob.id) {
            let named = |held: &Held| held.record.blobs.iter().any(|blob| blob.id.as_ref() == Some(&id));
            if !self.records.values().any(named) {
                self.blobs.remove(&id);
            }
        }
    }

    pub(super) fn set_hidden(&mut self, key: &Key, hidden: bool) -> bool {
        let Some(held) = self.records.get_mut(key).filter(|held| held.hidden != hidden) else { return false };
        held.hidden = hidden;
        let entry = if hidden {
            Logged::Deleted(Deletion::new(key.clone(), DeletionReason::AccessLost))
        } else {
            Logged::Touched(key.clone())
        };
        self.log.push(entry);
        true
    }

    pub(super) fn reset(&mut self, collections: Vec<CollectionName>) {
        self.log.push(Logged::Reset(collections));
    }

    pub(super) fn expire(&mut self) {
        // One more position, so that a cursor at the very head is dead too.
        self.floor = self.position() + 1;
        self.log.clear();
    }

    pub(super) fn bump_generation(&mut self) {
        self.generation += 1;
    }

    pub(super) fn add_blob(&mut self, id: &BlobId, bytes: Bytes, media_type: String) -> Digest {
        let digest = Digest::of(&bytes);
        self.blobs.insert(id.clone(), HeldBlob { bytes, digest, media_type });
        digest
    }

    pub(super) fn fail_record(&mut self, key: Key, fails: bool) {
        if fails {
            self.failing.insert(key);
        } else if self.failing.remove(&key) {
            // Readable again: the log offers it to those who were told that it was not.
            self.log.push(Logged::Touched(key));
        }
    }

    pub(super) fn fail_blob(&mut self, id: BlobId, fails: bool) {
        if fails {
            self.failing_blobs.insert(id);
        } else {
            self.failing_blobs.remove(&id);
        }
    }

    pub(super) fn record(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).map(|held| &held.record)
    }

    pub(super) fn visible(&self) -> impl Iterator<Item = &Record> {
        self.records.values().filter(|held| !held.hidden).map(|held| &held.record)
    }

    pub(super) fn count(&self, collection: &CollectionName) -> (u64, u64) {
        let of_it = self.records.values().filter(|held| &held.record.key.collection == collection);
        of_it.fold((0, 0), |(visible, hidden), held| {
            (visible + u64::from(!held.hidden), hidden + u64::from(held.hidden))
        })
    }

    /// Fails once when the reads that were allowed are used up.
    pub(super) fn interruption(&mut self) -> Result<()> {
        match self.reads_left {
            None => Ok(()),
            Some(0) => {
                self.reads_left = None;
                Err(Error::new(ErrorKind::Unavailable, "the database went away"))
            }
            Some(left) => {
                self.reads_left = Some(left - 1);
                Ok(())
            }
        }
    }

    pub(super) fn entry(&self, key: &Key) -> Option<Entry> {
        let held = self.records.get(key).filter(|held| !held.hidden)?;
        if self.failing.contains(key) {
            return Some(Entry::Gap(unreadable(key)));
        }
        Some(Entry::from(held.record.clone()))
    }

    pub(super) fn scan(&self, request: &ScanRequest) -> Vec<Entry> {
        let key = |id: &RecordId| Key::new(request.collection.clone(), id.clone());
        let from = request.after.as_ref().map(key);
        let range = match &from {
            Some(after) => self.records.range((Bound::Excluded(after), Bound::Unbounded)),
            None => self.records.range(..),
        };
        range
            .skip_while(|(key, _)| key.collection < request.collection)
            .take_while(|(key, _)| key.collection == request.collection)
            .filter_map(|(key, _)| self.entry(key))
            .take(request.limit)
            .collect()
    }

    pub(super) fn changes(&self, since: u64, limit: usize) -> Result<ChangePage> {
        if since < self.floor || since > self.position() {
            return Err(Error::new(ErrorKind::CursorExpired, "the log does not go back that far"));
        }
        let skip = (since - self.floor) as usize;
        let changes: Vec<Change> = (since + 1..)
            .zip(self.log.iter().skip(skip).take(limit))
            .map(|(position, entry)| {
                let watermark = Watermark::new(position.to_string());
                match entry.clone() {
                    Logged::Touched(key) => Change::touched(watermark, key),
                    Logged::Deleted(deletion) => Change::deleted(watermark, deletion),
                    Logged::Reset(collections) => {
                        Change::reset(watermark, Reset::new(collections, ResetReason::TooManyChanges))
                    }
                }
            })
            .collect();
        let next = since + changes.len() as u64;
        Ok(ChangePage::new(changes, Watermark::new(next.to_string()), next < self.position()))
    }

    pub(super) fn blob(&self, id: &BlobId) -> Result<&HeldBlob> {
        if self.failing_blobs.contains(id) {
            return Err(Error::new(ErrorKind::Unavailable, "the object store does not answer"));
        }
        let named = self.visible().any(|record| record.blobs.iter().any(|blob| blob.id.as_ref() == Some(id)));
        let held = self.blobs.get(id).filter(|_| named);
        held.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such blob"))
    }
}

fn unreadable(key: &Key) -> Gap {
    let mut gap = Gap::record(key, &Error::new(ErrorKind::Unavailable, "the row could not be decoded"));
    gap.problem = Problem::new("urn:open-export:problem:record-unavailable", "The record cannot be exported");
    gap
}
