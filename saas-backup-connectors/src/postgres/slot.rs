//! The replication slot and the publication: what the server keeps for us, and of what.

use std::collections::BTreeSet;

use saas_backup_core::{Error, ErrorKind, Result};
use tokio_postgres::types::PgLsn;

use super::client::{Connection, literal, quoted};
use super::config::PostgresConfig;
use super::error::refused;
use super::structure::Structure;

/// What the server keeps its log for.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    name: String,
    publication: String,
}

/// How the slot is.
#[derive(Debug)]
pub(super) struct Health {
    /// Everything before here was given back to the server.
    pub(super) confirmed: PgLsn,
    /// Whether the server still has what comes after.
    pub(super) usable: bool,
    pub(super) status: String,
    /// The end of the server's log.
    pub(super) now: PgLsn,
    /// Bytes of log that the server keeps for the slot.
    pub(super) kept: u64,
}

impl Slot {
    pub(super) fn of(settings: &PostgresConfig) -> Self {
        Self { name: settings.slot.clone(), publication: settings.publication.clone() }
    }

    /// What is missing to follow the log at all, with the statement that changes it.
    pub(super) async fn obstacle(session: &Connection, user: &str) -> Result<Option<Error>> {
        let row = session
            .query_one(
                "SELECT current_setting('wal_level'), r.rolsuper OR r.rolreplication
                    OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname IN ('rds_replication', 'cloudsqlsuperuser')
                        AND pg_has_role(m.oid, 'USAGE')), pg_is_in_recovery()
                 FROM pg_roles r WHERE r.rolname = current_user",
                &[],
            )
            .await
            .map_err(refused("the server's settings cannot be read"))?;
        let (level, may_replicate, is_standby): (&str, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let to_go_on = "or set `increments = false`, and every run reads everything";
        let told = |kind, message: &'static str, statement: String| {
            Some(Error::new(kind, message).with_context("next", format!("{statement}, {to_go_on}")))
        };
        if is_standby {
            let statement = "name the primary server".to_owned();
            return Ok(told(ErrorKind::Unsupported, "a standby server gives no changes", statement));
        }
        if level != "logical" {
            let statement = "ALTER SYSTEM SET wal_level = logical, and restart the server (Amazon RDS: the parameter \
                             rds.logical_replication; Cloud SQL: the flag cloudsql.logical_decoding)";
            return Ok(told(ErrorKind::Configuration, "the server's log does not tell changes", statement.to_owned()));
        }
        if !may_replicate {
            let user = quoted(user);
            let statement = format!("ALTER ROLE {user} REPLICATION (Amazon RDS: GRANT rds_replication TO {user})");
            return Ok(told(ErrorKind::PermissionDenied, "the role may not replicate", statement));
        }
        Ok(None)
    }

    /// How the slot is; `None` if there is none.
    pub(super) async fn health(&self, session: &Connection) -> Result<Option<Health>> {
        let row = session
            .query_opt(
                "SELECT confirmed_flush_lsn, coalesce(wal_status, 'lost'), pg_current_wal_insert_lsn(),
                    greatest(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn), 0)::bigint,
                    coalesce(plugin = 'pgoutput' AND database = current_database() AND NOT temporary, false)
                 FROM pg_replication_slots WHERE slot_name = $1",
                &[&self.name],
            )
            .await
            .map_err(refused("the replication slot cannot be looked at"))?;
        let Some(row) = row else { return Ok(None) };
        if !row.get::<_, bool>(4) {
            return Err(Error::new(ErrorKind::Configuration, "the replication slot is somebody else's")
                .with_context("slot", &self.name)
                .with_context("next", "choose another name with `slot`"));
        }
        let status: String = row.get(1);
        let confirmed: Option<PgLsn> = row.get(0);
        Ok(Some(Health {
            confirmed: confirmed.unwrap_or_else(|| PgLsn::from(0)),
            usable: status != "lost" && confirmed.is_some(),
            now: row.get(2),
            kept: row.get::<_, Option<i64>>(3).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            status,
        }))
    }

    /// Makes sure that the publication lists exactly the tables that can be followed. Returns those that it lists;
    /// where it is not ours to change, these may be fewer.
    pub(super) async fn publish(&self, session: &Connection, structure: &Structure) -> Result<BTreeSet<u32>> {
        let listed = self.published(session).await?;
        let wanted: BTreeSet<u32> =
            structure.tables.iter().filter(|table| table.loggable).map(|table| table.oid).collect();
        if listed.as_ref() == Some(&wanted) {
            return Ok(wanted);
        }
        let names: Vec<&str> = structure
            .tables
            .iter()
            .filter(|table| wanted.contains(&table.oid))
            .map(|table| table.sql.as_str())
            .collect();
        let publication = quoted(&self.publication);
        let tables = names.join(", ");
        let statement = match (&listed, names.is_empty()) {
            (None, true) => format!("CREATE PUBLICATION {publication} WITH (publish_via_partition_root = true)"),
            (None, false) => {
                format!("CREATE PUBLICATION {publication} FOR TABLE {tables} WITH (publish_via_partition_root = true)")
            }
            (Some(_), true) => format!(
                "DROP PUBLICATION {publication}; CREATE PUBLICATION {publication} WITH (publish_via_partition_root = true)"
            ),
            (Some(_), false) => format!("ALTER PUBLICATION {publication} SET TABLE {tables}"),
        };
        match (session.batch_execute(&statement).await, listed) {
            (Ok(()), _) => Ok(wanted),
            (Err(error), Some(listed)) if error.code().is_some_and(|code| code.code() == "42501") => {
                tracing::warn!(
                    tables = wanted.difference(&listed).count(),
                    "the publication does not list all tables, and is not ours to change: each run reads them in full"
                );
                Ok(listed.intersection(&wanted).copied().collect())
            }
            (Err(error), _) => {
                let error = refused("the tables to follow cannot be published")(error);
                Err(if error.kind() == ErrorKind::PermissionDenied {
                    let next = format!(
                        "as the tables' owner: {statement}; or set `increments = false`, and every run reads everything"
                    );
                    error.with_context("next", next)
                } else {
                    error
                })
            }
        }
    }

    /// The tables that the publication lists; `None` if there is none.
    pub(super) async fn published(&self, session: &Connection) -> Result<Option<BTreeSet<u32>>> {
        let failed = refused("the publication cannot be looked at");
        let row = session
            .query_opt("SELECT oid, pubviaroot FROM pg_publication WHERE pubname = $1", &[&self.publication])
            .await
            .map_err(&failed)?;
        let Some(row) = row else { return Ok(None) };
        if !row.get::<_, bool>(1) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the publication names partitions instead of their tables",
            )
            .with_context(
                "next",
                format!("ALTER PUBLICATION {} SET (publish_via_partition_root = true)", quoted(&self.publication)),
            ));
        }
        let oid: u32 = row.get(0);
        let rows = session
            .query("SELECT prrelid FROM pg_publication_rel WHERE prpubid = $1", &[&oid])
            .await
            .map_err(&failed)?;
        Ok(Some(rows.iter().map(|row| row.get(0)).collect()))
    }

    /// Makes the slot anew, or takes what is there on to now; what was kept for it until now is not needed.
    pub(super) async fn begin(&self, session: &Connection) -> Result<PgLsn> {
        let failed = refused("the replication slot cannot be made");
        match self.health(session).await? {
            Some(health) if health.usable => {
                let advanced = self.advance(session, health.now).await;
                // Another run of ours may hold it for a moment; then it keeps more than it needs to.
                return Ok(advanced.map_or(health.confirmed, |()| health.now).min(health.now));
            }
            Some(_) => {
                let statement = format!("SELECT pg_drop_replication_slot({})", literal(&self.name));
                session.batch_execute(&statement).await.map_err(&failed)?;
            }
            None => {}
        }
        let row = session
            .query_one("SELECT lsn FROM pg_create_logical_replication_slot($1, 'pgoutput')", &[&self.name])
            .await
            .map_err(&failed)?;
        Ok(row.get(0))
    }

    /// Lets the server forget its log up to here. Only for what is durable.
    pub(super) async fn advance(&self, session: &Connection, to: PgLsn) -> Result<()> {
        let statement = format!("SELECT pg_replication_slot_advance({}, '{to}')", literal(&self.name));
        session.batch_execute(&statement).await.map_err(refused("the replication slot cannot be moved on"))
    }

    /// Makes a second slot where this one stands, for this session and no longer than it.
    pub(super) async fn fork(&self, session: &Connection) -> Result<Fork> {
        let row = session
            .query_one(
                "SELECT slot_name::text FROM pg_copy_logical_replication_slot($1, 'saas_backup_' || pg_backend_pid(), true)",
                &[&self.name],
            )
            .await
            .map_err(refused("a second replication slot cannot be made"))
            .map_err(|error| error.with_context("next", "raise max_replication_slots by the number of runs at a time"))?;
        Ok(Fork { name: row.get(0), publication: self.publication.clone() })
    }
}

/// A slot of one session that reads on without giving back what it read.
#[derive(Clone, Debug)]
pub(super) struct Fork {
    name: String,
    publication: String,
}

impl Fork {
    /// The statement that gives what was committed up to here, so many changes or a transaction more; `takes`: the next one
    /// goes on where this one ended.
    pub(super) fn changes(&self, to: PgLsn, most: usize, takes: bool) -> String {
        let verb = if takes { "get" } else { "peek" };
        format!(
            "COPY (SELECT data FROM pg_logical_slot_{verb}_binary_changes({}, '{to}', {most}, 'proto_version', '1', \
             'publication_names', {})) TO STDOUT (FORMAT binary)",
            literal(&self.name),
            literal(&quoted(&self.publication)),
        )
    }
}
