use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;

use crate::{
    Capabilities, Catalog, CollectionName, Connector, Cursor, ErrorKind, Event, Extent, Feed, FeedId, FeedKind, Key,
    Only, ReadRequest, RecordId, Result, Snapshot, SnapshotOptions,
};

use super::report::{Finding, Report, applies, ensure};
use super::trace::{Trace, contents, some_keys, spread};
use super::{blobs, connector};

/// Feeds that are read; a source with more is checked by its first ones.
const FEEDS: usize = 64;
/// Checkpoints of one feed that are resumed from.
const CHECKPOINTS: usize = 8;

/// What all checks look at: one full read of everything.
pub(super) struct Source<'a> {
    pub(super) connector: &'a dyn Connector,
    pub(super) capabilities: Capabilities,
    pub(super) snapshot: Box<dyn Snapshot>,
    pub(super) catalog: Catalog,
    pub(super) feeds: Vec<Feed>,
    pub(super) reads: BTreeMap<FeedId, Trace>,
}

/// Checks the snapshots that a connector opens.
///
/// What is behind it must stand still while the checks run, be small (everything is read several times and held in
/// memory), and should hold at least two pages of some collection, a partition, and a blob of some kilobytes: what is
/// not there cannot be checked. It needs a tokio runtime with time; a check that is stuck fails after two minutes.
pub async fn snapshot(connector: &dyn Connector) -> Report {
    let mut report = Report::default();
    let mut source = None;
    report
        .check("a-snapshot-opens-and-reads", "nothing else can be checked without it", async {
            source = Some(Source::read(connector).await?);
            Ok(())
        })
        .await;
    let Some(source) = source else { return report };
    source.feed_checks(&mut report).await;
    source.read_checks(&mut report).await;
    source.repeat_checks(&mut report).await;
    source.cursor_checks(&mut report).await;
    source.part_checks(&mut report).await;
    blobs::checks(&source, &mut report).await;
    report
}

impl<'a> Source<'a> {
    async fn read(connector: &'a dyn Connector) -> Result<Self> {
        let snapshot = connector.snapshot(SnapshotOptions::default()).await?;
        let catalog = snapshot.catalog().await?;
        let mut feeds: Vec<Feed> = snapshot.feeds().try_collect().await?;
        feeds.truncate(FEEDS);
        let mut reads = BTreeMap::new();
        for feed in &feeds {
            reads.insert(feed.id.clone(), Trace::of(snapshot.read(ReadRequest::new(feed.clone()))).await);
        }
        Ok(Self { connector, capabilities: connector.capabilities(), snapshot, catalog, feeds, reads })
    }

    /// The feeds with what a full read gave.
    pub(super) fn traces(&self) -> impl Iterator<Item = (&Feed, &Trace)> {
        self.feeds.iter().filter_map(|feed| Some((feed, self.reads.get(&feed.id)?)))
    }

    fn slices(&self) -> impl Iterator<Item = (&Feed, &Trace)> {
        self.traces().filter(|(feed, _)| !feed.is_log())
    }

    /// What all slices together hold of some collections.
    fn holds(&self, collections: &[CollectionName]) -> BTreeSet<Key> {
        let keys = self.slices().flat_map(|(_, trace)| trace.contents().records.into_keys());
        keys.filter(|key| collections.contains(&key.collection)).collect()
    }

    async fn feed_checks(&self, report: &mut Report) {
        let unique = || {
            let mut names = BTreeSet::new();
            for name in self.catalog.names() {
                ensure!(names.insert(name), "the catalog lists {name} twice");
            }
            Ok(())
        };
        report
            .check("catalog-names-are-unique", "everything else is kept by collection name", async { unique() })
            .await;
        report
            .check("the-catalog-names-what-feeds-cover", "a copy of an unlisted collection cannot be read", async {
                for feed in &self.feeds {
                    for name in &feed.covers {
                        ensure!(self.catalog.get(name).is_some(), "{} covers {name}, which is not listed", feed.id);
                    }
                }
                Ok(())
            })
            .await;
        report
            .check("the-coverage-names-listed-collections", "completeness is reported by collection", async {
                for name in self.snapshot.coverage().await?.collections.keys() {
                    ensure!(self.catalog.get(name).is_some(), "it names {name}, which is not listed");
                }
                Ok(())
            })
            .await;
        report
            .check("feeds-have-unique-and-stable-ids", "cursors are kept by feed id from run to run", self.feed_ids())
            .await;
        report
            .check("logs-come-before-their-slices", "its position must be older than what the slices give", async {
                for (at, log) in self.feeds.iter().enumerate().filter(|(_, feed)| feed.is_log()) {
                    let before = self.feeds.get(..at).unwrap_or_default();
                    let early = before.iter().find(|feed| feed.covers.iter().any(|name| log.covers.contains(name)));
                    ensure!(early.is_none(), "{} is listed before {}", early.map_or("", |f| f.id.as_str()), log.id);
                }
                Ok(())
            })
            .await;
        report
            .check("logs-are-claimed", "the engine plans by the capabilities", async {
                let logs = self.feeds.iter().any(Feed::is_log);
                ensure!(self.capabilities.logs || !logs, "there is a log, and the capabilities name none");
                ensure!(logs || !self.capabilities.logs, "the capabilities name logs, and there is none");
                Ok(())
            })
            .await;
    }

