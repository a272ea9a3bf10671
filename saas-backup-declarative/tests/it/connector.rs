use std::collections::BTreeSet;

use futures::StreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{
    Clock as _, CollectionName, Connector as _, ErrorKind, Event, Feed, ReadRequest, RecordState, RunStatus,
    SnapshotOptions, SystemClock, TransferOptions, Transferred, testkit, transfer,
};
use saas_backup_declarative::{BUILT_IN, BuiltInConfig, Declarative, DeclarativeConfig, Manifest};

use crate::tracker::Shared;

async fn back_up(account: &Declarative, store: &MemoryStore) -> Transferred {
    transfer(account, &MemoryConnector::new(store.clone()), TransferOptions::backup()).await.unwrap()
}

fn ids(store: &MemoryStore, collection: &str) -> BTreeSet<String> {
    let live = store.live();
    live.keys().filter(|key| key.collection.as_str() == collection).map(|key| key.id.as_str().to_owned()).collect()
}

#[tokio::test]
async fn it_keeps_the_rules_for_connectors() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(3, 7);
    tracker.put(1, 1, "2026-02-03T00:00:00Z", Some("plan.txt"));
    testkit::connector(&tracker.start(folder.path()).await).await.assert_passed();
}

#[tokio::test]
async fn records_keep_their_bytes_and_carry_what_the_manifest_and_the_overlay_say() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(1, 2);
    tracker.put(1, 2, "2026-02-03T00:00:00Z", Some("plan.txt"));
    let store = MemoryStore::new();
    let done = back_up(&tracker.start(folder.path()).await, &store).await;
    assert_eq!(done.report.status, RunStatus::Complete, "{:?}", done.report.completeness);
    let live = store.live();
    let (_, task) = live.iter().find(|(key, _)| key.id.as_str() == "1/2").unwrap();
    assert!(task.data.as_str().contains("\"none\":null"), "a null is kept");
    assert!(!task.data.as_str().contains("project"), "what the manifest adds is not put into the record");
    assert_eq!(task.extra["x-added"].as_str(), "{\"project\":1}");
    let project = task.refs["projects"].iter().next().unwrap().key();
    assert_eq!(live[&project].data.as_str(), "{\"id\":1}", "it leads to the project");
    assert_eq!(task.by.as_ref().unwrap().key(), project, "the overlay names what the manifest adds");
    assert_eq!(task.state, RecordState::Archived);
    assert_eq!(task.modified.unwrap().to_rfc3339(), "2026-02-03T00:00:00+00:00");
    assert_eq!(task.blobs[0].name.as_deref(), Some("plan.txt"));
    assert!(task.blobs[0].digest.is_some(), "the file was fetched");
    assert!(!task.blobs[0].id.as_ref().unwrap().as_str().contains("signature"), "what signs an address is not kept");
}

#[tokio::test]
async fn an_increment_asks_for_what_changed_and_finds_new_partitions_whole() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(2, 5);
    let (account, store) = (tracker.start(folder.path()).await, MemoryStore::new());
    back_up(&account, &store).await;
    assert_eq!(ids(&store, "tasks").len(), 10);
    tracker.lock().projects.push(3);
    tracker.put(3, 1, "2026-01-02T00:00:00Z", None);
    tracker.put(1, 9, "2026-02-20T00:00:00Z", None);
    tracker.lock().asked.clear();
    let done = back_up(&account, &store).await;
    assert_eq!(done.report.status, RunStatus::Complete);
    let tasks = ids(&store, "tasks");
    assert!(tasks.contains("3/1") && tasks.contains("1/9"), "{tasks:?}");
    let asked = tracker.lock().asked.clone();
    // The latest time that was seen, ten minutes earlier.
    assert!(asked.iter().any(|one| one == "tasks 1 after 0 since 2026-02-05T23:50:00Z"), "{asked:?}");
    assert!(asked.iter().any(|one| one == "tasks 3 after 0 since 2026-01-01T00:00:00Z"), "{asked:?}");
    assert_eq!(asked.iter().filter(|one| *one == "projects 2").count(), 1, "a parent is read once: {asked:?}");
}

