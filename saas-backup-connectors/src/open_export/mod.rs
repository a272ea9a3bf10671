//! Any service that speaks the Open Export Protocol, profile `minimal` or above.
//!
//! What it captures is what the service declares in its schema: records with their relationships, permissions, states
//! (the trash is one) and attachments. What the service leaves out stands in its discovery document under `excluded`.
//!
//! - **Rights**: a bearer token that may read the export (`export.read`, `export.blobs`). One account is one connector. A
//!   token that reads some collections copies those; the others stand in the report as not visible.
//! - **Increments**: one log over all collections, whose cursors are the service's. A dead cursor and a new generation
//!   cause a full read.
//! - **Deletions** are told by the log, with their reasons.
//! - **Completeness**: the coverage that the service states; records that it cannot export are gaps.
//! - **Pacing**: as many requests at once as the service announces, a rate from the settings, and a pause of all when the service
//!   asks for one.
//! - **Attachments** are read from where a cut connection ended, if the service serves ranges, and checked by their
//!   digest. To hosts that the service sends readers to, the token is not sent.
//! - **Erasures**: what the service asks copies to erase, and receipts for it, where it offers the profile `erasure` and the
//!   token has the scope `export.erasures`.
//! - **Restore**: through an import, where the service offers the profile `restore` and the token has the scope
//!   `export.import`. The service gives new ids, maps references, and says of each record what did not arrive; nobody is
//!   notified. What an interrupted restore wrote is found again by the id map; what is never committed, the service
//!   removes.
//!
//! ```no_run
//! use saas_backup_connectors::open_export::{OpenExportConfig, OpenExportConnector};
//! use saas_backup_core::memory::{MemoryConnector, MemoryStore};
//! use saas_backup_core::{TransferOptions, transfer};
//!
//! # async fn example() -> saas_backup_core::Result<()> {
//! let source = OpenExportConnector::new(OpenExportConfig::new("https://notes.example.com", "tok_1234"))?;
//! let target = MemoryConnector::new(MemoryStore::new());
//! transfer(&source, &target, TransferOptions::backup()).await?;
//! # Ok(())
//! # }
//! ```

mod catalog;
mod client;
mod config;
mod erasures;
mod error;
mod model;
mod page;
mod position;
mod reader;
mod sink;
mod snapshot;

use std::sync::Arc;

use async_trait::async_trait;
use saas_backup_core::{
    Account, At, Capabilities, Connector, Erasures, Error, ErrorKind, Result, Sink, SinkOptions, Snapshot,
    SnapshotOptions,
};
use tokio::sync::OnceCell;
use url::Url;

use self::client::Api;
pub use self::config::OpenExportConfig;
use self::erasures::OpenExportErasures;
use self::sink::ImportSink;
use self::snapshot::OpenExportSnapshot;

/// An account of a service that speaks the Open Export Protocol.
#[derive(Debug)]
pub struct OpenExportConnector {
    /// Found with the first call and kept: its pauses are those of the account.
    api: Arc<LazyApi>,
}

#[derive(Debug)]
struct LazyApi {
    config: OpenExportConfig,
    found: OnceCell<Api>,
}

impl LazyApi {
    async fn get(&self) -> Result<&Api> {
        self.found.get_or_try_init(|| Api::connect(&self.config)).await
    }
}

impl OpenExportConnector {
    /// A connector; nothing is asked of the service yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the address is none.
    pub fn new(config: OpenExportConfig) -> Result<Self> {
        Url::parse(&config.url).map_err(|_| Error::new(ErrorKind::Configuration, "the url is none"))?;
        Ok(Self { api: Arc::new(LazyApi { config, found: OnceCell::new() }) })
    }
}

#[async_trait]
impl Connector for OpenExportConnector {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.read = true;
        capabilities.incremental = true;
        capabilities.logs = true;
        capabilities.reports_deletions = true;
        capabilities.reads_records = true;
        capabilities.blobs = true;
        capabilities.blob_ranges = true;
        capabilities.create = true;
        capabilities.merge = true;
        capabilities.overwrite = true;
        capabilities.assigns_ids = true;
        capabilities.ordered = true;
        capabilities.defers = true;
        capabilities.dry_run = true;
        capabilities
    }

    async fn check(&self) -> Result<Account> {
        self.api.get().await?.account().await
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if options.at != At::Now {
            return Err(Error::new(ErrorKind::Unsupported, "a service shows the present alone"));
        }
        let api = self.api.get().await?.with_budget(options.budget);
        let catalog = api.catalog().await?;
        let coverage = api.coverage(&catalog).await?;
        Ok(Box::new(OpenExportSnapshot::new(api, catalog, coverage)))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        let api = self.api.get().await?.clone();
        Ok(Box::new(ImportSink::new(api, options, self.api.config.origin_account.clone())?))
    }

    fn erasures(&self) -> Option<Arc<dyn Erasures>> {
        Some(Arc::new(OpenExportErasures::new(Arc::clone(&self.api))))
    }
}
