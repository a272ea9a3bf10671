//! The log of changes in SQLite: real files, several connections, and a reader that follows by its cursor alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use saas_backup_core::{CollectionName, Deletion, DeletionReason, ErrorKind, Key, Reference};
use saas_backup_export_api::{AccountId, Change, ChangeKind, ChangePage, Limits, OutboxTable, SqliteOutbox, Watermark};

use crate::support::{Random, key};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS books (id INTEGER PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS notes (
        id INTEGER PRIMARY KEY, account TEXT, body TEXT, book INTEGER REFERENCES books ON DELETE CASCADE
    );";
const DAY: u64 = 24 * 3600;

/// A database file of a test's own, which it opens as often as it likes.
struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
    outbox: SqliteOutbox,
}

impl File {
    fn new(journal: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vendor.db");
        let outbox = SqliteOutbox::new(Limits::default());
        let file = Self { _folder: folder, path, outbox };
        let connection = file.open();
        connection.pragma_update(None, "journal_mode", journal).unwrap();
        connection.execute_batch(TABLES).unwrap();
        file.outbox.install(&connection).unwrap();
        file.outbox.watch(&connection, &notes()).unwrap();
        file
    }

    fn open(&self) -> Connection {
        open(&self.path)
    }

    fn head(&self) -> Watermark {
        self.outbox.head(&self.open()).unwrap().watermark
    }

    fn page(&self, since: &Watermark, limit: usize) -> saas_backup_core::Result<ChangePage> {
        self.outbox.changes(&self.open(), &account("a"), since, limit)
    }

    fn since(&self, since: &Watermark) -> Vec<String> {
        let page = self.page(since, 100).unwrap();
        assert!(!page.more);
        page.changes.iter().map(told).collect()
    }

    fn refused(&self, since: &Watermark) -> ErrorKind {
        self.page(since, 100).unwrap_err().kind()
    }
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_mins(2)).unwrap();
    connection.pragma_update(None, "foreign_keys", true).unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    connection
}

fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

fn notes() -> OutboxTable {
    OutboxTable::new("notes", CollectionName::from_static("notes"), "id", "account")
}

fn told(change: &Change) -> String {
    match &change.kind {
        ChangeKind::Touched(key) => format!("{key} touched"),
        ChangeKind::Deleted(deletion) => format!("{} {:?}", deletion.key, deletion.reason),
        other => format!("{other:?}"),
    }
}

fn begin(connection: &Connection) -> Transaction<'_> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate).unwrap()
}

fn insert(connection: &Connection, id: i64) {
    connection.execute("INSERT INTO notes (id, account, body) VALUES (?1, 'a', 'x')", [id]).unwrap();
}

#[test]
fn a_transaction_that_was_open_when_the_cursor_was_made_comes_after_it() {
    for journal in ["WAL", "DELETE"] {
        let file = File::new(journal);
        let (first, second) = (file.open(), file.open());
        // The first one begins, the second one begins and commits, the cursor is made, the first one commits.
        first.execute_batch("BEGIN").unwrap();
        let transaction = begin(&second);
        insert(&transaction, 2);
        transaction.commit().unwrap();
        let cursor = file.head();
        insert(&first, 1);
        let within = file.head();
        first.execute_batch("COMMIT").unwrap();
        assert_eq!(within, cursor, "{journal}");
        assert_eq!(file.since(&cursor), ["notes/1 touched"], "{journal}");
    }
}

#[test]
fn what_was_rolled_back_or_broken_off_is_never_told_and_its_number_is_no_hole() {
    let file = File::new("WAL");
    let cursor = file.head();
    let rolled_back = file.open();
    let transaction = begin(&rolled_back);
    insert(&transaction, 1);
    transaction.rollback().unwrap();
    let killed = file.open();
    killed.execute_batch("BEGIN IMMEDIATE").unwrap();
    insert(&killed, 2);
    drop(killed);
    assert_eq!(file.since(&cursor), Vec::<String>::new());
    assert_eq!(file.head(), cursor);
    let savepoint = file.open();
    savepoint.execute_batch("BEGIN; SAVEPOINT s").unwrap();
    insert(&savepoint, 3);
    savepoint.execute_batch("ROLLBACK TO s").unwrap();
    insert(&savepoint, 4);
    savepoint.execute_batch("COMMIT").unwrap();
    assert_eq!(file.since(&cursor), ["notes/4 touched"]);
}

