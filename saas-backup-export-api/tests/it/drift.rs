//! Inventories and sums: a copy is compared without being read again.

use std::collections::BTreeMap;
use std::sync::Mutex;

use saas_backup_core::DriftSum;
use saas_backup_export_api::{AccountId, Limits, MemoryAccount, MemorySource, Transaction};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::support::{Hooked, Hooks, Page, Server, key, key_of, note, oracle, seed};

/// The sums of a set of versions, as a consumer makes them.
fn sums(versions: &BTreeMap<String, String>) -> BTreeMap<String, DriftSum> {
    let mut sums = BTreeMap::<String, DriftSum>::new();
    for (text, version) in versions {
        let key = key(text);
        sums.entry(key.collection.to_string()).or_default().add(&key, version);
    }
    sums
}

fn listed(json: &Value) -> BTreeMap<String, DriftSum> {
    let entries = json.as_array().unwrap().iter();
    let sum = |entry: &Value| serde_json::from_value(entry.clone()).unwrap();
    entries.map(|entry| (entry["name"].as_str().unwrap().to_owned(), sum(entry))).collect()
}

#[tokio::test]
async fn i01_an_inventory_is_the_snapshot_without_data() {
    let server = Server::start().await;
    seed(&server.account, 40);
    server.account.hide(&key("notes/n_0003"));
    server.account.fail_record(&key("notes/n_0004"), true);
    let mut items = BTreeMap::new();
    let mut page = server.get("/accounts/ws_1/inventory?limit=17").await.page();
    loop {
        assert_eq!(page.start["kind"], "inventory");
        for line in page.of_type("item") {
            assert!(line.get("data").is_none());
            items.insert(key_of(line), line["version"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page.more() else { break };
        page = server.get(&format!("/accounts/ws_1/inventory?limit=17&cursor={cursor}")).await.page();
    }
    assert_eq!(items, server.walk("", |_| ()).await.records);
    let notes = server.get("/accounts/ws_1/inventory?collections=notes").await.page();
    assert_eq!(notes.of_type("err").map(key_of).collect::<Vec<_>>(), ["notes/n_0004"]);
    let since = notes.start["changes_cursor"].as_str().unwrap();
    server.account.delete(&key("notes/n_0001"));
    assert_eq!(server.changes(since, "").await.data_lines(), ["del notes/n_0001"]);
}

#[tokio::test]
async fn a_cursor_of_an_inventory_is_none_of_a_snapshot() {
    let server = Server::start().await;
    seed(&server.account, 3);
    for (from, to) in [("inventory", "snapshot"), ("snapshot", "inventory")] {
        let page = server.get(&format!("/accounts/ws_1/{from}?limit=1")).await.page();
        let crossed = server.get(&format!("/accounts/ws_1/{to}?cursor={}", page.more().unwrap())).await;
        assert_eq!((crossed.status, crossed.problem().as_str()), (400, "cursor-invalid"));
    }
}

#[tokio::test]
async fn i02_sums_are_those_of_the_versions_at_their_cursor() {
    let server = Server::start().await;
    seed(&server.account, 300);
    server.account.hide(&key("notes/n_0003"));
    let drift = server.get("/accounts/ws_1/drift").await.json();
    let expected = sums(&oracle(&server.account));
    assert_eq!(listed(&drift["collections"]), expected);
    let cursor = drift["cursor"].as_str().unwrap();
    assert_eq!(server.changes(cursor, "").await.data_lines(), [] as [&str; 0]);
    let at = server.get(&format!("/accounts/ws_1/drift?at={cursor}&collections=notes")).await.json();
    assert_eq!(listed(&at["collections"]), BTreeMap::from([("notes".to_owned(), expected["notes"])]));

    server.account.put(note("n_0005", "changed"));
    let moved = server.get(&format!("/accounts/ws_1/drift?at={cursor}")).await;
    assert_eq!((moved.status, moved.problem().as_str()), (409, "drift-moved"));
    let page = server.changes(cursor, "drift=1").await;
    assert_eq!(page.data_lines(), ["put notes/n_0005"]);
    assert_eq!(listed(&page.end["drift"]), sums(&oracle(&server.account)));
    assert!(server.changes(cursor, "").await.end.get("drift").is_none());
}

#[tokio::test]
async fn i03_every_kind_of_change_changes_the_sums() {
    let server = Server::start().await;
    seed(&server.account, 3);
    let ask = async || listed(&server.get("/accounts/ws_1/drift?collections=notes").await.json()["collections"]);
    let mut before = ask().await;
    let note_key = key("notes/n_0001");
    let changes: [&dyn Fn(&MemoryAccount); 6] = [
        &|account| account.put(note("n_0001", "changed")),
        &|account| assert!(account.trash(&note_key)),
        &|account| assert!(account.untrash(&note_key)),
        &|account| assert!(account.hide(&note_key)),
        &|account| assert!(account.unhide(&note_key)),
        &|account| assert!(account.delete(&note_key)),
    ];
    for change in changes {
        change(&server.account);
        let sum = ask().await;
        assert_ne!(sum, before);
        assert_eq!(sum["notes"], sums(&oracle(&server.account))["notes"]);
        before = sum;
    }
}

/// Commits something whenever records are read.
#[derive(Debug)]
struct Busy(Mutex<Vec<Transaction>>);

impl Hooks for Busy {
    fn scanned(&self) {
        if let Some(transaction) = self.0.lock().unwrap().pop() {
            transaction.commit();
        }
    }
}

/// A service with one note, on which so many commits happen while sums are made.
async fn busy(commits: usize) -> (Server, String) {
    let wrap = |source: MemorySource| {
        let account = source.account(&AccountId::parse("ws_1").unwrap());
        account.put(note("n", "first"));
        let write = |number: usize| {
            let mut transaction = account.begin();
            transaction.put(note("n", &format!("commit {number}")));
            transaction
        };
        let commits = (0..commits).map(write).collect();
        Hooked(source, Busy(Mutex::new(commits)))
    };
    let server = Server::serving(Limits::default(), wrap).await;
    let status = server.get("/accounts/ws_1/status").await.json();
    (server, status["cursor"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn sums_of_an_account_that_moves_are_those_of_their_cursor_or_are_not_given() {
    let (server, cursor) = busy(2).await;
    let page = server.changes(&cursor, "drift=1").await;
    assert_eq!(listed(&page.end["drift"])["notes"], sums(&oracle(&server.account))["notes"]);
    assert_eq!(page.data_lines().last().unwrap(), "put notes/n");

    let (server, cursor) = busy(1_000).await;
    assert!(server.changes(&cursor, "drift=1").await.end.get("drift").is_none());
    assert_eq!(server.get("/accounts/ws_1/drift").await.problem(), "drift-moved");
}

/// Says when a reader begins to wait.
#[derive(Debug)]
struct Waits(mpsc::UnboundedSender<()>);

impl Hooks for Waits {
    fn waits(&self) {
        self.0.send(()).unwrap();
    }
}

#[tokio::test]
async fn c11_a_reader_that_waits_is_answered_when_something_happens_or_its_time_is_over() {
    let (waits, mut waiting) = mpsc::unbounded_channel();
    let limits = Limits::default().with_max_wait_seconds(2);
    let server = Server::serving(limits, |source| Hooked(source, Waits(waits))).await;
    seed(&server.account, 1);
    let cursor = server.head().await;
    let quiet: Page = server.changes(&cursor, "wait=600").await;
    assert_eq!((quiet.data_lines().len(), &quiet.end["more"]), (0, &Value::Bool(false)));
    waiting.recv().await.unwrap();

    let path = format!("/accounts/ws_1/changes?since={cursor}&wait=2");
    let (answer, ()) = tokio::join!(server.get(&path), async {
        waiting.recv().await.unwrap();
        server.account.put(note("n_0000", "while somebody waits"));
    });
    assert_eq!(answer.page().data_lines(), ["put notes/n_0000"]);
    let wrong = server.get(&format!("/accounts/ws_1/changes?since={cursor}&wait=soon")).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (400, "invalid-parameter"));
}
