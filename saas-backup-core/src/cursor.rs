use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, ErrorKind, Json, Result};

/// Largest cursor, in bytes of JSON.
pub const MAX_CURSOR_BYTES: usize = 1024 * 1024;

/// Where a reader stopped; opaque to all but the connector that wrote it.
///
/// It carries the version of its own form, so that a newer connector that finds an older cursor reads in full
/// instead of misreading it. A cursor grants nothing and holds no secret: it is stored, and it may be logged.
///
/// ```
/// use saas_backup_core::{Cursor, ErrorKind};
///
/// let cursor = Cursor::encode(1, &("2026-11-21T10:00:00Z", 42))?;
/// assert_eq!(cursor.decode::<(String, u64)>(1)?.1, 42);
/// assert_eq!(cursor.decode::<(String, u64)>(2).unwrap_err().kind(), ErrorKind::CursorExpired);
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Json);

impl Cursor {
    /// Wraps a position with the version of its form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] above 1 MiB; [`ErrorKind::InvalidData`] if the position is not representable.
    pub fn encode(version: u32, position: &impl Serialize) -> Result<Self> {
        Self::from_json(Json::from_value(&(version, position))?)
    }

    /// Reads a position back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CursorExpired`] if the cursor has another version or another form: the feed must be read in full.
    pub fn decode<T: DeserializeOwned>(&self, version: u32) -> Result<T> {
        let unknown = || Error::new(ErrorKind::CursorExpired, "the stored cursor is of another version");
        let (found, rest): (u32, Box<serde_json::value::RawValue>) = self.0.decode().map_err(|_| unknown())?;
        if found != version {
            return Err(unknown().with_context("found", found).with_context("known", version));
        }
        serde_json::from_str(rest.get()).map_err(|_| unknown())
    }

    /// Takes any JSON as it is: a cursor of a protocol that has its own form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] above 1 MiB.
    pub fn from_json(json: Json) -> Result<Self> {
        if json.as_bytes().len() > MAX_CURSOR_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, "the cursor is too large")
                .with_context("bytes", json.as_bytes().len())
                .with_context("limit", MAX_CURSOR_BYTES));
        }
        Ok(Self(json))
    }

    /// The JSON as it is stored.
    pub fn as_json(&self) -> &Json {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cursor({:?})", self.0)
    }
}
