use std::time::Duration;

use saas_backup_core::{Deletion, Digest, Error, ErrorKind, Key, Result, Retry};
use tokio_postgres::{GenericClient, Row, Transaction};

use super::{Logged, OutboxTable, PRUNE_ROWS, Stand, VERSION, known_version, literal, prunable, quoted, reason_word};
use crate::{AccountId, Change, ChangePage, Head, Limits, Watermark};

/// A log of changes in the vendor's PostgreSQL database, version 13 or newer.
///
/// Triggers add an entry for each row that is written, in the transaction that writes it. PostgreSQL has no numbers in
/// the order of commits; entries are ordered by the writing transaction (`xid8`, which never wraps; that of a savepoint
/// is its outermost one's) and a sequence, and those of a transaction are served once it and all that began to write
/// before it have ended: below `pg_snapshot_xmin(pg_current_snapshot())`. A transaction that stays open, or prepared,
/// in any database of the server, delays the log and loses nothing; [`lag`](Self::lag) says for how long it has.
///
/// What triggers do not see, and the vendor says with [`touched`](Self::touched) or [`deleted`](Self::deleted): who may
/// see a record, why it left, and what is written with `session_replication_role = replica`.
///
/// The generation names the server (`system_identifier`) and its timeline: after a failover, a recovery to a point in
/// time or a dump that was loaded elsewhere, transactions are numbered anew and all cursors are dead. A volume that was
/// set back keeps both; there, the entry at a position is another one or none, and the position is
/// [`CursorExpired`](ErrorKind::CursorExpired).
///
/// It asks for nothing that an ordinary user may not do, beyond creating the schema `export_outbox`.
#[derive(Clone, Debug)]
pub struct PgOutbox {
    limits: Limits,
}

const INSTALL: &str = "
CREATE SCHEMA IF NOT EXISTS export_outbox;
CREATE TABLE IF NOT EXISTS export_outbox.state (
    one boolean PRIMARY KEY CHECK (one),
    version bigint NOT NULL,
    generation text NOT NULL,
    floor_xid xid8 NOT NULL,
    floor_number bigint NOT NULL,
    floor_mark text NOT NULL
);
CREATE TABLE IF NOT EXISTS export_outbox.log (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    number bigint GENERATED ALWAYS AS IDENTITY,
    mark text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    account text NOT NULL,
    collection text NOT NULL,
    id text NOT NULL,
    reason text,
    into_collection text,
    into_id text,
    PRIMARY KEY (xid, number)
);
CREATE INDEX IF NOT EXISTS log_account ON export_outbox.log (account, xid, number);
CREATE INDEX IF NOT EXISTS log_record ON export_outbox.log (account, collection, id, number);
";

/// The state of the log, and a page of it: one statement, so that nothing is pruned in between.
///
/// `later`: of two transactions that wrote one record, the one that began to write first may have written it last. Its
/// entry has the lower transaction and the higher number, and is served first; what comes after it is then no deletion.
const PAGE: &str = "
SELECT header.*, page.*
FROM (
    SELECT state.version, state.generation, state.floor_xid::text, state.floor_number, state.floor_mark, horizon.xmin,
           (SELECT system_identifier FROM pg_control_system())::text AS system,
           left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline,
           (SELECT mark FROM export_outbox.log WHERE xid = $2::text::xid8 AND number = $3) AS mark_there,
           head.xid::text AS head_xid, head.number AS head_number, head.mark AS head_mark
    FROM export_outbox.state
    CROSS JOIN (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin) horizon
    LEFT JOIN LATERAL (
        SELECT xid, number, mark FROM export_outbox.log
        WHERE xid < horizon.xmin ORDER BY xid DESC, number DESC LIMIT 1
    ) head ON true
) header
LEFT JOIN LATERAL (
    SELECT entry.xid::text AS xid, entry.number, entry.mark, entry.at, entry.collection, entry.id, entry.reason,
           entry.into_collection, entry.into_id, EXISTS (
               SELECT FROM export_outbox.log later
               WHERE later.account = entry.account AND later.collection = entry.collection AND later.id = entry.id
                 AND later.number > entry.number AND later.xid < entry.xid
           ) AS later
    FROM export_outbox.log entry
    WHERE entry.account = $1 AND (entry.xid, entry.number) > ($2::text::xid8, $3) AND entry.xid < header.xmin
    ORDER BY entry.xid, entry.number LIMIT $4
) page ON true";

