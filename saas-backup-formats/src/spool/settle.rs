use bytes::Bytes;
use saas_backup_core::{BlobStatus, CollectionName, Error, ErrorKind, Event, Gap, Line, LineCodec, Record, Result};

use super::{Entry, Merge, Spool};

/// What is known of one key after all events: the record's last state, and what is known to be missing.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The collection.
    pub(crate) collection: String,
    /// The record and its line, unless it was deleted or never arrived.
    pub(crate) record: Option<(Box<Record>, Bytes)>,
    /// Gaps of the record, of its blobs, or of the collection, in a fixed order.
    pub(crate) gaps: Vec<Gap>,
}

impl Spool {
    /// Takes an event about a record, or about something missing; other events are none of its business.
    pub(crate) fn take(&mut self, codec: &LineCodec, event: Event) -> Result<()> {
        let (collection, id) = match &event {
            Event::Put(record) => (record.key.collection.clone(), Some(record.key.id.clone())),
            Event::Delete(deletion) => (deletion.key.collection.clone(), Some(deletion.key.id.clone())),
            Event::Gap(gap) => (gap.collection.clone(), gap.id.clone()),
            _ => return Ok(()),
        };
        let Some(line) = Line::from_event(event) else { return Ok(()) };
        let mut text = Vec::new();
        codec.encode(&line, &mut text)?;
        self.push(collection.as_str(), id.as_ref().map_or("", |id| id.as_str()), text)
    }

    /// Gives the last state of every key, sorted by collection and id.
    pub(crate) fn settle(self, codec: LineCodec) -> Result<Settling> {
        Ok(Settling { merge: self.finish()?, codec })
    }
}

/// The last state of every key, sorted by collection and id.
#[derive(Debug)]
pub(crate) struct Settling {
    merge: Merge,
    codec: LineCodec,
}

impl Settling {
    fn settle(&mut self, first: Entry) -> Result<Settled> {
        let mut settled = Settled { collection: first.group, ..Settled::default() };
        settled.apply(&self.codec, first.line)?;
        while self.merge.peek().is_some_and(|next| next.group == settled.collection && next.id == first.id) {
            if let Some(next) = self.merge.next() {
                settled.apply(&self.codec, next?.line)?;
            }
        }
        settled.gaps.sort_by(|one, other| (&one.blob, &one.partition).cmp(&(&other.blob, &other.partition)));
        Ok(settled)
    }
}

impl Iterator for Settling {
    type Item = Result<Settled>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.merge.next()?;
        Some(first.and_then(|first| self.settle(first)))
    }
}

impl Settled {
    fn apply(&mut self, codec: &LineCodec, text: Vec<u8>) -> Result<()> {
        let text = Bytes::from(text);
        match codec.decode(&text)? {
            Line::Put(record) => {
                self.gaps.retain(|gap| gap.blob.as_ref().is_some_and(|blob| !holds(&record, blob)));
                self.record = Some((record, text));
            }
            Line::Delete(deletion) => {
                let held = self.record.as_ref().and_then(|(record, _)| record.partition.as_ref());
                // A partition that the record has left cannot delete it.
                let moved = deletion.partition.is_some() && held.is_some() && deletion.partition.as_ref() != held;
                if !moved {
                    self.record = None;
                    self.gaps.clear();
                }
            }
            Line::Gap(gap) => {
                self.gaps.retain(|known| !known.same_place(&gap));
                self.gaps.push(gap);
            }
            _ => return Err(Error::new(ErrorKind::Unexpected, "a line that no event was spooled as")),
        }
        Ok(())
    }

    /// The collection as a name.
    pub(crate) fn name(&self) -> Result<CollectionName> {
        CollectionName::parse(&self.collection)
    }
}

fn holds(record: &Record, blob: &saas_backup_core::BlobId) -> bool {
    record.blobs.iter().any(|held| held.id.as_ref() == Some(blob) && held.status == BlobStatus::Available)
}
