//! Sources of [Airbyte](https://docs.airbyte.com/platform/understanding-airbyte/airbyte-protocol): programs that read a
//! provider and say what they find a line at a time, installed here or in a container; this runs any of them and keeps
//! what it says.
//!
//! Each collection is read by a run of its own, with a catalog that names it alone and the state that its last run ended
//! with, whole as it was given: of the stream, or of all streams (`GLOBAL`), which is then kept for each collection by
//! itself. So one that fails costs no other its progress. `docs/connectors/airbyte.md` says what is kept and what is not.
//!
//! `catalog` is what the source can read, `message` what it says, `reading` what that means; the rest is in `process`.

mod catalog;
mod config;
mod message;
mod reading;
mod snapshot;

use async_trait::async_trait;
pub use config::AirbyteConfig;
use saas_backup_core::{
    Account, At, Capabilities, Connector, Error, ErrorKind, Result, Sink, SinkOptions, Snapshot, SnapshotOptions,
};

use crate::process::{ProgramSnapshot, capabilities};
use snapshot::Source;

/// What a source reads.
///
/// ```no_run
/// use saas_backup_connectors::airbyte::{Airbyte, AirbyteConfig};
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, transfer};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let config = AirbyteConfig::new(["source-faker"]).with_setting("count", 1000);
/// let copy = MemoryConnector::new(MemoryStore::new());
/// let done = transfer(&Airbyte::new(config), &copy, TransferOptions::backup()).await?;
/// println!("{} records", done.report.totals().written);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Airbyte {
    config: AirbyteConfig,
}

impl Airbyte {
    /// A connector of a source; nothing is started yet.
    pub fn new(config: AirbyteConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Connector for Airbyte {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    /// Asks the source to check its settings.
    async fn check(&self) -> Result<Account> {
        let name = snapshot::check(&self.config).await?;
        Ok(Account::new(name.clone(), name))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if options.at != At::Now {
            return Err(Error::new(ErrorKind::Unsupported, "a source has no past to open: open the copy instead"));
        }
        let source = Source::open(&self.config).await?;
        Ok(Box::new(ProgramSnapshot::new(source, self.config.at_once)))
    }

    async fn sink(&self, _: SinkOptions) -> Result<Box<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "a source reads, and writes nothing"))
    }
}
