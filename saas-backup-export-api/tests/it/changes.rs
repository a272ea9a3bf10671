use saas_backup_core::{Access, Digest, Json, Principal, RecordState};
use saas_backup_export_api::Limits;

use crate::support::{OTHER_TOKEN, SECOND_TOKEN, Server, TOKEN, key, name, note, seed};

#[tokio::test]
async fn c01_creating_changing_and_deleting_arrive() {
    let server = Server::start().await;
    seed(&server.account, 3);
    let head = server.head().await;
    server.account.put(note("n_new", "created"));
    let created = server.changes(&head, "").await;
    assert_eq!((created.data_lines(), &created.lines[0]["version"]), (vec!["put notes/n_new".to_owned()], &"1".into()));
    assert_eq!(created.end["head_at"], "2026-03-01T10:00:00Z");
    server.account.put(note("n_new", "changed"));
    let changed = server.changes(created.cursor(), "").await;
    assert_eq!((&changed.lines[0]["version"], &changed.lines[0]["data"]["title"]), (&"2".into(), &"changed".into()));
    server.account.delete(&key("notes/n_new"));
    let deleted = server.changes(changed.cursor(), "").await;
    assert_eq!((&deleted.lines[0]["type"], &deleted.lines[0]["reason"]), (&"del".into(), &"deleted".into()));
    assert_eq!(deleted.lines[0]["at"], "2026-03-01T10:00:00Z");
}

#[tokio::test]
async fn c02_every_part_of_a_record_changes_its_version() {
    let server = Server::start().await;
    seed(&server.account, 1);
    let note = key("notes/n_0000");
    let blob = server.account.add_blob("%PDF", "plan.pdf", "application/pdf");
    let mut cursor = server.head().await;
    let mut versions = std::collections::BTreeSet::new();
    let changes: [fn(&mut saas_backup_core::Record); 4] = [
        |record| record.data = Json::parse(r#"{"title":"other"}"#).unwrap(),
        |record| drop(record.refs.remove("author")),
        |record| record.access.push(Access::new(Principal::Named("anyone".into()), "viewer")),
        |record| record.state = RecordState::Archived,
    ];
    for change in changes {
        server.account.update(&note, change);
        let page = server.changes(&cursor, "").await;
        assert!(versions.insert(page.lines[0]["version"].as_str().unwrap().to_owned()));
        cursor = page.cursor().to_owned();
    }
    server.account.update(&note, |record| record.blobs.push(blob));
    let page = server.changes(&cursor, "").await;
    assert!(versions.insert(page.lines[0]["version"].as_str().unwrap().to_owned()));
    let line = &page.lines[0];
    assert_eq!((&line["state"], &line["access"][0]["principal"]), (&"archived".into(), &"anyone".into()));
    assert_eq!(line["blobs"][0]["digest"]["sha-256"], Digest::of(b"%PDF").to_base64());
}

#[tokio::test]
async fn c03_the_trash_is_a_state_and_emptying_it_a_deletion() {
    let server = Server::start().await;
    seed(&server.account, 1);
    let (note, head) = (key("notes/n_0000"), server.head().await);
    server.account.trash(&note);
    let trashed = server.changes(&head, "").await;
    assert_eq!((&trashed.lines[0]["type"], &trashed.lines[0]["state"]), (&"put".into(), &"trashed".into()));
    assert!(server.walk("", |_| {}).await.records.contains_key("notes/n_0000"), "the trash is exported");
    server.account.untrash(&note);
    let back = server.changes(trashed.cursor(), "").await;
    assert_eq!((&back.lines[0]["type"], back.lines[0].get("state")), (&"put".into(), None));
    server.account.trash(&note);
    server.account.delete(&note);
    assert_eq!(server.changes(back.cursor(), "").await.data_lines(), ["del notes/n_0000"]);
}

#[tokio::test]
async fn c04_a_merge_names_the_record_that_remains() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let head = server.head().await;
    server.account.merge(&key("notes/n_0000"), &key("notes/n_0001"));
    let line = &server.changes(&head, "").await.lines[0];
    assert_eq!((&line["reason"], &line["into"]["id"]), (&"merged".into(), &"n_0001".into()));
}

#[tokio::test]
async fn c05_what_is_hidden_leaves_the_copy_and_comes_back() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let head = server.head().await;
    server.account.hide(&key("notes/n_0000"));
    let hidden = server.changes(&head, "").await;
    assert_eq!((&hidden.lines[0]["type"], &hidden.lines[0]["reason"]), (&"del".into(), &"access_lost".into()));
    assert!(!server.walk("", |_| {}).await.records.contains_key("notes/n_0000"));
    server.account.unhide(&key("notes/n_0000"));
    assert_eq!(server.changes(hidden.cursor(), "").await.data_lines(), ["put notes/n_0000"]);
}

