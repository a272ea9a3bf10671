use crate::support::{Server, TOKEN, key, note, seed};

#[tokio::test]
async fn p01_every_refusal_is_a_problem_document() {
    let server = Server::start().await;
    seed(&server.account, 3);
    for (path, status, kind) in [
        ("/nothing", 404, "not-found"),
        ("/accounts/ws_1/nothing", 404, "not-found"),
        ("/accounts/ws_1/blobs/nope", 404, "not-found"),
        ("/accounts/%00/snapshot", 404, "not-found"),
        ("/accounts/ws_1/records/notes/%00", 404, "not-found"),
        ("/accounts/ws_1/snapshot?limit=0", 400, "invalid-parameter"),
        ("/accounts/ws_1/snapshot?limit=1&limit=2", 400, "invalid-parameter"),
        ("/accounts/ws_1/snapshot?collections=nope", 400, "invalid-parameter"),
        ("/accounts/ws_1/snapshot?cursor=%F0%9F", 400, "cursor-invalid"),
        ("/accounts/%FF/snapshot", 404, "not-found"),
    ] {
        let refused = server.get(path).await;
        assert_eq!((refused.status, refused.problem().as_str()), (status, kind), "{path}");
        assert_eq!(refused.header("open-export-version"), "1.0");
        assert_eq!(refused.header("cache-control"), "no-store");
    }
    let refused = server.delete("/accounts/ws_1/snapshot").await;
    assert_eq!((refused.status, refused.problem().as_str()), (405, "method-not-allowed"));
    let refused = server.post("/accounts/ws_1/changes", "").await;
    assert_eq!((refused.status, refused.problem().as_str()), (405, "method-not-allowed"));
}

#[tokio::test]
async fn p02_problems_hold_neither_data_nor_words_of_the_code_behind() {
    let server = Server::start().await;
    server.account.put(note("ann@example.com", "very private"));
    let blob = server.account.add_blob("x", "x", "text/plain");
    server.account.put(note("n", "x").with_blob(blob.clone()));
    server.account.fail_blob(blob.id.as_ref().unwrap(), true);
    let missing = server.get(&format!("/accounts/ws_1/blobs/{}", blob.id.unwrap())).await;
    assert_eq!(missing.status, 503);
    server.account.interrupt_after(0);
    let broken = server.get("/accounts/ws_1/snapshot").await;
    server.account.fail_record(&key("notes/ann@example.com"), true);
    let skipped = server.get("/accounts/ws_1/snapshot").await;
    let unknown = server.get("/accounts/ws_1/snapshot?very+private=ann%40example.com").await;
    let refused = server.get_as(Some(TOKEN), "/accounts/ws_1/records/notes/ann%40example.org", &[]).await;
    for answer in [&missing, &broken, &unknown, &refused] {
        assert!(answer.status >= 400);
        let text = String::from_utf8_lossy(&answer.body);
        for word in ["private", "ann@", "object store", "database", "panicked", ".rs"] {
            assert!(!text.contains(word), "{text}");
        }
    }
    let text = String::from_utf8_lossy(&skipped.body);
    assert!(!text.contains("could not be decoded"), "{text}");
}
