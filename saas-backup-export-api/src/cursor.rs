//! Cursors: positions that the kit signs, so that nobody can make one up or use one elsewhere.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use saas_backup_core::{CollectionName, Error, ErrorKind, RecordId, Result};
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{ProblemDetails, Watermark};

/// Longest cursor of the protocol, in characters.
const MAX_CURSOR_CHARS: usize = 2_048;
/// The version of the content; one of another version is a dead cursor.
const VERSION: u8 = 1;

/// The key that cursors are sealed with (HMAC-SHA256).
///
/// All servers of one service share it, and it outlives restarts: a consumer comes back with a cursor after weeks.
/// A cursor that was sealed with another key is refused, which costs its consumer a full read.
#[derive(Clone)]
pub struct CursorKey(std::sync::Arc<SecretBox<[u8; 32]>>);

impl CursorKey {
    /// Takes 32 secret random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(std::sync::Arc::new(SecretBox::new(Box::new(bytes))))
    }

    fn mac(&self, content: &[u8]) -> Hmac<Sha256> {
        // HMAC pads a key with zeros to the block of its hash.
        let mut block = [0; 64];
        block.iter_mut().zip(self.0.expose_secret()).for_each(|(to, from)| *to = *from);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(content);
        mac
    }

    /// Seals a position into the characters of a cursor.
    pub(crate) fn seal(&self, account: &str, generation: &str, position: &Position) -> Result<String> {
        let sealed = Sealed {
            version: VERSION,
            account: account.to_owned(),
            generation: generation.to_owned(),
            position: position.clone(),
        };
        let cursor = self.seal_content(&serde_json::to_vec(&sealed)?);
        if cursor.len() > MAX_CURSOR_CHARS {
            let error = Error::new(ErrorKind::LimitExceeded, "the cursor would be too long");
            if !position.is_filtered() {
                return Err(error);
            }
            let detail = "name fewer collections, or none for all of them";
            return Err(error.with_source(ProblemDetails::invalid_parameter("collections", detail)));
        }
        Ok(cursor)
    }

    pub(crate) fn seal_content(&self, content: &[u8]) -> String {
        let tag = self.mac(content).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(content), URL_SAFE_NO_PAD.encode(tag))
    }

    /// Opens a cursor that was sealed for this account; gives its generation and position.
    pub(crate) fn open(&self, account: &str, cursor: &str) -> Result<(String, Position), ProblemDetails> {
        if cursor.len() > MAX_CURSOR_CHARS {
            return Err(ProblemDetails::cursor_invalid());
        }
        let (content, tag) = cursor.split_once('.').ok_or_else(ProblemDetails::cursor_invalid)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| ProblemDetails::cursor_invalid());
        let (content, tag) = (decode(content)?, decode(tag)?);
        self.mac(&content).verify_slice(&tag).map_err(|_| ProblemDetails::cursor_invalid())?;
        let sealed: Sealed = serde_json::from_slice(&content).map_err(|_| ProblemDetails::cursor_expired())?;
        if sealed.version != VERSION {
            return Err(ProblemDetails::cursor_expired());
        }
        if sealed.account != account {
            return Err(ProblemDetails::cursor_invalid());
        }
        Ok((sealed.generation, sealed.position))
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CursorKey(..)")
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(rename = "v")]
    version: u8,
    #[serde(rename = "a")]
    account: String,
    #[serde(rename = "g")]
    generation: String,
    #[serde(rename = "p")]
    position: Position,
}

/// Where a reader stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Position {
    /// In a walk over everything.
    #[serde(rename = "s")]
    Snapshot(SnapshotPosition),
    /// In the log of changes.
    #[serde(rename = "c")]
    Changes(ChangesPosition),
    /// In the log of erasures.
    #[serde(rename = "e")]
    Erasures(Watermark),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangesPosition {
    #[serde(rename = "w")]
    pub(crate) watermark: Watermark,
    #[serde(rename = "f")]
    pub(crate) filter: Filter,
    /// The collections that the grant could not read when the cursor was made.
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) without: Vec<CollectionName>,
}

impl Position {
    fn is_filtered(&self) -> bool {
        match self {
            Self::Snapshot(position) => position.filter.0.is_some(),
            Self::Changes(position) => position.filter.0.is_some(),
            Self::Erasures(_) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotPosition {
    /// Whether the walk is an inventory: ids and versions alone.
    #[serde(rename = "i", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) inventory: bool,
    /// When the walk began, in milliseconds.
    #[serde(rename = "b")]
    pub(crate) began: i64,
    /// The log's position before its first page (R1).
    #[serde(rename = "w")]
    pub(crate) watermark: Watermark,
    #[serde(rename = "f")]
    pub(crate) filter: Filter,
    /// The collections that the grant could not read when the walk began.
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) without: Vec<CollectionName>,
    /// The collection that is being walked.
    #[serde(rename = "c")]
    pub(crate) collection: CollectionName,
    /// The last record of it that was served.
    #[serde(rename = "k")]
    pub(crate) after: Option<RecordId>,
}

/// The collections that a read is restricted to; `None` is all, those of tomorrow too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Filter(pub(crate) Option<Vec<CollectionName>>);

impl Filter {
    pub(crate) fn wants(&self, collection: &CollectionName) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(collection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(filter: Filter) -> Position {
        Position::Changes(ChangesPosition { watermark: Watermark::new("884120"), filter, without: Vec::new() })
    }

    fn position() -> Position {
        changes(Filter::default())
    }

    #[test]
    fn a_cursor_opens_where_it_was_sealed_and_nowhere_else() {
        let key = CursorKey::from_bytes([1; 32]);
        let cursor = key.seal("ws_42", "g7", &position()).unwrap();
        assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
        assert_eq!(key.open("ws_42", &cursor).unwrap(), ("g7".to_owned(), position()));
        for (key, account, cursor) in [
            (&key, "ws_43", cursor.clone()),
            (&CursorKey::from_bytes([2; 32]), "ws_42", cursor.clone()),
            (&key, "ws_42", format!("{cursor}A")),
            (&key, "ws_42", cursor[1..].to_owned()),
            (&key, "ws_42", cursor.replace('.', "")),
            (&key, "ws_42", "x".repeat(3_000)),
            (&key, "ws_42", String::new()),
        ] {
            assert_eq!(key.open(account, &cursor).unwrap_err(), ProblemDetails::cursor_invalid());
        }
    }

    #[test]
    fn no_bit_of_a_cursor_can_be_changed() {
        let key = CursorKey::from_bytes([1; 32]);
        let cursor = key.seal("ws_42", "g7", &position()).unwrap();
        for index in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'Q' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            // The last character of a base64 text may carry bits that mean nothing: decoding refuses those.
            assert!(key.open("ws_42", &forged).is_err(), "{index}");
        }
    }

    #[test]
    fn a_filter_that_does_not_fit_is_refused_in_words() {
        let names = (0..100).map(|n| CollectionName::parse(format!("collection_with_a_long_name_{n}")).unwrap());
        let filter = Filter(Some(names.collect()));
        let error = CursorKey::from_bytes([1; 32]).seal("ws_42", "g7", &changes(filter)).unwrap_err();
        assert_eq!(ProblemDetails::from(error).status, 400);
    }
}
