//! A machine that is switched off at any write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::Contents;
use saas_backup_core::{
    At, BlobId, BlobRef, CollectionName, Connector as _, ErrorKind, Json, Key, ManualClock, PartitionId, Record,
    Result, SnapshotOptions, TransferOptions, transfer,
};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions, VerifyOptions};

use crate::faults::{Fault, FaultyStore};
use crate::support::{back_up, clock, key, live, note, options};

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

/// Months that a run may fall into; each has key objects of its own.
fn month(number: u32) -> ManualClock {
    let clock = clock();
    clock.advance(Duration::from_hours(24 * 31 * u64::from(number)));
    clock
}

/// One run of a scenario.
struct Work {
    name: &'static str,
    source: &'static str,
    month: u32,
    full: bool,
    /// What happens in the account before it.
    change: fn(&MemoryStore),
}

fn in_collection(collection: u32, id: &str, text: &str) -> Record {
    let mut record = note(id, text);
    record.key.collection = CollectionName::parse(format!("collection {collection}")).unwrap();
    record
}

/// All kinds of work, in the order in which they happen to a repository.
const WORK: &[Work] = &[
    Work { name: "initial", source: "blog", month: 0, full: false, change: |account| grow(account, 0) },
    Work {
        name: "increment",
        source: "blog",
        month: 0,
        full: false,
        change: |account| {
            account.put(note("1", "changed"));
            account.put(note("new", "text").with_partition(PartitionId::from_static("p")));
        },
    },
    Work {
        name: "deletion and move",
        source: "blog",
        month: 0,
        full: false,
        change: |account| {
            account.delete(key("2"));
            account.put(note("new", "text").with_partition(PartitionId::from_static("q")));
        },
    },
    Work {
        name: "new attachments",
        source: "blog",
        month: 0,
        full: false,
        change: |account| {
            with_blob(account, "tiny", 10);
            with_blob(account, "noise", 1_200_000);
        },
    },
    Work {
        name: "removed attachments",
        source: "blog",
        month: 0,
        full: false,
        change: |account| {
            account.delete(key("tiny"));
            account.put(note("small 0", "has no attachment any more"));
        },
    },
    Work { name: "second source", source: "wiki", month: 0, full: false, change: |account| grow(account, 500) },
    Work {
        name: "full read in the next month",
        source: "blog",
        month: 1,
        full: true,
        change: |account| {
            account.put(note("3", "changed"));
            account.delete(key("4"));
        },
    },
    Work {
        name: "many feeds, and a layout",
        source: "blog",
        month: 1,
        full: false,
        change: |account| (0..9).for_each(|number| account.put(in_collection(number, "1", "text"))),
    },
];

impl Work {
    fn clock(&self) -> ManualClock {
        month(self.month)
    }

    async fn run(&self, disk: &FaultyStore, keys: &RepositoryOptions, account: &MemoryStore) -> Result<()> {
        let clock = self.clock();
        let keys = keys.clone().with_clock(Arc::new(clock.clone()));
        let source = open(disk, &keys).await.source(self.source)?.with_flush_bytes(0);
        let options = TransferOptions::backup().with_clock(Arc::new(clock)).with_full(self.full);
        transfer(&MemoryConnector::new(account.clone()), &source, options).await.map(drop)
    }
}

/// The records of every point of every source.
async fn everything(disk: &FaultyStore, keys: &RepositoryOptions) -> BTreeMap<(String, u64), Contents> {
    let repository = open(disk, keys).await;
    let mut all = BTreeMap::new();
    for name in repository.sources().await.unwrap() {
        let source = repository.source(&name).unwrap();
        for point in source.points().await.unwrap() {
            let at = SnapshotOptions::at(At::Sequence(point.sequence));
            let contents = Contents::records_of(&*source.snapshot(at).await.unwrap()).await.unwrap();
            all.insert((name.clone(), point.sequence), contents);
        }
    }
    all
}

/// What an account itself says: the digests of attachments are added on the way.
fn told(contents: &Contents) -> Vec<(&Key, &Json, Option<&PartitionId>)> {
    contents.records.values().map(|record| (&record.key, &record.data, record.partition.as_ref())).collect()
}

/// Switches the machine off at each write of a run, in one way, and looks at what is left each time.
async fn crash_everywhere(
    work: &Work,
    fault: Fault,
    before: &FaultyStore,
    keys: &RepositoryOptions,
    account: &MemoryStore,
) -> usize {
    let points = everything(before, keys).await;
    for write in 0.. {
        let what = format!("{}, write {write} {fault:?}", work.name);
        let disk = before.restarted();
        disk.fail_at(write, fault);
        let crashed = work.run(&disk, keys, account).await.is_err();
        let (torn, disk) = (disk.torn(), disk.restarted());
        for name in before.names() {
            assert!(disk.object(&name) == before.object(&name), "{what}: {name} was changed");
        }
        let found = everything(&disk, keys).await;
        assert!(points.iter().all(|(point, contents)| found.get(point) == Some(contents)), "{what}");

        work.run(&disk, keys, account).await.unwrap();
        let found = everything(&disk, keys).await;
        assert!(points.iter().all(|(point, contents)| found.get(point) == Some(contents)), "{what}");
        let now = found.iter().rfind(|((source, _), _)| source == work.source).unwrap().1;
        let account = MemoryConnector::new(account.clone()).snapshot(SnapshotOptions::default()).await.unwrap();
        let account = Contents::records_of(&*account).await.unwrap();
        assert!(told(&account) == told(now), "{what}");

        let report = open(&disk, keys).await.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        let strange: Vec<_> = report.problems.iter().filter(|one| Some(&one.object) != torn.as_ref()).collect();
        assert!(strange.is_empty(), "{what}: {strange:?}");
        assert!(report.orphans <= write as u64 + 1, "{what}: {} orphans", report.orphans);
        if !crashed {
            return write;
        }
    }
    0
}

/// Whatever a machine is at work with when it is switched off: all earlier points stand bit by bit, the next run
/// brings the source to where the account is, and no more is left behind than the crashed run wrote.
#[tokio::test]
async fn a_crash_at_any_write_of_any_work_costs_that_run_alone() {
    let mut cases = 0;
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let keys = options(&clock()).with_keys(keys);
        let mut disk = FaultyStore::default();
        Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let (blog, wiki) = (MemoryStore::new(), MemoryStore::new());
        for work in WORK {
            let account = if work.source == "blog" { &blog } else { &wiki };
            (work.change)(account);
            for fault in FAULTS {
                cases += crash_everywhere(work, fault, &disk, &keys, account).await;
            }
            disk = disk.restarted();
            work.run(&disk, &keys, account).await.unwrap();
        }
        assert!(disk.names().iter().any(|name| name.contains("/layout/")));
        let keyed = disk.names().iter().filter(|name| name.contains("/keys/")).count();
        assert!(keyed >= 2, "{keyed}");
    }
    assert!(cases > 150, "{cases}");
}
