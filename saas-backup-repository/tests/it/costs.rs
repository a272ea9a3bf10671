//! What reading costs in requests and bytes.

use std::sync::Arc;

use saas_backup_core::At;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_repository::{Identity, Keys, Repository};

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, key, note, options};

#[tokio::test]
async fn one_record_costs_ten_requests_from_nothing_and_one_a_run_once_open() {
    let clock = clock();
    let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, records) = (FaultyStore::default(), MemoryStore::new());
    let repository = Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
    let blog = repository.source("blog").unwrap();
    for id in 0..6000 {
        let text: String =
            (0..60_u32).map(|at| char::from(33 + ((id * 60 + at).wrapping_mul(2_654_435_761) >> 26) as u8)).collect();
        records.put(note(&format!("{id:05}"), &text.repeat(5)));
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
