use std::sync::{Mutex, PoisonError};

use crate::testkit::{FakeProvider, Random};
use crate::{CollectionName, ErrorKind, Json, Key, PartitionId, Record, RecordId, Reference};

/// Records of one collection that come and go.
const IDS: usize = 10;
const PROJECTS: [&str; 3] = ["p1", "p2", "p3"];

/// What happens to the source, decided by a seed.
#[derive(Debug)]
pub(super) struct Script(Mutex<Random>);

impl Script {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(Random::new(seed)))
    }

    /// Up to three things happen.
    pub(super) fn step(&self, provider: &FakeProvider) {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..random.below(4) {
            happen(provider, &mut random);
        }
    }
}

/// Everything that began comes to its end, and nothing is in the way any more.
pub(super) fn rest(provider: &FakeProvider) {
    provider.rest();
    provider.heal();
    for transaction in provider.open_transactions() {
        provider.commit(transaction);
    }
}

fn happen(provider: &FakeProvider, random: &mut Random) {
    match random.below(100) {
        0..40 => drop(begin(provider, random)),
        40..75 => {
            let open = provider.open_transactions();
            if let Some(transaction) = random.pick(&open) {
                provider.commit(*transaction);
            }
        }
        75 => drop_project(provider, random.pick(&PROJECTS).copied().unwrap_or_default()),
        76..80 => provider.hide(&some_key(random)),
        80..84 => provider.unhide(&some_key(random)),
        84..88 => {
            let project = random.pick(&PROJECTS).copied().unwrap_or_default();
            provider.move_to(&task(random), project);
        }
        88..90 => {
            let trashed = random.percent(60);
            provider.trash(&some_key(random), trashed);
        }
        90..92 => provider.expire_cursors(),
        92..94 => {
            let kept = random.bits();
            provider.bump_generation(|key| keeps(kept, key));
        }
        94..96 => reset(provider, random),
        96..98 => provider.fail_record(&some_key(random), ErrorKind::PermissionDenied),
        98 => provider.heal(),
        _ => drop(provider.attach(&task(random), &format!("b{}", random.below(1000)), vec![7; random.below(3000)])),
    }
}

fn begin(provider: &FakeProvider, random: &mut Random) -> crate::testkit::Transaction {
    let key = some_key(random);
    if random.percent(30) { provider.begin_delete(&key) } else { provider.begin_put(record(&key, random)) }
}

/// A project is listed no more; a log tells of its tasks, if there is one that tells of deletions.
fn drop_project(provider: &FakeProvider, project: &str) {
    let is_there = |record: &Record| record.partition.as_ref().is_some_and(|partition| partition.as_str() == project);
    for record in provider.visible().into_iter().filter(is_there) {
        provider.delete(&record.key);
    }
    provider.drop_project(project);
}

/// Some changes of one collection that nobody tells of, and the word that it is so.
fn reset(provider: &FakeProvider, random: &mut Random) {
    let collection = some_key(random).collection;
    provider.mute();
    for _ in 0..3 {
        let key = key(&collection, random);
        if random.percent(40) {
            provider.delete(&key);
        } else {
            provider.put(record(&key, random));
        }
    }
    provider.reset(&[collection]);
}

fn some_key(random: &mut Random) -> Key {
    let collections = [FakeProvider::tasks(), FakeProvider::tasks(), FakeProvider::comments(), FakeProvider::users()];
    let collection = random.pick(&collections).cloned().unwrap_or_else(FakeProvider::tasks);
    key(&collection, random)
}

fn key(collection: &CollectionName, random: &mut Random) -> Key {
    let id = RecordId::parse(format!("r{}", random.below(IDS)));
    Key::new(collection.clone(), id.unwrap_or_else(|_| RecordId::from_static("r")))
}

fn task(random: &mut Random) -> Key {
    key(&FakeProvider::tasks(), random)
}

fn record(key: &Key, random: &mut Random) -> Record {
    let text = format!("{{\"id\":\"{}\",\"n\":{}}}", key.id, random.bits());
    let record = Record::new(key.clone(), text_json(&text));
    if key.collection == FakeProvider::tasks() {
        let project = random.pick(&PROJECTS).copied().unwrap_or("p1");
        return record.with_partition(PartitionId::from_static(project));
    }
    if key.collection == FakeProvider::comments() {
        record.with_ref("task", Reference::from(&task(random)))
    } else {
        record
    }
}

/// Half of the keys, another half for each number.
fn keeps(number: u64, key: &Key) -> bool {
    let sum = key.to_string().bytes().fold(number, |sum, byte| sum.rotate_left(5) ^ u64::from(byte));
    Random::new(sum).percent(50)
}

#[expect(clippy::expect_used, reason = "the text is written here")]
fn text_json(text: &str) -> Json {
    Json::parse(text.to_owned()).expect("valid JSON")
}
