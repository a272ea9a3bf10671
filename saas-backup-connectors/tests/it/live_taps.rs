//! Taps and a source that others wrote. `testing/servers up taps` installs them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use axum::extract::Query;
use axum::routing::get;
use futures::StreamExt as _;
use saas_backup_connectors::airbyte::{Airbyte, AirbyteConfig};
use saas_backup_connectors::singer::{Singer, SingerConfig, SingerSelection};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    CollectionName, Connector, Cursor, Event, Extent, Feed, ReadRequest, RunStatus, SnapshotOptions, TransferOptions,
    transfer,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::program::{cursor, ids, read};

fn program(name: &str) -> [String; 1] {
    [std::env::var(format!("SAAS_BACKUP_TEST_TAPS_{name}")).unwrap()]
}

fn own(events: &[Event]) -> BTreeSet<String> {
    ids(events).into_iter().map(str::to_owned).collect()
}

/// Reads a collection whole, and once more with a program that is ended in the middle; what both gave.
///
/// Of the reading that broke off, only what its last checkpoint covers counts: the rest may not be durable.
async fn whole_and_broken(connector: &dyn Connector, name: &'static str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (events, error) = read(connector, name, None).await;
    assert!(error.is_none(), "{error:?}");
    assert!(matches!(events.last(), Some(Event::Done(done)) if done.extent == Extent::Full));
    let whole = own(&events);

    let snapshot = connector.snapshot(SnapshotOptions::default()).await.unwrap();
    let mut reading = snapshot.read(ReadRequest::new(Feed::slice(CollectionName::from_static(name))));
    let (mut taken, mut puts) = (Vec::new(), 0);
    while puts < whole.len() * 2 / 3 {
        let event = reading.next().await.unwrap().unwrap();
        puts += usize::from(matches!(event, Event::Put(_)));
        taken.push(event);
    }
    drop(reading);
    let covered = taken.iter().rposition(|event| matches!(event, Event::Checkpoint(_))).map_or(0, |at| at + 1);
    taken.truncate(covered);
    let from: Option<Cursor> = cursor(&taken);
    let (rest, error) = read(connector, name, from).await;
    assert!(error.is_none(), "{error:?}");
    let broken = own(&taken).into_iter().chain(own(&rest)).collect();
    (whole, broken)
}

async fn back_up(connector: &dyn Connector, store: &MemoryStore) -> (RunStatus, u64) {
    let done = transfer(connector, &MemoryConnector::new(store.clone()), TransferOptions::backup()).await.unwrap();
    assert!(done.report.gaps.is_empty(), "{:?}", done.report.gaps);
    (done.report.status, done.report.totals().written)
}

#[tokio::test]
#[ignore = "needs the sources of testing/servers up taps"]
async fn a_source_of_airbyte_is_killed_and_resumed_without_loss() {
    let config = AirbyteConfig::new(program("FAKER"))
        .with_setting("count", 2_000)
        .with_setting("seed", 7)
        .with_setting("parallelism", 1)
        .with_setting("records_per_slice", 100)
        // Otherwise it gives nothing to whoever comes with a state, be it one from the middle.
        .with_setting("always_updated", true);
    let source = Airbyte::new(config);
    source.check().await.unwrap();
    let (whole, broken) = whole_and_broken(&source, "users").await;
    assert_eq!(whole.len(), 2_000);
    assert_eq!(whole, broken);
}

#[tokio::test]
#[ignore = "needs the sources of testing/servers up taps"]
async fn a_source_of_airbyte_is_held_whole_and_its_increments_are_followed() {
    let config = |always: bool| {
        let config = AirbyteConfig::new(program("FAKER")).with_setting("count", 50).with_setting("seed", 7);
        Airbyte::new(config.with_setting("always_updated", always))
    };
    let store = MemoryStore::new();
    let (status, written) = back_up(&config(false), &store).await;
    assert_eq!(status, RunStatus::Complete);
    let live = store.live();
    let of = |name: &str| live.keys().filter(|key| key.collection.as_str() == name).count();
    assert_eq!((of("users"), of("products")), (50, 50));
    assert_eq!(written, live.len() as u64);
    assert_eq!(back_up(&config(false), &store).await, (RunStatus::Complete, 0), "nothing has changed");
}

#[tokio::test]
#[ignore = "needs the taps of testing/servers up taps"]
async fn a_tap_of_files_follows_them_and_is_killed_and_resumed_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let table = |rows: u32| (0..rows).fold("sku,price\n".to_owned(), |text, row| format!("{text}s{row},1.10\n"));
    std::fs::write(folder.path().join("items.csv"), table(5_000)).unwrap();
    std::fs::write(folder.path().join("people.csv"), "name\nAda\n").unwrap();
    let tap = Singer::new(
        SingerConfig::new(program("CSV"))
            .with_setting("path", folder.path().to_string_lossy())
            .with_setting("filesystem", "local")
            .with_setting("read_mode", "one_stream_per_file")
            // This version fails on any catalog, its own included.
            .with_selection(SingerSelection::None),
    );
    let (whole, broken) = whole_and_broken(&tap, "items").await;
    assert_eq!(whole.len(), 5_000);
    assert_eq!(whole, broken);

    let store = MemoryStore::new();
    assert_eq!(back_up(&tap, &store).await, (RunStatus::Complete, 5_001));
    std::fs::write(folder.path().join("people.csv"), "name\nAda\nGrace\n").unwrap();
    let (status, written) = back_up(&tap, &store).await;
    assert_eq!(status, RunStatus::Complete);
    assert!((1..=2).contains(&written), "{written} records were written");
    let names: BTreeSet<String> =
        store.live().values().filter_map(|record| record.data.member::<String>("name").unwrap()).collect();
    assert_eq!(names, ["Ada", "Grace"].map(str::to_owned).into());
}

#[derive(Deserialize)]
struct Page {
    page: Option<usize>,
    since: Option<String>,
}

/// Serves 18,000 tasks in the order of their changes, 500 a page: the tap gives a state after about 10,000.
async fn tasks() -> String {
    let answer = get(|Query(page): Query<Page>| async move {
        let all =
            (0..18_000).map(|id| (id, format!("2026-01-01T{:02}:{:02}:{:02}Z", id / 3600, id / 60 % 60, id % 60)));
        let since = page.since.unwrap_or_default();
        let from = page.page.unwrap_or(0);
        let wanted = all.filter(|(_, changed)| *changed >= since).skip(from).take(500);
        let tasks: Vec<Value> =
            wanted.map(|(id, changed)| json!({ "id": id, "changed": changed, "none": null })).collect();
        let next = (tasks.len() == 500).then_some(from + 500);
        axum::Json(json!({ "tasks": tasks, "next": next }))
    });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/tasks", answer)).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the taps of testing/servers up taps"]
async fn a_tap_of_a_service_is_killed_and_resumed_without_loss() {
    let tap = Singer::new(
        SingerConfig::new(program("REST"))
            .with_setting("api_url", tasks().await)
            .with_setting("next_page_token_path", "$.next")
            .with_setting(
                "streams",
                json!([{
                    "name": "tasks", "path": "/tasks", "records_path": "$.tasks[*]", "primary_keys": ["id"],
                    "replication_key": "changed", "start_date": "2026-01-01T00:00:00Z",
                    "source_search_field": "since", "source_search_query": "$last_run_date",
                }]),
            ),
    );
    tap.check().await.unwrap();
    let (whole, broken) = whole_and_broken(&tap, "tasks").await;
    assert_eq!(whole.len(), 18_000);
    assert_eq!(whole, broken);
}
