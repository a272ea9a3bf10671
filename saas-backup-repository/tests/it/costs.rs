//! What reading costs in requests and bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, CollectionName, Digest, Json, Key, Record, TransferOptions, transfer};
use saas_backup_repository::{AgentKey, CollectOptions, CompactOptions, Identity, Keys, Repository, VerifyOptions};

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, key, live, note, options};

/// Text that no compressor makes small.
fn noise(seed: u32, length: u32) -> String {
    let digests = (0..length.div_ceil(32)).map(|at| Digest::of(format!("{seed} {at}").as_bytes()));
    digests.flat_map(|digest| digest.as_bytes().map(|byte| char::from(33 + byte % 64))).take(length as usize).collect()
}

#[tokio::test]
async fn one_record_costs_ten_requests_from_nothing_and_one_a_run_once_open() {
    let clock = clock();
    let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, records) = (FaultyStore::default(), MemoryStore::new());
    let repository = Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
    let blog = repository.source("blog").unwrap();
    for id in 0..6000 {
        records.put(note(&format!("{id:05}"), &noise(id, 60).repeat(5)));
    }
    let from = MemoryConnector::new(records.clone());
    back_up(&from, &blog, &clock).await.unwrap();
    for id in 0..10 {
        records.put(note(&format!("{id:05}"), "changed"));
    }
    back_up(&from, &blog, &clock).await.unwrap();

    let repository = Repository::open_on(Arc::new(disk.clone()), keys).await.unwrap();
    let blog = repository.source("blog").unwrap();
    disk.forget_requests();
    assert!(blog.record(&key("03000"), &At::Now).await.unwrap().is_some());
    let first = disk.reads();
    assert!(first.len() <= 10, "{first:?}");
    disk.forget_requests();
    assert!(blog.record(&key("05000"), &At::Now).await.unwrap().is_some());
    let reads = disk.reads();
    let bytes: u64 = reads.iter().map(|(_, bytes)| bytes).sum();
    assert!(reads.len() == 1 && bytes <= 320 * 1024, "{reads:?}");
    disk.forget_requests();
    assert!(blog.record(&key("nobody"), &At::Now).await.unwrap().is_none());
    assert_eq!(disk.reads(), []);
}

#[tokio::test]
async fn counting_reads_what_changed_and_not_what_there_is() {
    let clock = clock();
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let keys = options(&clock).with_keys(keys);
        let (disk, records) = (FaultyStore::default(), MemoryStore::new());
        let repository = Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let blog = repository.source("blog").unwrap();
        let from = MemoryConnector::new(records.clone());
        let mut points = Vec::new();
        for id in 0..3000 {
            records.put(note(&format!("{id:05}"), &noise(id, 2000)));
        }
        for id in 0..300 {
            let mut page = note(&format!("{id:05}"), &noise(id, 2000));
            page.key.collection = CollectionName::from_static("pages");
            records.put(page);
        }
        back_up(&from, &blog, &clock).await.unwrap();
        points.push(records.live());
        for round in 0..4 {
            // Small changes lie in the commit; the large ones are segments of their own that overlap the first.
            for id in (0..400).filter(|id| round % 2 == 1 || id % 100 == round) {
                let id = format!("{:05}", 1000 + id * 2 + round * 300);
                if id.ends_with('6') { records.delete(key(&id)) } else { records.put(note(&id, &noise(round, 1000))) }
            }
            back_up(&from, &blog, &clock).await.unwrap();
            points.push(records.live());
        }
        records.delete(key("never held"));
        for (at, live) in points.iter().enumerate() {
            let mut expected = BTreeMap::new();
            for key in live.keys() {
                *expected.entry(key.collection.clone()).or_insert(0) += 1;
            }
            let at = blog.points().await.unwrap()[at].sequence;
            assert_eq!(blog.count(&At::Sequence(at)).await.unwrap(), expected, "{at}");
        }

        let first = blog.points().await.unwrap()[0].clone();
        assert!(first.bytes_added.unwrap() > 3_000_000, "{first:?}");
        let blog = Repository::open_on(Arc::new(disk.clone()), keys).await.unwrap().source("blog").unwrap();
        disk.forget_requests();
        blog.count(&At::Sequence(first.sequence)).await.unwrap();
        let bytes: u64 = disk.reads().iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes * 4 < first.bytes_added.unwrap(), "{bytes} of {first:?}");
    }
}

#[tokio::test]
async fn the_first_backup_reads_no_record_back() {
    let clock = clock();
    let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, records) = (FaultyStore::default(), MemoryStore::new());
    let repository = Repository::init_on(Arc::new(disk.clone()), keys).await.unwrap();
    let blog = repository.source("blog").unwrap().with_flush_bytes(64 * 1024);
    for id in 0..2000 {
        records.put(note(&format!("{id:04}"), &noise(id, 600)));
    }
    let often = || {
        let options = TransferOptions::backup().with_clock(Arc::new(clock.clone()));
        options.with_full(true).with_flush(64 * 1024, Duration::from_hours(1))
    };
    let from = MemoryConnector::new(records.clone());
    transfer(&from, &blog, often()).await.unwrap();
    let segments = disk.names().iter().filter(|name| name.contains("/data/")).count();
    assert!(segments > 1, "{:?}", disk.names());
    let read: Vec<_> = disk.reads().into_iter().filter(|(name, _)| name.contains("/data/")).collect();
    assert_eq!(read, []);
    assert_eq!(live(&blog, At::Now).await.unwrap(), records.live());
}