#[tokio::test]
async fn c05_who_may_see_a_record_is_judged_when_it_is_served() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let head = server.head().await;
    server.account.put(note("n_0000", "secret"));
    server.account.hide(&key("notes/n_0000"));
    // The page ends between the change and the loss of access: the content must not leak through the first one.
    let page = server.changes(&head, "limit=1").await;
    assert_eq!(page.data_lines(), ["del notes/n_0000"]);
    assert!(!String::from_utf8_lossy(&page.body).contains("secret"));
    let rest = server.changes(page.more().unwrap(), "").await;
    assert_eq!(rest.lines[0]["reason"], "access_lost");
}

#[tokio::test]
async fn c06_a_transaction_that_commits_late_is_not_skipped() {
    let server = Server::start().await;
    seed(&server.account, 1);
    let mut first = server.account.begin();
    first.put(note("n_late", "began first"));
    let mut second = server.account.begin();
    second.put(note("n_early", "began second"));
    let head = server.head().await;
    second.commit();
    let page = server.changes(&head, "").await;
    assert_eq!(page.data_lines(), ["put notes/n_early"]);
    first.commit();
    assert_eq!(server.changes(page.cursor(), "").await.data_lines(), ["put notes/n_late"]);
}

#[tokio::test]
async fn c07_many_changes_of_a_record_end_with_the_last_one() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let head = server.head().await;
    for number in 0..100 {
        server.account.put(note("n_0000", &format!("edit {number}")));
        server.account.put(note("n_0001", &format!("edit {number}")));
    }
    for limit in [1, 3, 5_000] {
        let (mut cursor, mut last) = (head.clone(), serde_json::Value::Null);
        loop {
            let page = server.changes(&cursor, &format!("limit={limit}")).await;
            last = page.of_type("put").filter(|line| line["id"] == "n_0000").last().cloned().unwrap_or(last);
            cursor = page.cursor().to_owned();
            if page.more().is_none() {
                break;
            }
        }
        assert_eq!(last["data"]["title"], "edit 99", "limit {limit}");
    }
}

#[tokio::test]
async fn c08_the_last_of_put_and_del_counts() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let head = server.head().await;
    server.account.put(note("n_0000", "changed"));
    server.account.delete(&key("notes/n_0000"));
    server.account.delete(&key("notes/n_0001"));
    server.account.put(note("n_0001", "created again"));
    for limit in [1, 5_000] {
        let (mut cursor, mut last) = (head.clone(), std::collections::BTreeMap::new());
        loop {
            let page = server.changes(&cursor, &format!("limit={limit}")).await;
            for line in &page.lines {
                if line["id"].is_string() {
                    last.insert(line["id"].as_str().unwrap().to_owned(), line["type"].clone());
                }
            }
            cursor = page.cursor().to_owned();
            if page.more().is_none() {
                break;
            }
        }
        assert_eq!((&last["n_0000"], &last["n_0001"]), (&"del".into(), &"put".into()), "limit {limit}");
    }
    let again = server.changes(&head, "").await;
    let version = again.of_type("put").next().unwrap()["version"].as_str().unwrap().to_owned();
    assert_eq!(version, "2", "a record that comes back does not repeat a version");
}

#[tokio::test]
async fn c09_c10_a_cursor_can_be_read_again_and_a_quiet_feed_is_quiet() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let head = server.head().await;
    let quiet = server.changes(&head, "").await;
    assert!(quiet.lines.is_empty() && quiet.more().is_none());
    server.account.put(note("n_0000", "changed"));
    let (first, second) = (server.changes(quiet.cursor(), "").await, server.changes(quiet.cursor(), "").await);
    assert_eq!(
        (first.data_lines(), second.data_lines()),
        (vec!["put notes/n_0000".to_owned()], vec!["put notes/n_0000".to_owned()])
    );
}

#[tokio::test]
async fn c12_a_cursor_works_with_another_page_size_and_another_token_of_the_account() {
    let server = Server::start().await;
    seed(&server.account, 10);
    let page = server.snapshot("limit=3").await;
    let path = format!("/accounts/ws_1/snapshot?limit=5&cursor={}", page.cursor());
    assert_eq!(server.get_as(Some(SECOND_TOKEN), &path, &[]).await.page().data_lines().len(), 5);
    let head = server.head().await;
    server.account.put(note("n_0000", "changed"));
    let path = format!("/accounts/ws_1/changes?since={head}");
    assert_eq!(server.get_as(Some(SECOND_TOKEN), &path, &[]).await.page().data_lines().len(), 1);
}

