use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use saas_backup_core::{BlobStatus, CollectionName, Error, ErrorKind, Event, Gap, Line, LineCodec, Record, Result};

use super::ordered::Ordered;
use super::{Entry, Merge, Spool};
use crate::dataset::Lines;

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

/// Takes the events of a session and gives them back by their keys.
#[derive(Debug)]
pub(crate) struct Intake {
    spool: Spool,
    ordered: Ordered,
}

impl Intake {
    /// An intake that keeps its files in folders of `scratch`.
    ///
    /// What comes sorted is in files of its own: with digests if they are `kept` as a part of the export.
    pub(crate) fn new(scratch: &Path, kept: bool) -> Self {
        Self { spool: Spool::new(scratch.join("records")), ordered: Ordered::new(scratch.join("ordered"), kept) }
    }

    /// Takes an event about a record, or about something missing; other events are none of its business. A record is
    /// `whole` if each of its blobs is held.
    pub(crate) fn take(&mut self, codec: &LineCodec, event: Event, whole: bool) -> Result<()> {
        let (collection, id) = match &event {
            Event::Put(record) => (record.key.collection.clone(), Some(record.key.id.clone())),
            Event::Delete(deletion) => (deletion.key.collection.clone(), Some(deletion.key.id.clone())),
            Event::Gap(gap) => (gap.collection.clone(), gap.id.clone()),
            _ => return Ok(()),
        };
        let Some(line) = Line::from_event(event) else { return Ok(()) };
        let mut text = Vec::new();
        codec.encode(&line, &mut text)?;
        if let (Line::Put(record), true) = (&line, whole)
            && self.ordered.write(record, &text)?
        {
            return Ok(());
        }
        self.ordered.leave(&collection);
        self.spool.push(collection.as_str(), id.as_ref().map_or("", |id| id.as_str()), text)
    }

    /// Hands out the collections whose records came sorted, each once and with nothing missing: they need no settling.
    pub(crate) fn take_ordered(&mut self) -> Result<BTreeMap<CollectionName, Lines>> {
        self.ordered.take_whole()
    }

    /// Gives the last state of every key that was not handed out, sorted by collection and id.
    pub(crate) fn settle(self, codec: LineCodec) -> Result<Settling> {
        let merge = self.spool.finish_with(self.ordered.finish()?)?;
        Ok(Settling { merge, codec })
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

#[cfg(test)]
mod tests {
    use std::fs;

    use saas_backup_core::{Deletion, DeletionReason, Json, Key, RecordId};

    use super::*;

    fn put(collection: &str, id: &str, data: u64) -> Event {
        let key = Key::parse(collection, id).unwrap();
        Event::Put(Box::new(Record::new(key, Json::from_value(&data).unwrap())))
    }

    fn taken(folder: &Path, events: Vec<(Event, bool)>) -> Intake {
        let (codec, mut intake) = (LineCodec::stored(), Intake::new(folder, true));
        for (event, whole) in events {
            intake.take(&codec, event, whole).unwrap();
        }
        intake
    }

    /// The collections and ids that were settled, with the data of their records.
    fn settled(intake: Intake) -> Vec<(String, String, String)> {
        let settling = intake.settle(LineCodec::stored()).unwrap();
        let of = |settled: Settled| {
            let (record, _) = settled.record?;
            let id: &RecordId = &record.key.id;
            Some((settled.collection, id.as_str().to_owned(), record.data.as_str().to_owned()))
        };
        settling.filter_map(|settled| of(settled.unwrap())).collect()
    }

    fn row(collection: &str, id: &str, data: &str) -> (String, String, String) {
        (collection.to_owned(), id.to_owned(), data.to_owned())
    }

    #[test]
    fn what_comes_sorted_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let events = ["1", "10", "2"].map(|id| [(put("a", id, 0), true), (put("b", id, 1), true)]);
        let mut intake = taken(folder.path(), events.into_iter().flatten().collect());
        let whole = intake.take_ordered().unwrap();
        let names: Vec<&str> = whole.keys().map(CollectionName::as_str).collect();
        assert_eq!(names, ["a", "b"]);
        for file in whole.into_values() {
            let text = fs::read(&file.path).unwrap();
            assert_eq!((file.count, &file.blobs), (3, &None));
            assert_eq!(file.written().unwrap(), (saas_backup_core::Digest::of(&text), text.len() as u64));
        }
        assert_eq!(settled(intake), []);
    }

    #[test]
    fn what_does_not_come_sorted_is_settled_with_what_did() {
        let deleted = |id| Event::Delete(Deletion::new(Key::parse("a", id).unwrap(), DeletionReason::Deleted));
        let earlier = [(put("a", "2", 0), true), (put("a", "4", 0), true), (put("b", "1", 0), true)];
        let cases = [
            (vec![(put("a", "3", 1), true), (put("a", "9", 1), true)], "2:0 3:1 4:0 9:1"),
            (vec![(put("a", "4", 1), true)], "2:0 4:1"),
            (vec![(put("a", "2", 1), true), (put("a", "2", 2), true)], "2:2 4:0"),
            (vec![(deleted("4"), false)], "2:0"),
            (vec![(put("a", "5", 1), false), (put("a", "6", 1), true)], "2:0 4:0 5:1 6:1"),
        ];
        for (later, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            let mut intake = taken(folder.path(), earlier.iter().cloned().chain(later).collect());
            let whole = intake.take_ordered().unwrap();
            assert_eq!(whole.keys().map(CollectionName::as_str).collect::<Vec<_>>(), ["b"]);
            let expected = expected.split(' ').filter_map(|row| row.split_once(':'));
            let expected: Vec<_> = expected.map(|(id, data)| row("a", id, data)).collect();
            assert_eq!(settled(intake), expected);
        }
    }

    #[test]
    fn more_collections_than_files_are_settled_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (100..180).map(|number| number.to_string()).collect();
        let events = names.iter().map(|name| (put(name, "1", 0), true)).collect();
        let expected: Vec<_> = names.iter().map(|name| row(name, "1", "0")).collect();
        assert_eq!(settled(taken(folder.path(), events)), expected);
        let events = names.iter().map(|name| (put(name, "1", 0), true)).collect();
        let mut intake = taken(&folder.path().join("again"), events);
        let whole = intake.take_ordered().unwrap().len();
        assert_eq!(whole + settled(intake).len(), names.len());
    }
}
