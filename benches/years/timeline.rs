use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use benches::HourlyAccount;
use chrono::DateTime;
use futures::TryStreamExt as _;
use saas_backup_core::{
    At, Clock as _, Connector as _, Event, ManualClock, ReadRequest, SnapshotOptions, TransferOptions, transfer,
};
use saas_backup_repository::{
    CollectOptions, CompactOptions, Identity, Keys, Repository, RepositoryOptions, RetentionPolicy, Source,
};
use serde::Serialize;

use crate::Outcome;
use crate::cost::{cpu, peak, ratio};
use crate::storage::{CountingStore, Requests, Stored};

const SOURCE: &str = "account";
/// 1 January 2026.
const BEGINNING: i64 = 1_767_225_600;
/// Points that are read whole and compared at the end.
const SAMPLES: usize = 12;

/// What is simulated.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Options {
    records: u32,
    years: f64,
    /// Percent of the records that change in a day.
    change: f64,
    keep_all: bool,
}

impl Options {
    pub(crate) fn parse(mut words: &[&str]) -> Outcome<Self> {
        let mut options = Self { records: 100_000, years: 5.0, change: 1.0, keep_all: false };
        loop {
            words = match words {
                [] => return Ok(options),
                ["--keep-all", rest @ ..] => {
                    options.keep_all = true;
                    rest
                }
                ["--records", number, rest @ ..] => {
                    options.records = number.parse()?;
                    rest
                }
                ["--years", number, rest @ ..] => {
                    options.years = number.parse()?;
                    rest
                }
                ["--change", number, rest @ ..] => {
                    options.change = number.parse()?;
                    rest
                }
                _ => return Err(format!("unknown option {words:?}\n\n{}", crate::USAGE).into()),
            };
        }
    }

    fn hours(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of hours")]
        let hours = (self.years * 365.0 * 24.0).round() as u32;
        hours
    }
}

/// What the simulation found.
#[derive(Debug, Serialize)]
pub(crate) struct Years {
    options: Options,
    points: usize,
    /// Bytes of one full copy, backed up into a repository of its own.
    copy: u64,
    /// Objects and bytes in the end, and the most there were.
    stored: Stored,
    /// Objects and bytes that were given up and wait for their grace.
    given_up: (u64, u64),
    folders: BTreeMap<String, (u64, u64)>,
    /// The most times a copy that was stored after a day's upkeep, without what was given up.
    most_live: f64,
    /// Bytes that backups and upkeep ever sent.
    sent_by_backups: u64,
    sent_by_upkeep: u64,
    bases: u64,
    open: Requests,
    list: Requests,
    record_now: Requests,
    record_then: Requests,
    points_compared: usize,
    records_compared: u64,
    cpu_backups: f64,
    cpu_upkeep: f64,
    cpu_all: f64,
    peak_mib: f64,
}

struct Scene {
    clock: ManualClock,
    keys: RepositoryOptions,
    store: CountingStore,
}

impl Scene {
    fn new(clock: &ManualClock) -> Outcome<Self> {
        let keys = RepositoryOptions::parse("memory://years")?
            .with_clock(Arc::new(clock.clone()))
            .with_keys(Keys::owner(Identity::generate()));
        Ok(Self { clock: clock.clone(), keys, store: CountingStore::default() })
    }

    async fn init(&self) -> Outcome<()> {
        Repository::init_on(Arc::new(self.store.clone()), self.keys.clone()).await?;
        Ok(())
    }

    /// As a process of its own has it.
    async fn source(&self) -> Outcome<Source> {
        Ok(Repository::open_on(Arc::new(self.store.clone()), self.keys.clone()).await?.source(SOURCE)?)
    }

    async fn back_up(&self, account: &HourlyAccount, source: &Source) -> Outcome<()> {
        transfer(account, source, TransferOptions::backup().with_clock(Arc::new(self.clock.clone()))).await?;
        Ok(())
    }
}

/// What upkeep did so far.
#[derive(Default)]
struct Upkeep {
    cpu: f64,
    sent: u64,
    bases: u64,
    most_live: u64,
    /// Objects and bytes that wait for their grace.
    given_up: (u64, u64),
}

