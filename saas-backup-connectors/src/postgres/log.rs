//! The server's log: one position over all tables that it can tell of.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::Fuse;
use saas_backup_core::{
    CollectionName, Deletion, DeletionReason, Done, Emitter, Error, ErrorKind, Event, Feed, Gap, Key, Only, RecordId,
    Reset, ResetReason, Result,
};
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::{PgLsn, Type};

use super::catalog::{DEFINITIONS, LARGE_OBJECTS, SEQUENCES};
use super::client::Connection;
use super::error::refused;
use super::pgoutput::{Message, Relation, Tuple, Value};
use super::position::Position;
use super::slot::Fork;
use super::snapshot::{Shared, print_of};
use super::structure::{Structure, Table, short_digest};
use super::view::{glance, running};
use super::{definitions, objects, rows, sequences};

/// Events between two checkpoints, at least.
const CHECKPOINT_EVERY: usize = 4096;
/// How often the log is read on where large values changed while they were read, before the point is taken as it is.
const MAX_PASSES: u32 = 50;
/// Messages that the server writes into a temporary file at once.
const MESSAGES_AT_ONCE: usize = 500_000;
/// Rows that are read again at once.
const INCOMPLETE_AT_ONCE: usize = 500;
/// How long to wait until what was committed is in the log: sessions may commit without waiting for it.
const FLUSH_TRIES: u32 = 250;
const FLUSH_WAIT: Duration = Duration::from_millis(20);

/// Says where the log stands now, before anything is read.
pub(super) async fn begin(shared: Arc<Shared>, feed: Feed, out: Emitter) -> Result<()> {
    let database = &shared.database;
    let mut session = database.server.connect().await?;
    let shapes = Now::read(&mut session, &shared, &feed).await?.shapes;
    let lsn = database.slot.begin(&session).await?;
    shared.log_begins(running(&session).await?);
    out.emit(Event::Checkpoint(Position { lsn, shapes }.to_cursor()?)).await?;
    out.emit(Event::Done(Done::changes(feed.scope()))).await
}

/// Reads what was committed since `from`.
pub(super) async fn follow(shared: Arc<Shared>, feed: Feed, from: Position, only: Only, out: Emitter) -> Result<()> {
    shared.close_view().await;
    let database = &shared.database;
    let mut session = database.server.connect().await?;
    let Some(health) = database.slot.health(&session).await? else {
        return Err(expired("the replication slot is gone"));
    };
    if !health.usable {
        return Err(expired("the server gave up the log of the replication slot (max_slot_wal_keep_size)"));
    }
    if health.confirmed > from.lsn || from.lsn > health.now {
        return Err(expired("the replication slot is elsewhere than this copy: each copy needs a slot of its own"));
    }
    if health.confirmed < from.lsn {
        database.slot.advance(&session, from.lsn).await?;
    }
    let mut now = Now::read(&mut session, &shared, &feed).await?;
    let reset = now.changed(&shared, &feed, &from);
    let decoder = database.server.connect().await?;
    let fork = database.slot.fork(&decoder).await?;
    let mut reader = LogReader {
        decoder: Arc::new(Decoder {
            session: decoder,
            fork,
            publication: database.publication.name.clone(),
            from: from.lsn,
        }),
        shared: &shared,
        session: &session,
        tables: std::mem::take(&mut now.tables),
        known: BTreeMap::new(),
        reset,
        only,
        shapes: from.shapes,
        incomplete: BTreeMap::new(),
        completed: BTreeMap::new(),
        seen: BTreeSet::new(),
        since_checkpoint: 0,
        out,
    };
    reader.tell_reset(reader.reset.iter().cloned().collect(), ResetReason::SchemaBreak).await?;
    let (mut at, mut passes) = (from.lsn, 0);
    loop {
        let end = flushed(&session).await?.max(at);
        reader.pass(end).await?;
        (at, passes) = (end, passes + 1);
        if reader.is_exact().await? {
            break;
        }
        if passes == MAX_PASSES {
            tracing::warn!("large values change faster than they are read: some are newer than the point in time");
            break;
        }
    }
    reader.tell_unseen(&feed).await?;
    let mut shapes = now.shapes;
    if feed.covers.iter().any(|name| name.as_str() == SEQUENCES && reader.only.wants(name)) {
        let shape = reader.tell_sequences().await?;
        shapes.insert(SEQUENCES.to_owned(), shape);
    }
    reader.out.emit(Event::Checkpoint(Position { lsn: at, shapes }.to_cursor()?)).await?;
    reader.out.emit(Event::Done(Done::changes(feed.scope()))).await
}

