//! Another configuration while the scheduler is at work.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saas_backup::core::memory::{MemoryConnector, MemoryStore};
use saas_backup::core::{CancellationToken, Connector, ErrorKind};
use saas_backup::ops::Schedule;
use saas_backup::{
    AlertConfig, AlertKind, Config, Project, RepositoryConfig, ServeOptions, Serving, Settings, SourceConfig,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{World, world};

fn scheduled(name: &str, connector: &str, pattern: &str) -> SourceConfig {
    let mut source = SourceConfig::new(name, connector, Settings::new()).unwrap();
    source.schedule = Some(Schedule::parse(pattern, "UTC").unwrap());
    source
}

async fn served(world: &World) -> Serving {
    world.project.init().await.unwrap();
    world.project.serve(ServeOptions::default()).await.unwrap()
}

fn changed(world: &World, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = world.project.config().clone();
    change(&mut config);
    config
}

/// What somebody writes into the configuration.
type Change = fn(&mut Config);

#[tokio::test]
async fn what_cannot_change_or_does_not_do_is_refused_and_the_old_configuration_holds() {
    let world = world("reload-refused", Some("0 * * * *"));
    let handle = served(&world).await.handle();
    let wrong: [(&str, Change); 5] = [
        ("key: repository.url", |config| config.repository = RepositoryConfig::new("memory://elsewhere")),
        ("key: state", |config| config.state = Some(config.state.clone().unwrap().join("elsewhere"))),
        ("no source has a schedule", |config| config.sources.truncate(0)),
        ("two jobs have the same name", |config| config.sources.push(config.sources[0].clone())),
        ("alert: program", |config| {
            let settings = Settings::new().with("progam", "x");
            config.alerts = vec![AlertConfig::new("program", AlertKind::Command, settings)];
        }),
    ];
    for (message, change) in wrong {
        let error = handle.reload(changed(&world, change)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(message), "{error}");
        assert!(Arc::ptr_eq(&handle.project(), &world.project), "{message}");
    }
    assert_eq!(handle.statuses().len(), 1);
}

#[tokio::test]
async fn what_changed_is_said() {
    let world = world("reload-said", Some("0 * * * *"));
    let handle = served(&world).await.handle();
    let more = changed(&world, |config| {
        config.sources[0].schedule = Some(Schedule::parse("30 * * * *", "UTC").unwrap());
        config.sources.push(scheduled("more", "notebook", "@daily"));
    });
    let reloaded = handle.reload(more.clone()).await.unwrap();
    assert_eq!((reloaded.added, reloaded.rescheduled), (vec!["more".to_owned()], vec!["notes".to_owned()]));
    assert!(handle.reload(more).await.unwrap().rescheduled.is_empty());
    let reloaded = handle.reload(world.project.config().clone()).await.unwrap();
    assert_eq!((reloaded.removed, reloaded.rescheduled), (vec!["more".to_owned()], vec!["notes".to_owned()]));
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// A project whose source `slow` says that its account is opened, and then waits to be let go on.
fn slow(world: &World) -> (Arc<Project>, Receiver<()>, Sender<()>) {
    let (opened, is_opened) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let (store, mut registry) = (MemoryStore::new(), world.project.registry().clone());
    registry.connector("slow", "A slow one", move |_: NoSettings, _| {
        opened.send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
        Ok(Arc::new(MemoryConnector::new(store.clone())) as Arc<dyn Connector>)
    });
    let config = changed(world, |config| config.sources = vec![scheduled("slow", "slow", "0 * * * *")]);
    let project = Project::with_registry(config, registry).unwrap().with_clock(Arc::new(world.clock.clone()));
    (Arc::new(project), is_opened, go_on)
}

#[tokio::test]
async fn a_run_that_is_at_work_goes_on_though_its_source_is_gone() {
    let world = world("reload-gone", None);
    let (project, is_opened, go_on) = slow(&world);
    project.init().await.unwrap();
    let first = CancellationToken::new();
    first.cancel();
    project.serve(ServeOptions::default()).await.unwrap().run(first).await;
    world.clock.advance(Duration::from_hours(1));
    let serving = project.serve(ServeOptions::default()).await.unwrap();
    let (handle, stop) = (serving.handle(), CancellationToken::new());
    let reloading = async {
        while is_opened.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        let other = changed(&world, |config| config.sources = vec![scheduled("notes", "notebook", "0 * * * *")]);
        handle.reload(other).await.unwrap();
        let jobs: Vec<String> = handle.statuses().into_iter().map(|status| status.job).collect();
        assert_eq!(jobs, ["notes"]);
        go_on.send(()).unwrap();
        while project.last_runs("slow").unwrap().last.is_none() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(serving.run(stop.clone()), reloading);
    assert!(project.last_runs("slow").unwrap().complete.is_some());
}

#[tokio::test]
async fn who_is_told_changes_at_once() {
    let world = world("reload-told", Some("0 * * * *"));
    let serving = served(&world).await;
    let (handle, stop) = (serving.handle(), CancellationToken::new());
    let to = |name: &str| {
        let script = format!("cat >>'{}'", world.folder.path().join(name).display());
        let settings = Settings::new().with("program", serde_json::json!(["sh", "-c", script]));
        changed(&world, |config| {
            config.alerts = vec![AlertConfig::new(name, AlertKind::Command, settings)];
            // No run of it can begin.
            config.sources[0].connector = "unknown".to_owned();
        })
    };
    let until_told = async |name: &str| {
        let path = world.folder.path().join(name);
        while std::fs::read_to_string(&path).unwrap_or_default().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let reloading = async {
        handle.reload(to("first")).await.unwrap();
        world.clock.advance(Duration::from_hours(1));
        handle.project().backup("notes", saas_backup::core::TransferOptions::backup()).await.unwrap_err();
        handle.reload(to("second")).await.unwrap();
        until_told("second").await;
        // Without alerts, somebody else may tell them.
        handle.reload(world.project.config().clone()).await.unwrap();
        handle.project().tell_alerts().await.unwrap();
        handle.reload(to("third")).await.unwrap();
        until_told("third").await;
        stop.cancel();
    };
    tokio::join!(serving.run(stop.clone()), reloading);
}
