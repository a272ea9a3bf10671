use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use saas_backup_core::{Connector, SnapshotOptions, WriteMode};
use saas_backup_formats::sqlite::{SqliteConfig, SqliteConnector, check};

use crate::support::{assert_conforms_as_sink, assert_reads_back, assert_same_in_any_order, files, start, write};
use crate::tables::{hostile, shop};

fn database(path: &Path) -> SqliteConnector {
    SqliteConnector::new(SqliteConfig::new(path))
}

async fn written(folder: &Path) -> PathBuf {
    written_as(&database(&folder.join("shop"))).await;
    folder.join("shop")
}

async fn written_as(connector: &SqliteConnector) {
    let (catalog, events, blobs) = shop();
    write(connector, WriteMode::Create, &start(catalog, 0), events, &blobs).await.unwrap();
}

async fn written_hostile(folder: &Path) -> PathBuf {
    let path = folder.join("hostile");
    let (catalog, events, blobs) = hostile();
    write(&database(&path), WriteMode::Create, &start(catalog, 0), events, &blobs).await.unwrap();
    path
}

fn open(path: &Path) -> Connection {
    Connection::open(path.join("archive.db")).unwrap()
}

fn texts(database: &Connection, query: &str) -> Vec<String> {
    let mut statement = database.prepare(query).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cells: Vec<String> = (0..columns)
            .map(|column| match row.get_ref(column).unwrap() {
                rusqlite::types::ValueRef::Null => "NULL".to_owned(),
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                rusqlite::types::ValueRef::Real(number) => format!("{number:?}"),
                rusqlite::types::ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
                rusqlite::types::ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
            })
            .collect();
        Ok(cells.join(" | "))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_database_reads_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let database = open(&path);
    let mut shown = vec!["── schema".to_owned()];
    shown.extend(texts(
        &database,
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '%fts%' AND name NOT LIKE '\\_%' ESCAPE '\\'",
    ));
    for table in ["_collections", "orders", "orders_view", "orders__items", "orders__ref_tags", "orders__blobs"] {
        shown.push(format!("── {table}"));
        shown.extend(texts(&database, &format!("SELECT * FROM \"{table}\"")));
    }
    insta::assert_snapshot!(shown.join("\n").replace("\\n", "\n"));
}

#[tokio::test]
async fn what_is_written_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    for path in [written(folder.path()).await, written_hostile(folder.path()).await] {
        let report = check(&path).unwrap();
        assert_eq!(report.findings, []);
        assert!(report.checked["records"] > 5 && report.checked["attachments"] > 0, "{report:?}");
        assert!(database(&path).verify().await.unwrap().is_clean());
        assert!(database(&path).check_content().await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn it_reads_back_with_attachments_beside_and_inside() {
    let folder = tempfile::tempdir().unwrap();
    assert_reads_back(&database(&folder.path().join("beside"))).await;
    let inside = SqliteConfig::new(folder.path().join("inside")).with_blobs_inside(true);
    assert_reads_back(&SqliteConnector::new(inside)).await;
    assert!(!folder.path().join("inside/blobs").exists());
    let missing = database(&folder.path().join("nothing")).snapshot(SnapshotOptions::default()).await;
    assert_eq!(missing.err().unwrap().kind(), saas_backup_core::ErrorKind::NotFound);
}

#[tokio::test]
async fn words_are_found_and_numbers_keep_their_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&written(folder.path()).await);
    let found =
        "SELECT _id FROM orders WHERE _rowid_ IN (SELECT rowid FROM orders_fts WHERE orders_fts MATCH 'hyperlink')";
    assert_eq!(texts(&database, found), ["\"1\""]);
    assert_eq!(
        texts(&database, "SELECT total, big, count FROM orders ORDER BY _id"),
        [
            "\"1.10\" | \"18446744073709551616\" | -5",
            "\"1e400\" | \"1\" | 9223372036854775807",
            "\"-0.0\" | NULL | NULL"
        ]
    );
    let total = texts(&database, "SELECT sum(price) FROM orders__items");
    assert_eq!(total, ["19.9"]);
}

