use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use saas_backup_core::{
    BlobRef, Budget, ByteStream, Catalog, CollectionName, Coverage, Cursor, Deletion, DeletionReason, Done, Error,
    ErrorKind, Event, EventStream, Feed, FeedKind, FeedStream, Key, Line, LineCodec, Only, ReadRequest, RecordId,
    Result, RunReport, Scope, Snapshot,
};
use serde::{Deserialize, Serialize};

use super::{BlobRow, Bounds, Group, Merge};
use crate::layout::Map;
use crate::object::{Family, StoredLine};
use crate::reserved::{self, ReportRow};
use crate::source::Shared;

const CURSOR_VERSION: u32 = 1;
/// Records between two checkpoints.
const PAGE: usize = 1000;

/// A source as it was at a point in time.
#[derive(Clone, Debug)]
pub(crate) struct PointSnapshot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) map: Arc<Map>,
    pub(crate) at: u64,
    pub(crate) budget: Budget,
}

/// Where a read of one collection stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    repository: String,
    source: String,
    /// What was read is as of this point.
    at: u64,
    /// The last id that was read, if the read did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<RecordId>,
    /// The point that the changes are counted from; without it the read is a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    /// The last erasure that the read knew of.
    #[serde(default, skip_serializing_if = "is_zero")]
    erased: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PointSnapshot {
    /// What the last run up to the point reported.
    pub(crate) async fn report(&self) -> Result<Option<RunReport>> {
        let point = self.map.points.iter().rev().find(|(sequence, ..)| *sequence <= self.at);
        let row = self.row(reserved::REPORT, reserved::ONLY).await?;
        let (Some((_, run, point)), Some(row)) = (point, row) else { return Ok(None) };
        let mut report = RunReport::new(*run, point.started);
        (report.finished, report.status, report.coverage) = (point.finished, point.status, self.coverage().await?);
        reserved::value::<ReportRow>(&row.text)?.into_report(&report).map(Some)
    }

    /// The row of the store's own, as of this point.
    pub(crate) async fn row(&self, collection: &'static str, id: &str) -> Result<Option<StoredLine>> {
        let key = reserved::key(collection, id)?;
        let found = self.shared.access.lookup(&self.map, Family::Meta, &key, self.at).await?;
        Ok(found.filter(|line| !line.is_deletion()))
    }

    /// What is true of a record at this point; `None` if the source never held it.
    pub(crate) async fn state_of(&self, key: &Key) -> Result<Option<StoredLine>> {
        self.shared.access.lookup(&self.map, Family::Data, key, self.at).await
    }

    /// What is true of a record at this point, of which newer lines are known than those of a certain one.
    pub(crate) async fn state_of_group(&self, group: &Group) -> Result<Option<StoredLine>> {
        if group.is_decided() { Ok(group.state()) } else { self.state_of(&group.key).await }
    }

    /// How many records of each collection are live. Reads the frames that more than one run may hold keys of, and
    /// takes the others from the indexes.
    pub(crate) async fn count(&self) -> Result<BTreeMap<CollectionName, u64>> {
        let bounds = Bounds::all(Family::Data, self.at);
        let mut merge = Merge::open(Arc::clone(&self.shared.access), &self.map, bounds).await?;
        let mut counts: BTreeMap<CollectionName, u64> = BTreeMap::new();
        loop {
            if let Some((collection, live)) = merge.pass_frame(false) {
                *counts.entry(collection).or_default() += live;
                continue;
            }
            let Some(group) = merge.next().await? else { return Ok(counts) };
            let live = u64::from(group.live().is_some());
            *counts.entry(group.key.collection).or_default() += live;
        }
    }

    fn expired(what: &'static str) -> Error {
        Error::new(ErrorKind::CursorExpired, what)
    }

    /// Refuses changes since a commit after which deletions were left out.
    pub(crate) fn check_horizon(&self, since: u64) -> Result<()> {
        if since < self.map.upkeep.horizon {
            return Err(Self::expired("what was deleted since then is not held any more"));
        }
        Ok(())
    }

    /// Refuses changes to who knows what was erased by a later commit.
    pub(crate) fn check_erased(&self, known: u64) -> Result<()> {
        if known < self.map.upkeep.erased {
            return Err(Self::expired("something was erased since then, and no change tells what"));
        }
        Ok(())
    }

    fn position(&self, from: Option<&Cursor>) -> Result<Option<Position>> {
        let Some(position) = from.map(|cursor| cursor.decode::<Position>(CURSOR_VERSION)).transpose()? else {
            return Ok(None);
        };
        if position.repository != self.shared.repository || position.source != self.shared.name {
            return Err(Self::expired("the cursor is one of another repository or source"));
        }
        self.check_horizon(position.since.unwrap_or(position.at).min(position.at))?;
        self.check_erased(position.erased)?;
        if position.at > self.at {
            return Err(Self::expired("the cursor is newer than this point in time"));
        }
        Ok(Some(position))
    }

    fn cursor(&self, after: Option<RecordId>, since: Option<u64>) -> Result<Cursor> {
        let (repository, source) = (self.shared.repository.clone(), self.shared.name.clone());
        let erased = self.map.upkeep.erased;
        Cursor::encode(CURSOR_VERSION, &Position { repository, source, at: self.at, after, since, erased })
    }

    /// All lines of a key at this point, newest first.
    pub(crate) async fn all_versions(&self, key: &Key) -> Result<Vec<StoredLine>> {
        self.shared.access.versions(&self.map, Family::Data, key, self.at, true).await
    }

    fn records(self, keys: Vec<Key>, collection: CollectionName) -> EventStream {
        let scope = Scope::collection(collection);
        let read = stream::iter(keys).then(move |key| {
            let snapshot = self.clone();
            async move {
                let _request = snapshot.budget.request().await?;
                match snapshot.state_of(&key).await? {
                    Some(line) => event(&line),
                    None => Ok(Event::Delete(Deletion::new(key, DeletionReason::Unknown))),
                }
            }
        });
        read.chain(stream::iter([Ok(Event::Done(Done::changes(scope)))])).boxed()
    }
}

