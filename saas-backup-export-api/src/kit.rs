//! The protocol without HTTP: from a request that was let in to the lines of its answer.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{CollectionName, Digest, Key, Result, Start, StreamKind};

use crate::cursor::{Filter, Position, SnapshotPosition};
use crate::params::Params;
use crate::walk::{ChangesWalk, Frame, LineStream, RecordsWalk, SnapshotWalk, lines};
use crate::{AccountId, ExportConfig, ExportSource, Grant, Head, Principal, ProblemDetails};

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
    /// The collections of the schema, in its order.
    pub(crate) collections: Vec<CollectionName>,
    pub(crate) at: DateTime<Utc>,
}

impl Context {
    pub(crate) fn start(&self, kind: StreamKind) -> Start {
        Start::new(kind, self.grant.account.as_str(), &self.generation, self.schema, self.at)
    }
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
        Ok(Context {
            grant,
            generation: head.generation.clone(),
            schema: document.digest,
            collections: schema.catalog.names().cloned().collect(),
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

    /// A page of the full state.
    pub(crate) async fn snapshot(&self, grant: Grant, params: &Params) -> Result<Answer, ProblemDetails> {
        // The position comes before anything is read, or changes made meanwhile would be lost (R1).
        let head = self.source.head(&grant).await?;
        let context = self.context(grant, &head).await?;
        let asked = params.collections(&context.collections)?;
        let position = match params.get("cursor") {
            None => {
                let Some(first) = context.collections.iter().find(|name| asked.wants(name)) else {
                    return Err(ProblemDetails::new("internal", 500, "The service exports no collections"));
                };
                SnapshotPosition {
                    began: context.at.timestamp_millis(),
                    watermark: head.watermark.clone(),
                    collection: first.clone(),
                    filter: asked,
                    after: None,
                }
            }
            Some(cursor) => match self.open(&context.grant, &head, cursor)? {
                Position::Snapshot(position) if params.get("collections").is_none() || position.filter == asked => {
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

    /// What changed after a cursor.
    pub(crate) async fn changes(&self, grant: Grant, params: &Params) -> Result<Answer, ProblemDetails> {
        let missing = || ProblemDetails::invalid_parameter("since", "it is the cursor after which to begin");
        let cursor = params.get("since").ok_or_else(missing)?;
        let head = self.source.head(&grant).await?;
        let (watermark, filter) = match self.open(&grant, &head, cursor)? {
            Position::Changes { watermark, filter } => (watermark, filter),
            Position::Snapshot(_) => return Err(ProblemDetails::cursor_invalid()),
        };
        let context = self.context(grant, &head).await?;
        let limit = params.limit(self.config.limits.max_page_lines)?;
        let walk = ChangesWalk::new(self.clone(), context, watermark, filter, limit);
        Ok(Answer { generation: head.generation, lines: lines(walk, self.frame()).await? })
    }

    /// Some records as they are now.
    pub(crate) async fn records(&self, grant: Grant, keys: Vec<Key>) -> Result<Answer, ProblemDetails> {
        let head = self.source.head(&grant).await?;
        let context = self.context(grant, &head).await?;
        let walk = RecordsWalk::new(self.clone(), context, keys);
        Ok(Answer { generation: head.generation, lines: lines(walk, self.frame()).await? })
    }

    /// One record as it is now; a problem if there is none.
    pub(crate) async fn record(&self, grant: Grant, key: Key) -> Result<Answer, ProblemDetails> {
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

    fn frame(&self) -> Frame {
        Frame::new(self.config.limits.max_line_bytes)
    }
}

/// The changes position that a snapshot's reader goes on from.
pub(crate) fn changes_position(position: &SnapshotPosition) -> Position {
    Position::Changes { watermark: position.watermark.clone(), filter: position.filter.clone() }
}

impl Filter {
    /// The first wanted collection after `collection`, in the order of the schema.
    pub(crate) fn next_after(&self, collection: &CollectionName, order: &[CollectionName]) -> Option<CollectionName> {
        order.iter().skip_while(|name| *name != collection).skip(1).find(|name| self.wants(name)).cloned()
    }
}
