//! A vendor with a real database: notes of a workspace in SQLite, with people, permissions, files, comments and a trash,
//! and people who write while their data is exported.
//!
//! ```text
//! cargo run --release --example vendor_axum_sqlite -p examples --features sqlite -- --help
//! ```
//!
//! [`App`] is the product; `impl ExportSource for Export` is what its vendor adds so that customers can take their data
//! home. Which changes there were is not the product's concern: the outbox's triggers note them in the transactions that
//! write.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    Access, BlobId, BlobRef, ByteStream, Catalog, Collection, CollectionName, Digest, Error, ErrorKind, Json, Key,
    Kind, Principal as Who, Record, RecordId, RecordState, RefRule, Reference, Result, RunStatus, TransferOptions,
    async_trait, transfer,
};
use saas_backup_export_api::{
    AccountId, Blob, ChangePage, ChangesRequest, CursorKey, Entry, ExportConfig, ExportSource, Grant, Head, Limits,
    OutboxTable, Principal, ScanPage, ScanRequest, Schema, ServiceInfo, SqliteOutbox, StaticTokens, router,
};
use serde_json::json;

const HELP: &str = "\
Serves a workspace's notes from SQLite by the Open Export Protocol, and backs them up while people write.

usage: vendor_axum_sqlite [--serve FILE]

  --serve FILE   keep the notes in this database, and go on serving until Ctrl-C

Without arguments: three people write at once, on connections of their own, while two backups run; when they are done, an
increment has to hold exactly what the database holds.
";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, author INTEGER NOT NULL REFERENCES users,
    title TEXT NOT NULL, body TEXT NOT NULL, trashed INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS comments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, note INTEGER NOT NULL REFERENCES notes ON DELETE CASCADE,
    author INTEGER NOT NULL REFERENCES users, text TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS shares (
    note INTEGER NOT NULL REFERENCES notes ON DELETE CASCADE, user INTEGER NOT NULL REFERENCES users, role TEXT NOT NULL,
    PRIMARY KEY (note, user)
);
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, note INTEGER NOT NULL REFERENCES notes ON DELETE CASCADE,
    name TEXT NOT NULL, media_type TEXT NOT NULL, digest TEXT NOT NULL, bytes BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS files_of ON files (note);
";

/// What each person does while a backup runs.
const STEPS: i64 = 400;

/// The product: one connection of a person who writes.
struct App(Connection);

