use bytes::Bytes;
use saas_backup_core::{
    Cursor, End, ErasureEvent, Error, ErrorKind, Event, ImportResult, Line, LineCodec, LineReader, Result, Retry,
    Start, StreamCheck, StreamKind,
};

/// One answer of the service, as far as it can be believed.
#[derive(Debug)]
pub(super) struct Page<T = Event> {
    pub(super) start: Start,
    /// What the lines say; all of a whole answer, else what stands before the last checkpoint.
    pub(super) events: Vec<T>,
    /// The last checkpoint of the events.
    pub(super) checkpoint: Option<Cursor>,
    pub(super) rest: Rest,
}

/// How an answer ended.
#[derive(Debug)]
pub(super) enum Rest {
    /// With an `end` line that says what was read.
    Whole(Box<End>),
    /// Too early, or not as it was written: what follows the last checkpoint is read again from there.
    Cut(Error),
}

impl Page {
    /// Reads a body of records.
    ///
    /// # Errors
    ///
    /// If it does not even begin as it should.
    pub(super) fn read(body: Bytes, kind: StreamKind) -> Result<Self> {
        Self::read_with(body, kind, |line| match line {
            Line::Put(_) | Line::Gap(_) | Line::Schema(_) => Ok(line.into_event()),
            Line::Delete(_) | Line::Reset(_) if kind == StreamKind::Changes => Ok(line.into_event()),
            _ => Err(misplaced()),
        })
    }
}

impl Page<ErasureEvent> {
    /// Reads a body of requests to erase.
    ///
    /// # Errors
    ///
    /// If it does not even begin as it should.
    pub(super) fn read_erasures(body: Bytes) -> Result<Self> {
        Self::read_with(body, StreamKind::Erasures, |line| match line {
            Line::Erase(request) => Ok(Some(ErasureEvent::Erase(request))),
            Line::Hold(request) => Ok(Some(ErasureEvent::Hold(request))),
            Line::EraseCancel(end) => Ok(Some(ErasureEvent::Cancel(end))),
            Line::HoldRelease(end) => Ok(Some(ErasureEvent::Release(end))),
            _ => Err(misplaced()),
        })
    }
}

impl Page<ImportResult> {
    /// Reads what became of records that were sent.
    ///
    /// # Errors
    ///
    /// If it is not a whole answer.
    pub(super) fn read_results(body: Bytes) -> Result<Vec<ImportResult>> {
        let page = Self::read_with(body, StreamKind::ImportResults, |line| match line {
            Line::Result(result) => Ok(Some(*result)),
            _ => Err(misplaced()),
        })?;
        match page.rest {
            Rest::Whole(_) => Ok(page.events),
            Rest::Cut(error) => Err(error),
        }
    }
}

impl<T> Page<T> {
    fn read_with(body: Bytes, kind: StreamKind, meaning: impl Fn(Line) -> Result<Option<T>>) -> Result<Self> {
        let codec = LineCodec::wire();
        let (mut reader, mut check) = (LineReader::new(codec.limits.bytes), StreamCheck::new(codec));
        reader.push(body);
        let first = reader.next_line()?.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the answer is empty"))?;
        let Line::Start(start) = check.decode(&first)? else {
            return Err(Error::new(ErrorKind::InvalidData, "the answer does not begin with a start line"));
        };
        if start.kind != kind {
            return Err(Error::new(ErrorKind::InvalidData, "the answer is a stream of another kind"));
        }
        let mut page = Self { start: *start, events: Vec::new(), checkpoint: None, rest: Rest::Cut(cut()) };
        let mut kept = 0;
        let ended = page.take_lines(&mut reader, &mut check, &mut kept, meaning);
        match ended.and_then(|()| reader.finish()).and_then(|()| check.finish()) {
            Ok(end) => page.rest = Rest::Whole(Box::new(end)),
            Err(error) => {
                page.events.truncate(kept);
                page.rest = Rest::Cut(damaged(error));
            }
        }
        Ok(page)
    }

    fn take_lines(
        &mut self,
        reader: &mut LineReader,
        check: &mut StreamCheck,
        kept: &mut usize,
        meaning: impl Fn(Line) -> Result<Option<T>>,
    ) -> Result<()> {
        while let Some(line) = reader.next_line()? {
            let line = check.decode(&line)?;
            match line {
                Line::Heartbeat | Line::Other(_) | Line::End(_) => {}
                Line::Checkpoint { cursor, .. } => {
                    self.checkpoint = Some(cursor);
                    *kept = self.events.len();
                }
                line => self.events.extend(meaning(line)?),
            }
        }
        Ok(())
    }
}

