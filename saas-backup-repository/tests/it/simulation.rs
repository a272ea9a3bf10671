//! Writers, a maintainer, an eraser and readers at once, on storage that is slow, loses answers and lies a little; by a seed.
//!
//! `SAAS_BACKUP_TEST_SEEDS` says how many seeds, `SAAS_BACKUP_TEST_SEED` the first one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use saas_backup_core::{
    At, Catalog, Clock as _, Collection, Connector as _, Coverage, Cursor, Deletion, DeletionReason, Error, ErrorKind,
    Event, Feed, Json, Key, Kind, ManualClock, Record, Result, RunId, RunReport, RunStart,
};
use saas_backup_repository::{
    CollectOptions, CompactOptions, Creation, Entry, EraseOptions, Identity, Keys, Repository, RepositoryOptions,
    Source, Store, Subject, VerifyOptions,
};

use crate::faults::FaultyStore;
use crate::support::{clock, live, mirror, options, time};

const SEEDS: u64 = 24;
const COLLECTIONS: [&str; 2] = ["one", "two"];

/// Numbers that follow from a seed: splitmix64.
#[derive(Clone, Debug)]
struct Numbers(Arc<Mutex<u64>>);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    fn below(&self, end: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_in(&self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Storage as it can be; each actor has its own way to it.
#[derive(Clone, Debug)]
struct Weather {
    disk: FaultyStore,
    numbers: Numbers,
    /// What a stale listing does not show yet.
    newest: Arc<Mutex<String>>,
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "no answer came")
}

impl Weather {
    /// Waits a while; whether the request does not arrive.
    async fn request(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(self.numbers.below(40))).await;
        if self.numbers.one_in(150) { Err(lost()) } else { Ok(()) }
    }

    /// What is done may still not be heard of.
    fn answer<T>(&self, answer: T) -> Result<T> {
        if self.numbers.one_in(150) { Err(lost()) } else { Ok(answer) }
    }
}

#[async_trait]
impl Store for Weather {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.request().await?;
        self.disk.put(name, bytes).await?;
        name.clone_into(&mut self.newest.lock().unwrap());
        self.answer(())
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<Creation> {
        self.request().await?;
        if self.numbers.one_in(50) {
            // S3 answers 409 without anybody having won.
            return Ok(Creation::Exists);
        }
        let created = self.disk.create(name, bytes).await?;
        name.clone_into(&mut self.newest.lock().unwrap());
        self.answer(created)
    }

    async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Bytes> {
        self.request().await?;
        self.disk.get(name, range).await
    }

    async fn size(&self, name: &str) -> Result<u64> {
        self.request().await?;
        self.disk.size(name).await
    }

    fn list(&self, folder: &str, after: Option<&str>) -> BoxStream<'static, Result<Entry>> {
        let hidden = if self.numbers.one_in(30) { self.newest.lock().unwrap().clone() } else { String::new() };
        let entries = self.disk.list(folder, after);
        let weather = self.clone();
        let begin = stream::once(async move { weather.request().await.err() });
        let errors = begin.filter_map(|error| async move { error.map(Err) });
        errors
            .chain(entries.filter(move |entry| {
                let is_shown = entry.as_ref().is_ok_and(|entry| entry.name != hidden);
                async move { is_shown }
            }))
            .boxed()
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.request().await?;
        self.disk.delete(name).await?;
        self.answer(())
    }
}

/// What records say, by key.
type Content = BTreeMap<Key, String>;

/// What everybody did, and saw.
#[derive(Default)]
struct Log {
    /// What each run wrote; `None` for a deletion.
    wrote: BTreeMap<RunId, Vec<(Key, Option<String>)>>,
    /// Runs whose writers were told that they are committed.
    promised: BTreeSet<RunId>,
    /// Points that somebody tried to forget, with their runs.
    forgotten: BTreeMap<u64, RunId>,
    /// What was to be erased, by request.
    erased: BTreeMap<String, Key>,
    /// What readers found at points.
    read: Vec<(u64, Content)>,
}

#[derive(Clone)]
struct World {
    weather: Weather,
    numbers: Numbers,
    clock: ManualClock,
    keys: RepositoryOptions,
    log: Arc<Mutex<Log>>,
}