impl App {
    fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(Duration::from_mins(1)).map_err(failed)?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON").map_err(failed)?;
        Ok(Self(connection))
    }

    /// All of it or nothing; others wait for it.
    fn write<T>(&mut self, write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let done = write(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    fn user(&mut self, name: &str) -> Result<i64> {
        let email = format!("{}@example.com", name.to_lowercase());
        self.write(|write| {
            write.execute("INSERT INTO users (workspace, name, email) VALUES ('w1', ?1, ?2)", [name, &email])?;
            Ok(write.last_insert_rowid())
        })
    }

    fn note(&mut self, author: i64, title: &str) -> Result<i64> {
        self.write(|write| {
            let sql = "INSERT INTO notes (workspace, author, title, body) VALUES ('w1', ?1, ?2, '')";
            write.execute(sql, params![author, title])?;
            Ok(write.last_insert_rowid())
        })
    }

    /// Every change of a note, of what belongs to it too, is another version of it.
    fn change(&mut self, note: i64, change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<usize>) -> Result<bool> {
        self.write(|write| {
            if write.execute("UPDATE notes SET version = version + 1 WHERE id = ?1", [note])? == 0 {
                return Ok(false);
            }
            change(write).map(|_| true)
        })
    }

    fn edit(&mut self, note: i64, body: &str) -> Result<bool> {
        self.change(note, |write| write.execute("UPDATE notes SET body = ?2 WHERE id = ?1", params![note, body]))
    }

    fn trash(&mut self, note: i64, trashed: bool) -> Result<bool> {
        self.change(note, |write| write.execute("UPDATE notes SET trashed = ?2 WHERE id = ?1", params![note, trashed]))
    }

    fn share(&mut self, note: i64, user: i64, role: &str) -> Result<bool> {
        let sql = "INSERT INTO shares VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET role = excluded.role";
        self.change(note, |write| write.execute(sql, params![note, user, role]))
    }

    fn attach(&mut self, note: i64, name: &str, bytes: &[u8]) -> Result<bool> {
        let sql = "INSERT INTO files (workspace, note, name, media_type, digest, bytes) \
                   VALUES ('w1', ?1, ?2, 'text/plain', ?3, ?4)";
        let digest = Digest::of(bytes).to_string();
        self.change(note, |write| write.execute(sql, params![note, name, digest, bytes]))
    }

    fn comment(&mut self, note: i64, author: i64, text: &str) -> Result<()> {
        let sql =
            "INSERT INTO comments (workspace, note, author, text) SELECT 'w1', id, ?2, ?3 FROM notes WHERE id = ?1";
        self.write(|write| write.execute(sql, params![note, author, text]).map(drop))
    }

    fn delete(&mut self, note: i64) -> Result<()> {
        self.write(|write| write.execute("DELETE FROM notes WHERE id = ?1", [note]).map(drop))
    }
}

/// What SQLite says may quote what people wrote.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it by value")]
fn failed(error: rusqlite::Error) -> Error {
    let code = error.sqlite_error_code().map_or_else(|| "none".to_owned(), |code| format!("{code:?}"));
    Error::new(ErrorKind::Unexpected, "the database refused").with_context("code", code)
}

/// The export of the product's data.
#[derive(Debug)]
struct Export {
    path: PathBuf,
    outbox: SqliteOutbox,
}

impl Export {
    fn install(path: &Path) -> Result<Arc<Self>> {
        let (app, outbox) = (App::open(path)?, SqliteOutbox::new(Limits::default()));
        app.0.execute_batch(TABLES).map_err(failed)?;
        outbox.install(&app.0)?;
        for table in ["users", "notes", "comments"] {
            outbox.watch(&app.0, &OutboxTable::new(table, CollectionName::parse(table)?, "id", "workspace"))?;
        }
        Ok(Arc::new(Self { path: path.to_owned(), outbox }))
    }

    /// SQLite blocks: it works on a thread that may.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &SqliteOutbox) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (path, outbox) = (self.path.clone(), self.outbox.clone());
        let reading = tokio::task::spawn_blocking(move || read(&App::open(&path)?.0, &outbox));
        reading.await.map_err(|error| Error::new(ErrorKind::Unexpected, "a reader ended early").with_source(error))?
    }
}

fn users(id: i64) -> Result<Reference> {
    Ok(Reference::from(&Key::parse("users", id.to_string())?))
}

fn number(id: &str) -> Result<i64> {
    id.parse().map_err(|_| Error::new(ErrorKind::NotFound, "there is no such row"))
}

