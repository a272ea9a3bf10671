use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use saas_backup_core::{
    BlobId, BlobRef, BlobStatus, CollectionName, Digest, Event, Feed, Key, ReadRequest, Record, Result, Snapshot,
};
use sha2::{Digest as _, Sha256};

use super::report::{Compared, Difference, DifferenceKind, LISTED};

/// Records whose attachments are read at a time.
const AT_ONCE: usize = 4;

/// Attachments whose digest is remembered, so that one that many records share is read once.
const REMEMBERED: usize = 100_000;

/// The part of a snapshot that was to be restored.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) keys: Option<&'a BTreeSet<Key>>,
    pub(super) collections: Option<&'a [CollectionName]>,
}

impl Part<'_> {
    pub(super) fn holds(self, key: &Key) -> bool {
        self.keys.is_none_or(|keys| keys.contains(key))
            && self.collections.is_none_or(|collections| collections.contains(&key.collection))
    }
}

/// What a comparison found.
#[derive(Default)]
pub(super) struct Comparison {
    pub(super) collections: BTreeMap<CollectionName, Compared>,
    pub(super) differences: Vec<Difference>,
}

impl Comparison {
    pub(super) fn of(&mut self, key: &Key) -> &mut Compared {
        self.collections.entry(key.collection.clone()).or_default()
    }

    /// Counts a record that was to come back.
    pub(super) fn awaits(&mut self, read: &Read) {
        let compared = self.of(&read.record.key);
        compared.records += 1;
        compared.blobs += read.blobs.len() as u64;
        compared.bytes += read.blobs.iter().map(|(_, size)| size).sum::<u64>();
    }

    pub(super) fn note(&mut self, key: &Key, kind: DifferenceKind) {
        let compared = self.of(key);
        match kind {
            DifferenceKind::Missing => compared.missing += 1,
            DifferenceKind::Unexpected => compared.unexpected += 1,
            DifferenceKind::Record | DifferenceKind::Attachments => compared.different += 1,
        }
        if self.differences.len() < LISTED {
            self.differences.push(Difference { key: key.clone(), kind });
        }
    }
}

/// A record, and the digests and sizes of its attachments in order.
pub(super) struct Read {
    pub(super) record: Record,
    pub(super) blobs: Vec<(Digest, u64)>,
}

/// Reads records with the digests of their attachments.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    snapshot: &'a dyn Snapshot,
    /// Whether what the snapshot says of an attachment's bytes counts: that of a copy was proved when it was written, and
    /// proves itself when it is restored.
    trusts: bool,
    known: Arc<Mutex<BTreeMap<BlobId, (Digest, u64)>>>,
}

impl<'a> Reader<'a> {
    /// Takes a copy's own word for the bytes of attachments.
    pub(super) fn of_copy(snapshot: &'a dyn Snapshot) -> Self {
        Self { snapshot, trusts: true, known: Arc::default() }
    }

    /// Reads the bytes of every attachment.
    pub(super) fn of_target(snapshot: &'a dyn Snapshot) -> Self {
        Self { snapshot, trusts: false, known: Arc::default() }
    }

    /// The records with some keys, in the order in which they come. Attachments of others are not read.
    pub(super) async fn all(&self, wanted: impl Fn(&Key) -> bool + Send + 'a) -> Result<BoxStream<'a, Result<Read>>> {
        let snapshot = self.snapshot;
        let records = stream::iter(slices(snapshot).await?)
            .flat_map(move |feed| puts(snapshot, ReadRequest::new(feed)))
            .try_filter(move |record| std::future::ready(wanted(&record.key)));
        Ok(self.digested(records.boxed()))
    }

    /// What some requests give.
    pub(super) fn some(&self, requests: Vec<ReadRequest>) -> BoxStream<'a, Result<Read>> {
        let snapshot = self.snapshot;
        self.digested(stream::iter(requests).flat_map(move |request| puts(snapshot, request)).boxed())
    }

    fn digested(&self, records: BoxStream<'a, Result<Record>>) -> BoxStream<'a, Result<Read>> {
        let reader = self.clone();
        records
            .map_ok(move |record| {
                let reader = reader.clone();
                async move {
                    let mut blobs = Vec::new();
                    for blob in record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available) {
                        blobs.push(reader.blob(&record.key, blob).await?);
                    }
                    Ok(Read { record, blobs })
                }
            })
            .try_buffered(AT_ONCE)
            .boxed()
    }

    async fn blob(&self, owner: &Key, blob: &BlobRef) -> Result<(Digest, u64)> {
        if self.trusts
            && let (Some(digest), Some(size)) = (blob.digest, blob.size)
        {
            return Ok((digest, size));
        }
        if let Some(known) = blob.id.as_ref().and_then(|id| self.known().get(id).copied()) {
            return Ok(known);
        }
        let (mut digest, mut size) = (Sha256::new(), 0_u64);
        let mut chunks = self.snapshot.open(owner, blob, None).await?;
        while let Some(chunk) = chunks.try_next().await? {
            size += chunk.len() as u64;
            digest.update(&chunk);
        }
        let read = (Digest::from_bytes(digest.finalize().into()), size);
        let mut known = self.known();
        if let Some(id) = blob.id.as_ref().filter(|_| known.len() < REMEMBERED) {
            known.insert(id.clone(), read);
        }
        Ok(read)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<BlobId, (Digest, u64)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The feeds that hold all records, each in full.
pub(super) async fn slices(snapshot: &dyn Snapshot) -> Result<Vec<Feed>> {
    snapshot.feeds().try_filter(|feed| std::future::ready(!feed.is_log())).try_collect().await
}

fn puts(snapshot: &dyn Snapshot, request: ReadRequest) -> BoxStream<'static, Result<Record>> {
    let put = |event| match event {
        Event::Put(mut record) => {
            record.sequence = None;
            Some(*record)
        }
        _ => None,
    };
    snapshot.read(request).try_filter_map(move |event| std::future::ready(Ok(put(event)))).boxed()
}
