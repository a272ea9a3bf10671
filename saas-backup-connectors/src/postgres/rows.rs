//! Rows of tables, as records.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::Fuse;
use saas_backup_core::{Deletion, DeletionReason, Error, ErrorKind, Event, Gap, Key, RecordId, Result};
use tokio_postgres::CopyOutStream;

use super::client::Connection;
use super::error::refused;
use super::id;
use super::structure::{Identity, Table};
use super::value::{fields, utf8};

/// Rows that are handed on together.
const BATCH: usize = 256;
/// Rows that one question names.
const ROWS_AT_ONCE: usize = 100;

/// Reads all rows of a table.
pub(super) struct Rows {
    table: Arc<Table>,
    /// Asked again after its end, a copy fails.
    stream: Fuse<Pin<Box<CopyOutStream>>>,
    _session: Connection,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    unescaped: Vec<u8>,
    spans: Vec<Option<(usize, usize)>>,
    json: Vec<u8>,
}

impl Rows {
    pub(super) async fn open(session: Connection, table: Arc<Table>) -> Result<Self> {
        let statement = format!("COPY (SELECT {} FROM {}) TO STDOUT", table.select(), table.from());
        let stream = session.copy_out(&statement).await.map_err(refused("a table cannot be read"))?;
        Ok(Self { table, stream: Box::pin(stream).fuse(), _session: session, scratch: Scratch::default() })
    }

    /// The next rows; `None` at the end.
    pub(super) async fn batch(&mut self) -> Result<Option<Vec<Event>>> {
        let mut events = Vec::with_capacity(BATCH);
        while events.len() < BATCH {
            let Some(line) = self.stream.next().await else { break };
            let line = line.map_err(refused("a table cannot be read to its end"))?;
            events.push(event(&self.table, &line, &mut self.scratch)?);
        }
        Ok((!events.is_empty()).then_some(events))
    }
}

/// The record of one line of a copy; a gap where it cannot be one.
fn event(table: &Table, line: &Bytes, scratch: &mut Scratch) -> Result<Event> {
    let text = fields(line, &mut scratch.unescaped, &mut scratch.spans);
    let spans = &scratch.spans;
    let field = |place: usize| {
        let (from, to) = (*spans.get(place)?)?;
        text.get(from..to)
    };
    let (id, first) = match &table.identity {
        Identity::Key(_) => (table.id(field)?, 0),
        Identity::Place => (id::encode([utf8(field(0).unwrap_or_default())?])?, 1),
    };
    let made = table.record(id.clone(), |place| field(place + first), &mut scratch.json);
    Ok(match made {
        Ok(record) => Event::Put(Box::new(record)),
        Err(error) => Event::Gap(Gap::record(&Key::new(table.collection.clone(), id), &error)),
    })
}

/// Reads some rows again as they are now; one that does not exist is a deletion.
pub(super) async fn again(session: &Connection, table: &Table, ids: &[RecordId]) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut scratch = Scratch::default();
    for ids in ids.chunks(ROWS_AT_ONCE) {
        let mut missing: BTreeSet<&RecordId> = ids.iter().collect();
        let (mut conditions, mut unknown) = (Vec::new(), Vec::new());
        for id in ids {
            match table.condition(id.as_str()) {
                Some(condition) => conditions.push(condition),
                None => unknown.push(id),
            }
        }
        if !conditions.is_empty() {
            let statement = format!(
                "COPY (SELECT {} FROM {} WHERE {}) TO STDOUT",
                table.select(),
                table.from(),
                conditions.join(" OR ")
            );
            let stream = session.copy_out(&statement).await.map_err(refused("rows cannot be read again"))?;
            let mut stream = Box::pin(stream);
            while let Some(line) = stream.next().await {
                let line = line.map_err(refused("rows cannot be read again"))?;
                let event = event(table, &line, &mut scratch)?;
                if let Some(key) = event.key() {
                    missing.remove(&key.id);
                }
                events.push(event);
            }
        }
        for id in unknown {
            missing.remove(id);
            let error = Error::new(ErrorKind::Unsupported, "the row's key is too long to ask for it alone");
            events.push(Event::Gap(Gap::record(&Key::new(table.collection.clone(), id.clone()), &error)));
        }
        events.extend(missing.into_iter().map(|id| {
            let key = Key::new(table.collection.clone(), id.clone());
            Event::Delete(Deletion::new(key, DeletionReason::Deleted))
        }));
    }
    Ok(events)
}

/// A row as it is now.
#[derive(Debug)]
pub(super) struct Row {
    /// The transaction that wrote it.
    pub(super) writer: u32,
    text: Vec<u8>,
    spans: Vec<Option<(usize, usize)>>,
}

impl Row {
    /// The value of one of the table's columns.
    pub(super) fn value(&self, place: usize) -> Option<&[u8]> {
        let (from, to) = (*self.spans.get(place + 1)?)?;
        self.text.get(from..to)
    }
}

/// Reads some rows of a table with a key, those that exist.
pub(super) async fn now(session: &Connection, table: &Table, conditions: &[String]) -> Result<BTreeMap<RecordId, Row>> {
    let mut found = BTreeMap::new();
    for conditions in conditions.chunks(ROWS_AT_ONCE) {
        let (columns, condition) = (table.select(), conditions.join(" OR "));
        let statement = format!("COPY (SELECT xmin, {columns} FROM {} WHERE {condition}) TO STDOUT", table.from());
        let failed = refused("rows cannot be read again");
        let mut stream = Box::pin(session.copy_out(&statement).await.map_err(&failed)?);
        while let Some(line) = stream.next().await {
            let line = line.map_err(&failed)?;
            let (mut scratch, mut spans) = (Vec::new(), Vec::new());
            let text = fields(&line, &mut scratch, &mut spans).to_vec();
            let mut row = Row { writer: 0, text, spans };
            let writer = row.spans.first().copied().flatten().and_then(|(from, to)| row.text.get(from..to));
            row.writer = writer.and_then(|text| utf8(text).ok()?.parse().ok()).unwrap_or_default();
            found.insert(table.id(|place| row.value(place))?, row);
        }
    }
    Ok(found)
}