/// The event that a stored line is, with its place in time.
pub(crate) fn event(line: &StoredLine) -> Result<Event> {
    let read = LineCodec::stored().decode(&line.text);
    let read = read.map_err(|error| {
        Error::new(ErrorKind::Integrity, "a stored line does not have the form of one").with_source(error)
    })?;
    match read {
        Line::Put(mut record) => {
            record.sequence = Some(line.sequence);
            Ok(Event::Put(record))
        }
        Line::Delete(mut deletion) => {
            deletion.sequence = Some(line.sequence);
            Ok(Event::Delete(deletion))
        }
        _ => Err(Error::new(ErrorKind::Integrity, "a stored line is neither a record nor a deletion")),
    }
}

/// A range of keys that is read in one way.
#[derive(Debug)]
struct Phase {
    after: Option<Key>,
    until: Option<Key>,
    since: Option<u64>,
}

/// What a read makes of the lines of a key.
#[async_trait]
pub(super) trait View: std::fmt::Debug + Send + Sync {
    /// The collection whose lines are read.
    fn reads(&self) -> &CollectionName;

    /// The collection whose records come of it.
    fn gives(&self) -> &CollectionName;

    /// Whether it needs the lines that say nothing of what is true at the point any more.
    fn reads_past(&self) -> bool;

    /// What a key's lines say to a reader who knows everything up to `since`.
    async fn news(&self, group: Group, since: Option<u64>) -> Result<Vec<Event>>;
}

/// The records as they are.
#[derive(Debug)]
struct States {
    snapshot: PointSnapshot,
    collection: CollectionName,
}

#[async_trait]
impl View for States {
    fn reads(&self) -> &CollectionName {
        &self.collection
    }

    fn gives(&self) -> &CollectionName {
        &self.collection
    }

    fn reads_past(&self) -> bool {
        false
    }

    async fn news(&self, group: Group, since: Option<u64>) -> Result<Vec<Event>> {
        let Some(since) = since else { return group.live().map(event).into_iter().collect() };
        let state = self.snapshot.state_of_group(&group).await?;
        state.filter(|state| state.sequence > since).iter().map(event).collect()
    }
}

/// A read of one collection.
#[derive(Debug)]
pub(super) struct Reading {
    snapshot: PointSnapshot,
    view: Arc<dyn View>,
    phases: VecDeque<Phase>,
    merge: Option<Merge>,
    /// Whether the whole read is one of changes.
    since: Option<u64>,
}

impl Reading {
    pub(super) fn begin(
        snapshot: PointSnapshot,
        view: Arc<dyn View>,
        from: Option<&Cursor>,
        is_wanted: bool,
    ) -> Result<Self> {
        let position = snapshot.position(from)?;
        let key = |id: RecordId| Key::new(view.reads().clone(), id);
        let mut phases = VecDeque::new();
        let since = match position {
            None => {
                phases.push_back(Phase { after: None, until: None, since: None });
                None
            }
            Some(Position { at, after: None, .. }) => {
                phases.push_back(Phase { after: None, until: None, since: Some(at) });
                Some(at)
            }
            Some(Position { at, after: Some(after), since, .. }) => {
                // What was read before was read as of an earlier point: only its changes since are news.
                if at < snapshot.at {
                    phases.push_back(Phase { after: None, until: Some(key(after.clone())), since: Some(at) });
                }
                phases.push_back(Phase { after: Some(key(after)), until: None, since });
                since
            }
        };
        if !is_wanted {
            // The checkpoint covers the feed all the same.
            phases.clear();
        }
        Ok(Self { snapshot, view, phases, merge: None, since })
    }

