//! The comparison with a target that gives everything back as it was.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use saas_backup_core::{Digest, Key, LineCodec, Result, Snapshot};

use super::compare::{Comparison, Part, Read, Reader};
use super::report::DifferenceKind;

/// Buckets of keys: what holds millions of records is compared in some megabytes.
const BUCKETS: usize = 1 << 16;

/// Records of buckets that differ that are looked at one by one at a time.
const SIDE_BY_SIDE: u64 = 200_000;

/// The records of a bucket, whatever their order: how many, and the sum of their digests.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    records: u64,
    sum: [u64; 4],
}

impl Bucket {
    fn add(&mut self, digest: &Digest) {
        self.records += 1;
        for (sum, bytes) in self.sum.iter_mut().zip(digest.as_bytes().chunks_exact(8)) {
            *sum = sum.wrapping_add(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        }
    }
}

/// What stands for a record, and what for its attachments.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Digests {
    record: Digest,
    blobs: Digest,
}

impl Digests {
    fn of(read: &Read) -> Result<Self> {
        let mut line = Vec::new();
        LineCodec::stored().encode_put(&read.record, &mut line)?;
        let blobs: Vec<u8> = read.blobs.iter().flat_map(|(digest, _)| *digest.as_bytes()).collect();
        Ok(Self { record: Digest::of(&line), blobs: Digest::of(&blobs) })
    }

    fn both(&self) -> Digest {
        Digest::of(&[*self.record.as_bytes(), *self.blobs.as_bytes()].concat())
    }
}

/// Compares by sums over buckets of keys, and then looks at the records of the buckets that differ.
pub(super) async fn compare(source: &dyn Snapshot, target: &dyn Snapshot, part: Part<'_>) -> Result<Comparison> {
    let (source, target) = (Reader::of_copy(source), Reader::of_target(target));
    let mut found = Comparison::default();
    let mut expected = vec![Bucket::default(); BUCKETS];
    let mut reading = source.all(|key| part.holds(key)).await?;
    while let Some(read) = reading.try_next().await? {
        found.awaits(&read);
        add(&mut expected, &read)?;
    }
    let mut held = vec![Bucket::default(); BUCKETS];
    let mut reading = target.all(|_| true).await?;
    while let Some(read) = reading.try_next().await? {
        add(&mut held, &read)?;
    }
    let differing: Vec<(usize, u64)> = (0..)
        .zip(expected.iter().zip(&held))
        .filter(|(_, (expected, held))| expected != held)
        .map(|(number, (expected, held))| (number, expected.records.max(held.records)))
        .collect();
    let mut differing = differing.into_iter().peekable();
    while differing.peek().is_some() {
        let (mut buckets, mut records) = (BTreeSet::new(), 0);
        while let Some((number, size)) =
            differing.next_if(|(_, size)| buckets.is_empty() || records + size <= SIDE_BY_SIDE)
        {
            buckets.insert(number);
            records += size;
        }
        side_by_side((&source, &target), part, &buckets, &mut found).await?;
    }
    Ok(found)
}

async fn side_by_side(
    (source, target): (&Reader<'_>, &Reader<'_>),
    part: Part<'_>,
    buckets: &BTreeSet<usize>,
    found: &mut Comparison,
) -> Result<()> {
    let mut expected: BTreeMap<Key, Digests> = BTreeMap::new();
    let mut reading = source.all(|key| part.holds(key) && buckets.contains(&bucket_of(key))).await?;
    while let Some(read) = reading.try_next().await? {
        expected.insert(read.record.key.clone(), Digests::of(&read)?);
    }
    let mut reading = target.all(|key| buckets.contains(&bucket_of(key))).await?;
    while let Some(read) = reading.try_next().await? {
        let key = &read.record.key;
        match expected.remove(key) {
            None => found.note(key, DifferenceKind::Unexpected),
            Some(expected) => {
                let held = Digests::of(&read)?;
                if held.record != expected.record {
                    found.note(key, DifferenceKind::Record);
                } else if held.blobs != expected.blobs {
                    found.note(key, DifferenceKind::Attachments);
                }
            }
        }
    }
    for key in expected.keys() {
        found.note(key, DifferenceKind::Missing);
    }
    Ok(())
}

fn add(buckets: &mut [Bucket], read: &Read) -> Result<()> {
    if let Some(bucket) = buckets.get_mut(bucket_of(&read.record.key)) {
        bucket.add(&Digests::of(read)?.both());
    }
    Ok(())
}

fn bucket_of(key: &Key) -> usize {
    let digest = Digest::of(format!("{}\n{}", key.collection, key.id).as_bytes());
    digest.as_bytes().iter().take(2).fold(0, |number, byte| number << 8 | usize::from(*byte))
}
