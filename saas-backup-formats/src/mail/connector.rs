use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Result, Sink, SinkOptions, Snapshot, SnapshotOptions, async_trait,
};
use serde::{Deserialize, Serialize};

use super::check::check;
use super::config::MailConfig;
use super::form::{Eml, Maildir, Mbox};
use crate::folder::{Audit, audit};
use crate::form::{account, sink};
use crate::import::read_back;
use crate::session::{blocking, reads_back};

/// How messages lie in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MailLayout {
    /// A file a message.
    Eml,
    /// A file a mailbox, with the quotation of mboxrd.
    Mbox,
    /// A Maildir a mailbox.
    Maildir,
}

/// Opens a folder of mail for writing, and for reading what its `_source` folder and its messages hold.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::mail::{MailConfig, MailConnector, MailLayout};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let mail = MailConnector::new(MailLayout::Mbox, MailConfig::new("/home/me/mail"));
/// transfer(&source, &mail, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(mail.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MailConnector {
    layout: MailLayout,
    config: MailConfig,
}

impl MailConnector {
    /// A connector for the folder of this configuration.
    pub fn new(layout: MailLayout, config: MailConfig) -> Self {
        Self { layout, config }
    }

    /// Looks through all messages for what programs trip over. Cancel safe.
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
impl Connector for MailConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: mail in a folder has no account of its own.
    async fn check(&self) -> Result<Account> {
        Ok(match self.layout {
            MailLayout::Eml => account::<Eml>(&self.config.path),
            MailLayout::Mbox => account::<Mbox>(&self.config.path),
            MailLayout::Maildir => account::<Maildir>(&self.config.path),
        })
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        let path = self.config.path.clone();
        match self.layout {
            MailLayout::Eml => read_back(Eml, path, options).await,
            MailLayout::Mbox => read_back(Mbox, path, options).await,
            MailLayout::Maildir => read_back(Maildir(self.config.separator), path, options).await,
        }
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let MailConfig { path, separator } = &self.config;
        match self.layout {
            MailLayout::Eml => sink(Eml, path, options).await,
            MailLayout::Mbox => sink(Mbox, path, options).await,
            MailLayout::Maildir => sink(Maildir(*separator), path, options).await,
        }
    }
}