#[tokio::test]
async fn layouts_keep_a_long_timeline_short_and_say_what_the_commits_say() {
    let clock = clock();
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let keys = options(&clock).with_keys(keys);
        let (disk, records) = (FaultyStore::default(), MemoryStore::new());
        let repository = Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let blog = repository.source("blog").unwrap();
        let from = MemoryConnector::new(records.clone());
        let mut points = Vec::new();
        for round in 0..150 {
            records.put(note(&format!("{}", round % 40), &format!("text {round}")));
            back_up(&from, &blog, &clock).await.unwrap();
            points.push(records.live());
        }
        let layouts = disk.names().iter().filter(|name| name.contains("/layout/")).count();
        assert_eq!(layouts, 24, "every six commits, and seldom where nobody removes any");

        let blog = Repository::open_on(Arc::new(disk.clone()), keys).await.unwrap().source("blog").unwrap();
        disk.forget_requests();
        assert_eq!(blog.points().await.unwrap().len(), 150);
        let read = disk.reads().len();
        assert!(read <= 1 + 6 + 1, "a layout, the commits since, and who signed them: {read} requests");
        for at in [0, 63, 64, 100, 149] {
            assert_eq!(live(&blog, At::Sequence(at + 1)).await.unwrap(), points[at as usize], "{at}");
        }
        let report = blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert!(report.is_good() && report.orphans == 0, "{report:?}");

        let layouts: Vec<String> = disk.names().into_iter().filter(|name| name.contains("/layout/")).collect();
        for name in &layouts {
            let mut damaged = disk.object(name).to_vec();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 1;
            disk.replace(name, damaged);
        }
        let report = blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        assert_eq!(report.problems.len(), layouts.len(), "{report:?}");
    }
}

/// Months without a maintainer, by a writer that can read no record: its layouts put small commits together.
#[tokio::test]
async fn what_a_writer_alone_has_written_for_long_is_quick_to_read() {
    let (clock, agent) = (clock(), AgentKey::generate());
    let owner = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, records) = (FaultyStore::default(), MemoryStore::new());
    let repository = Repository::init_on(Arc::new(disk.clone()), owner.clone()).await.unwrap();
    repository.add_writer(&agent).await.unwrap();
    let writer = owner.clone().with_keys(Keys::writer(agent));
    let from = MemoryConnector::new(records.clone());
    for round in 0..160 {
        records.put(note(&format!("{}", round % 40), &format!("text {round}")));
        let blog = Repository::open_on(Arc::new(disk.clone()), writer.clone()).await.unwrap().source("blog").unwrap();
        back_up(&from, &blog, &clock).await.unwrap();
    }
    let blog = Repository::open_on(Arc::new(disk.clone()), owner).await.unwrap().source("blog").unwrap();
    disk.forget_requests();
    assert!(blog.record(&key("7"), &At::Sequence(100)).await.unwrap().is_some());
    let read = disk.reads().len();
    assert!(read <= 20, "{read} requests");
}

/// What compaction states of many points is large, and nobody who looks for a record needs it.
#[tokio::test]
async fn a_record_of_now_takes_few_requests_however_many_points_are_kept() {
    let clock = clock();
    let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, records) = (FaultyStore::default(), MemoryStore::new());
    let repository = Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
    let blog = repository.source("blog").unwrap();
    let from = MemoryConnector::new(records.clone());
    let change = |round: u32| {
        for collection in 0..40 {
            let text = Json::from_value(&serde_json::json!(round)).unwrap();
            records.put(Record::new(Key::parse(format!("c{collection}"), "1").unwrap(), text));
        }
    };
    records.put(Record::new(Key::parse("c7", "old").unwrap(), Json::from_value(&serde_json::json!("old")).unwrap()));
    for round in 0..260 {
        change(round);
        back_up(&from, &blog, &clock).await.unwrap();
    }
    for days in [0, 8] {
        // Twice: layouts stay until two later ones say what they say.
        clock.advance(Duration::from_hours(days * 24));
        blog.compact(&CompactOptions::default().with_all(true), &mut |_| {}).await.unwrap();
        blog.collect(&CollectOptions::default()).await.unwrap();
    }
    for round in 260..330 {
        change(round);
        back_up(&from, &blog, &clock).await.unwrap();
    }
    let blog = Repository::open_on(Arc::new(disk.clone()), keys).await.unwrap().source("blog").unwrap();
    assert_eq!(blog.points().await.unwrap().len(), 330);
    disk.forget_requests();
    assert!(blog.record(&Key::parse("c7", "old").unwrap(), &At::Now).await.unwrap().is_some());
    let read = disk.reads();
    assert!(read.len() <= 6, "{read:?}");
    let report = blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    assert_eq!(report.problems, []);
}

#[tokio::test]
async fn a_run_that_changes_one_record_sends_little_beside_it() {
    let clock = clock();
    let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, records) = (FaultyStore::default(), MemoryStore::new());
    let repository = Repository::init_on(Arc::new(disk.clone()), keys).await.unwrap();
    let source = repository.source("tenant-12345").unwrap();
    let from = MemoryConnector::new(records.clone());
    let mut beside = Vec::new();
    for round in 0..5 {
        let record = note("settings", &noise(round, 130));
        let alone = zstd::bulk::compress(record.data.as_bytes(), 3).unwrap().len();
        records.put(record);
        let before = disk.names();
        back_up(&from, &source, &clock).await.unwrap();
        clock.advance(Duration::from_hours(1));
        let new: Vec<String> = disk.names().into_iter().filter(|name| !before.contains(name)).collect();
        if round > 0 {
            assert_eq!(new.len(), 1, "{new:?}");
            beside.push(disk.object(&new[0]).len() - alone);
        }
    }
    assert!(beside.iter().all(|bytes| *bytes <= 1200), "{beside:?}");
}
