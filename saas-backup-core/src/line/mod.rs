//! One line format, from the wire to the archive: the lines of the Open Export Protocol, in two profiles.

mod decode;
mod encode;
mod head;
mod limits;
mod reader;
mod rules;
mod stream;
mod time;
mod types;

use bytes::Bytes;

pub use self::head::{LineHead, data_of, sequence_place};
pub use self::limits::LineLimits;
pub use self::reader::LineReader;
pub use self::stream::{StreamCheck, StreamWriter};
pub use self::types::{
    Consistency, End, ImportResult, ImportStatus, Item, LineCounts, SnapshotHeader, Start, StreamKind,
};
use crate::{
    Cursor, Deletion, ErasureEnd, ErasureRequest, Event, Gap, Json, MAX_JSON_DEPTH, Record, Reset, Result,
    SchemaChange, Seen,
};

/// One line of a stream, a segment or an archive.
///
/// Unknown members are kept where the type has an `extra` map; members that are unknown elsewhere, and those of
/// nested objects such as a blob's, are passed over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Line {
    /// `start`: the first line of a stream.
    Start(Box<Start>),
    /// `put`: the full current state of a record.
    Put(Box<Record>),
    /// `del`: a record left the view.
    Delete(Deletion),
    /// `err`: something exists and could not be read.
    Gap(Gap),
    /// `item`: an entry of an inventory.
    Item(Item),
    /// `schema`: the lines that follow obey another schema.
    Schema(SchemaChange),
    /// `reset`: some collections must be read in full.
    Reset(Reset),
    /// `ckpt`: everything before it is covered by the cursor.
    Checkpoint {
        /// Where to go on.
        cursor: Cursor,
        /// Lines between the start and this one, if the source says.
        lines: Option<u64>,
    },
    /// `hb`: the other side is alive.
    Heartbeat,
    /// `erase`: copies must erase something.
    Erase(ErasureRequest),
    /// `hold`: copies must not erase something.
    Hold(ErasureRequest),
    /// `erase_cancel`: a request to erase was withdrawn.
    EraseCancel(ErasureEnd),
    /// `hold_release`: a hold ended.
    HoldRelease(ErasureEnd),
    /// `result`: what became of an imported record.
    Result(Box<ImportResult>),
    /// `end`: the last line of a stream.
    End(Box<End>),
    /// A type that this version does not know: the whole line, kept as it came.
    Other(Json),
}

impl Line {
    /// The type of the line.
    pub fn kind(&self) -> LineKind {
        match self {
            Self::Start(_) => LineKind::Start,
            Self::Put(_) => LineKind::Put,
            Self::Delete(_) => LineKind::Delete,
            Self::Gap(_) => LineKind::Gap,
            Self::Item(_) => LineKind::Item,
            Self::Schema(_) => LineKind::Schema,
            Self::Reset(_) => LineKind::Reset,
            Self::Checkpoint { .. } => LineKind::Checkpoint,
            Self::Heartbeat => LineKind::Heartbeat,
            Self::Erase(_) => LineKind::Erase,
            Self::Hold(_) => LineKind::Hold,
            Self::EraseCancel(_) => LineKind::EraseCancel,
            Self::HoldRelease(_) => LineKind::HoldRelease,
            Self::Result(_) => LineKind::Result,
            Self::End(_) => LineKind::End,
            Self::Other(_) => LineKind::Other,
        }
    }

    /// The event that the line carries, if it is one: framing, erasures, import results and unknown types are not.
    ///
    /// An [`Item`] becomes [`Event::Seen`] and loses its attachments.
    pub fn into_event(self) -> Option<Event> {
        match self {
            Self::Put(record) => Some(Event::Put(record)),
            Self::Delete(deletion) => Some(Event::Delete(deletion)),
            Self::Gap(gap) => Some(Event::Gap(gap)),
            Self::Item(item) => Some(Event::Seen(Seen { key: item.key, version: item.version })),
            Self::Schema(schema) => Some(Event::Schema(schema)),
            Self::Reset(reset) => Some(Event::Reset(reset)),
            Self::Checkpoint { cursor, .. } => Some(Event::Checkpoint(cursor)),
            _ => None,
        }
    }

    /// The line of an event; `None` for [`Event::Done`], which an `end` line says for a whole stream.
    pub fn from_event(event: Event) -> Option<Self> {
        match event {
            Event::Put(record) => Some(Self::Put(record)),
            Event::Delete(deletion) => Some(Self::Delete(deletion)),
            Event::Seen(seen) => Some(Self::Item(Item { version: seen.version, ..Item::new(seen.key) })),
            Event::Gap(gap) => Some(Self::Gap(gap)),
            Event::Reset(reset) => Some(Self::Reset(reset)),
            Event::Schema(schema) => Some(Self::Schema(schema)),
            Event::Checkpoint(cursor) => Some(Self::Checkpoint { cursor, lines: None }),
            Event::Done(_) => None,
        }
    }
}

/// The type of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LineKind {
    /// `start`
    Start,
    /// `put`
    Put,
    /// `del`
    Delete,
    /// `err`
    Gap,
    /// `item`
    Item,
    /// `schema`
    Schema,
    /// `reset`
    Reset,
    /// `ckpt`
    Checkpoint,
    /// `hb`
    Heartbeat,
    /// `erase`
    Erase,
    /// `hold`
    Hold,
    /// `erase_cancel`
    EraseCancel,
    /// `hold_release`
    HoldRelease,
    /// `result`
    Result,
    /// `end`
    End,
    /// A type that this version does not know.
    Other,
}

