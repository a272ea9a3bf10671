use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use saas_backup_core::{
    BlobRef, ByteStream, Catalog, CollectionName, Coverage, Done, Emitter, Error, ErrorKind, Event, EventStream, Feed,
    FeedId, FeedKind, FeedStream, Gap, Key, Only, ReadRequest, RecordId, Result, Snapshot, events,
};
use tokio_postgres::GenericClient;

use super::catalog::{DEFINITIONS, LARGE_OBJECTS, SEQUENCES, catalog, coverage};
use super::error::refused;
use super::position::Position;
use super::rows::Rows;
use super::structure::{Hidden, Structure, Table, short_digest};
use super::view::View;
use super::{Database, definitions, log, objects, rows, sequences};

/// Events that wait to be taken.
const CAPACITY: usize = 256;

/// The database as it is now.
#[derive(Debug)]
pub(super) struct DatabaseSnapshot {
    pub(super) shared: Arc<Shared>,
}

/// What all reads of one snapshot share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) database: Arc<Database>,
    /// The tables when the snapshot was opened.
    structure: Structure,
    untold: Vec<(String, i64)>,
    /// The view in which tables are read; made when it is needed, and anew after the log was read.
    view: tokio::sync::Mutex<Option<Arc<View>>>,
    notes: Mutex<Notes>,
}

/// What the log must know of what else was read.
#[derive(Debug, Default)]
struct Notes {
    /// Transactions under way when the log's first position was taken.
    at_begin: BTreeSet<u64>,
    /// Those of them that the view did not see.
    suspects: BTreeSet<u64>,
    /// The form in which each collection was read.
    shapes: BTreeMap<String, String>,
}

