use std::ops::Range;

use bytes::Bytes;
use saas_backup_core::{
    CollectionName, Error, ErrorKind, Key, LineHead, LineKind, PartitionId, RecordId, Result, sequence_place,
};
use serde::{Deserialize, Serialize};

use super::bloom::{Bloom, key_hash};
use super::buffer::LineBuffer;
use super::frames::{Codec, FRAME_BYTES, finish, frame_digest};
use super::index::{Frame, SegmentIndex};
use super::truth::{Says, Word, effective};

/// Raw bytes of lines after which a segment is written.
pub(crate) const SEGMENT_RAW_BYTES: usize = 16 * 1024 * 1024;

/// Which lines a segment or a part holds, and who can read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    /// Records and tombstones: owners.
    Data,
    /// Lines of reserved collections, and what a mirror remembers: owners and writers.
    Meta,
}

/// A segment before it is sealed.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) index: SegmentIndex,
}

/// Sorts, compresses and decodes again, into an empty buffer; `None` for no lines.
///
/// A frame holds 512 KiB of lines; one longer line makes a longer frame. Takes a while: to be called where blocking is
/// allowed.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] if a frame does not decode to what was compressed: nothing of it may be uploaded.
pub(crate) fn build(lines: &LineBuffer, file: Vec<u8>) -> Result<Option<SegmentFile>> {
    Codec::with(|codec| build_with(codec, lines, file))
}

fn build_with(codec: &mut Codec, lines: &LineBuffer, file: Vec<u8>) -> Result<Option<SegmentFile>> {
    let sorted = lines.sorted();
    let mut builder = SegmentBuilder::new(file);
    for group in sorted.chunk_by(|one, two| one.key == two.key) {
        let Some(newest) = group.first() else { continue };
        let length = group.iter().map(|line| lines.line(line).len() + 1).sum();
        let raw = builder.group(codec, &newest.key, group, length)?;
        for line in group {
            raw.extend_from_slice(lines.line(line));
            raw.push(b'\n');
        }
    }
    builder.finish(codec)
}

/// Makes a segment of lines that come in order.
#[derive(Debug, Default)]
pub(crate) struct SegmentBuilder {
    file: Vec<u8>,
    frames: Vec<Frame>,
    lengths: Vec<(u32, u32)>,
    hashes: Vec<(u64, u64)>,
    lines: u64,
    /// The lines of the frame that is begun, their first key, and how many of their keys are live.
    raw: Vec<u8>,
    first: Option<Key>,
    live: u32,
    last: Option<Key>,
    /// Whether what is stored is read back before anybody relies on it: then no frame is decoded here.
    read_back: bool,
}

impl SegmentBuilder {
    /// Begins a segment in an empty buffer.
    pub(crate) fn new(file: Vec<u8>) -> Self {
        Self { file, ..Self::default() }
    }

    /// A segment that is read back, once it is stored and before anybody relies on it.
    pub(crate) fn read_back() -> Self {
        Self { read_back: true, ..Self::default() }
    }

    /// The bytes that it has up to here, the frame that is begun left aside.
    pub(crate) fn size(&self) -> usize {
        self.file.len()
    }

    /// Begins the next key; its lines, newest first and of this length together, are to be appended to what is given.
    pub(crate) fn group<L: Word>(
        &mut self,
        codec: &mut Codec,
        key: &Key,
        lines: &[L],
        length: usize,
    ) -> Result<&mut Vec<u8>> {
        if !self.raw.is_empty() && self.raw.len() + length > FRAME_BYTES {
            self.end_frame(codec)?;
        }
        self.note(key, lines);
        Ok(&mut self.raw)
    }

    /// Takes a whole frame as it is stored; its keys come next, each with all its lines.
    pub(crate) fn copy<'a, L: Word + 'a>(
        &mut self,
        codec: &mut Codec,
        stored: &[u8],
        raw: usize,
        keys: impl Iterator<Item = (&'a Key, &'a [L])>,
    ) -> Result<()> {
        self.end_frame(codec)?;
        for (key, lines) in keys {
            self.note(key, lines);
        }
        self.add_frame(stored, raw);
        Ok(())
    }

