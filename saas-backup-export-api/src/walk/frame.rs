use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{
    Cursor, Deletion, Digest, Error, ErrorKind, Gap, Item, Json, Line, LineCodec, LineLimits, Problem, Record, Reset,
    Result, Start, StreamWriter,
};

use crate::Entry;

/// The lines of one answer: written here, taken away as they are sent.
#[derive(Debug)]
pub(crate) struct Frame {
    codec: LineCodec,
    writer: Option<StreamWriter>,
    pending: Vec<u8>,
    taken: usize,
    /// Where the last checkpoint stands.
    checked: usize,
}

impl Frame {
    pub(crate) fn new(max_line_bytes: usize) -> Self {
        // The limit of the protocol counts a line with its end.
        let limits = LineLimits::wire().with_bytes(max_line_bytes.saturating_sub(1));
        let codec = LineCodec::wire().with_limits(limits);
        Self { codec, writer: None, pending: Vec::new(), taken: 0, checked: 0 }
    }

    pub(crate) fn start(&mut self, start: Start) -> Result<()> {
        self.writer = Some(StreamWriter::start(self.codec, start, &mut self.pending)?);
        self.checked = self.bytes();
        Ok(())
    }

    /// Writes a record, or in its place the reason why it cannot be written: it never vanishes.
    pub(crate) fn entry(&mut self, entry: Entry) -> Result<()> {
        let record = match entry {
            Entry::Record(record) => record,
            Entry::Gap(gap) => return self.gap(gap),
        };
        let key = record.key.clone();
        let written = self.put(*record);
        match written {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::LimitExceeded) => {
                tracing::warn!(collection = %key.collection, %error, "a record does not fit the protocol");
                self.gap(Gap::record(&key, &error))
            }
            written => written,
        }
    }

    fn put(&mut self, mut record: Record) -> Result<()> {
        if record.version.is_none() {
            record.version = Some(self.version(&record)?);
        }
        let (writer, pending) = self.open()?;
        writer.put(&record, pending)
    }

    /// Writes what an inventory says of a record.
    pub(crate) fn item(&mut self, entry: Entry) -> Result<()> {
        let record = match entry {
            Entry::Record(record) => record,
            Entry::Gap(gap) => return self.gap(gap),
        };
        let version = self.version(&record)?;
        self.write(&Line::Item(Item::new(record.key).with_version(version)))
    }

    /// The version of a record; one without gets a version made of the content: any change of it is another version.
    pub(crate) fn version(&self, record: &Record) -> Result<String> {
        if let Some(version) = &record.version {
            return Ok(version.clone());
        }
        let mut line = Vec::new();
        self.codec.encode_put(&record.clone().with_version("0"), &mut line)?;
        Ok(Digest::of(&line).to_string().chars().take(32).collect())
    }

    pub(crate) fn deletion(&mut self, deletion: Deletion) -> Result<()> {
        self.write(&Line::Delete(deletion))
    }

    pub(crate) fn reset(&mut self, reset: Reset) -> Result<()> {
        self.write(&Line::Reset(reset))
    }

    pub(crate) fn heartbeat(&mut self) -> Result<()> {
        self.write(&Line::Heartbeat)
    }

    pub(crate) fn checkpoint(&mut self, cursor: &str) -> Result<()> {
        let cursor = cursor_of(cursor)?;
        let (writer, pending) = self.open()?;
        writer.checkpoint(cursor, pending)?;
        self.checked = self.bytes();
        Ok(())
    }

    pub(crate) fn end(&mut self, cursor: Option<&str>, more: bool, head_at: Option<DateTime<Utc>>) -> Result<()> {
        self.end_with(cursor, more, head_at, BTreeMap::new())
    }

    /// Ends the lines and says more than the protocol asks for.
    pub(crate) fn end_with(
        &mut self,
        cursor: Option<&str>,
        more: bool,
        head_at: Option<DateTime<Utc>>,
        extra: BTreeMap<String, Json>,
    ) -> Result<()> {
        let cursor = cursor.map(cursor_of).transpose()?;
        let writer = self.writer.take().ok_or_else(not_open)?;
        writer.end_with(cursor, more, head_at, extra, &mut self.pending)?;
        Ok(())
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> usize {
        self.taken + self.pending.len()
    }

    /// Bytes written since the last checkpoint.
    pub(crate) fn unchecked_bytes(&self) -> usize {
        self.bytes() - self.checked
    }

    /// Takes the lines that are to be sent now.
    pub(crate) fn take(&mut self) -> Bytes {
        self.taken += self.pending.len();
        // The next lines will be about as long.
        let next = Vec::with_capacity(self.pending.len() + self.pending.len() / 8);
        Bytes::from(std::mem::replace(&mut self.pending, next))
    }

    fn gap(&mut self, mut gap: Gap) -> Result<()> {
        // The words of an error are the vendor's own and may quote a customer's data: only a problem that was
        // written for consumers, and is therefore named by a URI, goes out as it is.
        if !gap.problem.kind.contains(':') {
            let kind = "urn:open-export:problem:record-unavailable";
            gap.problem = Problem::new(kind, "The record cannot be exported");
        }
        gap.partition = None;
        self.write(&Line::Gap(gap))
    }

    pub(crate) fn write(&mut self, line: &Line) -> Result<()> {
        let (writer, pending) = self.open()?;
        writer.write(line, pending)
    }

    fn open(&mut self) -> Result<(&mut StreamWriter, &mut Vec<u8>)> {
        Ok((self.writer.as_mut().ok_or_else(not_open)?, &mut self.pending))
    }
}

