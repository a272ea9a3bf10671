use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};

use super::Shared;
use crate::{
    BlobId, BlobRef, BlobSlot, BlobStatus, BlobWriter, CollectionName, Counts, Digest, Error, ErrorKind, Event, Feed,
    Gap, Key, ProgressEvent, Result, Retry, StoredBlob,
};

/// Tries in a row that brought no byte before a blob becomes a gap.
const FRUITLESS_TRIES: u32 = 3;
/// Longest pause between tries that we choose ourselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What became of one blob.
enum Fetched {
    Held(StoredBlob),
    Stored(StoredBlob),
    Unwanted,
    Missing(Error),
}

/// A failure of the source becomes a gap; one of the sink ends the run.
enum Failure {
    Source(Error),
    Sink(Error),
}

/// Blobs that are being fetched: what two feeds name at the same time is fetched once.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<BlobId, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    fn of(&self, id: &BlobId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.lock().entry(id.clone()).or_default())
    }

    /// Forgets a turn that nobody else waits for.
    fn done(&self, id: &BlobId, turn: Arc<tokio::sync::Mutex<()>>) {
        let mut turns = self.lock();
        drop(turn);
        if turns.get(id).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobId, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Fetches the blobs that the records of a batch own and the sink does not hold, and writes digest, size and
    /// status into the records. What could not be read follows its record as a gap. `None` if the run was cancelled
    /// meanwhile.
    pub(super) async fn with_blobs(
        &self,
        feed: &Feed,
        events: Vec<Event>,
    ) -> Result<Option<(Vec<Event>, BTreeMap<CollectionName, Counts>)>> {
        let mut counts: BTreeMap<CollectionName, Counts> = BTreeMap::new();
        let mut wanted: BTreeMap<BlobId, (Key, BlobRef)> = BTreeMap::new();
        for event in &events {
            let Event::Put(record) = event else { continue };
            for blob in record.blobs.iter().filter(|blob| blob.status == BlobStatus::Available) {
                if let Some(id) = &blob.id {
                    wanted.entry(id.clone()).or_insert_with(|| (record.key.clone(), blob.clone()));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(Some((events, counts)));
        }
        let jobs = wanted.into_iter().map(|(id, (owner, blob))| async move {
            let turn = self.turns.of(&id);
            let mine = turn.lock().await;
            let permit = self.blobs.acquire().await;
            let fetched = self.fetch(feed, &owner, &blob).await;
            drop((permit, mine));
            self.turns.done(&id, turn);
            (id, owner, fetched)
        });
        let mut arriving = stream::iter(jobs).buffer_unordered(self.options.blobs_in_flight.max(1));
        let mut fetched: BTreeMap<BlobId, Fetched> = BTreeMap::new();
        while let Some((id, owner, result)) = arriving.next().await {
            let result = result?;
            let sum = counts.entry(owner.collection).or_default();
            match &result {
                Fetched::Held(_) => sum.blobs_held += 1,
                Fetched::Stored(stored) => {
                    sum.blobs += 1;
                    sum.blob_bytes += stored.size;
                }
                Fetched::Unwanted | Fetched::Missing(_) => {}
            }
            fetched.insert(id, result);
        }
        drop(arriving);
        let missing = fetched.values().any(|fetched| matches!(fetched, Fetched::Missing(_)));
        if missing && self.options.cancel.is_cancelled() {
            return Ok(None);
        }
        Ok(Some((settle(events, &fetched), counts)))
    }

    async fn fetch(&self, feed: &Feed, owner: &Key, blob: &BlobRef) -> Result<Fetched> {
        let mut writer = match self.sink.blob(owner, blob).await? {
            BlobSlot::Held(stored) => return Ok(Fetched::Held(stored)),
            BlobSlot::Unwanted => return Ok(Fetched::Unwanted),
            BlobSlot::Want(writer) => writer,
        };
        let (mut digest, mut size, mut furthest, mut fruitless) = (Sha256::new(), 0_u64, 0, 0);
        loop {
            let error = match self.copy(feed, owner, blob, &mut writer, &mut digest, &mut size).await {
                Ok(()) => match check(blob, &digest, size) {
                    Ok(stored) => {
                        writer.finish(stored).await?;
                        return Ok(Fetched::Stored(stored));
                    }
                    Err(error) => error,
                },
                Err(Failure::Source(error)) => error,
                Err(Failure::Sink(error)) => {
                    writer.abort().await?;
                    return Err(error);
                }
            };
            fruitless = if size > furthest { 1 } else { fruitless + 1 };
            furthest = furthest.max(size);
            if self.options.cancel.is_cancelled() || error.retry() == Retry::Never || fruitless > FRUITLESS_TRIES {
                writer.abort().await?;
                return Ok(Fetched::Missing(error));
            }
            let pause = match error.retry() {
                Retry::After(pause) => pause,
                _ => Duration::from_secs(1 << fruitless.min(5)).min(LONGEST_PAUSE),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.options.cancel.cancelled() => {}
            }
            if !self.source.blob_ranges && size > 0 {
                // The bytes cannot be taken up where they broke off: begin anew.
                writer.abort().await?;
                writer = match self.sink.blob(owner, blob).await? {
                    BlobSlot::Held(stored) => return Ok(Fetched::Held(stored)),
                    BlobSlot::Unwanted => return Ok(Fetched::Unwanted),
                    BlobSlot::Want(writer) => writer,
                };
                (digest, size) = (Sha256::new(), 0);
            }
        }
    }

    /// Copies from `size` on until the stream ends.
    async fn copy(
        &self,
        feed: &Feed,
        owner: &Key,
        blob: &BlobRef,
        writer: &mut Box<dyn BlobWriter>,
        digest: &mut Sha256,
        size: &mut u64,
    ) -> Result<(), Failure> {
        if *size > 0 && Some(*size) == blob.size {
            return Ok(());
        }
        let range = (*size > 0).then(|| *size..blob.size.unwrap_or(u64::MAX));
        let mut stream = self.snapshot.open(owner, blob, range).await.map_err(Failure::Source)?;
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = self.options.cancel.cancelled() => {
                    return Err(Failure::Source(Error::new(ErrorKind::Cancelled, "the run was cancelled")));
                }
            };
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(Failure::Source)?;
            digest.update(&chunk);
            *size += chunk.len() as u64;
            let bytes = chunk.len() as u64;
            writer.write(chunk).await.map_err(Failure::Sink)?;
            self.options.progress.event(&ProgressEvent::BlobBytes { feed: feed.id.clone(), bytes });
        }
        match blob.size {
            Some(stated) if *size < stated => {
                let cut = Error::new(ErrorKind::Unavailable, "the blob was cut").with_context("bytes", *size);
                Err(Failure::Source(cut.with_context("stated", stated)))
            }
            _ => Ok(()),
        }
    }
}

