//! A scriptable provider in memory.

mod control;
mod faults;
mod page;
mod position;
mod snapshot;
#[cfg(test)]
mod tests;
mod world;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{
    Account, At, BlobId, Body, Budget, Capabilities, Catalog, Collection, CollectionCoverage, CollectionName,
    Connector, Coverage, Error, ErrorKind, Feed, FeedId, FieldMapping, Key, Kind, Markup, Record, RefRule, Result,
    Sink, SinkOptions, Snapshot, SnapshotOptions, Visibility,
};

use super::Random;
use snapshot::FakeSnapshot;
use world::World;

/// What a test does between two pages; see [`FakeProvider::between_pages`].
type Hook = Arc<dyn Fn(&FakeProvider) + Send + Sync>;

/// A provider in memory that does what a test tells it: pages, moves while it is read, throttles, expires cursors,
/// resets, cuts streams, lies about counts, loses access, commits late, and breaks single rules of a good source.
///
/// It has three collections: `users` (one slice), `tasks` (one slice a project) and `comments` (one slice). A log
/// covers tasks and comments unless [`with_log`](Self::with_log) says something else; users have cursors of their
/// own. Nothing depends on time or chance: the same calls give the same answers. Cloning gives another handle on
/// the same provider, so that a test keeps one while a transfer owns the other.
///
/// ```
/// use futures::TryStreamExt as _;
/// use saas_backup_core::testkit::FakeProvider;
/// use saas_backup_core::{Connector as _, Event, Feed, ReadRequest, SnapshotOptions};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let provider = FakeProvider::new();
/// let ada = provider.put_user("ada", "Ada");
/// let snapshot = provider.snapshot(SnapshotOptions::default()).await?;
/// let events: Vec<Event> = snapshot.read(ReadRequest::new(Feed::slice(FakeProvider::users()))).try_collect().await?;
/// assert_eq!(events[0].key(), Some(ada));
/// # Ok::<_, saas_backup_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct FakeProvider(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    hook: Mutex<Option<Hook>>,
    requests: Mutex<Vec<Request>>,
}

/// A rule that a good source keeps; each can be broken to see that the copy then goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The position of a full read is taken before its first page. Broken: after its last one.
    PositionBeforePages,
    /// A position counts commits. Broken: it is the largest time of change that was seen.
    PositionsFollowCommits,
    /// A full read says that it is full. Broken: nobody can infer what is gone.
    FullReadsSaySo,
    /// A dead cursor is refused. Broken: it silently goes on from now.
    ExpiryIsTold,
    /// A restored provider has a new generation. Broken: old cursors go on.
    Generations,
    /// Who may see a record is judged when it is served. Broken: when it was changed.
    AccessWhenServed,
    /// Pages follow a stable key. Broken: they count rows.
    StablePages,
}

impl Rule {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::PositionBeforePages,
        Self::PositionsFollowCommits,
        Self::FullReadsSaySo,
        Self::ExpiryIsTold,
        Self::Generations,
        Self::AccessWhenServed,
        Self::StablePages,
    ];
}

/// One request that the fake provider answered or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The credentials were checked.
    Check,
    /// The catalog was read.
    Catalog,
    /// The coverage was read.
    Coverage,
    /// A log was asked for its position.
    Position {
        /// The log.
        feed: FeedId,
    },
    /// One page of a feed.
    Page {
        /// The feed.
        feed: FeedId,
        /// A page of a full read, or of changes.
        full: bool,
    },
    /// One page of a listing of ids and versions.
    Listing {
        /// The feed.
        feed: FeedId,
    },
    /// Single records.
    Records {
        /// The feed.
        feed: FeedId,
        /// Which.
        keys: Vec<Key>,
    },
    /// The bytes of a blob.
    Blob {
        /// The record that it belongs to.
        owner: Key,
        /// The blob.
        id: BlobId,
        /// The part of it.
        range: Option<Range<u64>>,
    },
}

/// A change that has begun and is not visible yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use = "a change becomes visible when it is committed"]
pub struct Transaction(u64);

impl Default for FakeProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeProvider {
    /// An empty provider with a log over tasks and comments and three records a page.
    pub fn new() -> Self {
        let world = World::new(vec![Self::tasks(), Self::comments()]);
        Self(Arc::new(Inner { world: Mutex::new(world), hook: Mutex::default(), requests: Mutex::default() }))
    }

    /// A provider with so many tasks in four projects, a comment on every second one, an attachment on every fifth,
    /// and a user for every tenth; the same for the same seed.
    pub fn seeded(seed: u64, tasks: usize) -> Self {
        let provider = Self::new();
        let mut random = Random::new(seed);
        for user in 0..tasks.div_ceil(10) {
            provider.put_user(&format!("u{user:04}"), &format!("User {user}"));
        }
        for task in 0..tasks {
            let id = format!("t{task:05}");
            let key = provider.put_task(&format!("p{}", random.below(4)), &id, &format!("Task {}", random.bits()));
            if task % 5 == 0 {
                let size = 1 + random.below(4096);
                let bytes: Vec<u8> = (0..size).map(|_| random.bits() as u8).collect();
                provider.attach(&key, &format!("b{task:05}"), bytes);
            }
            if task % 2 == 0 {
                provider.put_comment(&format!("c{task:05}"), &id, "Zwölf Boxkämpfer ☃");
            }
        }
        provider
    }

