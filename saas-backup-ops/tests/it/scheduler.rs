use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use saas_backup_core::{Clock as _, Error, ErrorKind, RunStatus};
use saas_backup_ops::{History, Job, Reason, Schedule, Scheduler, SchedulerOptions, job_statuses};
use tokio_util::sync::CancellationToken;

use crate::support::{Does, Log, PausedClock, Run, job, kill_after, replace_after, run_for, schedule, without};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// The scheduler looks at the clock each minute: what is set in between is not set while it looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

fn hourly() -> Vec<Job> {
    vec![job("blog", "0 * * * *", "UTC")]
}

#[tokio::test(start_paused = true)]
async fn runs_at_each_due_time_and_not_at_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:20:00Z"));
    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), 4 * HOUR).await;
    assert_eq!(log.starts(), ["01:00", "02:00", "03:00", "04:00"]);
    assert!(log.runs().iter().all(|run| run.reason == Reason::Due && run.started == run.due));
}

#[tokio::test(start_paused = true)]
async fn a_nightly_job_survives_both_changes_of_the_clocks() {
    for (from, expected) in [
        ("2026-03-28T12:00:00Z", ["03-29T01:00", "03-30T00:30"]),
        ("2026-10-24T12:00:00Z", ["10-25T00:30", "10-26T01:30"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(&PausedClock::at(from));
        let nightly = vec![job("blog", "30 2 * * *", "Europe/Madrid")];
        run_for(folder.path(), nightly, &log, Does::Takes(MINUTE), 2 * DAY).await;
        let starts: Vec<String> = log.runs().iter().map(|run| run.started.format("%m-%dT%H:%M").to_string()).collect();
        assert_eq!(starts, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_falls_due_during_a_run_counts_once_and_runs_right_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:20:00Z"));
    run_for(folder.path(), hourly(), &log, Does::Takes(150 * MINUTE), 6 * HOUR).await;
    assert_eq!(log.starts(), ["01:00", "03:30", "06:00"]);
    let runs = log.runs();
    assert!(runs.windows(2).all(|pair| pair[0].ended.unwrap() <= pair[1].started));
    assert_eq!(runs[1].reason, Reason::CatchUp);
}

#[tokio::test(start_paused = true)]
async fn after_downtime_what_was_missed_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:20:00Z"));
    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), HOUR).await;
    tokio::time::sleep(3 * DAY).await;
    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), HOUR).await;
    let reasons: Vec<Reason> = log.runs().iter().map(|run| run.reason).collect();
    assert_eq!(reasons, [Reason::Due, Reason::CatchUp, Reason::Due]);
    assert_eq!(log.starts(), ["01:00", "01:20", "02:00"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_a_short_run_finish() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:59:50Z"));
    run_for(folder.path(), hourly(), &log, Does::Takes(Duration::from_secs(35)), Duration::from_secs(20)).await;
    assert!(log.runs()[0].ended.is_some());
    let last = History::read(folder.path()).unwrap()["blog"].last.clone().unwrap();
    assert_eq!(last.result.status, RunStatus::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_stop_cancels_a_long_run_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:59:50Z"));
    let before = tokio::time::Instant::now();
    run_for(folder.path(), hourly(), &log, Does::UntilToldToStop, Duration::from_secs(20)).await;
    assert_eq!(before.elapsed().as_secs(), 20 + 30, "the time to finish was not granted");
    let known = History::read(folder.path()).unwrap()["blog"].clone();
    assert_eq!(known.last.unwrap().result.status, RunStatus::Cancelled);

    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), 10 * MINUTE).await;
    let runs = log.runs();
    assert_eq!((runs.len(), runs[1].reason, runs[1].due), (2, Reason::Interrupted, runs[0].due));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_hear_is_dropped_and_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:59:50Z"));
    let before = tokio::time::Instant::now();
    run_for(folder.path(), hourly(), &log, Does::Hangs, Duration::from_secs(20)).await;
    assert_eq!(before.elapsed().as_secs(), 20 + 30 + 30);
    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), 10 * MINUTE).await;
    assert_eq!(log.runs()[1].reason, Reason::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_killed_runs_again_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:59:00Z"));
    kill_after(folder.path(), hourly(), &log, Does::Hangs, 2 * MINUTE).await;
    assert!(History::read(folder.path()).unwrap()["blog"].running.is_some());
    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), 10 * MINUTE).await;
    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), 10 * MINUTE).await;
    let reasons: Vec<Reason> = log.runs().iter().map(|run| run.reason).collect();
    assert_eq!(reasons, [Reason::Due, Reason::Interrupted]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_one_run_and_not_the_scheduler() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:20:00Z"));
    run_for(folder.path(), hourly(), &log, Does::Panics, 2 * HOUR).await;
    assert_eq!(log.starts(), ["01:00", "02:00"]);
    let last = History::read(folder.path()).unwrap()["blog"].last.clone().unwrap();
    assert_eq!((last.result.status, last.result.message.as_deref()), (RunStatus::Failed, Some("the run panicked")));
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_at_a_time_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:59:00Z"));
    let jobs = (0..10).map(|n| job(&format!("source {n}"), "0 1 * * *", "UTC")).collect();
    let stop = CancellationToken::new();
    let options = SchedulerOptions::default().with_parallel(3);
    let work = schedule(folder.path(), jobs, &log, Does::Takes(10 * MINUTE), options, stop.clone());
    let timer = async {
        tokio::time::sleep(HOUR).await;
        stop.cancel();
    };
    tokio::join!(work, timer);
    let runs = log.runs();
    let each: std::collections::BTreeSet<&str> = runs.iter().map(|run| run.job.as_str()).collect();
    assert_eq!((runs.len(), each.len()), (10, 10));
    for run in &runs {
        let at = run.started;
        let others = runs.iter().filter(|other| other.started <= at && at < other.ended.unwrap());
        assert!(others.count() <= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_the_start_by_what_the_status_says() {
    let folder = tempfile::tempdir().unwrap();
    let clock = PausedClock::at("2026-01-01T00:20:00Z");
    let log = Log::new(&clock);
    let spread = Schedule::parse("0 * * * *", "UTC").unwrap().with_jitter(30 * MINUTE);
    let jobs = vec![Job::new("blog", spread)];
    let planned = job_statuses(&jobs, &History::read(folder.path()).unwrap(), clock.now())[0].clone();
    run_for(folder.path(), jobs, &log, Does::Takes(MINUTE), 70 * MINUTE).await;
    let run = &log.runs()[0];
    assert_eq!(Some(run.due), planned.due);
    assert!(run.started > run.due);
    let off = run.started - planned.starts.unwrap();
    assert!(off.num_milliseconds().abs() < 5, "{off}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_far_ahead_does_not_stop_the_backups() {
    let folder = tempfile::tempdir().unwrap();
    let ahead = Log::new(&PausedClock::at("2036-01-01T00:59:00Z"));
    run_for(folder.path(), hourly(), &ahead, Does::Takes(MINUTE), 10 * MINUTE).await;
    let log = Log::new(&PausedClock::at("2026-01-01T00:30:00Z"));
    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), HOUR).await;
    assert_eq!(log.starts(), ["01:00"]);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_history_is_set_aside_and_everything_counts_as_due() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schedule.json"), "{\"version\":1,\"jobs\":{\"blog\":").unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:20:00Z"));
    run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), 10 * MINUTE).await;
    assert_eq!(log.starts(), ["00:20"]);
    assert!(folder.path().join("schedule.damaged.json").exists());
}

