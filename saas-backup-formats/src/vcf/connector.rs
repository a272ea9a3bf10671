use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::VcfConfig;
use super::form::Contacts;
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// Opens a folder of contacts for writing, and for reading what its `_source` folder and its attachments hold.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::vcf::{VcfConfig, VcfConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let contacts = VcfConnector::new(VcfConfig::new("/home/me/contacts"));
/// transfer(&source, &contacts, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(contacts.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct VcfConnector {
    config: VcfConfig,
}

impl VcfConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: VcfConfig) -> Self {
        Self { config }
    }

    /// Looks through all cards for what programs trip over. Cancel safe.
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
impl Connector for VcfConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: contacts in a folder have no account of its own.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Contacts>(&self.config.path))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Contacts, self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        sink(Contacts, &self.config.path, options).await
    }
}