/// Rows of one collection after an id.
fn rows(database: &Connection, workspace: &str, collection: &str, after: i64, limit: usize) -> Result<Vec<Entry>> {
    let sql = match collection {
        "users" => "SELECT id, name, email FROM users WHERE workspace = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        "notes" => {
            "SELECT id, author, title, body, trashed, version FROM notes WHERE workspace = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        }
        "comments" => {
            "SELECT id, note, author, text FROM comments WHERE workspace = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        }
        _ => return Ok(Vec::new()),
    };
    let mut statement = database.prepare(sql).map_err(failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found = statement.query(params![workspace, after, limit]).map_err(failed)?;
    let mut entries = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        entries.push(record(database, collection, row)?.into());
    }
    Ok(entries)
}

fn record(database: &Connection, collection: &str, row: &Row<'_>) -> Result<Record> {
    let id: i64 = row.get("id").map_err(failed)?;
    let text = |column: &str| row.get::<_, String>(column).map_err(failed);
    let to = |column: &str| row.get::<_, i64>(column).map_err(failed);
    let key = Key::parse(collection, id.to_string())?;
    match collection {
        "users" => Ok(Record::new(key, Json::from_value(&json!({"name": text("name")?, "email": text("email")?}))?)),
        "comments" => {
            let note = Reference::from(&Key::parse("notes", to("note")?.to_string())?);
            let record = Record::new(key, Json::from_value(&json!({"text": text("text")?}))?).with_ref("note", note);
            Ok(record.with_ref("author", users(to("author")?)?))
        }
        _ => {
            let mut record =
                Record::new(key, Json::from_value(&json!({"title": text("title")?, "body": text("body")?}))?)
                    .with_version(to("version")?.to_string())
                    .with_ref("author", users(to("author")?)?);
            if row.get("trashed").map_err(failed)? {
                record = record.with_state(RecordState::Trashed);
            }
            record.access = access(database, id)?;
            record.blobs = files(database, id)?;
            Ok(record)
        }
    }
}

fn access(database: &Connection, note: i64) -> Result<Vec<Access>> {
    let mut statement =
        database.prepare("SELECT user, role FROM shares WHERE note = ?1 ORDER BY user").map_err(failed)?;
    let found = statement.query_map([note], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    found
        .map(|row| {
            let (user, role): (i64, String) = row.map_err(failed)?;
            Ok(Access::new(Who::Record(users(user)?), role))
        })
        .collect()
}

fn files(database: &Connection, note: i64) -> Result<Vec<BlobRef>> {
    let sql = "SELECT id, name, media_type, digest, length(bytes) FROM files WHERE note = ?1 ORDER BY id";
    let mut statement = database.prepare(sql).map_err(failed)?;
    let mut found = statement.query([note]).map_err(failed)?;
    let mut files = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let (id, size): (i64, i64) = (row.get(0).map_err(failed)?, row.get(4).map_err(failed)?);
        let digest = Digest::from_hex(&row.get::<_, String>(3).map_err(failed)?)?;
        let file = BlobRef::new(BlobId::parse(id.to_string())?, "attachment").with_digest(digest);
        let file = file.with_name(row.get::<_, String>(1).map_err(failed)?).with_size(size.unsigned_abs());
        files.push(file.with_media_type(row.get::<_, String>(2).map_err(failed)?));
    }
    Ok(files)
}

#[async_trait]
impl ExportSource for Export {
    fn service(&self) -> ServiceInfo {
        ServiceInfo::new("team-notes", "Team Notes", "Example Ltd").with_excluded("search index", "derived")
    }

    async fn schema(&self, _: Option<&AccountId>) -> Result<Schema> {
        let name = CollectionName::from_static;
        let users = Collection::new(name("users"), Kind::User);
        let mut notes = Collection::new(name("notes"), Kind::Document).with_blobs();
        notes.access = true;
        let notes = notes.with_ref(RefRule::one("author", name("users")).required());
        let comments = Collection::new(name("comments"), Kind::Comment)
            .with_ref(RefRule::one("note", name("notes")).required())
            .with_ref(RefRule::one("author", name("users")).required());
        Ok(Schema::new(Catalog::new(vec![users, notes, comments])))
    }

    async fn head(&self, _: &Grant) -> Result<Head> {
        self.read(|database, outbox| outbox.head(database)).await
    }

    async fn changes(&self, grant: &Grant, request: &ChangesRequest) -> Result<ChangePage> {
        let (account, since, limit) = (grant.account.clone(), request.since.clone(), request.limit);
        self.read(move |database, outbox| outbox.changes(database, &account, &since, limit)).await
    }

    async fn scan(&self, grant: &Grant, request: &ScanRequest) -> Result<ScanPage> {
        let (account, request) = (grant.account.clone(), request.clone());
        self.read(move |database, _| {
            let after = request.after.as_ref().map_or(Ok(0), |id: &RecordId| number(id.as_str()))?;
            let found = rows(database, account.as_str(), request.collection.as_str(), after, request.limit)?;
            Ok(ScanPage::limited(found, request.limit))
        })
        .await
    }

    async fn records(&self, grant: &Grant, keys: &[Key]) -> Result<Vec<Entry>> {
        let (account, keys) = (grant.account.clone(), keys.to_vec());
        self.read(move |database, _| {
            let mut found = Vec::new();
            for key in &keys {
                let Ok(id) = number(key.id.as_str()) else { continue };
                let row = rows(database, account.as_str(), key.collection.as_str(), id - 1, 1)?;
                found.extend(row.into_iter().filter(|entry| entry.id() == Some(&key.id)));
            }
            Ok(found)
        })
        .await
    }

    async fn blob(&self, grant: &Grant, blob: &BlobId) -> Result<Blob> {
        let (account, id) = (grant.account.clone(), number(blob.as_str())?);
        self.read(move |database, _| {
            let sql = "SELECT bytes, digest, media_type FROM files WHERE id = ?1 AND workspace = ?2";
            let found = database.query_row(sql, params![id, account.as_str()], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            });
            let (bytes, digest, media_type) = found.optional().map_err(failed)?.ok_or_else(no_file)?;
            let blob = Blob::new(bytes.len() as u64, one_piece(bytes)).with_digest(Digest::from_hex(&digest)?);
            Ok(blob.with_media_type(media_type))
        })
        .await
    }

    async fn blob_range(
        &self,
        grant: &Grant,
        blob: &BlobId,
        range: std::ops::Range<u64>,
    ) -> Result<Option<ByteStream>> {
        let (account, id) = (grant.account.clone(), number(blob.as_str())?);
        self.read(move |database, _| {
            let far = |_| Error::new(ErrorKind::InvalidData, "the range is too far away");
            let from = i64::try_from(range.start).map_err(far)?;
            let length = i64::try_from(range.end.saturating_sub(range.start)).map_err(far)?;
            let sql = "SELECT substr(bytes, ?3 + 1, ?4) FROM files WHERE id = ?1 AND workspace = ?2";
            let some = database.query_row(sql, params![id, account.as_str(), from, length], |row| row.get(0));
            Ok(Some(one_piece(some.optional().map_err(failed)?.ok_or_else(no_file)?)))
        })
        .await
    }
}

