use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use saas_backup_core::{Error, ErrorKind, Permit, Result};
use saas_backup_http::PageGuard;
use serde::{Deserialize, Serialize};

use crate::extract::{Item, Selected};
use crate::job::Job;
use crate::paginate::{Paginator, Seen};
use crate::request::{Answer, Parts, is_ignored};
use crate::shared::Shared;
use crate::slice::{DatetimeCursor, Intervals, Partition, SliceView, Window};
use crate::stream::Stream;
use crate::template::{Scope, Value, value_of};
use crate::time::Moment;

/// Where the reading of one partition stands: what a cursor holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Position {
    /// The time up to which earlier runs read, in microseconds of Unix time, as records told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// What this run has read, if it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) read: Option<Intervals>,
    /// The window that is being read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Place>,
}

/// A page that was not read yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The bounds of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<(i64, i64)>,
    /// The token of the page.
    token: serde_json::Value,
    /// The latest time that the window's records held so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<i64>,
}

/// The records of a page, and where the reading stands after it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// None where the reading cannot go on from here.
    pub(crate) position: Option<Position>,
    /// What could not be read, though the reading goes on.
    pub(crate) gaps: Vec<Error>,
    /// The share of the byte budget that the records take.
    #[expect(dead_code, reason = "held until the records are given back")]
    permit: Option<Permit>,
}

/// Reads one partition of a collection, page by page.
#[derive(Debug)]
pub(crate) struct Walk {
    stream: Arc<Stream>,
    partition: Arc<Partition>,
    shared: Arc<Shared>,
    lag: TimeDelta,
    since: Option<i64>,
    read: Intervals,
    windows: Option<VecDeque<Option<Arc<Window>>>>,
    open: Option<Open>,
    /// Whether it goes on in the middle of a window.
    continued: bool,
    /// Whether the page to go on with has not answered yet.
    resumed: bool,
    ended: bool,
    /// A job whose records were given, as its requests see it.
    done: Option<Scope>,
}

#[derive(Debug, Default)]
struct Open {
    window: Option<Arc<Window>>,
    /// What prepared the window's records, where something has to.
    job: Option<Job>,
    token: Option<Value>,
    latest: Option<i64>,
    guard: PageGuard,
    /// Records of its pages since it was opened.
    counted: usize,
}

impl Open {
    /// Goes on from the latest time that was seen, with pages counted anew: the provider gives so many of one list.
    fn narrow(&mut self, cursor: &DatetimeCursor, read: &mut Intervals) -> Result<()> {
        let window = self.window.as_ref();
        let parts = window.zip(self.latest).filter(|(window, latest)| *latest > window.start.micros());
        let narrowed = parts.and_then(|(window, latest)| {
            let start = window.start.micros();
            Some((cursor.window_at(start, latest)?, cursor.window_at(latest, window.end.micros())?))
        });
        let Some((before, rest)) = narrowed else {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "more records have the same time than the provider gives",
            ));
        };
        cursor.close(read, &before, self.latest);
        *self = Self { window: Some(rest), guard: PageGuard::default(), counted: 0, ..std::mem::take(self) };
        Ok(())
    }
}

