use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use saas_backup_core::{BlobRef, Catalog, Collection, Kind, Record, RefRule, WriteMode};
use saas_backup_formats::files::{FilesConfig, FilesConnector, check};

use crate::personal::{assert_round_trip, blob, hostile_catalog, hostile_records, mapping, record, reference, shown};
use crate::support::{
    assert_conforms_as_sink, assert_reads_back, assert_same_in_any_order, files, name, puts, start, time, write,
};

fn connector(path: &Path) -> FilesConnector {
    FilesConnector::new(FilesConfig::new(path))
}

fn catalog() -> Catalog {
    let mut fields = mapping("name", "text", &[]);
    fields.parent = Some("parent".to_owned());
    let tree = |collection: &str, kind| {
        Collection::new(name(collection), kind)
            .with_fields(fields.clone())
            .with_ref(RefRule::one("parent", name("folders")))
    };
    Catalog::new(vec![
        tree("folders", Kind::Folder),
        tree("files", Kind::File),
        Collection::new(name("notes"), Kind::Document),
        Collection::new(name("empty"), Kind::Media),
    ])
}

/// The names of files in a drive that nobody tidied up.
const NAMES: [&str; 13] = [
    "report.pdf",
    "REPORT.pdf",
    "../../etc/passwd",
    "CON.txt",
    "naïve.txt",
    "nai\u{308}ve.txt",
    "invoice\u{202E}fdp.exe",
    "مرحبا.docx",
    "👩‍👩‍👧.png",
    "a\0b.bin",
    "trailing. ",
    "=cmd|' /C calc'!A0.csv",
    "no extension",
];

fn world() -> (Vec<Record>, Vec<(BlobRef, Bytes)>) {
    let folder = |id: &str, title: &str, parent: Option<&str>| {
        let folder = record("folders", id, &serde_json::json!({ "name": title }));
        parent.map_or(folder.clone(), |parent| folder.with_ref("parent", reference("folders", parent)))
    };
    let mut records = vec![
        folder("1", "Projects", None),
        folder("2", "2024: Q1/Q2", Some("1")),
        folder("3", "Projects", None),
        folder("4", "empty", Some("2")),
        folder("c1", "circle", Some("c2")),
        folder("c2", "circle", Some("c1")),
        folder("self", "self", Some("self")),
        folder("lost", "lost", Some("nowhere")),
    ];
    let mut blobs = Vec::new();
    for (number, title) in NAMES.iter().enumerate() {
        let (blob, bytes) = blob(&format!("b{number}"), "content", title, "text/plain", format!("{number}").as_bytes());
        let mut file = record("files", &format!("f{number:02}"), &serde_json::json!({ "name": title }))
            .with_ref("parent", reference("folders", "2"))
            .with_blob(blob.clone());
        file.modified = Some(time(i64::try_from(number).unwrap() * 86_400));
        records.push(file);
        blobs.push((blob, bytes));
    }
    let long = format!("{}.tar", "ä".repeat(200));
    let (large, bytes) = blob("b-long", "content", &long, "", b"");
    records.push(record("files", "long", &serde_json::json!({ "name": long })).with_blob(large.clone()));
    blobs.push((large, bytes));
    // The same bytes twice are two files.
    let twin = blobs[0].0.clone().with_name("twin.pdf");
    let mut copy = record("files", "twin", &serde_json::json!({ "name": "twin.pdf" })).with_blob(twin);
    copy.modified = Some(time(-86_400));
    records.push(copy.with_ref("parent", reference("folders", "c1")));
    records.push(record("files", "native", &serde_json::json!({ "name": "Native document" })));
    records.push(
        record("files", "link", &serde_json::json!({ "name": "Link" }))
            .with_blob(BlobRef::external("https://elsewhere.example/x.zip", "content")),
    );
    records.push(record("notes", "n1", &serde_json::json!({ "text": "x" })).with_blob(blobs[1].0.clone()));
    (records, blobs)
}

async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("drive");
    let (records, blobs) = world();
    write(&connector(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &blobs).await.unwrap();
    path
}

