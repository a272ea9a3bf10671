use std::ops::Range;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use saas_backup_core::{
    BlobRef, ByteStream, Catalog, CollectionName, Coverage, Error, ErrorKind, EventStream, Feed, FeedId, FeedKind,
    FeedStream, Key, Only, ReadRequest, Result, Snapshot, Visibility,
};

use super::client::Api;
use super::position::Position;
use super::reader::Reader;

/// The account as it is now.
#[derive(Debug)]
pub(super) struct OpenExportSnapshot {
    api: Api,
    catalog: Catalog,
    coverage: Coverage,
}

impl OpenExportSnapshot {
    pub(super) fn new(api: Api, catalog: Catalog, coverage: Coverage) -> Self {
        Self { api, catalog, coverage }
    }

    /// The collections that the token reads: of the others there is nothing to ask for.
    fn readable(&self) -> impl Iterator<Item = CollectionName> {
        let hidden = |name: &CollectionName| {
            self.coverage.collections.get(name).is_some_and(|coverage| coverage.visible == Visibility::None)
        };
        self.catalog.names().filter(move |name| !hidden(name)).cloned()
    }

    fn reader(&self, mut request: ReadRequest) -> Result<Reader> {
        let (api, feed) = (self.api.clone(), request.feed);
        if request.sweep {
            return Err(Error::new(ErrorKind::Unsupported, "this connector has no sweeps"));
        }
        let scope = feed.scope();
        match (request.only, &feed.kind) {
            (Only::Records(keys), _) => return Ok(Reader::records(api, scope, keys)),
            (only, FeedKind::Slice { collection, .. }) if !only.wants(collection) => {
                return Ok(Reader::records(api, scope, Vec::new()));
            }
            (only, _) => request.only = only,
        }
        match (request.from, feed.kind) {
            (None, FeedKind::Slice { collection, .. }) => Ok(Reader::full(api, collection)),
            (None, _) => Ok(Reader::head(api, scope)),
            (Some(cursor), kind) => {
                let position = Position::of(&cursor)?;
                if matches!((&kind, &position), (FeedKind::Log, Position::Snapshot { .. })) {
                    return Err(Error::new(ErrorKind::CursorExpired, "the cursor is not one of a log"));
                }
                Ok(Reader::from(api, scope, position, request.only))
            }
        }
    }
}

#[async_trait]
impl Snapshot for OpenExportSnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(self.catalog.clone())
    }

    async fn coverage(&self) -> Result<Coverage> {
        Ok(self.coverage.clone())
    }

    fn feeds(&self) -> FeedStream {
        let names: Vec<CollectionName> = self.readable().collect();
        let log = Feed::log(FeedId::from_static("changes:log"), names.clone());
        stream::iter([log].into_iter().chain(names.into_iter().map(Feed::slice)).map(Ok)).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        stream::once(std::future::ready(self.reader(request).map(Reader::into_events))).try_flatten().boxed()
    }

    async fn open(&self, _owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.api.blob(blob, range).await
    }
}
