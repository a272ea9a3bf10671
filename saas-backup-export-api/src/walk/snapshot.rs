use chrono::{DateTime, Utc};
use saas_backup_core::{Consistency, Digest, Error, ErrorKind, Result, SnapshotHeader, Start, StreamKind};

use super::frame::cursor_of;
use super::{CHECKPOINT_BYTES, Frame, PAGE_ROWS, Walk};
use crate::cursor::{Position, SnapshotPosition};
use crate::kit::{Context, Kit, changes_position};
use crate::{ScanPage, ScanRequest};

/// Walks the wanted collections by key: their records, or (as an inventory) their ids and versions.
pub(crate) struct SnapshotWalk {
    kit: Kit,
    context: Context,
    position: SnapshotPosition,
    began: DateTime<Utc>,
    expires: DateTime<Utc>,
    lines_left: usize,
}

impl SnapshotWalk {
    pub(crate) fn new(
        kit: Kit,
        context: Context,
        position: SnapshotPosition,
        (began, expires): (DateTime<Utc>, DateTime<Utc>),
        limit: usize,
    ) -> Self {
        Self { kit, context, position, began, expires, lines_left: limit }
    }

    fn cursor(&self) -> Result<String> {
        self.kit.seal(&self.context, &Position::Snapshot(self.position.clone()))
    }

    /// The same for all pages of one walk.
    fn id(&self) -> String {
        let parts = (&self.context.generation, &self.position.watermark, self.position.began, &self.position.filter);
        let digest = Digest::of(&serde_json::to_vec(&parts).unwrap_or_default()).to_string();
        format!("sn_{}", digest.get(..16).unwrap_or_default())
    }

    fn is_full(&self, frame: &Frame) -> bool {
        self.lines_left == 0 || frame.bytes() >= self.kit.config.limits.max_page_bytes
    }
}

impl Walk for SnapshotWalk {
    type Page = ScanPage;

    fn start(&self) -> Result<Start> {
        let header = SnapshotHeader::new(self.id(), Consistency::Fuzzy, self.began).with_expiry(self.expires);
        let changes = self.kit.seal(&self.context, &changes_position(&self.position))?;
        let kind = if self.position.inventory { StreamKind::Inventory } else { StreamKind::Snapshot };
        let start = self.context.start(kind).with_snapshot(header);
        Ok(start.with_changes_cursor(cursor_of(&changes)?))
    }

    async fn fetch(&mut self) -> Result<ScanPage> {
        let request = ScanRequest {
            collection: self.position.collection.clone(),
            after: self.position.after.clone(),
            limit: self.lines_left.min(PAGE_ROWS),
        };
        self.kit.source.scan(&self.context.grant, &request).await
    }

    fn write(&mut self, page: ScanPage, frame: &mut Frame) -> Result<bool> {
        let before = self.position.after.clone();
        for entry in page.entries {
            if self.is_full(frame) {
                // More than was asked for, or more bytes than an answer may have: the rest is for the next one.
                frame.end(Some(&self.cursor()?), true, None)?;
                return Ok(false);
            }
            if entry.collection() != &self.position.collection {
                return Err(Error::new(ErrorKind::Unexpected, "the source gave a record of another collection"));
            }
            self.position.after = entry.id().cloned().or(self.position.after.take());
            if self.position.inventory {
                frame.item(entry)?;
            } else {
                frame.entry(entry)?;
            }
            self.lines_left -= 1;
            if frame.unchecked_bytes() >= CHECKPOINT_BYTES {
                frame.checkpoint(&self.cursor()?)?;
            }
        }
        match page.next {
            Some(next) if before.as_ref() == Some(&next) => {
                return Err(Error::new(ErrorKind::Unexpected, "the source's page does not advance"));
            }
            Some(next) => self.position.after = Some(next),
            None => {
                let next = self.position.filter.next_after(&self.position.collection, &self.context.collections);
                let Some(next) = next else {
                    frame.end(None, false, None)?;
                    return Ok(false);
                };
                self.position.collection = next;
                self.position.after = None;
            }
        }
        if self.is_full(frame) {
            frame.end(Some(&self.cursor()?), true, None)?;
            return Ok(false);
        }
        if frame.unchecked_bytes() > 0 {
            frame.checkpoint(&self.cursor()?)?;
        }
        Ok(true)
    }
}