/// What the tables are now, and the digests that tell when they are something else.
struct Now {
    tables: BTreeMap<u32, Arc<Table>>,
    shapes: BTreeMap<String, String>,
    /// The collections among these that the log does not tell of: their digests are of what they hold, too.
    untold: BTreeSet<String>,
}

impl Now {
    async fn read(session: &mut Connection, shared: &Shared, feed: &Feed) -> Result<Self> {
        let settings = &shared.database.settings;
        let view = glance(session).await?;
        let structure = Structure::read(&view, &settings.schemas, &settings.username).await?;
        let followed = shared.database.publication.followed(&view, &structure).await?;
        let mut now = Self { tables: BTreeMap::new(), shapes: BTreeMap::new(), untold: BTreeSet::new() };
        for table in structure.tables {
            let name = table.collection.as_str().to_owned();
            if !feed.covers.contains(&table.collection) || table.hidden.is_some() {
                continue;
            }
            if followed.contains(&table.oid) {
                now.shapes.insert(name, table.full_shape());
                now.tables.insert(table.oid, table);
            } else {
                now.shapes.insert(name.clone(), print_of(&view, &table).await?);
                now.untold.insert(name);
            }
        }
        let covers = |name: &str| feed.covers.iter().any(|covered| covered.as_str() == name);
        if covers(DEFINITIONS) {
            let shape = definitions::shape(&definitions::read(&view, &settings.schemas).await?)?;
            now.shapes.insert(DEFINITIONS.to_owned(), shape);
        }
        if covers(LARGE_OBJECTS) {
            let shape = objects::shape(&objects::read_all(&view).await?);
            now.shapes.insert(LARGE_OBJECTS.to_owned(), shape);
            now.untold.insert(LARGE_OBJECTS.to_owned());
        }
        view.commit().await.map_err(refused("a transaction cannot be ended"))?;
        Ok(now)
    }

    /// The collections that are something else than what was read of them. Of those that the log does not tell of, what
    /// this run read counts: they may change all the time.
    fn changed(&mut self, shared: &Shared, feed: &Feed, from: &Position) -> BTreeSet<CollectionName> {
        let read = shared.shapes_read();
        let mut changed = BTreeSet::new();
        for name in &feed.covers {
            let Some(now) = self.shapes.get_mut(name.as_str()) else { continue };
            match read.get(name.as_str()) {
                Some(read) if self.untold.contains(name.as_str()) => now.clone_from(read),
                Some(read) if read == now => {}
                None if from.shapes.get(name.as_str()) == Some(now) => {}
                _ => drop(changed.insert(name.clone())),
            }
        }
        changed
    }
}

/// A table of the log, and which of its columns is which of ours; `None` if the log tells of another form of it.
type Known = Option<(Arc<Table>, Vec<usize>)>;

struct LogReader<'a> {
    decoder: Arc<Decoder>,
    shared: &'a Shared,
    session: &'a Connection,
    tables: BTreeMap<u32, Arc<Table>>,
    known: BTreeMap<u32, Known>,
    /// Collections that must be read in full, of which nothing more is told.
    reset: BTreeSet<CollectionName>,
    only: Only,
    shapes: BTreeMap<String, String>,
    /// Rows of which the log left large values out, as far as it told them.
    incomplete: BTreeMap<u32, BTreeMap<RecordId, Tuple>>,
    /// Rows whose large values were read later than the log was, by table and id.
    completed: BTreeMap<(u32, RecordId), Completed>,
    /// Transactions that were told of, by the lower half of their number.
    seen: BTreeSet<u32>,
    since_checkpoint: usize,
    out: Emitter,
}

/// A row that was read again.
#[derive(Debug)]
struct Completed {
    /// The transaction that wrote it last; `None` if it is gone.
    writer: Option<u32>,
    /// Which of the log's columns were taken from it.
    taken: Vec<usize>,
}

