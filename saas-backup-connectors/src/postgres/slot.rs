//! The replication slot: what the server keeps of its log for us.

use saas_backup_core::{Error, ErrorKind, Result};
use tokio_postgres::types::PgLsn;

use super::client::{Connection, literal, quoted};
use super::config::PostgresConfig;
use super::error::refused;

/// What the server keeps its log for.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    name: String,
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
        Self { name: settings.slot.clone() }
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
        Ok(Fork { name: row.get(0) })
    }
}

/// A slot of one session that reads on without giving back what it read.
#[derive(Clone, Debug)]
pub(super) struct Fork {
    name: String,
}

impl Fork {
    /// The statement that gives what was committed to the tables of a publication up to here, so many changes or a
    /// transaction more; `takes`: the next one goes on where this one ended.
    pub(super) fn changes(&self, publication: &str, to: PgLsn, most: usize, takes: bool) -> String {
        let verb = if takes { "get" } else { "peek" };
        format!(
            "COPY (SELECT data FROM pg_logical_slot_{verb}_binary_changes({}, '{to}', {most}, 'proto_version', '1', \
             'publication_names', {})) TO STDOUT (FORMAT binary)",
            literal(&self.name),
            literal(&quoted(publication)),
        )
    }
}
