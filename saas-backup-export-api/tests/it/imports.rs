//! Writing records back.

use std::time::Duration;

use saas_backup_core::{Digest, Key, Record, References};
use saas_backup_export_api::Limits;
use serde_json::{Value, json};

use crate::support::{Answer, IMPORT_TOKEN, OTHER_TOKEN, SECOND_TOKEN, Server, TOKEN, key, oracle, seed};

const HERE: (&str, &str) = ("notes", "ws_1");
const ELSEWHERE: (&str, &str) = ("notes", "ws_9");

async fn begin_with(server: &Server, mode: &str, origin: (&str, &str), extra: Value) -> Answer {
    let mut asked = json!({ "mode": mode, "origin": { "service": origin.0, "account": origin.1 } });
    asked.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    server.post("/accounts/ws_1/imports", asked.to_string()).await
}

/// Begins an import; gives its path.
async fn begin(server: &Server, mode: &str, origin: (&str, &str)) -> String {
    let answer = begin_with(server, mode, origin, json!({})).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    format!("/accounts/ws_1/imports/{}", answer.json()["import"].as_str().unwrap())
}

fn line(key: &str, record: &str, refs: &Value) -> Value {
    let (collection, id) = record.split_once('/').unwrap();
    json!({"type": "put", "key": key, "collection": collection, "id": id, "version": "1", "refs": refs,
        "data": {"title": format!("Restored {id}")}})
}

fn to(record: &str) -> Value {
    let (collection, id) = record.split_once('/').unwrap();
    json!({ "collection": collection, "id": id })
}

