use std::fmt::Write as _;
use std::time::Duration;

use chrono::DateTime;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use saas_backup_core::{Deletion, Error, ErrorKind, Key, Result, Retry};

use super::{Logged, OutboxTable, PRUNE_ROWS, Stand, VERSION, known_version, literal, prunable, quoted, reason_word};
use crate::{AccountId, Change, ChangePage, Head, Limits, Watermark};

/// A log of changes in the vendor's SQLite database.
///
/// Triggers add an entry for each row that is written, in the transaction that writes it. SQLite lets one transaction
/// write at a time, from whatever process and in every journal mode, and it holds the lock from its first write to its
/// commit: numbers given within it are in the order of commits. A number that was rolled back is given again, and was
/// never seen.
///
/// What triggers do not see, and the vendor says with [`touched`](Self::touched) or [`deleted`](Self::deleted): who may
/// see a record, why it left, and rows that `REPLACE` removes without `PRAGMA recursive_triggers = ON`.
///
/// A database that was restored from a copy gives its numbers again; a watermark from after the copy is then
/// [`CursorExpired`](ErrorKind::CursorExpired), because the entry at its position is another one.
/// [`renew`](Self::renew) makes all of them so.
///
/// All calls block for as long as SQLite does: within an asynchronous program run them on a thread that may.
#[derive(Clone, Debug)]
pub struct SqliteOutbox {
    limits: Limits,
}

const INSTALL: &str = "
CREATE TABLE IF NOT EXISTS export_outbox_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL,
    generation TEXT NOT NULL,
    floor INTEGER NOT NULL,
    floor_mark TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS export_outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    mark TEXT NOT NULL DEFAULT (lower(hex(randomblob(8)))),
    at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    account TEXT NOT NULL,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    reason TEXT,
    into_collection TEXT,
    into_id TEXT
);
CREATE INDEX IF NOT EXISTS export_outbox_account ON export_outbox (account, number);
";

/// The entries of an account after a number; by the index, so that a page costs what is in it.
const PAGE: &str = "SELECT number, mark, at, collection, id, reason, into_collection, into_id FROM export_outbox \
                    WHERE account = ?1 AND number > ?2 ORDER BY number LIMIT ?3";

/// Where the log begins and ends.
struct State {
    generation: String,
    floor: u64,
    floor_mark: String,
}

impl SqliteOutbox {
    /// A log that keeps what `limits` promise.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// The statements that make the log's tables; run again they change nothing.
    pub fn install_sql(&self) -> String {
        format!(
            "{INSTALL}INSERT OR IGNORE INTO export_outbox_state \
             VALUES (1, {VERSION}, lower(hex(randomblob(16))), 0, '');\n"
        )
    }

    /// The statements that have the log note what is written to a table; run again they replace its triggers.
    pub fn watch_sql(&self, table: &OutboxTable) -> String {
        let schema = table.schema.as_ref().map(|schema| format!("{}.", quoted(schema))).unwrap_or_default();
        let on = quoted(&table.table);
        let collection = literal(table.collection.as_str());
        let (old, new) = (table.account_in("OLD"), table.account_in("NEW"));
        let (old_id, new_id) = (table.id_in("OLD"), table.id_in("NEW"));
        let note = |account: &str, id: &str, reason: &str, condition: &str| {
            format!(
                "INSERT INTO export_outbox (account, collection, id, reason) SELECT {account}, {collection}, {id}, \
                 {reason} WHERE {account} IS NOT NULL AND {id} IS NOT NULL{condition};"
            )
        };
        // A key that changed is looked at again, and not told as deleted: another row may have it by then.
        let left = note(
            &old,
            &old_id,
            &format!("CASE WHEN {old_id} IS {new_id} THEN 'moved_out' END"),
            &format!(" AND ({old} IS NOT {new} OR {old_id} IS NOT {new_id})"),
        );
        let touched = note(&new, &new_id, "NULL", "");
        let mut sql = String::new();
        for (event, body) in [
            ("INSERT", touched.clone()),
            ("UPDATE", format!("{left}\n    {touched}")),
            ("DELETE", note(&old, &old_id, "'deleted'", "")),
        ] {
            let name = quoted(&format!("export_outbox {} {} {event}", table.table, table.collection));
            let _ = write!(
                sql,
                "DROP TRIGGER IF EXISTS {schema}{name};\n\
                 CREATE TRIGGER {schema}{name} AFTER {event} ON {on} FOR EACH ROW BEGIN\n    {body}\nEND;\n"
            );
        }
        sql
    }

    /// Makes the log's tables where they are not there yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnsupportedVersion`] for tables that a newer version of this crate made.
    pub fn install(&self, connection: &Connection) -> Result<()> {
        in_write(connection, |connection| {
            connection.execute_batch(&self.install_sql()).map_err(failed)?;
            state(connection).map(drop)
        })
    }

