//! What is measured of each source.

use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::testkit::FakeProvider;
use saas_backup::core::{Clock as _, CollectionName, Connector, ManualClock, RunStatus, TransferOptions};
use saas_backup::ops::Schedule;
use saas_backup::ops::alert::Condition;
use saas_backup::{
    Config, DrillRequest, Encryption, Project, Registry, RepositoryConfig, ServeOptions, Settings, SourceConfig,
    VerifyRead,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

struct Scene {
    _folder: TempDir,
    clock: ManualClock,
    provider: FakeProvider,
    project: Arc<Project>,
}

impl Scene {
    async fn new(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = ManualClock::new("2026-03-01T10:30:00Z".parse().unwrap());
        let provider = FakeProvider::seeded(3, 50);
        let mut registry = Registry::default();
        let own = provider.clone();
        registry
            .connector("fake", "A provider", move |_: NoSettings, _| Ok(Arc::new(own.clone()) as Arc<dyn Connector>));
        let mut repository = RepositoryConfig::new(format!("memory://{name}"));
        repository.encryption = Encryption::None;
        let mut source = SourceConfig::new("tasks", "fake", Settings::new()).unwrap();
        source.schedule = Some(Schedule::parse("0 * * * *", "UTC").unwrap());
        source.rpo = Some("2h".parse().unwrap());
        source.rto = Some("1h".parse().unwrap());
        let mut config = Config::new(repository, vec![source]);
        config.state = Some(folder.path().join("state"));
        let project = Project::with_registry(config, registry).unwrap().with_clock(Arc::new(clock.clone()));
        project.init().await.unwrap();
        Self { _folder: folder, clock, provider, project: Arc::new(project) }
    }

    async fn backup(&self) -> RunStatus {
        self.clock.advance(Duration::from_hours(1));
        let done = self.project.backup("tasks", TransferOptions::backup()).await;
        done.map_or(RunStatus::Failed, |done| done.report.status)
    }

    fn conditions(&self) -> Vec<Condition> {
        self.project.problems().unwrap().into_iter().map(|alert| alert.condition).collect()
    }
}

#[tokio::test]
async fn a_collection_that_could_not_be_read_is_late_by_itself() {
    let scene = Scene::new("collections").await;
    assert_eq!(scene.backup().await, RunStatus::Complete);
    let (first, users) = (scene.clock.now(), FakeProvider::users());
    for _ in 0..3 {
        let hurt = scene.provider.put_user("u0001", &format!("at {}", scene.clock.now()));
        scene.provider.fail_record(&hurt, saas_backup::core::ErrorKind::Unexpected);
        assert_eq!(scene.backup().await, RunStatus::Incomplete);
    }
    let [status] = scene.project.status().await.unwrap().try_into().unwrap();
    assert_eq!((status.complete_as_of, status.rpo_met), (Some(first), Some(false)));
    let late = |name: &CollectionName| status.collections[name].rpo_met == Some(false);
    assert!(late(&users) && !late(&FakeProvider::tasks()), "{:?}", status.collections);
    assert_eq!(status.collections[&users].complete_as_of, first);
    assert_eq!(status.collections[&FakeProvider::tasks()].complete_as_of, scene.clock.now());
}

#[tokio::test]
async fn what_was_verified_stands_beside_what_is_complete() {
    let scene = Scene::new("verified").await;
    scene.backup().await;
    let first = scene.clock.now();
    assert_eq!(scene.project.status().await.unwrap()[0].verified_as_of, None);
    scene.clock.advance(Duration::from_secs(1));
    assert!(scene.project.verify(VerifyRead::ALL, &mut |_, _| {}).await.unwrap().good);
    scene.provider.put_task("p1", "new", "A new one");
    scene.backup().await;
    let [status] = scene.project.status().await.unwrap().try_into().unwrap();
    assert_eq!((status.verified_as_of, status.complete_as_of), (Some(first), Some(scene.clock.now())));
}

#[tokio::test]
async fn an_account_that_shows_less_is_told_until_it_is_meant() {
    let scene = Scene::new("hidden").await;
    scene.backup().await;
    assert!(!scene.conditions().contains(&Condition::Coverage));
    scene.provider.lose_access(&FakeProvider::comments());
    for _ in 0..2 {
        scene.backup().await;
        let found = scene.project.problems().unwrap();
        let less = found.iter().find(|alert| alert.condition == Condition::Coverage).unwrap();
        assert!(
            less.summary.contains("comments") && less.since < scene.clock.now() + Duration::from_secs(1),
            "{less:?}"
        );
    }
    scene.provider.heal();
    scene.backup().await;
    assert!(!scene.conditions().contains(&Condition::Coverage), "it shows as much again");
    scene.provider.lose_access(&FakeProvider::comments());
    scene.backup().await;
    scene.project.accept_coverage("tasks").unwrap();
    scene.backup().await;
    assert!(!scene.conditions().contains(&Condition::Coverage), "it is meant");
}

#[tokio::test]
async fn runs_that_were_due_are_counted_and_missed_ones_are_no_success() {
    let scene = Scene::new("rate").await;
    for _ in 0..4 {
        scene.backup().await;
    }
    scene.provider.go_down(1_000_000);
    assert_eq!(scene.backup().await, RunStatus::Failed);
    scene.provider.heal();
    scene.clock.advance(Duration::from_hours(2));
    scene.backup().await;
    let rate = scene.project.status().await.unwrap()[0].success.unwrap();
    // Runs began at 11:30 to 15:30 and at 18:30, the one of 15:30 failed; 16:00 and 17:00 had none.
    assert_eq!((rate.due, rate.complete, rate.failed, rate.missed), (7, 4, 1, 2), "{rate:?}");
}

#[tokio::test]
async fn monitoring_reads_what_is_documented() {
    let scene = Scene::new("metrics").await;
    scene.backup().await;
    scene.project.drill(DrillRequest::new("tasks")).await.unwrap();
    let serving = scene.project.serve(ServeOptions::default()).await.unwrap();
    let text = scene.project.metrics(&serving.handle().statuses()).unwrap();
    let measured = |line: &&str| line.starts_with("saas_backup_rto_measured_seconds{");
    assert_eq!(text.lines().filter(measured).count(), 1);
    let same: Vec<&str> = text.lines().filter(|line| !measured(line)).collect();
    insta::assert_snapshot!(same.join("\n"));
    let documented = include_str!("../../../docs/metrics.md");
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(documented.contains(&format!("`{name}`")), "docs/metrics.md does not name {name}");
    }
}
