//! The protocol without HTTP: from a request that was let in to the lines of its answer.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{CollectionName, Digest, Key, Result, Start, StreamKind};

use crate::cursor::{ChangesPosition, Filter, Position, SnapshotPosition};
use crate::params::Params;
use crate::sums::Adder;
use crate::walk::{ChangesWalk, ErasuresWalk, Frame, LineStream, RecordsWalk, SnapshotWalk, lines};
use crate::{
    AccountId, ChangesRequest, ExportConfig, ExportSource, Grant, Head, Principal, ProblemDetails, Scope, Sums,
    Watermark,
};

/// Most records that one request may name.
pub(crate) const MAX_RECORDS: usize = 500;

/// A source and the settings that it is served with.
#[derive(Clone, Debug)]
pub(crate) struct Kit {
    pub(crate) source: Arc<dyn ExportSource>,
    pub(crate) config: Arc<ExportConfig>,
}

/// Lines, and the generation that they belong to.
pub(crate) struct Answer {
    pub(crate) generation: String,
    pub(crate) lines: LineStream,
}

/// What every line of an answer depends on.
pub(crate) struct Context {
    pub(crate) grant: Grant,
    pub(crate) generation: String,
    pub(crate) schema: Digest,
    /// The collections of the schema that the grant reads, in its order.
    pub(crate) collections: Vec<CollectionName>,
    /// The others.
    pub(crate) without: Vec<CollectionName>,
    pub(crate) at: DateTime<Utc>,
}

impl Context {
    pub(crate) fn start(&self, kind: StreamKind) -> Start {
        Start::new(kind, self.grant.account.as_str(), &self.generation, self.schema, self.at)
    }

    /// The collections of a request, each of which must be there and readable.
    fn asked(&self, params: &Params) -> Result<Filter, ProblemDetails> {
        let all: Vec<CollectionName> = self.collections.iter().chain(&self.without).cloned().collect();
        let asked = params.collections(&all)?;
        let refused = asked.0.iter().flatten().find(|name| self.without.contains(name));
        match refused {
            Some(name) => Err(ProblemDetails::insufficient_scope(&Scope::ReadCollection(name.clone()))),
            None if self.collections.is_empty() => Err(ProblemDetails::insufficient_scope(&Scope::Read)),
            None => Ok(asked),
        }
    }

    /// The collections whose readability is another one than when a cursor was made.
    fn regranted(&self, position: &ChangesPosition) -> Vec<CollectionName> {
        let gained = position.without.iter().filter(|name| self.collections.contains(name));
        let lost = self.without.iter().filter(|name| !position.without.contains(name));
        gained.chain(lost).filter(|name| position.filter.wants(name)).cloned().collect()
    }
}

/// Sums at a position of the log.
pub(crate) struct Drift {
    pub(crate) generation: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) cursor: String,
    pub(crate) sums: Sums,
}

impl Kit {
    /// Lets a principal into an account: one that is not its own is answered like one that does not exist.
    pub(crate) fn grant(principal: Principal, account: &str) -> Result<Grant, ProblemDetails> {
        let account = AccountId::parse(account).map_err(|_| ProblemDetails::not_found())?;
        Grant::new(principal, account).ok_or_else(ProblemDetails::not_found)
    }

    async fn context(&self, grant: Grant, head: &Head) -> Result<Context> {
        let schema = self.source.schema(Some(&grant.account)).await?;
        let document = schema.document()?;
        let (collections, without) = schema.catalog.names().cloned().partition(|name| grant.reads(name));
        Ok(Context {
            grant,
            generation: head.generation.clone(),
            schema: document.digest,
            collections,
            without,
            at: self.config.clock.now(),
        })
    }

    /// Seals a position of an account.
    pub(crate) fn seal(&self, context: &Context, position: &Position) -> Result<String> {
        self.config.cursor_key.seal(context.grant.account.as_str(), &context.generation, position)
    }

    fn open(&self, grant: &Grant, head: &Head, cursor: &str) -> Result<Position, ProblemDetails> {
        let (generation, position) = self.config.cursor_key.open(grant.account.as_str(), cursor)?;
        if generation == head.generation { Ok(position) } else { Err(ProblemDetails::generation_changed()) }
    }

    fn open_changes(&self, grant: &Grant, head: &Head, cursor: &str) -> Result<ChangesPosition, ProblemDetails> {
        match self.open(grant, head, cursor)? {
            Position::Changes(position) => Ok(position),
            _ => Err(ProblemDetails::cursor_invalid()),
        }
    }

