//! An empty target, and sessions that write into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::LocalBoxFuture;

use crate::testkit::{Contents, sample_collection};
use crate::{
    At, BlobRef, BlobSlot, Capabilities, Catalog, CollectionName, Connector, Coverage, Cursor, Digest, Epoch,
    ErrorKind, Event, Feed, FeedId, Json, Key, Outcome, PartitionId, Receipt, Record, RecordId, Result, RunId,
    RunReport, RunStart, Sink, SinkOptions, SnapshotOptions, State, StoredBlob, WriteMode, Writer,
};

use super::super::connector::{MODES, claims};
use super::super::report::{Finding, Problem, ensure};

/// Makes an empty target, as often as it is asked.
pub(super) type Maker<'a> = &'a dyn Fn() -> LocalBoxFuture<'a, Result<Arc<dyn Connector>>>;

pub(super) struct Target {
    pub(super) connector: Arc<dyn Connector>,
    pub(super) capabilities: Capabilities,
    /// The mode in which most checks write.
    pub(super) mode: WriteMode,
    sessions: AtomicU32,
}

impl Target {
    pub(super) async fn fresh(maker: Maker<'_>) -> Finding<Self> {
        let connector = maker().await?;
        let capabilities = connector.capabilities();
        // A second session needs a mode that takes a target with something in it.
        let preferred = (capabilities.whole && capabilities.overwrite).then_some(WriteMode::Overwrite);
        let Some(mode) = preferred.or_else(|| MODES.iter().copied().find(|mode| claims(capabilities, *mode))) else {
            return Err(Problem::Skip("it does not write"));
        };
        Ok(Self { connector, capabilities, mode, sessions: AtomicU32::new(0) })
    }

    /// Whether what was written can be compared with what reads back.
    pub(super) fn reads_back(&self) -> bool {
        self.capabilities.read && self.capabilities.lossless && !self.capabilities.assigns_ids
    }

    pub(super) async fn open(&self) -> Result<Session> {
        self.open_with(SinkOptions::new(self.mode)).await
    }

    /// Opens a session an hour after the last one, and begins the run that is unfinished, if there is one.
    pub(super) async fn open_with(&self, options: SinkOptions) -> Result<Session> {
        let hours = self.sessions.fetch_add(1, Ordering::Relaxed);
        let started = DateTime::from_timestamp(1_700_000_000 + 3600 * i64::from(hours), 0).unwrap_or_default();
        let mut options = options;
        options.remember = true;
        let sink = self.connector.sink(options).await?;
        let state = sink.state().await?;
        let run = state.unfinished.unwrap_or_else(|| RunId::new(started));
        let catalog = catalog();
        sink.begin(&RunStart::new(run, started, catalog, Coverage::default())).await?;
        Ok(Session { sink, state, run, started })
    }

    /// Writes and commits a run of its own.
    pub(super) async fn run(&self, feed: &Feed, events: Vec<Event>, cursor: Option<&Cursor>) -> Result<Receipt> {
        let session = self.open().await?;
        session.write(feed, events, cursor).await?;
        session.commit().await
    }

    /// What the sink knows, asked in a session that changes nothing.
    pub(super) async fn state(&self) -> Result<State> {
        let sink = self.connector.sink(SinkOptions::new(self.mode)).await?;
        let state = sink.state().await?;
        sink.abort().await?;
        Ok(state)
    }

    /// What readers see now; nothing if there is no point yet.
    pub(super) async fn contents(&self) -> Result<Contents> {
        self.contents_at(At::Now).await
    }

