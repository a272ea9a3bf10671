//! The log of changes in a real PostgreSQL: `testing/servers up postgres`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use saas_backup_core::{CollectionName, ErrorKind};
use saas_backup_export_api::{AccountId, ChangeKind, Limits, OutboxTable, PgOutbox, Watermark};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};

use crate::support::Random;

fn setting(name: &str) -> String {
    std::env::var(format!("SAAS_BACKUP_TEST_POSTGRES_{name}")).unwrap()
}

async fn connect(database: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host(setting("HOST")).port(setting("PORT").parse().unwrap()).dbname(database);
    config.user(setting("USERNAME")).password(setting("PASSWORD"));
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A database of a test's own; it goes with the server.
struct Database {
    name: String,
    outbox: PgOutbox,
    reader: Client,
}

impl Database {
    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("outbox_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        connect("postgres").await.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        let reader = connect(&name).await;
        reader.batch_execute("CREATE TABLE notes (id int PRIMARY KEY, account text, body text)").await.unwrap();
        let outbox = PgOutbox::new(Limits::default());
        let table = OutboxTable::new("notes", CollectionName::from_static("notes"), "id", "account");
        for _ in 0..2 {
            outbox.install(&reader).await.unwrap();
            outbox.watch(&reader, &table).await.unwrap();
        }
        Self { name, outbox, reader }
    }

    async fn head(&self) -> Watermark {
        self.outbox.head(&self.reader).await.unwrap().watermark
    }

    /// Waits until transactions of other tests hold nothing back.
    async fn settle(&self) {
        while self.outbox.lag(&self.reader).await.unwrap() > Duration::ZERO {
            tokio::task::yield_now().await;
        }
    }

    async fn since(&self, since: &Watermark) -> Vec<String> {
        self.settle().await;
        let page = self.outbox.changes(&self.reader, &account(), since, 100).await.unwrap();
        let told = page.changes.iter().map(|change| match &change.kind {
            ChangeKind::Touched(key) => format!("{} touched", key.id),
            ChangeKind::Deleted(deletion) => format!("{} {:?}", deletion.key.id, deletion.reason),
            other => format!("{other:?}"),
        });
        told.collect()
    }

    async fn refused(&self, since: &Watermark) -> ErrorKind {
        self.outbox.changes(&self.reader, &account(), since, 100).await.unwrap_err().kind()
    }
}

fn account() -> AccountId {
    AccountId::parse("a").unwrap()
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_transaction_that_was_open_when_the_cursor_was_made_comes_after_it() {
    let database = Database::new().await;
    let (first, second) = (connect(&database.name).await, connect(&database.name).await);
    first.batch_execute("BEGIN; SAVEPOINT s; INSERT INTO notes VALUES (1, 'a', 'x')").await.unwrap();
    second.batch_execute("INSERT INTO notes VALUES (2, 'a', 'x')").await.unwrap();
    let cursor = database.head().await;
    assert!(database.outbox.changes(&database.reader, &account(), &cursor, 9).await.unwrap().changes.is_empty());
    assert!(database.outbox.lag(&database.reader).await.unwrap() > Duration::ZERO);
    first.batch_execute("RELEASE s; SAVEPOINT t; INSERT INTO notes VALUES (3, 'a', 'x'); ROLLBACK TO t").await.unwrap();
    first.batch_execute("COMMIT").await.unwrap();
    assert_eq!(database.since(&cursor).await, ["1 touched", "2 touched"]);
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_prepared_transaction_is_waited_for_and_an_aborted_one_is_not() {
    let database = Database::new().await;
    let (first, name) = (connect(&database.name).await, &database.name);
    let prepare = format!("BEGIN; INSERT INTO notes VALUES (1, 'a', 'x'); PREPARE TRANSACTION '{name}'");
    first.batch_execute(&prepare).await.unwrap();
    first.batch_execute("BEGIN; INSERT INTO notes VALUES (4, 'a', 'x'); ROLLBACK").await.unwrap();
    first.batch_execute("INSERT INTO notes VALUES (2, 'a', 'x')").await.unwrap();
    let cursor = database.head().await;
    assert!(database.outbox.changes(&database.reader, &account(), &cursor, 9).await.unwrap().changes.is_empty());
    first.batch_execute(&format!("COMMIT PREPARED '{name}'")).await.unwrap();
    assert_eq!(database.since(&cursor).await, ["1 touched", "2 touched"]);
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_record_that_an_older_transaction_wrote_again_does_not_end_as_deleted() {
    let database = Database::new().await;
    let (first, second) = (connect(&database.name).await, connect(&database.name).await);
    second.batch_execute("INSERT INTO notes VALUES (1, 'a', 'x')").await.unwrap();
    database.settle().await;
    first.batch_execute("BEGIN; INSERT INTO notes VALUES (7, 'a', 'x')").await.unwrap();
    let cursor = database.head().await;
    second.batch_execute("DELETE FROM notes WHERE id = 1").await.unwrap();
    first.batch_execute("INSERT INTO notes VALUES (1, 'a', 'again'); COMMIT").await.unwrap();
    assert_eq!(database.since(&cursor).await, ["7 touched", "1 touched", "1 touched"]);
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_cursor_from_before_what_was_pruned_or_set_back_is_expired() {
    let database = Database::new().await;
    let run = async |sql: &str| database.reader.batch_execute(sql).await.unwrap();
    let start = database.head().await;
    run("INSERT INTO notes VALUES (1, 'a', 'x')").await;
    run("UPDATE notes SET account = 'b'; TRUNCATE notes; INSERT INTO notes VALUES (2, 'a', 'x')").await;
    database.settle().await;
    let end = database.head().await;
    let young = database.outbox.prune(&database.reader, Duration::from_hours(24)).await.unwrap_err();
    assert_eq!(young.kind(), ErrorKind::Configuration);
    run("UPDATE export_outbox.log SET at = at - interval '31 days'").await;
    database.settle().await;
    assert!(database.outbox.prune(&database.reader, Duration::from_hours(24 * 30)).await.unwrap() > 0);
    assert_eq!(database.refused(&start).await, ErrorKind::CursorExpired);
    run("INSERT INTO notes VALUES (3, 'a', 'x')").await;
    assert_eq!(database.since(&end).await, ["3 touched"]);
    let later = database.head().await;
    run("UPDATE export_outbox.log SET mark = 'another'").await;
    assert_eq!(database.refused(&later).await, ErrorKind::CursorExpired);
    database.outbox.renew(&database.reader).await.unwrap();
    assert_eq!(database.refused(&end).await, ErrorKind::CursorExpired);
    assert_eq!(database.refused(&Watermark::new("nonsense")).await, ErrorKind::InvalidData);
}

/// Each transaction stays open until the reader has read once more: a cursor that passes over it is made while others
/// commit.
async fn write_at_random(client: Client, seed: u64, mut rounds: watch::Receiver<u64>) {
    let mut random = Random::new(seed);
    for _ in 0..40 {
        client.batch_execute("BEGIN").await.unwrap();
        // Many rows, so that few writers wait for each other and a write that is lost is not made good by the next one.
        // They are locked in one order, so that writers never wait for each other in a circle.
        let mut ids: Vec<u64> = (0..=random.below(3)).map(|_| random.below(400)).collect();
        ids.sort_unstable();
        for id in ids {
            let sql = match random.below(10) {
                0..3 => format!("DELETE FROM notes WHERE id = {id};"),
                _ => format!(
                    "SAVEPOINT s; INSERT INTO notes VALUES ({id}, 'a', '{}') \
                     ON CONFLICT (id) DO UPDATE SET body = excluded.body; RELEASE s;",
                    random.below(1_000_000)
                ),
            };
            client.batch_execute(&sql).await.unwrap();
        }
        let round = *rounds.borrow();
        rounds.wait_for(|now| *now > round).await.unwrap();
        client.batch_execute(if random.below(4) == 0 { "ROLLBACK" } else { "COMMIT" }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs testing/servers up postgres"]
async fn a_reader_that_follows_by_cursor_ends_with_what_eight_writers_left() {
    for seed in 0..3 {
        let database = Database::new().await;
        let (mut since, mut copy) = (database.head().await, BTreeMap::new());
        let (mut writers, round) = (tokio::task::JoinSet::new(), watch::Sender::new(0));
        for writer in 0..8 {
            let rounds = round.subscribe();
            writers.spawn(write_at_random(connect(&database.name).await, seed * 100 + writer, rounds));
        }
        loop {
            while writers.try_join_next().is_some_and(|ended| ended.map(|()| true).unwrap()) {}
            let was_quiet = writers.is_empty() && database.outbox.lag(&database.reader).await.unwrap().is_zero();
            // Large pages: a reader that lags behind the writers never meets a transaction that is open.
            let page = database.outbox.changes(&database.reader, &account(), &since, 200).await.unwrap();
            for change in page.changes {
                match change.kind {
                    ChangeKind::Touched(key) => {
                        let sql = "SELECT body FROM notes WHERE id::text = $1 AND account = 'a'";
                        let row = database.reader.query_opt(sql, &[&key.id.as_str()]).await.unwrap();
                        match row {
                            Some(row) => copy.insert(key.id.to_string(), row.get::<_, String>(0)),
                            None => copy.remove(key.id.as_str()),
                        };
                    }
                    ChangeKind::Deleted(deletion) => drop(copy.remove(deletion.key.id.as_str())),
                    other => panic!("{other:?}"),
                }
            }
            since = page.next;
            round.send_modify(|round| *round += 1);
            if was_quiet && !page.more {
                break;
            }
        }
        let rows = database.reader.query("SELECT id::text, body FROM notes", &[]).await.unwrap();
        let table: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(copy, table, "seed {seed}");
    }
}
