use saas_backup_core::{Cursor, Error, ErrorKind, Json, Result};
use serde::{Deserialize, Serialize};

/// The version of the form below.
const VERSION: u32 = 1;

/// Where a feed stands; its cursors are the service's own and stay opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Position {
    /// In a walk over a collection.
    Snapshot {
        /// The next page.
        cursor: String,
        /// Where the log stood before the first page.
        changes: String,
        generation: String,
    },
    /// In the log.
    Changes { cursor: String, generation: String },
}

impl Position {
    pub(super) fn to_cursor(&self) -> Result<Cursor> {
        Cursor::encode(VERSION, self)
    }

    pub(super) fn of(cursor: &Cursor) -> Result<Self> {
        cursor.decode(VERSION)
    }
}

/// The characters of a cursor on the wire.
pub(super) fn text_of(cursor: &Cursor) -> Result<String> {
    let json: &Json = cursor.as_json();
    json.decode().map_err(|_| Error::new(ErrorKind::InvalidData, "a cursor of the service is not text"))
}