    /// A page of the full state, or (as an inventory) of its ids and versions.
    pub(crate) async fn snapshot(
        &self,
        grant: Grant,
        params: &Params,
        inventory: bool,
    ) -> Result<Answer, ProblemDetails> {
        // The position comes before anything is read, or changes made meanwhile would be lost (R1).
        let head = self.source.head(&grant).await?;
        let context = self.context(grant, &head).await?;
        let asked = context.asked(params)?;
        let position = match params.get("cursor") {
            None => {
                let Some(first) = context.collections.iter().find(|name| asked.wants(name)) else {
                    return Err(ProblemDetails::new("internal", 500, "The service exports no collections"));
                };
                SnapshotPosition {
                    inventory,
                    began: context.at.timestamp_millis(),
                    watermark: head.watermark.clone(),
                    collection: first.clone(),
                    filter: asked,
                    without: context.without.clone(),
                    after: None,
                }
            }
            Some(cursor) => match self.open(&context.grant, &head, cursor)? {
                Position::Snapshot(position)
                    if position.inventory == inventory
                        && (params.get("collections").is_none() || position.filter == asked) =>
                {
                    position
                }
                _ => return Err(ProblemDetails::cursor_invalid()),
            },
        };
        let ttl =
            TimeDelta::seconds(i64::try_from(self.config.limits.snapshot_ttl_seconds).unwrap_or(i64::MAX / 1_000));
        let began = DateTime::from_timestamp_millis(position.began).ok_or_else(ProblemDetails::cursor_invalid)?;
        let expires = began + ttl;
        if expires < context.at || !context.collections.contains(&position.collection) {
            return Err(ProblemDetails::snapshot_expired());
        }
        let limit = params.limit(self.config.limits.max_page_lines)?;
        let walk = SnapshotWalk::new(self.clone(), context, position, (began, expires), limit);
        Ok(Answer { generation: head.generation, lines: lines(walk, self.frame()).await? })
    }

    /// What changed after a cursor; if nothing did, as soon as something does or the time to wait is over.
    pub(crate) async fn changes(&self, grant: Grant, params: &Params) -> Result<Answer, ProblemDetails> {
        let missing = || ProblemDetails::invalid_parameter("since", "it is the cursor after which to begin");
        let cursor = params.get("since").ok_or_else(missing)?;
        let head = self.source.head(&grant).await?;
        let position = self.open_changes(&grant, &head, cursor)?;
        let limit = params.limit(self.config.limits.max_page_lines)?;
        let drift = params.flag("drift")?;
        let wait = params.seconds("wait", self.config.limits.max_wait_seconds)?;
        if wait > Duration::ZERO
            && let Ok(changed) = tokio::time::timeout(wait, self.source.changed(&grant, &position.watermark)).await
        {
            changed?;
        }
        let context = self.context(grant, &head).await?;
        let regranted = context.regranted(&position);
        let walk = ChangesWalk::new(self.clone(), context, position, limit).with_reset(regranted).with_drift(drift);
        Ok(Answer { generation: head.generation, lines: lines(walk, self.frame()).await? })
    }

    /// What copies must erase, after a cursor or from the beginning.
    pub(crate) async fn erasures(&self, grant: Grant, params: &Params) -> Result<Answer, ProblemDetails> {
        let head = self.source.head(&grant).await?;
        let position = match params.get("since") {
            None => None,
            // A request to erase outlives what the account was rebuilt from: its log has no generations.
            Some(cursor) => match self.config.cursor_key.open(grant.account.as_str(), cursor)? {
                (_, Position::Erasures(watermark)) => Some(watermark),
                _ => return Err(ProblemDetails::cursor_invalid()),
            },
        };
        let context = self.context(grant, &head).await?;
        let limit = params.limit(self.config.limits.max_page_lines)?;
        let walk = ErasuresWalk::new(self.clone(), context, position, limit);
        Ok(Answer { generation: head.generation, lines: lines(walk, self.frame()).await? })
    }