impl Upkeep {
    /// What the command's schedule does once a day: forget, compact, collect.
    async fn run(&mut self, scene: &Scene, policy: Option<&RetentionPolicy>) -> Outcome<()> {
        let (began, before) = (cpu()?, scene.store.take_requests());
        let source = scene.source().await?;
        if let Some(policy) = policy {
            let verified: BTreeSet<u64> = source.verified_points().await?.into_keys().collect();
            let plan = policy.plan(&source.proven_points().await?, &verified, scene.clock.now())?;
            let points: BTreeSet<u64> = plan.forgotten().map(|decision| decision.point.sequence).collect();
            source.forget(&points).await?;
        }
        let compacted = source.compact(&CompactOptions::default(), &mut |_| {}).await?;
        let collected = source.collect(&CollectOptions::default()).await?;
        self.bases += u64::from(compacted.base);
        self.given_up = (collected.waiting, collected.waiting_bytes);
        self.most_live = self.most_live.max(scene.store.stored().bytes - collected.waiting_bytes);
        self.sent += scene.store.take_requests().sent;
        scene.store.put_back(before);
        self.cpu += cpu()? - began;
        Ok(())
    }
}

/// Lets the years pass, and measures what they leave.
pub(crate) async fn run(options: Options) -> Outcome<Years> {
    let began = DateTime::from_timestamp(BEGINNING, 0).ok_or("no such time")?;
    let clock = ManualClock::new(began);
    let account = HourlyAccount::new(options.records, options.change);
    let policy = RetentionPolicy::default().with_keep_hourly(168).with_keep_daily(30).with_keep_monthly(60);
    let policy = (!options.keep_all).then_some(policy);
    let scene = Scene::new(&clock)?;
    scene.init().await?;
    let mut upkeep = Upkeep::default();
    let mut hours: BTreeMap<u64, u32> = BTreeMap::new();
    let mut source = scene.source().await?;
    for hour in 0..=options.hours() {
        if hour == 0 || account.pass_hour() > 0 {
            scene.back_up(&account, &source).await?;
            hours.insert(source.point(&At::Now).await?.sequence, hour);
        }
        clock.advance(Duration::from_hours(1));
        if hour % 24 == 23 {
            upkeep.run(&scene, policy.as_ref()).await?;
            source = scene.source().await?;
        }
        if hour % 8760 == 8759 {
            let Stored { objects, bytes, .. } = scene.store.stored();
            eprintln!("year {}: {objects} objects, {bytes} bytes, {:.0} s", hour / 8760 + 1, cpu()?);
        }
    }
    let (sent, stored) = (scene.store.take_requests().sent, scene.store.stored());
    let (cpu_all, peak_mib) = (cpu()?, peak()?);

    let source = scene.source().await?;
    source.point(&At::Now).await?;
    let open = scene.store.take_requests();
    let source = scene.source().await?;
    scene.store.take_requests();
    let points = source.points().await?;
    let list = scene.store.take_requests();
    let (Some(first), Some(newest)) = (points.first(), points.last()) else { return Err("there are no points".into()) };
    let key = account.some().ok_or("no record is left")?;
    source.record(&key, &At::Sequence(newest.sequence)).await?.ok_or("the record is not there")?;
    let record_now = scene.store.take_requests();
    let source = scene.source().await?;
    source.point(&At::Now).await?;
    scene.store.take_requests();
    let again = HourlyAccount::new(options.records, options.change);
    let hour = |point: u64| hours.get(&point).copied().ok_or("a point that nobody made");
    again.pass_hours_to(hour(first.sequence)?);
    let key = again.some().ok_or("no record was there")?;
    source.record(&key, &At::Sequence(first.sequence)).await?.ok_or("the record was not there")?;
    let record_then = scene.store.take_requests();

    let step = points.len().div_ceil(SAMPLES).max(1);
    let sampled = points.iter().rev().step_by(step).map(|point| point.sequence);
    let sampled: BTreeSet<u64> = sampled.chain([first.sequence]).collect();
    let mut records_compared = 0;
    for point in &sampled {
        again.pass_hours_to(hour(*point)?);
        records_compared += compare(&source, *point, &again).await?;
    }

    let fresh = Scene::new(&clock)?;
    fresh.init().await?;
    fresh.back_up(&account, &fresh.source().await?).await?;
    let copy = fresh.store.stored().bytes;
    Ok(Years {
        options,
        points: points.len(),
        copy,
        stored,
        given_up: upkeep.given_up,
        folders: scene.store.folders(),
        most_live: ratio(upkeep.most_live, copy),
        sent_by_backups: sent,
        sent_by_upkeep: upkeep.sent,
        bases: upkeep.bases,
        open,
        list,
        record_now,
        record_then,
        points_compared: sampled.len(),
        records_compared,
        cpu_backups: cpu_all - upkeep.cpu,
        cpu_upkeep: upkeep.cpu,
        cpu_all,
        peak_mib,
    })
}

