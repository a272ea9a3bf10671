use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use saas_backup_core::{
    BlobId, BlobRef, ByteStream, Catalog, CollectionCoverage, CollectionName, Coverage, Cursor, Digest, Done, Emitter,
    Error, ErrorKind, Event, EventStream, Feed, FeedId, FeedKind, FeedStream, Gap, Key, Only, PartitionId, ReadRequest,
    Record, RecordId, Reference, References, Result, Snapshot, Visibility, events,
};
use saas_backup_http::{Client, Request};
use url::Url;

use super::catalog::catalog;
use super::envelope::{self, Found, Within};
use super::open::Opened;
use super::overlay::{DeclarativeOverlay, RecordRules};
use crate::extract::Item;
use crate::plan::Plan;
use crate::shared::Shared;
use crate::slice::Partition;
use crate::stream::Stream;
use crate::walk::{Position, Walk};

/// Of our cursors.
const CURSOR_VERSION: u32 = 1;
/// Most addresses of attachments that are remembered until they are opened.
const MAX_ADDRESSES: usize = 100_000;

/// An account now.
#[derive(Debug)]
pub(super) struct ManifestSnapshot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    plan: Plan,
    overlay: DeclarativeOverlay,
    catalog: Catalog,
    client: Client,
    lag: TimeDelta,
    /// The partitions that were listed, by their feeds; or why they could not be.
    listed: Mutex<HashMap<FeedId, Listed>>,
    /// Where attachments are: with what signs the address, which is in no record's envelope.
    addresses: Mutex<HashMap<BlobId, Place>>,
}

/// Where an attachment is.
#[derive(Clone, Debug)]
enum Place {
    /// At an address, with the credentials of a collection if they are needed.
    Address(Url, Option<CollectionName>),
    /// What the collection's own request for files is made of.
    Target(String),
}

#[derive(Clone, Debug)]
enum Listed {
    Partition(Arc<Partition>),
    Failed(String, ErrorKind),
}

impl ManifestSnapshot {
    pub(super) async fn open(opened: &Opened, shared: Arc<Shared>, plan: Plan) -> Result<Self> {
        let mut overlay = opened.overlay.clone();
        let mut catalog = catalog(&plan, &overlay, &shared).await?;
        if opened.guesses {
            overlay.guess(&mut catalog)?;
        }
        Ok(Self(Arc::new(Inner {
            shared,
            plan,
            overlay,
            catalog,
            client: opened.client.clone(),
            lag: opened.lag,
            listed: Mutex::default(),
            addresses: Mutex::default(),
        })))
    }
}

#[async_trait]
impl Snapshot for ManifestSnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(self.0.catalog.clone())
    }

    async fn coverage(&self) -> Result<Coverage> {
        let mut coverage = Coverage::default();
        for planned in &self.0.plan.streams {
            let name = CollectionName::parse(planned.name.clone())?;
            let one = match &planned.stream {
                Ok(stream) if stream.cursor.is_some() => CollectionCoverage::new(Visibility::Partial).with_reason(
                    "the manifest reads from a start on, and the provider does not say what lies before it",
                ),
                Ok(_) => CollectionCoverage::new(Visibility::All),
                Err(error) => CollectionCoverage::new(Visibility::None).with_reason(error.to_string()),
            };
            coverage = coverage.with(name, one);
        }
        Ok(coverage)
    }

    fn feeds(&self) -> FeedStream {
        let inner = Arc::clone(&self.0);
        let streams: Vec<(String, Option<Arc<Stream>>)> = inner
            .plan
            .streams
            .iter()
            .map(|planned| (planned.name.clone(), planned.stream.as_ref().ok().map(Arc::clone)))
            .collect();
        stream::iter(streams).flat_map(move |(name, found)| Arc::clone(&inner).feeds_of(name, found)).boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let inner = Arc::clone(&self.0);
        // One event waits at most, so that a page's memory is given back when its last record is taken.
        events(1, move |out| async move { inner.read(request, out).await })
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let gone =
            || Error::new(ErrorKind::NotFound, "where the attachment lies is not known: it is read with its record");
        let id = blob.id.as_ref().ok_or_else(gone)?;
        let known = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let owners = self.0.plan.get(owner.collection.as_str()).and_then(|planned| planned.stream.as_ref().ok());
        let uploader = owners.and_then(|stream| stream.uploader.as_ref());
        let (text, _) = id.as_str().split_once('#').unwrap_or((id.as_str(), ""));
        let place = match (known, uploader) {
            (Some(place), _) => place,
            (None, Some(_)) => Place::Target(id.as_str().to_owned()),
            (None, None) => {
                let rules = self.0.overlay.records.get(owner.collection.as_str());
                let authorize = rules.is_some_and(|rules| rules.blobs.iter().any(|rule| rule.authorize));
                Place::Address(text.parse().map_err(|_| gone())?, authorize.then(|| owner.collection.clone()))
            }
        };
        let request = match (place, uploader) {
            (Place::Target(target), Some(uploader)) => uploader.request(&target, &self.0.shared).await?,
            (Place::Target(_), None) => return Err(gone()),
            (Place::Address(url, authorize), _) => {
                let mut request = Request::get(url.clone());
                let planned = authorize.and_then(|collection| self.0.plan.get(collection.as_str()));
                if let Some(Ok(stream)) = planned.map(|planned| &planned.stream) {
                    for (name, value) in stream.provider().authorization(&self.0.shared, &url).await? {
                        request = request.header(name, value);
                    }
                }
                request
            }
        };
        self.0.client.download(request, range).await
    }
}