impl Walk {
    /// Reads all of it, without an overlap: to find the partitions of another collection.
    pub(crate) fn whole(stream: Arc<Stream>, partition: Arc<Partition>, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            partition,
            shared,
            lag: TimeDelta::zero(),
            since: None,
            read: Intervals::default(),
            windows: None,
            open: None,
            continued: false,
            resumed: false,
            ended: false,
            done: None,
        }
    }

    /// Reads from a position on; what changed within the overlap before it is read again.
    pub(crate) fn from(
        stream: Arc<Stream>,
        partition: Arc<Partition>,
        shared: Arc<Shared>,
        position: Position,
        lag: TimeDelta,
    ) -> Result<Self> {
        let mut walk = Self::whole(stream, partition, shared);
        walk.lag = lag;
        walk.since = position.since;
        if let Some(cursor) = &walk.stream.cursor {
            walk.read = match position.read {
                Some(read) => read,
                None => cursor.intervals_since(walk.since, &walk.shared)?,
            };
        }
        if let Some(place) = position.at {
            let window = match (place.window, &walk.stream.cursor) {
                (Some((start, end)), Some(cursor)) => cursor.window_at(start, end),
                _ => None,
            };
            let token = Some(place.token).filter(|token| !token.is_null()).map(|token| value_of(&token));
            walk.open =
                Some(Open { window, job: None, token, latest: place.latest, guard: PageGuard::default(), counted: 0 });
            (walk.continued, walk.resumed) = (true, true);
        }
        Ok(walk)
    }

    /// The next page; none after the last.
    ///
    /// # Errors
    ///
    /// What the provider refuses, after the manifest's retries.
    pub(crate) async fn next(&mut self) -> Result<Option<Page>> {
        // Not before: whoever waits for a share of memory must hold none, and the last page held one.
        if let (Some(scope), Some(jobs)) = (self.done.take(), &self.stream.jobs) {
            jobs.delete(&self.shared, &scope).await;
        }
        if self.ended {
            return Ok(None);
        }
        if self.open.is_none() && !self.open_next()? {
            self.ended = true;
            return Ok(None);
        }
        match self.page().await {
            // A token that lapsed since: the window is read from its beginning.
            Err(error) if self.resumed && is_lapsed(&error) => {
                self.resumed = false;
                if let Some(open) = &mut self.open {
                    open.token = self.stream.paginator.as_ref().and_then(Paginator::first);
                    open.latest = None;
                }
                self.page().await.map(Some)
            }
            other => other.map(Some),
        }
    }

    /// Where the reading stands once all is read.
    pub(crate) fn end(&self) -> Position {
        let now = Moment::from(self.shared.clock.now()).micros();
        Position { since: self.stream.cursor.as_ref().and_then(|_| self.read.latest(now)), read: None, at: None }
    }

    fn open_next(&mut self) -> Result<bool> {
        if self.windows.is_none() {
            let windows = match &self.stream.cursor {
                Some(cursor) => {
                    if self.read == Intervals::default() {
                        self.read = cursor.intervals_since(self.since, &self.shared)?;
                    }
                    // The first reading has nothing before it that it would have to overlap.
                    let lag = if self.since.is_some() { self.lag } else { TimeDelta::zero() };
                    cursor.windows(&self.read, lag, &self.shared)?.into_iter().map(Some).collect()
                }
                // Going on in a window that is none means that it is the only one.
                None if self.continued => VecDeque::new(),
                None => VecDeque::from([None]),
            };
            self.windows = Some(windows);
        }
        let Some(window) = self.windows.as_mut().and_then(VecDeque::pop_front) else { return Ok(false) };
        let token = self.stream.paginator.as_ref().and_then(Paginator::first);
        self.open = Some(Open { window, job: None, token, latest: None, guard: PageGuard::default(), counted: 0 });
        Ok(true)
    }

    async fn page(&mut self) -> Result<Page> {
        let stream = Arc::clone(&self.stream);
        let Some(open) = &mut self.open else {
            return Err(Error::new(ErrorKind::Conflict, "no window is open"));
        };
        let slice = Arc::new(SliceView { partition: Arc::clone(&self.partition), window: open.window.clone() });
        let mut scope = scope(&self.shared, slice, open.token.as_ref());
        if let Some(jobs) = &stream.jobs {
            if open.job.is_none() {
                match jobs.run(&self.shared, &scope).await {
                    Ok(Some(job)) => open.job = Some(job),
                    Ok(None) => return Ok(self.empty(None)),
                    Err(error) if is_ignored(&error) => return Ok(self.empty(Some(error))),
                    Err(error) => return Err(error),
                }
            }
            if let Some(job) = &open.job {
                scope = job.within(scope);
            }
        }
        let parts = parts(&stream, &self.partition, open, &scope)?;
        let address = stream.paginator.as_ref().and_then(|paginator| paginator.address(open.token.as_ref()));
        let (answer, mut selected) = match fetch(&stream, &self.shared, &scope, address.as_deref(), &parts).await {
            Err(error) if is_ignored(&error) => return Ok(self.empty(Some(error))),
            fetched => fetched?,
        };
        let mut gaps = Vec::new();
        if selected.missing {
            gaps.push(Error::new(
                ErrorKind::InvalidData,
                "the answer has nothing where the manifest looks for records",
            ));
        }
        let lag = if self.since.is_some() { self.lag } else { TimeDelta::zero() };
        let past = match &stream.cursor {
            Some(cursor) => keep_wanted(cursor, &mut selected, open, self.since, lag, &self.shared)?,
            None => false,
        };
        let token = match &stream.paginator {
            Some(paginator) if !past => {
                let seen = Seen {
                    answer: &answer,
                    decoder: &stream.selector.decoder,
                    extracted: selected.extracted,
                    kept: selected.items.len(),
                    last: selected.items.last(),
                    token: open.token.as_ref(),
                };
                paginator.next(&seen, &scope)?
            }
            _ => None,
        };
        self.resumed = false;
        let mut more = token.is_some();
        if let Some(token) = &token {
            let body: &Bytes = &answer.body;
            open.guard.advance(&crate::template::python_str(token), body)?;
        }
        open.token = token;
        open.counted += selected.extracted;
        if let (Some(limit), Some(cursor), true) = (stream.reset_after, &stream.cursor, more)
            && open.counted >= limit
        {
            open.narrow(cursor, &mut self.read)?;
            open.token = stream.paginator.as_ref().and_then(Paginator::first);
        }
        if let (Some(job), false) = (&mut open.job, more) {
            more = job.advance();
            open.token = stream.paginator.as_ref().and_then(Paginator::first);
            open.guard = PageGuard::default();
            if !more {
                self.done = Some(scope);
            }
        }
        if !more {
            self.close(false);
        }
        // What a job prepared is gone by the next run, or its address: a window is read whole.
        let goes_on = stream.jobs.is_none() || !more;
        let position = goes_on.then(|| self.position(more.then_some(())));
        Ok(Page { items: selected.items, position, gaps, permit: answer.permit })
    }

    /// Ends the open window without records: there are none, or an error is passed over.
    fn empty(&mut self, passed_over: Option<Error>) -> Page {
        self.close(passed_over.is_some());
        let gaps = passed_over.into_iter().collect();
        Page { items: Vec::new(), position: Some(self.position(None)), gaps, permit: None }
    }

    /// Ends the open window. One that was passed over does not count as read.
    fn close(&mut self, passed_over: bool) {
        let Some(open) = self.open.take() else { return };
        if let (Some(cursor), Some(window), false) = (&self.stream.cursor, &open.window, passed_over) {
            cursor.close(&mut self.read, window, open.latest);
        }
    }

    fn position(&self, more: Option<()>) -> Position {
        let at = more.and(self.open.as_ref()).map(|open| Place {
            window: open.window.as_ref().map(|window| (window.start.micros(), window.end.micros())),
            token: open.token.as_ref().and_then(|token| serde_json::to_value(token).ok()).unwrap_or_default(),
            latest: open.latest,
        });
        let read = self.stream.cursor.is_some().then(|| self.read.clone());
        Position { since: self.since, read, at }
    }
}

