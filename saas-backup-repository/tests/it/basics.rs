use futures::TryStreamExt as _;
use saas_backup_core::memory::MemoryStore;
use saas_backup_core::{
    At, BlobId, BlobRef, CollectionName, Connector as _, ErrorKind, Event, Key, RunStatus, SnapshotOptions,
};
use saas_backup_repository::{AgentKey, ChangeKind, Identity, Keys, Repository, RepositoryOptions};

use crate::support::{back_up_memory, both_forms, clock, key, live, note, options};

#[tokio::test]
async fn every_point_in_time_reads_as_the_source_was() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap());
        store.put(note("1", "one"));
        store.put(note("2", "two"));
        let first = store.live();
        let receipt = back_up_memory(&store, &source, &clock).await.receipt.unwrap();
        assert!(receipt.written);
        store.put(note("2", "two, changed"));
        store.put(note("3", "three"));
        store.delete(key("1"));
        let second = store.live();
        back_up_memory(&store, &source, &clock).await;

        let points = source.points().await.unwrap();
        assert_eq!(points.len(), 2);
        assert_eq!(live(&source, At::Sequence(points[0].sequence)).await.unwrap(), first);
        assert_eq!(live(&source, At::Back(1)).await.unwrap(), first);
        assert_eq!(live(&source, At::Now).await.unwrap(), second);

        let old = source.record(&key("2"), &At::Back(1)).await.unwrap().unwrap();
        assert_eq!(old.data.as_str(), r#"{"text":"two"}"#);
        assert!(source.record(&key("1"), &At::Now).await.unwrap().is_none());
        let history = source.history(&key("1")).await.unwrap();
        assert!(matches!(history.as_slice(), [Event::Delete(_), Event::Put(_)]));

        let changes: Vec<_> = source.diff(&At::Back(1), &At::Now).await.unwrap().try_collect().await.unwrap();
        let changes: Vec<_> = changes.iter().map(|change| (change.key.id.as_str(), change.kind)).collect();
        assert_eq!(changes, [("1", ChangeKind::Removed), ("2", ChangeKind::Changed), ("3", ChangeKind::Added)]);
    }
}

#[tokio::test]
async fn an_empty_increment_writes_nothing_until_its_cursor_is_a_day_old() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap());
        store.put(note("1", "one"));
        back_up_memory(&store, &source, &clock).await;
        let receipt = back_up_memory(&store, &source, &clock).await.receipt.unwrap();
        assert_eq!((receipt.written, receipt.objects_added, receipt.sequence), (false, 0, Some(1)));
        assert_eq!(source.points().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn attachments_of_every_size_read_back_whole_and_by_range() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap());
        let mut blobs = Vec::new();
        for (id, size) in
            [("empty", 0), ("small", 1000), ("packed", 900_000), ("whole", 2_000_000), ("parts", 17_000_000)]
        {
            let bytes: Vec<u8> = (0..size).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            store.put_blob(BlobId::parse(id).unwrap(), bytes.clone());
            store.put(note(id, "has an attachment").with_blob(BlobRef::new(BlobId::parse(id).unwrap(), "attachment")));
            blobs.push((id, bytes));
        }
        back_up_memory(&store, &source, &clock).await;
        let snapshot = source.snapshot(SnapshotOptions::default()).await.unwrap();
        for (id, bytes) in blobs {
            let record = source.record(&key(id), &At::Now).await.unwrap().unwrap();
            let blob = &record.blobs[0];
            assert_eq!(blob.size, Some(bytes.len() as u64));
            let read: Vec<_> = snapshot.open(&record.key, blob, None).await.unwrap().try_collect().await.unwrap();
            assert_eq!(read.concat(), bytes, "{id}");
            let (from, to) = (bytes.len() / 3, bytes.len() * 2 / 3);
            let range = Some(from as u64..to as u64);
            let read: Vec<_> = snapshot.open(&record.key, blob, range).await.unwrap().try_collect().await.unwrap();
            assert_eq!(read.concat(), bytes[from..to], "{id}");
        }
        let again = back_up_memory(&store, &source, &clock).await;
        assert!(!again.receipt.unwrap().written);
    }
}