    fn note<L: Word>(&mut self, key: &Key, lines: &[L]) {
        self.first.get_or_insert_with(|| key.clone());
        self.last = Some(key.clone());
        self.hashes.push(key_hash(key));
        self.lines += lines.len() as u64;
        self.live += u32::from(effective(lines).is_some_and(|(line, _)| !line.says().deletion));
    }

    fn end_frame(&mut self, codec: &mut Codec) -> Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let raw = std::mem::take(&mut self.raw);
        let frame = if self.read_back { codec.compress(&raw)? } else { codec.compress_checked(&raw)? };
        self.add_frame(frame, raw.len());
        self.raw = raw;
        self.raw.clear();
        Ok(())
    }

    fn add_frame(&mut self, frame: &[u8], raw: usize) {
        let Some(first) = self.first.take() else { return };
        let (size, raw) = (frame.len() as u32, raw as u32);
        let live = Some(std::mem::take(&mut self.live));
        self.frames.push(Frame { at: self.file.len() as u64, size, raw, digest: frame_digest(frame), first, live });
        self.lengths.push((size, raw));
        self.file.extend_from_slice(frame);
    }

    /// The segment; `None` for no lines.
    pub(crate) fn finish(mut self, codec: &mut Codec) -> Result<Option<SegmentFile>> {
        self.end_frame(codec)?;
        let Some(last) = self.last else { return Ok(None) };
        let index = SegmentIndex {
            object: String::new(),
            lines: self.lines,
            last,
            frames: self.frames,
            bloom: Bloom::of(&self.hashes),
            head: String::new(),
        };
        finish(&mut self.file, &self.lengths, &serde_json::to_vec(&index)?);
        Ok(Some(SegmentFile { bytes: self.file, index }))
    }
}

/// One line as it is stored, and where it stands in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredLine {
    pub(crate) key: Key,
    pub(crate) says: Says,
    /// The commit that made it, and its place in that commit: larger is newer.
    pub(crate) sequence: u64,
    pub(crate) ordinal: u32,
    /// The line without its line feed.
    pub(crate) text: Bytes,
}

impl StoredLine {
    pub(crate) fn is_deletion(&self) -> bool {
        self.says.deletion
    }

    /// The text before and behind the sequence number, wherever the line carries it.
    pub(crate) fn unnumbered(&self) -> Result<(&[u8], &[u8])> {
        let place = sequence_place(&self.text)?;
        Ok((self.text.get(..place.start).unwrap_or_default(), self.text.get(place.end..).unwrap_or_default()))
    }
}

impl Word for StoredLine {
    fn says(&self) -> &Says {
        &self.says
    }
}

/// Cuts decompressed text into lines.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] if a line is cut, is none about a record, or stands out of order.
pub(crate) fn split_lines(text: &Bytes, sequence: u64, ordinal: u32) -> Result<Vec<StoredLine>> {
    let mut lines: Vec<StoredLine> = Vec::new();
    each_line(text, |place| {
        let line = text.slice(place);
        let before = lines.last().map(|line| &line.key);
        let Some(Named { key, deletion, head }) = named(&line, before)? else { return Ok(()) };
        let partition = head.partition.as_deref().map(PartitionId::parse).transpose()?;
        let sequence = head.sequence.unwrap_or(sequence);
        let says = Says { partition, deletion, sole: head.sole };
        lines.push(StoredLine { key, says, sequence, ordinal, text: line });
        Ok(())
    })?;
    Ok(lines)
}

/// Checks text as [`split_lines`] does, and counts its lines; `last` is the key before it and becomes its last one.
pub(crate) fn count_lines(text: &[u8], last: &mut Option<Key>) -> Result<u64> {
    let mut lines = 0;
    each_line(text, |place| {
        let line = text.get(place).unwrap_or_default();
        if let Some(Named { key, head, .. }) = named(line, last.as_ref())? {
            head.partition.as_deref().map(PartitionId::parse).transpose()?;
            lines += 1;
            *last = Some(key);
        }
        Ok(())
    })?;
    Ok(lines)
}

fn each_line(text: &[u8], mut line: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        line(start..end)?;
        start = end + 1;
    }
    if start != text.len() {
        return Err(Error::new(ErrorKind::Integrity, "the last stored line is cut"));
    }
    Ok(())
}

/// A line about a record.
struct Named<'a> {
    key: Key,
    deletion: bool,
    head: LineHead<'a>,
}

