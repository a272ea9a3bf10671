use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Key, LineHead, LineKind, PartitionId, RecordId, Result};
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

fn build_with(codec: &mut Codec, lines: &LineBuffer, mut file: Vec<u8>) -> Result<Option<SegmentFile>> {
    let sorted = lines.sorted();
    let Some(last) = sorted.last().map(|line| line.key.clone()) else { return Ok(None) };
    let (mut frames, mut lengths, mut hashes) = (Vec::new(), Vec::new(), Vec::with_capacity(sorted.len()));
    let mut raw = Vec::with_capacity(FRAME_BYTES);
    let mut rest = sorted.as_slice();
    while let Some(first) = rest.first() {
        raw.clear();
        let (mut taken, mut live) = (0, 0);
        for group in rest.chunk_by(|one, two| one.key == two.key) {
            let length: usize = group.iter().map(|line| lines.line(line).len() + 1).sum();
            if taken > 0 && raw.len() + length > FRAME_BYTES {
                break;
            }
            for line in group {
                raw.extend_from_slice(lines.line(line));
                raw.push(b'\n');
            }
            if let Some(line) = group.first() {
                hashes.push(key_hash(&line.key));
                live += u32::from(effective(group).is_some_and(|(line, _)| !line.says.deletion));
            }
            taken += group.len();
        }
        let frame = codec.compress_checked(&raw)?;
        frames.push(Frame {
            at: file.len() as u64,
            size: frame.len() as u32,
            raw: raw.len() as u32,
            digest: frame_digest(frame),
            first: first.key.clone(),
            live: Some(live),
        });
        lengths.push((frame.len() as u32, raw.len() as u32));
        file.extend_from_slice(frame);
        rest = rest.get(taken..).unwrap_or_default();
    }
    let index = SegmentIndex {
        object: String::new(),
        lines: sorted.len() as u64,
        last,
        frames,
        bloom: Bloom::of(&hashes),
        head: String::new(),
    };
    finish(&mut file, &lengths, &serde_json::to_vec(&index)?);
    Ok(Some(SegmentFile { bytes: file, index }))
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
    let mut start = 0;
    for end in line_ends(text) {
        let line = text.slice(start..end);
        start = end + 1;
        let head = LineHead::parse(&line).map_err(|error| {
            Error::new(ErrorKind::Integrity, "a stored line does not have the form of one").with_source(error)
        })?;
        let deletion = match head.kind {
            LineKind::Put => false,
            LineKind::Delete => true,
            // A newer writer may know more types; they say nothing of records' states.
            _ => continue,
        };
        let id = head.id.as_deref().unwrap_or_default();
        let collection = match lines.last() {
            Some(before) if before.key.collection.as_str() == &*head.collection => before.key.collection.clone(),
            _ => saas_backup_core::CollectionName::parse(&*head.collection)?,
        };
        let key = Key::new(collection, RecordId::parse(id)?);
        let partition = head.partition.as_deref().map(PartitionId::parse).transpose()?;
        let sequence = head.sequence.unwrap_or(sequence);
        if lines.last().is_some_and(|before| before.key > key) {
            return Err(Error::new(ErrorKind::Integrity, "stored lines stand out of order"));
        }
        let says = Says { partition, deletion, sole: head.sole };
        lines.push(StoredLine { key, says, sequence, ordinal, text: line });
    }
    if start != text.len() {
        return Err(Error::new(ErrorKind::Integrity, "the last stored line is cut"));
    }
    Ok(lines)
}

fn line_ends(text: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'\n', text)
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
}
