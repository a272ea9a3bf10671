use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use saas_backup_core::{BlobId, CollectionName, Error, ErrorKind, Key, OpenGap, Result};
use serde::Serialize;

use super::subject::{Clues, Reason, Subject};
use crate::layout::Map;
use crate::object::{Family, key_hash};
use crate::read::{BlobRow, Bounds, Group, Merge};
use crate::reserved;
use crate::source::{Shared, Source};

/// Records and attachments that one erasure takes at most.
const MOST: usize = 1_000_000;

/// What an erasure concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Concerned {
    /// The records, in the order of their keys.
    pub records: Vec<FoundRecord>,
    /// The attachments that no other record has, at no point in time.
    pub attachments: Vec<FoundAttachment>,
    /// Attachments of these records that others have, too: they stay.
    pub shared_attachments: u64,
    /// The keys of what was noted about them: gaps.
    #[serde(skip)]
    pub(super) rows: BTreeSet<Key>,
}

/// A record that is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FoundRecord {
    /// The record.
    pub key: Key,
    /// Why.
    pub reasons: BTreeSet<Reason>,
    /// Its lines: versions and deletions that are held.
    pub lines: u64,
    /// Whether it is there now.
    pub live: bool,
}

/// An attachment that goes with its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FoundAttachment {
    /// Its id.
    pub blob: BlobId,
    /// The collection of a record that has it.
    pub collection: CollectionName,
    /// Length in bytes; `None` if it is not held.
    pub size: Option<u64>,
}

impl Concerned {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.attachments.is_empty()
    }

    /// All lines of the records.
    pub fn lines(&self) -> u64 {
        self.records.iter().map(|record| record.lines).sum()
    }

    /// The keys whose lines do not count any more, in order.
    pub(super) fn keys(&self) -> Result<BTreeSet<Key>> {
        let mut keys: BTreeSet<Key> = self.records.iter().map(|record| record.key.clone()).collect();
        for attachment in &self.attachments {
            keys.insert(reserved::key(reserved::BLOBS, attachment.blob.as_str())?);
        }
        keys.extend(self.rows.iter().cloned());
        Ok(keys)
    }
}

impl Source {
    /// Looks through all versions of all records for what concerns a subject, and changes nothing. `progress` is called
    /// with the number of records that were looked at. Cancel safe.
    ///
    /// A record is concerned if any of its versions is. Reads as much as there is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] without the owner's identity; [`ErrorKind::Configuration`] if the subject names
    /// nothing; [`ErrorKind::LimitExceeded`] for more than a million records and attachments.
    pub async fn concerned(&self, subject: &Subject, progress: &mut (dyn FnMut(u64) + Send)) -> Result<Concerned> {
        let map = self.shared.loader.load_maintained().await?;
        map.check()?;
        find(&self.shared, &map, subject, progress).await
    }
}

/// See [`Source::concerned`].
pub(super) async fn find(
    shared: &Arc<Shared>,
    map: &Map,
    subject: &Subject,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Concerned> {
    subject.check()?;
    let clues = subject.clues()?;
    let mut found = Concerned::default();
    let mut attachments: BTreeMap<BlobId, CollectionName> = BTreeMap::new();
    let mut of_others: HashSet<u64> = HashSet::new();
    let mut merge = open(shared, map, Family::Data, None).await?;
    let mut looked_at = 0;
    while let Some(group) = merge.next().await? {
        looked_at += 1;
        if looked_at % 10_000 == 0 {
            progress(looked_at);
        }
        let reasons = reasons(subject, &clues, &group)?;
        for line in group.lines.iter().filter(|line| !line.is_deletion()) {
            for blob in reserved::blobs(&line.text)? {
                if reasons.is_empty() {
                    of_others.insert(hash(&blob)?);
                } else {
                    attachments.insert(blob, group.key.collection.clone());
                }
            }
        }
        if !reasons.is_empty() {
            let (lines, live) = (group.lines.len() as u64, group.live().is_some());
            found.records.push(FoundRecord { key: group.key, reasons, lines, live });
        }
        if found.records.len() + attachments.len() > MOST {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "this concerns more than a million records; erase it in parts",
            )
            .with_context("limit", MOST as u64));
        }
    }
    progress(looked_at);
    for (blob, collection) in attachments {
        if of_others.contains(&hash(&blob)?) {
            found.shared_attachments += 1;
        } else {
            found.attachments.push(FoundAttachment { blob, collection, size: None });
        }
    }
    for blob in subject.blobs() {
        if found.attachments.iter().all(|attachment| attachment.blob != *blob) {
            let collection = reserved::collection(reserved::BLOBS);
            found.attachments.push(FoundAttachment { blob: blob.clone(), collection, size: None });
        }
    }
    let access = &shared.access;
    for attachment in &mut found.attachments {
        let key = reserved::key(reserved::BLOBS, attachment.blob.as_str())?;
        let row = access.lookup(map, Family::Meta, &key, map.next()).await?;
        let row =
            row.filter(|line| !line.is_deletion()).map(|line| reserved::value::<BlobRow>(&line.text)).transpose()?;
        attachment.size = row.map(|row| row.size);
    }
    let records: BTreeSet<&Key> = found.records.iter().map(|record| &record.key).collect();
    let mut gaps = open(shared, map, Family::Meta, Some(reserved::GAPS)).await?;
    while let Some(group) = gaps.next().await? {
        for line in group.lines.iter().filter(|line| !line.is_deletion()) {
            let OpenGap { gap, .. } = reserved::value(&line.text)?;
            let of = gap.id.map(|id| Key::new(gap.collection, id));
            if of.is_some_and(|of| records.contains(&of)) {
                found.rows.insert(group.key.clone());
            }
        }
    }
    Ok(found)
}

async fn open(shared: &Arc<Shared>, map: &Map, family: Family, collection: Option<&'static str>) -> Result<Merge> {
    let collection = collection.map(reserved::collection);
    let bounds = Bounds { collection, past: true, ..Bounds::all(family, map.next()) };
    Merge::open(Arc::clone(&shared.access), map, bounds).await
}

fn reasons(subject: &Subject, clues: &Clues, group: &Group) -> Result<BTreeSet<Reason>> {
    let mut reasons: BTreeSet<Reason> = subject.names(&group.key).into_iter().collect();
    for line in group.lines.iter().filter(|line| !line.is_deletion()) {
        if clues.may_be_in(&group.key.collection, &line.text) {
            reasons.extend(subject.reasons(&*reserved::record(&line.text)?)?);
        }
    }
    Ok(reasons)
}

fn hash(blob: &BlobId) -> Result<u64> {
    Ok(key_hash(&reserved::key(reserved::BLOBS, blob.as_str())?).0)
}
