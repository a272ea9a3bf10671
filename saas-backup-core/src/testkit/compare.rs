//! What a snapshot holds, and how two of them differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures::TryStreamExt as _;

use crate::{BlobId, BlobRef, BlobStatus, Digest, Event, Json, Key, ReadRequest, Record, Result, Snapshot};

/// Differences that are listed before the rest is only counted.
const LISTED: usize = 40;

/// All that a snapshot holds: the records that it shows, and the digests of their blobs.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Contents {
    /// The records by key, without the sequence numbers of their store.
    pub records: BTreeMap<Key, Record>,
    /// The digest of each available blob.
    pub blobs: BTreeMap<BlobId, Digest>,
}

impl Contents {
    /// Reads all slices of a snapshot in full, and the blobs of its records.
    ///
    /// It holds everything in memory: for tests.
    ///
    /// # Errors
    ///
    /// If a slice or a blob cannot be read.
    pub async fn of(snapshot: &dyn Snapshot) -> Result<Self> {
        let mut contents = Self::records_of(snapshot).await?;
        for record in contents.records.values() {
            for blob in &record.blobs {
                if let (Some(id), BlobStatus::Available) = (&blob.id, blob.status)
                    && !contents.blobs.contains_key(id)
                {
                    let bytes = read_blob(snapshot, &record.key, blob).await?;
                    contents.blobs.insert(id.clone(), Digest::of(&bytes));
                }
            }
        }
        Ok(contents)
    }

    /// Reads the records alone.
    ///
    /// # Errors
    ///
    /// If a slice cannot be read.
    pub async fn records_of(snapshot: &dyn Snapshot) -> Result<Self> {
        let mut contents = Self::default();
        let feeds: Vec<_> = snapshot.feeds().try_collect().await?;
        for feed in feeds.into_iter().filter(|feed| !feed.is_log()) {
            let mut events = snapshot.read(ReadRequest::new(feed));
            while let Some(event) = events.try_next().await? {
                contents.apply(event);
            }
        }
        Ok(contents)
    }

    /// Takes in one event as a copy would.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Put(mut record) => {
                record.sequence = None;
                self.records.insert(record.key.clone(), *record);
            }
            Event::Delete(deletion) => {
                let left = deletion.partition.as_ref();
                let here = self.records.get(&deletion.key).is_some_and(|record| {
                    left.is_none() || record.partition.is_none() || record.partition.as_ref() == left
                });
                if here {
                    self.records.remove(&deletion.key);
                }
            }
            _ => {}
        }
    }

    /// What another one has more, less or different, one line each, in the order of keys.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, left) in &self.records {
            match other.records.get(key) {
                None => lines.push(format!("{key}: only on the left")),
                Some(right) => lines.extend(record_differences(left, right).map(|line| format!("{key}: {line}"))),
            }
        }
        let more = other.records.keys().filter(|key| !self.records.contains_key(key));
        lines.extend(more.map(|key| format!("{key}: only on the right")));
        for (id, left) in &self.blobs {
            match other.blobs.get(id) {
                None => lines.push(format!("blob {id}: only on the left")),
                Some(right) if right != left => lines.push(format!("blob {id}: other bytes")),
                Some(_) => {}
            }
        }
        let more = other.blobs.keys().filter(|id| !self.blobs.contains_key(*id));
        lines.extend(more.map(|id| format!("blob {id}: only on the right")));
        lines
    }
}

/// Reads a blob to its end.
///
/// # Errors
///
/// If it cannot be opened or breaks off.
pub(crate) async fn read_blob(snapshot: &dyn Snapshot, owner: &Key, blob: &BlobRef) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunks = snapshot.open(owner, blob, None).await?;
    while let Some(chunk) = chunks.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn record_differences<'a>(left: &'a Record, right: &'a Record) -> impl Iterator<Item = String> + 'a {
    let members = [
        ("partition", left.partition == right.partition),
        ("version", left.version == right.version),
        ("created", left.created == right.created),
        ("modified", left.modified == right.modified),
        ("state", left.state == right.state),
        ("purge_at", left.purge_at == right.purge_at),
        ("by", left.by == right.by),
        ("refs", left.refs == right.refs),
        ("blobs", left.blobs == right.blobs),
        ("access", left.access == right.access),
        ("extra", left.extra == right.extra),
    ];
    let data = (left.data != right.data).then(|| data_difference(&left.data, &right.data));
    members.into_iter().filter(|(_, same)| !same).map(|(name, _)| format!("{name} differs")).chain(data)
}

/// Shows where two texts part; for tests, whose data are nobody's.
fn data_difference(left: &Json, right: &Json) -> String {
    let (left, right) = (left.as_str(), right.as_str());
    let same = left.chars().zip(right.chars()).take_while(|(left, right)| left == right).count();
    let around = |text: &str| text.chars().skip(same.saturating_sub(20)).take(60).collect::<String>();
    format!("data differs from character {same}: …{} | …{}", around(left), around(right))
}

/// Compares what two snapshots hold: records member by member, blobs byte by byte.
///
/// # Errors
///
/// If one of them cannot be read.
///
/// # Panics
///
/// If they differ, with the differences.
pub async fn assert_same(left: &dyn Snapshot, right: &dyn Snapshot) -> Result<()> {
    let (left, right) = (Contents::of(left).await?, Contents::of(right).await?);
    let lines = left.differences(&right);
    assert!(lines.is_empty(), "the snapshots differ:\n{}", summary(&lines));
    Ok(())
}

/// The first lines, and how many more there are.
pub(crate) fn summary(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines.iter().take(LISTED) {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(more) = lines.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::FakeProvider;
    use crate::{Connector as _, SnapshotOptions};

    #[tokio::test]
    async fn differences_name_the_key_and_the_member() {
        let (left, right) = (FakeProvider::seeded(1, 10), FakeProvider::seeded(1, 10));
        let one = left.snapshot(SnapshotOptions::default()).await.unwrap();
        let other = right.snapshot(SnapshotOptions::default()).await.unwrap();
        assert_same(&*one, &*other).await.unwrap();

        right.put_user("eve", "Eve");
        left.put_user("u0000", "Someone else");
        let left = Contents::of(&*one).await.unwrap();
        let lines = left.differences(&Contents::of(&*other).await.unwrap());
        assert!(lines.contains(&"users/eve: only on the right".to_owned()), "{lines:?}");
        assert!(lines.contains(&"users/u0000: version differs".to_owned()), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("users/u0000: data differs from character 23")), "{lines:?}");
    }
}