fn no_file() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such file")
}

fn one_piece(bytes: Vec<u8>) -> ByteStream {
    futures::stream::iter([Ok(Bytes::from(bytes))]).boxed()
}

async fn serve(export: Arc<Export>, port: u16) -> Result<String> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let principal = Principal::new("the customer's backup").with_account(AccountId::parse("w1")?);
    let tokens = StaticTokens::default().with(&"tok_w1".into(), principal);
    let base = format!("{url}/export/v1").parse();
    let base = base.map_err(|_| Error::new(ErrorKind::Configuration, "not an address"))?;
    // A real service reads 32 random bytes from its secrets: cursors outlive restarts.
    let config = ExportConfig::new(base, tokens, CursorKey::from_bytes([7; 32]))?;
    let app = axum::Router::new().merge(router(export, config));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

fn source(url: &str) -> Result<OpenExportConnector> {
    let config = OpenExportConfig::new(url, "tok_w1").with_private_addresses(true).with_page_lines(50);
    OpenExportConnector::new(config.with_requests_per_second(1_000.0))
}

/// A person at work, for as many steps as they are told to. Everybody writes to the notes of all.
fn work(path: &Path, person: i64, turns: &Receiver<i64>) -> Result<i64> {
    let mut app = App::open(path)?;
    let me = app.user(&format!("Person {person}"))?;
    let mut done = 0;
    while let Ok(steps) = turns.recv() {
        for step in done..done + steps {
            act(&mut app, person, me, step)?;
        }
        done += steps;
    }
    Ok(done)
}

fn act(app: &mut App, person: i64, me: i64, step: i64) -> Result<()> {
    let count: i64 = app.0.query_row("SELECT ifnull(max(id), 0) FROM notes", [], |row| row.get(0)).map_err(failed)?;
    let some = (step * 31 + person * 17) % count.max(1) + 1;
    match step % 8 {
        0..3 => app.note(me, &format!("Note {step} of person {person}")).map(drop),
        3 => app.edit(some, &format!("Changed by person {person} at step {step}")).map(drop),
        4 => app.share(some, me, if step % 16 == 4 { "reader" } else { "editor" }).map(drop),
        5 => app.attach(some, "file.txt", format!("File of step {step} by person {person}").as_bytes()).map(drop),
        6 => app.comment(some, me, "+1"),
        _ if step % 16 == 7 => app.trash(some, step % 32 == 7).map(drop),
        _ => app.delete(some),
    }
}