impl LogReader<'_> {
    /// Tells what was committed up to a position.
    async fn pass(&mut self, to: PgLsn) -> Result<()> {
        let decoder = Arc::clone(&self.decoder);
        let mut messages = decoder.messages(to, true).await?;
        while let Some(message) = messages.next().await? {
            match message {
                Message::Begin { transaction, .. } => {
                    self.seen.insert(transaction);
                }
                Message::Relation(relation) => self.meet(relation).await?,
                Message::Commit { end } => self.committed(PgLsn::from(end)).await?,
                message => self.tell(message).await?,
            }
        }
        self.complete().await
    }

    /// Whether what was read again is what it was where the log was read to: nobody wrote the row since, or left the values
    /// alone that were taken from it.
    async fn is_exact(&mut self) -> Result<bool> {
        let seen = &self.seen;
        self.completed.retain(|_, row| !row.writer.is_some_and(|writer| seen.contains(&writer)));
        let completed = std::mem::take(&mut self.completed);
        if completed.is_empty() {
            return Ok(true);
        }
        let now = flushed(self.session).await?;
        let decoder = Arc::clone(&self.decoder);
        let mut messages = decoder.messages(now, false).await?;
        while let Some(message) = messages.next().await? {
            let (relation, row) = match &message {
                Message::Relation(relation) => {
                    self.meet(relation.clone()).await?;
                    continue;
                }
                Message::Insert { relation, new } => (*relation, new),
                Message::Update { relation, old, new } => (*relation, old.as_ref().unwrap_or(new)),
                Message::Delete { relation, old } => (*relation, old),
                Message::Truncate { .. } => return Ok(false),
                _ => continue,
            };
            let Some((table, places)) = self.table(relation) else { continue };
            let id = table.id(|place| text(row, &places, place))?;
            let Some(read) = completed.get(&(relation, id)) else { continue };
            let leaves_alone = |new: &Tuple| read.taken.iter().all(|at| new.get(*at) == Some(&Value::Unchanged));
            if !matches!(&message, Message::Update { new, .. } if leaves_alone(new)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Learns how a table looks from here on.
    async fn meet(&mut self, relation: Relation) -> Result<()> {
        let Some(table) = self.tables.get(&relation.oid) else { return Ok(()) };
        let same = table.log_shape()
            == Table::shape(relation.columns.iter().map(|(name, oid, modifier)| (name.as_str(), *oid, *modifier)));
        let table = Arc::clone(table);
        if same {
            let places = table.places(relation.columns.iter().map(|(name, _, _)| name.as_str()));
            self.known.insert(relation.oid, Some((table, places)));
            return Ok(());
        }
        self.known.insert(relation.oid, None);
        if self.reset.insert(table.collection.clone()) {
            self.tell_reset(vec![table.collection.clone()], ResetReason::SchemaBreak).await?;
        }
        Ok(())
    }

    async fn committed(&mut self, end: PgLsn) -> Result<()> {
        if self.since_checkpoint < CHECKPOINT_EVERY {
            return Ok(());
        }
        self.complete().await?;
        self.since_checkpoint = 0;
        let position = Position { lsn: end, shapes: self.shapes.clone() };
        self.out.emit(Event::Checkpoint(position.to_cursor()?)).await
    }

    async fn tell(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Insert { relation, new } => self.put(relation, None, new).await,
            Message::Update { relation, old, new } => self.put(relation, old.as_ref(), new).await,
            Message::Delete { relation, old } => {
                let Some((table, places)) = self.table(relation) else { return Ok(()) };
                let id = table.id(|place| text(&old, &places, place))?;
                self.delete(relation, &table, id).await
            }
            Message::Truncate { relations } => {
                let mut collections = Vec::new();
                for relation in relations {
                    if let Some(table) = self.tables.get(&relation).cloned()
                        && self.only.wants(&table.collection)
                        && self.reset.insert(table.collection.clone())
                    {
                        collections.push(table.collection.clone());
                    }
                }
                self.tell_reset(collections, ResetReason::TooManyChanges).await
            }
            _ => Ok(()),
        }
    }

    /// The table of a change that is to be told.
    fn table(&self, relation: u32) -> Option<(Arc<Table>, Vec<usize>)> {
        let (table, places) = self.known.get(&relation)?.as_ref()?;
        let wanted = self.only.wants(&table.collection) && !self.reset.contains(&table.collection);
        wanted.then(|| (Arc::clone(table), places.clone()))
    }

    async fn put(&mut self, relation: u32, old: Option<&Tuple>, mut new: Tuple) -> Result<()> {
        let Some((table, places)) = self.table(relation) else { return Ok(()) };
        fill(&mut new, old);
        let before = old.map(|old| table.id(|place| text(old, &places, place))).transpose()?;
        let id = table.id(|place| text(&new, &places, place))?;
        // What was told of the row before, and waits.
        let told = self.forget(relation, before.as_ref().unwrap_or(&id));
        fill(&mut new, told.as_ref());
        if let Some(before) = before.filter(|before| *before != id) {
            self.delete(relation, &table, before).await?;
        }
        if new.contains(&Value::Unchanged) {
            let rows = self.incomplete.entry(relation).or_default();
            rows.insert(id, new);
            return if rows.len() >= INCOMPLETE_AT_ONCE { self.complete().await } else { Ok(()) };
        }
        self.emit(event(&table, id, |place| text(&new, &places, place))).await
    }

    async fn delete(&mut self, relation: u32, table: &Table, id: RecordId) -> Result<()> {
        self.forget(relation, &id);
        let key = Key::new(table.collection.clone(), id);
        self.emit(Event::Delete(Deletion::new(key, DeletionReason::Deleted))).await
    }

    /// What comes next is newer than what was told of a row, or read of it.
    fn forget(&mut self, relation: u32, id: &RecordId) -> Option<Tuple> {
        self.completed.remove(&(relation, id.clone()));
        self.incomplete.get_mut(&relation)?.remove(id)
    }

    /// Takes what the log left out from the rows as they are now. One that is gone was deleted since, and the log tells
    /// of it later.
    async fn complete(&mut self) -> Result<()> {
        for (relation, told) in std::mem::take(&mut self.incomplete) {
            let Some((table, places)) = self.table(relation) else { continue };
            let conditions = told.values().filter_map(|row| table.key_condition(|place| text(row, &places, place)));
            let mut found = rows::now(self.session, &table, &conditions.collect::<Vec<_>>()).await?;
            for (id, tuple) in told {
                let is_left_out = |(at, value): (usize, &Value)| (*value == Value::Unchanged).then_some(at);
                let taken = tuple.iter().enumerate().filter_map(is_left_out).collect();
                let row = found.remove(&id);
                let writer = row.as_ref().map(|row| row.writer);
                if let Some(row) = row {
                    let value = |place: usize| match tuple.get(*places.get(place)?) {
                        Some(Value::Unchanged) => row.value(place),
                        _ => text(&tuple, &places, place),
                    };
                    self.emit(event(&table, id.clone(), value)).await?;
                }
                self.completed.insert((relation, id), Completed { writer, taken });
            }
        }
        Ok(())
    }

    async fn emit(&mut self, event: Event) -> Result<()> {
        self.since_checkpoint += 1;
        self.out.emit(event).await
    }

    async fn tell_reset(&self, collections: Vec<CollectionName>, reason: ResetReason) -> Result<()> {
        if collections.is_empty() {
            return Ok(());
        }
        self.out.emit(Event::Reset(Reset::new(collections, reason))).await
    }

    /// A transaction may have written its commit before the log's first position and have become visible only after
    /// the view was opened: then nothing told of it.
    async fn tell_unseen(&self, feed: &Feed) -> Result<()> {
        for transaction in self.shared.suspects() {
            let low = u32::try_from(transaction & u64::from(u32::MAX)).unwrap_or_default();
            if !self.seen.contains(&low) && has_committed(self.session, transaction).await? {
                let names = feed.covers.iter().filter(|name| !self.reset.contains(*name));
                return self.tell_reset(names.cloned().collect(), ResetReason::TooManyChanges).await;
            }
        }
        Ok(())
    }

    /// Tells where the sequences stand, if one moved; the log does not.
    async fn tell_sequences(&self) -> Result<String> {
        let records = sequences::read(&**self.session, &self.shared.database.settings.schemas).await?;
        let states: Vec<&str> = records.iter().map(|record| record.data.as_str()).collect();
        let shape = short_digest(&states.join("\n"));
        if self.shapes.get(SEQUENCES) != Some(&shape) {
            for record in records {
                self.out.emit(Event::Put(Box::new(record))).await?;
            }
        }
        Ok(shape)
    }
}

/// The messages of the transactions that were committed up to a position.
struct Messages<'a> {
    decoder: &'a Decoder,
    to: PgLsn,
    takes: bool,
    stream: Fuse<Pin<Box<BinaryCopyOutStream>>>,
    /// Messages of this question, of which each gives so many and the rest of a transaction.
    count: usize,
    /// The transaction at hand was committed before the position.
    skips: bool,
}

