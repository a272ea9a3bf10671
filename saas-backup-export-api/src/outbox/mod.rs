//! A log of changes in the vendor's own database, and cursors over it that pass over no commit.

#[cfg(feature = "outbox-postgres")]
mod postgres;
#[cfg(feature = "outbox-sqlite")]
mod sqlite;

use std::time::Duration;

use chrono::{DateTime, Utc};
use saas_backup_core::{
    CollectionName, Deletion, DeletionReason, Error, ErrorKind, Key, Reference, Reset, ResetReason, Result,
};
use serde::Deserialize as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

#[cfg(feature = "outbox-postgres")]
pub use self::postgres::PgOutbox;
#[cfg(feature = "outbox-sqlite")]
pub use self::sqlite::SqliteOutbox;
use crate::{AccountId, Change, Limits, Watermark};

/// The form of the tables; raised when it changes.
const VERSION: i64 = 1;
/// Entries that one transaction prunes: a writer waits no longer than that takes.
const PRUNE_ROWS: i64 = 10_000;
/// What stands in the log's column `reason` where it cannot say what happened to a collection.
const RESET: &str = "reset";

/// A table of the vendor whose writes the log notes, by triggers, in the transactions that write.
///
/// One row is one record: its id column is text or a number. Rows without an account or an id are not noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxTable {
    schema: Option<String>,
    table: String,
    collection: CollectionName,
    id: String,
    account: AccountOf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum AccountOf {
    Column(String),
    Constant(AccountId),
}

impl OutboxTable {
    /// A table whose rows name their account in a column.
    pub fn new(
        table: impl Into<String>,
        collection: CollectionName,
        id_column: impl Into<String>,
        account_column: impl Into<String>,
    ) -> Self {
        let account = AccountOf::Column(account_column.into());
        Self { schema: None, table: table.into(), collection, id: id_column.into(), account }
    }

    /// Says that all rows belong to one account, and not to that of a column.
    #[must_use]
    pub fn with_account(mut self, account: AccountId) -> Self {
        self.account = AccountOf::Constant(account);
        self
    }

    /// Names the schema that the table is in. Default: the one that the database finds it in.
    #[must_use]
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    fn account_in(&self, row: &str) -> String {
        match &self.account {
            AccountOf::Column(column) => format!("CAST({row}.{} AS TEXT)", quoted(column)),
            AccountOf::Constant(account) => literal(account.as_str()),
        }
    }

    fn id_in(&self, row: &str) -> String {
        format!("CAST({row}.{} AS TEXT)", quoted(&self.id))
    }
}

/// A name as SQL reads it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// A text as SQL reads it with `standard_conforming_strings`.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// What a watermark says: the generation, the position, and the mark of the entry that stands there.
///
/// The mark is drawn when the entry is written. After a restore the numbers are given again, with other marks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stand<P> {
    generation: String,
    position: P,
    mark: String,
}

impl<P: ToString> Stand<P> {
    fn watermark(&self) -> Watermark {
        Watermark::new(format!("{}:{}:{}", self.generation, self.position.to_string(), self.mark))
    }
}

impl<P> Stand<P> {
    fn parse(watermark: &Watermark, position: impl FnOnce(&str) -> Option<P>) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::InvalidData, "the watermark is not one of this source");
        let mut parts = watermark.as_str().split(':');
        let (Some(generation), Some(at), Some(mark), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        let position = position(at).ok_or_else(malformed)?;
        Ok(Self { generation: generation.to_owned(), position, mark: mark.to_owned() })
    }

    /// Refuses a position that the log no longer has, or that stands for other entries than it did.
    fn check(&self, generation: &str, floor: &P, mark_there: Option<&str>) -> Result<()>
    where
        P: PartialOrd,
    {
        let expired = |message: &'static str| Err(Error::new(ErrorKind::CursorExpired, message));
        if self.generation != generation {
            return expired("the watermark is of another generation of the log");
        }
        if self.position < *floor {
            return expired("the log does not go back that far");
        }
        if mark_there != Some(self.mark.as_str()) {
            return expired("the log was set back since: another entry stands at the watermark");
        }
        Ok(())
    }
}

/// An entry of the log as it is stored.
struct Logged {
    collection: String,
    id: String,
    reason: Option<String>,
    into: Option<(String, String)>,
    at: Option<DateTime<Utc>>,
}

impl Logged {
    fn change(self, watermark: Watermark) -> Result<Change> {
        let collection = CollectionName::parse(&self.collection)?;
        let reset = Reset::new(vec![collection], ResetReason::TooManyChanges);
        // An id that no record can have: a full read of the collection says what is wrong with that row.
        let Ok(key) = Key::parse(&self.collection, &self.id) else { return Ok(Change::reset(watermark, reset)) };
        let Some(reason) = self.reason else { return Ok(Change::touched(watermark, key)) };
        if reason == RESET {
            return Ok(Change::reset(watermark, reset));
        }
        let reason = DeletionReason::deserialize(StrDeserializer::<ValueError>::new(&reason));
        let mut deletion = Deletion::new(key, reason.unwrap_or(DeletionReason::Unknown));
        deletion.at = self.at;
        if let Some((collection, id)) = self.into {
            deletion.into = Some(Reference::from(&Key::parse(collection, id)?));
        }
        Ok(Change::deleted(watermark, deletion))
    }
}

/// The word for a reason in the log.
fn reason_word(reason: DeletionReason) -> Result<String> {
    if reason == DeletionReason::Reconciled {
        return Err(Error::new(ErrorKind::Configuration, "a provider tells no inferred deletions"));
    }
    let word = serde_json::to_value(reason)?;
    let word = word.as_str().ok_or_else(|| Error::new(ErrorKind::Unexpected, "the reason is no word"))?;
    Ok(word.to_owned())
}

/// The least age that may be pruned, in seconds; refuses a younger one.
fn prunable(limits: &Limits, age: Duration) -> Result<i64> {
    if age.as_secs() < limits.change_retention_seconds {
        return Err(Error::new(ErrorKind::Configuration, "cursors live longer than the changes that would be kept")
            .with_context("change_retention_seconds", limits.change_retention_seconds));
    }
    i64::try_from(age.as_secs()).map_err(|_| Error::new(ErrorKind::Configuration, "the age is too large"))
}

/// Refuses tables of another form.
fn known_version(version: i64) -> Result<()> {
    if version == VERSION {
        return Ok(());
    }
    let error = Error::new(ErrorKind::UnsupportedVersion, "the log's tables are of another version");
    Err(error.with_context("version", version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_within_their_quotes() {
        assert_eq!(quoted(r#"a"; DROP TABLE b; --"#), r#""a""; DROP TABLE b; --""#);
        assert_eq!(literal("O'Neil"), "'O''Neil'");
    }

    #[test]
    fn a_watermark_is_read_back_and_fits() {
        let stand = Stand { generation: "9".repeat(80), position: u64::MAX, mark: "f".repeat(32) };
        assert!(stand.watermark().as_str().len() <= 256);
        assert_eq!(Stand::parse(&stand.watermark(), |at| at.parse().ok()).unwrap(), stand);
        for nonsense in ["", "7", "a:b:c", "a:1", "a:1:b:c"] {
            let refused = Stand::<u64>::parse(&Watermark::new(nonsense), |at| at.parse().ok()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidData, "{nonsense}");
        }
    }
}