impl LineKind {
    /// The kind of this `type`.
    pub fn parse(name: &str) -> Self {
        match name {
            "start" => Self::Start,
            "put" => Self::Put,
            "del" => Self::Delete,
            "err" => Self::Gap,
            "item" => Self::Item,
            "schema" => Self::Schema,
            "reset" => Self::Reset,
            "ckpt" => Self::Checkpoint,
            "hb" => Self::Heartbeat,
            "erase" => Self::Erase,
            "hold" => Self::Hold,
            "erase_cancel" => Self::EraseCancel,
            "hold_release" => Self::HoldRelease,
            "result" => Self::Result,
            "end" => Self::End,
            _ => Self::Other,
        }
    }
}

/// How strict a codec is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// As the protocol says: what vendors and tools exchange.
    Wire,
    /// A superset, because other providers obey no protocol: what repositories and archives hold.
    ///
    /// The version is optional, collection names and ids are any text, cursors and data are any JSON, lines have a
    /// partition, a sequence number, and a word on whether the partition is the only one, and deletions may be inferred.
    Stored,
}

/// Writes and reads lines of one profile.
///
/// Members stand in a fixed order, and a record's `data` stands last, so that it can be cut out by text
/// ([`data_of`]). What is read is checked in full: a line that breaks a rule is refused with the reason, and so is a
/// stored value that breaks a rule of the wire when it is to be written there.
///
/// ```
/// use bytes::Bytes;
/// use saas_backup_core::{Json, Key, Line, LineCodec, Record};
///
/// let record = Record::new(Key::parse("pages", "7")?, Json::parse(r#"{"n": 18446744073709551616}"#)?);
/// let mut text = Vec::new();
/// LineCodec::stored().encode_put(&record, &mut text)?;
/// assert_eq!(text, br#"{"type":"put","collection":"pages","id":"7","data":{"n": 18446744073709551616}}"#);
///
/// let line = LineCodec::stored().decode(&Bytes::from(text))?;
/// assert_eq!(line, Line::Put(Box::new(record.clone())));
/// assert!(LineCodec::wire().encode_put(&record.with_version("1"), &mut Vec::new()).is_err());
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineCodec {
    /// How strict it is.
    pub profile: Profile,
    /// What one line may hold.
    pub limits: LineLimits,
}

impl LineCodec {
    /// A codec of the wire with its limits.
    pub fn wire() -> Self {
        Self { profile: Profile::Wire, limits: LineLimits::wire() }
    }

    /// A codec of repositories and archives with their limits.
    pub fn stored() -> Self {
        Self { profile: Profile::Stored, limits: LineLimits::stored() }
    }

    /// Sets other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: LineLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Appends a line, without line feed.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](crate::ErrorKind::InvalidData) with the reason if the value breaks a rule of the profile,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) if it breaks a limit; `out` is then as it was.
    pub fn encode(&self, line: &Line, out: &mut Vec<u8>) -> Result<()> {
        self.append(out, |codec, out| encode::line(codec, line, out))
    }

    /// Appends the line of a record, without line feed; a stored one costs no allocation of its own.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_put(&self, record: &Record, out: &mut Vec<u8>) -> Result<()> {
        self.append(out, |codec, out| encode::put(codec, record, false, out))
    }

    /// As [`encode_put`](Self::encode_put), and says with `sole` that no partition but the record's own holds it, so
    /// that what other partitions said of it before is past. Only [`LineHead`] tells it again: a record is the same
    /// with it and without.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and `InvalidData` on the wire, which has no partitions.
    pub fn encode_sole_put(&self, record: &Record, out: &mut Vec<u8>) -> Result<()> {
        rules::check_sole(self)?;
        self.append(out, |codec, out| encode::put(codec, record, true, out))
    }

    /// Reads a line, without its line feed. `data` and unknown members are slices of it and keep it in memory.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](crate::ErrorKind::InvalidData) with the reason and never the content,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) if it breaks a limit,
    /// [`UnsupportedVersion`](crate::ErrorKind::UnsupportedVersion) for the start of another major version.
    pub fn decode(&self, line: &Bytes) -> Result<Line> {
        decode::line(self, line)
    }

    /// Reads a line that [`encode_put`](Self::encode_put) wrote, and does not look into its `data` again: it is what
    /// stands between its name and the end of the line. The other members are checked as by [`decode`](Self::decode).
    ///
    /// Meant for lines that a program keeps for itself, such as those of a temporary file: if somebody else could have
    /// changed one, its `data` may come out as a value that is no JSON.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode), and `InvalidData` for every other line than a put whose `data` stands last.
    pub fn decode_own_put(&self, line: &Bytes) -> Result<Record> {
        decode::own_put(self, line)
    }

    fn append(&self, out: &mut Vec<u8>, write: impl FnOnce(&Self, &mut Vec<u8>) -> Result<()>) -> Result<()> {
        let start = out.len();
        let result =
            write(self, out).and_then(|()| limits::check_length(out.len().saturating_sub(start), self.limits.bytes));
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// The nesting that is allowed; [`Json`] itself holds no more than [`MAX_JSON_DEPTH`].
    fn depth(&self) -> usize {
        self.limits.depth.min(MAX_JSON_DEPTH)
    }

    fn is_wire(&self) -> bool {
        self.profile == Profile::Wire
    }
}
