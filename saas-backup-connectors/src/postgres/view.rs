//! One consistent view of the database that many sessions share.

use std::collections::BTreeSet;

use saas_backup_core::Result;
use tokio_postgres::Transaction;

use super::Database;
use super::client::{Connection, literal};
use super::error::refused;
use super::structure::Structure;

/// A transaction that keeps the view open, and what the view's tables are.
#[derive(Debug)]
pub(super) struct View {
    id: String,
    pub(super) structure: Structure,
    /// The tables that the log tells of.
    pub(super) followed: BTreeSet<u32>,
    /// Transactions that this view does not see although they had begun.
    pub(super) running: BTreeSet<u64>,
    _session: Connection,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl View {
    /// Opens a view of now.
    pub(super) async fn open(database: &Database) -> Result<Self> {
        let failed = refused("a consistent view cannot be opened");
        let session = database.server.connect().await?;
        session.batch_execute(BEGIN).await.map_err(&failed)?;
        let row = session.query_one("SELECT pg_export_snapshot()", &[]).await.map_err(&failed)?;
        let structure = Structure::read(&*session, &database.settings.schemas, &database.settings.username).await?;
        let running = running(&session).await?;
        let followed = database.publication.followed(&*session, &structure).await?;
        Ok(Self { id: row.get(0), structure, followed, running, _session: session })
    }

    /// A session that sees the same.
    pub(super) async fn session(&self, database: &Database) -> Result<Connection> {
        let session = database.server.connect().await?;
        let statement = format!("{BEGIN}; SET TRANSACTION SNAPSHOT {}", literal(&self.id));
        session.batch_execute(&statement).await.map_err(refused("the view is no longer open"))?;
        Ok(session)
    }
}

/// The transactions under way, as this session's view sees them.
pub(super) async fn running(session: &Connection) -> Result<BTreeSet<u64>> {
    let rows = session
        .query("SELECT pg_snapshot_xip(pg_current_snapshot())::text", &[])
        .await
        .map_err(refused("the transactions under way cannot be listed"))?;
    Ok(rows.iter().filter_map(|row| row.get::<_, &str>(0).parse().ok()).collect())
}

/// A short transaction that sees one state.
pub(super) async fn glance(session: &mut Connection) -> Result<Transaction<'_>> {
    session
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(refused("a transaction cannot be begun"))
}
