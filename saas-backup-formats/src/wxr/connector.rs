use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};

use super::blog::Blog;
use super::check::check;
use super::config::WxrConfig;
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// Opens an export for WordPress for writing, and for reading what its `_source` folder and its attachments hold.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::wxr::{WxrConfig, WxrConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let config = WxrConfig::new("/srv/www/import").with_media_url("https://files.example/import/");
/// let blog = WxrConnector::new(config);
/// transfer(&source, &blog, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(blog.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WxrConnector {
    config: WxrConfig,
}

impl WxrConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: WxrConfig) -> Self {
        Self { config }
    }

    /// Parses every file, and compares ids, parents and attachments. Cancel safe.
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
impl Connector for WxrConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: what account it is of stands in its manifest.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Blog>(&self.config.path))
    }

    /// Reads the sources beside the files for WordPress.
    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Blog::new(self.config.clone()), self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Blog::new(self.config.clone()), &self.config.path, options).await
    }
}
