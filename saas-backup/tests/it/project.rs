use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use saas_backup::core::{
    At, CancellationToken, ErrorKind, Json, Key, NoProgress, Record, RunStatus, TransferOptions, WriteMode,
};
use saas_backup::{
    Change, ChangeKind, Config, Encryption, ExportRequest, Project, RepositoryConfig, ServeOptions, keygen,
};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use crate::support::{key, world};

#[tokio::test]
async fn what_is_backed_up_is_found_again_at_every_point() {
    let world = world("points", None);
    let project = &world.project;
    project.init().await.unwrap();
    world.write("1", r#"{"text":"old","n":18446744073709551616}"#);
    world.write("2", r#"{"text":"stays"}"#);
    assert_eq!(world.backup().await, RunStatus::Complete);
    world.write("1", r#"{"text":"new","n":18446744073709551616}"#);
    world.notes.delete(key("2"));
    world.write("3", r#"{"text":"more"}"#);
    assert_eq!(world.backup().await, RunStatus::Complete);

    assert_eq!(project.points("notes").await.unwrap().len(), 2);
    let old = project.show("notes", &key("1"), At::Back(1)).await.unwrap();
    assert_eq!(old.data.as_str(), r#"{"text":"old","n":18446744073709551616}"#);
    assert_eq!(project.show("notes", &key("2"), At::Now).await.unwrap_err().kind(), ErrorKind::NotFound);

    let changes: Vec<Change> = project.diff("notes", At::Back(1), At::Now).await.unwrap().try_collect().await.unwrap();
    let kinds: Vec<(String, ChangeKind)> =
        changes.iter().map(|change| (change.key.id.to_string(), change.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("1".to_owned(), ChangeKind::Changed),
            ("2".to_owned(), ChangeKind::Deleted),
            ("3".to_owned(), ChangeKind::Added)
        ]
    );
    assert_eq!(changes[0].fields.len(), 1);
    assert_eq!(changes[0].fields[0].path, "/data/text");

    let history = project.history("notes", &key("2")).await.unwrap();
    let held: Vec<bool> = history.iter().map(|version| version.record.is_some()).collect();
    assert_eq!(held, [true, false]);
    assert!(history[0].point < history[1].point);

    let records = project.records("notes", &key("1").collection, At::Now).await.unwrap();
    assert_eq!(records.try_collect::<Vec<_>>().await.unwrap().len(), 2);
    let completeness = project.completeness("notes", At::Now).await.unwrap();
    assert!(completeness.is_complete());
}

#[tokio::test]
async fn what_is_held_is_counted_where_the_mirror_remembers_nothing() {
    let world = world("count", None);
    let project = &world.project;
    project.init().await.unwrap();
    for id in ["1", "2", "3"] {
        world.write(id, r#"{"text":"one"}"#);
    }
    let done = project.backup("notes", TransferOptions::backup()).await.unwrap();
    let reported: Vec<_> = done.report.completeness.collections.values().map(|one| one.held).collect();
    assert_eq!(reported, [None]);
    world.write("1", r#"{"text":"two"}"#);
    world.notes.delete(key("2"));
    world.clock.advance(Duration::from_mins(1));
    project.backup("notes", TransferOptions::backup()).await.unwrap();
    for (at, held) in [(At::Now, 2), (At::Back(1), 3)] {
        let counted = project.completeness("notes", at.clone()).await.unwrap();
        assert_eq!(counted.collections[&key("1").collection].held, Some(held));
        assert_eq!(project.list("notes", at).await.unwrap().collections[0].records, Some(held));
    }
    let points = project.points("notes").await.unwrap();
    assert!(points.iter().all(|point| point.bytes_added > Some(0)), "{points:?}");
}

#[tokio::test]
async fn an_archive_becomes_a_point_in_time_again() {
    let world = world("archive", None);
    let project = &world.project;
    project.init().await.unwrap();
    world.write("1", r#"{"text":"old"}"#);
    world.backup().await;
    let path = world.folder.path().join("archive");
    let exported = project.export(ExportRequest::new("notes", "jsonl", &path)).await.unwrap();
    assert!(exported.check.unwrap().is_clean());
    project.import("jsonl", &path, "again", Arc::new(NoProgress), CancellationToken::new()).await.unwrap();
    assert_eq!(project.show("again", &key("1"), At::Now).await.unwrap().data.as_str(), r#"{"text":"old"}"#);
}

#[tokio::test]
async fn an_export_holds_what_records_were_if_it_is_asked_or_is_read_by_people() {
    let world = world("history", None);
    let project = &world.project;
    project.init().await.unwrap();
    world.write("1", r#"{"text":"old"}"#);
    world.notes.put(Record::new(Key::parse("users", "1").unwrap(), Json::parse("{}").unwrap()));
    world.backup().await;
    world.write("1", r#"{"text":"new"}"#);
    world.backup().await;

    let held = async |format: &str, history: Option<bool>, only: Option<&Key>, name: &str| {
        let path = world.folder.path().join(name);
        let mut options = TransferOptions::new(WriteMode::Create);
        if let Some(key) = only {
            options = options.with_collections(vec![key.collection.clone()]);
        }
        let mut request = ExportRequest::new("notes", format, &path).with_options(options);
        request.history = history;
        assert!(project.export(request).await.unwrap().check.unwrap().is_clean());
        project.import(format, &path, name, Arc::new(NoProgress), CancellationToken::new()).await.unwrap();
        let held = project.list(name, At::Now).await.unwrap().collections;
        let held = held.iter().filter(|of| of.records == Some(1)).map(|of| of.collection.to_string());
        held.collect::<Vec<_>>()
    };
    assert_eq!(held("jsonl", None, None, "a").await, ["pages", "users"]);
    assert_eq!(held("jsonl", Some(true), None, "b").await, ["pages", "pages.history", "users"]);
    assert_eq!(held("html", None, Some(&key("1")), "c").await, ["pages", "pages.history"]);
    assert_eq!(held("html", Some(false), Some(&key("1")), "d").await, ["pages"]);
}

#[tokio::test]
async fn a_restore_into_another_account_leaves_its_id_map() {
    let world = world("restore", None);
    let project = &world.project;
    project.init().await.unwrap();
    world.write("1", r#"{"text":"one"}"#);
    world.write("2", r#"{"text":"two"}"#);
    world.backup().await;

    let dry = TransferOptions::new(WriteMode::Create).with_dry_run(true);
    let restored = project.restore("notes", "other", dry).await.unwrap();
    assert!(restored.id_map.is_none() && world.other.live().is_empty());

    let one = TransferOptions::new(WriteMode::Create).with_records(vec![key("2")]);
    let restored = project.restore("notes", "other", one).await.unwrap();
    let [(from, to)] = restored.ids.try_into().unwrap();
    assert_eq!(from, key("2"));
    assert_eq!(world.other.live()[&to].data.as_str(), r#"{"text":"two"}"#);
    assert!(restored.id_map.unwrap().exists());
}

#[tokio::test]
async fn a_second_run_of_a_source_is_a_conflict() {
    let world = world("conflict", None);
    world.project.init().await.unwrap();
    world.backup().await;
    let lock =
        std::fs::OpenOptions::new().write(true).open(world.project.state_folder().join("locks/notes.lock")).unwrap();
    lock.lock().unwrap();
    let error = world.project.backup("notes", TransferOptions::backup()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn the_status_measures_against_the_objective() {
    let world = world("status", None);
    let project = &world.project;
    project.init().await.unwrap();
    let missed = &project.status().await.unwrap()[0];
    assert_eq!((missed.rpo_met, missed.complete_as_of), (Some(false), None));

    world.write("1", "{}");
    world.backup().await;
    world.clock.advance(Duration::from_mins(90));
    let met = &project.status().await.unwrap()[0];
    assert_eq!((met.rpo_met, met.age.unwrap().to_string().as_str()), (Some(true), "1h30m"));

    // Nothing changed and nothing was written: the copy is as of the later run all the same.
    world.backup().await;
    world.clock.advance(Duration::from_mins(90));
    assert_eq!(project.status().await.unwrap()[0].rpo_met, Some(true));
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(project.status().await.unwrap()[0].rpo_met, Some(false));
}

#[tokio::test]
async fn a_run_that_fails_is_noted() {
    let world = world("failed", None);
    let project = &world.project;
    let error = project.backup("notes", TransferOptions::backup()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let last = project.last_runs("notes").unwrap().last.unwrap();
    assert_eq!(last.status, RunStatus::Failed);
    assert!(last.message.unwrap().contains("no repository"));
}

#[tokio::test]
async fn a_schedule_backs_up_what_is_due() {
    let world = world("schedule", Some("0 * * * *"));
    let project = &world.project;
    project.init().await.unwrap();
    world.write("1", "{}");
    let serve = async |stop: CancellationToken| project.serve(ServeOptions::default()).await.unwrap().run(stop).await;
    // The first start only notes that the source is there; the second finds an hour passed.
    let stop = CancellationToken::new();
    stop.cancel();
    serve(stop).await;
    assert!(project.points("notes").await.unwrap().is_empty());
    world.clock.advance(Duration::from_hours(1));
    let stop = CancellationToken::new();
    let until_done = async {
        while project.last_runs("notes").unwrap().last.is_none() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(serve(stop.clone()), until_done);
    assert_eq!(project.points("notes").await.unwrap().len(), 1);
    let schedule = project.status().await.unwrap()[0].schedule.clone().unwrap();
    assert_eq!(schedule.starts, Some("2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap()));
}

#[tokio::test]
async fn a_repository_that_is_not_encrypted_is_not_taken_for_one_that_is() {
    let folder = TempDir::new().unwrap();
    let configure = |encryption: Encryption| {
        let mut repository = RepositoryConfig::new("memory://plain");
        repository.encryption = encryption;
        let mut config = Config::new(repository, Vec::new());
        config.state = Some(folder.path().to_owned());
        config
    };
    Project::open(configure(Encryption::None)).unwrap().init().await.unwrap();
    let mut config = configure(Encryption::Age);
    let error = Project::open(config.clone()).unwrap().points("notes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    config.repository.identity = Some(keygen().unwrap().file.expose_secret().into());
    let error = Project::open(config).unwrap().points("notes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn an_encrypted_repository_is_not_written_in_the_clear() {
    let world = world("sealed", None);
    world.project.init().await.unwrap();
    let mut config = world.project.config().clone();
    config.repository.encryption = Encryption::None;
    config.repository.identity = None;
    let error = Project::open(config).unwrap().points("notes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("is encrypted"), "{error}");
}

#[test]
fn settings_of_a_source_do_not_reach_what_is_printed() {
    let world = world("debug", None);
    assert!(!format!("{:?}", world.project).contains("SECRET"));
}
