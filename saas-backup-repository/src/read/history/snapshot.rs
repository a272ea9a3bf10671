use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{
    BlobRef, ByteStream, Catalog, CollectionCoverage, CollectionName, Coverage, Deletion, DeletionReason, Done, Event,
    EventStream, FeedKind, FeedStream, Key, Only, ReadRequest, Result, Scope, Snapshot, Visibility,
};
use tokio::sync::OnceCell;

use super::describe::{History, with_histories};
use super::versions::{has_past, past_versions, record_of_version};
use crate::object::Family;
use crate::read::snapshot::{Reading, View, slices};
use crate::read::{Bounds, Group, Merge, PointSnapshot};

/// A source at a point in time, with what its records were before.
#[derive(Clone, Debug)]
pub(crate) struct HistorySnapshot {
    now: PointSnapshot,
    histories: Arc<OnceCell<Arc<[History]>>>,
}

impl HistorySnapshot {
    pub(crate) fn new(now: PointSnapshot) -> Self {
        Self { now, histories: Arc::default() }
    }

    /// The collections of past versions: those that have some.
    async fn histories(&self) -> Result<&Arc<[History]>> {
        self.histories
            .get_or_try_init(|| async {
                let catalog = self.now.catalog().await?;
                let mut taken: BTreeSet<CollectionName> = catalog.names().cloned().collect();
                let mut histories = Vec::new();
                for collection in &catalog.collections {
                    if self.has_past(&collection.name).await? {
                        let history = History::of(collection, &taken)?;
                        taken.insert(history.name().clone());
                        histories.push(history);
                    }
                }
                Ok(histories.into())
            })
            .await
    }

    /// Whether a collection has past versions. Reads the frames that more than one run may hold keys of.
    async fn has_past(&self, of: &CollectionName) -> Result<bool> {
        let bounds = Bounds { collection: Some(of.clone()), past: true, ..Bounds::all(Family::Data, self.now.at) };
        let mut merge = Merge::open(Arc::clone(&self.now.shared.access), &self.now.map, bounds).await?;
        loop {
            if merge.pass_frame(true).is_some() {
                continue;
            }
            let Some(group) = merge.next().await? else { return Ok(false) };
            if has_past(&group.lines)? {
                return Ok(true);
            }
        }
    }

    async fn history(&self, name: &CollectionName) -> Result<Option<History>> {
        Ok(self.histories().await?.iter().find(|history| history.name() == name).cloned())
    }

    async fn start(self, request: ReadRequest, collection: CollectionName) -> Result<EventStream> {
        let Some(history) = self.history(&collection).await? else { return Ok(self.now.read(request)) };
        if let Only::Records(keys) = request.only {
            return Ok(self.versions(keys, history));
        }
        let is_wanted = request.only.wants(&collection);
        let view: Arc<dyn View> = Arc::new(PastView { snapshot: self.now.clone(), history });
        Ok(Reading::begin(self.now, view, request.from.as_ref(), is_wanted)?.events())
    }

    /// Some versions by their keys.
    fn versions(self, keys: Vec<Key>, history: History) -> EventStream {
        let scope = Scope::collection(history.name().clone());
        let read = stream::iter(keys).then(move |key| {
            let (snapshot, history) = (self.now.clone(), history.clone());
            async move {
                let _request = snapshot.budget.request().await?;
                let found = match record_of_version(&key.id) {
                    Some(of) => snapshot.all_versions(&Key::new(history.of.clone(), of)).await?,
                    None => Vec::new(),
                };
                let mut versions = past_versions(&found, 0, &snapshot.map, &history)?;
                let place = versions.iter().position(|event| matches!(event, Event::Put(record) if record.key == key));
                Ok(match place {
                    Some(place) => versions.swap_remove(place),
                    None => Event::Delete(Deletion::new(key, DeletionReason::Unknown)),
                })
            }
        });
        read.chain(stream::iter([Ok(Event::Done(Done::changes(scope)))])).boxed()
    }
}

/// Reads what the records of a collection were.
#[derive(Debug)]
struct PastView {
    snapshot: PointSnapshot,
    history: History,
}

#[async_trait]
impl View for PastView {
    fn reads(&self) -> &CollectionName {
        &self.history.of
    }

    fn gives(&self) -> &CollectionName {
        self.history.name()
    }

    fn reads_past(&self) -> bool {
        true
    }

    async fn news(&self, group: Group, since: Option<u64>) -> Result<Vec<Event>> {
        let lines = match since {
            None => group.lines,
            // What was before is in runs that hold nothing new.
            Some(_) => self.snapshot.all_versions(&group.key).await?,
        };
        past_versions(&lines, since.unwrap_or(0), &self.snapshot.map, &self.history)
    }
}

#[async_trait]
impl Snapshot for HistorySnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        Ok(with_histories(self.now.catalog().await?, self.histories().await?))
    }

    async fn coverage(&self) -> Result<Coverage> {
        let mut coverage = self.now.coverage().await?;
        for history in self.histories().await?.iter() {
            // What backups saw of them, and that is all that there is of them here.
            coverage = coverage.with(history.name().clone(), CollectionCoverage::new(Visibility::All));
        }
        Ok(coverage)
    }

    fn feeds(&self) -> FeedStream {
        let snapshot = self.clone();
        slices(async move { snapshot.catalog().await })
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        match &request.feed.kind {
            FeedKind::Slice { collection, partition: None } if !request.sweep => {
                let collection = collection.clone();
                stream::once(self.clone().start(request, collection)).try_flatten().boxed()
            }
            _ => self.now.read(request),
        }
    }

    async fn open(&self, owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.now.open(owner, blob, range).await
    }
}