impl<T> Page<T> {
    /// What tells this answer from others.
    pub(super) fn mark(&self) -> Vec<u8> {
        match (&self.rest, &self.checkpoint) {
            (Rest::Whole(end), _) => end.digest.as_bytes().to_vec(),
            (Rest::Cut(_), Some(checkpoint)) => checkpoint.as_json().as_bytes().to_vec(),
            (Rest::Cut(_), None) => Vec::new(),
        }
    }
}

fn misplaced() -> Error {
    Error::new(ErrorKind::InvalidData, "a line does not belong into this stream")
}

fn cut() -> Error {
    Error::new(ErrorKind::Unavailable, "the stream was cut: it has no end line")
}

/// Bytes that were damaged or cut on the way are whole at the next try; a line that breaks the rules is not.
fn damaged(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Integrity => error.with_retry(Retry::Backoff),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use saas_backup_core::{Digest, Json, Key, Record, StreamWriter};

    fn cursor(text: &str) -> Cursor {
        Cursor::from_json(Json::from_value(&text).unwrap()).unwrap()
    }

    /// Two records, a checkpoint, one more record.
    fn body() -> Vec<u8> {
        let start = Start::new(StreamKind::Changes, "ws_1", "g0", Digest::of(b"schema"), DateTime::UNIX_EPOCH);
        let mut out = Vec::new();
        let mut writer = StreamWriter::start(LineCodec::wire(), start, &mut out).unwrap();
        for id in ["a", "b", "c"] {
            let record = Record::new(Key::parse("notes", id).unwrap(), Json::parse("{}").unwrap()).with_version("1");
            writer.put(&record, &mut out).unwrap();
            if id == "b" {
                writer.checkpoint(cursor("after-b"), &mut out).unwrap();
                writer.write(&Line::Heartbeat, &mut out).unwrap();
            }
        }
        writer.end(Some(cursor("end")), false, None, &mut out).unwrap();
        out
    }

    fn read(body: Vec<u8>) -> Page {
        Page::read(Bytes::from(body), StreamKind::Changes).unwrap()
    }

    #[test]
    fn a_whole_answer_is_taken_whole() {
        let page = read(body());
        assert_eq!(page.events.len(), 3);
        assert!(matches!(page.rest, Rest::Whole(end) if !end.more));
    }

    #[test]
    fn of_a_cut_answer_only_what_a_checkpoint_covers_is_kept() {
        let whole = body();
        let checkpoint = whole.windows(15).position(|text| text == br#"{"type":"ckpt","#).unwrap();
        let after = checkpoint + whole[checkpoint..].iter().position(|byte| *byte == b'\n').unwrap();
        for length in 0..whole.len() {
            let Ok(page) = Page::read(Bytes::copy_from_slice(&whole[..length]), StreamKind::Changes) else {
                assert!(length < checkpoint, "{length}");
                continue;
            };
            let Rest::Cut(error) = page.rest else { panic!("{length} of {} bytes are not whole", whole.len()) };
            let covered = length > after;
            assert_eq!((page.events.len(), page.checkpoint.is_some()), if covered { (2, true) } else { (0, false) });
            assert!(error.kind() == ErrorKind::Unavailable || error.kind() == ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_damaged_byte_drops_what_no_checkpoint_covers() {
        let mut damaged = body();
        let place = damaged.windows(8).position(|text| text == br#""id":"c""#).unwrap() + 6;
        damaged[place] = b'x';
        let page = read(damaged);
        let Rest::Cut(error) = page.rest else { panic!("the digest does not match") };
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Integrity, Retry::Backoff));
        assert_eq!(page.events.len(), 2);
    }

    #[test]
    fn lines_that_do_not_belong_there_are_refused() {
        let snapshot = Page::read(Bytes::from(body()), StreamKind::Snapshot).unwrap_err();
        assert_eq!(snapshot.kind(), ErrorKind::InvalidData);
        let item = String::from_utf8(body()).unwrap().replacen(r#""type":"put""#, r#""type":"item""#, 1);
        let page = read(item.replacen(r#","data":{}"#, "", 1).into_bytes());
        assert!(matches!(page.rest, Rest::Cut(error) if error.kind() == ErrorKind::InvalidData));
    }
}
