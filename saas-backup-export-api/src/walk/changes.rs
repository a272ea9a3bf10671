use std::collections::HashMap;

use chrono::{DateTime, Utc};
use saas_backup_core::{
    CollectionName, Deletion, DeletionReason, Error, ErrorKind, Json, Key, Reset, ResetReason, Result, Start,
    StreamKind,
};

use super::{CHECKPOINT_BYTES, Frame, PAGE_ROWS, Walk};
use crate::cursor::{ChangesPosition, Filter, Position};
use crate::kit::{Context, Kit};
use crate::sums::listed;
use crate::{Change, ChangeKind, ChangePage, ChangesRequest, Entry, Sums, Watermark};

/// How often sums are tried for while the account changes.
const DRIFT_TRIES: u8 = 3;

/// Follows the log of changes.
pub(crate) struct ChangesWalk {
    kit: Kit,
    context: Context,
    position: Watermark,
    filter: Filter,
    lines_left: usize,
    /// Collections that the log cannot tell about: whether the grant reads them has changed.
    reset: Vec<CollectionName>,
    /// How often to try for sums at the end of the log.
    drift_tries: u8,
}

/// A page of the log, and the records that it touches as the grant sees them now.
pub(crate) struct Changed {
    page: ChangePage,
    records: HashMap<Key, Entry>,
    /// When the source was asked: what was committed before is in the page, if it is the last one.
    asked: DateTime<Utc>,
    /// The sums at the end of the page.
    sums: Option<Sums>,
}

impl ChangesWalk {
    pub(crate) fn new(kit: Kit, context: Context, position: ChangesPosition, limit: usize) -> Self {
        let ChangesPosition { watermark, filter, without: _ } = position;
        Self { kit, context, position: watermark, filter, lines_left: limit, reset: Vec::new(), drift_tries: 0 }
    }

    /// Begins with the statement that some collections must be read in full.
    pub(crate) fn with_reset(self, reset: Vec<CollectionName>) -> Self {
        Self { reset, ..self }
    }

    /// Adds sums to the end of the log, if it stands still for long enough.
    pub(crate) fn with_drift(self, wanted: bool) -> Self {
        Self { drift_tries: if wanted { DRIFT_TRIES } else { 0 }, ..self }
    }

    fn cursor(&self) -> Result<String> {
        let position = ChangesPosition {
            watermark: self.position.clone(),
            filter: self.filter.clone(),
            without: self.context.without.clone(),
        };
        self.kit.seal(&self.context, &Position::Changes(position))
    }

    fn wants(&self, collection: &CollectionName) -> bool {
        self.filter.wants(collection) && self.context.grant.reads(collection)
    }

    fn is_full(&self, frame: &Frame) -> bool {
        self.lines_left == 0 || frame.bytes() >= self.kit.config.limits.max_page_bytes
    }

    /// Keeps the last change of each record (its state is what counts) and what was asked for.
    fn fold(&self, page: &mut ChangePage) {
        let last: HashMap<Key, usize> = page
            .changes
            .iter()
            .enumerate()
            .filter_map(|(index, change)| Some((change.key()?.clone(), index)))
            .collect();
        let mut index = 0;
        page.changes.retain_mut(|change| {
            let here = index;
            index += 1;
            match change.key() {
                Some(key) => last.get(key) == Some(&here) && self.wants(&key.collection),
                None => self.narrow(change),
            }
        });
    }

    /// Restricts a reset to what was asked for; `false` if nothing is left of it.
    fn narrow(&self, change: &mut Change) -> bool {
        let ChangeKind::Reset(reset) = &mut change.kind else { return true };
        if self.filter.0.is_none() && self.context.without.is_empty() {
            return true;
        }
        if reset.collections.is_empty() {
            reset.collections.clone_from(&self.context.collections);
        }
        reset.collections.retain(|name| self.wants(name));
        !reset.collections.is_empty()
    }