fn body(lines: &[Value]) -> String {
    lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

async fn send(server: &Server, import: &str, lines: &[Value]) -> Vec<Value> {
    let page = server.post(&format!("{import}/records"), body(lines)).await.page();
    assert_eq!(page.start["kind"], "import-results");
    page.lines
}

async fn commit(server: &Server, import: &str) -> Value {
    let answer = server.post(&format!("{import}/commit"), "").await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

fn statuses(results: &[Value]) -> Vec<&str> {
    results.iter().map(|result| result["status"].as_str().unwrap()).collect()
}

fn target(result: &Value) -> Key {
    Key::parse(result["target"]["collection"].as_str().unwrap(), result["target"]["id"].as_str().unwrap()).unwrap()
}

/// What a record of the account points to by a name.
fn points_to(server: &Server, record: &Key, name: &str) -> Vec<Key> {
    let record: Record = server.account.get(record).unwrap();
    record.refs.get(name).map(|to| to.iter().map(saas_backup_core::Reference::key).collect()).unwrap_or_default()
}

#[tokio::test]
async fn r01_a_dry_run_says_what_would_happen_and_changes_nothing() {
    let server = Server::start().await;
    seed(&server.account, 2);
    let before = oracle(&server.account);
    let answer = begin_with(&server, "overwrite", HERE, json!({ "dry_run": true })).await;
    let import = format!("/accounts/ws_1/imports/{}", answer.json()["import"].as_str().unwrap());
    let lines = [line("1", "notes/n_0000", &json!({})), line("2", "notes/n_9", &json!({}))];
    let results = send(&server, &import, &lines).await;
    assert_eq!(statuses(&results), ["updated", "created"]);
    commit(&server, &import).await;
    assert_eq!(oracle(&server.account), before);
}

#[tokio::test]
async fn r02_what_was_exported_comes_back_under_new_ids_with_its_relationships() {
    let server = Server::start().await;
    seed(&server.account, 3);
    let page = server.snapshot("").await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let mut lines: Vec<Value> = page.of_type("put").cloned().collect();
    for (number, line) in lines.iter_mut().enumerate() {
        line["key"] = format!("{number:04}").into();
    }
    let results = send(&server, &import, &lines).await;
    assert!(statuses(&results).iter().all(|status| *status == "created"), "{results:?}");
    let ended = commit(&server, &import).await;
    assert_eq!((&ended["state"], &ended["totals"]), (&json!("committed"), &json!({ "created": 7 })));
    assert_eq!(ended["unresolved"], 0);

    let of = |id: &str| results.iter().find(|result| result["id"] == id).map(target).unwrap();
    let comment = server.account.get(&of("c_0001")).unwrap();
    assert_eq!(comment.data.as_str(), r#"{"text":"+1"}"#);
    assert_eq!(points_to(&server, &of("c_0001"), "note"), [of("n_0001")]);
    assert_eq!(points_to(&server, &of("n_0001"), "author"), [of("u_1")]);
    assert_eq!(server.account.visible().len(), 14, "the records that were there are there");

    // The next export says where they come from.
    let page = server.snapshot("").await;
    let line = page.of_type("put").find(|line| line["id"] == of("n_0001").id.as_str()).unwrap().clone();
    let origin = json!({"service": "notes", "account": "ws_9", "collection": "notes", "id": "n_0001"});
    assert_eq!(line["origin"], origin);
}

#[tokio::test]
async fn r03_a_line_that_is_sent_twice_is_one_record() {
    let server = Server::start().await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let lines = [line("a", "users/u_1", &json!({})), line("b", "users/u_2", &json!({}))];
    let first = send(&server, &import, &lines).await;
    let second = send(&server, &import, &lines).await;
    assert_eq!(first, second);
    assert_eq!(server.account.visible().len(), 2);
    let other = send(&server, &import, &[line("a", "users/u_3", &json!({}))]).await;
    assert_eq!((statuses(&other), server.account.visible().len()), (vec!["conflict"], 2));
    let within = [line("c", "users/u_4", &json!({})), line("c", "users/u_4", &json!({}))];
    assert_eq!(statuses(&send(&server, &import, &within).await), ["created", "created"]);
    assert_eq!(server.account.visible().len(), 3);
}

#[tokio::test]
async fn r04_a_record_waits_for_what_it_points_to_and_one_that_cannot_be_without_is_refused() {
    let server = Server::start().await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let comment = line("c", "comments/c_1", &json!({ "note": to("notes/n_1") }));
    let refused = send(&server, &import, std::slice::from_ref(&comment)).await;
    assert_eq!(statuses(&refused), ["failed"]);
    assert_eq!(refused[0]["problem"]["type"], "urn:open-export:problem:ref-unresolved");
    assert_eq!(refused[0]["waits"], json!([to("notes/n_1")]));

    // Two records that point to each other.
    let one = line("1", "notes/n_1", &json!({ "author": to("users/u_1") }));
    let two = line("2", "users/u_1", &json!({ "note": to("notes/n_1") }));
    let results = send(&server, &import, &[one.clone(), two, comment]).await;
    assert_eq!(statuses(&results), ["deferred", "created", "created"]);
    assert_eq!(results[0]["waits"], json!([to("users/u_1")]));
    assert_eq!(points_to(&server, &target(&results[0]), "author"), [], "it is written as far as it goes");

    // Sent again, or at the commit, it finds what has come since.
    let again = send(&server, &import, &[one]).await;
    assert_eq!((statuses(&again), &again[0]["target"]), (vec!["created"], &results[0]["target"]));
    assert_eq!(points_to(&server, &target(&results[0]), "author"), [target(&results[1])]);
    assert_eq!(commit(&server, &import).await["unresolved"], 0);
}

#[tokio::test]
async fn r04_a_commit_sets_what_waited_and_counts_what_never_came() {
    let server = Server::start().await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let lines = [
        line("1", "notes/n_1", &json!({ "author": to("users/u_1"), "see": [to("notes/n_2"), to("notes/n_none")] })),
        line("2", "notes/n_2", &json!({})),
        line("3", "users/u_1", &json!({})),
    ];
    let results = send(&server, &import, &lines).await;
    assert_eq!(statuses(&results), ["deferred", "created", "created"]);
    assert_eq!(commit(&server, &import).await["unresolved"], 1);
    let note = server.account.get(&target(&results[0])).unwrap();
    assert_eq!(note.refs["author"], References::One((&target(&results[2])).into()));
    assert_eq!(points_to(&server, &target(&results[0]), "see"), [target(&results[1])]);
    let closed = server.post(&format!("{import}/records"), body(&lines)).await;
    assert_eq!((closed.status, closed.problem().as_str()), (409, "import-closed"));
    assert_eq!(commit(&server, &import).await["totals"], json!({ "created": 3 }), "a commit can be repeated");
}

#[tokio::test]
async fn r05_bytes_that_differ_from_their_digest_are_not_taken() {
    let server = Server::start().await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let (bytes, digest) = ("picture", Digest::of(b"picture"));
    let path = format!("{import}/blobs/sha-256:{digest}");
    let wrong = server.put(&path, "something else").await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (422, "digest-mismatch"));
    assert_eq!(server.head_of(&path).await.status, 404);
    assert_eq!(server.put(&path, bytes).await.status, 204);
    assert_eq!(server.head_of(&path).await.status, 200);
    assert_eq!(server.put(&format!("{import}/blobs/sha-256:12"), bytes).await.problem(), "invalid-parameter");

    let mut record = line("1", "notes/n_1", &json!({}));
    let described = |digest: &Digest| {
        json!({"blob": "b_old", "role": "attachment", "name": "p.png", "media_type": "image/png", "size": 7,
            "status": "available", "digest": {"sha-256": digest.to_base64()}})
    };
    record["blobs"] = json!([described(&digest), described(&Digest::of(b"never sent"))]);
    let results = send(&server, &import, &[record]).await;
    assert_eq!(results[0]["lost"], json!([{ "path": "/blobs/1", "reason": "not-uploaded" }]));
    let restored = server.account.get(&target(&results[0])).unwrap();
    let id = restored.blobs[0].id.clone().unwrap();
    let answer = server.get(&format!("/accounts/ws_1/blobs/{id}")).await;
    assert_eq!((answer.body.as_ref(), restored.blobs.len()), (bytes.as_bytes(), 1));
}

#[tokio::test]
async fn r08_merging_leaves_what_is_there_and_overwriting_replaces_it() {
    let server = Server::start().await;
    seed(&server.account, 2);
    server.account.delete(&key("notes/n_0001"));
    let before = oracle(&server.account);
    let lines = [line("1", "notes/n_0000", &json!({})), line("2", "notes/n_0001", &json!({}))];
    let import = begin(&server, "merge", HERE).await;
    let results = send(&server, &import, &lines).await;
    assert_eq!(statuses(&results), ["skipped", "created"]);
    assert_eq!(target(&results[0]), key("notes/n_0000"));
    commit(&server, &import).await;
    for (record, version) in &before {
        assert_eq!(oracle(&server.account).get(record), Some(version), "{record}");
    }

    // What an earlier import made is there too, under its new id.
    let import = begin(&server, "merge", HERE).await;
    let again = send(&server, &import, &lines).await;
    assert_eq!((statuses(&again), target(&again[1])), (vec!["skipped", "skipped"], target(&results[1])));

    let import = begin(&server, "overwrite", HERE).await;
    let replaced = send(&server, &import, &lines).await;
    assert_eq!(statuses(&replaced), ["updated", "updated"]);
    let text = server.account.get(&key("notes/n_0000")).unwrap().data;
    assert_eq!(text.as_str(), r#"{"title":"Restored n_0000"}"#);
    assert_eq!(server.account.visible().len(), before.len() + 1);
}

#[tokio::test]
async fn references_to_what_never_left_are_kept() {
    let server = Server::start().await;
    seed(&server.account, 1);
    let import = begin(&server, "create", HERE).await;
    let results = send(&server, &import, &[line("1", "notes/n_0000", &json!({ "author": to("users/u_1") }))]).await;
    assert_eq!(statuses(&results), ["created"]);
    assert_eq!(points_to(&server, &target(&results[0]), "author"), [key("users/u_1")]);

    // A copy of the person comes in the same import after all: the copy of the note is theirs.
    let user = send(&server, &import, &[line("2", "users/u_1", &json!({}))]).await;
    commit(&server, &import).await;
    assert_eq!(points_to(&server, &target(&results[0]), "author"), [target(&user[0])]);
}

#[tokio::test]
async fn r09_the_map_holds_every_record_that_was_written() {
    let server = Server::start().await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let lines: Vec<Value> =
        (0..7).map(|number| line(&format!("{number:02}"), &format!("users/u_{number}"), &json!({}))).collect();
    let results = send(&server, &import, &lines).await;
    assert_eq!(commit(&server, &import).await["totals"], json!({ "created": 7 }));
    let mut map = Vec::new();
    let mut page = server.get(&format!("{import}/map?limit=3")).await.page();
    loop {
        map.extend(page.lines.clone());
        let Some(cursor) = page.more().map(str::to_owned) else { break };
        page = server.get(&format!("{import}/map?limit=3&cursor={cursor}")).await.page();
    }
    assert_eq!(map, results);
}

#[tokio::test]
async fn a_request_may_hold_eight_mebibytes() {
    let server = Server::start().await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let mut lines = [line("1", "users/u_1", &json!({})), line("2", "users/u_2", &json!({}))];
    for line in &mut lines {
        line["data"]["title"] = "x".repeat(3 * 1024 * 1024).into();
    }
    assert_eq!(statuses(&send(&server, &import, &lines).await), ["created", "created"]);
}

#[tokio::test]
async fn r10_an_import_that_is_given_up_or_too_old_leaves_nothing() {
    let limits = Limits::default().with_import_ttl_seconds(3600);
    let server = Server::with_limits(limits).await;
    seed(&server.account, 1);
    let before = oracle(&server.account);
    let lines = [line("1", "users/u_7", &json!({})), line("2", "users/u_8", &json!({}))];
    let import = begin(&server, "create", ELSEWHERE).await;
    send(&server, &import, &lines).await;
    assert_eq!(server.delete(&import).await.status, 204);
    assert_eq!(oracle(&server.account), before);
    assert_eq!(server.get(&import).await.problem(), "not-found");

    let import = begin(&server, "create", ELSEWHERE).await;
    send(&server, &import, &lines).await;
    server.clock.advance(Duration::from_secs(3601));
    let late = server.post(&format!("{import}/records"), body(&lines)).await;
    assert_eq!((late.status, late.problem().as_str()), (410, "import-expired"));
    assert_eq!(oracle(&server.account), before);

    // A committed one stays.
    let import = begin(&server, "create", ELSEWHERE).await;
    send(&server, &import, &lines).await;
    commit(&server, &import).await;
    server.clock.advance(Duration::from_secs(3601));
    begin(&server, "create", ELSEWHERE).await;
    assert_eq!(server.account.visible().len(), before.len() + 2);
}

#[tokio::test]
async fn a_second_try_goes_on_with_what_the_first_one_made() {
    let limits = Limits::default().with_import_ttl_seconds(3600);
    let server = Server::with_limits(limits).await;
    let first = begin(&server, "create", ELSEWHERE).await;
    let made = send(&server, &first, &[line("1", "users/u_7", &json!({}))]).await;

    server.clock.advance(Duration::from_mins(1));
    let second = begin(&server, "create", ELSEWHERE).await;
    let mut known = line("1", "users/u_7", &json!({}));
    known["target"] = made[0]["target"].clone();
    let mut invented = line("2", "users/u_8", &json!({}));
    invented["target"] = to("users/u_1");
    server.account.put(Record::new(key("users/u_1"), saas_backup_core::Json::parse("{}").unwrap()));
    let results = send(&server, &second, &[known, invented]).await;
    assert_eq!(statuses(&results), ["created", "created"]);
    assert_eq!(target(&results[0]), target(&made[0]));
    assert_ne!(target(&results[1]), key("users/u_1"), "a target that no import made of this record is none");
    commit(&server, &second).await;

    // The first one ends without an end, and takes nothing away that the second one has.
    server.clock.advance(Duration::from_secs(3600 - 59));
    assert_eq!(server.get(&first).await.problem(), "import-expired");
    assert!(server.account.get(&target(&made[0])).is_some());
}

#[tokio::test]
async fn an_import_is_its_principals_own_and_needs_its_scope() {
    let server = Server::start().await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let asked = json!({"mode": "create", "origin": {"service": "notes", "account": "ws_9"}}).to_string();
    let reader = server.post_as(SECOND_TOKEN, "/accounts/ws_1/imports", asked.clone()).await;
    assert_eq!((reader.status, reader.problem().as_str()), (403, "insufficient-scope"));
    assert_eq!(reader.json()["scope"], "export.import");
    let stranger = server.post_as(OTHER_TOKEN, "/accounts/ws_1/imports", asked).await;
    assert_eq!((stranger.status, stranger.problem().as_str()), (404, "not-found"));
    let unknown = server.get("/accounts/ws_1/imports/imp_none").await;
    let anothers = server.get_as(Some(IMPORT_TOKEN), &import, &[]).await;
    assert_eq!((unknown.status, &unknown.body), (404, &anothers.body), "what is another's does not exist");
    assert_eq!(server.get_as(Some(TOKEN), &import, &[]).await.json()["state"], "open");
}

#[tokio::test]
async fn what_is_not_understood_is_refused_before_anything_is_written() {
    let server = Server::start().await;
    let import = begin(&server, "create", ELSEWHERE).await;
    let good = line("1", "users/u_1", &json!({}));
    let mut keyless = good.clone();
    keyless.as_object_mut().unwrap().remove("key");
    let wrong = [
        body(&[good.clone(), keyless]),
        body(&[good.clone(), json!({"type": "del", "collection": "users", "id": "u_1", "reason": "deleted"})]),
        format!("{}{{\"type\":\"put\"", body(std::slice::from_ref(&good))),
        body(&vec![good.clone(); 501]),
        String::new(),
    ];
    for text in wrong {
        let answer = server.post(&format!("{import}/records"), text).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-parameter"));
    }
    let flood = "x".repeat(9 * 1024 * 1024);
    assert_eq!(server.post(&format!("{import}/records"), flood).await.status, 413);
    assert!(server.account.visible().is_empty());
    for more in [json!({ "mode": "mirror" }), json!({ "dryrun": true }), json!({ "origin": null })] {
        assert_eq!(begin_with(&server, "create", ELSEWHERE, more).await.problem(), "invalid-parameter");
    }
    for _ in 1..16 {
        begin(&server, "create", ELSEWHERE).await;
    }
    let flooded = begin_with(&server, "create", ELSEWHERE, json!({})).await;
    assert_eq!((flooded.status, flooded.problem().as_str()), (429, "import-limit"));
}
