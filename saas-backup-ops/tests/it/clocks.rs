//! Clocks that are set while the scheduler is at work or down, against what the rules say of every run.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use proptest::prelude::*;
use saas_backup_core::Clock as _;
use saas_backup_ops::{Job, Reason};
use tokio::time::Instant;

use crate::support::{Does, Log, PausedClock, Run, job, kill_after, run_for, without};

const MINUTE: Duration = Duration::from_mins(1);
/// A clock that is set back further was wrong.
const WRONG: TimeDelta = TimeDelta::hours(1);

#[derive(Clone, Debug)]
struct Phase {
    minutes: u64,
    run_minutes: u64,
    killed: bool,
    /// Sets the clock so much later, that many minutes after the start.
    set: Option<(u64, TimeDelta)>,
    down_minutes: u64,
    set_while_down: Option<TimeDelta>,
}

fn jump() -> impl Strategy<Value = TimeDelta> {
    let length = prop_oneof![1_i64..56, 65_i64..400, (1_i64..3650).prop_map(|days| days * 24 * 60 + 7)];
    (length, any::<bool>()).prop_map(|(minutes, back)| TimeDelta::minutes(if back { -minutes } else { minutes }))
}

fn phase() -> impl Strategy<Value = Phase> {
    let set = prop::option::of((0_u64..1000, jump()));
    (10_u64..600, 1_u64..200, any::<bool>(), set, 0_u64..900, prop::option::weighted(0.3, jump())).prop_map(
        |(minutes, run_minutes, killed, set, down_minutes, set_while_down)| {
            // The loop must have the time to see it.
            let set = set.map(|(at, by)| (3 + at % (minutes - 6), by));
            Phase { minutes, run_minutes, killed, set, down_minutes, set_while_down }
        },
    )
}

/// What happens from outside, in order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Start,
    Stop,
    Set(TimeDelta),
}

/// Due every two hours; without `blackout` at any time, else not from 03:00 to 09:30.
fn jobs(blackout: bool) -> Vec<Job> {
    let jobs = vec![job("blog", "0 */2 * * *", "UTC")];
    if blackout { without("03:00-09:30", jobs) } else { jobs }
}

fn may_begin(blackout: bool, wall: DateTime<Utc>) -> bool {
    let held: RangeInclusive<u32> = 3 * 60..=9 * 60 + 29;
    !blackout || !held.contains(&(wall.hour() * 60 + wall.minute()))
}

/// The first due time after a time.
fn next_due(after: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = after.timestamp().div_euclid(2 * 60 * 60) + 1;
    DateTime::from_timestamp(seconds * 2 * 60 * 60, 0).unwrap()
}

struct World {
    clock: Arc<PausedClock>,
    log: Log,
    events: Vec<(Instant, Event)>,
}

impl World {
    async fn play(&mut self, folder: &Path, phase: &Phase, blackout: bool) {
        self.events.push((Instant::now(), Event::Start));
        // No event falls on a due time.
        let time = Duration::from_mins(phase.minutes) + Duration::from_secs(17);
        let does = Does::Takes(Duration::from_mins(phase.run_minutes));
        let clock = Arc::clone(&self.clock);
        let setting = async {
            let (at, by) = phase.set?;
            tokio::time::sleep(Duration::from_mins(at) + Duration::from_secs(5)).await;
            clock.set(by);
            Some((Instant::now(), Event::Set(by)))
        };
        let work = async {
            if phase.killed {
                kill_after(folder, jobs(blackout), &self.log, does, time).await;
            } else {
                run_for(folder, jobs(blackout), &self.log, does, time).await;
            }
        };
        let stop = Instant::now() + time;
        let ((), set) = tokio::join!(work, setting);
        self.events.extend(set);
        self.events.push((stop, Event::Stop));
        tokio::time::sleep(Duration::from_mins(phase.down_minutes)).await;
        if let Some(by) = phase.set_while_down {
            self.clock.set(by);
            self.events.push((Instant::now(), Event::Set(by)));
        }
    }
}

/// What the rules say, followed through all that happened.
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct Rules {
    blackout: bool,
    /// The wall clock at the moment that is looked at.
    at: Instant,
    wall: DateTime<Utc>,
    handled: DateTime<Utc>,
    is_up: bool,
    /// When the run began that is at work.
    running: Option<DateTime<Utc>>,
    is_cut: bool,
    /// Whether there are two right ways to go on.
    is_unclear: bool,
}