    /// Has the log note what is written to a table from now on.
    pub fn watch(&self, connection: &Connection, table: &OutboxTable) -> Result<()> {
        in_write(connection, |connection| connection.execute_batch(&self.watch_sql(table)).map_err(failed))
    }

    /// Notes that something about a record changed, such as who may see it; true once the transaction commits.
    pub fn touched(&self, transaction: &Transaction<'_>, account: &AccountId, key: &Key) -> Result<()> {
        note(transaction, account, key, None, None)
    }

    /// Notes why a record left the account's view: after the statement that removed it, so that this reason is the last
    /// one; true once the transaction commits. The key, the reason and `into` are kept, and the time is the log's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] for [`Reconciled`](saas_backup_core::DeletionReason::Reconciled), which only a store
    /// infers.
    pub fn deleted(&self, transaction: &Transaction<'_>, account: &AccountId, deletion: &Deletion) -> Result<()> {
        let into = deletion.into.as_ref().map(|into| (into.collection.as_str(), into.id.as_str()));
        note(transaction, account, &deletion.key, Some(&reason_word(deletion.reason)?), into)
    }

    /// Where the log stands now, for all accounts: after all that was committed.
    pub fn head(&self, connection: &Connection) -> Result<Head> {
        in_read(connection, |connection| {
            let state = state(connection)?;
            let watermark = state.end(connection)?;
            Ok(Head::new(state.generation, watermark))
        })
    }

    /// A page of what was committed in an account after a watermark: what
    /// [`ExportSource::changes`](crate::ExportSource::changes) answers to its request's `since` and `limit`.
    ///
    /// # Errors
    ///
    /// [`CursorExpired`](ErrorKind::CursorExpired) for a watermark from before what was pruned, of another generation, or
    /// from a history that a restore took back; [`InvalidData`](ErrorKind::InvalidData) for one that is none.
    pub fn changes(
        &self,
        connection: &Connection,
        account: &AccountId,
        since: &Watermark,
        limit: usize,
    ) -> Result<ChangePage> {
        let stand = Stand::parse(since, |position| position.parse::<u64>().ok())?;
        in_read(connection, |connection| {
            let state = state(connection)?;
            stand.check(&state.generation, &state.floor, state.mark(connection, stand.position)?.as_deref())?;
            let limit = limit.max(1);
            let mut statement = connection.prepare(PAGE).map_err(failed)?;
            let asked = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let mut rows =
                statement.query(params![account.as_str(), signed(stand.position)?, asked]).map_err(failed)?;
            let mut changes = Vec::new();
            while let Some(row) = rows.next().map_err(failed)? {
                if changes.len() == limit {
                    let next = changes.last().map(|last: &Change| last.watermark.clone());
                    return Ok(ChangePage::new(changes, next.unwrap_or_else(|| since.clone()), true));
                }
                let (position, mark, logged) = logged(row).map_err(failed)?;
                let stand = Stand { generation: state.generation.clone(), position, mark };
                changes.push(logged.change(stand.watermark())?);
            }
            // The end of the log and not the last change: the cursor of a quiet account stays ahead of what is pruned.
            Ok(ChangePage::new(changes, state.end(connection)?, false))
        })
    }

    /// Removes what is older than `age`; gives how many entries that were. Watermarks from before are expired.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration) for an age under
    /// [`change_retention_seconds`](Limits::change_retention_seconds).
    pub fn prune(&self, connection: &Connection, age: Duration) -> Result<u64> {
        let age = prunable(&self.limits, age)?;
        let mut pruned = 0;
        loop {
            let removed = in_write(connection, |connection| prune_some(connection, age))?;
            pruned += removed;
            if removed == 0 {
                return Ok(pruned);
            }
        }
    }

    /// Begins another generation: all cursors are dead, and their readers read in full. For a vendor who restored or
    /// rebuilt data in a way that the log did not see.
    pub fn renew(&self, connection: &Connection) -> Result<()> {
        let sql = "UPDATE export_outbox_state SET generation = lower(hex(randomblob(16)))";
        connection.execute(sql, []).map(drop).map_err(failed)
    }
}

impl State {
    /// The mark of the entry at a position; that of the last one pruned at the floor.
    fn mark(&self, connection: &Connection, position: u64) -> Result<Option<String>> {
        if position == self.floor {
            return Ok(Some(self.floor_mark.clone()));
        }
        let sql = "SELECT mark FROM export_outbox WHERE number = ?1";
        connection.query_row(sql, [signed(position)?], |row| row.get(0)).optional().map_err(failed)
    }

