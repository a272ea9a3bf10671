use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::SqliteConfig;
use super::form::Database;
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// Opens a database for writing, and for reading its records back.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::sqlite::{SqliteConfig, SqliteConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let database = SqliteConnector::new(SqliteConfig::new("/home/me/account"));
/// transfer(&source, &database, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(database.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteConnector {
    config: SqliteConfig,
}

impl SqliteConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: SqliteConfig) -> Self {
        Self { config }
    }

    /// Looks at the database and its indexes, keys and records. Cancel safe.
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
impl Connector for SqliteConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: a database has no account of their own.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Database>(&self.config.path))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Database::default(), self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let SqliteConfig { path, full_text, blobs_inside } = &self.config;
        sink(Database { full_text: *full_text, blobs_inside: *blobs_inside }, path, options).await
    }
}
