use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{BlobId, CollectionName, Error, ErrorKind, Key, Retry};

/// What the fake provider does wrong at the moment.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) throttled: u32,
    pub(super) unavailable: u32,
    pub(super) cut: Option<Cut>,
    pub(super) records: BTreeMap<Key, ErrorKind>,
    pub(super) blobs: BTreeMap<BlobId, ErrorKind>,
    pub(super) cut_blob: Option<u64>,
    pub(super) count_delta: i64,
    pub(super) lost: BTreeSet<CollectionName>,
    pub(super) empty: bool,
}

/// Where a stream of events is cut, and whether an error says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) events: usize,
    pub(super) told: bool,
}

impl Faults {
    pub(super) fn sees(&self, collection: &CollectionName) -> bool {
        !self.lost.contains(collection)
    }

    pub(super) fn answers_nothing(&self) -> bool {
        self.empty
    }

    pub(super) fn record_error(&self, key: &Key) -> Option<Error> {
        self.records.get(key).map(|kind| Error::new(*kind, "the provider does not give out the record"))
    }

    pub(super) fn blob_error(&self, blob: &BlobId) -> Option<Error> {
        self.blobs.get(blob).map(|kind| Error::new(*kind, "the provider does not give out the bytes"))
    }

    /// Answers a request with what is in the way, if anything is.
    pub(super) fn request(&mut self) -> Option<Error> {
        if self.throttled > 0 {
            self.throttled -= 1;
            let retry = Retry::After(Duration::from_secs(1));
            return Some(Error::new(ErrorKind::RateLimited, "too many requests").with_retry(retry));
        }
        if self.unavailable > 0 {
            self.unavailable -= 1;
            return Some(Error::new(ErrorKind::Unavailable, "the provider did not answer"));
        }
        None
    }

    /// Counts one event towards the cut, and says whether the stream ends instead of giving it.
    pub(super) fn cuts_here(&mut self) -> Option<Cut> {
        let cut = self.cut?;
        match cut.events.checked_sub(1) {
            Some(events) => {
                self.cut = Some(Cut { events, ..cut });
                None
            }
            None => self.cut.take(),
        }
    }
}