#[tokio::test]
async fn full_text_is_left_out_if_it_is_not_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain");
    written_as(&SqliteConnector::new(SqliteConfig::new(&path).with_full_text(false))).await;
    assert_eq!(texts(&open(&path), "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%fts%'"), ["0"]);
    assert!(check(&path).unwrap().is_clean());
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(folder.path()).await);
    let path = folder.path().join("again");
    let (catalog, events, blobs) = shop();
    assert_same_in_any_order(&database(&path), &path, &first, (start(catalog, 77), events, blobs)).await;
}

/// What a check finds after some statements were run on a copy.
fn planted(path: &Path, statements: &str) -> Vec<String> {
    let before = fs::read(path.join("archive.db")).unwrap();
    open(path).execute_batch(&format!("PRAGMA foreign_keys = OFF; {statements}")).unwrap();
    let found = check(path).unwrap().findings;
    fs::write(path.join("archive.db"), before).unwrap();
    found.into_iter().map(|found| format!("{}: {}", found.at, found.problem)).collect()
}

#[tokio::test]
async fn planted_faults_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let found = planted(&path, "UPDATE orders__items SET _id = 'nobody' WHERE sku = 'b-2'");
    assert_eq!(found, ["orders__items: no row of orders has this key"]);
    let found = planted(&path, "DELETE FROM tags");
    assert!(found.contains(&"tags: 0 rows for 1 records, or not the same ones".to_owned()), "{found:?}");
    let found = planted(&path, "UPDATE tags SET _id = 't2'; UPDATE orders__ref_tags SET _target_held = NULL");
    assert!(found.contains(&"tags: 1 rows for 1 records, or not the same ones".to_owned()), "{found:?}");
    let found = planted(&path, "UPDATE _records SET line = replace(line, '\"id\":\"t1\"', '\"id\":\"t2\"')");
    assert!(found.contains(&"_records, tags t1: the line is not this record".to_owned()), "{found:?}");
    let found = planted(&path, "DELETE FROM tags_fts_docsize");
    assert!(found.contains(&"tags_fts: the full-text index does not know the rows of tags".to_owned()), "{found:?}");

    let blob = files(&path).into_keys().find(|path| path.starts_with("blobs/")).unwrap();
    let bytes = fs::read(path.join(&blob)).unwrap();
    fs::remove_file(path.join(&blob)).unwrap();
    assert_eq!(check(&path).unwrap().findings[0].problem, "the attachment is not there");
    fs::write(path.join(&blob), b"other").unwrap();
    assert_eq!(check(&path).unwrap().findings[0].problem, "the attachment is not as it was written");
    fs::write(path.join(&blob), bytes).unwrap();

    let mut pages = fs::read(path.join("archive.db")).unwrap();
    let at = pages.len() / 2 / 4096 * 4096;
    pages[at..at + 64].fill(0xff);
    fs::write(path.join("archive.db"), pages).unwrap();
    assert!(!check(&path).unwrap().is_clean());
}

#[tokio::test]
async fn an_attachment_inside_is_compared_with_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inside");
    written_as(&SqliteConnector::new(SqliteConfig::new(&path).with_blobs_inside(true))).await;
    assert!(check(&path).unwrap().is_clean());
    let found = planted(&path, "UPDATE _blobs SET content = x'00'");
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("the attachment is not as it was written"), "{found:?}");
    let found = planted(&path, "DELETE FROM _blobs");
    assert_eq!(found, [": the attachment is not there"]);
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(database).await;
}

mod live_readers {
    use super::*;
    use crate::support::python;

    #[tokio::test]
    #[ignore = "needs datasette"]
    async fn foreign_readers_accept_the_database() {
        let folder = tempfile::tempdir().unwrap();
        for path in [written(folder.path()).await, written_hostile(folder.path()).await] {
            let said = python("sqlite_database.py", &path);
            assert!(said.ends_with("valid\n"), "{said}");
        }
    }
}
