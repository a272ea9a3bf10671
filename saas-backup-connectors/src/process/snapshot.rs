use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use saas_backup_core::{
    BlobRef, ByteStream, Capabilities, Catalog, Collection, CollectionCoverage, CollectionName, Coverage, Cursor, Done,
    Emitter, Error, ErrorKind, Event, EventStream, Feed, FeedKind, FeedStream, Json, Key, Kind, Only, ReadRequest,
    Result, Snapshot, Visibility, events,
};
use serde_json::Value;
use tokio::sync::Semaphore;

/// A collection that a program can read.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: CollectionName,
    /// Dotted paths; empty if the program names no key.
    pub(crate) key: Vec<String>,
    pub(crate) schema: Option<Value>,
    /// It is read in full each time: there is nothing to go on from.
    pub(crate) whole: bool,
}

/// A program of some protocol, and what it can read.
#[async_trait]
pub(crate) trait Bridge: Debug + Send + Sync + 'static {
    /// All collections, in the program's order.
    fn streams(&self) -> &[Stream];

    /// Reads the collection at a place in the order after a cursor, to its end.
    async fn read(&self, at: usize, stream: &Stream, from: Option<Cursor>, out: &Emitter) -> Result<()>;
}

/// An account now, read by one program for each collection.
#[derive(Debug)]
pub(crate) struct ProgramSnapshot<B> {
    bridge: Arc<B>,
    /// How many programs may be at work.
    turns: Arc<Semaphore>,
}

impl<B> ProgramSnapshot<B> {
    pub(crate) fn new(bridge: B, at_once: u32) -> Self {
        let turns = usize::try_from(at_once).unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS);
        Self { bridge: Arc::new(bridge), turns: Arc::new(Semaphore::new(turns)) }
    }
}

/// What every bridge can do.
pub(crate) fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::default();
    capabilities.read = true;
    capabilities.incremental = true;
    capabilities.redelivers = true;
    capabilities
}

#[async_trait]
impl<B: Bridge> Snapshot for ProgramSnapshot<B> {
    async fn catalog(&self) -> Result<Catalog> {
        let mut collections = Vec::new();
        for stream in self.bridge.streams() {
            let mut collection = Collection::new(stream.name.clone(), Kind::Other);
            collection.title = stream.name.as_str().replace(['_', '-'], " ");
            collection.key.clone_from(&stream.key);
            if let Some(schema) = &stream.schema {
                collection = collection.with_schema(Json::from_value(schema)?);
            }
            collections.push(collection);
        }
        Ok(Catalog::new(collections))
    }

    async fn coverage(&self) -> Result<Coverage> {
        let mut coverage = Coverage::default();
        for stream in self.bridge.streams() {
            let one = CollectionCoverage::new(Visibility::Partial);
            let one = one.with_reason(if stream.key.is_empty() {
                "the program does not say what its credentials cannot see, and names no key: equal records are held once"
            } else {
                "the program does not say what its credentials cannot see"
            });
            coverage = coverage.with(stream.name.clone(), one);
        }
        Ok(coverage)
    }

    fn feeds(&self) -> FeedStream {
        let feeds: Vec<Result<Feed>> =
            self.bridge.streams().iter().map(|stream| Ok(Feed::slice(stream.name.clone()))).collect();
        stream::iter(feeds).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (bridge, turns) = (Arc::clone(&self.bridge), Arc::clone(&self.turns));
        events(1, move |out| async move {
            let refused = |what| Err(Error::new(ErrorKind::Unsupported, what));
            let FeedKind::Slice { collection, .. } = &request.feed.kind else {
                return refused("a program has no logs");
            };
            if request.sweep {
                return refused("a program does not list what exists without its content");
            }
            if matches!(request.only, Only::Records(_)) {
                return refused("a program does not read single records");
            }
            let stream = bridge.streams().iter().enumerate().find(|(_, stream)| &stream.name == collection);
            let Some((at, stream)) = stream.filter(|_| request.only.wants(collection)) else {
                return out.emit(Event::Done(Done::changes(request.feed.scope()))).await;
            };
            let _turn =
                turns.acquire().await.map_err(|_| Error::new(ErrorKind::Cancelled, "the snapshot is closed"))?;
            bridge.read(at, stream, request.from, &out).await
        })
    }

    async fn open(&self, _: &Key, _: &BlobRef, _: Option<Range<u64>>) -> Result<ByteStream> {
        Err(Error::new(ErrorKind::Unsupported, "what a program reads has no attachments"))
    }
}