#[tokio::test]
async fn a_tree_of_files_looks_like_this() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    insta::assert_snapshot!(shown(&files(&path)));
    assert!(path.join("folders/Projects/2024- Q1-Q2/empty").is_dir(), "an empty folder is there");
}

#[tokio::test]
async fn files_keep_the_time_of_their_last_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let modified = |file: &str| fs::metadata(path.join(file)).unwrap().modified().unwrap();
    assert_eq!(modified("folders/Projects/2024- Q1-Q2/report.pdf"), time(0).into());
    assert_eq!(modified("folders/Projects/2024- Q1-Q2/REPORT~e3ae54.pdf"), time(86_400).into());
    assert_eq!(modified("folders/circle/circle/twin.pdf"), time(-86_400).into(), "the same bytes are two files");
}

#[tokio::test]
async fn planted_faults_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let report = connector(&path).check_content().await.unwrap();
    assert_eq!(report.findings, []);
    assert!(report.checked["names"] > 20 && report.checked["digests"] > 14, "{report:?}");
    assert!(connector(&path).verify().await.unwrap().is_clean());

    let files = path.join("folders/Projects/2024- Q1-Q2");
    fs::write(files.join("report.pdf"), "other bytes").unwrap();
    fs::write(files.join("aux.txt"), "x").unwrap();
    fs::write(files.join("nai\u{308}ve.txt"), "x").unwrap();
    fs::remove_file(files.join("_CON.txt")).unwrap();
    fs::remove_dir(files.join("empty")).unwrap();
    let mut found: Vec<_> =
        check(&path).unwrap().findings.iter().map(|found| format!("{}: {}", found.file, found.problem)).collect();
    found.sort();
    insta::assert_snapshot!(found.join("\n").replace('\u{308}', "¨"));
}

#[tokio::test]
async fn deep_folders_stay_within_what_windows_takes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drive");
    let mut records = Vec::new();
    for number in 0..100 {
        let title = format!("A folder with quite a long name, number {number}");
        let folder = record("folders", &format!("{number:03}"), &serde_json::json!({ "name": title }));
        let parent = format!("{:03}", number - 1);
        records.push(if number == 0 { folder } else { folder.with_ref("parent", reference("folders", &parent)) });
    }
    let (content, bytes) = blob("b", "content", &format!("{}.txt", "x".repeat(255)), "", b"x");
    let file = record("files", "f", &serde_json::json!({ "name": "x" }))
        .with_blob(content.clone())
        .with_ref("parent", reference("folders", "099"));
    records.push(file);
    write(&connector(&path), WriteMode::Create, &start(catalog(), 0), puts(&records), &[(content, bytes)])
        .await
        .unwrap();
    assert_eq!(check(&path).unwrap().findings, []);
    let longest = files(&path).keys().map(String::len).max().unwrap();
    assert!(longest < 255, "{longest}");
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = files(&written(folder.path()).await);
    let path = folder.path().join("again");
    let (records, blobs) = world();
    assert_same_in_any_order(&connector(&path), &path, &first, (start(catalog(), 77), puts(&records), blobs)).await;
}

#[tokio::test]
async fn it_reads_back_everything() {
    let folder = tempfile::tempdir().unwrap();
    assert_reads_back(&connector(&folder.path().join("drive"))).await;
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(connector).await;
}

const PROPERTIES: [&str; 3] = ["modified", "title", "body"];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_records_hold_the_files_have_no_fault_and_read_back(records in hostile_records("files", &PROPERTIES)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        assert_round_trip(&connector(&path), hostile_catalog("files", Kind::File, &PROPERTIES), &records);
        proptest::prop_assert_eq!(check(&path).unwrap().findings, []);
    }
}

mod live_readers {
    use super::*;
    use crate::support::python;

    #[tokio::test]
    #[ignore = "needs Python with pathvalidate"]
    async fn python_walks_the_tree_and_pathvalidate_takes_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path()).await;
        assert_eq!(python("files.py", &path).trim(), "16 files, 8 folders");
    }
}
