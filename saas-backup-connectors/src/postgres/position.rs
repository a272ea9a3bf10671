use std::collections::BTreeMap;

use saas_backup_core::{Cursor, Result};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::PgLsn;

/// The version of the form below.
const VERSION: u32 = 1;

/// Where the log was read to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Everything that was committed before here.
    #[serde(with = "lsn_text")]
    pub(super) lsn: PgLsn,
    /// The form of each collection that is followed, as a digest: another one needs a full read.
    pub(super) shapes: BTreeMap<String, String>,
}

impl Position {
    pub(super) fn to_cursor(&self) -> Result<Cursor> {
        Cursor::encode(VERSION, self)
    }

    pub(super) fn of(cursor: &Cursor) -> Result<Self> {
        cursor.decode(VERSION)
    }
}

mod lsn_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use tokio_postgres::types::PgLsn;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(lsn: &PgLsn, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(lsn)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PgLsn, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("not a position in a log"))
    }
}
