use saas_backup_core::{Json, Record, References};

use crate::support::{Page, Server, key, key_of, note, oracle, schema, seed};

#[tokio::test]
async fn s03_every_record_has_the_shape_that_its_schema_states() {
    let server = Server::start().await;
    seed(&server.account, 20);
    let shapes = server.shapes().await;
    let misshapen = |page: &Page| {
        let lines =
            page.of_type("put").filter(|line| !shapes[line["collection"].as_str().unwrap()].is_valid(&line["data"]));
        lines.map(key_of).collect::<Vec<_>>()
    };
    let page = server.snapshot("").await;
    assert_eq!(page.of_type("put").count(), 41);
    assert_eq!(misshapen(&page), [] as [String; 0]);
    // The check has teeth: a record that its source shapes otherwise is found.
    server.account.put(Record::new(key("notes/n_bad"), Json::parse(r#"{"title":7}"#).unwrap()));
    assert_eq!(misshapen(&server.snapshot("").await), ["notes/n_bad"]);
}

#[tokio::test]
async fn s04_every_relationship_is_declared_and_leads_to_its_collections() {
    let server = Server::start().await;
    seed(&server.account, 20);
    let catalog = schema().catalog;
    let page = server.snapshot("").await;
    let records = page.typed.iter().filter_map(|line| match line {
        saas_backup_core::Line::Put(record) => Some(record),
        _ => None,
    });
    let mut seen = 0;
    for record in records {
        let rules = &catalog.get(&record.key.collection).unwrap().refs;
        for (name, to) in &record.refs {
            let rule = rules.iter().find(|rule| &rule.name == name).expect("a declared relationship");
            assert!(rule.many || !matches!(to, References::Many(_)));
            assert!(to.iter().all(|reference| rule.to.contains(&reference.collection)));
            seen += 1;
        }
        for rule in rules.iter().filter(|rule| rule.required) {
            assert!(record.refs.contains_key(&rule.name));
        }
    }
    assert_eq!(seen, 40);
}

#[tokio::test]
async fn n01_small_pages_give_what_large_ones_give() {
    let server = Server::start().await;
    seed(&server.account, 25);
    let large = server.walk("", |_| {}).await;
    let small = server.walk("limit=1", |_| {}).await;
    assert_eq!((large.pages, large.records.clone()), (1, oracle(&server.account)));
    assert_eq!(small.records, large.records);
    assert!(small.pages >= 51);
    let some = server.walk("collections=comments,users&limit=7", |_| {}).await;
    assert!(some.records.keys().all(|key| !key.starts_with("notes/")));
    assert_eq!(some.records.len(), 26);
}

#[tokio::test]
async fn n02_a_page_can_be_read_again() {
    let server = Server::start().await;
    seed(&server.account, 25);
    let cursor = server.snapshot("limit=10").await.cursor().to_owned();
    let query = format!("limit=10&cursor={cursor}");
    let (first, second) = (server.snapshot(&query).await, server.snapshot(&query).await);
    assert_eq!(first.data_lines(), second.data_lines());
    assert_eq!(first.start["snapshot"]["id"], second.start["snapshot"]["id"]);
    assert_eq!(first.data_lines().len(), 10);
}

#[tokio::test]
async fn n03_what_is_not_touched_appears_while_others_come_and_go() {
    let server = Server::start().await;
    seed(&server.account, 40);
    let untouched: Vec<String> =
        (0..40).filter(|number| number % 3 != 0).map(|number| format!("notes/n_{number:04}")).collect();
    let account = server.account.clone();
    let walk = server
        .walk("collections=notes&limit=4", move |page| {
            // Deletes behind the reader shift every page that is counted by offset.
            account.delete(&key(&format!("notes/n_{:04}", 3 * (page - 1))));
            account.put(note(&format!("n_{page:04}_new"), "created"));
        })
        .await;
    assert!(untouched.iter().all(|key| walk.records.contains_key(key)), "{:?}", walk.records.keys());
}

#[tokio::test]
async fn n05_a_change_right_after_the_first_page_is_in_the_changes() {
    let server = Server::start().await;
    seed(&server.account, 10);
    let page = server.snapshot("limit=1").await;
    server.account.put(note("n_0000", "changed behind the reader"));
    let changes = server.changes(page.start["changes_cursor"].as_str().unwrap(), "").await;
    assert_eq!(changes.data_lines(), ["put notes/n_0000"]);
    // All pages name the position of the first one.
    let next = server.snapshot(&format!("cursor={}", page.cursor())).await;
    let position = next.start["changes_cursor"].as_str().unwrap();
    assert_eq!(server.changes(position, "").await.data_lines(), ["put notes/n_0000"]);
    assert_eq!(next.start["snapshot"], page.start["snapshot"]);
}

#[tokio::test]
async fn n08_a_record_that_cannot_be_read_leaves_an_err_line() {
    let server = Server::start().await;
    seed(&server.account, 5);
    server.account.fail_record(&key("notes/n_0002"), true);
    let page = server.snapshot("collections=notes").await;
    let err = page.of_type("err").next().unwrap();
    assert_eq!((&err["id"], &err["retry"]), (&"n_0002".into(), &true.into()));
    assert_eq!(page.end["counts"]["notes"], serde_json::json!({ "put": 4, "err": 1 }));
    let head = server.head().await;
    server.account.fail_record(&key("notes/n_0002"), false);
    assert_eq!(server.changes(&head, "").await.data_lines(), ["put notes/n_0002"]);
}

#[tokio::test]
async fn n09_pages_advance_and_the_walk_ends() {
    let server = Server::start().await;
    seed(&server.account, 9);
    let mut seen = std::collections::BTreeSet::new();
    let mut page = server.snapshot("limit=2").await;
    while let Some(cursor) = page.more() {
        assert!(seen.insert(cursor.to_owned()), "a cursor came back");
        assert!(page.data_lines().len() <= 2);
        page = server.snapshot(&format!("limit=2&cursor={cursor}")).await;
    }
    assert!(page.end["cursor"].is_null());
}

#[tokio::test]
async fn n10_a_single_record_is_the_line_of_the_snapshot() {
    let server = Server::start().await;
    seed(&server.account, 3);
    seed(&server.other, 9);
    let snapshot = server.snapshot("collections=notes").await;
    let single = server.get("/accounts/ws_1/records/notes/n_0001").await.page();
    assert_eq!(single.lines, [snapshot.lines[1].clone()]);
    assert_eq!(single.start["kind"], "records");
    let unknown = server.get("/accounts/ws_1/records/notes/n_9999").await;
    let of_another_account = server.get("/accounts/ws_1/records/notes/n_0008").await;
    assert_eq!((unknown.status, of_another_account.status), (404, 404));
    assert_eq!(unknown.body, of_another_account.body);
    server.account.hide(&key("notes/n_0001"));
    assert_eq!(server.get("/accounts/ws_1/records/notes/n_0001").await.body, unknown.body);
}

#[tokio::test]
async fn n11_records_are_read_by_name_500_at_a_time() {
    let server = Server::start().await;
    seed(&server.account, 600);
    server.account.fail_record(&key("notes/n_0003"), true);
    let ask = async |count: usize| {
        let ids: Vec<_> = (0..count)
            .map(|number| serde_json::json!({ "collection": "notes", "id": format!("n_{number:04}") }))
            .collect();
        server.post("/accounts/ws_1/records", serde_json::json!({ "ids": ids }).to_string()).await
    };
    let page = ask(500).await.page();
    assert_eq!(page.end["counts"]["notes"], serde_json::json!({ "put": 499, "err": 1 }));
    for count in [0, 501] {
        let refused = ask(count).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "invalid-parameter"), "{count}");
    }
    let some = r#"{"ids":[{"collection":"notes","id":"nope"},{"collection":"users","id":"u_1"},{"collection":"users","id":"u_1"}]}"#;
    assert_eq!(server.post("/accounts/ws_1/records", some).await.page().data_lines(), ["put users/u_1"]);
    for body in ["", "{}", "[]", r#"{"ids":[{"collection":"","id":"x"}]}"#, r#"{"ids":[],"more":1}"#] {
        assert_eq!(server.post("/accounts/ws_1/records", body).await.problem(), "invalid-parameter", "{body}");
    }
    let large = server.post("/accounts/ws_1/records", vec![b' '; 2 * 1024 * 1024]).await;
    assert_eq!((large.status, large.problem().as_str()), (413, "request-too-large"));
}

#[tokio::test]
async fn a_snapshot_ends_with_its_time_and_with_its_generation() {
    let server = Server::start().await;
    seed(&server.account, 5);
    let cursor = server.snapshot("limit=2").await.cursor().to_owned();
    let path = format!("/accounts/ws_1/snapshot?cursor={cursor}");
    server.clock.advance(std::time::Duration::from_hours(24));
    assert_eq!(server.get(&path).await.status, 200);
    server.clock.advance(std::time::Duration::from_secs(1));
    let expired = server.get(&path).await;
    assert_eq!((expired.status, expired.problem().as_str()), (410, "snapshot-expired"));
    let cursor = server.snapshot("limit=2").await.cursor().to_owned();
    server.account.bump_generation();
    let changed = server.get(&format!("/accounts/ws_1/snapshot?cursor={cursor}")).await;
    assert_eq!((changed.status, changed.problem().as_str()), (410, "generation-changed"));
}

#[tokio::test]
async fn answers_end_at_their_size_and_go_on() {
    let limits = saas_backup_export_api::Limits::default().with_max_page_bytes(50_000);
    let server = Server::with_limits(limits).await;
    for number in 0..10 {
        let data = Json::from_value(&serde_json::json!({ "title": "x".repeat(20_000) })).unwrap();
        server.account.put(Record::new(key(&format!("notes/n_{number}")), data));
    }
    let walk = server.walk("", |_| {}).await;
    assert_eq!((walk.records.len(), walk.pages), (10, 4));
}

#[tokio::test]
async fn a_reader_that_opens_too_much_at_once_is_told_to_wait() {
    let server = Server::with_limits(saas_backup_export_api::Limits::default().with_max_concurrent_requests(1)).await;
    let big = server.account.add_blob(vec![7; 64 * 1024 * 1024], "big", "application/octet-stream");
    server.account.put(note("n", "big").with_blob(big.clone()));
    let url = format!("http://{}/export/v1/accounts/ws_1/blobs/{}", server.address, big.id.unwrap());
    let slow = reqwest::Client::new().get(url).bearer_auth(crate::support::TOKEN).send().await.unwrap();
    let refused = server.get("/accounts/ws_1/snapshot").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert!(refused.problem().ends_with("quota-exceeded"));
    assert_eq!(slow.bytes().await.unwrap().len(), 64 * 1024 * 1024);
    assert_eq!(server.get("/accounts/ws_1/snapshot").await.status, 200);
}