/// What a line that follows one of the key `before` is about; `None` for a line of a type that is not known.
fn named<'a>(line: &'a [u8], before: Option<&Key>) -> Result<Option<Named<'a>>> {
    let head = LineHead::parse(line).map_err(|error| {
        Error::new(ErrorKind::Integrity, "a stored line does not have the form of one").with_source(error)
    })?;
    let deletion = match head.kind {
        LineKind::Put => false,
        LineKind::Delete => true,
        // A newer writer may know more types; they say nothing of records' states.
        _ => return Ok(None),
    };
    let collection = match before {
        Some(before) if before.collection.as_str() == &*head.collection => before.collection.clone(),
        _ => CollectionName::parse(&*head.collection)?,
    };
    let key = Key::new(collection, RecordId::parse(head.id.as_deref().unwrap_or_default())?);
    if before.is_some_and(|before| before > &key) {
        return Err(Error::new(ErrorKind::Integrity, "stored lines stand out of order"));
    }
    Ok(Some(Named { key, deletion, head }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::decompress;

    fn lines(count: usize, size: usize) -> LineBuffer {
        let mut buffer = LineBuffer::default();
        for id in (0..count).rev() {
            let text = format!(r#"{{"type":"put","collection":"pages","id":"{id:06}","data":"{}"}}"#, "x".repeat(size));
            let key = Key::parse("pages", format!("{id:06}")).unwrap();
            buffer
                .push(key, Says::put(None), |out| {
                    out.extend_from_slice(text.as_bytes());
                    Ok(())
                })
                .unwrap();
        }
        buffer
    }

    #[test]
    fn any_zstd_reads_a_whole_segment_and_each_frame_stands_alone() {
        let segment = build(&lines(2000, 1000), Vec::new()).unwrap().unwrap();
        let whole = Bytes::from(decompress(&segment.bytes, 10_000_000).unwrap());
        let read = split_lines(&whole, 7, 0).unwrap();
        assert_eq!(read.len(), 2000);
        assert!(read.is_sorted_by(|one, two| one.key < two.key));
        assert_eq!(segment.index.frames.len(), 5);
        let key = Key::parse("pages", "001234").unwrap();
        let frame = &segment.index.frames[segment.index.frame_of(&key).unwrap()];
        let bytes = &segment.bytes[frame.at as usize..][..frame.size as usize];
        assert_eq!(frame_digest(bytes), frame.digest);
        let part = Bytes::from(decompress(bytes, 600_000).unwrap());
        assert!(split_lines(&part, 7, 0).unwrap().iter().any(|line| line.key == key && line.sequence == 7));
    }

    #[test]
    fn a_line_longer_than_a_frame_is_a_frame() {
        let segment = build(&lines(3, 2_000_000), Vec::new()).unwrap().unwrap();
        assert_eq!(segment.index.frames.len(), 3);
    }

    #[test]
    fn no_lines_make_no_segment() {
        assert!(build(&LineBuffer::default(), Vec::new()).unwrap().is_none());
    }

    #[test]
    fn cut_and_unsorted_text_is_refused() {
        let one = r#"{"type":"put","collection":"a","id":"1","data":1}"#;
        let two = r#"{"type":"put","collection":"a","id":"2","data":1}"#;
        assert!(split_lines(&Bytes::from(format!("{one}\n{two}\n")), 1, 0).is_ok());
        assert!(split_lines(&Bytes::from(format!("{two}\n{one}\n")), 1, 0).is_err());
        assert!(split_lines(&Bytes::from(format!("{one}\n{two}")), 1, 0).is_err());
        assert!(split_lines(&Bytes::from("junk\n"), 1, 0).is_err());
    }

    #[test]
    fn lines_are_in_order_from_one_text_to_the_next() {
        let text = |id: u32| format!("{{\"type\":\"put\",\"collection\":\"a\",\"id\":\"{id}\",\"data\":1}}\n");
        let mut last = None;
        assert_eq!(count_lines(format!("{}{}", text(1), text(2)).as_bytes(), &mut last).unwrap(), 2);
        assert_eq!(count_lines(text(2).as_bytes(), &mut last).unwrap(), 1);
        assert_eq!(count_lines(text(1).as_bytes(), &mut last).unwrap_err().kind(), ErrorKind::Integrity);
        assert!(count_lines(text(3).trim_end().as_bytes(), &mut last).is_err());
    }
}
