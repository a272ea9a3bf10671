use saas_backup_core::{
    Account, Capabilities, CheckReport, Connector, Error, ErrorKind, Result, Sink, SinkOptions, Snapshot,
    SnapshotOptions, async_trait,
};

use super::check::check;
use super::config::MarkdownConfig;
use super::vault::Vault;
use crate::folder::{Audit, audit};
use crate::form::{Form as _, account, publish};
use crate::import::read_back;
use crate::session::{FolderSink, Keeping, Session, blocking, reads_back};

/// Opens a vault for writing, and for reading what its `_source` folder and its attachments hold.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, WriteMode, transfer};
/// use saas_backup_formats::markdown::{MarkdownConfig, MarkdownConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let source = MemoryConnector::new(MemoryStore::new());
/// let vault = MarkdownConnector::new(MarkdownConfig::new("/home/me/notes"));
/// transfer(&source, &vault, TransferOptions::new(WriteMode::Overwrite)).await?;
/// assert!(vault.check_content().await?.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MarkdownConnector {
    config: MarkdownConfig,
}

impl MarkdownConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: MarkdownConfig) -> Self {
        Self { config }
    }

    /// Follows every link of every page. Cancel safe.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub async fn check_content(&self) -> Result<CheckReport> {
        let path = self.config.path.clone();
        blocking(move || check(&path)).await
    }

    /// Compares every file with its digest: what a person edited is `changed`, what a person added is `foreign`.
    /// Cancel safe.
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
impl Connector for MarkdownConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The folder: a vault has no account of its own.
    async fn check(&self) -> Result<Account> {
        Ok(account::<Vault>(&self.config.path))
    }

    /// Reads the sources beside the pages; edits of pages are not read, and the coverage says that there are some.
    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        read_back(Vault, self.config.path.clone(), options).await
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let path = self.config.path.clone();
        let session = blocking(move || {
            let session = Session::open(&path, Vault::MARKER, &options, Keeping { carry_over: true, lines: true })?;
            refuse_edits(&path, session)
        });
        Ok(Box::new(FolderSink::new(session.await?, |open, report| publish(&Vault, open, report))))
    }
}

/// Stops before somebody's edits of an earlier export are replaced.
fn refuse_edits(path: &std::path::Path, session: std::sync::Arc<Session>) -> Result<std::sync::Arc<Session>> {
    if !Vault::MARKER.marks(path) {
        return Ok(session);
    }
    let changed = audit(path)?.changed;
    let Some(first) = changed.first() else { return Ok(session) };
    session.end()?.staging.discard()?;
    Err(Error::new(ErrorKind::Conflict, "pages of this vault were edited: export to another folder, or move them away")
        .with_context("file", first)
        .with_context("files", changed.len()))
}
