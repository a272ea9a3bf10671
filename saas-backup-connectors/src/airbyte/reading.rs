use std::collections::BTreeSet;

use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Event, Gap, Json, Key, Record, Result, Retry};
use serde::Deserialize;

use super::message::{
    ControlLine, Descriptor, LogLine, RecordLine, RecordMessage, StateLine, StateMessage, StreamStatus, TraceError,
    TraceLine,
};
use crate::process::{Position, Protocol, Redactor, Settings, Stream, record_id};

/// Most names of streams that nobody asked for that are kept to be told.
const MAX_FOREIGN: usize = 20;

/// One reading of one stream: the records that the source gives, and the states between them.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) stream: &'a Stream,
    pub(super) descriptor: &'a Descriptor,
    pub(super) settings: &'a Settings,
    pub(super) redactor: Redactor,
    pub(super) position: Position,
    /// Records since the last state.
    counted: u64,
    status: Status,
    foreign: BTreeSet<String>,
}

/// What the source says of the stream's progress; older ones say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Untold,
    Begun,
    Complete,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        stream: &'a Stream,
        descriptor: &'a Descriptor,
        settings: &'a Settings,
        redactor: Redactor,
        position: Position,
    ) -> Self {
        let (status, foreign) = (Status::Untold, BTreeSet::new());
        Self { stream, descriptor, settings, redactor, position, counted: 0, status, foreign }
    }

    fn record(&mut self, message: RecordMessage<'_>, line: &Bytes) -> Result<Vec<Event>> {
        if !self.descriptor.is(&message.stream, message.namespace.as_deref()) {
            if self.foreign.len() < MAX_FOREIGN {
                self.foreign.insert(message.stream.into_owned());
            }
            return Ok(Vec::new());
        }
        self.counted += 1;
        let data = Json::from_raw(line, message.data)?;
        let key = Key::new(self.stream.name.clone(), record_id(&self.position.key, &data)?);
        let mut record = Record::new(key.clone(), data);
        let mut lacks = message.file_reference.map(|_| {
            Error::new(ErrorKind::Unsupported, "the source gives a file beside the record, which is not kept")
                .with_context("next", "let it give records alone, in its delivery method")
        });
        let changes = message.meta.map(|meta| meta.changes).unwrap_or_default();
        if !changes.is_empty() {
            record.extra.insert("x-changes".to_owned(), Json::from_value(&changes)?);
            lacks = Some(Error::new(ErrorKind::InvalidData, "the source left out or cut members of the record"));
        }
        let gap = lacks.map(|error| Event::Gap(Gap::record(&key, &error)));
        Ok([Event::Put(Box::new(record))].into_iter().chain(gap).collect())
    }

    fn state(&mut self, line: &StateLine<'_>) -> Result<Vec<Event>> {
        let message: StateMessage = serde_json::from_str(line.state.get())?;
        let about = message.stream.map(|stream| stream.stream_descriptor);
        if about.is_some_and(|about| !self.descriptor.is(&about.name, about.namespace.as_deref())) {
            return Ok(Vec::new());
        }
        let counted = std::mem::take(&mut self.counted);
        #[expect(clippy::cast_precision_loss, reason = "no state stands for 2^53 records")]
        let differs = |told: &f64| (told - counted as f64).abs() > 0.5;
        if let Some(told) = message.source_stats.and_then(|stats| stats.record_count).filter(differs) {
            return Err(Error::new(ErrorKind::InvalidData, "the source counts other records than it gave")
                .with_retry(Retry::Backoff)
                .with_context("given", counted)
                .with_context("told", told));
        }
        if self.stream.whole {
            return Ok(Vec::new());
        }
        self.position.state = Some(line.state.to_owned());
        Ok(self.position.checkpoint()?.into_iter().collect())
    }

    fn status(&mut self, told: &StreamStatus) -> Result<()> {
        let about = &told.stream_descriptor;
        if !self.descriptor.is(&about.name, about.namespace.as_deref()) {
            return Ok(());
        }
        self.status = match told.status.as_str() {
            "COMPLETE" => Status::Complete,
            "INCOMPLETE" => return Err(Error::new(ErrorKind::Unavailable, "the source gives up the stream")),
            _ => Status::Begun,
        };
        Ok(())
    }
}

/// What a source says of its failure, as an error of ours. A person is to act on it, so its words are shown, without
/// settings and addresses.
pub(super) fn told(error: &TraceError, redactor: &Redactor) -> Error {
    let kind = match error.failure_type.as_deref() {
        Some("config_error") => ErrorKind::Configuration,
        Some("transient_error") => ErrorKind::Unavailable,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, "the source failed").with_context("it_said", redactor.shown(&error.message))
}

impl Protocol for Reading<'_> {
    fn message(&mut self, kind: &str, line: &Bytes) -> Result<Vec<Event>> {
        match kind {
            "RECORD" => self.record(parse::<RecordLine<'_>>(line)?.record, line),
            "STATE" => self.state(&parse(line)?),
            "TRACE" => {
                let trace = parse::<TraceLine>(line)?.trace;
                let mine = |about: &Descriptor| self.descriptor.is(&about.name, about.namespace.as_deref());
                if let Some(error) = trace.error.filter(|error| error.stream_descriptor.as_ref().is_none_or(mine)) {
                    return Err(told(&error, &self.redactor));
                }
                trace.stream_status.iter().try_for_each(|status| self.status(status))?;
                Ok(Vec::new())
            }
            "CONTROL" => {
                if let Some(replaced) = parse::<ControlLine>(line)?.control.connector_config {
                    self.settings.keep(&replaced.config)?;
                }
                Ok(Vec::new())
            }
            "LOG" => {
                let message = parse::<LogLine>(line)?.log.message;
                tracing::debug!(line = self.redactor.shown(&message), "the program logs");
                Ok(Vec::new())
            }
            other => {
                tracing::debug!(kind = other, "a message that says nothing of records");
                Ok(Vec::new())
            }
        }
    }

    fn end(self) -> Result<Vec<Event>> {
        if self.status == Status::Begun {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the source ended without saying that the stream is complete",
            ));
        }
        let mut events = Vec::new();
        if !self.foreign.is_empty() {
            let names: Vec<String> = self.foreign.into_iter().collect();
            let error = Error::new(ErrorKind::InvalidData, "the source gives records of streams that nobody asked for")
                .with_context("streams", names.join(", "));
            events.push(Event::Gap(Gap::collection(self.stream.name.clone(), &error)));
        }
        events.extend(self.position.end(self.stream)?);
        Ok(events)
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(line: &'a Bytes) -> Result<T> {
    serde_json::from_slice(line)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "a message of the source lacks what its type has"))
}
