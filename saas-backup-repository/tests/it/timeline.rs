//! A timeline of years: what opening, listing and reading cost, and how many objects there are.

use std::sync::Arc;
use std::time::Duration;

use saas_backup_core::At;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_repository::{CollectOptions, CompactOptions, Identity, Keys, Repository, VerifyOptions};

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, key, live, note, options};

/// Hours in which a record changed, each a point that is kept.
const HOURS: u32 = 1200;

#[tokio::test]
async fn a_long_timeline_that_is_kept_up_stays_cheap() {
    let clock = clock();
    let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, account) = (FaultyStore::default(), MemoryStore::new());
    Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
    let from = MemoryConnector::new(account.clone());
    let reopened = async || {
        let repository = Repository::open_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        repository.source("blog").unwrap()
    };
    for id in 0..200 {
        account.put(note(&format!("{id:03}"), "as it began"));
    }
    let (mut kept, mut most) = (Vec::new(), 0);
    let mut blog = reopened().await;
    for hour in 0..HOURS {
        account.put(note(&format!("{:03}", hour % 200), &format!("changed in hour {hour}")));
        back_up(&from, &blog, &clock).await.unwrap();
        clock.advance(Duration::from_hours(1));
        if hour % 24 == 23 {
            blog = reopened().await;
            blog.compact(&CompactOptions::default(), &mut |_| {}).await.unwrap();
            blog.collect(&CollectOptions::default()).await.unwrap();
            most = most.max(disk.names().len());
        }
        if hour % 311 == 0 {
            kept.push((blog.point(&At::Now).await.unwrap().sequence, account.live()));
        }
    }
    assert!(most <= 600, "{most} objects");

    disk.forget_requests();
    let blog = reopened().await;
    assert_eq!(blog.points().await.unwrap().len(), HOURS as usize);
    let opening = disk.reads().len();
    assert!(opening <= 10, "{opening} requests: {:?}", disk.reads());
    disk.forget_requests();
    assert!(blog.record(&key("042"), &At::Now).await.unwrap().is_some());
    let reading = disk.reads().len();
    assert!(reading <= 6, "{reading} requests: {:?}", disk.reads());
    for (point, expected) in &kept {
        assert!(&live(&blog, At::Sequence(*point)).await.unwrap() == expected, "{point}");
    }
    let report = blog.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    assert_eq!(report.problems, []);
}