/// Removes the oldest entries while they are old enough; only from the beginning, so that the floor says it all.
const PRUNE: &str = "
WITH oldest AS (
    SELECT xid, number, mark, at <= now() - $1 * interval '1 second' AS old FROM export_outbox.log
    WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, number LIMIT $2
), beginning AS (
    SELECT xid, number, mark, bool_and(old) OVER (ORDER BY xid, number) AS old FROM oldest
), last AS (
    SELECT xid, number, mark FROM beginning WHERE old ORDER BY xid DESC, number DESC LIMIT 1
), floor AS (
    UPDATE export_outbox.state SET floor_xid = last.xid, floor_number = last.number, floor_mark = last.mark FROM last
    WHERE (state.floor_xid, state.floor_number) < (last.xid, last.number) RETURNING 1
), gone AS (
    DELETE FROM export_outbox.log USING last WHERE (log.xid, log.number) <= (last.xid, last.number) RETURNING 1
)
SELECT count(*) FROM gone";

/// The age of the first entry that is committed and not served yet.
const LAG: &str = "
SELECT GREATEST(0, extract(epoch FROM clock_timestamp() - at))::float8 FROM export_outbox.log
WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, number LIMIT 1";

/// A transaction, and a number that grows with what is written to one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    xid: u64,
    number: i64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.xid, self.number)
    }
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let (xid, number) = text.split_once('.')?;
        Some(Self { xid: xid.parse().ok()?, number: number.parse().ok()? })
    }

    fn read(row: &Row, xid: &str, number: &str) -> Result<Option<Self>> {
        let (Some(xid), Some(number)) = (get::<Option<String>>(row, xid)?, get(row, number)?) else { return Ok(None) };
        let xid = xid.parse().map_err(|_| Error::new(ErrorKind::InvalidData, "the log has a number that is none"))?;
        Ok(Some(Self { xid, number }))
    }
}

/// Where the log begins and ends.
struct State {
    generation: String,
    floor: Position,
    floor_mark: String,
    mark_there: Option<String>,
    end: Option<(Position, String)>,
}

impl State {
    fn read(row: &Row) -> Result<Self> {
        known_version(get(row, "version")?)?;
        let (stored, system): (String, String) = (get(row, "generation")?, get(row, "system")?);
        let timeline: String = get(row, "timeline")?;
        let end = Position::read(row, "head_xid", "head_number")?;
        let floor = Position::read(row, "floor_xid", "floor_number")?;
        Ok(Self {
            generation: format!("{stored}-{system}-{timeline}"),
            floor: floor.ok_or_else(|| Error::new(ErrorKind::InvalidData, "the log does not say where it begins"))?,
            floor_mark: get(row, "floor_mark")?,
            mark_there: get(row, "mark_there")?,
            end: end.zip(get(row, "head_mark")?),
        })
    }

    fn watermark(&self, position: Position, mark: String) -> Watermark {
        Stand { generation: self.generation.clone(), position, mark }.watermark()
    }

    /// After the last entry that is served, and not at the horizon itself: a crash may give numbers of transactions that
    /// wrote nothing again, and never those of one whose commit is kept.
    fn end(&self) -> Watermark {
        let (position, mark) = self.end.clone().unwrap_or_else(|| (self.floor, self.floor_mark.clone()));
        self.watermark(position, mark)
    }
}

impl PgOutbox {
    /// A log that keeps what `limits` promise.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// The statements that make the log's tables, in the schema `export_outbox`; run again they change nothing.
    pub fn install_sql(&self) -> String {
        format!(
            "{INSTALL}INSERT INTO export_outbox.state VALUES (true, {VERSION}, \
             replace(gen_random_uuid()::text, '-', ''), '0', 0, '') ON CONFLICT DO NOTHING;\n"
        )
    }

