use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::HtmlConfig;
use super::site::Site;
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// Opens a site for writing, and for reading what its `_source` folder and its attachments hold.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::html::{HtmlConfig, HtmlConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let site = HtmlConnector::new(HtmlConfig::new("/home/me/archive"));
/// transfer(&source, &site, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(site.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HtmlConnector {
    config: HtmlConfig,
}

impl HtmlConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: HtmlConfig) -> Self {
        Self { config }
    }

    /// Follows every link of every page, and looks for what could run or load. Cancel safe.
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
impl Connector for HtmlConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: a site has no account of its own.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Site>(&self.config.path))
    }

    /// Reads the sources beside the pages.
    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Site, self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Site, &self.config.path, options).await
    }
}