impl World {
    async fn source(&self) -> Result<Source> {
        Repository::open_on(Arc::new(self.weather.clone()), self.keys.clone()).await?.source("blog")
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(self.numbers.below(400))).await;
    }

    fn key(&self, collection: usize) -> Key {
        Key::parse(COLLECTIONS[collection], format!("{:02}", self.numbers.below(12))).unwrap()
    }

    async fn run(&self, source: &Source, collection: usize) -> Result<()> {
        let sink = source.sink(mirror(false)).await?;
        let run = RunId::new(time());
        let collections = COLLECTIONS.map(|name| Key::parse(name, "1").unwrap().collection);
        let catalog = Catalog::new(collections.clone().map(|name| Collection::new(name, Kind::Record)).to_vec());
        sink.begin(&RunStart::new(run, self.clock.now(), catalog, Coverage::default())).await?;
        let mut changes: BTreeMap<Key, Option<String>> = BTreeMap::new();
        for _ in 0..=self.numbers.below(4) {
            let text =
                (!self.numbers.one_in(4)).then(|| format!("{run} {}", "x".repeat(self.numbers.below(90) as usize)));
            changes.insert(self.key(collection), text);
        }
        self.log().wrote.insert(run, changes.clone().into_iter().collect());
        let mut writer = sink.writer(&Feed::slice(collections[collection].clone())).await?;
        for (key, text) in changes {
            let event = match text {
                Some(text) => Event::Put(Box::new(Record::new(key, Json::from_value(&serde_json::json!(text))?))),
                None => Event::Delete(Deletion::new(key, DeletionReason::Deleted)),
            };
            writer.write(vec![event]).await?;
        }
        writer.flush(Some(&Cursor::encode(1, &run)?)).await?;
        drop(writer);
        self.pause().await;
        let mut report = RunReport::new(run, self.clock.now());
        report.finished = self.clock.now();
        sink.commit(&report).await?;
        self.log().promised.insert(run);
        Ok(())
    }

    async fn write(self, collection: usize) {
        let mut source = None;
        for _ in 0..10 {
            self.pause().await;
            self.clock.advance(Duration::from_mins(self.numbers.below(90)));
            if source.is_none() || self.numbers.one_in(3) {
                source = self.source().await.ok();
            }
            if let Some(source) = &source {
                let _ = self.run(source, collection).await;
            }
        }
    }

    async fn maintain(self) {
        for _ in 0..9 {
            self.pause().await;
            let Ok(source) = self.source().await else { continue };
            match self.numbers.below(4) {
                0 | 1 => {
                    let options = CompactOptions::default().with_all(!self.numbers.one_in(4)).with_segment_bytes(300);
                    let _ = source.compact(&options, &mut |_| {}).await;
                }
                2 => {
                    let Ok(points) = source.points().await else { continue };
                    let older = points.iter().rev().skip(1).filter(|_| self.numbers.one_in(3));
                    let chosen: BTreeMap<u64, RunId> = older.map(|point| (point.sequence, point.run)).collect();
                    self.log().forgotten.extend(chosen.clone());
                    let _ = source.forget(&chosen.into_keys().collect()).await;
                }
                _ => {
                    self.clock.advance(Duration::from_hours(self.numbers.below(2) * 8 * 24));
                    let _ = source.collect(&CollectOptions::default()).await;
                }
            }
        }
    }

    async fn erase(self) {
        for number in 0..3 {
            self.pause().await;
            self.pause().await;
            self.pause().await;
            let Ok(source) = self.source().await else { continue };
            let (request, key) = (format!("request {number}"), self.key(self.numbers.below(2) as usize));
            self.log().erased.insert(request.clone(), key.clone());
            let _ = source.erase(&Subject::record(key), &EraseOptions::new(&request), &mut |_| {}).await;
        }
    }

    async fn read(self) {
        for _ in 0..8 {
            self.pause().await;
            let Ok(source) = self.source().await else { continue };
            let Ok(points) = source.points().await else { continue };
            if points.is_empty() {
                continue;
            }
            let point = points[self.numbers.below(points.len() as u64) as usize].sequence;
            if let Ok(found) = content(&source, point).await {
                self.log().read.push((point, found));
            }
        }
    }
}

async fn content(source: &Source, point: u64) -> Result<Content> {
    let records = live(source, At::Sequence(point)).await?;
    records.into_iter().map(|(key, record)| Ok((key, record.data.decode::<String>()?))).collect()
}

async fn simulate(seed: u64) {
    let (clock, numbers) = (clock(), Numbers::new(seed));
    let keys = if numbers.one_in(4) { Keys::owner(Identity::generate()) } else { Keys::none() };
    let keys = options(&clock).with_keys(keys);
    let disk = FaultyStore::default();
    Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
    let weather = Weather { disk: disk.clone(), numbers: numbers.clone(), newest: Arc::default() };
    let world = World { weather, numbers, clock, keys, log: Arc::default() };
    let all = || world.clone();
    tokio::join!(
        all().write(0),
        all().write(1),
        all().write(1),
        all().maintain(),
        all().erase(),
        all().read(),
        all().read()
    );

    // The storage is well again, and somebody looks at what is there.
    let repository = Repository::open_on(Arc::new(disk), world.keys.clone()).await.unwrap();
    let source = repository.source("blog").unwrap();
    let report = repository.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
    assert_eq!(report.problems, []);
    let log = std::mem::take(&mut *world.log());
    let points: BTreeMap<u64, RunId> =
        source.points().await.unwrap().iter().map(|point| (point.sequence, point.run)).collect();
    let there: BTreeSet<RunId> = points.values().chain(log.forgotten.values()).copied().collect();
    assert!(log.promised.is_subset(&there), "a run that was told to be committed is gone");
    let erased: Vec<(u64, &Key)> =
        source.erasures().await.unwrap().iter().map(|done| (done.commit, &log.erased[&done.request])).collect();
    let mut timeline = log.forgotten.clone();
    timeline.extend(points.clone());
    let expected = |point: u64| {
        let mut content = Content::new();
        for (sequence, run) in timeline.range(..=point) {
            for (key, text) in &log.wrote[run] {
                match text {
                    Some(text) if !erased.iter().any(|(commit, gone)| *gone == key && commit > sequence) => {
                        content.insert(key.clone(), text.clone());
                    }
                    _ => drop(content.remove(key)),
                }
            }
        }
        content
    };
    for point in points.keys() {
        assert_eq!(content(&source, *point).await.unwrap(), expected(*point), "point {point}");
    }
    for (point, found) in &log.read {
        let (mut found, mut then) = (found.clone(), expected(*point));
        for (_, key) in &erased {
            // It was read before it was erased, or after.
            found.remove(key);
            then.remove(key);
        }
        assert_eq!(found, then, "what somebody read of point {point}");
    }
}

#[test]
fn whoever_is_at_work_beside_whom_every_point_is_what_was_written() {
    let variable = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let first = variable("SAAS_BACKUP_TEST_SEED").unwrap_or(0);
    let seeds = variable("SAAS_BACKUP_TEST_SEEDS").unwrap_or(SEEDS);
    for seed in first..first + seeds {
        println!("SAAS_BACKUP_TEST_SEED={seed}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(simulate(seed));
    }
}
