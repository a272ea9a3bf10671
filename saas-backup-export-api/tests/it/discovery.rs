use saas_backup_export_api::{Limits, Quota};

use crate::support::{OTHER_TOKEN, Server, TOKEN, schema, seed};

#[tokio::test]
async fn d01_discovery_answers_anybody() {
    let server = Server::start().await;
    let answer = server.get_as(None, "//.well-known/open-export", &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert!(answer.body.len() <= 256 * 1024);
    assert_eq!(answer.header("open-export-version"), "1.0");
    let json = answer.json();
    assert_eq!(json["open_export_versions"][0], "1.0");
    assert_eq!(json["profiles"], serde_json::json!(["minimal", "core", "incremental", "erasure", "restore"]));
    assert_eq!(json["api_base"], format!("http://{}/export/v1", server.address));
    assert_eq!(json["excluded"][0]["reason"], "derived");
    assert!(json["limits"]["change_retention_seconds"].as_u64().unwrap() >= 30 * 24 * 3600);
    assert!(json["service"]["excluded"].is_null());
    let public = server.get_as(None, "/public-schema", &[]).await;
    assert_eq!(public.json()["schema"], schema().document().unwrap().id());
}

#[tokio::test]
async fn a01_without_a_token_nothing_of_an_account_is_said() {
    let server = Server::start().await;
    for path in ["/accounts", "/accounts/ws_1/schema", "/accounts/ws_1/snapshot", "/accounts/ws_1/blobs/b"] {
        for (token, headers) in
            [(None, [("x", "y")]), (Some("wrong"), [("x", "y")]), (None, [("authorization", "Basic dG9rX29uZQ==")])]
        {
            let answer = server.get_as(token, path, &headers).await;
            assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{path}");
            let metadata = format!("http://{}/.well-known/oauth-protected-resource/export/v1", server.address);
            assert_eq!(answer.header("www-authenticate"), format!("Bearer resource_metadata=\"{metadata}\""));
        }
    }
}

#[tokio::test]
async fn a02_the_refusal_leads_to_who_gives_out_tokens() {
    let server = Server::start().await;
    let discovery = server.get_as(None, "//.well-known/open-export", &[]).await.json();
    let address = discovery["resource_metadata"].as_str().unwrap();
    let path = address.strip_prefix(&format!("http://{}", server.address)).unwrap();
    let metadata = server.get_as(None, &format!("/{path}"), &[]).await;
    assert_eq!(metadata.status, 200);
    let metadata = metadata.json();
    assert_eq!(metadata["resource"], discovery["api_base"]);
    assert_eq!(metadata["authorization_servers"], serde_json::json!(["https://login.example.com"]));
    let scopes = metadata["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&"export.read:notes".into()) && scopes.contains(&"export.blobs".into()));
}

#[tokio::test]
async fn d06_documents_are_sent_again_only_when_they_changed() {
    let server = Server::start().await;
    let well_known = "//.well-known/open-export";
    let paths = ["/public-schema", "/accounts", "/accounts/ws_1/schema", "/accounts/ws_1/coverage", well_known];
    for path in paths {
        let first = server.get_as(Some(TOKEN), path, &[]).await;
        assert!(first.header("cache-control").contains(if path.contains("accounts") {
            "private"
        } else {
            "max-age=300"
        }));
        server.clock.advance(std::time::Duration::from_mins(1));
        let again = server.get_as(Some(TOKEN), path, &[("if-none-match", first.header("etag"))]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let other = server.get_as(Some(TOKEN), path, &[("if-none-match", "\"other\", W/\"another\"")]).await;
        assert_eq!((other.status, other.header("etag")), (200, first.header("etag")), "{path}");
    }
    let before = server.get("/accounts/ws_1/coverage").await;
    seed(&server.account, 1);
    let after =
        server.get_as(Some(TOKEN), "/accounts/ws_1/coverage", &[("if-none-match", before.header("etag"))]).await;
    assert_eq!(after.status, 200);
}

#[tokio::test]
async fn q01_every_answer_says_what_is_left_and_one_too_many_waits() {
    let limits = Limits::default().with_quota(Quota::new(3, 60));
    let server = Server::with_limits(limits).await;
    let first = server.get("/accounts").await;
    assert_eq!(first.header("ratelimit-policy"), "\"export\";q=3;w=60");
    assert_eq!(first.header("ratelimit"), "\"export\";r=2;t=60");
    server.clock.advance(std::time::Duration::from_secs(15));
    server.get("/accounts").await;
    assert_eq!(server.get("/accounts/ws_9/schema").await.header("ratelimit"), "\"export\";r=0;t=45");
    let refused = server.get("/accounts").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "45"));
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["export"]));
    assert_eq!(server.get_as(Some(OTHER_TOKEN), "/accounts", &[]).await.status, 200);
    server.clock.advance(std::time::Duration::from_secs(45));
    assert_eq!(server.get("/accounts").await.status, 200);
}

