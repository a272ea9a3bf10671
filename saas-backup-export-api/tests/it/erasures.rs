//! What copies must erase, and what they say they did.

use saas_backup_core::{BlobId, ErasureRequest, ErasureTarget, Key, Reference};
use serde_json::{Value, json};

use crate::support::{Answer, OTHER_TOKEN, Server, TOKEN, USERS_TOKEN, key, note, seed};

fn request(id: &str, targets: Vec<ErasureTarget>) -> ErasureRequest {
    let time = |text: &str| text.parse().unwrap();
    ErasureRequest::new(id, time("2026-03-01T09:00:00Z"), "data-subject-request", time("2026-03-31T09:00:00Z"), targets)
}

fn record(text: &str) -> ErasureTarget {
    ErasureTarget::record(key(text))
}

async fn feed(server: &Server, query: &str) -> crate::support::Page {
    server.get(&format!("/accounts/ws_1/erasures{query}")).await.page()
}

fn said(page: &crate::support::Page) -> Vec<String> {
    let lines = page.lines.iter().filter(|line| line["erasure"].is_string());
    lines.map(|line| format!("{} {}", line["type"].as_str().unwrap(), line["erasure"].as_str().unwrap())).collect()
}

async fn send(server: &Server, erasure: &str, receipt: &Value) -> Answer {
    server.post(&format!("/accounts/ws_1/erasures/{erasure}/receipts"), receipt.to_string()).await
}

#[tokio::test]
async fn e01_a_request_stands_in_its_feed_with_ids_alone_and_its_time_limit() {
    let server = Server::start().await;
    seed(&server.account, 3);
    let since = server.head().await;
    server.account.erase(request("er_1", vec![record("notes/n_0001")]));
    let page = feed(&server, "").await;
    assert_eq!((&page.start["kind"], said(&page)), (&"erasures".into(), vec!["erase er_1".to_owned()]));
    let line = &page.lines[0];
    assert_eq!(line["apply_by"], "2026-03-31T09:00:00Z");
    assert_eq!(line["targets"], json!([{ "collection": "notes", "id": "n_0001" }]));
    let changes = server.changes(&since, "").await;
    assert_eq!(changes.of_type("del").map(|line| &line["reason"]).collect::<Vec<_>>(), ["erased"]);
}

#[tokio::test]
async fn e02_what_is_erased_is_gone_with_its_attachments() {
    let server = Server::start().await;
    let (own, shared) = (
        server.account.add_blob("own", "o.txt", "text/plain"),
        server.account.add_blob("shared", "s.txt", "text/plain"),
    );
    let path = |id: &Option<BlobId>| format!("/accounts/ws_1/blobs/{}", id.as_ref().unwrap());
    let ann = Reference::from(&key("users/u_1"));
    let mut by_ann = note("n_ann", "hers").with_blob(own.clone()).with_blob(shared.clone());
    by_ann.by = Some(ann.clone());
    server.account.put(by_ann);
    server.account.put(note("n_other", "another's").with_blob(shared.clone()));
    server.account.erase(request("er_1", vec![ErasureTarget::person(ann)]));
    let left: Vec<Key> = server.account.visible().into_keys().collect();
    assert_eq!(left, [key("notes/n_other")]);
    assert_eq!((server.get(&path(&own.id)).await.status, server.get(&path(&shared.id)).await.status), (404, 200));
}