impl Inner {
    /// The feeds of a collection. Partitions that cannot be listed are a feed that says so: otherwise they would seem to be
    /// gone.
    fn feeds_of(self: Arc<Self>, name: String, found: Option<Arc<Stream>>) -> FeedStream {
        let collection = match CollectionName::parse(name) {
            Ok(collection) => collection,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let Some(stream) = found.filter(|stream| stream.router.is_some()) else {
            return stream::iter([Ok(Feed::slice(collection))]).boxed();
        };
        let partitions = stream.partitions(Arc::clone(&self.shared));
        partitions
            .map(move |partition| match partition {
                Ok(partition) => self.listed(&collection, partition),
                Err(error) => {
                    let feed = Feed::slice(collection.clone());
                    self.note(&feed.id, Listed::Failed(error.to_string(), error.kind()));
                    Ok(feed)
                }
            })
            .boxed()
    }

    fn listed(&self, collection: &CollectionName, partition: Partition) -> Result<Feed> {
        let place = partition.id()?;
        let feed = Feed::partition(feed_id(collection, &place)?, collection.clone(), place);
        self.note(&feed.id, Listed::Partition(Arc::new(partition)));
        Ok(feed)
    }

    /// A partition that was listed by an earlier snapshot.
    async fn find(&self, stream: &Arc<Stream>, collection: &CollectionName, wanted: &FeedId) -> Result<Arc<Partition>> {
        let mut partitions = Arc::clone(stream).partitions(Arc::clone(&self.shared));
        while let Some(partition) = partitions.try_next().await? {
            if feed_id(collection, &partition.id()?)? == *wanted {
                return Ok(Arc::new(partition));
            }
        }
        Err(Error::new(ErrorKind::NotFound, "the provider has no such partition any more"))
    }

    fn note(&self, id: &FeedId, listed: Listed) {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), listed);
    }

    async fn read(self: Arc<Self>, request: ReadRequest, out: Emitter) -> Result<()> {
        let FeedKind::Slice { collection, partition } = &request.feed.kind else {
            return Err(Error::new(ErrorKind::Unsupported, "a manifest has no logs"));
        };
        let scope = request.feed.scope();
        let Some(planned) = self.plan.get(collection.as_str()).filter(|_| request.only.wants(collection)) else {
            return out.emit(Event::Done(Done::changes(scope))).await;
        };
        let stream = match &planned.stream {
            Ok(stream) => Arc::clone(stream),
            Err(error) => return Err(again(error)),
        };
        if request.sweep {
            return Err(Error::new(ErrorKind::Unsupported, "a manifest does not say how ids alone are listed"));
        }
        if matches!(request.only, Only::Records(_)) {
            return Err(Error::new(ErrorKind::Unsupported, "a manifest does not say how single records are read"));
        }
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).get(&request.feed.id).cloned();
        let at = match listed {
            Some(Listed::Partition(at)) => at,
            Some(Listed::Failed(reason, kind)) => {
                let error = Error::new(kind, "the partitions cannot be listed").with_context("reason", reason);
                out.emit(Event::Gap(Gap::collection(collection.clone(), &error))).await?;
                return out.emit(Event::Done(Done::changes(scope))).await;
            }
            None if stream.router.is_none() => Arc::new(Partition::default()),
            None => self.find(&stream, collection, &request.feed.id).await?,
        };
        let position: Position = match &request.from {
            Some(cursor) => cursor.decode(CURSOR_VERSION)?,
            None => Position::default(),
        };
        // What changed since is all that such a reading tells.
        let changes = position.since.is_some();
        let stream = stream.since(position.since, &self.shared)?;
        let mut walk = Walk::from(Arc::clone(&stream), Arc::clone(&at), Arc::clone(&self.shared), position, self.lag)?;
        let within = Within { partition: &at, place: partition.as_ref(), global_ids: self.overlay.global_ids };
        let reading = Reading { inner: &self, stream: &stream, within, out: &out };
        let complete = reading.pages(&mut walk).await?;
        out.emit(Event::Checkpoint(Cursor::encode(CURSOR_VERSION, &walk.end())?)).await?;
        out.emit(Event::Done(if changes || !complete { Done::changes(scope) } else { Done::full(scope) })).await
    }
}

