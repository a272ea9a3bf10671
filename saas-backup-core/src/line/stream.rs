use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::{End, Line, LineCodec, LineCounts, Start};
use crate::{CollectionName, Cursor, Digest, Error, ErrorKind, Json, Record, Result};

const CHECKPOINT_LINES: u64 = 1_000;
const CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a stream from its `start` to its `end`, and proves that nothing is missing.
///
/// The lines between them are good as they come, but only what stands before the last checkpoint may be kept if
/// [`finish`](Self::finish) fails.
///
/// ```
/// use bytes::Bytes;
/// use chrono::DateTime;
/// use saas_backup_core::{Digest, Line, LineCodec, Start, StreamCheck, StreamKind, StreamWriter};
///
/// let at = DateTime::UNIX_EPOCH;
/// let mut body = Vec::new();
/// let start = Start::new(StreamKind::Changes, "acme", "g1", Digest::of(b"schema"), at);
/// let mut writer = StreamWriter::start(LineCodec::wire(), start, &mut body)?;
/// writer.write(&Line::Heartbeat, &mut body)?;
/// writer.end(None, false, Some(at), &mut body)?;
///
/// let mut check = StreamCheck::new(LineCodec::wire());
/// for line in body.split_inclusive(|byte| *byte == b'\n') {
///     check.decode(&Bytes::copy_from_slice(&line[..line.len() - 1]))?;
/// }
/// assert_eq!(check.finish()?.lines, 2);
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Debug)]
pub struct StreamCheck {
    codec: LineCodec,
    tally: Tally,
    end: Option<Box<End>>,
}

impl StreamCheck {
    /// A check that has seen nothing.
    pub fn new(codec: LineCodec) -> Self {
        Self { codec, tally: Tally::default(), end: None }
    }

    /// Takes the next line of the stream, without its line feed.
    ///
    /// # Errors
    ///
    /// As [`LineCodec::decode`]; [`ErrorKind::InvalidData`] if the first line is no `start`, another one is, or
    /// something follows the `end`; [`ErrorKind::Integrity`] if the `end` does not say what was read.
    pub fn decode(&mut self, line: &Bytes) -> Result<Line> {
        if self.end.is_some() {
            return Err(out_of_order("a line follows the end of the stream"));
        }
        let decoded = self.codec.decode(line)?;
        match &decoded {
            Line::Start(_) if self.tally.lines > 0 => return Err(out_of_order("a second start")),
            Line::Start(_) => {}
            _ if self.tally.lines == 0 => return Err(out_of_order("the stream does not begin with a start")),
            Line::End(end) => {
                self.tally.verify(end)?;
                self.end = Some(end.clone());
                return Ok(decoded);
            }
            _ => {}
        }
        self.tally.count(&decoded);
        self.tally.add(line);
        Ok(decoded)
    }

    /// Says that the body ended, and gives the `end` line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if it ended without one: the stream was cut, and reading on from the last
    /// checkpoint helps.
    pub fn finish(self) -> Result<End> {
        let end = self.end.map(|end| *end);
        end.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the stream was cut: it has no end line"))
    }

    /// Lines read so far, the `end` not counted.
    pub fn lines(&self) -> u64 {
        self.tally.lines
    }
}

/// Writes a stream: the `start`, the lines, and an `end` with their counts and digest.
///
/// What it appends is to be sent as it is; lines end with a line feed.
#[derive(Debug)]
pub struct StreamWriter {
    codec: LineCodec,
    tally: Tally,
    since_checkpoint: (u64, u64),
}

impl StreamWriter {
    /// Begins a stream.
    ///
    /// # Errors
    ///
    /// As [`LineCodec::encode`]; `out` is then as it was. The same holds for all methods.
    pub fn start(codec: LineCodec, start: Start, out: &mut Vec<u8>) -> Result<Self> {
        let mut writer = Self { codec, tally: Tally::default(), since_checkpoint: (0, 0) };
        writer.append(&Line::Start(Box::new(start)), out)?;
        writer.since_checkpoint = (0, 0);
        Ok(writer)
    }

    /// Appends a line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] for a `start` or an `end`: there is one of each.
    pub fn write(&mut self, line: &Line, out: &mut Vec<u8>) -> Result<()> {
        match line {
            Line::Start(_) | Line::End(_) => Err(out_of_order("a stream has one start and one end")),
            Line::Put(record) => self.put(record, out),
            line => self.append(line, out),
        }
    }

