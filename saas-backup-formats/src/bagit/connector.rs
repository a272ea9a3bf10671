use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::BagItConfig;
use super::form::Bag;
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// Opens a bag for writing and for reading.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::bagit::{BagItConfig, BagItConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let bag = BagItConnector::new(BagItConfig::new("/archive/notes-2026"));
/// transfer(&source, &bag, TransferOptions::new(WriteMode::Create)).await?;
/// assert!(bag.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BagItConnector {
    config: BagItConfig,
}

impl BagItConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: BagItConfig) -> Self {
        Self { config }
    }

    /// Checks the bag as RFC 8493 demands: every file of the payload is listed, there, and as it was. Cancel safe.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub async fn check_content(&self) -> Result<CheckReport> {
        let path = self.config.path.clone();
        blocking(move || check(&path)).await
    }
}

#[async_trait]
impl Connector for BagItConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: what account the bag is of stands in its manifest.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Bag>(&self.config.path))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Bag, self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Bag, &self.config.path, options).await
    }
}
