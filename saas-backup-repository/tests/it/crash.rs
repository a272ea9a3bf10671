//! A machine that is switched off at any write.

use std::sync::Arc;

use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, BlobId, BlobRef, ErrorKind};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions, VerifyOptions};

use crate::faults::{Fault, FaultyStore};
use crate::support::{back_up, clock, live, note, options};

const FAULTS: [Fault; 3] = [Fault::Before, Fault::After, Fault::Torn];

fn with_blob(store: &MemoryStore, id: &str, size: usize) {
    store.put_blob(BlobId::parse(id).unwrap(), vec![7_u8; size]);
    store.put(note(id, "has an attachment").with_blob(BlobRef::new(BlobId::parse(id).unwrap(), "attachment")));
}

fn grow(store: &MemoryStore, from: usize) {
    for id in from..from + 5 {
        store.put(note(&id.to_string(), &format!("text {id}")));
    }
    with_blob(store, &format!("small {from}"), 1000);
    with_blob(store, &format!("large {from}"), 1_500_000);
}

async fn open(store: &FaultyStore, keys: &RepositoryOptions) -> Repository {
    Repository::open_on(Arc::new(store.clone()), keys.clone()).await.unwrap()
}

#[tokio::test]
async fn after_a_crash_at_any_write_the_last_point_stands_and_the_next_run_works() {
    let clock = clock();
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let keys = options(&clock).with_keys(keys);
        let disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let records = MemoryStore::new();
        grow(&records, 0);
        let first = records.live();
        let blog = open(&disk, &keys).await.source("blog").unwrap().with_flush_bytes(0);
        back_up(&MemoryConnector::new(records.clone()), &blog, &clock).await.unwrap();
        grow(&records, 100);
        let second = records.live();

        let mut cases = 0;
        for fault in FAULTS {
            for write in 0.. {
                let disk = disk.restarted();
                disk.fail_at(write, fault);
                let blog = open(&disk, &keys).await.source("blog").unwrap().with_flush_bytes(0);
                let crashed = back_up(&MemoryConnector::new(records.clone()), &blog, &clock).await.is_err();
                let disk = disk.restarted();
                let blog = open(&disk, &keys).await.source("blog").unwrap();
                let points = blog.points().await.unwrap().len();
                let now = live(&blog, At::Now).await.unwrap();
                if points == 1 {
                    assert_eq!(records_of(&now), records_of(&first), "write {write} {fault:?}");
                }
                back_up(&MemoryConnector::new(records.clone()), &blog, &clock).await.unwrap();
                assert_eq!(live(&blog, At::Now).await.unwrap().len(), second.len(), "write {write} {fault:?}");
                let oldest = blog.points().await.unwrap()[0].sequence;
                assert_eq!(records_of(&live(&blog, At::Sequence(oldest)).await.unwrap()), records_of(&first));
                let report = blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
                let lasting = report.problems.iter().filter(|problem| !problem.message.contains("is cut"));
                assert_eq!(lasting.count(), 0, "write {write} {fault:?}: {:?}", report.problems);
                assert!(report.orphans < 12, "write {write} {fault:?}: {} orphans", report.orphans);
                cases += 1;
                if !crashed {
                    break;
                }
            }
        }
        assert!(cases > 12, "{cases}");
    }
}

fn records_of(
    live: &std::collections::BTreeMap<saas_backup_core::Key, saas_backup_core::Record>,
) -> Vec<(String, String)> {
    live.iter().map(|(key, record)| (key.to_string(), record.data.as_str().to_owned())).collect()
}

/// On storage where a write can be cut, the very first one of a source may be: nothing depends on it yet.
#[tokio::test]
async fn a_naming_key_that_was_cut_before_the_first_commit_is_made_anew() {
    let clock = clock();
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let keys = options(&clock).with_keys(keys);
        let whole = FaultyStore::default();
        Repository::init_on(Arc::new(whole.clone()), keys.clone()).await.unwrap();
        let records = MemoryStore::new();
        grow(&records, 0);
        let untouched = whole.restarted();
        let blog = open(&untouched, &keys).await.source("blog").unwrap();
        back_up(&MemoryConnector::new(records.clone()), &blog, &clock).await.unwrap();
        let name = untouched.names().into_iter().find(|name| name.contains("/keys/naming")).unwrap();
        let stored = untouched.object(&name);
        for length in [0, 1, 20, stored.len() / 2, stored.len() - 1] {
            let disk = whole.restarted();
            disk.replace(&name, stored.slice(..length));
            let blog = open(&disk, &keys).await.source("blog").unwrap();
            back_up(&MemoryConnector::new(records.clone()), &blog, &clock).await.unwrap();
            assert_eq!(live(&blog, At::Now).await.unwrap().len(), records.live().len(), "{length}");
            assert!(blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap().is_good(), "{length}");

            // With a commit it is no accident of the first run any more.
            disk.replace(&name, stored.slice(..length));
            let error = back_up(&MemoryConnector::new(records.clone()), &blog, &clock).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{length}");
        }
    }
}
