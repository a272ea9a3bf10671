use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::memory::{MemoryConnector, MemoryStore};
use saas_backup::core::{Connector, Json, Key, ManualClock, Record, RunStatus, TransferOptions};
use saas_backup::repository::RetentionPolicy;
use saas_backup::{Config, Project, Registry, RepositoryConfig, Settings, SourceConfig, keygen};
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// Two accounts, `notes` and `other`, and a repository in memory.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) notes: MemoryStore,
    pub(crate) other: MemoryStore,
    pub(crate) project: Arc<Project>,
}

pub(crate) fn world(name: &str, schedule: Option<&str>) -> World {
    world_of(name, schedule, None)
}

pub(crate) fn world_of(name: &str, schedule: Option<&str>, retention: Option<RetentionPolicy>) -> World {
    let folder = TempDir::new().unwrap();
    let clock = ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
    let (notes, other) = (MemoryStore::new(), MemoryStore::new());
    let mut registry = Registry::default();
    let (own, to) = (notes.clone(), other.clone());
    registry.connector("notebook", "A notebook", move |_: NoSettings, _| {
        Ok(Arc::new(MemoryConnector::new(own.clone())) as Arc<dyn Connector>)
    });
    registry.connector("other", "Another one", move |_: NoSettings, _| {
        Ok(Arc::new(MemoryConnector::new(to.clone()).with_own_ids()) as Arc<dyn Connector>)
    });
    let mut repository = RepositoryConfig::new(format!("memory://{name}"));
    repository.identity = Some(keygen().unwrap().file.expose_secret().into());
    let mut source = SourceConfig::new("notes", "notebook", Settings::new()).unwrap();
    source.schedule = schedule.map(|pattern| saas_backup::ops::Schedule::parse(pattern, "UTC").unwrap());
    source.rpo = Some("2h".parse().unwrap());
    let target = SourceConfig::new("other", "other", Settings::new()).unwrap();
    let mut config = Config::new(repository, vec![source, target]);
    config.state = Some(folder.path().join("state"));
    config.retention = retention;
    let project = Project::with_registry(config, registry).unwrap().with_clock(Arc::new(clock.clone()));
    World { folder, clock, notes, other, project: Arc::new(project) }
}

impl World {
    pub(crate) fn write(&self, id: &str, data: &'static str) {
        self.notes.put(Record::new(key(id), Json::parse(data).unwrap()));
    }

    pub(crate) async fn backup(&self) -> RunStatus {
        self.clock.advance(Duration::from_mins(1));
        self.project.backup("notes", TransferOptions::backup()).await.unwrap().report.status
    }
}

pub(crate) fn key(id: &str) -> Key {
    Key::parse("pages", id).unwrap()
}
