//! WordPress sites, through the REST API that every site has.
//!
//! Reads posts, pages, media with their files, comments, terms, users, menus, blocks, templates, settings, custom
//! types and revisions, drafts and trash included, as far as the user may see them. `docs/connectors/wordpress.md`
//! says what is captured and what is not, the rights that are needed, the cost, and what a restore loses.
//!
//! The folder is the model for connectors: `config` (settings), `client` (requests), `error` (what a refusal means),
//! `model` (what the API sends), `snapshot` (reading), `sink` (writing); a larger part has a file of its own, such as
//! `site` (what there is), `walk` (paging) and `content` (ids and addresses in texts).

mod catalog;
mod client;
mod config;
mod content;
mod draft;
mod error;
mod lookup;
mod model;
mod reader;
mod record;
mod records;
mod revisions;
mod sink;
mod site;
mod snapshot;
mod target;
mod translate;
mod upload;
mod walk;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
pub use config::WordPressConfig;
use saas_backup_core::{
    Account, At, Capabilities, Connector, Error, ErrorKind, Json, Result, Sink, SinkOptions, Snapshot, SnapshotOptions,
    WriteMode,
};

use client::Api;
use sink::SiteSink;
use site::Site;
use snapshot::SiteSnapshot;
use target::Target;

/// A WordPress site.
///
/// ```no_run
/// use saas_backup_connectors::wordpress::{WordPress, WordPressConfig};
/// use saas_backup_core::{TransferOptions, memory::{MemoryConnector, MemoryStore}, transfer};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let config = WordPressConfig::new("https://blog.example.com", "backup", "abcd efgh ijkl mnop");
/// let site = WordPress::new(&config)?;
/// let copy = MemoryConnector::new(MemoryStore::new());
/// let done = transfer(&site, &copy, TransferOptions::backup()).await?;
/// println!("{} records", done.report.totals().written);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WordPress {
    api: Api,
    lag: TimeDelta,
    revisions: bool,
}

impl WordPress {
    /// A connector for a site; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if a setting is not valid; [`ErrorKind::PermissionDenied`] if the address is
    /// private and that is not allowed.
    pub fn new(config: &WordPressConfig) -> Result<Self> {
        let lag = TimeDelta::minutes(i64::from(config.lag_minutes));
        Ok(Self { api: Api::new(config)?, lag, revisions: config.revisions })
    }
}

#[async_trait]
impl Connector for WordPress {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.read = true;
        capabilities.incremental = true;
        capabilities.sweeps = true;
        capabilities.reads_records = true;
        capabilities.blobs = true;
        capabilities.blob_ranges = true;
        capabilities.redelivers = true;
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
        let site = Site::explore(self.api.clone(), self.revisions).await?;
        let mut account = Account::new(site.home.to_string(), site.name.clone());
        account.scopes.clone_from(&site.roles);
        account.facts.insert("user".to_owned(), Json::from_value(&site.user)?);
        Ok(account)
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if options.at != At::Now {
            return Err(Error::new(ErrorKind::Unsupported, "a site has no past to open: open the copy instead"));
        }
        let api = self.api.with_budget(options.budget);
        let site = Arc::new(Site::explore(api, self.revisions).await?);
        Ok(Box::new(SiteSnapshot { site, lag: self.lag }))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        if options.mode == WriteMode::Mirror {
            return Err(Error::new(ErrorKind::Unsupported, "a site keeps no history: mirror into a repository"));
        }
        let site = Site::explore(self.api.clone(), true).await?;
        let target = Target::new(site, options.mode, options.dry_run, options.ids);
        Ok(Box::new(SiteSink { target: Arc::new(target) }))
    }
}
