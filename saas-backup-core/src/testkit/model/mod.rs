//! The model of the cursor rules: a source that changes while it is read, runs that break off, and a copy that must
//! be the same in the end.

mod mutant;
#[cfg(test)]
mod tests;
mod world;

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use tokio::sync::Notify;

use crate::{
    CancellationToken, Clock, CollectionName, Connector, ErrorKind, ManualClock, Result, RunStatus, SnapshotOptions,
    TransferOptions, transfer,
};

use super::{Contents, FakeProvider, FaultySink, Random, Rule};
pub use mutant::Mutant;
use mutant::Mutated;
use world::Script;

/// Runs while the world moves.
const RUNS: usize = 12;
/// Runs after it has come to rest: the deletion guard may want a second look at what is gone.
const QUIET_RUNS: usize = 4;

/// One life of a source and its copy, decided by a seed.
///
/// The source is a [`FakeProvider`] in one of several forms (logs over one, several or all collections or none,
/// deletions told or not). Its records are put, deleted, moved, trashed and hidden in transactions that commit late,
/// also between two pages of a read; its cursors expire, its log resets, it is restored from a backup of its own,
/// and some records cannot be read for a while. Runs of the real engine are cut, cancelled, killed, or lose their
/// target in between. Then everything rests, and after a few more runs the copy must show what the source shows:
/// nothing lost, nothing live recorded as deleted, no gap left open.
///
/// With a [`Rule`] of the source or a [`Mutant`] of the reading side broken, copies diverge: that is how the model
/// shows that each rule is needed. A store runs it with its own connector as the target.
///
/// ```
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::testkit::Model;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// for seed in 0..10 {
///     let differences = Model::new(seed).run(MemoryConnector::new(MemoryStore::new())).await?;
///     assert_eq!(differences, Vec::<String>::new(), "seed {seed}");
/// }
/// # Ok::<_, saas_backup_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    seed: u64,
    rule: Option<Rule>,
    mutant: Option<Mutant>,
}

/// How a run is made to break off.
#[derive(Clone, Copy, Debug)]
enum Breakage {
    None,
    /// The caller cancels after so many pages.
    Cancel(usize),
    /// The future is dropped after so many pages.
    Kill(usize),
    /// The stream ends, with an error or without.
    Cut(usize),
    Fail(usize),
    /// The target breaks off after so many steps.
    Target(usize),
    /// The provider asks to wait, or does not answer.
    Throttle(u32),
    Down(u32),
}

impl Model {
    /// A life in which all rules are kept.
    pub fn new(seed: u64) -> Self {
        Self { seed, rule: None, mutant: None }
    }

