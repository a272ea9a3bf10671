use std::io::Write as _;

use axum::response::IntoResponse as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{RunStatus, TransferOptions, testkit, transfer};
use saas_backup_declarative::Manifest;
use serde_json::json;

use crate::fake::{Fake, back_up, json as answer, keys};

const MANIFEST: &str = include_str!("job.yaml");

/// A provider whose jobs are named after the region; the second part of what they prepared is on another host.
async fn provider(elsewhere: String) -> Fake {
    Fake::start(move |asked| {
        let link = |path: &str| format!("http://{}{path}", asked.host);
        let second = format!("{elsewhere}/part?signature=1");
        match asked.line.as_str() {
            "POST /jobs" => answer(json!({ "id": if asked.body.contains("eu") { "eu" } else { "us" } })),
            "GET /jobs/eu" => answer(json!({ "state": "done", "links": [link("/eu/1"), second] })),
            "GET /jobs/us" => answer(json!({ "state": "done", "links": [] })),
            "GET /eu/1" => answer(json!({ "rows": [{ "id": "a", "size": 1.10 }], "next": "2" })),
            "GET /eu/1?page=2" => answer(json!({ "rows": [{ "id": "b" }, { "id": "out" }] })),
            "DELETE /jobs/eu" | "DELETE /jobs/us" => answer(json!({})),
            _ => axum::http::StatusCode::NOT_FOUND.into_response(),
        }
    })
    .await
}

#[tokio::test]
async fn records_that_a_job_prepares_are_read_and_the_job_is_removed() {
    let elsewhere = Fake::start(|asked| match (asked.authorization.as_str(), asked.extra.as_str()) {
        ("", "") => answer(json!({ "rows": [{ "id": "c" }] })),
        _ => axum::http::StatusCode::BAD_REQUEST.into_response(),
    })
    .await;
    let fake = provider(elsewhere.address.replace("127.0.0.1", "localhost")).await;
    let account = fake.connector(MANIFEST, &[]);
    let store = MemoryStore::new();
    let done = back_up(&account, &store).await;
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report.completeness);
    assert_eq!(keys(&store), ["orders/eu/a", "orders/eu/b", "orders/eu/c"]);
    let asked = fake.asked();
    assert!(asked.contains(&r#"POST /jobs {"region":"us"}"#.to_owned()), "{asked:?}");
    for job in ["DELETE /jobs/eu", "DELETE /jobs/us"] {
        assert!(fake.count(job) >= 1, "{asked:?}");
    }
    assert_eq!(elsewhere.count("GET /part?signature=1"), 1);
    testkit::connector(&account).await.assert_passed();
}

#[tokio::test]
async fn a_table_that_a_job_prepares_keeps_its_empty_cells_and_its_words() {
    let fake = Fake::start(|asked| match asked.line.as_str() {
        "POST /jobs" => answer(json!({ "id": 1 })),
        "GET /jobs/1" => answer(json!({ "state": "done", "links": [format!("http://{}/table", asked.host)] })),
        "GET /table" => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(b"id,note\n1,NA\n2,\n").unwrap();
            packed.finish().unwrap().into_response()
        }
        _ => answer(json!({})),
    })
    .await;
    let text = MANIFEST
        .replace(
            "download_extractor: { type: DpathExtractor, field_path: [rows] }",
            "download_extractor: { type: ResponseToFileExtractor }",
        )
        .replace("values: [eu, us]", "values: [eu]");
    let paginator = text.find("      download_paginator").unwrap()..text.find("      record_selector").unwrap();
    let text = text.replace(&text[paginator], "");
    let store = MemoryStore::new();
    back_up(&fake.connector(&text, &[]), &store).await;
    let rows: Vec<String> = store.live().values().map(|record| record.data.as_str().to_owned()).collect();
    assert_eq!(rows, [r#"{"id":"1","note":"NA"}"#, r#"{"id":"2","note":""}"#]);
}

#[tokio::test]
async fn a_job_that_does_not_say_where_its_records_are_is_an_error() {
    let fake = Fake::start(|asked| match asked.line.as_str() {
        "POST /jobs" => answer(json!({ "id": 1 })),
        _ => answer(json!({ "state": "done" })),
    })
    .await;
    let store = MemoryStore::new();
    let account = fake.connector(MANIFEST, &[]);
    let copy = MemoryConnector::new(store);
    let error = transfer(&account, &copy, TransferOptions::backup()).await.unwrap_err();
    assert!(error.to_string().contains("what a job prepared"), "{error}");
}

#[test]
fn lint_knows_what_a_job_needs() {
    let problem = |text: &str| Manifest::parse(text).unwrap().lint().unwrap().collections.remove(0).problem;
    assert_eq!(problem(MANIFEST), None);
    assert!(problem(&MANIFEST.replace("status_mapping: {", "status_mapping: { class_name: x.Hologram,")).is_some());
    let twice = problem(&MANIFEST.replace("failed: [broken]", "failed: [done]")).unwrap();
    assert!(twice.contains("two things"), "{twice}");
}