#[tokio::test]
async fn c13_a_cursor_that_was_not_given_for_this_is_refused() {
    let server = Server::start().await;
    seed(&server.account, 10);
    seed(&server.other, 10);
    let head = server.head().await;
    let page = server.snapshot("limit=3&collections=notes").await.cursor().to_owned();
    let garbled: String = head.chars().rev().collect();
    let other = "/accounts/ws%202%2Fb";
    for (token, path) in [
        (TOKEN, format!("/accounts/ws_1/changes?since={garbled}")),
        (TOKEN, format!("/accounts/ws_1/changes?since={head}x")),
        (TOKEN, "/accounts/ws_1/changes?since=".to_owned()),
        (TOKEN, format!("/accounts/ws_1/changes?since={page}")),
        (TOKEN, format!("/accounts/ws_1/snapshot?cursor={head}")),
        (TOKEN, format!("/accounts/ws_1/snapshot?cursor={page}&collections=users")),
        (OTHER_TOKEN, format!("{other}/changes?since={head}")),
        (OTHER_TOKEN, format!("{other}/snapshot?cursor={page}")),
    ] {
        let refused = server.get_as(Some(token), &path, &[]).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "cursor-invalid"), "{path}");
    }
    assert_eq!(server.get("/accounts/ws_1/changes").await.problem(), "invalid-parameter");
    assert_eq!(server.get(&format!("/accounts/ws_1/snapshot?cursor={page}&collections=notes")).await.status, 200);
}

#[tokio::test]
async fn x01_x02_a_dead_cursor_says_so_in_one_shape_for_all() {
    let server = Server::start().await;
    seed(&server.account, 3);
    let page = server.snapshot("limit=1&collections=notes").await;
    let (all, notes) = (server.head().await, page.start["changes_cursor"].as_str().unwrap().to_owned());
    server.account.expire_cursors();
    for cursor in [&all, &notes] {
        let dead = server.get(&format!("/accounts/ws_1/changes?since={cursor}")).await;
        assert_eq!((dead.status, dead.problem().as_str()), (410, "cursor-expired"));
        let resync = serde_json::json!({ "collections": ["*"], "mode": "snapshot+reconcile" });
        assert_eq!(dead.json()["resync"], resync);
    }
    let fresh = server.head().await;
    assert!(server.changes(&fresh, "").await.lines.is_empty());
}

#[tokio::test]
async fn x03_a_new_generation_ends_all_cursors() {
    let server = Server::start().await;
    seed(&server.account, 3);
    let head = server.head().await;
    server.account.bump_generation();
    let changed = server.get(&format!("/accounts/ws_1/changes?since={head}")).await;
    assert_eq!((changed.status, changed.problem().as_str()), (410, "generation-changed"));
    assert_eq!(changed.json()["resync"]["mode"], "snapshot+reconcile");
    let page = server.snapshot("").await;
    assert_eq!(page.start["generation"], "g1");
}

#[tokio::test]
async fn x05_a_reset_concerns_its_collections_and_the_rest_goes_on() {
    let server = Server::start().await;
    seed(&server.account, 3);
    let (all, notes) = (server.head().await, server.snapshot("limit=1&collections=notes").await);
    server.account.reset(vec![name("comments")]);
    server.account.put(note("n_0000", "changed"));
    let page = server.changes(&all, "").await;
    assert_eq!(page.lines[0]["type"], "reset");
    assert_eq!(page.lines[0]["collections"], serde_json::json!(["comments"]));
    assert_eq!(page.data_lines(), ["put notes/n_0000"]);
    let narrow = server.changes(notes.start["changes_cursor"].as_str().unwrap(), "").await;
    assert_eq!((narrow.of_type("reset").count(), narrow.data_lines()), (0, vec!["put notes/n_0000".to_owned()]));
}

#[tokio::test]
async fn changes_keep_to_the_filter_and_go_past_what_is_not_wanted() {
    let server = Server::with_limits(Limits::default().with_max_page_lines(2)).await;
    seed(&server.account, 1);
    let start = server.snapshot("collections=users").await;
    for number in 0..600 {
        server.account.put(note(&format!("n_{number}"), "noise"));
    }
    server.account.update(&key("users/u_1"), |_| {});
    let page = server.changes(start.start["changes_cursor"].as_str().unwrap(), "").await;
    assert_eq!(page.data_lines(), ["put users/u_1"]);
    assert!(page.more().is_none());
    assert!(page.of_type("ckpt").count() >= 2, "a reader that is cut need not skip everything again");
}