/// All records of what is read for the sake of others, with the partitions that they stand in.
///
/// # Errors
///
/// What the provider refuses; a gap, too: what is made of the records would be less than there is.
pub(crate) fn all(stream: Arc<Stream>, shared: Arc<Shared>) -> BoxStream<'static, Result<(Arc<Partition>, Item)>> {
    let partitions = Arc::clone(&stream).partitions(Arc::clone(&shared));
    let pages = partitions.map_ok(move |partition| {
        let partition = Arc::new(partition);
        let walk = Walk::whole(Arc::clone(&stream), Arc::clone(&partition), Arc::clone(&shared));
        let pages = stream::try_unfold(walk, |mut walk| async move {
            Ok::<_, Error>(Box::pin(walk.next()).await?.map(|page| (page, walk)))
        });
        pages
            .map(move |page| {
                let page = page?;
                if let Some(gap) = page.gaps.into_iter().next() {
                    return Err(gap);
                }
                let found: Vec<Result<(Arc<Partition>, Item)>> =
                    page.items.into_iter().map(|item| Ok((Arc::clone(&partition), item))).collect();
                Ok(stream::iter(found))
            })
            .try_flatten()
    });
    pages.try_flatten().boxed()
}

/// Keeps the records that are wanted; whether a feed went past them.
fn keep_wanted(
    cursor: &DatetimeCursor,
    selected: &mut Selected,
    open: &mut Open,
    since: Option<i64>,
    lag: TimeDelta,
    shared: &Shared,
) -> Result<bool> {
    let mut past = false;
    let mut kept = Vec::with_capacity(selected.items.len());
    let filters = cursor.filters || cursor.feed;
    let count = selected.items.len();
    for (index, item) in std::mem::take(&mut selected.items).into_iter().enumerate() {
        let time = cursor.time_of(&item)?;
        let wanted = !filters || cursor.wants(time, since, lag, shared)?;
        past |= cursor.feed && !wanted && index + 1 == count;
        if wanted {
            open.latest = open.latest.max(time.map(Moment::micros));
            kept.push(item);
        }
    }
    selected.items = kept;
    Ok(past)
}

