use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use saas_backup_core::{
    BlobRef, BlobSlot, BlobWriter, CollectionName, Cursor, Event, Feed, Key, Outcome, Problem, Receipt, Record, Result,
    RunReport, RunStart, Sink, State, StoredBlob, Writer,
};
use tokio::sync::Mutex;

use super::catalog::{DEFINITIONS, LARGE_OBJECTS, SEQUENCES};
use super::target::Target;

/// A session that writes a database: one transaction, so that all of it is there at the end, or nothing.
#[derive(Debug)]
pub(super) struct DatabaseSink {
    target: Arc<Mutex<Target>>,
    dry_run: bool,
}

impl DatabaseSink {
    pub(super) fn new(target: Target, dry_run: bool) -> Self {
        Self { target: Arc::new(Mutex::new(target)), dry_run }
    }
}

#[async_trait]
impl Sink for DatabaseSink {
    async fn state(&self) -> Result<State> {
        Ok(State::default())
    }

    async fn begin(&self, _start: &RunStart) -> Result<()> {
        Ok(())
    }

    /// Takes the bytes of large objects.
    async fn blob(&self, owner: &Key, _blob: &BlobRef) -> Result<BlobSlot> {
        if owner.collection.as_str() != LARGE_OBJECTS {
            return Ok(BlobSlot::Unwanted);
        }
        let Ok(oid) = owner.id.as_str().parse() else { return Ok(BlobSlot::Unwanted) };
        if self.target.lock().await.make_object(oid).await? {
            return Ok(BlobSlot::Want(Box::new(ObjectWriter { target: Arc::clone(&self.target), oid, at: 0 })));
        }
        Ok(BlobSlot::Unwanted)
    }

    async fn writer(&self, _feed: &Feed) -> Result<Box<dyn Writer>> {
        Ok(Box::new(TableWriter { target: Arc::clone(&self.target), begun: false }))
    }

    async fn commit(self: Box<Self>, _report: &RunReport) -> Result<Receipt> {
        self.target.lock().await.end(!self.dry_run).await?;
        let mut receipt = Receipt::default();
        receipt.written = !self.dry_run;
        Ok(receipt)
    }

    /// The session ends with the last that holds it, and the transaction with the session.
    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Writes the rows of one table, or what is not rows.
#[derive(Debug)]
struct TableWriter {
    target: Arc<Mutex<Target>>,
    begun: bool,
}

impl TableWriter {
    async fn fixed(target: &mut Target, record: &Record) -> Result<Outcome> {
        match record.key.collection.as_str() {
            DEFINITIONS => target.define(record).await,
            SEQUENCES => target.sequence(record),
            _ => target.object(record).await,
        }
    }
}

#[async_trait]
impl Writer for TableWriter {
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        let mut target = self.target.lock().await;
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(batch.len());
        let mut at = 0;
        while let Some(event) = batch.get(at) {
            let Event::Put(first) = event else {
                outcomes.push(match event {
                    Event::Delete(_) => {
                        Outcome::Skipped(Box::new(Problem::new("not-deleted", "a restore deletes nothing")))
                    }
                    _ => Outcome::Unchanged,
                });
                at += 1;
                continue;
            };
            let collection = &first.key.collection;
            if [DEFINITIONS, SEQUENCES, LARGE_OBJECTS].contains(&collection.as_str()) {
                outcomes.push(Self::fixed(&mut target, first).await?);
                at += 1;
                continue;
            }
            let records: Vec<&Record> =
                batch.get(at..).unwrap_or_default().iter().map_while(|event| row_of(event, collection)).collect();
            if !std::mem::replace(&mut self.begun, true) {
                target.begin(collection).await?;
            }
            at += records.len();
            outcomes.extend(target.rows(collection, &records).await?);
        }
        Ok(outcomes)
    }

    /// Nothing is durable before the end of the transaction.
    async fn flush(&mut self, _cursor: Option<&Cursor>) -> Result<()> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// The record of an event, if it belongs to this collection.
fn row_of<'a>(event: &'a Event, collection: &CollectionName) -> Option<&'a Record> {
    match event {
        Event::Put(record) if record.key.collection == *collection => Some(record),
        _ => None,
    }
}

/// Writes the bytes of one large object.
#[derive(Debug)]
struct ObjectWriter {
    target: Arc<Mutex<Target>>,
    oid: u32,
    at: i64,
}

#[async_trait]
impl BlobWriter for ObjectWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.target.lock().await.write_object(self.oid, self.at, &chunk).await?;
        self.at += i64::try_from(chunk.len()).unwrap_or_default();
        Ok(())
    }

    async fn finish(self: Box<Self>, _blob: StoredBlob) -> Result<()> {
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.target.lock().await.drop_object(self.oid).await
    }
}