impl Rules {
    /// Moves on to a time; while the scheduler is there and idle, nothing may be due on the way.
    fn pass(&mut self, until: Instant) -> Result<(), String> {
        let idle = self.is_up && self.running.is_none();
        let (from, wall) = (self.at, self.wall);
        self.wall += until - self.at;
        self.at = until;
        let mut time = from;
        // It looks once a minute, for clocks are set.
        while idle && time + MINUTE + Duration::from_secs(1) < until {
            let wall = wall + (time - from);
            if (self.is_cut || next_due(self.handled) <= wall) && may_begin(self.blackout, wall) {
                return Err(format!("nothing ran at {wall}, handled is {}", self.handled));
            }
            time += Duration::from_secs(15);
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start => {
                self.is_up = true;
                // What was cut and did not run again before the next stop is due like any other.
                self.is_cut = self.running.take().is_some();
                if self.handled - self.wall > WRONG {
                    self.handled = self.wall;
                }
            }
            Event::Stop => self.is_up = false,
            Event::Set(by) => {
                self.wall += by;
                let wall = self.wall;
                let really = |time: DateTime<Utc>| if time > wall { (time + by).min(wall) } else { time };
                if self.is_up && -by > WRONG {
                    // It is seen within a minute: whether this was before or after cannot be told.
                    let near = |time: DateTime<Utc>| (time - wall).abs() < TimeDelta::minutes(2);
                    self.is_unclear |= near(self.handled) || self.running.is_some_and(near);
                    self.handled = really(self.handled);
                    self.running = self.running.map(really);
                }
            }
        }
    }

    fn start(&mut self, run: &Run) -> Result<(), String> {
        let due = next_due(self.handled);
        if run.started != self.wall || self.running.is_some() || !may_begin(self.blackout, self.wall) {
            return Err(format!("it must not start at {}: {run:?}", self.wall));
        }
        let expected = if self.is_cut { run.reason == Reason::Interrupted } else { run.due == due && due <= self.wall };
        if !expected {
            return Err(format!("due was {due} at {}: {run:?}", self.wall));
        }
        self.running = Some(self.wall);
        self.is_cut = false;
        Ok(())
    }

    fn end(&mut self) {
        self.handled = self.running.take().unwrap_or(self.handled);
    }
}

enum What<'a> {
    Outside(Event),
    Start(&'a Run),
    End,
}

fn check(world: &World, first: DateTime<Utc>, blackout: bool) -> Result<(), String> {
    let (start, _) = world.events[0];
    let (is_up, running, is_cut, is_unclear) = Default::default();
    let mut rules = Rules { blackout, at: start, wall: first, handled: first, is_up, running, is_cut, is_unclear };
    let runs = world.log.runs();
    let mut all: Vec<(Instant, What<'_>)> =
        world.events.iter().map(|(at, event)| (*at, What::Outside(*event))).collect();
    for run in &runs {
        all.push((run.real.0, What::Start(run)));
        all.extend(run.real.1.map(|at| (at, What::End)));
    }
    all.sort_by_key(|(at, _)| *at);
    for (at, what) in all {
        rules.pass(at)?;
        match what {
            What::Outside(event) => rules.happen(event),
            What::Start(run) => rules.start(run)?,
            What::End => rules.end(),
        }
        if rules.is_unclear {
            return Ok(());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However the clock is set, forwards or back, a little or by years, at work or not, and whatever is killed and stopped:
    /// each run is for the first time that was due and not dealt with, nothing that is due waits, and nothing runs twice.
    #[test]
    fn clocks_that_are_set_lose_no_run_and_repeat_none(
        phases in prop::collection::vec(phase(), 1..6), blackout in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let checked = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let clock = PausedClock::at("2026-10-24T00:10:00Z");
            let first = clock.now();
            let mut world = World { log: Log::new(&clock), clock, events: Vec::new() };
            for phase in &phases {
                world.play(folder.path(), phase, blackout).await;
            }
            let last = Phase { minutes: 900, run_minutes: 1, killed: false, set: None, down_minutes: 0, set_while_down: None };
            world.play(folder.path(), &last, blackout).await;
            check(&world, first, blackout)
        });
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }
}
