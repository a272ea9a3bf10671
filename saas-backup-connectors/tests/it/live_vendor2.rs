//! `examples/other-languages/incremental.py`: the profiles `core` and `incremental`.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use bytes::Bytes;
use saas_backup_connectors::http::Request;
use saas_backup_connectors::open_export::OpenExportConnector;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    CollectionName, DriftSum, ErrorKind, Key, Line, LineCodec, LineReader, RecordState, StreamCheck, TransferOptions,
    Visibility, testkit, transfer,
};
use serde_json::{Value, json};

use super::vendor::{Vendor, setting};

const ACCOUNT: &str = "v1/accounts/ann";

fn todo(id: usize) -> Key {
    Key::parse("todos", id.to_string()).unwrap()
}

/// Two lists and some to-dos, each on one of them.
async fn seeded(count: usize) -> Vendor {
    let vendor = Vendor::running("vendor2").await;
    for list in ["home", "work"] {
        vendor.put(&format!("lists/{list}"), json!({ "name": list }).to_string()).await;
    }
    for id in 0..count {
        let list = if id % 2 == 0 { "home" } else { "work" };
        vendor.put(&format!("todos/{id}"), json!({ "text": format!("To do {id}"), "list": list }).to_string()).await;
    }
    vendor
}

async fn document(vendor: &Vendor, path: &str) -> Value {
    vendor.http.send(Request::get(vendor.address(path))).await.unwrap().json().unwrap()
}