    /// The statements that have the log note what is written to a table; run again they replace its triggers.
    ///
    /// The function runs as its owner, so that whoever may write the table need not have rights on the log.
    pub fn watch_sql(&self, table: &OutboxTable) -> String {
        let schema = table.schema.as_ref().map(|schema| format!("{}.", quoted(schema))).unwrap_or_default();
        let on = format!("{schema}{}", quoted(&table.table));
        let tag: String = Digest::of(format!("{on} {}", table.collection).as_bytes()).to_string();
        // Names are cut at 63 bytes without an error.
        let tag = format!("watch_{}", tag.chars().filter(char::is_ascii_hexdigit).take(16).collect::<String>());
        let collection = literal(table.collection.as_str());
        let (old, new) = (table.account_in("OLD"), table.account_in("NEW"));
        let (old_id, new_id) = (table.id_in("OLD"), table.id_in("NEW"));
        let every = table.account_in("every_row");
        let insert = "INSERT INTO export_outbox.log (account, collection, id, reason)";
        let body = format!(
            "
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format('{insert} SELECT DISTINCT %s, %L, '''', ''reset'' FROM %I.%I every_row WHERE %s IS NOT NULL',
            {every_text}, {collection}, TG_TABLE_SCHEMA, TG_TABLE_NAME, {every_text});
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        {insert} SELECT {old}, {collection}, {old_id}, CASE WHEN {old_id} = {new_id} THEN 'moved_out' END
        WHERE {old} IS NOT NULL AND {old_id} IS NOT NULL
          AND ({old} IS DISTINCT FROM {new} OR {old_id} IS DISTINCT FROM {new_id});
    END IF;
    IF TG_OP = 'DELETE' THEN
        {insert} SELECT {old}, {collection}, {old_id}, 'deleted' WHERE {old} IS NOT NULL AND {old_id} IS NOT NULL;
    ELSE
        {insert} SELECT {new}, {collection}, {new_id}, NULL WHERE {new} IS NOT NULL AND {new_id} IS NOT NULL;
    END IF;
    RETURN NULL;
END
",
            every_text = literal(&every)
        );
        // A name may hold whatever would end a body between dollars.
        let body = literal(&body);
        format!(
            "CREATE OR REPLACE FUNCTION export_outbox.{tag}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS {body};
DROP TRIGGER IF EXISTS export_outbox_{tag} ON {on};
CREATE TRIGGER export_outbox_{tag} AFTER INSERT OR UPDATE OR DELETE ON {on}
    FOR EACH ROW EXECUTE FUNCTION export_outbox.{tag}();
DROP TRIGGER IF EXISTS export_outbox_all_{tag} ON {on};
CREATE TRIGGER export_outbox_all_{tag} BEFORE TRUNCATE ON {on}
    FOR EACH STATEMENT EXECUTE FUNCTION export_outbox.{tag}();
"
        )
    }

    /// Makes the log's tables where they are not there yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnsupportedVersion`] for tables that a newer version of this crate made.
    pub async fn install(&self, client: &impl GenericClient) -> Result<()> {
        client.batch_execute(&self.install_sql()).await.map_err(failed)?;
        self.head(client).await.map(drop)
    }

    /// Has the log note what is written to a table from now on. Waits for the transactions that write to it.
    pub async fn watch(&self, client: &impl GenericClient, table: &OutboxTable) -> Result<()> {
        client.batch_execute(&self.watch_sql(table)).await.map_err(failed)
    }

    /// Notes that something about a record changed, such as who may see it; true once the transaction commits.
    pub async fn touched(&self, transaction: &Transaction<'_>, account: &AccountId, key: &Key) -> Result<()> {
        note(transaction, account, key, None, None).await
    }

    /// Notes why a record left the account's view: after the statement that removed it, so that this reason is the last
    /// one; true once the transaction commits. The key, the reason and `into` are kept, and the time is the log's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for [`Reconciled`](saas_backup_core::DeletionReason::Reconciled), which only a store
    /// infers.
    pub async fn deleted(&self, transaction: &Transaction<'_>, account: &AccountId, deletion: &Deletion) -> Result<()> {
        let into = deletion.into.as_ref().map(|into| (into.collection.as_str(), into.id.as_str()));
        note(transaction, account, &deletion.key, Some(&reason_word(deletion.reason)?), into).await
    }

    /// Where the log stands now, for all accounts: after all that can be served. Only on a primary.
    pub async fn head(&self, client: &impl GenericClient) -> Result<Head> {
        let rows = client.query(PAGE, &[&"", &"0", &0_i64, &0_i64]).await.map_err(failed)?;
        let state = State::read(first(&rows)?)?;
        let watermark = state.end();
        Ok(Head::new(state.generation, watermark))
    }

    /// A page of what was committed in an account after a watermark: what
    /// [`ExportSource::changes`](crate::ExportSource::changes) answers to its request's `since` and `limit`. Only on a
    /// primary.
    ///
    /// # Errors
    ///
    /// [`CursorExpired`](ErrorKind::CursorExpired) for a watermark from before what was pruned, of another generation, or
    /// from a history that a restore took back; [`InvalidData`](ErrorKind::InvalidData) for one that is none.
    pub async fn changes(
        &self,
        client: &impl GenericClient,
        account: &AccountId,
        since: &Watermark,
        limit: usize,
    ) -> Result<ChangePage> {
        let stand = Stand::parse(since, Position::parse)?;
        let limit = limit.max(1);
        let asked = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let Position { xid, number } = stand.position;
        let rows = client.query(PAGE, &[&account.as_str(), &xid.to_string(), &number, &asked]).await.map_err(failed)?;
        let state = State::read(first(&rows)?)?;
        let there = if stand.position == state.floor { Some(&state.floor_mark) } else { state.mark_there.as_ref() };
        stand.check(&state.generation, &state.floor, there.map(String::as_str))?;
        let mut changes = Vec::new();
        for row in &rows {
            let Some((position, mark, logged)) = logged(row)? else { continue };
            changes.push((position, logged.change(state.watermark(position, mark))?));
        }
        changes.sort_by_key(|(position, _)| *position);
        let more = changes.len() > limit;
        changes.truncate(limit);
        let changes: Vec<Change> = changes.into_iter().map(|(_, change)| change).collect();
        let last = changes.last().map(|last| last.watermark.clone()).filter(|_| more);
        Ok(ChangePage::new(changes, last.unwrap_or_else(|| state.end()), more))
    }

    /// How long the first change that is committed has been waiting for transactions that began before it; zero if none
    /// waits. Worth an alert: an hour is a transaction that somebody forgot.
    pub async fn lag(&self, client: &impl GenericClient) -> Result<Duration> {
        let Some(row) = client.query_opt(LAG, &[]).await.map_err(failed)? else { return Ok(Duration::ZERO) };
        let seconds: f64 = row.try_get(0).map_err(failed)?;
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// Removes what is older than `age`; gives how many entries that were. Watermarks from before are expired. Outside
    /// of transactions each 10,000 entries are one. Safe to cancel: the next call goes on.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration) for an age under
    /// [`change_retention_seconds`](Limits::change_retention_seconds).
    pub async fn prune(&self, client: &impl GenericClient, age: Duration) -> Result<u64> {
        // An interval is multiplied by a float.
        let age = f64::from(u32::try_from(prunable(&self.limits, age)?).unwrap_or(u32::MAX));
        let mut pruned = 0;
        loop {
            let row = client.query_one(PRUNE, &[&age, &PRUNE_ROWS]).await.map_err(failed)?;
            let removed: i64 = row.try_get(0).map_err(failed)?;
            pruned += removed.unsigned_abs();
            if removed == 0 {
                return Ok(pruned);
            }
        }
    }

    /// Begins another generation: all cursors are dead, and their readers read in full. For a vendor who restored or
    /// rebuilt data in a way that the log did not see. What the log held is removed, the numbers of another server's
    /// transactions with it.
    pub async fn renew(&self, client: &impl GenericClient) -> Result<()> {
        let sql = "WITH gone AS (DELETE FROM export_outbox.log) UPDATE export_outbox.state SET floor_xid = '0', \
                   floor_number = 0, floor_mark = '', generation = replace(gen_random_uuid()::text, '-', '')";
        client.execute(sql, &[]).await.map(drop).map_err(failed)
    }
}

async fn note(
    transaction: &Transaction<'_>,
    account: &AccountId,
    key: &Key,
    reason: Option<&str>,
    into: Option<(&str, &str)>,
) -> Result<()> {
    let sql = "INSERT INTO export_outbox.log (account, collection, id, reason, into_collection, into_id) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let (into_collection, into_id) = into.unzip();
    let (account, collection, id) = (account.as_str(), key.collection.as_str(), key.id.as_str());
    transaction
        .execute(sql, &[&account, &collection, &id, &reason, &into_collection, &into_id])
        .await
        .map(drop)
        .map_err(failed)
}

fn logged(row: &Row) -> Result<Option<(Position, String, Logged)>> {
    let Some(position) = Position::read(row, "xid", "number")? else { return Ok(None) };
    let reason: Option<String> = get(row, "reason")?;
    let is_last = !get::<Option<bool>>(row, "later")?.unwrap_or_default();
    let into_collection: Option<String> = get(row, "into_collection")?;
    let logged = Logged {
        collection: get(row, "collection")?,
        id: get(row, "id")?,
        reason: reason.filter(|_| is_last),
        into: into_collection.zip(get(row, "into_id")?),
        at: get::<Option<std::time::SystemTime>>(row, "at")?.map(Into::into),
    };
    Ok(Some((position, get(row, "mark")?, logged)))
}

fn first(rows: &[Row]) -> Result<&Row> {
    rows.first().ok_or_else(|| Error::new(ErrorKind::InvalidData, "the log does not say where it begins"))
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: &str) -> Result<T> {
    row.try_get(column).map_err(failed)
}

/// What the server says may quote values of the vendor: its code alone is kept.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it by value")]
fn failed(error: tokio_postgres::Error) -> Error {
    let Some(code) = error.code() else {
        let error = Error::new(ErrorKind::Unavailable, "the database of the log of changes does not answer");
        return error.with_retry(Retry::Backoff);
    };
    let code = code.code();
    let (kind, retry) = match code {
        "42501" => (ErrorKind::PermissionDenied, Retry::Never),
        // A standby does not say on which timeline it is.
        "55000" => (ErrorKind::Unsupported, Retry::Never),
        _ => match code.get(..2) {
            Some("08" | "40" | "53" | "57" | "58") => (ErrorKind::Unavailable, Retry::Backoff),
            _ => (ErrorKind::Unexpected, Retry::Never),
        },
    };
    Error::new(kind, "the log of changes cannot be used").with_retry(retry).with_context("sqlstate", code)
}
