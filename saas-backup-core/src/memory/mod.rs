//! An end that lives in memory: a store with history to write to and to read from.

mod sink;
mod snapshot;
mod store;

use async_trait::async_trait;

pub use self::store::{MemoryPoint, MemoryStore};
use crate::{
    Account, At, Capabilities, Connector, Error, ErrorKind, Result, Sink, SinkOptions, Snapshot, SnapshotOptions,
};

/// Opens a [`MemoryStore`] for reading and writing: for tests, for examples, and as the smallest complete connector.
///
/// ```
/// use saas_backup_core::{Json, Key, Record, TransferOptions, memory::{MemoryConnector, MemoryStore}, transfer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> saas_backup_core::Result<()> {
/// let (here, there) = (MemoryStore::new(), MemoryStore::new());
/// here.put(Record::new(Key::parse("notes", "1")?, Json::parse(r#"{"text":"hello"}"#)?));
///
/// let (source, target) = (MemoryConnector::new(here), MemoryConnector::new(there.clone()));
/// let done = transfer(&source, &target, TransferOptions::backup()).await?;
/// assert_eq!(done.report.totals().written, 1);
/// assert_eq!(there.live().len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    store: MemoryStore,
    assigns_ids: bool,
}

impl MemoryConnector {
    /// Opens a store.
    pub fn new(store: MemoryStore) -> Self {
        Self { store, assigns_ids: false }
    }

    /// Gives new records ids of its own, as a provider does.
    #[must_use]
    pub fn with_own_ids(mut self) -> Self {
        self.assigns_ids = true;
        self
    }

    /// The store.
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            read: true,
            incremental: true,
            reports_deletions: true,
            sweeps: true,
            reads_records: true,
            blobs: true,
            blob_ranges: true,
            points_in_time: true,
            mirror: true,
            create: true,
            merge: true,
            overwrite: true,
            atomic: true,
            assigns_ids: self.assigns_ids,
            ordered: self.assigns_ids,
            defers: self.assigns_ids,
            dry_run: true,
            lossless: !self.assigns_ids,
            ..Capabilities::default()
        }
    }

    async fn check(&self) -> Result<Account> {
        Ok(Account::new("memory", "memory"))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        let sequence = self.store.find_point(&options.at)?;
        Ok(Box::new(snapshot::MemorySnapshot::new(self.store.clone(), sequence, options.budget)))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let store = if options.dry_run { self.store.detached_copy() } else { self.store.clone() };
        Ok(Box::new(sink::MemorySink::open(store, options, self.assigns_ids)))
    }
}

impl MemoryStore {
    fn find_point(&self, at: &At) -> Result<u64> {
        let points = self.points();
        let none = || Error::new(ErrorKind::NotFound, "there is no such point in time");
        match at {
            At::Now => Ok(self.visible()),
            At::Sequence(wanted) if *wanted <= self.visible() => Ok(*wanted),
            At::Time(time) => {
                points.iter().rfind(|point| point.time <= *time).map(|point| point.sequence).ok_or_else(none)
            }
            At::Back(back) => points.iter().nth_back(*back as usize).map(|point| point.sequence).ok_or_else(none),
            _ => Err(none()),
        }
    }
}
