use std::path::Path;

use bytes::Bytes;
use futures::TryStreamExt as _;
use proptest::prelude::*;
use saas_backup_core::testkit::{Contents, sample_blob, sample_collection, sample_records};
use saas_backup_core::{
    BlobId, BlobRef, Catalog, Connector, Deletion, DeletionReason, Digest, ErrorKind, Event, Gap, Json, Key, Only,
    PartitionId, ReadRequest, Record, RunReport, SinkOptions, Snapshot, SnapshotOptions, WriteMode,
};
use saas_backup_formats::jsonl::{JsonlConfig, JsonlConnector};

use crate::support::{
    assert_conforms_as_sink, assert_reads_back, files, give_blob, name, puts, start, time, world, write,
};

fn archive(folder: &Path) -> JsonlConnector {
    JsonlConnector::new(JsonlConfig::new(folder.join("archive")))
}

async fn snapshot(connector: &JsonlConnector) -> Box<dyn Snapshot> {
    connector.snapshot(SnapshotOptions::default()).await.unwrap()
}

async fn read(snapshot: &dyn Snapshot, request: ReadRequest) -> Vec<Event> {
    snapshot.read(request).try_collect().await.unwrap()
}

#[tokio::test]
async fn what_a_transfer_writes_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    assert_reads_back(&archive).await;
    assert!(archive.verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn the_conformance_checks_of_sinks_pass() {
    assert_conforms_as_sink(archive).await;
}

#[tokio::test]
async fn the_same_records_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, records, blobs) = world();
    let mut trees = Vec::new();
    for (round, reverse) in [(0, false), (1, true)] {
        let archive = JsonlConnector::new(JsonlConfig::new(folder.path().join(round.to_string())));
        let mut events = puts(&records);
        if reverse {
            events.reverse();
            // Delivery is at least once: what comes again changes nothing.
            events.extend(puts(&records[..20]));
        }
        write(&archive, WriteMode::Create, &start(catalog.clone(), round), events, &blobs).await.unwrap();
        trees.push(files(&folder.path().join(round.to_string())));
    }
    assert_eq!(trees[0].len(), 8, "{:?}", trees[0].keys());
    assert_eq!(trees[0].keys().collect::<Vec<_>>(), trees[1].keys().collect::<Vec<_>>());
    for (path, bytes) in &trees[0] {
        assert!(bytes == &trees[1][path], "{path} differs");
    }
}

#[tokio::test]
async fn the_last_state_of_a_record_counts() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let key = |id| Key::parse("pages", id).unwrap();
    let record = |id, text: &str| Record::new(key(id), Json::parse(text.to_owned()).unwrap());
    let here = |record: Record, partition: &str| record.with_partition(PartitionId::parse(partition).unwrap());
    let put = |record| Event::Put(Box::new(record));
    let events = vec![
        put(record("changed", "1")),
        put(record("deleted", "1")),
        put(record("changed", "2")),
        Event::Delete(Deletion::new(key("deleted"), DeletionReason::Deleted)),
        Event::Delete(Deletion::new(key("never seen"), DeletionReason::Deleted)),
        put(here(record("moved", "1"), "old")),
        put(here(record("moved", "2"), "new")),
        Event::Delete(
            Deletion::new(key("moved"), DeletionReason::Deleted).with_partition(PartitionId::parse("old").unwrap()),
        ),
        put(record("again", "1")),
        Event::Delete(Deletion::new(key("again"), DeletionReason::Deleted)),
        put(record("again", "2")),
    ];
    let catalog = Catalog::new(vec![sample_collection(name("pages"))]);
    write(&archive, WriteMode::Create, &start(catalog, 0), events, &[]).await.unwrap();
    let contents = Contents::of(&*snapshot(&archive).await).await.unwrap();
    let found: Vec<_> = contents.records.iter().map(|(key, record)| (key.id.as_str(), record.data.as_str())).collect();
    assert_eq!(found, [("again", "2"), ("changed", "2"), ("moved", "2")]);
}