/// A session that reads the log.
struct Decoder {
    session: Connection,
    fork: Fork,
    publication: String,
    /// What was committed before is not told.
    from: PgLsn,
}

impl Decoder {
    /// What was committed up to a position, from where the last reading ended that took what it read.
    async fn messages(&self, to: PgLsn, takes: bool) -> Result<Messages<'_>> {
        let stream = self.ask(to, takes).await?;
        Ok(Messages { decoder: self, to, takes, stream, count: 0, skips: false })
    }

    async fn ask(&self, to: PgLsn, takes: bool) -> Result<Fuse<Pin<Box<BinaryCopyOutStream>>>> {
        // What is not taken comes again from its beginning: it is asked for at once.
        let most = if takes { MESSAGES_AT_ONCE } else { i32::MAX as usize };
        let copy =
            self.session.copy_out(&self.fork.changes(&self.publication, to, most, takes)).await.map_err(unreadable)?;
        Ok(Box::pin(BinaryCopyOutStream::new(copy, &[Type::BYTEA])).fuse())
    }
}

impl Messages<'_> {
    async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            let Some(row) = self.stream.next().await else {
                if !self.takes || self.count < MESSAGES_AT_ONCE {
                    return Ok(None);
                }
                self.count = 0;
                self.stream = self.decoder.ask(self.to, self.takes).await?;
                continue;
            };
            self.count += 1;
            let row = row.map_err(unreadable)?;
            let message: &[u8] = row.try_get(0).map_err(unreadable)?;
            let message = Message::read(Bytes::copy_from_slice(message))?;
            if let Message::Begin { commit, .. } = &message {
                self.skips = PgLsn::from(*commit) < self.decoder.from;
            }
            if !self.skips || matches!(message, Message::Relation(_)) {
                return Ok(Some(message));
            }
        }
    }
}

