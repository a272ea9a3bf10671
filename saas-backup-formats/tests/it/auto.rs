use std::fs;
use std::path::Path;

use saas_backup_core::{
    Body, Catalog, Collection, Connector, ErrorKind, FieldMapping, Json, Key, Kind, Markup, Record, RefRule, Reference,
    SnapshotOptions, WriteMode,
};
use saas_backup_formats::auto::{AutoConfig, AutoConnector, check};

use crate::support::{files, name, puts, start, time, world, write};

fn auto(path: &Path) -> AutoConnector {
    AutoConnector::new(AutoConfig::new(path))
}

fn fields(title: &str, properties: &[&str]) -> FieldMapping {
    let mut fields = FieldMapping::default();
    fields.title = Some(title.to_owned());
    for property in properties {
        fields.properties.insert((*property).to_owned(), (*property).to_owned());
    }
    fields
}

fn record(collection: &str, id: &str, data: &str) -> Record {
    let mut record = Record::new(Key::parse(collection, id).unwrap(), Json::parse(data.to_owned()).unwrap());
    record.modified = Some(time(0));
    record
}

/// A little of everything.
fn account() -> (Catalog, Vec<Record>) {
    let mut pages = fields("title", &[]);
    pages.body = Some(Body::new("text", Markup::Markdown));
    pages.author = Some("author".to_owned());
    let catalog = Catalog::new(vec![
        Collection::new(name("pages"), Kind::Document)
            .with_fields(pages)
            .with_ref(RefRule::one("author", name("users"))),
        Collection::new(name("users"), Kind::User).with_fields(fields("name", &[])),
        Collection::new(name("prices"), Kind::Product),
        Collection::new(name("dates"), Kind::Event).with_fields(fields("title", &["start", "end"])),
        Collection::new(name("people"), Kind::Contact).with_fields(fields("name", &["emails"])),
        Collection::new(name("letters"), Kind::Message).with_fields(fields("subject", &["from", "to", "date"])),
        Collection::new(name("pictures"), Kind::Media).with_fields(fields("title", &[])),
        Collection::new(name("code"), Kind::Repository).with_fields(fields("name", &[])),
    ]);
    let author = Reference::new(name("users"), saas_backup_core::RecordId::parse("u").unwrap());
    let records = vec![
        record("pages", "1", r#"{"title":"One","text":"Hello"}"#).with_ref("author", author),
        record("users", "u", r#"{"name":"Ada"}"#),
        record("prices", "p", r#"{"price":1.10,"currency":"EUR"}"#),
        record("dates", "d", r#"{"title":"Tea","start":"2026-01-02T15:00:00Z","end":"2026-01-02T16:00:00Z"}"#),
        record("people", "c", r#"{"name":"Bo","emails":["bo@example.org"]}"#),
        record(
            "letters",
            "m",
            r#"{"subject":"Hi","from":"a@example.org","to":"b@example.org","date":"2026-01-02T15:00:00Z"}"#,
        ),
    ];
    (catalog, records)
}

async fn written(path: &Path) {
    let (catalog, records) = account();
    write(&auto(path), WriteMode::Create, &start(catalog, 0), puts(&records), &[]).await.unwrap();
}

#[tokio::test]
async fn each_collection_has_the_form_that_fits_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account");
    written(&path).await;
    let mut shown: Vec<String> = files(&path).into_keys().filter(|file| !file.contains("_source/")).collect();
    shown.push(fs::read_to_string(path.join("README.md")).unwrap());
    insta::assert_snapshot!(shown.join("\n"));
    assert_eq!(check(&path).unwrap().findings, []);
    let sums = fs::read_to_string(path.join("SHA256SUMS")).unwrap();
    assert!(sums.contains("  documents/pages/One.md\n"), "{sums}");
}

#[tokio::test]
async fn a_fault_in_a_folder_is_found_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account");
    written(&path).await;
    fs::remove_file(path.join("documents/users/index.md")).unwrap();
    let report = check(&path).unwrap();
    assert!(report.findings.iter().any(|found| found.file.starts_with("documents/")), "{report:?}");
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, records, blobs) = world();
    let mut trees = Vec::new();
    for round in 0..2 {
        let path = folder.path().join(round.to_string());
        let mut events = puts(&records);
        if round == 1 {
            events.reverse();
        }
        write(&auto(&path), WriteMode::Create, &start(catalog.clone(), round), events, &blobs).await.unwrap();
        assert_eq!(check(&path).unwrap().findings, []);
        trees.push(files(&path));
    }
    assert!(trees[0] == trees[1], "{:?}", trees[0].keys());
}

#[tokio::test]
async fn a_form_that_there_is_not_is_refused_and_it_does_not_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account");
    let (mut catalog, records) = account();
    catalog.collections[0].form = Some("papyrus".to_owned());
    let refused = write(&auto(&path), WriteMode::Create, &start(catalog, 0), puts(&records), &[]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Configuration);
    assert!(!path.exists());
    let refused = auto(&path).snapshot(SnapshotOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}