#[tokio::test]
async fn a_record_that_is_dated_ahead_does_not_hide_what_comes_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(1, 1);
    tracker.put(1, 1, "2999-01-01T00:00:00Z", None);
    let (account, store) = (tracker.start(folder.path()).await, MemoryStore::new());
    back_up(&account, &store).await;
    tracker.put(1, 2, &SystemClock.now().format("%Y-%m-%dT%H:%M:%SZ").to_string(), None);
    let done = back_up(&account, &store).await;
    assert_eq!(done.report.status, RunStatus::Complete);
    assert_eq!(ids(&store, "tasks"), BTreeSet::from(["1/1".to_owned(), "1/2".to_owned()]));
}

#[tokio::test]
async fn what_is_passed_over_or_missing_is_a_gap_and_nothing_seems_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(2, 5);
    let (account, store) = (tracker.start(folder.path()).await, MemoryStore::new());
    back_up(&account, &store).await;
    tracker.lock().hidden.push(2);
    let done = back_up(&account, &store).await;
    assert_eq!(done.report.status, RunStatus::Incomplete);
    assert_eq!(ids(&store, "tasks").len(), 10, "the manifest ignores 403, a copy does not");
    tracker.lock().hidden.clear();
    tracker.lock().empty_answers = true;
    let done = back_up(&account, &store).await;
    assert_eq!(done.report.status, RunStatus::Incomplete, "an answer without a list is not an empty list");
    assert_eq!((ids(&store, "projects").len(), ids(&store, "tasks").len()), (2, 10));
}

#[tokio::test]
async fn a_read_goes_on_with_the_page_where_it_stopped_and_reads_no_other_again() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(3, 7);
    let account = tracker.start(folder.path()).await;
    let snapshot = account.snapshot(SnapshotOptions::default()).await.unwrap();
    let request = ReadRequest::new(Feed::slice(CollectionName::from_static("projects")));
    let mut events = snapshot.read(request.clone());
    let cursor = loop {
        if let Event::Checkpoint(cursor) = events.next().await.unwrap().unwrap() {
            break cursor;
        }
    };
    drop(events);
    tracker.lock().asked.clear();
    let snapshot = account.snapshot(SnapshotOptions::default()).await.unwrap();
    let rest: Vec<_> = snapshot.read(request.with_from(Some(cursor))).collect().await;
    let keys: Vec<String> =
        rest.iter().filter_map(|event| Some(event.as_ref().unwrap().key()?.id.to_string())).collect();
    assert_eq!((keys, tracker.lock().asked.clone()), (vec!["3".to_owned()], vec!["projects 2".to_owned()]));
}

#[tokio::test]
async fn records_whose_members_take_several_requests_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (tracker, store) = (Shared::with(1, 1), MemoryStore::new());
    back_up(&tracker.start(folder.path()).await, &store).await;
    let live = store.live();
    let (_, thing) =
        live.iter().find(|(key, _)| key.collection.as_str() == "things" && key.id.as_str() == "2").unwrap();
    assert_eq!(thing.data.as_str(), r#"{"id":2,"values":{"a":"a2","b":"b2","c":"c2"}}"#);
    let asked = tracker.lock().asked.clone();
    assert_eq!(asked.iter().filter(|one| one.starts_with("things")).count(), 2, "{asked:?}");
}

#[tokio::test]
async fn refusals_are_repeated_as_the_manifest_says() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(1, 1);
    tracker.lock().refusals = vec![500, 503, 500];
    let (account, store) = (tracker.start(folder.path()).await, MemoryStore::new());
    let done = back_up(&account, &store).await;
    assert_eq!(done.report.status, RunStatus::Complete);
    tracker.lock().refusals = vec![500; 4];
    let error = account.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "three repetitions are all");
}

