use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use saas_backup_core::{Catalog, Collection, Kind, WriteMode, testkit};
use saas_backup_formats::parquet::{ParquetConfig, ParquetConnector, check};

use crate::support::{assert_conforms_as_sink, assert_same_in_any_order, files, name, puts, start, write};
use crate::tables::{hostile, record, shop};

fn columns(path: &Path) -> ParquetConnector {
    ParquetConnector::new(ParquetConfig::new(path))
}

async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("shop");
    let (catalog, events, blobs) = shop();
    write(&columns(&path), WriteMode::Create, &start(catalog, 0), events, &blobs).await.unwrap();
    path
}

async fn written_hostile(folder: &Path) -> PathBuf {
    let path = folder.join("hostile");
    let (catalog, events, blobs) = hostile();
    write(&columns(&path), WriteMode::Create, &start(catalog, 0), events, &blobs).await.unwrap();
    path
}

#[tokio::test]
async fn columns_have_these_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let mut shown = String::new();
    for collection in ["orders", "customers", "empty_ones"] {
        let file = File::open(path.join(collection).join("part-0000.parquet")).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let _ = writeln!(shown, "── {collection}, {} rows", reader.metadata().file_metadata().num_rows());
        for field in reader.schema().fields() {
            let _ = writeln!(shown, "{} {}: {}", field.metadata()["path"], field.name(), field.data_type());
        }
    }
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn what_is_written_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    for path in [written(folder.path()).await, written_hostile(folder.path()).await] {
        let report = check(&path).unwrap();
        assert_eq!(report.findings, []);
        assert!(report.checked["records"] > 5 && report.checked["attachments"] > 0, "{report:?}");
        assert!(columns(&path).verify().await.unwrap().is_clean());
        assert!(columns(&path).check_content().await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn a_large_collection_is_in_several_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parts");
    let connector = ParquetConnector::new(ParquetConfig::new(&path).with_part_records(4));
    let records: Vec<_> = (0..10).map(|id| record("things", &id.to_string(), &format!("{{\"n\":[{id}]}}"))).collect();
    let catalog = Catalog::new(vec![Collection::new(name("things"), Kind::Record)]);
    write(&connector, WriteMode::Create, &start(catalog, 0), puts(&records), &[]).await.unwrap();
    let parts: Vec<_> = files(&path).into_keys().filter(|file| file.starts_with("things/")).collect();
    assert_eq!(parts, ["things/part-0000.parquet", "things/part-0001.parquet", "things/part-0002.parquet"]);
    let report = check(&path).unwrap();
    assert!(report.is_clean() && report.checked["records"] == 10, "{report:?}");
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(folder.path()).await);
    let path = folder.path().join("again");
    let (catalog, events, blobs) = shop();
    assert_same_in_any_order(&columns(&path), &path, &first, (start(catalog, 77), events, blobs)).await;
}

#[tokio::test]
async fn planted_faults_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let found = || -> Vec<String> {
        let findings = check(&path).unwrap().findings;
        findings.into_iter().map(|found| format!("{}: {}", found.file, found.problem)).collect()
    };
    let orders = path.join("orders/part-0000.parquet");
    let before = fs::read(&orders).unwrap();
    let mut flipped = before.clone();
    flipped[before.len() / 3] ^= 0x40;
    fs::write(&orders, flipped).unwrap();
    assert!(found().contains(&"orders/part-0000.parquet: a file that is not as it was written".to_owned()));
    fs::write(&orders, &before[..before.len() - 5]).unwrap();
    assert!(found().iter().any(|found| found.contains("cannot be read")), "{:?}", found());
    fs::copy(path.join("customers/part-0000.parquet"), path.join("orders/part-0000.parquet")).unwrap();
    fs::copy(path.join("customers/part-0000.parquet"), path.join("tags/part-0000.parquet")).unwrap();
    assert!(found().contains(&"tags: 3 records of tags, which has 1".to_owned()), "{:?}", found());
    fs::write(&orders, &before).unwrap();
    let blob = files(&path).into_keys().find(|file| file.starts_with("blobs/")).unwrap();
    fs::remove_file(path.join(blob)).unwrap();
    assert!(found().contains(&"orders/part-0000.parquet: the attachment is not there".to_owned()), "{:?}", found());
    fs::write(path.join("more.txt"), "x").unwrap();
    assert!(found().contains(&"more.txt: a file that the export does not know".to_owned()), "{:?}", found());
    let ids = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("_id", ids as ArrayRef)]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&orders).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(
        found().contains(&"orders/part-0000.parquet: there is no such column of texts".to_owned()),
        "{:?}",
        found()
    );
    fs::remove_file(&orders).unwrap();
    assert!(found().contains(&"orders/part-0000.parquet: a file that is not there".to_owned()), "{:?}", found());
}

#[tokio::test]
async fn ids_that_do_not_follow_each_other_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parts");
    let connector = ParquetConnector::new(ParquetConfig::new(&path).with_part_records(2));
    let records: Vec<_> = (0..4).map(|id| record("things", &id.to_string(), "{}")).collect();
    write(&connector, WriteMode::Create, &start(Catalog::default(), 0), puts(&records), &[]).await.unwrap();
    fs::copy(path.join("things/part-0000.parquet"), path.join("things/part-0001.parquet")).unwrap();
    let findings = check(&path).unwrap().findings;
    assert!(findings.iter().any(|found| found.problem == "an id that does not follow the one before"), "{findings:?}");
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(columns).await;
    let folder = tempfile::tempdir().unwrap();
    testkit::connector(&columns(&folder.path().join("x"))).await.assert_passed();
}

mod live_readers {
    use super::*;
    use crate::support::python;

    #[tokio::test]
    #[ignore = "needs pyarrow and duckdb"]
    async fn foreign_readers_accept_the_columns() {
        let folder = tempfile::tempdir().unwrap();
        for path in [written(folder.path()).await, written_hostile(folder.path()).await] {
            let said = python("parquet_columns.py", &path);
            assert!(said.ends_with("valid\n"), "{said}");
        }
    }
}