    fn end(&self, connection: &Connection) -> Result<Watermark> {
        let sql = "SELECT number, mark FROM export_outbox ORDER BY number DESC LIMIT 1";
        let last: Option<(u64, String)> =
            connection.query_row(sql, [], |row| Ok((number(row, 0)?, row.get(1)?))).optional().map_err(failed)?;
        let (position, mark) = last.unwrap_or_else(|| (self.floor, self.floor_mark.clone()));
        Ok(Stand { generation: self.generation.clone(), position, mark }.watermark())
    }
}

fn state(connection: &Connection) -> Result<State> {
    let sql = "SELECT version, generation, floor, floor_mark FROM export_outbox_state";
    let (version, state) = connection
        .query_row(sql, [], |row| {
            let state = State { generation: row.get(1)?, floor: number(row, 2)?, floor_mark: row.get(3)? };
            Ok((row.get::<_, i64>(0)?, state))
        })
        .map_err(failed)?;
    known_version(version)?;
    Ok(state)
}

fn note(
    transaction: &Transaction<'_>,
    account: &AccountId,
    key: &Key,
    reason: Option<&str>,
    into: Option<(&str, &str)>,
) -> Result<()> {
    let sql = "INSERT INTO export_outbox (account, collection, id, reason, into_collection, into_id) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (into_collection, into_id) = into.unzip();
    let values = params![account.as_str(), key.collection.as_str(), key.id.as_str(), reason, into_collection, into_id];
    transaction.execute(sql, values).map(drop).map_err(failed)
}

fn logged(row: &Row<'_>) -> rusqlite::Result<(u64, String, Logged)> {
    let into = row.get::<_, Option<String>>(6)?.zip(row.get(7)?);
    let at = DateTime::from_timestamp(row.get(2)?, 0);
    let logged = Logged { collection: row.get(3)?, id: row.get(4)?, reason: row.get(5)?, into, at };
    Ok((number(row, 0)?, row.get(1)?, logged))
}

/// Removes the oldest entries while they are old enough; only from the beginning, so that the floor says it all.
fn prune_some(connection: &Connection, age: i64) -> Result<u64> {
    let sql = "SELECT number, mark, at <= CAST(strftime('%s', 'now') AS INTEGER) - ?1 FROM export_outbox \
               ORDER BY number LIMIT ?2";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([age, PRUNE_ROWS]).map_err(failed)?;
    let mut last: Option<(i64, String)> = None;
    while let Some(row) = rows.next().map_err(failed)? {
        if !row.get::<_, bool>(2).map_err(failed)? {
            break;
        }
        last = Some((row.get(0).map_err(failed)?, row.get(1).map_err(failed)?));
    }
    drop(rows);
    let Some((floor, mark)) = last else { return Ok(0) };
    let sql = "UPDATE export_outbox_state SET floor = ?1, floor_mark = ?2";
    connection.execute(sql, params![floor, mark]).map_err(failed)?;
    let removed = connection.execute("DELETE FROM export_outbox WHERE number <= ?1", [floor]).map_err(failed)?;
    Ok(removed as u64)
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn signed(position: u64) -> Result<i64> {
    i64::try_from(position).map_err(|_| Error::new(ErrorKind::InvalidData, "the watermark is not one of this source"))
}

/// All reads see one state: the vendor's, within a transaction, and else one of their own.
fn in_read<T>(connection: &Connection, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    if !connection.is_autocommit() {
        return read(connection);
    }
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    read(&transaction)
}

fn in_write<T>(connection: &Connection, write: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    if !connection.is_autocommit() {
        return write(connection);
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(failed)?;
    let done = write(&transaction)?;
    transaction.commit().map_err(failed)?;
    Ok(done)
}

/// What SQLite says may quote statements of the vendor: its code alone is kept.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it by value")]
fn failed(error: rusqlite::Error) -> Error {
    let Some(code) = error.sqlite_error_code() else {
        return Error::new(ErrorKind::InvalidData, "the log of changes is not what it should be");
    };
    let told = |kind| Error::new(kind, "the log of changes cannot be used").with_context("sqlite", format!("{code:?}"));
    match code {
        rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked => {
            told(ErrorKind::Unavailable).with_retry(Retry::Backoff)
        }
        rusqlite::ErrorCode::DiskFull => told(ErrorKind::StorageFull),
        rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase => told(ErrorKind::Integrity),
        _ => told(ErrorKind::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_by_the_index_and_in_its_order() {
        let connection = Connection::open_in_memory().unwrap();
        SqliteOutbox::new(Limits::default()).install(&connection).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {PAGE}")).unwrap();
        let steps = statement.query_map(params!["a", 7, 9], |row| row.get("detail")).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert_eq!(steps, ["SEARCH export_outbox USING INDEX export_outbox_account (account=? AND number>?)"]);
    }
}
