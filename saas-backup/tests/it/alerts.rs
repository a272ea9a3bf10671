//! Who is told what, when runs end otherwise than they should.

use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::{CancellationToken, ErrorKind, TransferOptions};
use saas_backup::{AlertConfig, AlertKind, Project, ServeOptions, Settings};

use crate::support::{World, world};

/// The world's project, with a program that is told and notes it.
fn told(world: &World) -> Arc<Project> {
    let script = format!("cat >>'{}'", world.folder.path().join("told").display());
    let settings = Settings::new().with("program", serde_json::json!(["sh", "-c", script]));
    let mut config = world.project.config().clone();
    config.alerts = vec![AlertConfig::new("program", AlertKind::Command, settings)];
    let project = Project::with_registry(config, world.project.registry().clone()).unwrap();
    Arc::new(project.with_clock(Arc::new(world.clock.clone())))
}

/// What the program was told: the action and the key.
fn heard(world: &World) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(world.folder.path().join("told")).unwrap_or_default();
    let member = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.map(|line: serde_json::Value| (member(&line, "action"), member(&line, "key"))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(action, key)| ((*action).to_owned(), (*key).to_owned())).collect()
}

#[tokio::test]
async fn what_goes_wrong_is_told_once_and_so_is_that_it_is_over() {
    let world = world("told", None);
    let project = told(&world);
    assert!(project.tell_alerts().await.unwrap().is_empty(), "nothing was asked to run yet");
    project.backup("notes", TransferOptions::backup()).await.unwrap_err();
    project.tell_alerts().await.unwrap();
    project.tell_alerts().await.unwrap();
    let mut expected = vec![("trigger", "notes/failed"), ("trigger", "notes/late")];
    assert_eq!(heard(&world), pairs(&expected));
    project.init().await.unwrap();
    world.write("1", "{}");
    project.backup("notes", TransferOptions::backup()).await.unwrap();
    project.tell_alerts().await.unwrap();
    expected.extend([("resolve", "notes/failed"), ("resolve", "notes/late")]);
    assert_eq!(heard(&world), pairs(&expected));
    world.clock.advance(Duration::from_hours(3));
    project.tell_alerts().await.unwrap();
    expected.push(("trigger", "notes/late"));
    assert_eq!(heard(&world), pairs(&expected));
    let lasting = project.alerts().unwrap().pop().unwrap();
    assert_eq!(lasting.alert.key, "notes/late");
    assert!(lasting.resolved.is_none() && lasting.alert.summary.contains("the objective is 2h"), "{lasting:?}");
}

#[tokio::test]
async fn the_scheduler_tells_by_itself() {
    let world = world("tells", Some("0 * * * *"));
    let project = told(&world);
    let serve = async |stop: CancellationToken| project.serve(ServeOptions::default()).await.unwrap().run(stop).await;
    let stop = CancellationToken::new();
    stop.cancel();
    serve(stop).await;
    world.clock.advance(Duration::from_hours(1));
    let stop = CancellationToken::new();
    let until_told = async {
        while heard(&world).len() < 2 {
            tokio::task::yield_now().await;
        }
        let beside = project.tell_alerts().await.unwrap_err();
        assert_eq!(beside.kind(), ErrorKind::Conflict, "one process tells");
        stop.cancel();
    };
    tokio::join!(serve(stop.clone()), until_told);
    assert_eq!(heard(&world), pairs(&[("trigger", "notes/failed"), ("trigger", "notes/late")]));
}

#[tokio::test]
async fn who_answers_for_a_source_is_told_with_what_is_wrong_with_it() {
    let world = world("owned", None);
    let mut config = world.project.config().clone();
    config.sources[0].owner = Some("editorial team".to_owned());
    let project = Project::with_registry(config, world.project.registry().clone()).unwrap();
    let project = project.with_clock(Arc::new(world.clock.clone()));
    project.backup("notes", TransferOptions::backup()).await.unwrap_err();
    let found = project.problems().unwrap();
    assert!(!found.is_empty() && found.iter().all(|alert| alert.details["owner"] == "editorial team"), "{found:?}");
}

#[tokio::test]
async fn settings_that_do_not_do_are_told_before_anything_runs() {
    let world = world("wrong", Some("0 * * * *"));
    let mut config = world.project.config().clone();
    config.alerts = vec![AlertConfig::new("program", AlertKind::Command, Settings::new().with("progam", "x"))];
    let project = Arc::new(Project::with_registry(config, world.project.registry().clone()).unwrap());
    let error = project.serve(ServeOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("alert: program"), "{error}");
}

#[tokio::test]
async fn a_test_goes_to_everybody_and_is_not_kept() {
    let world = world("tried", None);
    let project = told(&world);
    let tried = project.try_alerts().await.unwrap();
    assert!(tried.len() == 1 && tried[0].error.is_none(), "{tried:?}");
    assert_eq!(heard(&world), pairs(&[("trigger", "test"), ("resolve", "test")]));
    assert!(project.alerts().unwrap().is_empty());
}

#[cfg(all(feature = "alert-cloudwatch", feature = "alert-mail"))]
#[tokio::test(start_paused = true)]
async fn every_kind_is_made_of_its_settings() {
    let world = world("kinds", None);
    let nobody = Settings::new().with("allow_private_addresses", true);
    let http = nobody.clone().with("url", "http://127.0.0.1:9/");
    let genie = http.clone().with("api_key", "x").with("teams", serde_json::json!(["sre"]));
    let keys = http.clone().with("access_key_id", "x").with("secret_access_key", "y");
    let mail = nobody.with("host", "127.0.0.1").with("port", 9).with("encryption", "none");
    let mail = mail.with("from", "a@example.com").with("to", serde_json::json!(["b@example.com"]));
    let made = async |name: &str, kind: AlertKind, settings: Settings| {
        let mut config = world.project.config().clone();
        config.alerts = vec![AlertConfig::new(name, kind, settings)];
        Project::with_registry(config, world.project.registry().clone()).unwrap().try_alerts().await
    };
    for (name, kind, settings, tried) in [
        ("opsgenie", AlertKind::Opsgenie, genie.clone().with("users", serde_json::json!(["a"])), 1),
        ("jsm", AlertKind::Jsm, genie, 1),
        ("cloudwatch", AlertKind::CloudWatch, keys.clone().with("region", "eu-west-1"), 2),
        ("mail", AlertKind::Mail, mail.clone(), 1),
    ] {
        let told = made(name, kind, settings).await.unwrap();
        assert_eq!(told.len(), tried, "{told:?}");
        for told in told {
            assert!(told.name == name && told.error.as_ref().unwrap().contains("cannot be reached"), "{told:?}");
        }
    }
    for (kind, settings, expected) in [
        (AlertKind::Mail, mail.clone().with("username", "me"), "username and password belong together"),
        (AlertKind::Mail, mail.with("encryption", "ssl"), "starttls"),
        (AlertKind::CloudWatch, keys, "region"),
        (AlertKind::CloudWatch, http.clone().with("region", "x").with("session_token", "x"), "belong together"),
        (AlertKind::CloudWatch, http.with("region", "x").with("access_key_id", "x"), "belong together"),
    ] {
        let error = made("wrong", kind, settings).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains(expected), "{error}");
    }
}
