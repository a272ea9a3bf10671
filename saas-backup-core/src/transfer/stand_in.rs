//! Feeds that stand for partitions of which a log told before any list named their own.

use std::collections::BTreeSet;

use super::Shared;
use crate::{CollectionName, Digest, Event, Feed, FeedId, FeedKind, PartitionId, Result, Scope, Verdict};

/// The feed that stands for a partition.
fn stand_in(collection: &CollectionName, partition: &PartitionId) -> Result<Feed> {
    // A digest: both names together may be longer than an id.
    let id = FeedId::parse(format!("(told) {collection}/{}", Digest::of(partition.as_str().as_bytes())))?;
    Ok(Feed::partition(id, collection.clone(), partition.clone()))
}

pub(super) fn is_stand_in(feed: &Feed) -> bool {
    match &feed.kind {
        FeedKind::Slice { collection, partition: Some(partition) } => {
            stand_in(collection, partition).is_ok_and(|stand_in| stand_in.id == feed.id)
        }
        _ => false,
    }
}

impl Shared {
    /// Tells the sink of each partition that it does not know yet, before anything that a log says of it: the partition
    /// may be gone before a list names its feed, and then nobody else speaks of what was in it.
    pub(super) async fn meet(&self, events: &[Event]) -> Result<()> {
        let mut met = BTreeSet::new();
        for event in events {
            met.extend(match event {
                Event::Put(record) => record.partition.as_ref().map(|partition| (&record.key.collection, partition)),
                Event::Gap(gap) => gap.partition.as_ref().map(|partition| (&gap.collection, partition)),
                _ => None,
            });
        }
        for (collection, partition) in met {
            if self.known().hold(collection, partition) {
                continue;
            }
            let feed = stand_in(collection, partition)?;
            let mut writer = self.sink.writer(&feed).await?;
            writer.flush(None).await?;
            writer.close().await?;
            self.known().insert(&feed);
        }
        Ok(())
    }

    /// Forgets a feed that stood for a partition whose own one the sink knows by now, and the review that it may have
    /// left.
    pub(super) async fn relieve(&self, stand_in: &Feed) -> Result<()> {
        let mut writer = self.sink.writer(stand_in).await?;
        // Nothing lies in this scope: the partition's own feed judges what is in it.
        writer.close_extent(&Scope::collections(Vec::new()), Verdict::Gone, self.options.clock.now()).await?;
        writer.flush(None).await?;
        self.tally.judging(&stand_in.id);
        writer.close().await
    }
}
