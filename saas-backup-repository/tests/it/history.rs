use futures::TryStreamExt as _;
use saas_backup_core::memory::MemoryStore;
use saas_backup_core::{
    At, BlobId, BlobRef, Body, Catalog, Collection, CollectionName, Connector as _, Feed, FieldMapping, Json, Kind,
    Markup, Only, ReadRequest, Record, References, SnapshotOptions,
};
use serde_json::{Value, json};

use crate::support::{back_up_memory, both_forms, clock, holds, key, lacks, live, note, tell};

fn history() -> CollectionName {
    CollectionName::from_static("notes.history")
}

fn said(record: &Record) -> Value {
    let mut said: Value = record.data.decode().unwrap();
    for time in ["since", "until"] {
        assert!(said.as_object_mut().unwrap().remove(time).unwrap().is_string());
    }
    said
}

#[tokio::test]
async fn what_a_record_was_stands_beside_it_with_its_attachments() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap());
        let id = BlobId::from_static("picture");
        store.put_blob(id.clone(), "bytes of a picture");
        let mut blob = BlobRef::new(id, "inline");
        blob.path = Some("/data/text".to_owned());
        store.put(note("1", "one").with_blob(blob));
        store.put(note("2", "two"));
        store.put(note("3", "three"));
        back_up_memory(&store, &source, &clock).await;
        store.put(note("1", "one, changed"));
        store.delete(key("2"));
        back_up_memory(&store, &source, &clock).await;
        store.put(note("2", "two again"));
        store.put(note("1", "one, changed twice"));
        back_up_memory(&store, &source, &clock).await;

        let source = source.with_history(true);
        let held = live(&source, At::Now).await.unwrap();
        let past: Vec<&Record> = held.values().filter(|record| record.key.collection == history()).collect();
        let expected = [
            json!({ "id": "1", "sequence": 1, "ended_by": 2, "ended": "changed",
                "changed": ["/blobs", "/data/text"], "data": { "text": "one" } }),
            json!({ "id": "1", "sequence": 2, "ended_by": 3, "ended": "changed",
                "changed": ["/data/text"], "data": { "text": "one, changed" } }),
            json!({ "id": "2", "sequence": 1, "ended_by": 2, "ended": "deleted",
                "changed": [], "data": { "text": "two" } }),
        ];
        assert_eq!(past.iter().map(|record| said(record)).collect::<Vec<_>>(), expected);
        assert_eq!(past[0].refs["version_of"], References::One((&key("1")).into()));
        let snapshot = source.snapshot(SnapshotOptions::default()).await.unwrap();
        let blob = &past[0].blobs[0];
        assert_eq!(blob.path.as_deref(), Some("/data/data/text"));
        let bytes: Vec<_> = snapshot.open(&past[0].key, blob, None).await.unwrap().try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"bytes of a picture");

        let before = live(&source, At::Back(2)).await.unwrap();
        assert!(before.keys().all(|key| key.collection != history()), "nothing was past then");
    }
}

#[tokio::test]
async fn versions_are_read_by_their_keys() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap());
        for text in ["a", "b", "c"] {
            store.put(note("x@y", text));
            back_up_memory(&store, &source, &clock).await;
        }
        let source = source.with_history(true);
        let past: Vec<Record> = live(&source, At::Now).await.unwrap().into_values().collect();
        let wanted = past.iter().filter(|record| record.key.collection == history()).map(|record| record.key.clone());
        let mut wanted: Vec<_> = wanted.collect();
        assert_eq!(wanted.len(), 2);
        for other in ["x@y", "x@y@9", "x"] {
            wanted.push(saas_backup_core::Key::parse("notes.history", other).unwrap());
        }
        let snapshot = source.snapshot(SnapshotOptions::default()).await.unwrap();
        let request = ReadRequest::new(Feed::slice(history())).with_only(Only::Records(wanted));
        let events: Vec<_> = snapshot.read(request).try_collect().await.unwrap();
        let found = events.iter().filter(|event| matches!(event, saas_backup_core::Event::Put(_))).count();
        let gone = events.iter().filter(|event| matches!(event, saas_backup_core::Event::Delete(_))).count();
        assert_eq!((found, gone), (2, 3));
    }
}

#[tokio::test]
async fn a_collection_of_versions_says_how_they_are_read_and_takes_no_name_that_is_there() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap());
        let mut fields = FieldMapping::default();
        fields.title = Some("name".to_owned());
        fields.body = Some(Body::new("text", Markup::Html));
        fields.parent = Some("above".to_owned());
        let of = Collection::new(key("1").collection, Kind::Document)
            .with_title("Notes")
            .with_schema(Json::from_value(&json!({ "type": "object" })).unwrap())
            .with_fields(fields)
            .with_restore();
        let taken = Collection::new(history(), Kind::Other);
        store.set_catalog(Catalog::new(vec![of, taken]));
        store.put(note("1", "one"));
        back_up_memory(&store, &source, &clock).await;
        store.put(note("1", "changed"));
        back_up_memory(&store, &source, &clock).await;

        let source = source.with_history(true);
        let catalog = source.snapshot(SnapshotOptions::default()).await.unwrap().catalog().await.unwrap();
        let names: Vec<&str> = catalog.names().map(CollectionName::as_str).collect();
        assert_eq!(names, ["notes", "history-1", "notes.history"]);
        let versions = &catalog.collections[1];
        assert_eq!((versions.title.as_str(), versions.kind), ("Notes: earlier versions", Kind::Document));
        assert!(!versions.restorable);
        assert_eq!(versions.fields.title.as_deref(), Some("data.name"));
        assert_eq!(versions.fields.body, Some(Body::new("data.text", Markup::Html)));
        assert_eq!(
            (versions.fields.parent.as_ref(), versions.fields.version_of.as_deref()),
            (None, Some("version_of"))
        );
        let schema: Value = versions.schema.as_ref().unwrap().decode().unwrap();
        assert_eq!(schema["properties"]["data"], json!({ "type": "object" }));
    }
}

#[tokio::test]
async fn a_move_between_partitions_is_no_version() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let source = repository.source("blog").unwrap().with_flush_bytes(0);
        tell(true, &source, vec![holds("p", "1", "one")]).await;
        tell(true, &source, vec![holds("q", "1", "one"), lacks("p", "1")]).await;
        let source = source.with_history(true);
        assert!(live(&source, At::Now).await.unwrap().keys().all(|key| key.collection != history()));
        tell(true, &source, vec![holds("q", "1", "another")]).await;
        let held = live(&source, At::Now).await.unwrap();
        let past: Vec<Value> = held.values().filter(|record| record.key.collection == history()).map(said).collect();
        assert_eq!(past.len(), 1);
        assert_eq!(past[0]["data"], json!({ "text": "one" }));
    }
}