    /// Appends the line of a record.
    ///
    /// # Errors
    ///
    /// As [`LineCodec::encode_put`].
    pub fn put(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<()> {
        let begin = out.len();
        self.codec.encode_put(record, out)?;
        self.tally.counts_of(&record.key.collection).put += 1;
        self.written(begin, out);
        Ok(())
    }

    /// Appends a checkpoint with the number of lines since the `start`.
    ///
    /// # Errors
    ///
    /// If the cursor breaks a rule of the profile.
    pub fn checkpoint(&mut self, cursor: Cursor, out: &mut Vec<u8>) -> Result<()> {
        let lines = self.tally.lines.saturating_sub(1);
        self.append(&Line::Checkpoint { cursor, lines: Some(lines) }, out)?;
        self.since_checkpoint = (0, 0);
        Ok(())
    }

    /// Whether the protocol asks for a checkpoint now: 1,000 lines or 16 MiB after the last one.
    ///
    /// It asks for one after 10 seconds too, which is for the caller's clock.
    pub fn checkpoint_is_due(&self) -> bool {
        // The checkpoint itself is a line.
        self.since_checkpoint.0 + 1 >= CHECKPOINT_LINES || self.since_checkpoint.1 >= CHECKPOINT_BYTES
    }

    /// Lines written so far, the `start` included.
    pub fn lines(&self) -> u64 {
        self.tally.lines
    }

    /// Appends the `end`, and gives what it says.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if there is more to come and no cursor says where.
    pub fn end(
        self,
        cursor: Option<Cursor>,
        more: bool,
        head_at: Option<DateTime<Utc>>,
        out: &mut Vec<u8>,
    ) -> Result<End> {
        self.end_with(cursor, more, head_at, BTreeMap::new(), out)
    }

    /// The same with further members, such as the sums of [`DriftSum`](crate::DriftSum).
    ///
    /// # Errors
    ///
    /// As [`end`](Self::end).
    pub fn end_with(
        self,
        cursor: Option<Cursor>,
        more: bool,
        head_at: Option<DateTime<Utc>>,
        extra: BTreeMap<String, Json>,
        out: &mut Vec<u8>,
    ) -> Result<End> {
        let digest = Digest::from_bytes(self.tally.hash.finalize().into());
        let end = End { cursor, more, head_at, counts: self.tally.counts, extra, ..End::new(self.tally.lines, digest) };
        self.codec.encode(&Line::End(Box::new(end.clone())), out)?;
        out.push(b'\n');
        Ok(end)
    }

    fn append(&mut self, line: &Line, out: &mut Vec<u8>) -> Result<()> {
        let begin = out.len();
        self.codec.encode(line, out)?;
        self.tally.count(line);
        self.written(begin, out);
        Ok(())
    }

    fn written(&mut self, begin: usize, out: &mut Vec<u8>) {
        let text = out.get(begin..).unwrap_or_default();
        self.tally.add(text);
        self.since_checkpoint.0 += 1;
        self.since_checkpoint.1 += text.len() as u64 + 1;
        out.push(b'\n');
    }
}

/// What an `end` line states, kept line by line.
#[derive(Debug, Default)]
struct Tally {
    hash: Sha256,
    lines: u64,
    counts: BTreeMap<CollectionName, LineCounts>,
}

impl Tally {
    fn add(&mut self, line: &[u8]) {
        self.hash.update(line);
        self.hash.update(b"\n");
        self.lines += 1;
    }

    fn count(&mut self, line: &Line) {
        match line {
            Line::Put(record) => self.counts_of(&record.key.collection).put += 1,
            Line::Delete(deletion) => self.counts_of(&deletion.key.collection).del += 1,
            Line::Gap(gap) => self.counts_of(&gap.collection).err += 1,
            Line::Item(item) => self.counts_of(&item.key.collection).item += 1,
            _ => {}
        }
    }

    fn counts_of(&mut self, collection: &CollectionName) -> &mut LineCounts {
        self.counts.entry(collection.clone()).or_default()
    }

    fn verify(&self, end: &End) -> Result<()> {
        let differs = |what: &'static str| {
            Error::new(ErrorKind::Integrity, "the end line does not match the stream").with_context("member", what)
        };
        if end.lines != self.lines {
            return Err(differs("lines"));
        }
        if end.digest != Digest::from_bytes(self.hash.clone().finalize().into()) {
            return Err(differs("digest"));
        }
        if !end.counts.is_empty() && end.counts != self.counts {
            return Err(differs("counts"));
        }
        Ok(())
    }
}

fn out_of_order(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, "the lines of the stream are out of order").with_context("because", what)
}