    pub(super) async fn contents_at(&self, at: At) -> Result<Contents> {
        match self.connector.snapshot(SnapshotOptions::at(at)).await {
            Ok(snapshot) => Contents::of(&*snapshot).await,
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Contents::default()),
            Err(error) => Err(error),
        }
    }

    /// Fails unless readers see exactly these records, by id and text; where what was written reads back.
    pub(super) async fn shows(&self, wanted: &[(&str, &str)]) -> Finding {
        if !self.reads_back() {
            return Ok(());
        }
        let records = self.contents().await?.records;
        let mut found: Vec<(String, String)> = Vec::new();
        for record in records.values() {
            let text: Option<String> = record.data.member("text")?;
            found.push((record.key.id.as_str().to_owned(), text.unwrap_or_default()));
        }
        let same = found.iter().map(|(id, text)| (id.as_str(), text.as_str())).eq(wanted.iter().copied());
        ensure!(same, "readers see {found:?}, not {wanted:?}");
        Ok(())
    }
}

/// One write session.
pub(super) struct Session {
    pub(super) sink: Box<dyn Sink>,
    /// What the sink knew when the session opened.
    pub(super) state: State,
    pub(super) run: RunId,
    pub(super) started: DateTime<Utc>,
}

impl Session {
    /// Writes events, and makes them durable with a cursor.
    pub(super) async fn write(&self, feed: &Feed, events: Vec<Event>, cursor: Option<&Cursor>) -> Result<Vec<Outcome>> {
        let mut writer = self.sink.writer(feed).await?;
        let outcomes = writer.write(events).await?;
        writer.flush(cursor).await?;
        writer.close().await?;
        Ok(outcomes)
    }

    /// A writer in a full read.
    pub(super) async fn extent(&self, feed: &Feed, epoch: Epoch) -> Result<Box<dyn Writer>> {
        let mut writer = self.sink.writer(feed).await?;
        writer.open_extent(epoch).await?;
        Ok(writer)
    }

    /// Gives the sink a blob; `None` if it has no use for it.
    pub(super) async fn blob(&self, owner: &Key, blob: &BlobRef, bytes: &Bytes) -> Result<Option<StoredBlob>> {
        let stored = StoredBlob { digest: Digest::of(bytes), size: bytes.len() as u64 };
        match self.sink.blob(owner, blob).await? {
            BlobSlot::Held(held) => Ok(Some(held)),
            BlobSlot::Unwanted => Ok(None),
            BlobSlot::Want(mut writer) => {
                let half = bytes.len() / 2;
                writer.write(bytes.slice(..half)).await?;
                writer.write(bytes.slice(half..)).await?;
                writer.finish(stored).await?;
                Ok(Some(stored))
            }
        }
    }

    pub(super) fn report(&self) -> RunReport {
        let mut report = RunReport::new(self.run, self.started);
        report.finished = self.started + chrono::TimeDelta::minutes(1);
        report
    }

    pub(super) async fn commit(self) -> Result<Receipt> {
        let report = self.report();
        self.sink.commit(&report).await
    }

    pub(super) async fn abort(self) -> Result<()> {
        self.sink.abort().await
    }
}

pub(super) fn things() -> CollectionName {
    CollectionName::from_static("things")
}

pub(super) fn others() -> CollectionName {
    CollectionName::from_static("other things")
}

pub(super) fn catalog() -> Catalog {
    Catalog::new(vec![sample_collection(things()), sample_collection(others())])
}

pub(super) fn feed() -> Feed {
    Feed::slice(things())
}

pub(super) fn part(partition: &'static str) -> (Feed, PartitionId) {
    let id = PartitionId::from_static(partition);
    (Feed::partition(FeedId::from_static(partition), things(), id.clone()), id)
}

pub(super) fn key(id: &'static str) -> Key {
    Key::new(things(), RecordId::from_static(id))
}

pub(super) fn record(id: &'static str, text: &str) -> Result<Record> {
    let data = Json::from_value(&std::collections::BTreeMap::from([("text", text)]))?;
    Ok(Record::new(key(id), data).with_version(text))
}

pub(super) fn put(id: &'static str, text: &str) -> Result<Event> {
    Ok(Event::Put(Box::new(record(id, text)?)))
}

pub(super) fn cursor(position: u32) -> Result<Cursor> {
    Cursor::encode(1, &("conformance", position))
}
