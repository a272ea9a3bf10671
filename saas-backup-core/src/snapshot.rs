use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::{BlobRef, Catalog, CollectionName, Coverage, Cursor, Event, Feed, Key, Result};

/// The events of one read.
pub type EventStream = BoxStream<'static, Result<Event>>;

/// The bytes of one blob.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A readable view: of a provider now, of a store at any point in time.
#[async_trait]
pub trait Snapshot: Debug + Send + Sync + 'static {
    /// The collections: kinds, keys, schemas, relationships, field mapping. Cancel safe.
    async fn catalog(&self) -> Result<Catalog>;

    /// What this grant can and cannot see. Cancel safe.
    async fn coverage(&self) -> Result<Coverage>;

    /// The feeds, lazily; a log comes before the slices that it covers.
    ///
    /// All of them: a partition that was listed once, or that a log told of, and is not in a list that came to its end
    /// does not exist any more.
    /// What cannot be listed is an error of the stream, or a [`Gap`](crate::Event::Gap) of its collection.
    fn feeds(&self) -> FeedStream;

    /// Reads one feed.
    ///
    /// Starts after [`ReadRequest::from`], or from the beginning without it, and ends with [`Event::Done`]. A stream
    /// that ends without it was cut. Dropping the stream cancels the read and loses nothing. An error is the last
    /// item.
    ///
    /// # Errors
    ///
    /// [`CursorExpired`](crate::ErrorKind::CursorExpired) as the first item if the provider no longer accepts the cursor.
    fn read(&self, request: ReadRequest) -> EventStream;

    /// Opens a blob of a record, from an offset if the capabilities say `blob_ranges`. Cancel safe.
    ///
    /// Where links to bytes lapse, they are renewed here: `owner` is the record that the blob belongs to.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the bytes are gone;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a range that this end cannot serve.
    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream>;
}

/// The feeds of a snapshot.
pub type FeedStream = BoxStream<'static, Result<Feed>>;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Snapshot + ?Sized> Snapshot for Arc<T> {
    async fn catalog(&self) -> Result<Catalog> {
        (**self).catalog().await
    }

    async fn coverage(&self) -> Result<Coverage> {
        (**self).coverage().await
    }

    fn feeds(&self) -> FeedStream {
        (**self).feeds()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        (**self).read(request)
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        (**self).open(owner, blob, range).await
    }
}

/// What to read of a feed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadRequest {
    /// The feed.
    pub feed: Feed,
    /// Where an earlier read stopped; `None` reads in full.
    pub from: Option<Cursor>,
    /// A part of the feed.
    pub only: Only,
    /// Also list everything that exists (`Seen`, or `Put` where that costs no more) and end with a full extent; only
    /// where the capabilities say `sweeps`.
    pub sweep: bool,
}

impl ReadRequest {
    /// Reads a feed in full.
    pub fn new(feed: Feed) -> Self {
        Self { feed, from: None, only: Only::All, sweep: false }
    }

    /// Goes on after a cursor.
    #[must_use]
    pub fn with_from(mut self, from: Option<Cursor>) -> Self {
        self.from = from;
        self
    }

    /// Reads a part.
    #[must_use]
    pub fn with_only(mut self, only: Only) -> Self {
        self.only = only;
        self
    }

    /// Asks for a sweep.
    #[must_use]
    pub fn with_sweep(mut self, sweep: bool) -> Self {
        self.sweep = sweep;
        self
    }
}

/// A part of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Only {
    /// All of it.
    #[default]
    All,
    /// The events of some collections; checkpoints still cover the whole feed.
    Collections(Vec<CollectionName>),
    /// The current state of some records; no checkpoint, and `Done` with [`Changes`](crate::Extent::Changes). A record
    /// that does not exist gives a `Delete`.
    Records(Vec<Key>),
}

impl Only {
    /// Whether a collection is wanted.
    pub fn wants(&self, collection: &CollectionName) -> bool {
        match self {
            Self::All => true,
            Self::Collections(collections) => collections.contains(collection),
            Self::Records(keys) => keys.iter().any(|key| &key.collection == collection),
        }
    }
}
