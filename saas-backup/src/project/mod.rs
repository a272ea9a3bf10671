//! The calls behind the command: whatever it can do is one of them.

mod alerts;
mod backup;
mod browse;
mod check;
mod chores;
mod configured;
mod diff;
mod drill;
mod erase;
mod export;
mod follow;
mod forget;
mod init;
mod inventory;
mod keys;
mod maintain;
mod mend;
mod metrics;
mod repair;
mod replicate;
mod requests;
mod restore;
mod serve;
mod stats;
mod status;
mod store;
mod verify;

use std::path::Path;
use std::sync::Arc;

use saas_backup_core::{Clock, Connector, Error, ErrorKind, Result, TransferOptions, WriteMode};
use tokio::sync::OnceCell;

pub use self::alerts::AlertTried;
pub use self::backup::{CollectionPlan, Plan};
pub use self::browse::{CollectionSummary, Listing, RecordSummary};
pub use self::check::Checked;
pub use self::configured::{Configured, ConfiguredJob};
pub use self::diff::{Change, ChangeKind};
pub use self::drill::{DrillPoint, DrillRequest, Drilled};
pub use self::erase::{Erased, ErasureStep};
pub use self::export::{ExportRequest, Exported};
pub use self::forget::{ForgetOptions, Forgot};
pub use self::init::{Initialised, NewKey, keygen, keygen_to, write_starter_config};
pub use self::inventory::{InventoryCopies, InventoryItem};
pub use self::keys::{Escrowed, KeyCheck, KeyHolders, KeyOptions, KeysChanged, KeysChecked};
pub use self::maintain::{MaintainOptions, Maintained};
pub use self::mend::Mended;
pub use self::repair::Repaired;
pub use self::replicate::{Failure, Replicated, ReplicatedSource};
pub use self::requests::{ErasedRequests, RequestOptions, RequestOutcome};
pub use self::restore::Restored;
pub use self::serve::{Reloaded, ServeOptions, Serving, ServingHandle};
pub use self::stats::Stats;
pub use self::status::{CollectionStatus, DrillStatus, SourceStatus};
pub use self::store::Version;
pub use self::verify::{Problem, Verified, VerifyRead};
pub use saas_backup_repository::Point;

use self::store::{Access, Store};
use crate::config::{Config, SourceConfig};
use crate::registry::{Context, Registry};
use crate::state::StateFolder;

/// A configuration at work: its repository, its sources, and what is remembered of them on this machine.
///
/// Opening one does no I/O; the repository is opened when it is first needed. Keys are only asked for where they are
/// needed: backing up needs the agent key and the recipients; reading records, forgetting points, maintaining, replicating,
/// repairing and changing who reads and writes need the identity.
#[derive(Debug)]
pub struct Project {
    config: Config,
    registry: Registry,
    context: Context,
    state: StateFolder,
    writer: OnceCell<Arc<Store>>,
    reader: OnceCell<Arc<Store>>,
}

impl Project {
    /// Opens a configuration with the connectors and formats of this build.
    ///
    /// # Errors
    ///
    /// [`Configuration`](saas_backup_core::ErrorKind::Configuration) if there is no folder to keep state in, or the
    /// repository's address cannot be found.
    pub fn open(config: Config) -> Result<Self> {
        Self::with_registry(config, Registry::default())
    }

    /// Opens a configuration with these connectors and formats.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn with_registry(config: Config, registry: Registry) -> Result<Self> {
        let address = store::address(&config)?;
        let state = StateFolder::of(config.state.as_deref(), &address)?;
        let context = Context::new(&config.base, state.path());
        Ok(Self { config, registry, context, state, writer: OnceCell::new(), reader: OnceCell::new() })
    }

    /// Sets the clock; the machine's is the default.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.context.clock = clock;
        self
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The connectors and formats.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where this machine remembers what it did with the repository.
    pub fn state_folder(&self) -> &Path {
        self.state.path()
    }

    /// The connector of a configured source: the account itself, not its copies.
    ///
    /// # Errors
    ///
    /// [`Configuration`](saas_backup_core::ErrorKind::Configuration) if there is no such source, or its settings do
    /// not do.
    pub async fn account(&self, source: &str) -> Result<Arc<dyn Connector>> {
        let SourceConfig { connector, settings, .. } = self.config.source(source)?.clone();
        let (entry, context) = (self.registry.find(&connector)?.clone(), self.context.clone());
        // Settings may be read from files and commands.
        blocking(move || entry.open(&settings, &context)).await
    }

    /// The copies of a source, as a connector: its snapshots are the points in time.
    ///
    /// # Errors
    ///
    /// If the repository cannot be opened, or the identity is missing.
    pub async fn copies(&self, source: &str) -> Result<Arc<dyn Connector>> {
        self.reader().await?.source(source)
    }

    /// The names of all sources: the configured ones.
    pub fn source_names(&self) -> impl Iterator<Item = &str> {
        self.config.sources.iter().map(|source| source.name.as_str())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.context.clock)
    }

    /// The repository, opened with the keys that are needed.
    async fn store(&self, access: Access) -> Result<&Arc<Store>> {
        let cell = match access {
            Access::Write => &self.writer,
            Access::Read => &self.reader,
        };
        cell.get_or_try_init(|| async {
            let store = Store::open(&self.config, access, self.clock()).await?;
            self.see_statement(&store);
            Ok(Arc::new(store))
        })
        .await
    }

    /// Remembers the owner's newest statement of who reads and writes, and says if one was there that is newer.
    fn see_statement(&self, store: &Store) {
        let number = store.repository().statement();
        match self.state.see_statement(number) {
            Ok(None) => {}
            Ok(Some(seen)) => tracing::warn!(
                number,
                seen,
                "the owner's newest statement of who reads and writes is gone from the storage: look at `saas-backup key list`, and state it again"
            ),
            Err(error) => tracing::warn!(%error, "the owner's newest statement could not be noted on this machine"),
        }
    }

    async fn writer(&self) -> Result<&Arc<Store>> {
        self.store(Access::Write).await
    }

    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the source is neither configured nor in the repository.
    async fn check_known(&self, store: &Store, source: &str) -> Result<()> {
        if store.points(source).await?.is_empty() {
            self.config().source(source)?;
        }
        Ok(())
    }

    async fn reader(&self) -> Result<&Arc<Store>> {
        self.store(Access::Read).await
    }
}

/// Refuses a transfer that is none of this kind.
fn check_mode(options: &TransferOptions, modes: &[WriteMode], message: &'static str) -> Result<()> {
    if modes.contains(&options.mode) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, message).with_context("mode", format!("{:?}", options.mode)))
}

/// Runs what blocks away from the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Unexpected, "a task was cut short").with_source(error))?
}
