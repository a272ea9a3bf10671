//! The publication: of which tables the server's log is told.

use std::collections::BTreeSet;
use std::time::Duration;

use saas_backup_core::{Error, ErrorKind, Result};
use tokio_postgres::GenericClient;

use super::client::{Connection, quoted};
use super::config::PostgresConfig;
use super::error::refused;
use super::structure::Structure;

/// How long to wait for transactions that wrote to a table before its changes are told, and how often to look.
const WRITERS_TRIES: u32 = 3000;
const WRITERS_WAIT: Duration = Duration::from_millis(100);

/// Transactions that write to tables, or to partitions of them: a lock is held to the transaction's end.
const WRITERS: &str = "
    SELECT DISTINCT l.virtualtransaction FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.relation IN (SELECT coalesce(p.relid, t.oid) FROM unnest($1::oid[]) t (oid)
            LEFT JOIN LATERAL pg_partition_tree(t.oid) p ON true)
        AND l.granted AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        AND l.pid <> pg_backend_pid()";

/// The list of tables that the server tells of.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) name: String,
}

/// What a publication lists.
#[derive(Debug)]
struct Listed {
    tables: BTreeSet<u32>,
    /// Somebody made it of all tables, or of schemas: there is nothing to add.
    is_open: bool,
}

impl Publication {
    pub(super) fn of(settings: &PostgresConfig) -> Self {
        Self { name: settings.publication.clone() }
    }

    /// The tables that the log tells of in a way that names their rows.
    pub(super) async fn followed(&self, session: &impl GenericClient, structure: &Structure) -> Result<BTreeSet<u32>> {
        let listed = self.listed(session).await?.map(|listed| listed.tables).unwrap_or_default();
        Ok(followable(structure).intersection(&listed).copied().collect())
    }

    /// Makes sure that it lists exactly the tables that can be followed. Where it is not ours to change, it may list fewer.
    pub(super) async fn publish(&self, session: &Connection, structure: &Structure) -> Result<()> {
        let (listed, wanted) = (self.listed(&**session).await?, followable(structure));
        if listed.as_ref().is_some_and(|listed| listed.is_open || listed.tables == wanted) {
            return Ok(());
        }
        let statement = self.statement(structure, &wanted, listed.is_some());
        if let Err(error) = session.batch_execute(&statement).await {
            let error = refused("the tables to follow cannot be published")(error);
            if error.kind() != ErrorKind::PermissionDenied {
                return Err(error);
            }
            if listed.is_some() {
                tracing::warn!(
                    "the publication does not list all tables, and is not ours to change: the others are read in full"
                );
                return Ok(());
            }
            let next = format!(
                "as the tables' owner: {statement}; or set `increments = false`, and every run reads everything"
            );
            return Err(error.with_context("next", next));
        }
        let before = listed.map(|listed| listed.tables).unwrap_or_default();
        let new: Vec<u32> = wanted.difference(&before).copied().collect();
        if self.writers_ended(session, &new).await? {
            return Ok(());
        }
        // Unlisted again, the new tables are waited for by the next run, too.
        let old = self.statement(structure, &before, true);
        session.batch_execute(&old).await.map_err(refused("the tables to follow cannot be published"))?;
        Err(Error::new(ErrorKind::Unavailable, "a transaction that wrote to a new table does not end"))
    }

    fn statement(&self, structure: &Structure, tables: &BTreeSet<u32>, exists: bool) -> String {
        let names = structure.tables.iter().filter(|table| tables.contains(&table.oid)).map(|table| table.sql.as_str());
        let (publication, tables) = (quoted(&self.name), names.collect::<Vec<_>>().join(", "));
        match (exists, tables.is_empty()) {
            (false, true) => format!("CREATE PUBLICATION {publication} WITH (publish_via_partition_root = true)"),
            (false, false) => {
                format!("CREATE PUBLICATION {publication} FOR TABLE {tables} WITH (publish_via_partition_root = true)")
            }
            (true, true) => format!(
                "DROP PUBLICATION {publication}; CREATE PUBLICATION {publication} WITH (publish_via_partition_root = true)"
            ),
            (true, false) => format!("ALTER PUBLICATION {publication} SET TABLE {tables}"),
        }
    }

    /// Waits for the transactions that wrote to tables before these were listed: the log tells nothing of that, and a view
    /// that is opened before they end does not show it.
    async fn writers_ended(&self, session: &Connection, tables: &[u32]) -> Result<bool> {
        let mut waits: Option<BTreeSet<String>> = None;
        for _ in 0..WRITERS_TRIES {
            let rows =
                session.query(WRITERS, &[&tables]).await.map_err(refused("the tables' writers cannot be listed"))?;
            let now: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
            let left = waits.map_or(now.clone(), |waits| waits.intersection(&now).cloned().collect());
            if left.is_empty() {
                return Ok(true);
            }
            waits = Some(left);
            tokio::time::sleep(WRITERS_WAIT).await;
        }
        Ok(false)
    }

    /// What it lists; `None` if there is none.
    async fn listed(&self, session: &impl GenericClient) -> Result<Option<Listed>> {
        let failed = refused("the publication cannot be looked at");
        let row = session
            .query_opt(
                "SELECT p.pubviaroot, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate, p.puballtables,
                    EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid
                        AND coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') IS NOT NULL),
                    ARRAY(SELECT c.oid FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname
                        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename WHERE t.pubname = p.pubname),
                    (SELECT count(*) FROM pg_publication_rel r WHERE r.prpubid = p.oid)
                 FROM pg_publication p WHERE p.pubname = $1",
                &[&self.name],
            )
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        let unusable = |message: &'static str, next: String| {
            Err(Error::new(ErrorKind::Configuration, message)
                .with_context("publication", &self.name)
                .with_context("next", next))
        };
        let name = quoted(&self.name);
        if !row.get::<_, bool>(0) {
            let next = format!("ALTER PUBLICATION {name} SET (publish_via_partition_root = true)");
            return unusable("the publication names partitions instead of their tables", next);
        }
        if !row.get::<_, bool>(1) {
            let next = format!("ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')");
            return unusable("the publication does not tell all changes", next);
        }
        if row.get(3) {
            let next = "choose another name with `publication`".to_owned();
            return unusable("the publication leaves rows or columns out", next);
        }
        let tables: BTreeSet<u32> = row.get::<_, Vec<u32>>(4).into_iter().collect();
        let is_open = row.get::<_, bool>(2) || i64::try_from(tables.len()).is_ok_and(|count| count > row.get(5));
        Ok(Some(Listed { tables, is_open }))
    }
}

fn followable(structure: &Structure) -> BTreeSet<u32> {
    let tables = structure.tables.iter().filter(|table| table.loggable && table.hidden.is_none());
    tables.map(|table| table.oid).collect()
}
