//! PostgreSQL databases, on your own servers and on Amazon RDS, Aurora, Cloud SQL and their like.
//!
//! Reads every table from one consistent view, and then only what changed, from the server's own log; with what it takes
//! to make the tables again, and restores into an empty database. `docs/connectors/postgres.md` says what is captured and
//! what is not, the rights that are needed, and what the server keeps for us.
//!
//! `view` is what full reads share, `rows` reads tables, `log` follows the server (`slot`, `publication`, `pgoutput`, `position`),
//! `structure` is what tables there are, `definitions` the statements that make them, `value` and `id` how values and keys
//! become JSON and ids.

mod catalog;
mod client;
mod config;
mod definitions;
mod error;
mod id;
mod log;
mod objects;
mod pgoutput;
mod position;
mod publication;
mod rows;
mod sequences;
mod sink;
mod slot;
mod snapshot;
mod structure;
mod target;
mod value;
mod view;

use std::sync::Arc;

use async_trait::async_trait;
pub use config::PostgresConfig;
use saas_backup_core::{
    Account, At, Capabilities, Connector, Error, ErrorKind, Json, Result, Sink, SinkOptions, Snapshot, SnapshotOptions,
    WriteMode,
};

use client::Server;
use error::refused;
use publication::Publication;
use sink::DatabaseSink;
use slot::Slot;
use snapshot::{DatabaseSnapshot, Shared};
use structure::Structure;
use target::Target;

/// One database of a PostgreSQL server, version 13 or newer.
///
/// ```no_run
/// use saas_backup_connectors::postgres::{Postgres, PostgresConfig};
/// use saas_backup_core::{TransferOptions, memory::{MemoryConnector, MemoryStore}, transfer};
///
/// # async fn example() -> saas_backup_core::Result<()> {
/// let config = PostgresConfig::new("db.example.com", "shop", "backup").with_password("secret");
/// let database = Postgres::new(config)?;
/// let copy = MemoryConnector::new(MemoryStore::new());
/// let done = transfer(&database, &copy, TransferOptions::backup()).await?;
/// println!("{} rows", done.report.totals().written);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Postgres {
    database: Arc<Database>,
}

/// How to reach the database, and what it keeps for us.
#[derive(Debug)]
struct Database {
    server: Server,
    settings: PostgresConfig,
    slot: Slot,
    publication: Publication,
}

impl Postgres {
    /// A connector for a database; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the certificates to trust cannot be read.
    pub fn new(settings: PostgresConfig) -> Result<Self> {
        let (server, slot, publication) = (Server::new(&settings)?, Slot::of(&settings), Publication::of(&settings));
        Ok(Self { database: Arc::new(Database { server, settings, slot, publication }) })
    }
}

#[async_trait]
impl Connector for Postgres {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.read = true;
        capabilities.incremental = true;
        // Without the log every row comes each time, and what does not come is gone.
        capabilities.logs = self.database.settings.increments;
        capabilities.reports_deletions = self.database.settings.increments;
        capabilities.redelivers = !self.database.settings.increments;
        capabilities.reads_records = true;
        capabilities.blobs = true;
        capabilities.blob_ranges = true;
        capabilities.create = true;
        capabilities.merge = true;
        capabilities.overwrite = true;
        capabilities.atomic = true;
        capabilities.ordered = true;
        capabilities.defers = true;
        capabilities.dry_run = true;
        capabilities
    }

    async fn check(&self) -> Result<Account> {
        let settings = &self.database.settings;
        let session = self.database.server.connect().await?;
        let row = session
            .query_one(
                "SELECT current_database()::text, current_setting('server_version'), pg_database_size(current_database()),
                    coalesce(inet_server_addr()::text, 'local')",
                &[],
            )
            .await
            .map_err(refused("the database cannot be asked what it is"))?;
        let (name, version, bytes): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let mut account = Account::new(format!("{}:{}/{name}", settings.host, settings.port), name);
        account.facts.insert("version".to_owned(), Json::from_value(&version)?);
        account.facts.insert("bytes".to_owned(), Json::from_value(&bytes)?);
        if settings.increments {
            if let Some(obstacle) = Slot::obstacle(&session, &settings.username).await? {
                return Err(obstacle);
            }
            if let Some(health) = self.database.slot.health(&session).await? {
                account.facts.insert("slot_status".to_owned(), Json::from_value(&health.status)?);
                account.facts.insert("slot_keeps_bytes".to_owned(), Json::from_value(&health.kept)?);
            }
        }
        self.database.server.hand_back(session);
        Ok(account)
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if options.at != At::Now {
            return Err(Error::new(ErrorKind::Unsupported, "a database has no past to open: open the copy instead"));
        }
        let settings = &self.database.settings;
        let mut session = self.database.server.connect().await?;
        if settings.increments
            && let Some(obstacle) = Slot::obstacle(&session, &settings.username).await?
        {
            return Err(obstacle);
        }
        let view = view::glance(&mut session).await?;
        let structure = Structure::read(&view, &settings.schemas, &settings.username).await?;
        let untold = definitions::untold(&view, &settings.schemas, &settings.publication).await?;
        view.commit().await.map_err(refused("a transaction cannot be ended"))?;
        self.database.server.hand_back(session);
        Ok(Box::new(DatabaseSnapshot { shared: Arc::new(Shared::new(Arc::clone(&self.database), structure, untold)) }))
    }

    async fn sink(&self, options: SinkOptions) -> Result<Box<dyn Sink>> {
        if options.mode == WriteMode::Mirror {
            return Err(Error::new(ErrorKind::Unsupported, "a database keeps no history: mirror into a repository"));
        }
        let session = self.database.server.connect().await?;
        let target = Target::open(session, options.mode, self.database.settings.clone()).await?;
        Ok(Box::new(DatabaseSink::new(target, options.dry_run)))
    }
}
