//! Against a real Kinto: `testing/servers up kinto` starts one whose pages hold ten records. Each test has an account of its
//! own, which sees nothing of the others.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    Connector as _, Cursor, Event, ReadRequest, RecordState, RunStatus, SnapshotOptions, TransferOptions, testkit,
    transfer,
};
use saas_backup_declarative::{BuiltInConfig, Declarative};
use saas_backup_http::{Addresses, Authorization, Client, ClientOptions, Request};
use serde_json::{Value, json};

struct Kinto {
    connector: Declarative,
    client: Client,
    name: String,
}

impl Kinto {
    /// A new account, whose name no earlier run of the tests took.
    async fn of(account: &str) -> Self {
        let url = std::env::var("SAAS_BACKUP_TEST_KINTO_URL").unwrap_or_else(|_| {
            panic!("SAAS_BACKUP_TEST_KINTO_URL is not set: `testing/servers up kinto`");
        });
        let began = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let (name, password) = (format!("{account}-{began}"), "sesame");
        let mut config = BuiltInConfig::new(
            json!({ "url": url, "username": name, "password": password }).as_object().unwrap().clone(),
        );
        // All changes of a test come within the usual overlap of increments.
        config.options =
            config.options.with_requests_per_second(1000.0).with_private_addresses(true).with_lag_minutes(0);
        let options = ClientOptions::default()
            .with_requests_per_second(1000.0)
            .with_addresses(Addresses::new().with_private(true));
        let base: url::Url = format!("{url}/").parse().unwrap();
        let anybody = Client::new(base.clone(), Authorization::none(), options.clone()).unwrap();
        let place = anybody.address(&format!("accounts/{name}")).unwrap();
        let request = Request::new(Method::PUT, place).json(&json!({ "data": { "password": password } })).unwrap();
        anybody.send(request).await.unwrap();
        let authorization = Authorization::basic(&name, &password.to_owned().into()).unwrap();
        Self {
            connector: Declarative::built_in("kinto", config).unwrap(),
            client: Client::new(base, authorization, options).unwrap(),
            name,
        }
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = Request::new(method, self.client.address(path).unwrap()).json(body).unwrap();
        self.client.send(request).await.unwrap().json().unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.client.send(Request::get(self.client.address(path).unwrap())).await.unwrap().json().unwrap()
    }

    async fn put(&self, path: &str, data: Value) {
        self.call(Method::PUT, path, &json!({ "data": data })).await;
    }

