//! A session driven by hand, and folders compared byte by byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{
    BlobRef, BlobSlot, Catalog, CollectionCoverage, CollectionName, Connector, Coverage, Digest, Event, Feed, Key,
    Outcome, Receipt, Record, Result, RunId, RunReport, RunStart, Sink, SinkOptions, StoredBlob, Visibility, WriteMode,
};

pub(crate) fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

pub(crate) fn name(text: &str) -> CollectionName {
    CollectionName::parse(text).unwrap()
}

pub(crate) fn start(catalog: Catalog, seconds: i64) -> RunStart {
    let mut coverage = Coverage::default();
    for collection in catalog.names() {
        coverage = coverage.with(collection.clone(), CollectionCoverage::new(Visibility::All));
    }
    RunStart::new(RunId::new(time(seconds)), time(seconds), catalog, coverage)
}

/// Hands a blob over as the engine does.
pub(crate) async fn give_blob(sink: &dyn Sink, owner: &Key, blob: &BlobRef, bytes: &Bytes) -> Result<bool> {
    let BlobSlot::Want(mut writer) = sink.blob(owner, blob).await? else { return Ok(false) };
    for chunk in bytes.chunks(1000) {
        writer.write(Bytes::copy_from_slice(chunk)).await?;
    }
    writer.finish(StoredBlob { digest: Digest::of(bytes), size: bytes.len() as u64 }).await?;
    Ok(true)
}

/// One whole session: blobs first, then the events in one feed.
pub(crate) async fn write(
    connector: &dyn Connector,
    mode: WriteMode,
    start: &RunStart,
    events: Vec<Event>,
    blobs: &[(BlobRef, Bytes)],
) -> Result<Receipt> {
    let sink = connector.sink(SinkOptions::new(mode)).await?;
    sink.begin(start).await?;
    let owner = Key::parse("any", "any")?;
    for (blob, bytes) in blobs {
        give_blob(&*sink, &owner, blob, bytes).await?;
    }
    let mut writer = sink.writer(&Feed::slice(name("any"))).await?;
    for batch in events.chunks(7) {
        let outcomes = writer.write(batch.to_vec()).await?;
        assert_eq!(outcomes.len(), batch.len());
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored | Outcome::Unchanged)), "{outcomes:?}");
    }
    writer.flush(None).await?;
    writer.close().await?;
    let mut report = RunReport::new(start.run, start.started);
    report.coverage = start.coverage.clone();
    sink.commit(&report).await
}

pub(crate) fn puts(records: &[Record]) -> Vec<Event> {
    records.iter().map(|record| Event::Put(Box::new(record.clone()))).collect()
}

/// All files of a folder but the report of the run.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                if relative != "report.json" {
                    found.insert(relative, fs::read(&path).unwrap());
                }
            }
        }
    }
    found
}
