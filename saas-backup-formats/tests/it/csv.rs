use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    Catalog, Connector, Event, Record, SnapshotOptions, TransferOptions, WriteMode, testkit, transfer,
};
use saas_backup_formats::csv::{CsvConfig, CsvConnector, check};

use crate::support::{assert_conforms_as_sink, assert_same_in_any_order, files, name, puts, start, write};
use crate::tables::{hostile, record, shop};

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

    assert_eq!(found("tags.csv", "t1,", "t1,\r\nt2,"), "row 2 2 cells for 6 columns");
    let rows = plant(&path, "tags.csv", |text| [text.clone(), text].concat());
    assert!(rows.iter().any(|problem| problem == " 3 rows, and the descriptor says 1"), "{rows:?}");

    let described = fs::read(path.join("datapackage.json")).unwrap();
    for (kind, problem) in [("object", "not a JSON object"), ("array", "not a JSON array"), ("any", "not JSON")] {
        let mut package: serde_json::Value = serde_json::from_slice(&described).unwrap();
        for resource in package["resources"].as_array_mut().unwrap().iter_mut().filter(|it| it["path"] == "tags.csv") {
            let fields = resource["schema"]["fields"].as_array_mut().unwrap();
            fields.iter_mut().find(|field| field["name"] == "name").unwrap()["type"] = kind.into();
        }
        fs::write(path.join("datapackage.json"), package.to_string()).unwrap();
        let found = check(&path).unwrap().findings;
        assert_eq!((found[0].at.as_str(), found[0].problem.as_str()), ("row 2, column name", problem));
    }
    fs::write(path.join("datapackage.json"), described).unwrap();

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
    let (catalog, events, blobs) = shop();
    assert_same_in_any_order(&tables(&path), &path, &first, (start(catalog, 77), events, blobs)).await;
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
    assert_conforms_as_sink(tables).await;
}

/// The records of an export, read back.
async fn read(connector: &CsvConnector) -> Vec<Record> {
    let back = MemoryConnector::new(MemoryStore::new());
    transfer(connector, &back, TransferOptions::new(WriteMode::Create)).await.unwrap();
    back.store().live().into_values().collect()
}

#[tokio::test]
async fn it_reads_back_what_cells_hold() {
    let folder = tempfile::tempdir().unwrap();
    let connector = tables(&written(folder.path()).await);
    let (_, events, blobs) = shop();
    let mut expected: Vec<Record> = events
        .into_iter()
        .map(|event| match event {
            Event::Put(record) => *record,
            _ => panic!("a record"),
        })
        .collect();
    expected.sort_by(|one, other| one.key.cmp(&other.key));
    let found = read(&connector).await;
    assert_eq!(found.len(), expected.len());
    let object = |record: &Record| -> serde_json::Map<String, serde_json::Value> {
        let text = record.data.as_str().replace("1e400", "1").replace("\\ud800", "?");
        serde_json::from_str(&text).unwrap()
    };
    for (found, mut expected) in found.into_iter().zip(expected) {
        // What a cell does not hold, and what docs/formats.md says that tables do not tell.
        if expected.key.id.as_str() == "\\N" {
            continue;
        }
        for blob in &mut expected.blobs {
            blob.name = blob.name.as_deref().map(|name| name.replace(['\0', '\r'], "\u{fffd}"));
        }
        expected.refs.retain(|_, to| to.iter().next().is_some());
        assert_eq!(found.refs, expected.refs);
        assert_eq!(found.blobs, expected.blobs);
        assert_eq!(found.access, expected.access);
        assert_eq!((&found.by, &found.version, found.created), (&expected.by, &expected.version, expected.created));
        let (found, expected) = (object(&found), object(&expected));
        for (name, value) in &found {
            if !matches!(&**name, "customer" | "items" | "text") {
                assert_eq!(value, &expected[name], "{name}");
            }
        }
        assert_eq!(found.get("mixed"), expected.get("mixed"));
        assert_eq!(
            found.get("matrix").is_some(),
            expected.get("matrix").is_some_and(|it| it != &serde_json::json!([]))
        );
    }
    let snapshot = connector.snapshot(SnapshotOptions::default()).await.unwrap();
    let coverage = snapshot.coverage().await.unwrap();
    assert!(coverage.collections[&name("orders")].reason.as_ref().unwrap().contains("do not tell"));
    drop(blobs);
    let report = testkit::connector(&connector).await;
    report.assert_passed();
    assert!(report.passed().len() > 20, "{report}");
}

#[tokio::test]
async fn rows_that_no_record_has_stop_the_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let items = path.join("orders__items.csv");
    let text = fs::read_to_string(&items).unwrap().replacen("1,1,b-2", "9,1,b-2", 1);
    fs::write(&items, text).unwrap();
    let error = tables(&path).snapshot(SnapshotOptions::default()).await.err().unwrap();
    assert_eq!(error.kind(), saas_backup_core::ErrorKind::InvalidData);
    assert!(error.to_string().contains("orders__items.csv"), "{error}");
}

/// JSON that tables tell in full: no `null`, nothing empty.
fn told() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof!["[ -~]{0,12}", ".{0,6}", Just("\\N".to_owned()), Just("2024-02-29".to_owned())];
    let leaf = prop_oneof![
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        (-1000_i32..1000).prop_map(|number| serde_json::Value::from(f64::from(number) / 8.0)),
        text.prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-c~/. ]{1,3}", inner, 1..4)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

#[tokio::test]
async fn the_descriptor_counts_formulas_in_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let connector = tables(&folder.path().join("x"));
    let records = [record("x", "1", r#"{"a":"+\r"}"#)];
    write(&connector, WriteMode::Create, &start(Catalog::new(vec![]), 0), puts(&records), &[]).await.unwrap();
    assert_eq!(connector.check_content().await.unwrap().findings, []);
    let descriptor = &files(&folder.path().join("x"))["datapackage.json"];
    assert!(std::str::from_utf8(descriptor).unwrap().contains("\"formulaCells\": 1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_tables_tell_reads_back_the_same(
        all in proptest::collection::vec(proptest::collection::btree_map("[a-c_]{1,2}", told(), 1..4), 1..5)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let connector = tables(&folder.path().join("x"));
            let text = |number: usize| serde_json::to_string(&all[number]).unwrap();
            let records: Vec<_> = (0..all.len()).map(|number| record("x", &number.to_string(), &text(number))).collect();
            let catalog = Catalog::new(vec![]);
            write(&connector, WriteMode::Create, &start(catalog, 0), puts(&records), &[]).await.unwrap();
            assert_eq!(connector.check_content().await.unwrap().findings, []);
            let found = read(&connector).await;
            for (found, all) in found.iter().zip(&all) {
                let found: serde_json::Value = found.data.decode().unwrap();
                assert_eq!(found, serde_json::to_value(all).unwrap());
            }
            assert_eq!(found.len(), all.len());
        });
    }
}

mod live_readers {
    use super::*;
    use crate::support::python;

    #[tokio::test]
    #[ignore = "needs frictionless, duckdb and pathvalidate"]
    async fn foreign_readers_accept_the_tables() {
        let folder = tempfile::tempdir().unwrap();
        for path in [written(folder.path()).await, written_hostile(folder.path()).await] {
            let said = python("csv_tables.py", &path);
            assert!(said.ends_with("valid\n"), "{said}");
        }
    }
}
