use saas_backup_core::{
    Account, At, Capabilities, Connector, Error, ErrorKind, Result, Sink, SinkOptions, Snapshot, SnapshotOptions,
    async_trait,
};

use super::assembly::{Assembly, MARKER};
use super::config::JsonlConfig;
use super::manifest::{FORMAT, Manifest};
use super::open::Archive;
use super::snapshot::JsonlSnapshot;
use crate::folder::{Audit, audit};
use crate::session::{FolderSink, Keeping, Session, blocking, reads_back};

/// Opens an archive for writing and for reading.
///
/// ```no_run
/// use saas_backup_core::{Connector as _, SnapshotOptions};
/// use saas_backup_formats::jsonl::{JsonlConfig, JsonlConnector};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let archive = JsonlConnector::new(JsonlConfig::new("/backups/notes-2026"));
/// assert!(archive.verify().await?.is_clean());
/// let catalog = archive.snapshot(SnapshotOptions::default()).await?.catalog().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct JsonlConnector {
    config: JsonlConfig,
}

impl JsonlConnector {
    /// A connector for the folder of this configuration.
    pub fn new(config: JsonlConfig) -> Self {
        Self { config }
    }

    /// Reads the manifest. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no archive, [`ErrorKind::InvalidData`] if it is none of this format,
    /// [`ErrorKind::UnsupportedVersion`] if a newer version wrote it.
    pub async fn manifest(&self) -> Result<Manifest> {
        let path = self.config.path.clone();
        blocking(move || Archive::open(&path).map(|archive| archive.manifest)).await
    }

    /// Compares every file with its digest, and reports what is missing, changed or foreign. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`manifest`](Self::manifest); and [`ErrorKind::InvalidData`] if the list of digests is damaged.
    pub async fn verify(&self) -> Result<Audit> {
        let path = self.config.path.clone();
        blocking(move || {
            Archive::open(&path)?;
            audit(&path)
        })
        .await
    }
}

#[async_trait]
impl Connector for JsonlConnector {
    fn capabilities(&self) -> Capabilities {
        reads_back(true)
    }

    /// The account that the archive was taken of; the folder itself where nothing is there yet.
    async fn check(&self) -> Result<Account> {
        match self.manifest().await {
            Ok(Manifest { account: Some(account), .. }) => Ok(account),
            Ok(_) => Ok(Account::new(FORMAT, self.config.path.display().to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Account::new(FORMAT, self.config.path.display().to_string()))
            }
            Err(error) => Err(error),
        }
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if options.at != At::Now {
            return Err(Error::new(ErrorKind::Unsupported, "an archive holds one point in time"));
        }
        let path = self.config.path.clone();
        let archive = blocking(move || Archive::open(&path)).await?;
        Ok(Box::new(JsonlSnapshot::new(archive, options.budget)))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let path = self.config.path.clone();
        let session =
            blocking(move || Session::open(&path, MARKER, &options, Keeping { carry_over: false, lines: true }))
                .await?;
        Ok(Box::new(FolderSink::new(session, Assembly::write)))
    }
}