#[tokio::test]
async fn what_is_missing_stays_known_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let error = saas_backup_core::Error::new(ErrorKind::PermissionDenied, "not for you");
    let key = |id| Key::parse("pages", id).unwrap();
    let blob = |id| BlobRef::new(BlobId::parse(id).unwrap(), "attachment").with_digest(Digest::of(b"never arrived"));
    let record = |id| Record::new(key(id), Json::parse("{}").unwrap());
    let events = vec![
        Event::Gap(Gap::record(&key("1"), &error)),
        Event::Gap(Gap::record(&key("1"), &error)),
        Event::Gap(Gap::record(&key("2"), &error)),
        Event::Put(Box::new(record("2"))),
        Event::Gap(Gap::collection(name("pages"), &error)),
        // The engine reports a blob that failed; a blob that nobody speaks of is missing all the same.
        Event::Put(Box::new(record("3").with_blob(blob("b3")))),
        Event::Gap(Gap::blob(&key("3"), BlobId::parse("b3").unwrap(), &error)),
        Event::Put(Box::new(record("4").with_blob(blob("b4")))),
    ];
    let catalog = Catalog::new(vec![sample_collection(name("pages"))]);
    write(&archive, WriteMode::Create, &start(catalog, 0), events, &[]).await.unwrap();
    assert_eq!(archive.manifest().await.unwrap().gaps, 4);
    let there = snapshot(&archive).await;
    let feed = saas_backup_core::Feed::slice(name("pages"));
    let gaps: Vec<_> = gaps_of(read(&*there, ReadRequest::new(feed)).await);
    assert_eq!(
        gaps,
        [
            (None, None, "permission-denied".to_owned()),
            (Some("1".to_owned()), None, "permission-denied".to_owned()),
            (Some("3".to_owned()), Some("b3".to_owned()), "permission-denied".to_owned()),
            (Some("4".to_owned()), Some("b4".to_owned()), "not-found".to_owned()),
        ]
    );
    let opened = there.open(&key("4"), &blob("b4"), None).await;
    assert_eq!(opened.err().unwrap().kind(), ErrorKind::NotFound);
}

fn gaps_of(events: Vec<Event>) -> Vec<(Option<String>, Option<String>, String)> {
    let gaps = events.into_iter().filter_map(|event| match event {
        Event::Gap(gap) => Some(gap),
        _ => None,
    });
    gaps.map(|gap| (gap.id.map(|id| id.to_string()), gap.blob.map(|blob| blob.to_string()), gap.problem.kind)).collect()
}

#[tokio::test]
async fn a_read_goes_on_where_it_stopped_and_never_in_another_archive() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let big = Json::from_value(&"x".repeat(100_000)).unwrap();
    let records: Vec<_> =
        (0..20).map(|number| Record::new(Key::parse("pages", format!("{number:02}")).unwrap(), big.clone())).collect();
    let catalog = Catalog::new(vec![sample_collection(name("pages"))]);
    write(&archive, WriteMode::Create, &start(catalog.clone(), 0), puts(&records), &[]).await.unwrap();
    let there = snapshot(&archive).await;
    let feed = saas_backup_core::Feed::slice(name("pages"));
    let all = read(&*there, ReadRequest::new(feed.clone())).await;
    let checkpoints: Vec<usize> = (0..all.len()).filter(|index| matches!(all[*index], Event::Checkpoint(_))).collect();
    assert!(checkpoints.len() > 3, "{}", checkpoints.len());
    for index in &checkpoints {
        let Event::Checkpoint(cursor) = all[*index].clone() else { unreachable!() };
        let rest = read(&*there, ReadRequest::new(feed.clone()).with_from(Some(cursor))).await;
        let keys = |events: &[Event]| events.iter().filter_map(Event::key).collect::<Vec<_>>();
        assert_eq!(keys(&rest), keys(&all[*index..]));
    }
    let Event::Checkpoint(last) = all[*checkpoints.last().unwrap()].clone() else { unreachable!() };

    write(&archive, WriteMode::Overwrite, &start(catalog, 0), puts(&records[1..]), &[]).await.unwrap();
    let mut other = snapshot(&archive).await.read(ReadRequest::new(feed.clone()).with_from(Some(last)));
    assert_eq!(other.try_next().await.unwrap_err().kind(), ErrorKind::CursorExpired);

    let wanted = vec![Key::parse("pages", "03").unwrap(), Key::parse("pages", "00").unwrap()];
    let some = read(&*snapshot(&archive).await, ReadRequest::new(feed).with_only(Only::Records(wanted))).await;
    assert!(matches!(&some[..], [Event::Put(put), Event::Delete(gone), Event::Done(_)]
        if put.key.id.as_str() == "03" && gone.key.id.as_str() == "00"));
}