/// Fails unless the copy holds what the database holds, to the version and the byte.
fn compare(path: &Path, copy: &MemoryStore) -> Result<usize> {
    let database = App::open(path)?.0;
    let mut held: BTreeMap<Key, Record> = copy.live();
    let mut count = 0;
    for collection in ["users", "notes", "comments"] {
        for entry in rows(&database, "w1", collection, 0, usize::MAX)? {
            let Entry::Record(row) = entry else { continue };
            let copied = held.remove(&row.key).ok_or_else(|| differs(&row.key, "is missing"))?;
            let same = copied.data.as_bytes() == row.data.as_bytes() && copied.refs == row.refs;
            if !same || copied.state != row.state || copied.access != row.access {
                return Err(differs(&row.key, "is another one"));
            }
            let digests = |record: &Record| record.blobs.iter().map(|blob| blob.digest).collect::<Vec<_>>();
            let bytes = |blob: &BlobRef| blob.id.as_ref().and_then(|id| copy.blob(id)).map(|bytes| Digest::of(&bytes));
            let arrived: Vec<_> = copied.blobs.iter().map(bytes).collect();
            if digests(&copied) != digests(&row) || arrived != digests(&row) {
                return Err(differs(&row.key, "has other files"));
            }
            count += 1;
        }
    }
    match held.into_keys().next() {
        Some(key) => Err(differs(&key, "is no longer there")),
        None => Ok(count),
    }
}

fn differs(key: &Key, how: &'static str) -> Error {
    Error::new(ErrorKind::Integrity, "the copy is not the database").with_context("record", key).with_context("it", how)
}

/// Backs up while people write, and once more when they are done.
async fn show(path: &Path) -> Result<()> {
    let url = serve(Export::install(path)?, 0).await?;
    let (source, copy) = (source(&url)?, MemoryStore::new());
    let target = MemoryConnector::new(copy.clone());
    let (mut turns, mut people) = (Vec::new(), Vec::new());
    for person in 1..=3 {
        let (turn, mine) = mpsc::channel();
        let path = path.to_owned();
        turns.push(turn);
        people.push(tokio::task::spawn_blocking(move || work(&path, person, &mine)));
    }
    for run in ["first", "second"] {
        for turn in &turns {
            turn.send(STEPS).map_err(|_| Error::new(ErrorKind::Unexpected, "a writer ended early"))?;
        }
        let report = transfer(&source, &target, TransferOptions::backup()).await?.report;
        let totals = report.totals();
        println!("{run} backup, while three people write: {} written, {} deleted", totals.written, totals.deleted);
    }
    drop(turns);
    let mut steps = 0;
    for person in people {
        let ended = person.await;
        steps +=
            ended.map_err(|error| Error::new(ErrorKind::Unexpected, "a writer ended early").with_source(error))??;
    }
    let report = transfer(&source, &target, TransferOptions::backup()).await?.report;
    if report.status != RunStatus::Complete {
        return Err(Error::new(ErrorKind::Integrity, "the backup is not complete"));
    }
    println!("third backup, after {steps} steps of theirs: {} written", report.totals().written);
    let count = compare(path, &copy)?;
    println!("the copy holds what the database holds: {count} records");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            let folder = tempfile::tempdir()?;
            show(&folder.path().join("notes.db")).await
        }
        ["--serve", path] => {
            let url = serve(Export::install(Path::new(path))?, 8080).await?;
            println!("curl -H 'Authorization: Bearer tok_w1' {url}/export/v1/accounts/w1/snapshot");
            std::future::pending().await
        }
        ["--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            std::process::exit(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use saas_backup_core::testkit;

    use super::*;

    #[tokio::test]
    async fn what_it_serves_passes_the_conformance_checks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.db");
        let export = Export::install(&path).unwrap();
        let mut app = App::open(&path).unwrap();
        let ann = app.user("Ann").unwrap();
        for number in 0..40 {
            let note = app.note(ann, &format!("Note {number}")).unwrap();
            app.comment(note, ann, "+1").unwrap();
        }
        app.attach(3, "a.txt", b"some bytes").unwrap();
        app.trash(4, true).unwrap();
        let url = serve(export, 0).await.unwrap();
        testkit::connector(&source(&url).unwrap()).await.assert_passed();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_that_is_made_while_people_write_ends_as_the_database() {
        let folder = tempfile::tempdir().unwrap();
        show(&folder.path().join("notes.db")).await.unwrap();
    }
}
