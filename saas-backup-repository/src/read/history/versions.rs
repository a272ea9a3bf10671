use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind, Event, FieldChange, Gap, Json, Key, Record, RecordId, Reference, Result};
use serde::Serialize;

use super::describe::History;
use crate::layout::Map;
use crate::object::{StoredLine, effective};
use crate::read::event;

/// What a record was, until a line ended it.
#[derive(Debug)]
struct Past {
    record: Record,
    /// The line that made it so, and the one that ended it.
    since: u64,
    until: u64,
    /// What came after; `None` for a deletion.
    next: Option<Record>,
}

/// The `data` of a version.
#[derive(Serialize)]
struct Version<'a> {
    id: &'a RecordId,
    sequence: u64,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    ended_by: u64,
    ended: &'static str,
    changed: Vec<String>,
    data: &'a Json,
}

/// The past versions of a record, oldest first, that ended after a place in the timeline; given all its lines, newest
/// first.
pub(super) fn past_versions(lines: &[StoredLine], since: u64, map: &Map, history: &History) -> Result<Vec<Event>> {
    let past = past(lines)?.into_iter().filter(|past| past.until > since);
    past.map(|past| past.event(map, history)).collect()
}

/// Whether a record has a past version.
pub(super) fn has_past(lines: &[StoredLine]) -> Result<bool> {
    Ok(!past(lines)?.is_empty())
}

/// What the lines made of the record at the end of each commit, as far as it did not stay.
fn past(lines: &[StoredLine]) -> Result<Vec<Past>> {
    let mut past: Vec<Past> = Vec::new();
    // Most records were written by one commit: a look at the lines alone tells.
    if lines.first().map(|line| line.sequence) == lines.last().map(|line| line.sequence) {
        return Ok(past);
    }
    let mut current: Option<(&StoredLine, Record, u64)> = None;
    for (place, line) in lines.iter().enumerate().rev() {
        let is_end_of_commit = place == 0 || lines.get(place - 1).is_some_and(|next| next.sequence != line.sequence);
        if !is_end_of_commit {
            continue;
        }
        let state = effective(lines.get(place..).unwrap_or_default()).map(|(state, _)| state);
        let state = state.filter(|state| !state.is_deletion());
        match (current.take(), state) {
            (Some((known, record, since)), Some(state)) if std::ptr::eq(known, state) => {
                current = Some((known, record, since));
            }
            (Some((_, before, since)), Some(state)) => {
                let after = record_of(state)?;
                if is_same(&before, &after) {
                    current = Some((state, before, since));
                } else {
                    past.push(Past { record: before, since, until: line.sequence, next: Some(after.clone()) });
                    current = Some((state, after, line.sequence));
                }
            }
            (Some((_, before, since)), None) => {
                past.push(Past { record: before, since, until: line.sequence, next: None });
            }
            (None, Some(state)) => current = Some((state, record_of(state)?, line.sequence)),
            (None, None) => {}
        }
    }
    Ok(past)
}

fn record_of(line: &StoredLine) -> Result<Record> {
    match event(line)? {
        Event::Put(record) => Ok(*record),
        _ => Err(Error::new(ErrorKind::Integrity, "the line of a record is none")),
    }
}

/// Whether two lines tell the same, in whatever partition.
fn is_same(before: &Record, after: &Record) -> bool {
    let mut moved = before.clone();
    moved.partition.clone_from(&after.partition);
    moved.sequence = after.sequence;
    &moved == after
}

impl Past {
    fn event(self, map: &Map, history: &History) -> Result<Event> {
        let changed = match &self.next {
            Some(next) => FieldChange::between(&self.record, next)?.into_iter().map(|change| change.path).collect(),
            None => Vec::new(),
        };
        let of = &self.record.key;
        let Some(id) = version_id(&of.id, self.since) else {
            let error = Error::new(ErrorKind::LimitExceeded, "the id of a record leaves no room for its versions");
            let mut gap = Gap::record(of, &error);
            gap.collection = history.name().clone();
            return Ok(Event::Gap(gap));
        };
        let version = Version {
            id: &of.id,
            sequence: self.since,
            since: time_of(map, self.since),
            until: time_of(map, self.until),
            ended_by: self.until,
            ended: if self.next.is_some() { "changed" } else { "deleted" },
            changed,
            data: &self.record.data,
        };
        let data = match Json::from_value(&version) {
            // One level more may be one too many.
            Err(error) if error.kind() == ErrorKind::LimitExceeded => {
                return Ok(Event::Gap(Gap::record(&Key::new(history.name().clone(), id), &error)));
            }
            data => data?,
        };
        let reference = Reference::from(of);
        let mut record = self.record;
        record.key = Key::new(history.name().clone(), id);
        record.partition = None;
        record.sequence = Some(self.since);
        record.data = data;
        for blob in &mut record.blobs {
            let inside =
                blob.path.as_deref().and_then(|path| path.strip_prefix("/data")).map(|at| format!("/data/data{at}"));
            blob.path = inside.or(blob.path.take());
        }
        Ok(Event::Put(Box::new(record.with_ref(&history.relation, reference))))
    }
}

/// The id of a version: that of its record, and its place in the timeline.
fn version_id(of: &RecordId, sequence: u64) -> Option<RecordId> {
    // Digits enough for every sequence number: versions sort by their age.
    RecordId::parse(format!("{of}@{sequence:010}")).ok()
}

/// The record that the id of a version names.
pub(super) fn record_of_version(id: &RecordId) -> Option<RecordId> {
    let (of, sequence) = id.as_str().rsplit_once('@')?;
    sequence.parse::<u64>().ok()?;
    RecordId::parse(of).ok()
}

/// When the first point was made that holds what was committed.
fn time_of(map: &Map, sequence: u64) -> Option<DateTime<Utc>> {
    let place = map.points.partition_point(|(point, ..)| *point < sequence);
    map.points.get(place).map(|(_, _, point)| point.finished)
}
