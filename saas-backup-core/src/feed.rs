use serde::{Deserialize, Serialize};

use crate::{CollectionName, FeedId, PartitionId, Scope};

/// The unit of reading: it has its own cursor and its own writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Feed {
    /// Its name, stable from run to run.
    pub id: FeedId,
    /// A slice or a log.
    pub kind: FeedKind,
    /// The collections that it speaks of.
    pub covers: Vec<CollectionName>,
}

/// A slice or a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FeedKind {
    /// One partition of one collection, or all of it.
    Slice {
        /// The collection.
        collection: CollectionName,
        /// The partition; `None` for a collection that is not cut.
        partition: Option<PartitionId>,
    },
    /// One position over many collections: a change feed, a replication slot.
    ///
    /// Read without a cursor it emits one checkpoint, its position now, and `Done` with [`Changes`](crate::Extent::Changes).
    /// When it covers more collections than before, these are read in full and then followed from the cursor that the log
    /// has; one that cannot tell of them answers [`CursorExpired`](crate::ErrorKind::CursorExpired).
    Log,
}

impl Feed {
    /// A whole collection, named after it.
    pub fn slice(collection: CollectionName) -> Self {
        let id = FeedId::parse(collection.as_str()).unwrap_or_else(|_| FeedId::from_static("slice"));
        Self { id, covers: vec![collection.clone()], kind: FeedKind::Slice { collection, partition: None } }
    }

    /// One partition of a collection.
    pub fn partition(id: FeedId, collection: CollectionName, partition: PartitionId) -> Self {
        Self { id, covers: vec![collection.clone()], kind: FeedKind::Slice { collection, partition: Some(partition) } }
    }

    /// A log over some collections.
    pub fn log(id: FeedId, covers: Vec<CollectionName>) -> Self {
        Self { id, kind: FeedKind::Log, covers }
    }

    /// Whether it is a log.
    pub fn is_log(&self) -> bool {
        matches!(self.kind, FeedKind::Log)
    }

    /// What a full read of it speaks of.
    pub fn scope(&self) -> Scope {
        match &self.kind {
            FeedKind::Slice { collection, partition: None } => Scope::collection(collection.clone()),
            FeedKind::Slice { collection, partition: Some(partition) } => {
                Scope::partition(collection.clone(), partition.clone())
            }
            FeedKind::Log => Scope::collections(self.covers.clone()),
        }
    }
}
