use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use saas_backup_core::{Connector, WriteMode, testkit};
use saas_backup_formats::csv::{CsvConfig, CsvConnector, check};

use crate::support::{files, start, write};
use crate::tables::{hostile, shop};

fn tables(path: &Path) -> CsvConnector {
    CsvConnector::new(CsvConfig::new(path).with_spreadsheet(true))
}

async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("tables");
    let (catalog, events, blobs) = shop();
    write(&tables(&path), WriteMode::Create, &start(catalog, 0), events, &blobs).await.unwrap();
    path
}

async fn written_hostile(folder: &Path) -> PathBuf {
    let path = folder.join("hostile");
    let (catalog, events, blobs) = hostile();
    write(&tables(&path), WriteMode::Create, &start(catalog, 0), events, &blobs).await.unwrap();
    path
}

#[tokio::test]
async fn tables_read_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let mut shown = String::new();
    for (file, bytes) in files(&path) {
        let text = match String::from_utf8(bytes) {
            Ok(text) if !matches!(&*file, "SHA256SUMS" | "manifest.json") && !file.starts_with("blobs/") => text,
            _ => "(bytes)".to_owned(),
        };
        let _ = write!(shown, "═══ {file}\n{}\n", text.replace('\r', "␍").trim_end());
    }
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn what_is_written_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    for path in [written(folder.path()).await, written_hostile(folder.path()).await] {
        let report = check(&path).unwrap();
        assert_eq!(report.findings, []);
        assert!(report.checked["foreign keys"] > 5 && report.checked["rows for spreadsheets"] > 5, "{report:?}");
        assert!(tables(&path).verify().await.unwrap().is_clean());
        assert!(tables(&path).check_content().await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn numbers_and_texts_stand_in_the_exact_files_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let tree = files(&written(folder.path()).await);
    let text = |file: &str| String::from_utf8(tree[file].clone()).unwrap();
    let orders = text("orders.csv");
    for token in ["1.10", "1e400", "-0.0", "18446744073709551616", "-5", "\"=HYPERLINK(\"\"http://evil\"\")\""] {
        assert!(orders.contains(&format!(",{token},")), "{token} in {orders}");
    }
    assert!(text("orders__labels.csv").contains("1,1,-5\r\n1,2,\r\n"));
    let spreadsheet = text("orders.excel.csv");
    assert!(
        spreadsheet.starts_with('\u{feff}') && spreadsheet.contains("'=HYPERLINK(") && spreadsheet.contains(",-5,")
    );
}

/// Changes the exact files and describes them anew, so that only the fault itself is wrong.
fn plant(path: &Path, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<String> {
    let before = fs::read(path.join(file)).unwrap();
    let changed = change(before.clone());
    assert_ne!(before, changed, "the fault was not planted");
    fs::write(path.join(file), &changed).unwrap();
    let described = fs::read(path.join("datapackage.json")).unwrap();
    let mut package: serde_json::Value = serde_json::from_slice(&described).unwrap();
    for resource in package["resources"].as_array_mut().unwrap() {
        if resource["path"] == file {
            resource["bytes"] = changed.len().into();
            resource["hash"] = format!("sha256:{}", saas_backup_core::Digest::of(&changed)).into();
        }
    }
    fs::write(path.join("datapackage.json"), package.to_string()).unwrap();
    let found = check(path).unwrap().findings.iter().map(|found| format!("{} {}", found.at, found.problem)).collect();
    fs::write(path.join(file), before).unwrap();
    fs::write(path.join("datapackage.json"), described).unwrap();
    found
}

fn replace(from: &'static str, to: &'static str) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
    move |text| String::from_utf8(text).unwrap().replacen(from, to, 1).into_bytes()
}

#[tokio::test]
async fn planted_faults_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let found = |file: &str, from, to| plant(&path, file, replace(from, to)).remove(0);
    assert_eq!(
        found("tags.csv", ",new\r", ",=1+1\r"),
        " 1 cells are formulas to a spreadsheet, and the descriptor does not say so"
    );
    assert_eq!(found("tags.csv", ",new\r", ",n\0w\r"), "row 2, column name a NUL: many readers end here");
    let found_return = plant(&path, "customers.csv", |text| {
        let mut text = String::from_utf8(text).unwrap().replacen("Jane", "\"Ja\rne\"", 1).into_bytes();
        text.retain(|byte| *byte != 0);
        text
    });
    assert!(found_return.iter().any(|problem| problem.contains("lone carriage return")), "{found_return:?}");
    assert_eq!(
        found("orders.csv", ",9223372036854775807,", ",18446744073709551616,"),
        "row 3, column count not an integer within 63 bits"
    );
    assert_eq!(found("orders.csv", ",1e400,", ",1e400x,"), "row 3, column total not a number");
    assert_eq!(found("orders.csv", ",true,", ",yes,"), "row 2, column paid neither true nor false");
    assert_eq!(found("tags.csv", ",new\r", ",new,more\r"), "row 2 7 cells for 6 columns");
    assert_eq!(found("tags.csv", "t1,", "\\N,"), "row 2, column _id NULL where a value is required");
    assert_eq!(found("customers.csv", "\nc2,", "\nc1,"), " 1 rows have a key that another one has");
    assert_eq!(found("orders__items.csv", "1,1,b-2", "9,1,b-2"), "row 3, column _id no row of orders has this key");
    assert_eq!(found("tags.csv", "name\r", "title\r"), "row 1 the header is not the list of the descriptor's columns");
    let bad = plant(&path, "tags.csv", |text| {
        let at = text.windows(3).position(|bytes| bytes == b"new").unwrap();
        [&text[..at], b"n\xffw", &text[at + 3..]].concat()
    });
    assert_eq!(bad, ["row 2, column name not UTF-8"]);

    let spreadsheet = fs::read_to_string(path.join("orders.excel.csv")).unwrap();
    fs::write(path.join("orders.excel.csv"), spreadsheet.replace("'=HYPER", "=HYPER")).unwrap();
    fs::write(path.join("tags.csv"), "x").unwrap();
    fs::remove_file(path.join("customers.csv")).unwrap();
    let found = check(&path).unwrap().findings;
    let has = |file: &str, problem: &str| found.iter().any(|found| found.file == file && found.problem == problem);
    assert!(has("orders.excel.csv", "a formula"), "{found:?}");
    assert!(has("tags.csv", "the file is not the one that the descriptor describes"), "{found:?}");
    assert!(has("customers.csv", "the file is not there"), "{found:?}");
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(folder.path()).await);
    let path = folder.path().join("again");
    let (catalog, mut events, blobs) = shop();
    events.reverse();
    let again = events[..2].to_vec();
    events.extend(again);
    write(&tables(&path), WriteMode::Create, &start(catalog, 77), events, &blobs).await.unwrap();
    let second = files(&path);
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (path, bytes) in &first {
        assert!(bytes == &second[path], "{path} differs");
    }
}

#[tokio::test]
async fn attachments_stand_once_and_are_told_by_their_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let tree = files(&path);
    let listed = String::from_utf8(tree["orders__blobs.csv"].clone()).unwrap();
    let blobs: Vec<_> = tree.keys().filter(|path| path.starts_with("blobs/")).collect();
    assert_eq!(blobs.len(), 1);
    assert_eq!(listed.matches(blobs[0].as_str()).count(), 2);
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU32::new(0);
    let report = testkit::sink(async || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(tables(&folder.path().join(number.to_string()))) as Arc<dyn Connector>)
    })
    .await;
    report.assert_passed();
    assert!(report.passed().len() > 3, "{report}");
    testkit::connector(&tables(&folder.path().join("x"))).await.assert_passed();
}

mod live_readers {
    use super::*;
    use crate::tables::foreign;

    #[tokio::test]
    #[ignore = "needs frictionless, duckdb and pathvalidate"]
    async fn foreign_readers_accept_the_tables() {
        let folder = tempfile::tempdir().unwrap();
        for path in [written(folder.path()).await, written_hostile(folder.path()).await] {
            let said = foreign("csv_tables.py", &[&path]);
            assert!(said.ends_with("valid\n"), "{said}");
        }
    }
}