/// A publication that was made anew is none for what came before it.
fn unreadable(error: tokio_postgres::Error) -> Error {
    match refused("the server's log cannot be read")(error) {
        error if error.kind() == ErrorKind::NotFound => expired("the publication is gone, or was made anew"),
        error => error,
    }
}

/// Takes what a row leaves out from an earlier state of it.
fn fill(new: &mut Tuple, before: Option<&Tuple>) {
    for (value, before) in new.iter_mut().zip(before.into_iter().flatten()) {
        if *value == Value::Unchanged && matches!(before, Value::Text(_)) {
            value.clone_from(before);
        }
    }
}

fn event<'a>(table: &Table, id: RecordId, value: impl Fn(usize) -> Option<&'a [u8]>) -> Event {
    match table.record(id.clone(), value, &mut Vec::new()) {
        Ok(record) => Event::Put(Box::new(record)),
        Err(error) => Event::Gap(Gap::record(&Key::new(table.collection.clone(), id), &error)),
    }
}

/// The value of one of the table's columns in a row of the log.
fn text<'a>(tuple: &'a Tuple, places: &[usize], place: usize) -> Option<&'a [u8]> {
    match tuple.get(*places.get(place)?)? {
        Value::Text(text) => Some(text),
        Value::Null | Value::Unchanged => None,
    }
}

/// The end of the log, once all of it is on the server's disk: only that is told.
async fn flushed(session: &Connection) -> Result<PgLsn> {
    let failed = refused("the end of the server's log cannot be found");
    let row = session.query_one("SELECT pg_current_wal_insert_lsn()", &[]).await.map_err(&failed)?;
    let end: PgLsn = row.get(0);
    for _ in 0..FLUSH_TRIES {
        let row = session.query_one("SELECT pg_current_wal_flush_lsn()", &[]).await.map_err(&failed)?;
        if row.get::<_, PgLsn>(0) >= end {
            break;
        }
        tokio::time::sleep(FLUSH_WAIT).await;
    }
    Ok(end)
}

async fn has_committed(session: &Connection, transaction: u64) -> Result<bool> {
    let row = session
        .query_one("SELECT coalesce(pg_xact_status($1::text::xid8) = 'committed', true)", &[&transaction.to_string()])
        .await
        .map_err(refused("a transaction cannot be looked up"))?;
    Ok(row.get(0))
}

fn expired(reason: &'static str) -> Error {
    Error::new(ErrorKind::CursorExpired, reason)
}
