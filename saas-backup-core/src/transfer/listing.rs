use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;

use super::Shared;
use super::retry;
use crate::{CollectionName, Error, ErrorKind, Feed, FeedId, FeedKind, FeedStream, PartitionId, Result};

/// The feeds of a snapshot, each once, listed again where the list broke off.
pub(super) struct Listing {
    shared: Arc<Shared>,
    feeds: FeedStream,
    given: BTreeSet<FeedId>,
    tries: u32,
    slices: Slices,
}

/// The slices that a source lists, or that a sink knows of.
#[derive(Debug, Default)]
pub(super) struct Slices(BTreeSet<(CollectionName, Option<PartitionId>)>);

impl Listing {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let feeds = shared.snapshot.feeds();
        Self { shared, feeds, given: BTreeSet::new(), tries: 0, slices: Slices::default() }
    }

    /// The next feed; `None` at the end of the list.
    pub(super) async fn next(&mut self) -> Result<Option<Feed>> {
        loop {
            let error = match self.feeds.next().await {
                None => return Ok(None),
                Some(Ok(feed)) if !self.given.insert(feed.id.clone()) => continue,
                Some(Ok(feed)) => {
                    self.tries = 0;
                    self.slices.insert(&feed);
                    return Ok(Some(feed));
                }
                Some(Err(error)) => error,
            };
            self.tries += 1;
            let options = &self.shared.options;
            let Some(pause) = retry::pause(options, &error, self.tries) else { return Err(error) };
            if !retry::wait(options, pause).await {
                return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled").with_source(error));
            }
            self.feeds = self.shared.snapshot.feeds();
        }
    }

    /// What was listed so far.
    pub(super) fn into_slices(self) -> Slices {
        self.slices
    }
}

impl<'a> FromIterator<&'a Feed> for Slices {
    fn from_iter<T: IntoIterator<Item = &'a Feed>>(feeds: T) -> Self {
        let mut slices = Self::default();
        feeds.into_iter().for_each(|feed| slices.insert(feed));
        slices
    }
}

impl Slices {
    pub(super) fn insert(&mut self, feed: &Feed) {
        if let FeedKind::Slice { collection, partition } = &feed.kind {
            self.0.insert((collection.clone(), partition.clone()));
        }
    }

    /// Whether a feed is a partition that is not in the list, while the collection is not listed as a whole; or a whole
    /// collection of which nothing is.
    pub(super) fn lacks(&self, feed: &Feed) -> bool {
        match &feed.kind {
            FeedKind::Slice { collection, partition: Some(partition) } => !self.hold(collection, partition),
            FeedKind::Slice { collection, partition: None } => !self.any_of(collection),
            FeedKind::Log => false,
        }
    }

    /// Whether a partition is in the list, or its collection as a whole.
    pub(super) fn hold(&self, collection: &CollectionName, partition: &PartitionId) -> bool {
        self.0.contains(&(collection.clone(), Some(partition.clone()))) || self.0.contains(&(collection.clone(), None))
    }

    /// Whether any slice of a collection is in the list.
    pub(super) fn any_of(&self, collection: &CollectionName) -> bool {
        self.0.iter().any(|(listed, _)| listed == collection)
    }
}
