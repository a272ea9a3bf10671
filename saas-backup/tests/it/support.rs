use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;

use saas_backup::core::memory::{MemoryConnector, MemoryStore};
use saas_backup::core::{
    Account, Capabilities, Connector, Cursor, ErasureEvent, ErasureReceipt, Erasures, Json, Key, ManualClock, Record,
    Result, RunStatus, Sink, SinkOptions, Snapshot, SnapshotOptions, TransferOptions, async_trait,
};
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
    /// What `notes` asks copies to erase.
    pub(crate) requests: Requests,
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
    let requests = Requests::default();
    let (own, to, asks) = (notes.clone(), other.clone(), requests.clone());
    registry.connector("notebook", "A notebook", move |_: NoSettings, _| {
        let notebook = MemoryConnector::new(own.clone());
        Ok(Arc::new(Notebook { notebook, requests: asks.clone() }) as Arc<dyn Connector>)
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
    World { folder, clock, notes, other, requests, project: Arc::new(project) }
}

/// A connector whose account asks copies to erase.
#[derive(Debug)]
struct Notebook {
    notebook: MemoryConnector,
    requests: Requests,
}

#[async_trait]
impl Connector for Notebook {
    fn capabilities(&self) -> Capabilities {
        self.notebook.capabilities()
    }
    async fn check(&self) -> Result<Account> {
        self.notebook.check().await
    }
    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        self.notebook.snapshot(options).await
    }
    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        self.notebook.sink(options).await
    }
    fn erasures(&self) -> Option<Arc<dyn Erasures>> {
        Some(Arc::new(self.requests.clone()))
    }
}

/// A log of requests to erase, and the receipts for them in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    pub(crate) log: Arc<Mutex<Vec<ErasureEvent>>>,
    pub(crate) receipts: Arc<Mutex<Vec<ErasureReceipt>>>,
}

impl Requests {
    pub(crate) fn add(&self, event: ErasureEvent) {
        self.log.lock().unwrap().push(event);
    }

    /// The receipts since the last call: `er_1 applied`, ….
    pub(crate) fn take_receipts(&self) -> Vec<String> {
        let receipts = std::mem::take(&mut *self.receipts.lock().unwrap());
        receipts.iter().map(|receipt| format!("{} {:?}", receipt.id, receipt.state)).collect()
    }
}

#[async_trait]
impl Erasures for Requests {
    fn requests(&self, from: Option<Cursor>) -> BoxStream<'static, Result<ErasureEvent>> {
        assert_eq!(from, None);
        futures::stream::iter(self.log.lock().unwrap().clone().into_iter().map(Ok)).boxed()
    }

    async fn receipt(&self, receipt: &ErasureReceipt) -> Result<()> {
        self.receipts.lock().unwrap().push(receipt.clone());
        Ok(())
    }
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