#[tokio::test]
async fn a_session_that_ends_early_leaves_the_old_archive() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let (catalog, records, blobs) = world();
    write(&archive, WriteMode::Create, &start(catalog.clone(), 0), puts(&records), &blobs).await.unwrap();
    let before = files(folder.path());

    let again = archive.sink(SinkOptions::new(WriteMode::Create)).await;
    assert_eq!(again.err().unwrap().kind(), ErrorKind::Conflict);
    assert_eq!(archive.sink(SinkOptions::new(WriteMode::Mirror)).await.err().unwrap().kind(), ErrorKind::Unsupported);

    let sink = archive.sink(SinkOptions::new(WriteMode::Overwrite)).await.unwrap();
    sink.begin(&start(catalog.clone(), 1)).await.unwrap();
    let mut writer = sink.writer(&saas_backup_core::Feed::slice(name("pages"))).await.unwrap();
    writer.write(puts(&records[..3])).await.unwrap();
    give_blob(&*sink, &records[0].key, &blobs[0].0, &blobs[0].1).await.unwrap();
    assert!(!give_blob(&*sink, &records[0].key, &blobs[0].0, &blobs[0].1).await.unwrap(), "it is held");
    sink.abort().await.unwrap();
    assert_eq!(files(folder.path()), before);
    assert_eq!(writer.write(puts(&records[..1])).await.unwrap_err().kind(), ErrorKind::Unexpected);

    let sink = archive.sink(SinkOptions::new(WriteMode::Overwrite)).await.unwrap();
    drop(sink);
    let sink = archive.sink(SinkOptions::new(WriteMode::Overwrite)).await.unwrap();
    sink.commit(&RunReport::new(start(catalog, 1).run, time(1))).await.unwrap();
    assert_eq!(Contents::of(&*snapshot(&archive).await).await.unwrap(), Contents::default());
}

#[tokio::test]
async fn a_persons_tools_find_what_the_manifest_promises() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let (catalog, records, blobs) = world();
    write(&archive, WriteMode::Create, &start(catalog, 0), puts(&records), &blobs).await.unwrap();
    let tree = files(&folder.path().join("archive"));
    let blob = blobs[0].0.digest.unwrap().to_string();
    assert_eq!(
        tree.keys().collect::<Vec<_>>(),
        [
            "README.md",
            "SHA256SUMS",
            &format!("blobs/{}/{blob}", &blob[..2]),
            "manifest.json",
            "records/CON-..-☃.jsonl",
            "records/empty.jsonl",
            "records/pages.jsonl",
            "schemas/pages.json",
        ]
    );
    let sums = String::from_utf8(tree["SHA256SUMS"].clone()).unwrap();
    assert_eq!(sums.lines().count(), tree.len() - 1);
    for line in sums.lines() {
        let (digest, path) = line.split_once("  ").unwrap();
        assert_eq!(Digest::of(&tree[path]).to_string(), digest, "{path}");
    }
    let text = std::str::from_utf8(&tree["records/pages.jsonl"]).unwrap();
    let ids: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(&line.replace("1e400", "1")).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(ids.is_sorted());
    assert_eq!(ids.len(), 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any records, in any order, some of them more than once: read back, they are what was written.
    #[test]
    fn written_and_read_is_the_same(
        seed: u64,
        count in 0_usize..60,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        size in 0_usize..200_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let archive = archive(folder.path());
            let collection = name("things / ☃");
            let mut records = sample_records(&collection, seed, count).unwrap();
            let blob = sample_blob("blob", seed, size).unwrap();
            if let Some(record) = records.last_mut() {
                record.blobs.push(blob.0.clone());
            }
            let mut events: Vec<Event> = if records.is_empty() { Vec::new() } else {
                order.iter().map(|index| Event::Put(Box::new(index.get(&records).clone()))).collect()
            };
            events.extend(puts(&records));
            let catalog = Catalog::new(vec![sample_collection(collection)]);
            write(&archive, WriteMode::Create, &start(catalog, 0), events, std::slice::from_ref(&blob)).await.unwrap();
            let contents = Contents::of(&*snapshot(&archive).await).await.unwrap();
            let found: Vec<Record> = contents.records.into_values().collect();
            let mut expected = records.clone();
            expected.sort_by(|one, other| one.key.cmp(&other.key));
            assert!(found == expected);
            if let Some(record) = records.last() {
                let middle = size as u64 / 3..size as u64 / 2;
                let part: Vec<Bytes> = snapshot(&archive).await.open(&record.key, &blob.0, Some(middle.clone())).await
                    .unwrap().try_collect().await.unwrap();
                assert_eq!(part.concat(), blob.1[middle.start as usize..middle.end as usize]);
            }
            assert!(archive.verify().await.unwrap().is_clean());
        });
    }
}