    /// Sets which collections the log covers; there is no log if there are none. Before the first read.
    #[must_use]
    pub fn with_log(self, covers: &[CollectionName]) -> Self {
        self.world().log_covers = covers.to_vec();
        self
    }

    /// Sets how many records, or changes, are on a page; at least one.
    #[must_use]
    pub fn with_page_size(self, records: usize) -> Self {
        self.world().page_size = records.max(1);
        self
    }

    /// Sends indented pages.
    #[must_use]
    pub fn with_pretty_pages(self) -> Self {
        self.pretty_print(true);
        self
    }

    /// Never tells of a deletion: a full read or a sweep must infer them.
    #[must_use]
    pub fn without_deletions(self) -> Self {
        self.world().reports_deletions = false;
        self
    }

    /// Breaks a rule.
    #[must_use]
    pub fn breaking(self, rule: Rule) -> Self {
        self.world().broken.insert(rule);
        self
    }

    /// The collection `users`: one slice with cursors of its own.
    pub fn users() -> CollectionName {
        CollectionName::from_static("users")
    }

    /// The collection `tasks`: one slice a project, with attachments.
    pub fn tasks() -> CollectionName {
        CollectionName::from_static("tasks")
    }

    /// The collection `comments`: one slice.
    pub fn comments() -> CollectionName {
        CollectionName::from_static("comments")
    }

    /// The log.
    pub fn log_feed() -> FeedId {
        FeedId::from_static("changes")
    }

    /// Every record that the grant sees now, by key.
    pub fn visible(&self) -> Vec<Record> {
        self.world().visible_records().cloned().collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page_was_read(&self) {
        let hook = self.0.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(self);
        }
    }

    /// Notes a request, and answers it with what is in the way, if anything is.
    async fn answer(&self, budget: &Budget, request: Request) -> Result<()> {
        let _permit = budget.request().await?;
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.world().faults.request().map_or(Ok(()), Err)
    }

    fn feeds(&self) -> Vec<Feed> {
        let world = self.world();
        let mut feeds = Vec::new();
        if !world.log_covers.is_empty() {
            feeds.push(Feed::log(Self::log_feed(), world.log_covers.clone()));
        }
        feeds.push(Feed::slice(Self::users()));
        feeds.extend(world.partitions.iter().filter_map(|partition| {
            let id = FeedId::parse(format!("tasks/{partition}")).ok()?;
            Some(Feed::partition(id, Self::tasks(), partition.clone()))
        }));
        feeds.push(Feed::slice(Self::comments()));
        feeds
    }

    fn catalog() -> Catalog {
        let fields = FieldMapping { title: Some("title".to_owned()), ..FieldMapping::default() };
        let text = FieldMapping { body: Some(Body::new("text", Markup::Plain)), ..FieldMapping::default() };
        Catalog::new(vec![
            Collection::new(Self::users(), Kind::User).with_title("Users").with_fields(fields.clone()),
            Collection::new(Self::tasks(), Kind::Issue)
                .with_title("Tasks")
                .with_ref(RefRule::one("assignee", Self::users()))
                .with_blobs()
                .with_fields(fields),
            Collection::new(Self::comments(), Kind::Comment)
                .with_title("Comments")
                .with_ref(RefRule::one("task", Self::tasks()).required())
                .with_fields(text),
        ])
    }

    fn coverage(&self) -> Coverage {
        let world = self.world();
        [Self::users(), Self::tasks(), Self::comments()].into_iter().fold(Coverage::default(), |coverage, name| {
            let sees = world.faults.sees(&name);
            let records = world.visible_records().filter(|record| record.key.collection == name).count() as u64;
            let count = records.saturating_add_signed(world.faults.count_delta);
            let collection = if sees {
                CollectionCoverage::new(Visibility::All).with_count(count, true)
            } else {
                CollectionCoverage::new(Visibility::None).with_reason("scope")
            };
            coverage.with(name, collection)
        })
    }
}

impl fmt::Debug for FakeProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FakeProvider").field("world", &*self.world()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Connector for FakeProvider {
    fn capabilities(&self) -> Capabilities {
        let world = self.world();
        Capabilities {
            read: true,
            incremental: true,
            logs: !world.log_covers.is_empty(),
            reports_deletions: world.reports_deletions,
            sweeps: true,
            reads_records: true,
            blobs: true,
            blob_ranges: true,
            ..Capabilities::default()
        }
    }

    async fn check(&self) -> Result<Account> {
        self.answer(&Budget::default(), Request::Check).await?;
        Ok(Account::new("fake", "A provider in memory"))
    }

    async fn snapshot(&self, options: SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        if options.at != At::Now {
            return Err(Error::new(ErrorKind::Unsupported, "the provider only knows the present"));
        }
        Ok(Box::new(FakeSnapshot { provider: self.clone(), budget: options.budget }))
    }

    async fn sink(&self, _: SinkOptions) -> Result<Box<dyn Sink>> {
        Err(Error::new(ErrorKind::Unsupported, "the provider takes nothing back"))
    }
}