#[tokio::test]
async fn e03_the_feed_is_read_from_the_beginning_and_from_a_cursor() {
    let limits = saas_backup_export_api::Limits::default().with_erasure_retention_seconds(5);
    let server = Server::with_limits(limits).await;
    let discovery = server.get_as(None, "//.well-known/open-export", &[]).await.json();
    assert!(discovery["profiles"].as_array().unwrap().contains(&"erasure".into()));
    assert_eq!(discovery["limits"]["erasure_retention_seconds"], 400 * 24 * 3600);

    let empty = feed(&server, "").await;
    assert_eq!((said(&empty).len(), &empty.end["more"]), (0, &Value::Bool(false)));
    (0..7).for_each(|number| server.account.erase(request(&format!("er_{number}"), vec![record("notes/gone")])));
    server.account.cancel_erasure("er_0");
    server.account.hold(request("h_1", vec![record("notes/kept")]));
    server.account.release_hold("h_1");
    let (mut all, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = feed(&server, &query).await;
        assert!(said(&page).len() <= 3);
        all.extend(said(&page));
        if page.more().is_none() {
            break;
        }
        query = format!("?limit=3&since={}", page.cursor());
    }
    let mut expected: Vec<String> = (0..7).map(|number| format!("erase er_{number}")).collect();
    expected.extend(["erase_cancel er_0", "hold h_1", "hold_release h_1"].map(str::to_owned));
    assert_eq!(all, expected);

    server.account.erase(request("er_9", vec![record("notes/gone")]));
    assert_eq!(said(&feed(&server, &format!("?since={}", empty.cursor())).await).len(), 11);
    // The log survives what the account was rebuilt from.
    server.account.bump_generation();
    assert_eq!(said(&feed(&server, &format!("?since={}", empty.cursor())).await).len(), 11);
    let changes = server.head().await;
    let crossed = server.get(&format!("/accounts/ws_1/erasures?since={changes}")).await;
    assert_eq!((crossed.status, crossed.problem().as_str()), (400, "cursor-invalid"));
}

#[tokio::test]
async fn e04_a_receipt_is_kept_and_one_that_leaves_out_what_counts_is_refused() {
    let server = Server::start().await;
    server.account.erase(request("er_1", vec![record("notes/gone")]));
    for (receipt, parameter) in [
        (json!({ "state": "beyond-use", "at": "2026-03-02T00:00:00Z" }), "expires_by"),
        (json!({ "state": "refused", "at": "2026-03-02T00:00:00Z" }), "reason"),
        (json!({ "state": "done", "at": "2026-03-02T00:00:00Z" }), "state"),
        (json!({ "state": "applied" }), "state"),
        (json!([]), "state"),
    ] {
        let refused = send(&server, "er_1", &receipt).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "invalid-parameter"), "{receipt}");
        assert_eq!(refused.json()["parameters"], json!([parameter]));
    }
    let unknown = send(&server, "er_9", &json!({ "state": "scheduled", "at": "2026-03-02T00:00:00Z" })).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "not-found"));

    for (state, more) in
        [("scheduled", json!({})), ("applied", json!({ "method": "crypto-shredded", "evidence": { "size": 9 } }))]
    {
        let mut receipt =
            json!({ "state": state, "at": "2026-03-02T00:00:00Z", "consumer": "somebody else", "later": 1 });
        receipt.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        for _ in 0..2 {
            assert_eq!(send(&server, "er_1", &receipt).await.status, 204);
        }
    }
    let receipts = server.get("/accounts/ws_1/erasures/er_1/receipts").await.json();
    let expected = json!([{ "consumer": "one", "erasure": "er_1", "state": "applied", "at": "2026-03-02T00:00:00Z",
        "method": "crypto-shredded", "evidence": { "size": 9 } }]);
    assert_eq!(receipts["receipts"], expected);
}

#[tokio::test]
async fn requests_and_receipts_need_their_scope_and_their_account() {
    let server = Server::start().await;
    server.account.erase(request("er_1", vec![record("notes/gone")]));
    for path in ["/accounts/ws_1/erasures", "/accounts/ws_1/erasures/er_1/receipts"] {
        let refused = server.get_as(Some(USERS_TOKEN), path, &[]).await;
        assert_eq!((refused.status, refused.json()["scope"].clone()), (403, json!("export.erasures")), "{path}");
        assert_eq!(server.get_as(Some(OTHER_TOKEN), path, &[]).await.status, 404);
        assert_eq!(server.get_as(Some(TOKEN), path, &[]).await.status, 200);
    }
}