#[tokio::test(start_paused = true)]
async fn what_falls_due_in_a_blackout_begins_once_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:20:00Z"));
    let jobs = without("02:30-05:45", hourly());
    run_for(folder.path(), jobs, &log, Does::Takes(MINUTE), 7 * HOUR).await;
    assert_eq!(log.starts(), ["01:00", "02:00", "05:45", "06:00", "07:00"]);
    let held = &log.runs()[2];
    assert_eq!((held.due.to_rfc3339().as_str(), held.reason), ("2026-01-01T03:00:00+00:00", Reason::Due));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_at_work_goes_on_in_a_blackout() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:20:00Z"));
    let jobs = without("01:30-05:00", hourly());
    run_for(folder.path(), jobs, &log, Does::Takes(2 * HOUR), 3 * HOUR).await;
    assert_eq!(log.starts(), ["01:00"]);
    assert!(log.runs()[0].ended.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_or_cut_short_waits_for_the_end_of_a_blackout() {
    let folder = tempfile::tempdir().unwrap();
    let clock = PausedClock::at("2026-01-01T00:59:00Z");
    let log = Log::new(&clock);
    let jobs = || without("02:30-05:00", hourly());
    kill_after(folder.path(), jobs(), &log, Does::Hangs, 2 * MINUTE).await;
    tokio::time::sleep(2 * HOUR).await;
    let status = job_statuses(&jobs(), &History::read(folder.path()).unwrap(), clock.now())[0].clone();
    assert!(status.starts < Some(clock.now()));
    assert_eq!(status.blackout_until.unwrap().to_rfc3339(), "2026-01-01T05:00:00+00:00");
    run_for(folder.path(), jobs(), &log, Does::Takes(MINUTE), 150 * MINUTE).await;
    assert_eq!(log.starts(), ["01:00", "05:00"]);
    assert_eq!(log.runs()[1].reason, Reason::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_what_waited_for_the_end_of_a_blackout() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:20:00Z"));
    let spread = Schedule::parse("0 * * * *", "UTC").unwrap().with_jitter(30 * MINUTE);
    let jobs = (0..20).map(|n| Job::new(format!("source {n}"), spread.clone())).collect();
    run_for(folder.path(), without("00:30-05:30", jobs), &log, Does::Takes(Duration::ZERO), 340 * MINUTE).await;
    let starts: std::collections::BTreeSet<String> = log.starts().into_iter().collect();
    assert!(log.runs().len() == 20 && starts.len() > 10, "{starts:?}");
    assert!(starts.first().unwrap() >= &"05:30".to_owned() && starts.last().unwrap() <= &"06:00".to_owned());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_far_while_at_work_does_not_stop_the_backups() {
    let folder = tempfile::tempdir().unwrap();
    let clock = PausedClock::at("2026-01-01T10:30:00Z");
    let log = Log::new(&clock);
    let wrong = async {
        tokio::time::sleep(MINUTE + BETWEEN_LOOKS).await;
        clock.set(TimeDelta::days(3650) + TimeDelta::minutes(20));
        tokio::time::sleep(34 * MINUTE).await;
        clock.set(-TimeDelta::days(3650) - TimeDelta::minutes(20));
    };
    tokio::join!(run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), 3 * HOUR), wrong);
    // What ran at 11:00 by the wrong clock really ran at 10:40: the run of 11:00 is made up for once that is known.
    let starts = log.starts();
    assert_eq!(starts[1..], ["11:00", "11:06", "12:00", "13:00"], "{starts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_a_little_has_nothing_run_twice() {
    let folder = tempfile::tempdir().unwrap();
    let clock = PausedClock::at("2026-01-01T10:30:00Z");
    let log = Log::new(&clock);
    let back = async {
        tokio::time::sleep(40 * MINUTE + BETWEEN_LOOKS).await;
        clock.set(-TimeDelta::minutes(30));
    };
    tokio::join!(run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), 200 * MINUTE), back);
    assert_eq!(log.starts(), ["11:00", "12:00", "13:00"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_leaps_ahead_has_what_was_missed_run_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = PausedClock::at("2026-01-01T10:30:00Z");
    let log = Log::new(&clock);
    let ahead = async {
        tokio::time::sleep(10 * MINUTE + BETWEEN_LOOKS).await;
        clock.set(TimeDelta::hours(5));
    };
    tokio::join!(run_for(folder.path(), hourly(), &log, Does::Takes(MINUTE), HOUR), ahead);
    let found: Vec<Reason> = log.runs().iter().map(|run| run.reason).collect();
    assert_eq!((log.starts(), found), (vec!["15:41".into(), "16:00".into()], vec![Reason::CatchUp, Reason::Due]));
}

fn named_starts(log: &Log) -> Vec<String> {
    log.runs().iter().map(|run| format!("{} {}", run.job, run.started.format("%H:%M"))).collect()
}

#[tokio::test(start_paused = true)]
async fn jobs_that_are_gone_end_after_their_run_and_new_ones_wait_for_their_first_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:30:00Z"));
    let first = vec![job("long", "0 * * * *", "UTC"), job("idle", "45 * * * *", "UTC")];
    let second = vec![job("new", "15 * * * *", "UTC"), job("idle", "45 * * * *", "UTC")];
    replace_after(folder.path(), first, &log, Does::Takes(20 * MINUTE), (40 * MINUTE, second), 2 * HOUR).await;
    let expected = ["idle 00:45", "long 01:00", "new 01:15", "idle 01:45", "new 02:15", "idle 02:45", "new 03:15"];
    assert_eq!(named_starts(&log), expected[..named_starts(&log).len()]);
    assert!(log.runs().len() >= 6 && log.runs()[1].ended.is_some(), "a run that is at work goes on");
    let known = History::read(folder.path()).unwrap()["long"].clone();
    assert_eq!(known.last.unwrap().result.status, RunStatus::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_changed_holds_from_now_on_and_what_was_due_stays_due() {
    for (first, second, expected) in [
        // Neither is one of the times of the new schedule due that passed before it came, nor one of the old.
        ("0 5 * * *", "0,10 * * * *", vec!["01:00", "01:10", "02:00", "02:10"]),
        ("0 1 * * *", "0 2 * * *", vec!["02:00"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(&PausedClock::at("2026-01-01T00:05:00Z"));
        let changed = (30 * MINUTE, vec![job("blog", second, "UTC")]);
        replace_after(folder.path(), vec![job("blog", first, "UTC")], &log, Does::Takes(MINUTE), changed, 2 * HOUR)
            .await;
        assert_eq!(log.starts(), expected);
    }
    // Due at 01:00, in a blackout until 03:00, and the blackout is lifted at 01:30.
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:30:00Z"));
    let lifted = (HOUR, vec![job("blog", "0 1 * * *", "UTC")]);
    let held = without("00:00-03:00", vec![job("blog", "0 1 * * *", "UTC")]);
    replace_after(folder.path(), held, &log, Does::Takes(MINUTE), lifted, HOUR).await;
    assert_eq!(log.starts(), ["01:30"]);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_changes_during_a_run_does_not_run_for_what_passed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:59:00Z"));
    let changed = (90 * MINUTE, vec![job("blog", "0 2 * * *", "UTC")]);
    let before = vec![job("blog", "0 1 * * *", "UTC")];
    replace_after(folder.path(), before, &log, Does::Takes(2 * HOUR), changed, 2 * HOUR).await;
    assert_eq!(log.starts(), ["01:00"]);
    // Nor does the next start make up for it.
    run_for(folder.path(), vec![job("blog", "0 2 * * *", "UTC")], &log, Does::Takes(MINUTE), HOUR).await;
    assert_eq!(log.starts(), ["01:00"]);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_cannot_be_replaced_stay() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(&PausedClock::at("2026-01-01T00:59:00Z"));
    let history = History::open(folder.path()).unwrap();
    let scheduler = Scheduler::new(hourly(), history, log.clock(), SchedulerOptions::default()).unwrap();
    let handle = scheduler.handle();
    let twice = vec![job("a", "@daily", "UTC"), job("a", "@hourly", "UTC")];
    assert_eq!(handle.replace(twice, || Ok(())).unwrap_err().kind(), ErrorKind::Configuration);
    let refused = handle.replace(Vec::new(), || Err::<(), _>(Error::new(ErrorKind::Conflict, "no"))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(handle.statuses().into_iter().map(|status| status.job).collect::<Vec<_>>(), ["blog"]);
}

#[test]
fn two_jobs_of_one_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let twice = vec![job("blog", "@daily", "UTC"), job("blog", "@hourly", "UTC")];
    let history = History::open(folder.path()).unwrap();
    let clock = std::sync::Arc::new(saas_backup_core::SystemClock);
    let error = Scheduler::new(twice, history, clock, SchedulerOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[derive(Clone, Debug)]
struct Phase {
    killed: bool,
    minutes: u64,
    run_minutes: u64,
    down_minutes: u64,
}

fn phase() -> impl Strategy<Value = Phase> {
    (any::<bool>(), 5_u64..600, 1_u64..200, 0_u64..900).prop_map(|(killed, minutes, run_minutes, down_minutes)| Phase {
        killed,
        minutes,
        run_minutes,
        down_minutes,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is killed, stopped and down in between: no two runs at a time, every due time is followed by a run
    /// that finished, one that was missed is run at the next start, and there are no more runs than due times and
    /// interruptions.
    #[test]
    fn every_due_time_is_covered_once(phases in prop::collection::vec(phase(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (runs, due_times, starts, now) = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let clock = PausedClock::at("2026-10-24T00:10:00Z");
            let log = Log::new(&clock);
            let from = clock.now();
            let jobs = || vec![job("blog", "0 */2 * * *", "Europe/Madrid")];
            let mut starts = Vec::new();
            for phase in &phases {
                starts.push(clock.now());
                let does = Does::Takes(Duration::from_mins(phase.run_minutes));
                let time = Duration::from_mins(phase.minutes);
                if phase.killed {
                    kill_after(folder.path(), jobs(), &log, does, time).await;
                } else {
                    run_for(folder.path(), jobs(), &log, does, time).await;
                }
                tokio::time::sleep(Duration::from_mins(phase.down_minutes)).await;
            }
            starts.push(clock.now());
            run_for(folder.path(), jobs(), &log, Does::Takes(MINUTE), 3 * HOUR).await;
            let schedule = jobs().remove(0).schedule;
            let now = clock.now();
            let first = schedule.next_after(from);
            let due_times: Vec<DateTime<Utc>> =
                std::iter::successors(first, |due| schedule.next_after(*due)).take_while(|due| *due <= now).collect();
            (log.runs(), due_times, starts, now)
        });
        for pair in runs.windows(2) {
            prop_assert!(pair[0].ended.is_none_or(|ended| ended <= pair[1].started));
        }
        // What was due in the last minutes had no time to finish.
        for due in due_times.iter().filter(|due| **due < now - Duration::from_mins(5)) {
            prop_assert!(runs.iter().any(|run| run.started >= *due && run.ended.is_some()), "{due} {runs:?}");
        }
        for start in starts {
            let covered = |due: &DateTime<Utc>| {
                runs.iter().any(|run| run.started >= *due && run.ended.is_some_and(|ended| ended <= start))
            };
            if due_times.iter().take_while(|due| **due <= start).any(|due| !covered(due)) {
                let delay = |run: &Run| (run.started - start).num_seconds();
                prop_assert!(runs.iter().any(|run| (0..2).contains(&delay(run))), "{start} {runs:?}");
            }
        }
        let cut = runs.iter().filter(|run| run.ended.is_none()).count();
        prop_assert!(runs.len() <= due_times.len() + cut, "{runs:?}");
    }
}
