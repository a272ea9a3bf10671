use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Error, ErrorKind, Result, Sink, SinkOptions, Snapshot,
    SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::ParquetConfig;
use super::form::Columns;
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::session::{blocking, writes};

/// Opens files of columns for writing.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::parquet::{ParquetConfig, ParquetConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let columns = ParquetConnector::new(ParquetConfig::new("/home/me/columns"));
/// transfer(&source, &columns, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(columns.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ParquetConnector {
    config: ParquetConfig,
}

impl ParquetConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: ParquetConfig) -> Self {
        Self { config }
    }

    /// Reads every column. Cancel safe.
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
    /// [`ErrorKind::InvalidData`] if the folder has no list of digests, or a damaged one.
    pub async fn verify(&self) -> Result<Audit> {
        let path = self.config.path.clone();
        blocking(move || audit(&path)).await
    }
}

#[async_trait]
impl Connector for ParquetConnector {
    fn capabilities(&self) -> Capabilities {
        writes()
    }

    /// The folder: columns have no account of their own.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Columns>(&self.config.path))
    }

    async fn snapshot(&self, _options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Err(Error::new(ErrorKind::Unsupported, "columns do not read back: use `jsonl` to have a copy"))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Columns { part_records: self.config.part_records.max(1) }, &self.config.path, options).await
    }
}