    async fn feed_ids(&self) -> Finding {
        let mut ids = BTreeSet::new();
        for feed in &self.feeds {
            ensure!(ids.insert(&feed.id), "two feeds are called {}", feed.id);
        }
        let again: Vec<Feed> = self.snapshot.feeds().try_collect().await?;
        for feed in &self.feeds {
            ensure!(again.contains(feed), "{} is not in a second list as it was in the first", feed.id);
        }
        Ok(())
    }

    async fn read_checks(&self, report: &mut Report) {
        report
            .check("reads-end-with-done", "an end without it cannot be told from a broken connection", async {
                for (feed, trace) in self.traces() {
                    if let Some(error) = &trace.error {
                        ensure!(false, "{} ends with an error: {error}", feed.id);
                    }
                    ensure!(trace.done().is_some(), "the last event of {} is not done", feed.id);
                }
                Ok(())
            })
            .await;
        report
            .check("nothing-follows-done", "the reader has closed the extent and moved the cursor", async {
                for (feed, trace) in self.traces() {
                    let dones = trace.events.iter().filter(|event| matches!(event, Event::Done(_))).count();
                    ensure!(dones <= 1, "{} says {dones} times that it is done", feed.id);
                    let last = matches!(trace.events.last(), Some(Event::Done(_)));
                    ensure!(dones == 0 || last, "{} goes on after done", feed.id);
                }
                Ok(())
            })
            .await;
        report
            .check("a-full-read-says-full", "else what is gone from the source is live in the copy for ever", async {
                for (feed, trace) in self.slices().filter(|(_, trace)| trace.done().is_some()) {
                    let hole = trace.events.iter().any(|event| matches!(event, Event::Gap(gap) if gap.id.is_none()));
                    ensure!(hole || trace.is_full(), "{} was read from nothing and does not say full", feed.id);
                }
                Ok(())
            })
            .await;
        report
            .check("done-speaks-of-its-feed", "a wrong scope deletes what another feed holds", async {
                for (feed, trace) in self.traces() {
                    let Some(done) = trace.done() else { continue };
                    let foreign = done.scope.collections.iter().find(|name| !feed.covers.contains(name));
                    ensure!(foreign.is_none(), "{} is done with {foreign:?}", feed.id);
                    let wanted = feed.scope().partition;
                    ensure!(
                        wanted.is_none() || done.scope.partition == wanted,
                        "{} is done with more than its partition",
                        feed.id
                    );
                }
                Ok(())
            })
            .await;
        report
            .check("a-new-log-gives-its-position", "the slices are read after it, and the log from it", async {
                applies!(self.capabilities.logs, "it has no log");
                for (feed, trace) in self.traces().filter(|(feed, _)| feed.is_log()) {
                    let changes = trace.done().is_some_and(|done| done.extent == Extent::Changes);
                    let position = matches!(trace.events.first(), Some(Event::Checkpoint(_)));
                    let shape = trace.events.len() == 2 && changes && position;
                    ensure!(shape, "{} gives {} events and not one checkpoint and done", feed.id, trace.events.len());
                }
                Ok(())
            })
            .await;
        report
            .check(
                "events-belong-to-their-feed",
                "one writer a feed: a foreign record is written twice or lost",
                async {
                    for (feed, trace) in self.traces() {
                        let foreign = trace
                            .events
                            .iter()
                            .filter_map(Event::key)
                            .find(|key| !feed.covers.contains(&key.collection));
                        ensure!(foreign.is_none(), "{} speaks of {foreign:?}", feed.id);
                    }
                    Ok(())
                },
            )
            .await;
        report
            .check(
                "records-name-their-partition",
                "a delete from an old partition must not kill a moved record",
                async {
                    for (feed, trace) in self.slices() {
                        let FeedKind::Slice { partition: Some(partition), .. } = &feed.kind else { continue };
                        for record in trace.contents().records.values() {
                            ensure!(
                                record.partition.as_ref() == Some(partition),
                                "{} of {} does not",
                                record.key,
                                feed.id
                            );
                        }
                    }
                    Ok(())
                },
            )
            .await;
    }

