//! Names and keys: newtypes, so that two strings cannot be swapped.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, ErrorKind, Result};

/// Longest collection name, in bytes.
pub const MAX_COLLECTION_BYTES: usize = 255;
/// Longest record, partition, feed or blob id, in bytes.
pub const MAX_ID_BYTES: usize = 1024;

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text: not empty, not too long, no control characters.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::InvalidData`] without the text itself, which may be personal data.
            pub fn parse(text: impl AsRef<str>) -> Result<Self> {
                check(text.as_ref(), $what, $limit)?;
                Ok(Self(Arc::from(text.as_ref())))
            }

            /// Takes a literal that the programmer wrote.
            ///
            /// # Panics
            ///
            /// If the literal is not a valid name.
            #[allow(clippy::expect_used, reason = "a literal in the code, seen by the first test that runs")]
            pub fn from_static(text: &'static str) -> Self {
                Self::parse(text).expect("a valid literal")
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_newtype! {
    /// The name of a collection: a kind of object, such as `pages`.
    ///
    /// Any text up to 255 bytes without control characters; names that begin with `_` are reserved
    /// for the store itself.
    CollectionName, "collection name", MAX_COLLECTION_BYTES
}
text_newtype! {
    /// A record's id as its provider gave it, unique in its collection; up to 1 KiB.
    RecordId, "record id", MAX_ID_BYTES
}
text_newtype! {
    /// An independent part of a collection: one channel, one calendar, one table.
    PartitionId, "partition id", MAX_ID_BYTES
}
text_newtype! {
    /// What is read with one cursor: the name of a slice or of a log, stable from run to run.
    FeedId, "feed id", MAX_ID_BYTES
}
text_newtype! {
    /// An opaque id of immutable bytes; new content has a new id.
    BlobId, "blob id", MAX_ID_BYTES
}

fn check(text: &str, what: &'static str, limit: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::new(ErrorKind::InvalidData, format!("an empty {what}")));
    }
    if text.len() > limit {
        return Err(Error::new(ErrorKind::InvalidData, format!("the {what} is too long"))
            .with_context("bytes", text.len())
            .with_context("limit", limit));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::new(ErrorKind::InvalidData, format!("the {what} holds a control character")));
    }
    Ok(())
}

impl CollectionName {
    /// Whether the name is reserved for the store itself.
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with('_')
    }
}

/// The identity of a record everywhere: its collection and its id.
///
/// The partition is a member of the record and not of the key, so that a moved record stays one record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The collection.
    pub collection: CollectionName,
    /// The id in it.
    pub id: RecordId,
}

impl Key {
    /// Joins a collection and an id.
    pub fn new(collection: CollectionName, id: RecordId) -> Self {
        Self { collection, id }
    }

    /// Checks both texts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if one of them is not valid.
    pub fn parse(collection: impl AsRef<str>, id: impl AsRef<str>) -> Result<Self> {
        Ok(Self::new(CollectionName::parse(collection)?, RecordId::parse(id)?))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.collection, self.id)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The id of a run: a ULID, so that names sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(ulid::Ulid);

impl RunId {
    /// Makes a new id for a run that starts at `time`.
    pub fn new(time: chrono::DateTime<chrono::Utc>) -> Self {
        Self(ulid::Ulid::from_datetime(time.into()))
    }

    /// Reads the 26 characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if they are not a ULID.
    pub fn parse(text: &str) -> Result<Self> {
        ulid::Ulid::from_string(text)
            .map(Self)
            .map_err(|error| Error::new(ErrorKind::InvalidData, "not a run id").with_source(error))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_clean() {
        assert!(CollectionName::parse("Pages & more ☃").is_ok());
        assert!(CollectionName::parse("").is_err());
        assert!(CollectionName::parse("a\nb").is_err());
        assert!(CollectionName::parse("x".repeat(256)).is_err());
        assert!(RecordId::parse("x".repeat(1024)).is_ok());
        assert!(RecordId::parse("x".repeat(1025)).is_err());
    }

    #[test]
    fn keys_sort_by_collection_and_then_by_id() {
        let mut keys = [Key::parse("b", "1").unwrap(), Key::parse("a", "2").unwrap(), Key::parse("a", "10").unwrap()];
        keys.sort();
        assert_eq!(keys.map(|key| key.to_string()), ["a/10", "a/2", "b/1"]);
    }
}
