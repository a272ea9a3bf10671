//! Formats in which an attachment lies under its digest, and tables or lines say where.

use std::path::Path;

use saas_backup_core::{Connector, Kind};
use saas_backup_formats::bagit::{self, BagItConfig, BagItConnector};
use saas_backup_formats::csv::{self, CsvConfig, CsvConnector};
use saas_backup_formats::jsonl::{self, JsonlConfig, JsonlConnector};
use saas_backup_formats::parquet::{self, ParquetConfig, ParquetConnector};
use saas_backup_formats::sqlite::{self, SqliteConfig, SqliteConnector};

use crate::large::{Check, arrives, assert_memory, attachment, noise, written};
use crate::support::python;

/// The readers of the format find the attachment, and all its bytes.
async fn is_found(connector: &dyn Connector, path: &Path, check: Check) {
    let digest = arrives(connector, path, Kind::Document, attachment(), check).await;
    assert_eq!(python("large.py", path).trim(), digest.to_string());
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_lies_where_lines_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    is_found(&JsonlConnector::new(JsonlConfig::new(&path)), &path, jsonl::check).await;
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_is_in_a_bag_that_bagit_validates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    is_found(&BagItConnector::new(BagItConfig::new(&path)), &path, bagit::check).await;
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_lies_where_tables_say_that_frictionless_validates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tables");
    is_found(&CsvConnector::new(CsvConfig::new(&path)), &path, csv::check).await;
}

#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_lies_where_columns_say_that_pyarrow_and_duckdb_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("columns");
    is_found(&ParquetConnector::new(ParquetConfig::new(&path)), &path, parquet::check).await;
}

/// A gibibyte is more than a database takes.
#[tokio::test]
#[ignore = "needs 1 GiB of room and the readers of testing/servers.d"]
async fn a_gibibyte_that_a_database_refuses_lies_where_its_rows_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("database");
    let config = SqliteConfig::new(&path).with_blobs_inside(true);
    is_found(&SqliteConnector::new(config), &path, sqlite::check).await;
}

/// A row has a billion bytes at most, with its digest and its head.
#[tokio::test]
#[ignore = "needs 2 GB of room and the readers of testing/servers.d"]
async fn as_much_as_a_database_takes_is_read_out_of_it() {
    const INSIDE: u64 = 1_000_000_000 - 72;
    for (bytes, inside) in [(INSIDE + 1, false), (INSIDE, true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database");
        let connector = SqliteConnector::new(SqliteConfig::new(&path).with_blobs_inside(true));
        let digest = written(&connector, Kind::Document, attachment(), noise(bytes)).await;
        assert_eq!(path.join("blobs").exists(), !inside);
        if inside {
            assert_eq!(sqlite::check(&path).unwrap().findings, []);
            assert_eq!(python("large.py", &path).trim(), digest.to_string());
        }
        assert_memory();
    }
}