    /// Names of buckets are the server's, not the account's.
    fn bucket(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// A bucket with a group and two collections: 25 notes, which are three pages, and 3 tasks.
    async fn seed(&self, bucket: &str) {
        self.put(&format!("buckets/{bucket}"), json!({})).await;
        self.put(&format!("buckets/{bucket}/groups/readers"), json!({ "members": ["account:reader"] })).await;
        for (collection, count) in [("notes", 25), ("tasks", 3)] {
            self.put(&format!("buckets/{bucket}/collections/{collection}"), json!({})).await;
            for number in 1..=count {
                let data = json!({ "text": format!("number {number}"), "price": 1.5, "none": null });
                self.put(&format!("buckets/{bucket}/collections/{collection}/records/{number}"), data).await;
            }
        }
    }

    /// What the connector reads from cursors on: records by collection and id, and the cursors to go on with.
    async fn read(
        &self,
        from: &BTreeMap<String, Cursor>,
    ) -> (BTreeMap<(String, String), RecordState>, BTreeMap<String, Cursor>) {
        let snapshot = self.connector.snapshot(SnapshotOptions::default()).await.unwrap();
        let (mut found, mut cursors) = (BTreeMap::new(), BTreeMap::new());
        let mut feeds = snapshot.feeds();
        while let Some(feed) = feeds.try_next().await.unwrap() {
            let name = feed.id.to_string();
            let request = ReadRequest::new(feed).with_from(from.get(&name).cloned());
            let mut events = snapshot.read(request);
            while let Some(event) = events.next().await {
                match event.unwrap() {
                    Event::Put(record) => {
                        let key = (record.key.collection.to_string(), record.key.id.to_string());
                        assert_eq!(found.insert(key, record.state), None, "{:?} came twice", record.key);
                    }
                    Event::Checkpoint(cursor) => {
                        cursors.insert(name.clone(), cursor);
                    }
                    Event::Done(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        (found, cursors)
    }
}

fn records(found: &BTreeMap<(String, String), RecordState>) -> BTreeMap<&str, &RecordState> {
    found.iter().filter(|((name, _), _)| name == "records").map(|((_, id), state)| (id.as_str(), state)).collect()
}

#[tokio::test]
#[ignore = "needs a Kinto: ./test runs it"]
async fn it_keeps_the_rules_for_connectors() {
    let kinto = Kinto::of("rules").await;
    kinto.seed(&kinto.bucket("kept")).await;
    testkit::connector(&kinto.connector).await.assert_passed();
}

#[tokio::test]
#[ignore = "needs a Kinto: ./test runs it"]
async fn an_increment_reads_exactly_what_changed() {
    let kinto = Kinto::of("changes").await;
    let (first, second) = (kinto.bucket("first"), kinto.bucket("second"));
    kinto.seed(&first).await;
    let (all, cursors) = kinto.read(&BTreeMap::new()).await;
    let notes = (1..=25).map(|number| format!("{first}/notes/{number}"));
    let wanted: BTreeSet<String> = notes.chain((1..=3).map(|number| format!("{first}/tasks/{number}"))).collect();
    assert_eq!(records(&all).into_keys().collect::<BTreeSet<_>>(), wanted.iter().map(String::as_str).collect());
    for collection in ["server", "buckets", "collections", "groups", "bucket_permissions", "history"] {
        assert!(all.keys().any(|(name, _)| name == collection), "nothing of {collection}");
    }

    kinto.put(&format!("buckets/{first}/collections/notes/records/7"), json!({ "text": "other" })).await;
    kinto.put(&format!("buckets/{first}/collections/notes/records/26"), json!({ "text": "new" })).await;
    kinto.call(Method::DELETE, &format!("buckets/{first}/collections/notes/records/8"), &json!({})).await;
    kinto.seed(&second).await;
    let (changed, _) = kinto.read(&cursors).await;
    let changed = records(&changed);
    // The last one of each collection is read again: another may have come within the same millisecond.
    let mut wanted: BTreeSet<String> = wanted.iter().map(|id| id.replace(&first, &second)).collect();
    wanted.extend(["7", "8", "25", "26"].map(|number| format!("{first}/notes/{number}")));
    wanted.insert(format!("{first}/tasks/3"));
    assert_eq!(changed.keys().copied().collect::<BTreeSet<_>>(), wanted.iter().map(String::as_str).collect());
    assert_eq!(changed[format!("{first}/notes/8").as_str()], &RecordState::Trashed, "a tombstone");
    assert_eq!(changed[format!("{first}/notes/7").as_str()], &RecordState::Live);
}

#[tokio::test]
#[ignore = "needs a Kinto: ./test runs it"]
async fn a_copy_has_what_the_server_has_byte_for_byte() {
    let kinto = Kinto::of("copy").await;
    let bucket = kinto.bucket("kept");
    kinto.seed(&bucket).await;
    let store = MemoryStore::new();
    assert_eq!(back_up(&kinto, &store).await, RunStatus::Complete);
    kinto
        .put(
            &format!("buckets/{bucket}/collections/tasks/records/1"),
            json!({ "text": "other", "large": 9_007_199_254_740_993u64 }),
        )
        .await;
    kinto.call(Method::DELETE, &format!("buckets/{bucket}/collections/tasks/records/2"), &json!({})).await;
    assert_eq!(back_up(&kinto, &store).await, RunStatus::Complete);
    let live = store.live();
    let tasks: BTreeMap<&str, &saas_backup_core::Record> = live
        .iter()
        .filter_map(|(key, record)| Some((key.id.as_str().strip_prefix(&format!("{bucket}/tasks/"))?, record)))
        .collect();
    for number in ["1", "3"] {
        let path = format!("buckets/{bucket}/collections/tasks/records/{number}");
        let there = kinto.get(&path).await;
        assert_eq!(tasks[number].data.decode::<Value>().unwrap(), there["data"], "{number}");
    }
    assert_eq!(tasks["2"].state, RecordState::Trashed);
    let above = tasks["1"].refs["bucket"].iter().next().unwrap().key();
    assert!(live.contains_key(&above), "it leads to its bucket");
}

async fn back_up(kinto: &Kinto, store: &MemoryStore) -> RunStatus {
    let copy = MemoryConnector::new(store.clone());
    let done = transfer(&kinto.connector, &copy, TransferOptions::backup()).await.unwrap();
    assert!(done.report.gaps.is_empty(), "{:?}", done.report.gaps);
    done.report.status
}