    /// The sums at the end of the log. If it moves while they are made, there is more to read first.
    async fn sums(&mut self, page: &mut ChangePage) -> Result<Option<Sums>> {
        if page.more || self.drift_tries == 0 {
            return Ok(None);
        }
        self.drift_tries -= 1;
        let sums = self.kit.sums_at(&self.context, &self.filter, &page.next).await?;
        page.more = sums.is_none() && self.drift_tries > 0;
        Ok(sums)
    }

    fn write_change(change: Change, records: &mut HashMap<Key, Entry>, frame: &mut Frame) -> Result<bool> {
        match change.kind {
            ChangeKind::Touched(key) => match records.remove(&key) {
                Some(entry) => frame.entry(entry)?,
                // Deleted or hidden since: an entry further on says why, and until then the copy must not show it.
                None => frame.deletion(Deletion::new(key, DeletionReason::Unknown))?,
            },
            ChangeKind::Put(record) => frame.entry(Entry::Record(record))?,
            ChangeKind::Deleted(deletion) => frame.deletion(deletion)?,
            ChangeKind::Reset(reset) => {
                frame.reset(reset)?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The member of an `end` line that holds the sums.
fn drift(sums: &Sums) -> Result<(String, Json)> {
    Ok(("drift".to_owned(), Json::from_value(&listed(&sums.collections))?))
}

impl Walk for ChangesWalk {
    type Page = Changed;

    fn start(&self) -> Result<Start> {
        Ok(self.context.start(StreamKind::Changes))
    }

    async fn fetch(&mut self) -> Result<Changed> {
        let asked = self.kit.config.clock.now();
        let request = ChangesRequest {
            since: self.position.clone(),
            collections: self.filter.0.clone(),
            limit: self.lines_left.min(PAGE_ROWS),
        };
        let mut page = self.kit.source.changes(&self.context.grant, &request).await?;
        if page.more && page.next == self.position {
            return Err(Error::new(ErrorKind::Unexpected, "the source's log does not advance"));
        }
        self.fold(&mut page);
        let touched: Vec<Key> = page
            .changes
            .iter()
            .filter_map(|change| if let ChangeKind::Touched(key) = &change.kind { Some(key.clone()) } else { None })
            .collect();
        let entries = if touched.is_empty() {
            Vec::new()
        } else {
            self.kit.source.records(&self.context.grant, &touched).await?
        };
        let records = entries.into_iter().filter_map(|entry| Some((entry.key()?, entry))).collect();
        let sums = self.sums(&mut page).await?;
        Ok(Changed { page, records, asked, sums })
    }

    fn write(&mut self, changed: Changed, frame: &mut Frame) -> Result<bool> {
        let Changed { page, mut records, asked, sums } = changed;
        if !self.reset.is_empty() {
            let collections = std::mem::take(&mut self.reset);
            frame.reset(Reset::new(collections, ResetReason::CoverageChanged))?;
        }
        for change in page.changes {
            if self.is_full(frame) {
                frame.end(Some(&self.cursor()?), true, None)?;
                return Ok(false);
            }
            let watermark = change.watermark.clone();
            if Self::write_change(change, &mut records, frame)? {
                self.lines_left -= 1;
            }
            self.position = watermark;
            if frame.unchecked_bytes() >= CHECKPOINT_BYTES {
                frame.checkpoint(&self.cursor()?)?;
            }
        }
        self.position = page.next;
        if !page.more {
            let drift = sums.map(|sums| drift(&sums)).transpose()?;
            frame.end_with(Some(&self.cursor()?), false, Some(asked), drift.into_iter().collect())?;
            return Ok(false);
        }
        if self.is_full(frame) {
            frame.end(Some(&self.cursor()?), true, None)?;
            return Ok(false);
        }
        // Also after a page of which nothing was wanted: a reader that is cut need not skip it again.
        frame.checkpoint(&self.cursor()?)?;
        Ok(true)
    }
}