/// Compares what arrived with what the provider stated.
fn check(blob: &BlobRef, digest: &Sha256, size: u64) -> Result<StoredBlob> {
    let stored = StoredBlob { digest: Digest::from_bytes(digest.clone().finalize().into()), size };
    if let Some(stated) = blob.size.filter(|stated| *stated != size) {
        return Err(Error::new(ErrorKind::Integrity, "the blob does not have its stated size")
            .with_context("bytes", size)
            .with_context("stated", stated));
    }
    if blob.digest.is_some_and(|stated| stated != stored.digest) {
        return Err(Error::new(ErrorKind::Integrity, "the blob does not have its stated digest"));
    }
    Ok(stored)
}

fn settle(events: Vec<Event>, fetched: &BTreeMap<BlobId, Fetched>) -> Vec<Event> {
    let mut settled = Vec::with_capacity(events.len());
    for event in events {
        let Event::Put(mut record) = event else {
            settled.push(event);
            continue;
        };
        let mut gaps = Vec::new();
        for blob in record.blobs.iter_mut().filter(|blob| blob.status == BlobStatus::Available) {
            let Some(id) = &blob.id else { continue };
            match fetched.get(id) {
                Some(Fetched::Held(stored) | Fetched::Stored(stored)) => {
                    blob.digest = Some(stored.digest);
                    blob.size = Some(stored.size);
                }
                Some(Fetched::Missing(error)) => {
                    blob.status = BlobStatus::Missing;
                    let mut gap = Gap::blob(&record.key, id.clone(), error);
                    gap.partition.clone_from(&record.partition);
                    gaps.push(Event::Gap(gap));
                }
                Some(Fetched::Unwanted) | None => {}
            }
        }
        settled.push(Event::Put(record));
        settled.append(&mut gaps);
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blob_that_two_feeds_name_has_one_turn_at_a_time_and_leaves_nothing() {
        let turns = Turns::default();
        let (one, other) = (BlobId::from_static("one"), BlobId::from_static("other"));
        let first = turns.of(&one);
        let mine = first.lock().await;
        let second = turns.of(&one);
        assert!(second.try_lock().is_err());
        assert!(turns.of(&other).try_lock().is_ok());
        drop(mine);
        turns.done(&one, first);
        assert!(second.try_lock().is_ok());
        turns.done(&one, second);
        let left = turns.of(&other);
        turns.done(&other, left);
        assert!(turns.lock().is_empty());
    }
}
