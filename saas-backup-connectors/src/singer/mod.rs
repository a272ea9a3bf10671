//! Taps of [Singer](https://hub.meltano.com/singer/spec): programs that read a provider and say what they find a line
//! at a time. Several hundred are to be had; this runs any of them and keeps what it says.
//!
//! Each collection is read by a run of its own, with the catalog that selects it alone and the state that its last run
//! ended with. So one that fails costs no other its progress, and a state belongs to one cursor although the protocol
//! knows it as one value of the whole tap. `docs/connectors/singer.md` says what a tap must do, and what is kept.
//!
//! `catalog` is what the tap can read, `message` what it says, `reading` what that means; the rest is in `process`.

mod catalog;
mod config;
mod message;
mod reading;
mod snapshot;

use async_trait::async_trait;
pub use config::{SingerConfig, SingerSelection};
use saas_backup_core::{
    Account, At, Capabilities, Connector, Error, ErrorKind, Json, Result, Sink, SinkOptions, Snapshot, SnapshotOptions,
};

use crate::process::{ProgramSnapshot, capabilities};
use snapshot::Tap;

/// What a tap reads.
///
/// ```no_run
/// use saas_backup_connectors::singer::{Singer, SingerConfig};
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, transfer};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let config = SingerConfig::new(["tap-github"]).with_setting("access_token", "secret");
/// let copy = MemoryConnector::new(MemoryStore::new());
/// let done = transfer(&Singer::new(config), &copy, TransferOptions::backup()).await?;
/// println!("{} records", done.report.totals().written);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Singer {
    config: SingerConfig,
}

impl Singer {
    /// A connector of a tap; nothing is started yet.
    pub fn new(config: SingerConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Connector for Singer {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    /// Asks the tap what it can read, which most do with their credentials.
    async fn check(&self) -> Result<Account> {
        let tap = Tap::open(&self.config).await?;
        let mut account = Account::new(tap.name(), tap.name());
        account.facts.insert("collections".to_owned(), Json::from_value(&tap.len())?);
        Ok(account)
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if options.at != At::Now {
            return Err(Error::new(ErrorKind::Unsupported, "a tap has no past to open: open the copy instead"));
        }
        let tap = Tap::open(&self.config).await?;
        Ok(Box::new(ProgramSnapshot::new(tap, self.config.at_once)))
    }

    async fn sink(&self, _: SinkOptions) -> Result<Box<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "a tap reads, and writes nothing"))
    }
}