#[test]
fn writes_moves_cascades_and_reasons_are_told_to_the_account_that_they_concern() {
    let file = File::new("WAL");
    let connection = file.open();
    let start = file.head();
    connection
        .execute_batch(
            "INSERT INTO books VALUES (1);
             INSERT INTO notes VALUES (1, 'a', 'x', 1), (2, 'a', 'x', NULL), (3, NULL, 'x', NULL), (4, 'b', 'x', NULL)",
        )
        .unwrap();
    assert_eq!(file.since(&start), ["notes/1 touched", "notes/2 touched"]);
    let cursor = file.head();
    connection.execute_batch("UPDATE notes SET account = 'b' WHERE id = 2; DELETE FROM books").unwrap();
    assert_eq!(file.since(&cursor), ["notes/2 MovedOut", "notes/1 Deleted"]);
    let other = file.outbox.changes(&connection, &account("b"), &cursor, 9).unwrap();
    assert_eq!(other.changes.iter().map(told).collect::<Vec<_>>(), ["notes/2 touched"]);

    insert(&connection, 5);
    let cursor = file.head();
    connection.execute("UPDATE notes SET id = 6 WHERE id = 5", []).unwrap();
    assert_eq!(file.since(&cursor), ["notes/5 touched", "notes/6 touched"]);

    let cursor = file.head();
    let transaction = begin(&connection);
    transaction.execute("DELETE FROM notes WHERE id = 6", []).unwrap();
    let mut merged = Deletion::new(key("notes/6"), DeletionReason::Merged);
    merged.into = Some(Reference::from(&key("notes/7")));
    file.outbox.deleted(&transaction, &account("a"), &merged).unwrap();
    file.outbox.touched(&transaction, &account("a"), &key("notes/7")).unwrap();
    let inferred = Deletion::new(key("notes/8"), DeletionReason::Reconciled);
    let refused = file.outbox.deleted(&transaction, &account("a"), &inferred).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Configuration);
    transaction.commit().unwrap();
    let page = file.page(&cursor, 100).unwrap();
    let all: Vec<String> = page.changes.iter().map(told).collect();
    assert_eq!(all, ["notes/6 Deleted", "notes/6 Merged", "notes/7 touched"]);
    let ChangeKind::Deleted(deletion) = &page.changes[1].kind else { panic!("{page:?}") };
    assert_eq!(deletion.into, merged.into);
}

