use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::GitConfig;
use super::form::Repositories;
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// Opens a folder of repositories for writing and for reading.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::git::{GitConfig, GitConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let repositories = GitConnector::new(GitConfig::new("/home/me/code"));
/// transfer(&source, &repositories, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(repositories.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GitConnector {
    config: GitConfig,
}

impl GitConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: GitConfig) -> Self {
        Self { config }
    }

    /// Looks through all bundles and compares every file with `names.json`. Cancel safe.
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
impl Connector for GitConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: repositories in a folder have no account of its own.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Repositories>(&self.config.path))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Repositories, self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Repositories, &self.config.path, options).await
    }
}