    pub(super) fn events(self) -> EventStream {
        stream::try_unfold(Some(self), |reading| async move {
            match reading {
                Some(reading) => reading.page().await,
                None => Ok(None),
            }
        })
        .map_ok(|events| stream::iter(events.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
    }

    /// The next events; `None` after the last ones.
    async fn page(mut self) -> Result<Option<(Vec<Event>, Option<Self>)>> {
        let _request = self.snapshot.budget.request().await?;
        let mut events = Vec::new();
        let mut read = 0;
        while let Some(phase) = self.phases.front() {
            if self.merge.is_none() {
                let bounds = Bounds {
                    collection: Some(self.view.reads().clone()),
                    after: phase.after.clone(),
                    since: phase.since.unwrap_or(0),
                    past: self.view.reads_past(),
                    ..Bounds::all(Family::Data, self.snapshot.at)
                };
                let access = Arc::clone(&self.snapshot.shared.access);
                self.merge = Some(Merge::open(access, &self.snapshot.map, bounds).await?);
            }
            let Some(merge) = &mut self.merge else { break };
            let group = merge.next().await?;
            let group = group.filter(|group| phase.until.as_ref().is_none_or(|until| &group.key <= until));
            let Some(group) = group else {
                self.phases.pop_front();
                self.merge = None;
                continue;
            };
            let is_last_phase = self.phases.len() == 1;
            let since = self.phases.front().and_then(|phase| phase.since);
            let id = group.key.id.clone();
            read += group.lines.len();
            events.extend(self.view.news(group, since).await?);
            if read >= PAGE {
                if is_last_phase {
                    events.push(Event::Checkpoint(self.snapshot.cursor(Some(id), self.since)?));
                }
                return Ok(Some((events, Some(self))));
            }
        }
        events.push(Event::Checkpoint(self.snapshot.cursor(None, None)?));
        let scope = Scope::collection(self.view.gives().clone());
        events.push(Event::Done(if self.since.is_some() { Done::changes(scope) } else { Done::full(scope) }));
        Ok(Some((events, None)))
    }
}

/// A feed for each collection of a catalog.
pub(super) fn slices(catalog: impl Future<Output = Result<Catalog>> + Send + 'static) -> FeedStream {
    let feeds = |catalog: Catalog| stream::iter(catalog.names().cloned().map(Feed::slice).map(Ok).collect::<Vec<_>>());
    stream::once(catalog).map_ok(feeds).try_flatten().boxed()
}

#[async_trait]
impl Snapshot for PointSnapshot {
    async fn catalog(&self) -> Result<Catalog> {
        match self.row(reserved::CATALOG, reserved::ONLY).await? {
            Some(line) => reserved::value(&line.text),
            None => Ok(Catalog::default()),
        }
    }

    async fn coverage(&self) -> Result<Coverage> {
        match self.row(reserved::COVERAGE, reserved::ONLY).await? {
            Some(line) => reserved::value(&line.text),
            None => Ok(Coverage::default()),
        }
    }

    fn feeds(&self) -> FeedStream {
        let snapshot = self.clone();
        slices(async move { snapshot.catalog().await })
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let snapshot = self.clone();
        let FeedKind::Slice { collection, partition: None } = request.feed.kind else {
            let error = Error::new(ErrorKind::Unsupported, "a repository's feeds are whole collections");
            return stream::iter([Err(error)]).boxed();
        };
        if request.sweep {
            let error = Error::new(ErrorKind::Unsupported, "a repository reports deletions and needs no sweep");
            return stream::iter([Err(error)]).boxed();
        }
        if let Only::Records(keys) = request.only {
            return snapshot.records(keys, collection);
        }
        let (from, is_wanted) = (request.from, request.only.wants(&collection));
        let view: Arc<dyn View> = Arc::new(States { snapshot: snapshot.clone(), collection });
        stream::once(async move { Reading::begin(snapshot, view, from.as_ref(), is_wanted).map(Reading::events) })
            .try_flatten()
            .boxed()
    }

    async fn open(&self, _owner: &Key, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let gone = || Error::new(ErrorKind::NotFound, "the repository does not hold this blob");
        let id = blob.id.as_ref().ok_or_else(gone)?;
        let _request = self.budget.request().await?;
        let line = self.row(reserved::BLOBS, id.as_str()).await?.ok_or_else(gone)?;
        let row: BlobRow = reserved::value(&line.text)?;
        Arc::clone(&self.shared.access).blob(row, range)
    }
}
