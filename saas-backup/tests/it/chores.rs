//! What `serve` does besides backups.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::{CancellationToken, ErrorKind, Period, RunStatus};
use saas_backup::ops::alert::Condition;
use saas_backup::ops::{JobStatus, Schedule};
use saas_backup::repository::RetentionPolicy;
use saas_backup::{Config, Encryption, Project, ReplicaConfig, ServeOptions};

use crate::support::{World, key, world};

fn hourly() -> Schedule {
    Schedule::parse("0 * * * *", "UTC").unwrap()
}

/// A repository in a folder, with a replica, where everything is done each hour.
fn unattended(world: &World) -> Arc<Project> {
    let place = |name: &str| format!("file://{}", world.folder.path().join(name).display());
    let mut config = world.project.config().clone();
    config.repository.url = place("repository").into();
    config.replicas = vec![ReplicaConfig::new(place("replica"))];
    config.retention = Some(RetentionPolicy::default().with_keep_last(2).with_min_age(Duration::ZERO));
    config.drill.schedule = Some(hourly());
    let hour = Period(Duration::from_hours(1));
    config.chores.verify = Some((hourly(), hour));
    config.chores.maintain = Some((hourly(), true));
    config.chores.replicate = Some((hourly(), hour));
    config.sources[0].schedule = Some(hourly());
    config.sources[1].scratch = true;
    let project = Project::with_registry(config, world.project.registry().clone()).unwrap();
    Arc::new(project.with_clock(Arc::new(world.clock.clone())))
}

/// Runs the scheduler until each job ended once more.
async fn serve(project: &Arc<Project>) -> Vec<JobStatus> {
    let serving = project.serve(ServeOptions::default()).await.unwrap();
    let handle = serving.handle();
    let before = handle.statuses();
    let stop = CancellationToken::new();
    let until_done = async {
        let is_done = |(job, before): (&JobStatus, &JobStatus)| job.running.is_none() && job.last != before.last;
        while !handle.statuses().iter().zip(&before).all(is_done) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(serving.run(stop.clone()), until_done);
    handle.statuses()
}

/// Lets the scheduler see its jobs for the first time.
async fn begin(project: &Arc<Project>) {
    let stop = CancellationToken::new();
    stop.cancel();
    project.serve(ServeOptions::default()).await.unwrap().run(stop).await;
}

fn conditions(project: &Project) -> Vec<(String, Condition)> {
    project.problems().unwrap().into_iter().map(|alert| (alert.key, alert.condition)).collect()
}

#[tokio::test]
async fn everything_is_done_when_it_is_due_and_what_fails_is_told() {
    let world = world("chores", None);
    let project = unattended(&world);
    project.init().await.unwrap();
    for text in [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#] {
        world.write("1", text);
        world.clock.advance(Duration::from_mins(1));
        project.backup("notes", saas_backup::core::TransferOptions::backup()).await.unwrap();
    }
    begin(&project).await;
    world.write("1", r#"{"n":4}"#);
    world.clock.advance(Duration::from_hours(1));
    let jobs = serve(&project).await;
    let names: Vec<&str> = jobs.iter().map(|job| job.job.as_str()).collect();
    assert_eq!(
        names,
        ["notes", "notes (drill)", "(verify)", "(maintain)", "(replicate)"],
        "an account for rehearsals has none"
    );
    assert!(
        jobs.iter().all(|job| job.last.as_ref().is_some_and(|run| run.result.status == RunStatus::Complete)),
        "{jobs:?}"
    );
    assert!(project.points("notes").await.unwrap().len() <= 3, "what the retention does not keep is forgotten");
    assert!(project.drills("notes", 10).await.unwrap().last().is_some_and(|drill| drill.passed));
    assert!(project.status().await.unwrap()[0].rto_measured.is_some());
    assert_eq!(conditions(&project), []);
    let replica = std::fs::read_dir(world.folder.path().join("replica")).unwrap().count();
    assert!(replica > 0);

    // A byte of every commit, and of every copy of a part of one, is changed: whoever reads them says so.
    let mut whole: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for folder in ["commit", "layout", "bundle"] {
        let objects = std::fs::read_dir(world.folder.path().join("repository/source/notes").join(folder));
        let paths = objects.into_iter().flatten().map(|entry| entry.unwrap().path());
        whole.extend(paths.map(|path| (path.clone(), std::fs::read(path).unwrap())));
    }
    for (path, bytes) in &whole {
        let mut bytes = bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let fresh = unattended(&world);
    world.clock.advance(Duration::from_hours(1));
    serve(&fresh).await;
    let found = conditions(&fresh);
    for expected in [
        ("notes/drill", Condition::Drill),
        ("(verify)/verification", Condition::Verification),
        ("(replicate) 1/replica", Condition::Replica),
    ] {
        assert!(found.contains(&(expected.0.to_owned(), expected.1)), "{expected:?}: {found:?}");
    }

    for (path, bytes) in whole {
        std::fs::write(path, bytes).unwrap();
    }
    let fresh = unattended(&world);
    world.clock.advance(Duration::from_hours(1));
    serve(&fresh).await;
    assert_eq!(conditions(&fresh), [], "it is over");
    world.clock.advance(Duration::from_mins(66));
    let missed = conditions(&fresh).into_iter().filter(|(_, condition)| *condition == Condition::Missed);
    assert_eq!(missed.count(), 5, "nobody is at work any more");
    assert!(project.show("notes", &key("1"), saas_backup::core::At::Now).await.is_ok());
}

#[test]
fn what_is_done_unattended_stands_in_the_file() {
    let text = |more: &str| format!("[repository]\nurl = 'memory://x'\n{more}");
    let config = Config::parse(
        &text("[drill]\nschedule = '@monthly'\nsample = 100\n[verify]\nschedule = '@daily'\n[maintain]\nschedule = '@daily'\nforget = true\n[replicate]\nschedule = '@hourly'\nmax_age = '3h'\n[[source]]\nname = 'a'\nconnector = 'x'\ndrill = { into = 'b' }\n[[source]]\nname = 'b'\nconnector = 'x'\nscratch = true\n"),
        "",
    )
    .unwrap();
    assert_eq!(config.repository.encryption, Encryption::Age);
    assert!(config.drill.schedule.is_some() && config.drill.sample == Some(100) && config.drill.into == "jsonl");
    let own = config.sources[0].drill.as_ref().unwrap();
    assert!(own.schedule.is_none() && own.sample.is_none() && own.into == "b" && config.sources[1].scratch);
    assert_eq!(config.chores.verify.unwrap().1.to_string(), "28d");
    assert!(config.chores.maintain.unwrap().1 && config.chores.replicate.unwrap().1.to_string() == "3h");
    for (more, message) in [
        ("[drill]\nschedule = 'never'", "line: 3"),
        ("[verify]\nperiod = '7d'", "the key `schedule` is missing"),
        ("[maintain]\nschedule = '@daily'\ntime_zone = 'Mars'", "unknown time zone"),
        ("[replicate]\nschedule = '@daily'\nmax = '1d'", "unknown key `max`"),
    ] {
        let error = Config::parse(&text(more), "").unwrap_err();
        assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains(message), "{more}: {error}");
    }
}
