use std::collections::BTreeSet;

use bytes::Bytes;
use saas_backup_core::{Digest, Error, ErrorKind, Event, Gap, Json, Key, Record, Result, SchemaChange};
use serde::Deserialize;
use serde_json::Value;

use super::catalog::Names;
use super::message::{BatchMessage, RecordMessage, SchemaMessage, StateMessage, VersionMessage};
use crate::process::{Position, Protocol, Stream, record_id};

/// Most names of streams that nobody asked for that are kept to be told.
const MAX_FOREIGN: usize = 20;

/// One reading of one stream: the records that the tap gives, and the states between them.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    stream: &'a Stream,
    names: &'a Names,
    /// All that the tap's catalog names: what parents give along the way is no surprise.
    known: &'a [Names],
    position: Position,
    /// The tap was given a state.
    goes_on: bool,
    schema: Option<Digest>,
    records: u64,
    foreign: BTreeSet<String>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(stream: &'a Stream, names: &'a Names, known: &'a [Names], position: Position) -> Self {
        let goes_on = position.state.is_some();
        Self { stream, names, known, position, goes_on, schema: None, records: 0, foreign: BTreeSet::new() }
    }

    fn schema(&mut self, message: &SchemaMessage<'_>) -> Result<Vec<Event>> {
        let key = message.key_properties.as_deref().filter(|key| !key.is_empty()).unwrap_or(&self.stream.key);
        if self.goes_on || self.records > 0 {
            self.position.expect_key(key)?;
        } else {
            self.position.key = key.to_vec();
        }
        let document = Json::parse(message.schema.get().to_owned())?;
        let schema = Digest::of(document.as_bytes());
        let changed = self.schema.is_some_and(|before| before != schema);
        self.schema = Some(schema);
        Ok(changed
            .then(|| {
                let mut change = SchemaChange::new(schema);
                change.document = Some(document);
                Event::Schema(change)
            })
            .into_iter()
            .collect())
    }

    fn record(&mut self, message: &RecordMessage<'_>, line: &Bytes) -> Result<Vec<Event>> {
        if self.schema.is_none() {
            return Err(Error::new(ErrorKind::InvalidData, "the tap gives a record before it says of what form")
                .with_context("stream", &self.stream.name));
        }
        self.records += 1;
        let data = Json::from_raw(line, message.record)?;
        let key = Key::new(self.stream.name.clone(), record_id(&self.position.key, &data)?);
        Ok(vec![Event::Put(Box::new(Record::new(key, data)))])
    }

    fn state(&mut self, message: &StateMessage<'_>) -> Result<Vec<Event>> {
        if self.stream.whole || says_nothing(&serde_json::from_str(message.value.get())?) {
            return Ok(Vec::new());
        }
        self.position.state = Some(message.value.to_owned());
        Ok(self.position.checkpoint()?.into_iter().collect())
    }

    /// Everything of an older version is gone: only a reading of everything tells what that was.
    fn version(&mut self, version: i64) -> Result<Vec<Event>> {
        if self.goes_on && self.position.version != Some(version) {
            return Err(Error::new(ErrorKind::CursorExpired, "the tap began a new version of the stream"));
        }
        self.position.version = Some(version);
        Ok(Vec::new())
    }

    /// Whether a message is about this stream; one that no catalog names is noted.
    fn is_mine(&mut self, name: &str) -> bool {
        if self.names.is(name) {
            return true;
        }
        if !self.known.iter().any(|names| names.is(name)) && self.foreign.len() < MAX_FOREIGN {
            self.foreign.insert(name.to_owned());
        }
        false
    }
}

impl Protocol for Reading<'_> {
    fn message(&mut self, kind: &str, line: &Bytes) -> Result<Vec<Event>> {
        match kind {
            "SCHEMA" => {
                let message: SchemaMessage<'_> = parse(line)?;
                if self.names.is(&message.stream) { self.schema(&message) } else { Ok(Vec::new()) }
            }
            "RECORD" => {
                let message: RecordMessage<'_> = parse(line)?;
                if self.is_mine(&message.stream) { self.record(&message, line) } else { Ok(Vec::new()) }
            }
            "STATE" => self.state(&parse(line)?),
            "ACTIVATE_VERSION" => {
                let message: VersionMessage<'_> = parse(line)?;
                if self.names.is(&message.stream) { self.version(message.version) } else { Ok(Vec::new()) }
            }
            "BATCH" => {
                let message: BatchMessage<'_> = parse(line)?;
                if !self.is_mine(&message.stream) {
                    return Ok(Vec::new());
                }
                Err(Error::new(ErrorKind::Unsupported, "the tap gives files of records and not records")
                    .with_context("next", "leave `batch_config` out of its settings"))
            }
            other => {
                tracing::debug!(kind = other, "a message of a type that is not known");
                Ok(Vec::new())
            }
        }
    }

    fn end(self) -> Result<Vec<Event>> {
        if self.schema.is_none() && !self.goes_on {
            return Err(Error::new(ErrorKind::InvalidData, "the tap said nothing of the stream that it was to read")
                .with_context("stream", &self.stream.name)
                .with_context("next", "name the streams that lead to it in `parents`, if it is read by way of them"));
        }
        let mut events = Vec::new();
        if !self.foreign.is_empty() {
            let names: Vec<String> = self.foreign.into_iter().collect();
            let error =
                Error::new(ErrorKind::InvalidData, "the tap gives records of streams that its catalog does not name")
                    .with_context("streams", names.join(", "));
            events.push(Event::Gap(Gap::collection(self.stream.name.clone(), &error)));
        }
        events.extend(self.position.end(self.stream)?);
        Ok(events)
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a Bytes) -> Result<T> {
    serde_json::from_slice(line)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "a message of the tap lacks what its type has"))
}

/// A state such as `{"bookmarks": {"orders": {}}}` is none: the next run begins anew.
fn says_nothing(state: &Value) -> bool {
    match state {
        Value::Null => true,
        Value::Object(members) => members.values().all(says_nothing),
        _ => false,
    }
}