    async fn repeat_checks(&self, report: &mut Report) {
        report.check("two-reads-agree", "equal versions mean equal content", self.two_reads()).await;
        report
            .check("a-dropped-stream-loses-nothing", "a run may be cancelled at any time", self.dropped_streams())
            .await;
    }

    async fn two_reads(&self) -> Finding {
        for (feed, trace) in self.slices() {
            let again = Trace::finished(self.snapshot.read(ReadRequest::new(feed.clone()))).await?;
            let lines = trace.contents().differences(&again.contents());
            ensure!(lines.is_empty(), "{} differs:\n{}", feed.id, crate::testkit::compare::summary(&lines));
        }
        Ok(())
    }

    async fn dropped_streams(&self) -> Finding {
        for (feed, trace) in self.slices() {
            let mut stream = self.snapshot.read(ReadRequest::new(feed.clone()));
            for _ in 0..trace.events.len() / 2 {
                stream.try_next().await?;
            }
            drop(stream);
            let again = Trace::finished(self.snapshot.read(ReadRequest::new(feed.clone()))).await?;
            let missing = trace.contents().records.into_keys().find(|key| !again.live_keys().contains(key));
            ensure!(missing.is_none(), "{} no longer gives {missing:?} after a read was dropped", feed.id);
        }
        Ok(())
    }

    async fn cursor_checks(&self, report: &mut Report) {
        report
            .check(
                "checkpoints-resume",
                "a crash goes on from the last one: what it does not cover is lost",
                self.resumes(),
            )
            .await;
        report
            .check("an-increment-of-nothing-is-empty", "the cost of an increment follows the change", self.quiet())
            .await;
        report
            .check(
                "an-unknown-cursor-expires",
                "a newer form of cursor must not be misread",
                self.unknown_cursor(false),
            )
            .await;
        report
            .check(
                "an-error-is-the-last-item",
                "what comes after it would be kept without its cursor",
                self.unknown_cursor(true),
            )
            .await;
    }

    async fn from(&self, feed: &Feed, cursor: &Cursor) -> Trace {
        Trace::of(self.snapshot.read(ReadRequest::new(feed.clone()).with_from(Some(cursor.clone())))).await
    }

    async fn resumes(&self) -> Finding {
        let mut any = false;
        for (feed, trace) in self.slices() {
            let whole = trace.contents();
            for (at, cursor) in spread(&trace.checkpoints(), CHECKPOINTS) {
                any = true;
                let rest = self.from(feed, cursor).await;
                if let Some(error) = &rest.error {
                    ensure!(false, "{} refuses its checkpoint {at}: {error}", feed.id);
                }
                ensure!(rest.done().is_some(), "{} resumed at event {at} does not end with done", feed.id);
                let before = trace.events.get(..at).unwrap_or_default();
                let both: Vec<Event> = before.iter().chain(&rest.events).cloned().collect();
                let lines = whole.differences(&contents(&both));
                ensure!(
                    lines.is_empty(),
                    "{} resumed at event {at} differs:\n{}",
                    feed.id,
                    crate::testkit::compare::summary(&lines)
                );
            }
        }
        applies!(any, "no slice gives a checkpoint");
        Ok(())
    }

    async fn quiet(&self) -> Finding {
        applies!(self.capabilities.incremental, "it is not incremental");
        for (feed, trace) in self.traces() {
            let Some(cursor) = trace.last_cursor() else {
                // What has no position is read in full by every run, which redelivers all of it.
                let whole = self.capabilities.redelivers && !feed.is_log() && trace.is_full();
                ensure!(whole, "{} gives no checkpoint", feed.id);
                continue;
            };
            let increment = self.from(feed, cursor).await;
            if let Some(error) = &increment.error {
                ensure!(false, "{} refuses its last checkpoint: {error}", feed.id);
            }
            let held = trace.contents();
            for (key, record) in &increment.contents().records {
                let same = held.records.get(key) == Some(record);
                let fine = self.capabilities.redelivers && (same || feed.is_log());
                ensure!(fine, "{} gives {key}, and nothing has changed", feed.id);
            }
            let deletion = increment.events.iter().find(|event| matches!(event, Event::Delete(_) | Event::Reset(_)));
            ensure!(deletion.is_none(), "{} deletes or resets, and nothing has changed", feed.id);
            let again = increment.last_cursor().unwrap_or(cursor);
            let second = self.from(feed, again).await;
            ensure!(second.error.is_none(), "{} refuses the cursor of its increment", feed.id);
            let more = second.live_keys().len() > increment.live_keys().len();
            ensure!(!more, "{} gives more in a second increment, and nothing has changed", feed.id);
        }
        Ok(())
    }

