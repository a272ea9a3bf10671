//! A manifest as a connector: collections with their feeds, records with their envelopes.

mod built_in;
mod catalog;
mod config;
mod envelope;
mod open;
mod overlay;
mod snapshot;
mod tokens;

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use saas_backup_core::{
    Account, At, Budget, Capabilities, Connector, Error, ErrorKind, Result, Sink, SinkOptions, Snapshot,
    SnapshotOptions,
};

pub use built_in::{BUILT_IN, BuiltIn};
pub use config::{BuiltInConfig, DeclarativeConfig, Options};

use crate::plan::{Origin, Plan, Planned};
use crate::shared::Shared;
use crate::stream::Stream;
use crate::walk::Walk;
use open::Opened;
use overlay::DeclarativeOverlay;
use snapshot::ManifestSnapshot;

/// An account of the provider that a manifest describes.
///
/// ```no_run
/// use saas_backup_core::memory::{MemoryConnector, MemoryStore};
/// use saas_backup_core::{TransferOptions, transfer};
/// use saas_backup_declarative::{Declarative, DeclarativeConfig};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let config = DeclarativeConfig::new("source-missive.yaml").with_setting("api_key", "secret");
/// let account = Declarative::new(config)?;
/// let copy = MemoryConnector::new(MemoryStore::new());
/// let done = transfer(&account, &copy, TransferOptions::backup()).await?;
/// println!("{} records", done.report.totals().written);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Declarative {
    opened: Opened,
}

impl Declarative {
    /// A connector of a manifest in a file. Nothing is sent yet; blocks while the file is read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the manifest, the overlay or a setting does not do.
    pub fn new(config: DeclarativeConfig) -> Result<Self> {
        Ok(Self { opened: Opened::new(config)? })
    }

    /// A connector that comes with this crate, by its name in [`BUILT_IN`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] with the names that there are; otherwise as [`new`](Self::new).
    pub fn built_in(name: &str, config: BuiltInConfig) -> Result<Self> {
        Ok(Self { opened: Opened::built_in(name, config)? })
    }

    async fn plan(&self, budget: Budget) -> Result<(Arc<Shared>, Plan)> {
        let shared = self.opened.shared(budget);
        let plan = Plan::build(&self.opened.manifest, &shared).await?;
        Ok((shared, plan))
    }
}

#[async_trait]
impl Connector for Declarative {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.read = true;
        capabilities.incremental = true;
        capabilities.blobs = true;
        capabilities.blob_ranges = true;
        capabilities.redelivers = true;
        capabilities
    }

    /// Reads the first page of a collection that the manifest names for this; of as many as it wants where it does not know
    /// their names.
    async fn check(&self) -> Result<Account> {
        let (shared, plan) = self.plan(Budget::default()).await?;
        let check = self.opened.manifest.check();
        // Of those that the manifest names first comes what tells the most.
        let (made, others): (Vec<&Planned>, Vec<&Planned>) =
            plan.streams.iter().partition(|planned| check.made.is_some() && planned.origin == Origin::Template);
        let streams = check.names.iter().filter_map(|name| plan.get(name)).chain(made).chain(others);
        let streams: Vec<&Arc<Stream>> =
            streams.filter_map(|one| one.stream.as_ref().ok()).take(check.made.unwrap_or(1)).collect();
        if plan.streams.iter().all(|planned| planned.stream.is_err()) {
            return Err(plan
                .first_error()
                .unwrap_or_else(|| Error::new(ErrorKind::NotFound, "there are no collections")));
        }
        for stream in streams {
            let mut partitions = Arc::clone(stream).partitions(Arc::clone(&shared));
            if let Some(partition) = partitions.try_next().await? {
                let mut walk = Walk::whole(Arc::clone(stream), Arc::new(partition), Arc::clone(&shared));
                if let Some(gap) = walk.next().await?.and_then(|page| page.gaps.into_iter().next()) {
                    return Err(gap);
                }
            }
        }
        Ok(Account::new(self.opened.name.clone(), self.opened.name.clone()))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if options.at != At::Now {
            return Err(Error::new(ErrorKind::Unsupported, "the provider has no past to open: open the copy instead"));
        }
        let (shared, plan) = self.plan(options.budget).await?;
        Ok(Box::new(ManifestSnapshot::open(&self.opened, shared, plan).await?))
    }

    async fn sink(&self, _: SinkOptions) -> Result<Box<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "a manifest says how to read, and nothing about writing"))
    }
}
