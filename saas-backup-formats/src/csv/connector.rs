use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::CsvConfig;
use super::form::Tables;
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// Opens tables for writing, and for reading what their cells hold.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::csv::{CsvConfig, CsvConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let tables = CsvConnector::new(CsvConfig::new("/home/me/tables").with_spreadsheet(true));
/// transfer(&source, &tables, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(tables.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CsvConnector {
    config: CsvConfig,
}

impl CsvConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: CsvConfig) -> Self {
        Self { config }
    }

    /// Looks at every cell. Cancel safe.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub async fn check_content(&self) -> Result<CheckReport> {
        let path = self.config.path.clone();
        blocking(move || check(&path)).await
    }

    /// Compares every file with its digest. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`](saas_backup_core::ErrorKind::InvalidData) if the folder has no list of digests, or a damaged one.
    pub async fn verify(&self) -> Result<Audit> {
        let path = self.config.path.clone();
        blocking(move || audit(&path)).await
    }
}

#[async_trait]
impl Connector for CsvConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(false)
    }

    /// The folder: tables have no account of their own.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Tables>(&self.config.path))
    }

    /// Reads records back from the cells; the coverage says what those do not tell.
    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Tables::default(), self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Tables { spreadsheet: self.config.spreadsheet }, &self.config.path, options).await
    }
}