    /// Breaks a rule of the source.
    #[must_use]
    pub fn breaking(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Breaks a rule of the reading side.
    #[must_use]
    pub fn with_mutant(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    /// Lives it, and compares; the differences are empty if the copy is right.
    ///
    /// The target must be empty, mirror and read. Under tokio's paused time no run waits.
    ///
    /// # Errors
    ///
    /// If the target fails without having been told to.
    pub async fn run(&self, target: impl Connector) -> Result<Vec<String>> {
        let mut random = Random::new(self.seed);
        let provider = self.source(&mut random);
        let script = Arc::new(Script::new(random.bits()));
        let target = FaultySink::new(target);
        let clock = ManualClock::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default());
        for _ in 0..RUNS {
            script.step(&provider);
            script.step(&provider);
            if random.percent(60) {
                let breakage = breakage(&mut random);
                let options = self.options(&mut random, &clock);
                self.transfer(&provider, &target, &script, options, breakage).await?;
            }
        }
        world::rest(&provider);
        let mut status = None;
        for _ in 0..QUIET_RUNS {
            clock.advance(Duration::from_hours(1));
            let options = self.options(&mut random, &clock);
            let source = Mutated::new(provider.clone(), self.mutant);
            let mutated = Mutated::new(target.clone(), self.mutant);
            status = Some(transfer(&source, &mutated, options).await?.report.status);
        }
        let mut differences = differences(&provider, &target).await?;
        if status != Some(RunStatus::Complete) {
            differences.push(format!("the last run ended as {status:?}"));
        }
        Ok(differences)
    }

    fn source(&self, random: &mut Random) -> FakeProvider {
        let all = [FakeProvider::users(), FakeProvider::tasks(), FakeProvider::comments()];
        let logs: [&[CollectionName]; 4] = [&all[1..], &[], &all[1..2], &all];
        let covers = random.pick(&logs).copied().unwrap_or_default();
        let provider = FakeProvider::new().with_log(covers).with_page_size(1 + random.below(4));
        let provider = if random.percent(25) { provider.without_deletions() } else { provider };
        provider.pretty_print(random.percent(30));
        match self.rule {
            Some(rule) => provider.breaking(rule),
            None => provider,
        }
    }

    fn options(&self, random: &mut Random, clock: &ManualClock) -> TransferOptions {
        clock.advance(Duration::from_mins(10));
        let mut options = TransferOptions::backup().with_clock(Arc::new(clock.clone()) as Arc<dyn Clock>);
        options.feeds_in_flight = 1 + random.below(3);
        options.batch_events = 1 + random.below(4);
        options.flush_bytes = if random.percent(70) { 0 } else { 1000 };
        // A rule is proven without the brake that would hide what its lack does.
        options.accept_deletions = self.seed.is_multiple_of(2) || self.mutant.is_some();
        options
    }

    async fn transfer(
        &self,
        provider: &FakeProvider,
        target: &FaultySink,
        script: &Arc<Script>,
        mut options: TransferOptions,
        breakage: Breakage,
    ) -> Result<()> {
        let (cancel, kill) = (CancellationToken::new(), Arc::new(Notify::new()));
        options.cancel = cancel.clone();
        match breakage {
            Breakage::Cut(events) => provider.cut_stream_after(events),
            Breakage::Fail(events) => provider.fail_stream_after(events),
            Breakage::Target(steps) => target.crash_after(steps),
            Breakage::Throttle(requests) => provider.throttle(requests),
            Breakage::Down(requests) => provider.go_down(requests),
            Breakage::None | Breakage::Cancel(_) | Breakage::Kill(_) => {}
        }
        let pages = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (moving, killed) = (Arc::clone(script), Arc::clone(&kill));
        provider.between_pages(move |provider| {
            let page = pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match breakage {
                Breakage::Cancel(at) if at == page => cancel.cancel(),
                Breakage::Kill(at) if at == page => killed.notify_one(),
                _ => {}
            }
            moving.step(provider);
        });
        let source = Mutated::new(provider.clone(), self.mutant);
        let mutated = Mutated::new(target.clone(), self.mutant);
        let ended = tokio::select! {
            biased;
            () = kill.notified() => None,
            ended = transfer(&source, &mutated, options) => Some(ended),
        };
        provider.rest();
        let crashed = target.has_crashed();
        target.recover();
        match ended {
            Some(Err(error)) if !crashed && !comes_from_source(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A run may end with the source's error: its catalog could not be read.
fn comes_from_source(error: &crate::Error) -> bool {
    matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Unavailable)
}

fn breakage(random: &mut Random) -> Breakage {
    match random.below(12) {
        0 => Breakage::Cancel(random.below(12)),
        1 | 2 => Breakage::Kill(random.below(16)),
        3 => Breakage::Cut(random.below(20)),
        4 => Breakage::Fail(random.below(20)),
        5 | 6 => Breakage::Target(random.below(40)),
        7 => Breakage::Throttle(1 + random.below(3) as u32),
        8 => Breakage::Down(1 + random.below(6) as u32),
        _ => Breakage::None,
    }
}

async fn differences(provider: &FakeProvider, target: &dyn Connector) -> Result<Vec<String>> {
    let mut wanted = Contents::default();
    for record in provider.visible() {
        wanted.apply(crate::Event::Put(Box::new(record)));
    }
    let snapshot = target.snapshot(SnapshotOptions::default()).await?;
    let held = Contents::records_of(&*snapshot).await?;
    Ok(wanted.differences(&held))
}
