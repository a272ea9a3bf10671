//! Checks of blobs, and of the bounds that readers of blobs and pages share.

use std::ops::Range;

use futures::{StreamExt as _, TryStreamExt as _};

use crate::testkit::compare::read_blob;
use crate::{
    BlobId, BlobRef, BlobStatus, Budget, Digest, ErrorKind, Event, Key, ReadRequest, RecordId, Result, Snapshot,
    SnapshotOptions,
};

use super::connector::refused;
use super::report::{Finding, Report, applies, ensure};
use super::snapshot::Source;
use super::trace::Trace;

/// Blobs that are opened.
const BLOBS: usize = 12;
/// Feeds that are read at once.
const AT_ONCE: usize = 8;

pub(super) async fn checks(source: &Source<'_>, report: &mut Report) {
    report.check("blobs-open-whole", "a copy whose bytes are others is no copy", whole(source)).await;
    report
        .check("blob-ranges-stitch", "a broken transfer of a large blob goes on where it stopped", ranges(source))
        .await;
    report
        .check("an-unknown-blob-is-not-found", "bytes that are gone become a gap, and no empty file", unknown(source))
        .await;
    report
        .check("feeds-read-at-once-within-any-budget", "bounds must slow a run down and never stop it", at_once(source))
        .await;
    report
        .check(
            "blobs-open-while-a-page-is-held",
            "a record's blobs are fetched before the next event is taken",
            under_a_page(source),
        )
        .await;
}

/// The blobs that the source offers, each with its record.
fn offered(source: &Source<'_>) -> Vec<(Key, BlobRef)> {
    let mut offered = Vec::new();
    for (_, trace) in source.traces() {
        for record in trace.contents().records.into_values() {
            let blobs = record.blobs.iter().filter(|blob| blob.id.is_some() && blob.status == BlobStatus::Available);
            offered.extend(blobs.map(|blob| (record.key.clone(), blob.clone())));
        }
    }
    // The largest first: only they have ranges worth the name.
    offered.sort_by_key(|(_, blob)| std::cmp::Reverse(blob.size));
    offered.truncate(BLOBS);
    offered
}

async fn whole(source: &Source<'_>) -> Finding {
    if !source.capabilities.blobs {
        let (key, blob) = nobody()?;
        return refused(source.snapshot.open(&key, &blob, None).await, "a blob");
    }
    let offered = offered(source);
    applies!(!offered.is_empty(), "no record has a blob");
    for (key, blob) in offered {
        let bytes = read_blob(&*source.snapshot, &key, &blob).await?;
        let size = bytes.len() as u64;
        ensure!(blob.size.is_none_or(|stated| stated == size), "a blob of {key} has {size} bytes, not as stated");
        let digest = Digest::of(&bytes);
        ensure!(blob.digest.is_none_or(|stated| stated == digest), "a blob of {key} has another digest than stated");
        let again = read_blob(&*source.snapshot, &key, &blob).await?;
        ensure!(again == bytes, "a blob of {key} gives other bytes the second time");
    }
    Ok(())
}

async fn ranges(source: &Source<'_>) -> Finding {
    applies!(source.capabilities.blobs, "it has no blobs");
    let mut any = false;
    for (key, blob) in offered(source) {
        let bytes = read_blob(&*source.snapshot, &key, &blob).await?;
        let size = bytes.len() as u64;
        if size < 2 {
            continue;
        }
        any = true;
        if !source.capabilities.blob_ranges {
            return refused(source.snapshot.open(&key, &blob, Some(1..size)).await, "a range");
        }
        let half = size / 2;
        let mut stitched = range(&*source.snapshot, &key, &blob, 0..half).await?;
        let found = stitched.len();
        ensure!(found as u64 == half, "the first {half} bytes of a blob of {key} are {found} bytes");
        stitched.extend(range(&*source.snapshot, &key, &blob, half..size).await?);
        ensure!(stitched == bytes, "the halves of a blob of {key} do not make the whole");
    }
    applies!(any, "no blob has two bytes");
    Ok(())
}

async fn range(snapshot: &dyn Snapshot, key: &Key, blob: &BlobRef, range: Range<u64>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunks = snapshot.open(key, blob, Some(range)).await?;
    while let Some(chunk) = chunks.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn unknown(source: &Source<'_>) -> Finding {
    applies!(source.capabilities.blobs, "it has no blobs");
    // Some providers find a blob by its record: an unknown blob of a known record is unknown to all of them.
    let key = match source.traces().find_map(|(_, trace)| trace.live_keys().into_iter().next()) {
        Some(key) => key,
        None => nobody()?.0,
    };
    let (_, blob) = nobody()?;
    let read = read_blob(&*source.snapshot, &key, &blob).await;
    let kind = read.err().map(|error| error.kind());
    ensure!(kind == Some(ErrorKind::NotFound), "it gave {kind:?}, not not-found");
    Ok(())
}

fn nobody() -> Result<(Key, BlobRef)> {
    let key = Key::new(crate::CollectionName::parse("no such collection")?, RecordId::parse("no-such-record")?);
    Ok((key, BlobRef::new(BlobId::parse("no-such-blob")?, "attachment")))
}

async fn smallest(source: &Source<'_>) -> Result<Box<dyn Snapshot>> {
    source.connector.snapshot(SnapshotOptions::default().with_budget(Budget::new(1, 1))).await
}

async fn at_once(source: &Source<'_>) -> Finding {
    let snapshot = smallest(source).await?;
    let feeds = source.feeds.iter().take(AT_ONCE);
    let reads = feeds.map(|feed| Trace::of(snapshot.read(ReadRequest::new(feed.clone()))));
    for (feed, trace) in source.feeds.iter().zip(futures::future::join_all(reads).await) {
        let alone = source.reads.get(&feed.id).map(Trace::live_keys).unwrap_or_default();
        ensure!(trace.error.is_none(), "{} fails when others are read, too", feed.id);
        ensure!(trace.live_keys() == alone, "{} gives something else when others are read, too", feed.id);
    }
    Ok(())
}

async fn under_a_page(source: &Source<'_>) -> Finding {
    applies!(source.capabilities.blobs, "it has no blobs");
    let snapshot = smallest(source).await?;
    let mut any = false;
    for feed in source.feeds.iter().take(AT_ONCE) {
        let mut events = snapshot.read(ReadRequest::new(feed.clone()));
        while let Some(event) = events.next().await {
            let Event::Put(record) = event? else { continue };
            for blob in record.blobs.iter().filter(|blob| blob.id.is_some() && blob.status == BlobStatus::Available) {
                any = true;
                read_blob(&*snapshot, &record.key, blob).await?;
            }
        }
    }
    applies!(any, "no record has a blob");
    Ok(())
}
