use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::FilesConfig;
use super::form::Files;
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// Opens a tree of original files for writing and for reading.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::files::{FilesConfig, FilesConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let files = FilesConnector::new(FilesConfig::new("/home/me/drive"));
/// transfer(&source, &files, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(files.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FilesConnector {
    config: FilesConfig,
}

impl FilesConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: FilesConfig) -> Self {
        Self { config }
    }

    /// Looks through all names and compares every file with `names.json`. Cancel safe.
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
    /// [`InvalidData`](saas_backup_core::ErrorKind::InvalidData) if the folder has no list of digests, or a damaged one.
    pub async fn verify(&self) -> Result<Audit> {
        let path = self.config.path.clone();
        blocking(move || audit(&path)).await
    }
}

#[async_trait]
impl Connector for FilesConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: a tree of files has no account of its own.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Files>(&self.config.path))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Files, self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Files, &self.config.path, options).await
    }
}