/// Asks for a page: in one request, or in several that each give a part of its records.
async fn fetch(
    stream: &Stream,
    shared: &Arc<Shared>,
    scope: &Scope,
    address: Option<&str>,
    parts: &Parts,
) -> Result<(Answer, Selected)> {
    let Some(properties) = &stream.properties else {
        let answer = stream.requester.send(shared, scope, address, parts.clone()).await?;
        let selected = stream.selector.select(&answer, scope)?;
        return Ok((answer, selected));
    };
    let mut whole: Option<(Answer, Selected)> = None;
    for parameter in properties.parameters(shared).await? {
        let mut parts = parts.clone();
        parts.parameters.push(parameter);
        if let Some((answer, selected)) = &mut whole {
            // Whoever waits for a share of memory must hold none: what is kept is a copy.
            selected.items.iter_mut().for_each(|item| item.raw = item.raw.detach());
            (answer.permit, answer.body) = (None, Bytes::new());
        }
        let answer = stream.requester.send(shared, scope, address, parts).await?;
        let mut selected = stream.selector.select(&answer, scope)?;
        if let Some((_, before)) = whole {
            let mut items: Vec<Item> = before.items;
            items.append(&mut selected.items);
            selected.items = items;
            selected.missing |= before.missing;
        }
        whole = Some((answer, selected));
    }
    let missing = || Error::new(ErrorKind::Configuration, "the manifest names no properties");
    let (answer, mut selected) = whole.ok_or_else(missing)?;
    selected.items = properties.merged(selected.items)?;
    Ok((answer, selected))
}

fn scope(shared: &Shared, slice: Arc<SliceView>, token: Option<&Value>) -> Scope {
    let mut scope = shared.scope();
    for (name, value) in &slice.partition.extra {
        scope = scope.with(name.clone(), value.clone());
    }
    let token = match token {
        Some(token) => [("next_page_token".to_owned(), token.clone())]
            .into_iter()
            .collect::<std::collections::BTreeMap<String, Value>>()
            .into(),
        None => Value::from(()),
    };
    scope.with("stream_slice", Value::from_dyn_object(slice)).with("next_page_token", token)
}

/// What the page, the partition and the window add to a request.
fn parts(stream: &Stream, partition: &Partition, open: &Open, scope: &Scope) -> Result<Parts> {
    let mut parts = match &stream.paginator {
        Some(paginator) => paginator.parts(open.token.as_ref(), scope)?,
        None => Parts::default(),
    };
    // A job was ordered for its slice.
    if stream.jobs.is_some() || (open.token.is_some() && stream.slice_once) {
        return Ok(parts);
    }
    let mut slice = match &stream.router {
        Some(router) => router.parts(partition, scope)?,
        None => Parts::default(),
    };
    if let Some(cursor) = &stream.cursor {
        slice.replace(cursor.parts(open.window.as_deref(), scope)?);
    }
    parts.merge(slice)?;
    Ok(parts)
}

/// Whether a refusal may come from a token that was kept too long.
fn is_lapsed(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Configuration | ErrorKind::NotFound | ErrorKind::InvalidData)
}