#[test]
fn names_of_the_vendor_are_quoted_and_a_table_may_belong_to_one_account() {
    let file = File::new("WAL");
    let connection = file.open();
    connection.execute_batch(r#"CREATE TABLE "odd ""name'" ("the id" TEXT PRIMARY KEY)"#).unwrap();
    let collection = CollectionName::from_static("odd");
    let table = OutboxTable::new("odd \"name'", collection, "the id", "").with_account(account("O'Neil"));
    for _ in 0..2 {
        file.outbox.install(&connection).unwrap();
        file.outbox.watch(&connection, &table).unwrap();
    }
    let cursor = file.head();
    connection.execute_batch(r#"INSERT INTO "odd ""name'" VALUES ('one'), ('')"#).unwrap();
    let page = file.outbox.changes(&connection, &account("O'Neil"), &cursor, 9).unwrap();
    let all: Vec<String> = page.changes.iter().map(told).collect();
    assert_eq!(all[0], "odd/one touched");
    // No record can have the empty id: a full read of the collection says so.
    assert!(matches!(page.changes[1].kind, ChangeKind::Reset(_)), "{all:?}");
    assert_eq!(all.len(), 2);
}

#[test]
fn a_cursor_from_before_what_was_pruned_is_expired_and_a_quiet_accounts_cursor_is_not() {
    let file = File::new("WAL");
    let connection = file.open();
    let start = file.head();
    (1..=5).for_each(|id| insert(&connection, id));
    let (middle, quiet) = (file.page(&start, 2).unwrap().next, account("quiet"));
    let unread = file.outbox.changes(&connection, &quiet, &start, 9).unwrap();
    assert_eq!((unread.changes.len(), &unread.next), (0, &file.head()));
    connection.execute("UPDATE export_outbox SET at = at - 31 * 86400 WHERE number <= 4", []).unwrap();
    let too_young = file.outbox.prune(&connection, Duration::from_secs(30 * DAY - 1)).unwrap_err();
    assert_eq!(too_young.kind(), ErrorKind::Configuration);
    let fourth = file.page(&start, 4).unwrap().next;
    assert_eq!(file.outbox.prune(&connection, Duration::from_secs(30 * DAY)).unwrap(), 4);
    assert_eq!(file.outbox.prune(&connection, Duration::from_secs(30 * DAY)).unwrap(), 0);
    assert_eq!((file.refused(&start), file.refused(&middle)), (ErrorKind::CursorExpired, ErrorKind::CursorExpired));
    assert_eq!(file.since(&fourth), ["notes/5 touched"]);
    connection.execute("UPDATE export_outbox SET at = 0", []).unwrap();
    assert_eq!(file.outbox.prune(&connection, Duration::from_secs(30 * DAY)).unwrap(), 1);
    assert_eq!(file.refused(&fourth), ErrorKind::CursorExpired);
    assert_eq!(file.head(), unread.next);
    insert(&connection, 6);
    assert_eq!(file.since(&unread.next), ["notes/6 touched"]);
}

#[test]
fn a_cursor_of_a_history_that_a_restore_took_back_is_expired() {
    let file = File::new("DELETE");
    let connection = file.open();
    insert(&connection, 1);
    let before = file.head();
    let copy = file.path.with_extension("copy");
    std::fs::copy(&file.path, &copy).unwrap();
    insert(&connection, 2);
    let after = file.head();
    drop(connection);
    std::fs::copy(&copy, &file.path).unwrap();
    assert_eq!(file.refused(&after), ErrorKind::CursorExpired);
    // The number that the cursor has is given again, to something else.
    insert(&file.open(), 3);
    assert_eq!(file.refused(&after), ErrorKind::CursorExpired);
    assert_eq!(file.since(&before), ["notes/3 touched"]);
    file.outbox.renew(&file.open()).unwrap();
    assert_eq!(file.refused(&before), ErrorKind::CursorExpired);
    assert_eq!(file.refused(&Watermark::new("nonsense")), ErrorKind::InvalidData);
}

#[test]
fn tables_of_a_newer_version_are_refused() {
    let file = File::new("WAL");
    let connection = file.open();
    connection.execute("UPDATE export_outbox_state SET version = 2", []).unwrap();
    assert_eq!(file.outbox.install(&connection).unwrap_err().kind(), ErrorKind::UnsupportedVersion);
    assert_eq!(file.outbox.head(&connection).unwrap_err().kind(), ErrorKind::UnsupportedVersion);
}

/// Follows the log: the rows as the reader knows them.
#[derive(Default)]
struct Reader {
    since: Option<Watermark>,
    rows: BTreeMap<String, String>,
}

impl Reader {
    fn follow(&mut self, file: &File, connection: &Connection, limit: usize) -> bool {
        let since = self.since.clone().unwrap();
        let page = file.outbox.changes(connection, &account("a"), &since, limit).unwrap();
        for change in page.changes {
            match change.kind {
                ChangeKind::Touched(key) => self.read(connection, &key),
                ChangeKind::Deleted(deletion) => drop(self.rows.remove(deletion.key.id.as_str())),
                other => panic!("{other:?}"),
            }
        }
        self.since = Some(page.next);
        page.more
    }

    fn read(&mut self, connection: &Connection, key: &Key) {
        let sql = "SELECT body FROM notes WHERE account = 'a' AND CAST(id AS TEXT) = ?1";
        match connection.query_row(sql, [key.id.as_str()], |row| row.get(0)) {
            Ok(body) => drop(self.rows.insert(key.id.as_str().to_owned(), body)),
            Err(rusqlite::Error::QueryReturnedNoRows) => drop(self.rows.remove(key.id.as_str())),
            Err(error) => panic!("{error}"),
        }
    }
}

fn write_at_random(connection: &Connection, random: &mut Random) {
    for _ in 0..12 {
        let behavior = if random.below(2) == 0 { "BEGIN" } else { "BEGIN IMMEDIATE" };
        connection.execute_batch(behavior).unwrap();
        for _ in 0..=random.below(3) {
            let (id, body) = (random.below(10), random.below(1_000_000));
            let sql = match random.below(10) {
                0..3 => format!("DELETE FROM notes WHERE id = {id}"),
                3..5 => {
                    format!("UPDATE notes SET account = CASE account WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = {id}")
                }
                _ => format!(
                    "INSERT INTO notes (id, account, body) VALUES ({id}, 'a', '{body}') \
                     ON CONFLICT (id) DO UPDATE SET body = excluded.body"
                ),
            };
            connection.execute_batch(&sql).unwrap();
        }
        connection.execute_batch(if random.below(4) == 0 { "ROLLBACK" } else { "COMMIT" }).unwrap();
    }
}

#[test]
fn a_reader_that_follows_by_cursor_ends_with_what_several_writers_left() {
    for seed in 0..6 {
        let file = Arc::new(File::new(if seed % 2 == 0 { "WAL" } else { "DELETE" }));
        let mut reader = Reader { since: Some(file.head()), rows: BTreeMap::new() };
        let (writers, left) = (4, Arc::new(AtomicUsize::new(4)));
        let together = Arc::new(Barrier::new(writers + 1));
        let threads: Vec<_> = (0..writers as u64)
            .map(|writer| {
                let (file, left, together) = (file.clone(), left.clone(), together.clone());
                thread::spawn(move || {
                    let connection = file.open();
                    let mut random = Random::new(seed * 100 + writer);
                    together.wait();
                    write_at_random(&connection, &mut random);
                    left.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        let connection = file.open();
        together.wait();
        while left.load(Ordering::SeqCst) > 0 && !threads.iter().all(thread::JoinHandle::is_finished) {
            reader.follow(&file, &connection, 3);
            thread::yield_now();
        }
        for thread in threads {
            thread.join().unwrap();
        }
        while reader.follow(&file, &connection, 3) {}
        let mut statement = connection.prepare("SELECT CAST(id AS TEXT), body FROM notes WHERE account = 'a'").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let table: BTreeMap<String, String> = rows.map(Result::unwrap).collect();
        assert_eq!(reader.rows, table, "seed {seed}");
    }
}