#[tokio::test]
async fn a_folder_is_opened_by_the_next_process() {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let identity = Identity::generate();
    let address = folder.path().join("repository");
    let options = RepositoryOptions::parse(address.to_str().unwrap()).unwrap().with_keys(Keys::owner(identity));
    let store = MemoryStore::new();
    store.put(note("1", "one"));
    {
        let repository = Repository::init(options.clone()).await.unwrap();
        back_up_memory(&store, &repository.source("blog").unwrap(), &clock).await;
    }
    let repository = Repository::open(options.clone()).await.unwrap();
    assert_eq!(repository.sources().await.unwrap(), ["blog"]);
    assert_eq!(live(&repository.source("blog").unwrap(), At::Now).await.unwrap(), store.live());
    assert_eq!(Repository::init(options).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_writer_writes_and_reads_no_record() {
    let clock = clock();
    let (identity, agent) = (Identity::generate(), AgentKey::generate());
    let address = format!("memory://{}", ulid::Ulid::generate());
    let base = RepositoryOptions::parse(&address).unwrap().with_clock(std::sync::Arc::new(clock.clone()));
    let owner = base.clone().with_keys(Keys::owner(identity.clone()).with_agent(agent.clone()));
    let root = Repository::init(owner).await.unwrap().root_key().unwrap();
    let writer = Repository::open(base.clone().with_keys(Keys::writer(agent).with_root(root))).await.unwrap();
    let (store, source) = (MemoryStore::new(), writer.source("blog").unwrap());
    store.put(note("1", "one"));
    back_up_memory(&store, &source, &clock).await;
    store.put(note("2", "two"));
    back_up_memory(&store, &source, &clock).await;
    assert_eq!(source.points().await.unwrap().len(), 2);
    assert_eq!(source.report(&At::Now).await.unwrap().totals().written, 1);
    let denied = source.record(&key("1"), &At::Now).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied);

    let reader = Repository::open(base.clone().with_keys(Keys::owner(identity))).await.unwrap();
    assert_eq!(live(&reader.source("blog").unwrap(), At::Now).await.unwrap(), store.live());

    let stranger = Repository::open(base.clone()).await.unwrap().source("blog").unwrap();
    assert_eq!(stranger.points().await.unwrap().len(), 2);
    assert_eq!(live(&stranger, At::Now).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let wrong = Repository::open(base.with_keys(Keys::owner(Identity::generate()))).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn many_feeds_flush_at_the_same_time() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap().with_flush_bytes(0));
        for id in 0..160 {
            let collection = CollectionName::parse(format!("collection {}", id % 16)).unwrap();
            let mut record = note(&id.to_string(), "text");
            record.key = Key::new(collection, record.key.id);
            store.put(record);
        }
        let done = back_up_memory(&store, &source, &clock).await;
        assert_eq!(done.report.status, RunStatus::Complete);
        assert_eq!(live(&source, At::Now).await.unwrap(), store.live());
    }
}

#[tokio::test]
async fn there_is_one_session_a_source() {
    let clock = clock();
    let repository = Repository::init(options(&clock)).await.unwrap();
    let source = repository.source("blog").unwrap();
    let write = || saas_backup_core::SinkOptions::new(saas_backup_core::WriteMode::Mirror);
    let first = source.sink(write()).await.unwrap();
    assert_eq!(repository.source("blog").unwrap().sink(write()).await.unwrap_err().kind(), ErrorKind::Conflict);
    drop(first);
    assert!(source.sink(write()).await.is_ok());
}

/// A record that says again what it said before: two commits then hold the same bytes, and each point its own.
#[tokio::test]
async fn a_state_that_comes_back_stands_at_each_of_its_points() {
    let clock = clock();
    for repository in both_forms(&clock).await {
        let (store, source) = (MemoryStore::new(), repository.source("blog").unwrap());
        for text in ["on", "off", "on", "off"] {
            store.put(note("1", text));
            back_up_memory(&store, &source, &clock).await;
        }
        for (back, text) in [(0, "off"), (3, "on"), (1, "on"), (2, "off"), (0, "off")] {
            let wanted = note("1", text).data;
            assert_eq!(source.record(&key("1"), &At::Back(back)).await.unwrap().unwrap().data, wanted, "{back} back");
            assert_eq!(live(&source, At::Back(back)).await.unwrap()[&key("1")].data, wanted, "{back} back");
        }
        assert_eq!(source.history(&key("1")).await.unwrap().len(), 4);
        let changes: Vec<_> = source.diff(&At::Back(1), &At::Now).await.unwrap().try_collect().await.unwrap();
        assert_eq!(changes.iter().map(|change| change.kind).collect::<Vec<_>>(), [ChangeKind::Changed]);
    }
}