struct Reading<'a> {
    inner: &'a Inner,
    stream: &'a Stream,
    within: Within<'a>,
    out: &'a Emitter,
}

impl Reading<'_> {
    /// Gives what all pages hold; whether nothing is missing.
    async fn pages(&self, walk: &mut Walk) -> Result<bool> {
        let collection = CollectionName::parse(self.stream.name.clone())?;
        let none = RecordRules::default();
        let rules = self.inner.overlay.records.get(&self.stream.name).unwrap_or(&none);
        let refs: Vec<(String, Vec<CollectionName>)> = self
            .inner
            .catalog
            .get(&collection)
            .map(|collection| collection.refs.iter().map(|rule| (rule.name.clone(), rule.to.clone())).collect())
            .unwrap_or_default();
        let mut above = Vec::new();
        for parent in self.stream.router.iter().flat_map(|router| router.parents()) {
            let known = refs.iter().find(|(name, _)| *name == parent.stream.name);
            let id = parent.record_of(self.within.partition, self.within.global_ids)?;
            if let (Some((name, to)), Some(id)) = (known, id)
                && let (Some(to), Ok(id)) = (to.first(), RecordId::parse(id))
            {
                above.push((name.clone(), Reference::new(to.clone(), id)));
            }
        }
        let mut complete = true;
        while let Some(page) = walk.next().await? {
            for gap in &page.gaps {
                complete = false;
                let mut gap = Gap::collection(collection.clone(), gap);
                gap.partition = self.within.place.cloned();
                self.out.emit(Event::Gap(gap)).await?;
            }
            for item in &page.items {
                let mut found = Vec::new();
                match envelope::record(self.stream, rules, &refs, self.within, item, &mut found) {
                    Ok(mut record) => {
                        for (name, reference) in &above {
                            record.refs.entry(name.clone()).or_insert_with(|| References::One(reference.clone()));
                        }
                        let lacks = self.add_file(&mut record, item);
                        self.remember(&collection, found);
                        let key = record.key.clone();
                        self.out.emit(Event::Put(Box::new(record))).await?;
                        if let Err(error) = lacks {
                            self.out.emit(Event::Gap(Gap::record(&key, &error))).await?;
                        }
                    }
                    // A record that does not fit the rules of the store is a gap, not the end of the collection.
                    Err(error) => {
                        complete = false;
                        let mut gap = Gap::collection(collection.clone(), &error);
                        gap.partition = self.within.place.cloned();
                        self.out.emit(Event::Gap(gap)).await?;
                    }
                }
            }
            if let Some(position) = &page.position {
                self.out.emit(Event::Checkpoint(Cursor::encode(CURSOR_VERSION, position)?)).await?;
            }
        }
        Ok(complete)
    }

    /// Adds the file that the manifest names for each record.
    fn add_file(&self, record: &mut Record, item: &Item) -> Result<()> {
        let Some(uploader) = &self.stream.uploader else { return Ok(()) };
        let Some(file) = uploader.file(item, &self.inner.shared)? else { return Ok(()) };
        let id = envelope::blob_id(&file.target)?;
        let mut blob = BlobRef::new(id.clone(), "attachment");
        blob.name = file.name;
        record.blobs.push(blob);
        self.note_place(id, Place::Target(file.target));
        Ok(())
    }

    fn remember(&self, collection: &CollectionName, found: Vec<Found>) {
        for Found { id, url, authorize } in found {
            self.note_place(id, Place::Address(url, authorize.then(|| collection.clone())));
        }
    }

    fn note_place(&self, id: BlobId, place: Place) {
        let mut addresses = self.inner.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() > MAX_ADDRESSES {
            addresses.clear();
        }
        addresses.insert(id, place);
    }
}

fn feed_id(collection: &CollectionName, place: &PartitionId) -> Result<FeedId> {
    let text = format!("{collection}:{place}");
    FeedId::parse(text).or_else(|_| {
        FeedId::parse(format!("{collection}:sha256:{}", Digest::of(place.as_str().as_bytes()).to_base64()))
    })
}

/// The same error once more: it is told each time the collection is read.
fn again(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message().to_owned());
    for (name, value) in error.context() {
        copy = copy.with_context(name, value);
    }
    copy
}
