use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Error, ErrorKind, Result, Sink, SinkOptions, Snapshot,
    SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::AutoConfig;
use super::form::Auto;
use crate::form::{account, sink};
use crate::session::{blocking, writes};

/// Opens a folder for writing each collection in the form that fits it.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::auto::{AutoConfig, AutoConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let folder = AutoConnector::new(AutoConfig::new("/home/me/account"));
/// transfer(&source, &folder, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(folder.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AutoConnector {
    config: AutoConfig,
}

impl AutoConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: AutoConfig) -> Self {
        Self { config }
    }

    /// Looks through every folder with its format's own check. Cancel safe.
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
impl Connector for AutoConnector {
    fn capabilities(&self) -> Capabilities {
        writes()
    }

    /// The folder: what account it is of stands in its manifest.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Auto>(&self.config.path))
    }

    async fn snapshot(&self, _options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Err(Error::new(ErrorKind::Unsupported, "this format does not read back: `bagit` and `jsonl` lose nothing"))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Auto, &self.config.path, options).await
    }
}