#[tokio::test]
async fn no_error_and_no_debug_shows_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(1, 1);
    let account = tracker.start(folder.path()).await;
    tracker.lock().refusals = vec![401];
    let error = account.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    for shown in [format!("{error} {error:?}"), format!("{account:?}")] {
        assert!(!shown.contains("canary-token"), "{shown}");
    }
}

#[test]
fn settings_that_the_manifest_asks_for_are_named_when_they_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("source-x.yaml");
    let text =
        "streams: [{ type: DeclarativeStream, name: a }]\nspec: { connection_specification: { required: [api_key] } }";
    std::fs::write(&manifest, text).unwrap();
    let error = Declarative::new(DeclarativeConfig::new(manifest)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("api_key"), "{error}");
}

#[test]
fn what_is_missing_is_named_by_collection_and_settings_are_listed() {
    let lint = Manifest::parse(include_str!("lint.yaml")).unwrap().lint().unwrap();
    assert!(!lint.is_clean());
    assert_eq!(lint.collections[0].problem, None);
    assert!(lint.collections[0].has_key);
    assert!(lint.collections[1].problem.as_ref().unwrap().contains("Hologram"));
    assert_eq!(
        (lint.settings[1].name.as_str(), lint.settings[1].required, lint.settings[1].secret),
        ("token", true, true)
    );
    assert_eq!(
        (lint.settings[0].name.as_str(), lint.settings[0].required, lint.settings[0].secret),
        ("size", false, false)
    );
}

#[test]
fn a_misspelt_setting_is_refused() {
    let known = serde_json::from_str::<DeclarativeConfig>(r#"{"manifest": "x.yaml", "lag_minutes": 3}"#);
    assert_eq!(known.unwrap().lag_minutes, 3);
    assert!(serde_json::from_str::<DeclarativeConfig>(r#"{"manifest": "x.yaml", "lag_minuets": 3}"#).is_err());
    let config: BuiltInConfig = serde_json::from_str(r#"{"api_token": "x", "lag_minuets": 3}"#).unwrap();
    let error = Declarative::built_in("todoist", config).unwrap_err();
    assert!(error.to_string().contains("lag_minuets"), "{error}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_built_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Shared::with(1, 1);
    tracker.start(folder.path()).await;
    let path = folder.path().join("source-tracker.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replacen("type: AddFields", "type: Hologram", 1);
    std::fs::write(&path, text).unwrap();
    let config = DeclarativeConfig::new(path).with_setting("url", "https://a.example").with_setting("token", "x");
    let account = Declarative::new(config).unwrap();
    let snapshot = account.snapshot(SnapshotOptions::default()).await.unwrap();
    let coverage = snapshot.coverage().await.unwrap();
    let reason = coverage.collections["tasks"].reason.clone().unwrap();
    assert!(reason.contains("Hologram"), "{reason}");
    assert!(coverage.collections["projects"].reason.is_none());
}

#[tokio::test]
async fn every_built_in_manifest_loads_with_its_overlay() {
    for built_in in BUILT_IN {
        let mut settings = serde_json::Map::new();
        let known = built_in.settings().unwrap();
        for (name, property) in known["properties"].as_object().unwrap() {
            if property.get("default").is_none() {
                let example = property["examples"][0].clone();
                settings.insert(name.clone(), if example.is_null() { "2026-01-01T00:00:00Z".into() } else { example });
            }
        }
        let account = Declarative::built_in(built_in.name, BuiltInConfig::new(settings));
        let account = account.unwrap_or_else(|error| panic!("{}: {error}", built_in.name));
        let snapshot = account
            .snapshot(SnapshotOptions::default())
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", built_in.name));
        let coverage = snapshot.coverage().await.unwrap();
        assert!(coverage.collections.len() >= 5, "{}", built_in.name);
        for (name, collection) in &coverage.collections {
            let reason = collection.reason.clone().unwrap_or_default();
            assert!(!reason.contains("not supported"), "{}/{name}: {reason}", built_in.name);
        }
    }
}