/// Reads a point whole: every record must be what the account held then.
async fn compare(source: &Source, point: u64, account: &HourlyAccount) -> Outcome<u64> {
    let snapshot = source.snapshot(SnapshotOptions::at(At::Sequence(point))).await?;
    let feeds: Vec<_> = snapshot.feeds().try_collect().await?;
    let mut found = 0;
    for feed in feeds {
        let mut events = snapshot.read(ReadRequest::new(feed));
        while let Some(event) = events.try_next().await? {
            let Event::Put(record) = event else { continue };
            if !account.holds(&record) {
                return Err(format!("the point {point} holds another record {}", record.key).into());
            }
            found += 1;
        }
    }
    if found != account.live() {
        return Err(format!("the point {point} holds {found} records and not {}", account.live()).into());
    }
    Ok(found)
}

impl fmt::Display for Years {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.stored.bytes - self.given_up.1;
        let sent = self.sent_by_backups + self.sent_by_upkeep;
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        writeln!(formatter, "| what | aimed at | found |\n|---|--:|--:|")?;
        writeln!(formatter, "| points | | {} |", self.points)?;
        writeln!(formatter, "| one full copy, MB | | {:.2} |", megabytes(self.copy))?;
        writeln!(formatter, "| live bytes ÷ one copy | 20 | {:.2} |", ratio(live, self.copy))?;
        writeln!(formatter, "| the most on any day | 20 | {:.2} |", self.most_live)?;
        writeln!(formatter, "| with what waits for its grace | | {:.2} |", ratio(self.stored.bytes, self.copy))?;
        writeln!(formatter, "| the most of these at any time | | {:.2} |", ratio(self.stored.most_bytes, self.copy))?;
        writeln!(formatter, "| objects, {} of them given up | 600 | {} |", self.given_up.0, self.stored.objects)?;
        writeln!(formatter, "| the most at any time | | {} |", self.stored.most_objects)?;
        for (what, aim, cost) in [
            ("opening", 10, self.open),
            ("listing all points, once open", 50, self.list),
            ("one record of now", 6, self.record_now),
            ("one record of the oldest point", 6, self.record_then),
        ] {
            let Requests { get, list, received, .. } = cost;
            writeln!(formatter, "| {what}: GET, LIST, MB | {aim} | {get}, {list}, {:.2} |", megabytes(received))?;
        }
        writeln!(formatter, "| bytes ever sent ÷ live bytes | | {:.1} |", ratio(sent, live))?;
        writeln!(formatter, "| of these by backups | | {:.1} |", ratio(self.sent_by_backups, live))?;
        writeln!(formatter, "| times that everything was merged | | {} |", self.bases)?;
        writeln!(formatter, "| CPU s of backups | | {:.0} |", self.cpu_backups)?;
        writeln!(formatter, "| CPU s of upkeep | | {:.0} |", self.cpu_upkeep)?;
        writeln!(formatter, "| peak MiB, with all that is stored | | {:.0} |", self.peak_mib)?;
        writeln!(
            formatter,
            "| records compared, at {} points | all | {} |",
            self.points_compared, self.records_compared
        )?;
        writeln!(formatter, "\n| folder | objects | MB |\n|---|--:|--:|")?;
        for (folder, (objects, bytes)) in &self.folders {
            writeln!(formatter, "| {folder} | {objects} | {:.2} |", megabytes(*bytes))?;
        }
        Ok(())
    }
}