    /// The profiles that the service offers.
    pub(crate) fn profiles(&self) -> Vec<&'static str> {
        let mut profiles = vec!["minimal"];
        if !self.config.authorization_servers.is_empty() {
            profiles.extend(["core", "incremental"]);
        }
        profiles.extend(self.source.erasures().map(|_| "erasure"));
        profiles.extend(self.source.imports().map(|_| "restore"));
        profiles
    }

    /// Some records as they are now.
    pub(crate) async fn records(&self, grant: Grant, mut keys: Vec<Key>) -> Result<Answer, ProblemDetails> {
        let head = self.source.head(&grant).await?;
        let context = self.context(grant, &head).await?;
        keys.retain(|key| context.grant.reads(&key.collection));
        let walk = RecordsWalk::new(self.clone(), context, keys);
        Ok(Answer { generation: head.generation, lines: lines(walk, self.frame()).await? })
    }

    /// One record as it is now; a problem if there is none.
    pub(crate) async fn record(&self, grant: Grant, key: Key) -> Result<Answer, ProblemDetails> {
        if !grant.reads(&key.collection) {
            return Err(ProblemDetails::not_found());
        }
        let found = self.source.records(&grant, std::slice::from_ref(&key)).await?;
        if found.is_empty() {
            return Err(ProblemDetails::not_found());
        }
        self.records(grant, vec![key]).await
    }

    /// The generation of an account, for answers that are no streams.
    pub(crate) async fn generation(&self, grant: &Grant) -> Result<String, ProblemDetails> {
        Ok(self.source.head(grant).await?.generation)
    }

    /// The head of the log, and a cursor that stands there.
    pub(crate) async fn status(&self, grant: Grant) -> Result<(Context, String), ProblemDetails> {
        let head = self.source.head(&grant).await?;
        let context = self.context(grant, &head).await?;
        let position =
            ChangesPosition { watermark: head.watermark, filter: Filter::default(), without: context.without.clone() };
        let cursor = self.seal(&context, &Position::Changes(position))?;
        Ok((context, cursor))
    }

    /// The sums of the collections now, or at a cursor if that is still the head.
    pub(crate) async fn drift(&self, grant: Grant, params: &Params) -> Result<Drift, ProblemDetails> {
        let head = self.source.head(&grant).await?;
        let at = params.get("at").map(|cursor| self.open_changes(&grant, &head, cursor)).transpose()?;
        let context = self.context(grant, &head).await?;
        let asked = context.asked(params)?;
        let filter = match &at {
            Some(at) if params.get("collections").is_none() => at.filter.clone(),
            _ => asked,
        };
        let since = at.map_or(head.watermark, |at| at.watermark);
        let Some(sums) = self.sums_at(&context, &filter, &since).await? else {
            return Err(ProblemDetails::drift_moved().with_retry_after(1));
        };
        let position = ChangesPosition { watermark: sums.watermark.clone(), filter, without: context.without.clone() };
        let cursor = self.seal(&context, &Position::Changes(position))?;
        Ok(Drift { generation: head.generation, at: context.at, cursor, sums })
    }

    /// The sums at a position of the log; `None` if it has moved on meanwhile.
    pub(crate) async fn sums_at(&self, context: &Context, filter: &Filter, since: &Watermark) -> Result<Option<Sums>> {
        let wanted: Vec<CollectionName> =
            context.collections.iter().filter(|name| filter.wants(name)).cloned().collect();
        let grant = &context.grant;
        let sums = match self.source.sums(grant, &wanted).await? {
            Some(sums) if &sums.watermark == since => return Ok(Some(only(sums, &wanted))),
            Some(sums) => only(sums, &wanted),
            None => Adder::new(self, grant).add(wanted, since).await?,
        };
        // Nothing has been committed since, so that what was read is what was there.
        let request = ChangesRequest { since: since.clone(), collections: None, limit: 1 };
        let page = self.source.changes(grant, &request).await?;
        let still = page.changes.is_empty() && !page.more;
        Ok(still.then(|| Sums::new(since.clone(), sums.collections)))
    }

    pub(crate) fn frame(&self) -> Frame {
        Frame::new(self.config.limits.max_line_bytes)
    }
}

fn only(mut sums: Sums, wanted: &[CollectionName]) -> Sums {
    sums.collections.retain(|name, _| wanted.contains(name));
    sums
}

/// The changes position that a snapshot's reader goes on from.
pub(crate) fn changes_position(position: &SnapshotPosition) -> Position {
    Position::Changes(ChangesPosition {
        watermark: position.watermark.clone(),
        filter: position.filter.clone(),
        without: position.without.clone(),
    })
}

impl Filter {
    /// The first wanted collection after `collection`, in the order of the schema.
    pub(crate) fn next_after(&self, collection: &CollectionName, order: &[CollectionName]) -> Option<CollectionName> {
        order.iter().skip_while(|name| *name != collection).skip(1).find(|name| self.wants(name)).cloned()
    }
}