impl Shared {
    pub(super) fn new(database: Arc<Database>, structure: Structure, untold: Vec<(String, i64)>) -> Self {
        Self { database, structure, untold, view: tokio::sync::Mutex::default(), notes: Mutex::default() }
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn view(&self) -> Result<Arc<View>> {
        let mut open = self.view.lock().await;
        if let Some(view) = &*open {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(View::open(&self.database).await?);
        let mut notes = self.notes();
        notes.suspects = notes.at_begin.intersection(&view.running).copied().collect();
        drop(notes);
        *open = Some(Arc::clone(&view));
        Ok(view)
    }

    /// Lets the server go on: a view that stays open keeps it from tidying up.
    pub(super) async fn close_view(&self) {
        self.view.lock().await.take();
    }

    pub(super) fn log_begins(&self, running: BTreeSet<u64>) {
        self.notes().at_begin = running;
    }

    pub(super) fn suspects(&self) -> BTreeSet<u64> {
        self.notes().suspects.clone()
    }

    pub(super) fn shapes_read(&self) -> BTreeMap<String, String> {
        self.notes().shapes.clone()
    }

    fn was_read(&self, collection: &CollectionName, shape: String) {
        self.notes().shapes.insert(collection.as_str().to_owned(), shape);
    }

    /// The feeds, after the server was told what to keep its log of.
    async fn feeds(self: Arc<Self>) -> Result<Vec<Feed>> {
        let settings = &self.database.settings;
        let fixed = [DEFINITIONS, SEQUENCES, LARGE_OBJECTS].map(CollectionName::from_static);
        let tables = self.structure.tables.iter().map(|table| table.collection.clone());
        let names: Vec<CollectionName> = fixed.into_iter().chain(tables).collect();
        let mut feeds = Vec::new();
        if settings.increments {
            let session = self.database.server.connect().await?;
            self.database.publication.publish(&session, &self.structure).await?;
            self.database.server.hand_back(session);
            let hidden = |name: &CollectionName| self.structure.table(name).is_some_and(|table| table.hidden.is_some());
            let covers = names.iter().filter(|name| !hidden(name)).cloned().collect();
            feeds.push(Feed::log(FeedId::parse(format!("log:{}", settings.slot))?, covers));
        }
        feeds.extend(names.into_iter().map(Feed::slice));
        Ok(feeds)
    }

    async fn definitions(&self, out: &Emitter) -> Result<()> {
        let view = self.view().await?;
        let session = view.session(&self.database).await?;
        let found = definitions::read(&*session, &self.database.settings.schemas).await?;
        self.was_read(&CollectionName::from_static(DEFINITIONS), definitions::shape(&found)?);
        for definition in found {
            out.emit(Event::Put(Box::new(definition.record()?))).await?;
        }
        Ok(())
    }

    async fn sequences(&self, out: &Emitter) -> Result<()> {
        let session = self.database.server.connect().await?;
        for record in sequences::read(&*session, &self.database.settings.schemas).await? {
            out.emit(Event::Put(Box::new(record))).await?;
        }
        Ok(())
    }

    async fn objects(&self, out: &Emitter) -> Result<()> {
        let view = self.view().await?;
        let session = view.session(&self.database).await?;
        let events = objects::read_all(&*session).await?;
        self.was_read(&CollectionName::from_static(LARGE_OBJECTS), objects::shape(&events));
        for event in events {
            out.emit(event).await?;
        }
        Ok(())
    }

    /// Reads a whole table.
    async fn table(self: Arc<Self>, collection: CollectionName) -> Result<EventStream> {
        let view = self.view().await?;
        let table = view.structure.table(&collection).cloned().ok_or_else(|| gone(&collection))?;
        let scope = Feed::slice(collection.clone()).scope();
        if let Some(hidden) = &table.hidden {
            let hole = Event::Gap(Gap::collection(collection, &withheld(&table, hidden)));
            return Ok(stream::iter([Ok(hole), Ok(Event::Done(Done::changes(scope)))]).boxed());
        }
        let session = view.session(&self.database).await?;
        let shape = if self.database.settings.increments && !view.followed.contains(&table.oid) {
            print_of(&*session, &table).await?
        } else {
            table.full_shape()
        };
        self.was_read(&collection, shape);
        let rows = Rows::open(session, table).await?;
        let batches = stream::try_unfold((rows, view), |(mut rows, view)| async move {
            Ok::<_, Error>(rows.batch().await?.map(|batch| (stream::iter(batch.into_iter().map(Ok)), (rows, view))))
        });
        Ok(batches.try_flatten().chain(stream::iter([Ok(Event::Done(Done::full(scope)))])).boxed())
    }

    /// Reads some records again as they are now.
    async fn records(self: Arc<Self>, feed: Feed, keys: Vec<Key>, out: Emitter) -> Result<()> {
        let mut by_collection: BTreeMap<CollectionName, Vec<RecordId>> = BTreeMap::new();
        for key in keys {
            by_collection.entry(key.collection).or_default().push(key.id);
        }
        let session = self.database.server.connect().await?;
        for (collection, ids) in by_collection {
            if let Some(table) = self.structure.table(&collection) {
                if let Some(hidden) = &table.hidden {
                    return Err(withheld(table, hidden));
                }
                for event in rows::again(&session, table, &ids).await? {
                    out.emit(event).await?;
                }
                continue;
            }
            self.fixed_records(&session, &collection, &ids, &out).await?;
        }
        out.emit(Event::Done(Done::changes(feed.scope()))).await
    }

    async fn fixed_records(
        &self,
        session: &super::client::Connection,
        collection: &CollectionName,
        ids: &[RecordId],
        out: &Emitter,
    ) -> Result<()> {
        let schemas = &self.database.settings.schemas;
        let mut found = BTreeMap::new();
        match collection.as_str() {
            DEFINITIONS => {
                for definition in definitions::read(&**session, schemas).await? {
                    let record = definition.record()?;
                    found.insert(record.key.id.clone(), Event::Put(Box::new(record)));
                }
            }
            SEQUENCES => {
                for record in sequences::read(&**session, schemas).await? {
                    found.insert(record.key.id.clone(), Event::Put(Box::new(record)));
                }
            }
            LARGE_OBJECTS => {
                let view = self.view().await?;
                let session = view.session(&self.database).await?;
                for event in objects::read_all(&*session).await? {
                    if let Some(key) = event.key().filter(|key| ids.contains(&key.id)) {
                        found.insert(key.id, event);
                    }
                }
            }
            _ => {}
        }
        for id in ids {
            let gone = || {
                let key = Key::new(collection.clone(), id.clone());
                Event::Delete(saas_backup_core::Deletion::new(key, saas_backup_core::DeletionReason::Deleted))
            };
            out.emit(found.remove(id).unwrap_or_else(gone)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Snapshot for DatabaseSnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        catalog(&self.shared.structure)
    }

    async fn coverage(&self) -> Result<Coverage> {
        Ok(coverage(&self.shared.structure, &self.shared.untold, self.shared.database.settings.increments))
    }

    fn feeds(&self) -> FeedStream {
        let listed = stream::once(Arc::clone(&self.shared).feeds());
        listed.map_ok(|feeds| stream::iter(feeds.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let shared = Arc::clone(&self.shared);
        let ReadRequest { feed, from, only, .. } = request;
        match (only, feed.kind.clone()) {
            (Only::Records(keys), _) => events(CAPACITY, |out| shared.records(feed, keys, out)),
            (only, FeedKind::Slice { collection, .. }) if !only.wants(&collection) => {
                events(CAPACITY, |out| shared.records(feed, Vec::new(), out))
            }
            (_, FeedKind::Slice { collection, .. }) => match collection.as_str() {
                DEFINITIONS | SEQUENCES | LARGE_OBJECTS => events(CAPACITY, |out| async move {
                    match collection.as_str() {
                        DEFINITIONS => shared.definitions(&out).await?,
                        SEQUENCES => shared.sequences(&out).await?,
                        _ => shared.objects(&out).await?,
                    }
                    out.emit(Event::Done(Done::full(feed.scope()))).await
                }),
                _ => stream::once(shared.table(collection)).try_flatten().boxed(),
            },
            (only, _) => match from.map(|cursor| Position::of(&cursor)).transpose() {
                Ok(None) => events(CAPACITY, |out| log::begin(shared, feed, out)),
                Ok(Some(position)) => events(CAPACITY, |out| log::follow(shared, feed, position, only, out)),
                Err(error) => stream::iter([Err(error)]).boxed(),
            },
        }
    }

    async fn open(&self, owner: &Key, _blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        if owner.collection.as_str() != LARGE_OBJECTS {
            return Err(Error::new(ErrorKind::NotFound, "rows have no attachments"));
        }
        let view = self.shared.view().await?;
        let (from, to) = range.map_or((0, None), |range| (range.start, Some(range.end)));
        objects::open(&self.shared.database, view, owner, from, to).await
    }
}

/// What a table is and holds that the log does not tell of, as a digest.
pub(super) async fn print_of(client: &impl GenericClient, table: &Table) -> Result<String> {
    let row = client.query_one(&table.fingerprint(), &[]).await.map_err(refused("a table cannot be read"))?;
    Ok(short_digest(&format!("{}\n{}", table.full_shape(), row.get::<_, &str>(0))))
}

fn withheld(table: &Table, hidden: &Hidden) -> Error {
    Error::new(ErrorKind::PermissionDenied, hidden.reason)
        .with_context("table", &table.collection)
        .with_context("next", &hidden.grant)
}

fn gone(collection: &CollectionName) -> Error {
    Error::new(ErrorKind::NotFound, "the table was dropped meanwhile").with_context("table", collection)
}
