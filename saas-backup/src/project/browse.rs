use chrono::{DateTime, Utc};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{
    At, CollectionName, Completeness, Error, ErrorKind, Event, Feed, FieldMapping, Key, Kind, Only, ReadRequest,
    Record, RecordId, RecordState, Result, RunReport, Snapshot, SnapshotOptions,
};
use serde::Serialize;

use super::Point;
use super::Project;
use super::store::{self, Version};

/// The collections of a copy.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Listing {
    /// The source.
    pub source: String,
    /// The collections.
    pub collections: Vec<CollectionSummary>,
}

/// What a copy holds of one collection.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CollectionSummary {
    /// Its name.
    pub collection: CollectionName,
    /// Its name for a person.
    pub title: String,
    /// What its records are.
    pub kind: Kind,
    /// How many records are held, the trash included.
    pub records: Option<u64>,
    /// How many blobs are held.
    pub blobs: Option<u64>,
}

/// One record of a list.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RecordSummary {
    /// Its id.
    pub id: RecordId,
    /// Its title, if the collection has one.
    pub title: Option<String>,
    /// Whether it is live, in the trash or archived.
    pub state: RecordState,
    /// When it was last changed, by the provider's clock.
    pub modified: Option<DateTime<Utc>>,
    /// How many attachments it has.
    pub blobs: usize,
}

impl Project {
    /// The points in time of a source, the oldest first. Needs no identity.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the source is neither configured nor in the repository; if the repository
    /// cannot be opened.
    pub async fn points(&self, source: &str) -> Result<Vec<Point>> {
        let points = self.writer().await?.points(source).await?;
        if points.is_empty() {
            self.config().source(source)?;
        }
        Ok(points)
    }

    /// The report of the run that made a point in time. Needs no identity.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such point.
    pub async fn report(&self, source: &str, at: At) -> Result<RunReport> {
        self.writer().await?.report(source, &at).await
    }

    /// What exists, what is visible, what is held, what is missing and why, at a point in time.
    ///
    /// What is held is in the report of the run where the mirror remembers its records. Where it does not, it is counted
    /// now, if the configuration has the identity; nothing else here needs it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such point; if the identity is there and is the wrong one.
    pub async fn completeness(&self, source: &str, at: At) -> Result<Completeness> {
        let writer = self.writer().await?;
        // A point that is named by its distance or time may move between the two reads.
        let at = At::Sequence(writer.point(source, &at).await?.sequence);
        let mut completeness = writer.report(source, &at).await?.completeness;
        let is_unknown = completeness.collections.values().any(|one| one.held.is_none());
        if is_unknown && store::may_read(self.config()) {
            let counts = self.reader().await?.count(source, &at).await?;
            for (name, one) in &mut completeness.collections {
                one.held = one.held.or_else(|| Some(counts.get(name).copied().unwrap_or(0)));
            }
        }
        Ok(completeness)
    }

    /// The collections of a source at a point in time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such point; if the identity is missing or wrong.
    pub async fn list(&self, source: &str, at: At) -> Result<Listing> {
        let completeness = self.completeness(source, at.clone()).await?;
        let catalog = self.snapshot(source, at).await?.catalog().await?;
        let summary = |collection: &saas_backup_core::Collection| {
            let held = completeness.collections.get(&collection.name);
            CollectionSummary {
                collection: collection.name.clone(),
                title: collection.title.clone(),
                kind: collection.kind,
                records: held.and_then(|held| held.held),
                blobs: held.and_then(|held| held.blobs),
            }
        };
        Ok(Listing { source: source.to_owned(), collections: catalog.collections.iter().map(summary).collect() })
    }

    /// The records of a collection at a point in time. Dropping the stream loses nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such point or collection.
    pub async fn records(
        &self,
        source: &str,
        collection: &CollectionName,
        at: At,
    ) -> Result<BoxStream<'static, Result<RecordSummary>>> {
        let snapshot = self.snapshot(source, at).await?;
        let catalog = snapshot.catalog().await?;
        let Some(known) = catalog.get(collection) else {
            let names: Vec<&str> = catalog.names().map(CollectionName::as_str).collect();
            return Err(Error::new(ErrorKind::NotFound, "there is no such collection at this point")
                .with_context("collection", collection)
                .with_context("known", names.join(" ")));
        };
        let fields = known.fields.clone();
        let records = read(snapshot, Only::Collections(vec![collection.clone()]), vec![collection.clone()]);
        Ok(records.map_ok(move |record| summary(&record, &fields)).boxed())
    }

    /// One record as the provider gave it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such record or point.
    pub async fn show(&self, source: &str, key: &Key, at: At) -> Result<Record> {
        let snapshot = self.snapshot(source, at).await?;
        let found = read_records(snapshot, vec![key.clone()]).try_next().await?;
        found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such record at this point; `ls` lists what there is")
                .with_context("collection", &key.collection)
                .with_context("id", &key.id)
        })
    }

    /// Every version of a record, the oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there never was such a record.
    pub async fn history(&self, source: &str, key: &Key) -> Result<Vec<Version>> {
        let versions = self.reader().await?.history(source, key).await?;
        if versions.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "there never was such a record")
                .with_context("collection", &key.collection)
                .with_context("id", &key.id));
        }
        Ok(versions)
    }

    pub(super) async fn snapshot(&self, source: &str, at: At) -> Result<Box<dyn Snapshot>> {
        self.copies(source).await?.snapshot(SnapshotOptions::at(at)).await
    }
}

/// The records of some keys; those that do not exist are left out.
pub(super) fn read_records(snapshot: Box<dyn Snapshot>, keys: Vec<Key>) -> BoxStream<'static, Result<Record>> {
    let mut collections: Vec<CollectionName> = keys.iter().map(|key| key.collection.clone()).collect();
    collections.sort();
    collections.dedup();
    read(snapshot, Only::Records(keys), collections)
}

/// The records of a part of a snapshot, feed by feed.
fn read(
    snapshot: Box<dyn Snapshot>,
    only: Only,
    collections: Vec<CollectionName>,
) -> BoxStream<'static, Result<Record>> {
    let feeds = snapshot.feeds();
    let wanted = move |feed: &Feed| !feed.is_log() && feed.covers.iter().any(|name| collections.contains(name));
    let events = move |feed: Feed| snapshot.read(ReadRequest::new(feed).with_only(only.clone()));
    feeds
        .try_filter(move |feed| std::future::ready(wanted(feed)))
        .map_ok(events)
        .try_flatten()
        .try_filter_map(|event| async move {
            Ok(match event {
                Event::Put(record) => Some(*record),
                _ => None,
            })
        })
        .boxed()
}

fn summary(record: &Record, fields: &FieldMapping) -> RecordSummary {
    let title = fields.title.as_ref().and_then(|path| record.data.member::<serde_json::Value>(path).ok().flatten());
    RecordSummary {
        id: record.key.id.clone(),
        title: title.map(|title| match title {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        }),
        state: record.state,
        modified: record.modified,
        blobs: record.blobs.len(),
    }
}