pub(super) fn cursor_of(text: &str) -> Result<Cursor> {
    Cursor::from_json(Json::from_value(&text)?)
}

fn not_open() -> Error {
    Error::new(ErrorKind::Unexpected, "a line was written outside of start and end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use saas_backup_core::{Key, StreamKind};

    fn frame(max_line_bytes: usize) -> Frame {
        let mut frame = Frame::new(max_line_bytes);
        let at = DateTime::UNIX_EPOCH;
        frame.start(Start::new(StreamKind::Records, "ws_1", "g0", Digest::of(b"schema"), at)).unwrap();
        frame
    }

    fn note(id: &str, text: &str) -> Record {
        Record::new(Key::parse("notes", id).unwrap(), Json::from_value(&serde_json::json!({ "t": text })).unwrap())
    }

    fn last_line(frame: &mut Frame) -> serde_json::Value {
        let bytes = frame.take();
        let line = bytes.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap().to_vec();
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_record_that_does_not_fit_leaves_an_err_line() {
        let mut frame = frame(1_000);
        frame.entry(note("long", &"x".repeat(1_000)).into()).unwrap();
        let line = last_line(&mut frame);
        assert_eq!((&line["type"], &line["id"], &line["retry"]), (&"err".into(), &"long".into(), &false.into()));
        let stored_only = note("a", "b").with_partition(saas_backup_core::PartitionId::from_static("p"));
        frame.entry(stored_only.into()).unwrap();
        assert_eq!(last_line(&mut frame)["type"], "err");
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_sent() {
        let record = note("a", &"x".repeat(500)).with_version("1");
        let mut measure = frame(10_000);
        measure.take();
        measure.entry(record.clone().into()).unwrap();
        let length = measure.take().len();
        for (limit, kind) in [(length, "put"), (length - 1, "err")] {
            let mut frame = frame(limit);
            frame.entry(record.clone().into()).unwrap();
            assert_eq!(last_line(&mut frame)["type"], kind);
        }
    }

    #[test]
    fn what_an_error_says_does_not_reach_an_err_line() {
        let mut frame = frame(10_000);
        let error = Error::new(ErrorKind::Unavailable, "no row for ann@example.com");
        frame.entry(Entry::Gap(Gap::record(&Key::parse("notes", "n").unwrap(), &error))).unwrap();
        let line = last_line(&mut frame);
        assert!(!line.to_string().contains("ann@example.com"));
        assert_eq!(line["problem"]["type"], "urn:open-export:problem:record-unavailable");
        assert_eq!(line["retry"], true);
    }

    #[test]
    fn a_version_made_of_the_content_changes_with_it_and_only_then() {
        let frame = frame(10_000);
        let version = |record: &Record| frame.version(record).unwrap();
        assert_eq!(version(&note("a", "x")), version(&note("a", "x")));
        assert_ne!(version(&note("a", "x")), version(&note("a", "y")));
        let trashed = note("a", "x").with_state(saas_backup_core::RecordState::Trashed);
        assert_ne!(version(&note("a", "x")), version(&trashed));
    }
}