#[tokio::test]
async fn a_foreign_account_is_answered_like_one_that_does_not_exist() {
    let server = Server::start().await;
    seed(&server.account, 3);
    for path in ["snapshot", "schema", "coverage", "changes?since=x", "records/notes/n_0001", "blobs/b_1"] {
        let foreign = server.get_as(Some(OTHER_TOKEN), &format!("/accounts/ws_1/{path}"), &[]).await;
        let unknown = server.get_as(Some(OTHER_TOKEN), &format!("/accounts/ws_9/{path}"), &[]).await;
        assert_eq!((foreign.status, &foreign.body), (404, &unknown.body), "{path}");
        assert!(foreign.headers.get("open-export-generation").is_none());
    }
}

#[tokio::test]
async fn a_token_lists_its_own_accounts() {
    let server = Server::start().await;
    let accounts = server.get_as(Some(OTHER_TOKEN), "/accounts", &[]).await.json();
    assert_eq!(accounts, serde_json::json!({ "accounts": [{ "account": "ws 2/b" }] }));
    seed(&server.other, 1);
    let path = "/accounts/ws%202%2Fb/snapshot";
    assert_eq!(server.get_as(Some(OTHER_TOKEN), path, &[]).await.page().start["account"], "ws 2/b");
}

#[tokio::test]
async fn s01_s02_the_schema_is_the_one_that_every_stream_names() {
    let server = Server::start().await;
    let answer = server.get("/accounts/ws_1/schema").await;
    assert_eq!(answer.header("open-export-generation"), "g0");
    let json = answer.json();
    assert_eq!(json["schema"], schema().document().unwrap().id());
    for collection in json["collections"].as_array().unwrap() {
        assert_eq!(collection["record"]["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(collection["record"]["type"], "object");
    }
    let shapes = server.shapes().await;
    assert_eq!(shapes.keys().collect::<Vec<_>>(), ["comments", "notes", "users"]);
    assert_eq!(server.snapshot("").await.start["schema"], json["schema"]);
    let head = server.head().await;
    assert_eq!(server.changes(&head, "").await.start["schema"], json["schema"]);
    let annotated = schema().with_annotation(&crate::support::name("notes"), "history", "versions".into());
    server.source.set_schema(annotated.clone());
    assert_eq!(server.snapshot("").await.start["schema"], annotated.document().unwrap().id());
    assert_ne!(server.snapshot("").await.start["schema"], json["schema"]);
}

#[tokio::test]
async fn coverage_says_what_is_hidden() {
    let server = Server::start().await;
    seed(&server.account, 3);
    let json = server.get("/accounts/ws_1/coverage").await.json();
    let notes = serde_json::json!({ "name": "notes", "visible": "all", "count": 3 });
    assert_eq!(json["collections"][1], notes);
    server.account.hide(&crate::support::key("notes/n_0001"));
    let json = server.get("/accounts/ws_1/coverage").await.json();
    let notes =
        serde_json::json!({ "name": "notes", "visible": "partial", "count": 2, "hidden_count": 1, "reason": "acl" });
    assert_eq!(json["collections"][1], notes);
}

#[tokio::test]
async fn other_major_versions_are_refused() {
    let server = Server::start().await;
    let ask = async |version| server.get_as(Some(TOKEN), "/accounts", &[("open-export-version", version)]).await;
    assert_eq!(ask("1.7").await.status, 200);
    let refused = ask("2.0").await;
    assert_eq!((refused.status, refused.problem().as_str()), (406, "version-unsupported"));
}
