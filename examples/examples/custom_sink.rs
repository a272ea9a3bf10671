//! Your own database as the target: records into a SQLite table, deletions too.
//!
//! ```text
//! cargo run --features sqlite --example custom_sink -p examples            # a database in memory
//! cargo run --features sqlite --example custom_sink -p examples -- notes.db
//! ```
//!
//! The sink mirrors: it keeps the cursor of each feed in the same transaction as the records before it, so that a
//! crash loses nothing and the next run reads only what changed. It leaves out history, gaps and extents, which a
//! backup needs and a search index does not; `saas-backup-repository` has them.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    Account, BlobRef, BlobSlot, Capabilities, Connector, Cursor, Error, ErrorKind, Event, Feed, FeedState, Json, Key,
    Outcome, Receipt, Record, Result, RunReport, RunStart, Sink, SinkOptions, Snapshot, SnapshotOptions, State,
    TransferOptions, WriteMode, Writer, async_trait, transfer,
};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS record (collection TEXT, id TEXT, data TEXT, PRIMARY KEY (collection, id));
    CREATE TABLE IF NOT EXISTS cursor (feed TEXT PRIMARY KEY, definition TEXT, cursor TEXT);
";

#[derive(Clone, Debug)]
struct Database(Arc<Mutex<Connection>>);

impl Database {
    fn open(path: Option<&str>) -> Result<Self> {
        let connection = path.map_or_else(Connection::open_in_memory, Connection::open).map_err(database_error)?;
        connection.execute_batch(TABLES).map_err(database_error)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> Result<i64> {
        self.lock().query_row("SELECT count(*) FROM record", [], |row| row.get(0)).map_err(database_error)
    }
}

fn database_error(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Unexpected, "the database did not do it").with_source(error)
}

#[async_trait]
impl Connector for Database {
    fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.mirror = true;
        can
    }

    async fn check(&self) -> Result<Account> {
        Ok(Account::new("sqlite", "SQLite"))
    }

    async fn snapshot(&self, _: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Err(Error::new(ErrorKind::Unsupported, "the database is only written"))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        match options.mode {
            WriteMode::Mirror if !options.dry_run => Ok(Box::new(self.clone())),
            _ => Err(Error::new(ErrorKind::Unsupported, "the database is only mirrored to")),
        }
    }
}

#[async_trait]
impl Sink for Database {
    async fn state(&self) -> Result<State> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT definition, cursor FROM cursor").map_err(database_error)?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(database_error)?;
        let mut state = State::default();
        for row in rows {
            let (definition, cursor): (String, Option<String>) = row.map_err(database_error)?;
            let mut feed = FeedState::new(Json::parse(definition)?.decode::<Feed>()?);
            feed.cursor = cursor.map(|cursor| Cursor::from_json(Json::parse(cursor)?)).transpose()?;
            state.feeds.insert(feed.feed.id.clone(), feed);
        }
        Ok(state)
    }

    async fn begin(&self, _: &RunStart) -> Result<()> {
        Ok(())
    }

    async fn blob(&self, _: &Key, _: &BlobRef) -> Result<BlobSlot> {
        Ok(BlobSlot::Unwanted)
    }

    async fn writer(&self, feed: &Feed) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Table { database: self.clone(), feed: feed.clone(), pending: Vec::new() }))
    }

    async fn commit(self: Box<Self>, _: &RunReport) -> Result<Receipt> {
        Ok(Receipt::default())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Table {
    database: Database,
    feed: Feed,
    pending: Vec<Event>,
}

#[async_trait]
impl Writer for Table {
    async fn write(&mut self, batch: Vec<Event>) -> Result<Vec<Outcome>> {
        let outcomes = vec![Outcome::Stored; batch.len()];
        self.pending.extend(batch);
        Ok(outcomes)
    }

    /// Records and cursor in one transaction: the cursor is never ahead of the data.
    async fn flush(&mut self, cursor: Option<&Cursor>) -> Result<()> {
        let events = std::mem::take(&mut self.pending);
        let mut connection = self.database.lock();
        let transaction = connection.transaction().map_err(database_error)?;
        for event in events {
            match event {
                Event::Put(record) => transaction.execute(
                    "INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3)",
                    params![record.key.collection.as_str(), record.key.id.as_str(), record.data.as_str()],
                ),
                Event::Delete(deletion) => transaction.execute(
                    "DELETE FROM record WHERE collection = ?1 AND id = ?2",
                    params![deletion.key.collection.as_str(), deletion.key.id.as_str()],
                ),
                _ => Ok(0),
            }
            .map_err(database_error)?;
        }
        let definition = Json::from_value(&self.feed)?;
        let known: Option<String> = transaction
            .query_row("SELECT cursor FROM cursor WHERE feed = ?1", [self.feed.id.as_str()], |row| row.get(0))
            .optional()
            .map_err(database_error)?
            .flatten();
        let cursor = cursor.map(|cursor| cursor.as_json().as_str().to_owned()).or(known);
        transaction
            .execute(
                "INSERT OR REPLACE INTO cursor VALUES (?1, ?2, ?3)",
                params![self.feed.id.as_str(), definition.as_str(), cursor],
            )
            .map_err(database_error)?;
        transaction.commit().map_err(database_error)
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn note(id: u32, text: &str) -> Result<Record> {
    Ok(Record::new(Key::parse("notes", id.to_string())?, Json::from_value(&serde_json::json!({ "text": text }))?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let path = std::env::args().nth(1);
    if matches!(path.as_deref(), Some("-h" | "--help")) {
        println!(
            "custom_sink [DATABASE]\n\nMirrors a few notes into a SQLite table, twice; in memory without an argument."
        );
        return Ok(());
    }
    let (notes, database) = (MemoryStore::new(), Database::open(path.as_deref())?);
    for id in 0..100 {
        notes.put(note(id, "first")?);
    }
    let source = MemoryConnector::new(notes.clone());
    let first = transfer(&source, &database, TransferOptions::backup()).await?.report.totals();
    println!("first run:  {} written, {} in the table", first.written, database.count()?);

    notes.put(note(7, "second")?);
    notes.delete(Key::parse("notes", "8")?);
    let second = transfer(&source, &database, TransferOptions::backup()).await?.report.totals();
    println!("second run: {} written, {} deleted, {} in the table", second.written, second.deleted, database.count()?);
    let state = Sink::state(&database).await?;
    for feed in state.feeds.values() {
        let cursor = feed.cursor.as_ref().map_or("none", |cursor| cursor.as_json().as_str());
        println!("the cursor of {} in the same database: {cursor}", feed.feed.id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_cursor_is_never_ahead_of_the_records() {
        let (database, feed) =
            (Database::open(None).unwrap(), Feed::slice(saas_backup_core::CollectionName::from_static("notes")));
        let mut writer = Sink::writer(&database, &feed).await.unwrap();
        writer.write(vec![Event::Put(Box::new(note(1, "x").unwrap()))]).await.unwrap();
        drop(writer);
        assert_eq!((database.count().unwrap(), Sink::state(&database).await.unwrap().feeds.len()), (0, 0));

        let mut writer = Sink::writer(&database, &feed).await.unwrap();
        writer.write(vec![Event::Put(Box::new(note(1, "x").unwrap()))]).await.unwrap();
        let cursor = Cursor::encode(1, &7).unwrap();
        writer.flush(Some(&cursor)).await.unwrap();
        let state = Sink::state(&database).await.unwrap();
        assert_eq!((database.count().unwrap(), state.feeds[&feed.id].cursor.as_ref()), (1, Some(&cursor)));
    }
}