    async fn unknown_cursor(&self, look_behind: bool) -> Finding {
        let cursor = Cursor::encode(u32::MAX, &"of a later version")?;
        let mut any = false;
        for (feed, trace) in self.traces().filter(|(_, trace)| trace.last_cursor().is_some()) {
            any = true;
            let read = self.from(feed, &cursor).await;
            if look_behind {
                ensure!(!read.goes_on, "{} goes on after an error", feed.id);
                continue;
            }
            let kind = read.error.as_ref().map(crate::Error::kind);
            let first = read.events.is_empty() && kind == Some(ErrorKind::CursorExpired);
            let events = trace.events.len();
            ensure!(first, "{} answers with {events} events and {kind:?}, not with cursor-expired", feed.id);
        }
        applies!(any, "no feed gives a checkpoint");
        Ok(())
    }

    async fn part_checks(&self, report: &mut Report) {
        report.check("named-records-are-read-alone", "gaps are read again one by one", self.named_records()).await;
        report
            .check(
                "named-collections-filter",
                "a reset of one collection must not cost all others",
                self.named_collections(),
            )
            .await;
        report.check("a-sweep-lists-everything", "what it does not list is taken for deleted", self.sweep()).await;
    }

    async fn named_records(&self) -> Finding {
        let mut any = false;
        for (feed, trace) in self.traces() {
            let known = if feed.is_log() { self.whole(&feed.covers) } else { trace.contents() };
            let mut keys = some_keys(&known, 2);
            let unknown =
                feed.covers.first().map(|name| Key::new(name.clone(), RecordId::from_static("no-such-record")));
            keys.extend(unknown);
            let request = ReadRequest::new(feed.clone()).with_only(Only::Records(keys.clone()));
            let read = Trace::of(self.snapshot.read(request)).await;
            if !self.capabilities.reads_records {
                return connector::refused(read.error.map_or(Ok(()), Err), "a read of single records");
            }
            any = true;
            if let Some(error) = &read.error {
                ensure!(false, "{} refuses single records: {error}", feed.id);
            }
            let got: BTreeSet<Key> = read.events.iter().filter_map(Event::key).collect();
            ensure!(got == keys.iter().cloned().collect(), "{} gives {got:?} where {keys:?} are named", feed.id);
            let lines = restricted(&known, &keys).differences(&read.contents());
            ensure!(
                lines.is_empty(),
                "{} gives something else:\n{}",
                feed.id,
                crate::testkit::compare::summary(&lines)
            );
            let changes = read.done().is_some_and(|done| done.extent == Extent::Changes);
            ensure!(changes, "{} is not done with changes", feed.id);
            ensure!(read.checkpoints().is_empty(), "{} gives a checkpoint for single records", feed.id);
        }
        applies!(any, "there is no feed");
        Ok(())
    }

    fn whole(&self, collections: &[CollectionName]) -> crate::testkit::Contents {
        let mut whole = crate::testkit::Contents::default();
        for (_, trace) in self.slices().filter(|(feed, _)| feed.covers.iter().any(|name| collections.contains(name))) {
            whole.records.extend(trace.contents().records);
        }
        whole
    }

    async fn named_collections(&self) -> Finding {
        let other = CollectionName::from_static("no such collection");
        for (feed, trace) in self.slices() {
            let read = |only| self.snapshot.read(ReadRequest::new(feed.clone()).with_only(Only::Collections(only)));
            let none = Trace::finished(read(vec![other.clone()])).await?;
            ensure!(none.live_keys().is_empty(), "{} gives records where another collection is named", feed.id);
            let all = Trace::finished(read(feed.covers.clone())).await?;
            ensure!(all.live_keys() == trace.live_keys(), "{} gives less where its collection is named", feed.id);
        }
        Ok(())
    }

    async fn sweep(&self) -> Finding {
        let mut any = false;
        for (feed, trace) in self.traces() {
            let from = trace.last_cursor().cloned();
            let request = ReadRequest::new(feed.clone()).with_from(from).with_sweep(true);
            let read = Trace::of(self.snapshot.read(request)).await;
            if !self.capabilities.sweeps {
                return connector::refused(read.error.map_or(Ok(()), Err), "a sweep");
            }
            any = true;
            if let Some(error) = &read.error {
                ensure!(false, "{} refuses to sweep: {error}", feed.id);
            }
            let wanted = if feed.is_log() { self.holds(&feed.covers) } else { trace.live_keys() };
            let missing = wanted.iter().find(|key| !read.live_keys().contains(*key) && !read.gaps().contains(*key));
            ensure!(missing.is_none(), "{} does not list {missing:?}", feed.id);
            ensure!(read.is_full(), "{} does not say full after a sweep", feed.id);
        }
        applies!(any, "there is no feed");
        Ok(())
    }
}

fn restricted(contents: &crate::testkit::Contents, keys: &[Key]) -> crate::testkit::Contents {
    let mut restricted = contents.clone();
    restricted.records.retain(|key, _| keys.contains(key));
    restricted
}