/// The lines of a whole stream.
async fn lines(vendor: &Vendor, path: &str) -> Vec<Line> {
    let answer = vendor.http.send(Request::get(vendor.address(path))).await.unwrap();
    let (mut reader, mut check) = (LineReader::new(1 << 20), StreamCheck::new(LineCodec::wire()));
    reader.push(answer.body().clone());
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        lines.push(check.decode(&line).unwrap());
    }
    check.finish().unwrap();
    lines
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor2"]
async fn a_copy_follows_with_references_attachments_the_trash_and_what_is_hidden() {
    let vendor = seeded(1_000).await;
    vendor.put("todos/7/files/plan.txt", "water, then wait").await;
    let store = MemoryStore::new();
    let first = vendor.backed_up_into(&store).await;
    assert_eq!(first.len(), 1_002);
    assert_eq!(first[&todo(7)].refs["list"].iter().next().unwrap().id.as_str(), "work");
    let blob = &first[&todo(7)].blobs[0];
    assert_eq!(store.blob(blob.id.as_ref().unwrap()).unwrap(), "water, then wait");

    vendor.put("todos/8", json!({ "text": "To do 8", "trashed": true }).to_string()).await;
    vendor.put("todos/9", json!({ "text": "mine alone", "private": true }).to_string()).await;
    vendor.delete("todos/10").await;
    vendor.put("todos/7/files/more.txt", "and dung").await;
    let target = MemoryConnector::new(store.clone());
    let run = transfer(&vendor.connector(), &target, TransferOptions::backup()).await.unwrap();
    assert_eq!((run.report.totals().read, run.report.totals().deleted), (2, 2));
    let coverage = &run.report.coverage.collections[&CollectionName::from_static("todos")];
    assert_eq!((coverage.visible, coverage.count, coverage.hidden), (Visibility::Partial, Some(998), Some(1)));
    let second = store.live();
    assert_eq!((second.len(), second[&todo(7)].blobs.len()), (1_000, 2));
    assert_eq!(second[&todo(8)].state, RecordState::Trashed);
    assert!(!second.contains_key(&todo(9)) && !second.contains_key(&todo(10)));
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor2"]
async fn it_keeps_the_rules_for_connectors() {
    let vendor = seeded(40).await;
    vendor.put("todos/3/files/a.txt", "some bytes").await;
    testkit::connector(&vendor.connector()).await.assert_passed();
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor2"]
async fn inventories_and_sums_say_what_the_copy_holds() {
    let vendor = seeded(50).await;
    let copy = vendor.backed_up_into(&MemoryStore::new()).await;
    let inventory = lines(&vendor, &format!("{ACCOUNT}/inventory?collections=todos")).await;
    let items: Vec<_> = inventory.iter().filter(|line| matches!(line, Line::Item(_))).collect();
    assert_eq!(items.len(), 50);
    for item in items {
        let Line::Item(item) = item else { unreachable!() };
        assert_eq!(item.version, copy[&item.key].version);
    }
    let mut sum = DriftSum::default();
    for (key, record) in copy.iter().filter(|(key, _)| key.collection.as_str() == "todos") {
        sum.add(key, record.version.as_deref().unwrap());
    }
    let cursor = document(&vendor, &format!("{ACCOUNT}/status")).await["cursor"].as_str().unwrap().to_owned();
    let drift = document(&vendor, &format!("{ACCOUNT}/drift?at={cursor}&collections=todos")).await;
    assert_eq!(drift["collections"], json!([{ "name": "todos", "count": 50, "xor_sha256": sum.to_hex() }]));
    let end = lines(&vendor, &format!("{ACCOUNT}/changes?since={cursor}&drift=1")).await.pop();
    let Some(Line::End(end)) = end else { panic!("{end:?}") };
    assert_eq!(end.extra["drift"].decode::<Value>().unwrap()[1], drift["collections"][0]);

    vendor.delete("todos/1").await;
    let moved = vendor.http.exchange(&Request::get(vendor.address(&format!("{ACCOUNT}/drift?at={cursor}")))).await;
    assert_eq!(moved.unwrap().status(), StatusCode::CONFLICT);
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor2"]
async fn who_waits_for_a_change_is_told_of_it() {
    let vendor = seeded(2).await;
    let cursor = document(&vendor, &format!("{ACCOUNT}/status")).await["cursor"].as_str().unwrap().to_owned();
    let path = format!("{ACCOUNT}/changes?since={cursor}&wait=30");
    let begun = std::time::Instant::now();
    let (told, ()) = tokio::join!(lines(&vendor, &path), vendor.put("todos/5", r#"{"text":"new"}"#));
    assert!(told.iter().any(|line| matches!(line, Line::Put(record) if record.key == todo(5))), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor2"]
async fn bytes_are_served_from_the_middle_and_documents_only_when_they_changed() {
    let vendor = seeded(1).await;
    vendor.put("todos/0/files/a.txt", "0123456789").await;
    let copy = vendor.backed_up_into(&MemoryStore::new()).await;
    let id = copy[&todo(0)].blobs[0].id.clone().unwrap();
    let ask = |name, value| {
        let request = Request::get(vendor.address(&format!("{ACCOUNT}/blobs/{id}")));
        request.header(name, HeaderValue::from_static(value))
    };
    let some = vendor.http.exchange(&ask(header::RANGE, "bytes=4-6")).await.unwrap();
    assert_eq!((some.status(), some.body()), (StatusCode::PARTIAL_CONTENT, &Bytes::from("456")));
    let beyond = vendor.http.exchange(&ask(header::RANGE, "bytes=10-")).await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);

    let schema = vendor.http.send(Request::get(vendor.address(&format!("{ACCOUNT}/schema")))).await.unwrap();
    let tag = schema.header("etag").unwrap();
    let again = Request::get(vendor.address(&format!("{ACCOUNT}/schema"))).if_none_match(tag).unwrap();
    assert_eq!(vendor.http.send(again).await.unwrap().status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
#[ignore = "needs a server: testing/servers up vendor2"]
async fn a_token_sees_what_its_scopes_name() {
    let vendor = seeded(3).await;
    let mut config = vendor.config.clone();
    config.token = setting("vendor2", "LISTS_TOKEN").into();
    let lists = OpenExportConnector::new(config).unwrap();
    let store = MemoryStore::new();
    let run = transfer(&lists, &MemoryConnector::new(store.clone()), TransferOptions::backup()).await.unwrap();
    let todos = &run.report.coverage.collections[&CollectionName::from_static("todos")];
    assert_eq!((store.live().len(), todos.visible), (2, Visibility::None));

    let mut config = vendor.config.clone();
    config.token = "tok_bob".into();
    let stranger = OpenExportConnector::new(config).unwrap();
    let error = saas_backup_core::Connector::check(&stranger).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
}
