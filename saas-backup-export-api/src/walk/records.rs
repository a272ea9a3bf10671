use std::collections::{HashMap, VecDeque};

use saas_backup_core::{Key, Result, Start, StreamKind};

use super::{Frame, Walk};
use crate::Entry;
use crate::kit::{Context, Kit};

/// Most records that the source is asked for at once.
const BATCH: usize = 100;

/// Reads the records that were named; what there is not has no line.
pub(crate) struct RecordsWalk {
    kit: Kit,
    context: Context,
    keys: VecDeque<Key>,
}

impl RecordsWalk {
    pub(crate) fn new(kit: Kit, context: Context, keys: Vec<Key>) -> Self {
        Self { kit, context, keys: keys.into() }
    }
}

impl Walk for RecordsWalk {
    type Page = Vec<Entry>;

    fn start(&self) -> Result<Start> {
        Ok(self.context.start(StreamKind::Records))
    }

    async fn fetch(&mut self) -> Result<Vec<Entry>> {
        let batch: Vec<Key> = self.keys.drain(..self.keys.len().min(BATCH)).collect();
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.kit.source.records(&self.context.grant, &batch).await?;
        let mut found: HashMap<Key, Entry> =
            entries.into_iter().filter_map(|entry| Some((entry.key()?, entry))).collect();
        Ok(batch.iter().filter_map(|key| found.remove(key)).collect())
    }

    fn write(&mut self, entries: Vec<Entry>, frame: &mut Frame) -> Result<bool> {
        for entry in entries {
            frame.entry(entry)?;
        }
        if self.keys.is_empty() {
            frame.end(None, false, None)?;
            return Ok(false);
        }
        Ok(true)
    }
}
