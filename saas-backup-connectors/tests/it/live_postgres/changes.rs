use saas_backup_connectors::postgres::Postgres;
use saas_backup_core::{RunStatus, TransferOptions, transfer};

use super::support::{Scratch, backup, contents, copy};

const NOTES: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, body text, big text);
    ALTER TABLE notes ALTER COLUMN big SET STORAGE EXTERNAL;
    CREATE TABLE plain (word text);
    INSERT INTO notes SELECT n, 'body ' || n, repeat('large ', 2000) || n FROM generate_series(1, 50) n;
    INSERT INTO plain VALUES ('one'), ('two')";

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn an_increment_brings_what_changed_and_nothing_else() {
    let database = Scratch::new().await;
    database.run(NOTES).await;
    let copy = copy();
    backup(&database.connector(), &copy).await;
    database
        .run(
            "UPDATE notes SET body = 'changed' WHERE id = 1; UPDATE notes SET id = 100 WHERE id = 2;
              DELETE FROM notes WHERE id = 3; INSERT INTO notes VALUES (51, NULL, NULL);
              DELETE FROM plain WHERE word = 'two'",
        )
        .await;
    database.run("BEGIN; INSERT INTO notes VALUES (52); ROLLBACK").await;
    let done = backup(&database.connector(), &copy).await;
    assert_eq!(contents(&copy).await.differences(&contents(&database.plain()).await), Vec::<String>::new());
    let totals = done.report.totals();
    assert_eq!((totals.written, totals.deleted), (3, 3), "{:?}", done.report);
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_table_that_was_emptied_or_changed_its_form_is_read_again() {
    let database = Scratch::new().await;
    database.run(NOTES).await;
    let copy = copy();
    backup(&database.connector(), &copy).await;
    for change in [
        "ALTER TABLE notes ADD COLUMN extra int DEFAULT 7; UPDATE notes SET body = 'after' WHERE id = 1",
        "ALTER TABLE notes DROP COLUMN body",
        "TRUNCATE notes; INSERT INTO notes (id) VALUES (7)",
        "CREATE TYPE mood AS ENUM ('good', 'bad'); ALTER TABLE notes ADD COLUMN mood mood DEFAULT 'good'",
        "ALTER TYPE mood RENAME VALUE 'good' TO 'fine'",
        "CREATE TABLE more (id int PRIMARY KEY); INSERT INTO more VALUES (1)",
        "ALTER TABLE plain ADD COLUMN id serial PRIMARY KEY",
        "DROP TABLE more; CREATE VIEW seen AS SELECT * FROM plain",
    ] {
        database.run(change).await;
        // An emptied table is believed without a review: its log said so, but the reading after it infers.
        let options = TransferOptions::backup().with_accepted_deletions(true);
        let done = transfer(&database.connector(), &copy, options).await.unwrap();
        assert!(done.report.status == RunStatus::Complete, "{change}: {:?}", done.report);
        let differences = contents(&copy).await.differences(&contents(&database.plain()).await);
        assert_eq!(differences, Vec::<String>::new(), "{change}");
    }
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_slot_that_is_lost_or_elsewhere_means_a_full_read_and_says_so() {
    let database = Scratch::new().await;
    database.run(NOTES).await;
    let (copy, other) = (copy(), copy());
    backup(&database.connector(), &copy).await;
    for loss in [
        format!("SELECT pg_drop_replication_slot('{}')", database.name),
        format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", database.name),
    ] {
        database.run("DELETE FROM notes WHERE id % 7 = 1; INSERT INTO notes VALUES (1)").await;
        database.run(&loss).await;
        let done = backup(&database.connector(), &copy).await;
        let told: Vec<&String> = done.report.feeds.values().filter_map(|feed| feed.reset.as_ref()).collect();
        assert!(told.iter().any(|reason| reason.contains("slot")), "{told:?}");
        assert_eq!(contents(&copy).await.differences(&contents(&database.plain()).await), Vec::<String>::new());
    }
    backup(&database.connector(), &other).await;
    database.run("UPDATE notes SET body = 'x'").await;
    backup(&database.connector(), &copy).await;
    assert_eq!(contents(&copy).await.differences(&contents(&database.plain()).await), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn what_was_written_to_a_table_before_it_is_followed_is_not_lost() {
    let database = Scratch::new().await;
    database.run(NOTES).await;
    let copy = copy();
    backup(&database.connector(), &copy).await;
    database.run("CREATE TABLE late (id int PRIMARY KEY)").await;
    let writer = database.client().await;
    writer.batch_execute("BEGIN; INSERT INTO late VALUES (1)").await.unwrap();
    let (source, admin) = (database.connector(), database.client().await);
    // The transaction stays open until the backup waits for it, or has ended without.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_partition_tree%' \
                 AND pid <> pg_backend_pid()";
    let mut run = Box::pin(backup(&source, &copy));
    let mut has_ended = false;
    loop {
        tokio::select! {
            _ = &mut run => has_ended = true,
            row = admin.query_one(waits, &[]) => if row.unwrap().get::<_, i64>(0) == 0 { continue },
        }
        break;
    }
    writer.batch_execute("COMMIT").await.unwrap();
    if !has_ended {
        run.await;
    }
    backup(&source, &copy).await;
    assert_eq!(contents(&copy).await.differences(&contents(&database.plain()).await), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs testing/servers up postgres"]
async fn a_publication_that_somebody_made_is_used_if_it_leaves_nothing_out() {
    let database = Scratch::new().await;
    database.run(NOTES).await;
    let named = |name: &str| Postgres::new(database.settings().with_publication(name)).unwrap();
    database
        .run("CREATE PUBLICATION filtered FOR TABLE notes WHERE (id > 1) WITH (publish_via_partition_root = true)")
        .await;
    database
        .run("CREATE PUBLICATION inserts FOR TABLE notes WITH (publish = 'insert', publish_via_partition_root = true)")
        .await;
    for (name, told) in [("filtered", "leaves rows or columns out"), ("inserts", "does not tell all changes")] {
        let report = transfer(&named(name), &copy(), TransferOptions::backup()).await.unwrap().report;
        assert!(format!("{report:?}").contains(told), "{report:?}");
    }
    database.run("CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root = true)").await;
    let copy = copy();
    backup(&named("everything"), &copy).await;
    database.run("UPDATE notes SET body = 'x' WHERE id < 4; CREATE TABLE more (id int PRIMARY KEY); INSERT INTO more VALUES (1)").await;
    backup(&named("everything"), &copy).await;
    database.run("INSERT INTO more VALUES (2)").await;
    let third = backup(&named("everything"), &copy).await;
    assert_eq!(third.report.totals().read, 1, "{:?}", third.report);
    assert_eq!(contents(&copy).await.differences(&contents(&database.plain()).await), Vec::<String>::new());
}
