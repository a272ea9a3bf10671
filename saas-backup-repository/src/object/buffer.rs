use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

use saas_backup_core::{Key, Result};

use super::spare::{LARGE_BYTES, Spare};
use super::truth::{Says, Word, tell_next};

/// A chunk that has less room than this gets no further line.
const ROOM_BYTES: usize = 64 * 1024;

/// Lines in the order in which they came, and what sorting them takes.
///
/// Their text lies in chunks of 1 MiB or a longer line: one large buffer would have to be moved while it grows, and a
/// half full one would hold twice what it holds.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    full: Vec<Chunk>,
    /// The chunk that grows; its place is behind the full ones.
    chunk: Chunk,
    full_bytes: usize,
    spare: Option<Arc<Spare>>,
}

#[derive(Debug, Default)]
struct Chunk {
    text: Vec<u8>,
    lines: Vec<LineMeta>,
}

/// What is known of a line without reading it.
#[derive(Clone, Debug)]
pub(crate) struct LineMeta {
    pub(crate) key: Key,
    pub(crate) says: Says,
    chunk: usize,
    start: usize,
    end: usize,
}

impl Word for LineMeta {
    fn says(&self) -> &Says {
        &self.says
    }
}

/// A line at the end of a buffer that is not one of its lines yet.
#[derive(Debug)]
pub(crate) struct Draft {
    start: usize,
}

impl LineBuffer {
    /// An empty one that takes its chunks from those that others gave back.
    pub(crate) fn with(spare: Arc<Spare>) -> Self {
        let mut empty = Self::default();
        empty.spare = Some(spare);
        empty
    }

    /// Appends what `encode` writes: one line without line feed.
    pub(crate) fn push(&mut self, key: Key, says: Says, encode: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let line = self.begin(encode)?;
        self.keep(line, key, says);
        Ok(())
    }

    /// Writes a line behind the others, to be looked at and then kept or taken back.
    pub(crate) fn begin(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Draft> {
        if self.chunk.text.len() + ROOM_BYTES > LARGE_BYTES {
            let text = self.spare.as_ref().map_or_else(Vec::new, |spare| spare.take(LARGE_BYTES));
            self.go_on_in(Chunk { text, lines: Vec::new() });
        }
        let start = self.chunk.text.len();
        match encode(&mut self.chunk.text) {
            Ok(()) => Ok(Draft { start }),
            Err(error) => {
                self.chunk.text.truncate(start);
                Err(error)
            }
        }
    }

    fn go_on_in(&mut self, next: Chunk) {
        self.full_bytes += self.chunk.text.len();
        self.full.push(mem::replace(&mut self.chunk, next));
    }

    pub(crate) fn draft(&self, draft: &Draft) -> &[u8] {
        self.chunk.text.get(draft.start..).unwrap_or_default()
    }

    pub(crate) fn take_back(&mut self, Draft { start }: Draft) {
        self.chunk.text.truncate(start);
    }

    pub(crate) fn keep(&mut self, Draft { start }: Draft, key: Key, says: Says) {
        let (chunk, end) = (self.full.len(), self.chunk.text.len());
        self.chunk.lines.push(LineMeta { key, says, chunk, start, end });
    }

    /// Appends the lines of another buffer after its own.
    pub(crate) fn append(&mut self, mut other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        for mut chunk in mem::take(&mut other.full).into_iter().chain([mem::take(&mut other.chunk)]) {
            if self.chunk.text.len() + chunk.text.len() > LARGE_BYTES {
                let place = self.full.len() + 1;
                chunk.lines.iter_mut().for_each(|line| line.chunk = place);
                self.go_on_in(chunk);
            } else {
                let (place, shift) = (self.full.len(), self.chunk.text.len());
                self.chunk.text.extend_from_slice(&chunk.text);
                let shifted = |line: LineMeta| LineMeta {
                    chunk: place,
                    start: line.start + shift,
                    end: line.end + shift,
                    ..line
                };
                self.chunk.lines.extend(mem::take(&mut chunk.lines).into_iter().map(shifted));
                other.full.push(chunk);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.chunk.lines.is_empty()
    }

    /// The lines in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LineMeta> {
        self.full.iter().chain([&self.chunk]).flat_map(|chunk| &chunk.lines)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.full_bytes + self.chunk.text.len()
    }

    pub(crate) fn line(&self, meta: &LineMeta) -> &[u8] {
        let chunk = self.full.get(meta.chunk).unwrap_or(&self.chunk);
        chunk.text.get(meta.start..meta.end).unwrap_or_default()
    }

    /// The lines by key, of each key the ones that still say something, newest first.
    pub(crate) fn sorted(&self) -> Vec<&LineMeta> {
        let mut order: Vec<&LineMeta> = self.iter().collect();
        order.sort_by(|one, two| match one.key.cmp(&two.key) {
            Ordering::Equal => (two.chunk, two.start).cmp(&(one.chunk, one.start)),
            other => other,
        });
        let mut kept: Vec<&LineMeta> = Vec::with_capacity(order.len());
        let mut words: Vec<&LineMeta> = Vec::new();
        for group in order.chunk_by(|one, two| one.key == two.key) {
            group.iter().rev().for_each(|line| tell_next(&mut words, *line));
            kept.extend(words.drain(..).rev());
        }
        kept
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        if let Some(spare) = &self.spare {
            self.full.drain(..).chain([mem::take(&mut self.chunk)]).for_each(|chunk| spare.give(chunk.text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::holders;
    use saas_backup_core::PartitionId;

    fn buffer(lines: &[(&str, Says, &str)]) -> Vec<String> {
        let mut buffer = LineBuffer::default();
        for (id, says, text) in lines {
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            };
            buffer.push(Key::parse("pages", id).unwrap(), says.clone(), write).unwrap();
        }
        let sorted = buffer.sorted();
        sorted.iter().map(|line| String::from_utf8(buffer.line(line).to_vec()).unwrap()).collect()
    }

    fn put(partition: &'static str) -> Says {
        Says::put(Some(PartitionId::from_static(partition)))
    }

    fn deleted(partition: &'static str) -> Says {
        Says::deleted(Some(PartitionId::from_static(partition)))
    }

    #[test]
    fn the_newest_state_of_each_key_is_kept_in_the_order_of_keys() {
        let kept = buffer(&[
            ("b", Says::put(None), "b1"),
            ("a", Says::put(None), "a1"),
            ("b", Says::put(None), "b2"),
            ("a", Says::deleted(None), "a gone"),
        ]);
        assert_eq!(kept, ["a gone", "b2"]);
    }

    #[test]
    fn the_newest_word_of_each_partition_is_kept() {
        let moved = [("a", put("p"), "in p"), ("a", put("q"), "in q"), ("a", deleted("p"), "not in p")];
        assert_eq!(buffer(&moved), ["not in p", "in q", "in p"]);
        let left = [("a", put("q"), "in q"), ("a", deleted("q"), "not in q")];
        assert_eq!(buffer(&left), ["not in q", "in q"]);
        let two = [("a", deleted("q"), "not in q"), ("a", deleted("p"), "not in p")];
        assert_eq!(buffer(&two), ["not in p", "not in q"]);
    }

    #[test]
    fn a_word_on_all_partitions_replaces_those_of_each() {
        let told = [("a", put("p"), "in p"), ("a", Says { sole: true, ..put("q") }, "in q alone")];
        assert_eq!(buffer(&told), ["in q alone"]);
        let again = [("a", Says { sole: true, ..put("q") }, "in q alone"), ("a", put("q"), "in q")];
        assert_eq!(buffer(&again), ["in q", "in q alone"], "what older objects say of other partitions is past");
    }

    /// Whatever was written before it: with the lines that a buffer keeps, the same is true as with all of them.
    #[test]
    fn what_is_not_kept_says_nothing_any_more() {
        let sole = Says { sole: true, ..put("p") };
        let words = [put("p"), deleted("p"), put("q"), deleted("q"), sole, Says::put(None), Says::deleted(None)];
        let live = |lines: &[&LineMeta]| holders(lines).into_iter().map(|line| line.start).collect::<Vec<_>>();
        for number in 0..words.len().pow(5) {
            let mut all = LineBuffer::default();
            for digit in 0..5_u32 {
                let says = words[number / words.len().pow(digit) % words.len()].clone();
                let write = |out: &mut Vec<u8>| {
                    out.push(b'x');
                    Ok(())
                };
                all.push(Key::parse("pages", "a").unwrap(), says, write).unwrap();
            }
            for before in 0..3 {
                let (older, newer) = all.chunk.lines.split_at(before);
                let mut buffer = LineBuffer::default();
                buffer.chunk = Chunk { text: all.chunk.text.clone(), lines: newer.to_vec() };
                let mut kept = buffer.sorted();
                kept.extend(older.iter().rev());
                let every: Vec<&LineMeta> = all.iter().collect::<Vec<_>>().into_iter().rev().collect();
                assert_eq!(live(&kept), live(&every), "{every:?}");
            }
        }
    }

    fn filled(ids: std::ops::Range<u32>, size: usize, spare: &Arc<Spare>) -> LineBuffer {
        let mut buffer = LineBuffer::with(Arc::clone(spare));
        for id in ids {
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(format!("{id:04}").repeat(size / 4).as_bytes());
                Ok(())
            };
            buffer.push(Key::parse("pages", format!("{id:04}")).unwrap(), Says::put(None), write).unwrap();
        }
        buffer
    }

    #[test]
    fn lines_of_many_chunks_and_of_appended_buffers_keep_their_text() {
        let spare = Arc::default();
        for sizes in [[100, 100, 100], [40_000, 100, 40_000], [3_000_000, 2_000_000, 100]] {
            let mut all = filled(0..60, sizes[0], &spare);
            all.append(filled(60..70, sizes[1], &spare));
            all.append(filled(70..100, sizes[2], &spare));
            let sorted = all.sorted();
            assert_eq!(sorted.len(), 100);
            for (id, line) in sorted.into_iter().enumerate() {
                assert!(all.line(line).chunks(4).all(|word| word == format!("{id:04}").as_bytes()), "{id}");
            }
            assert_eq!(all.bytes(), 60 * sizes[0] + 10 * sizes[1] + 30 * sizes[2]);
        }
    }

    #[test]
    fn a_newer_state_in_a_later_chunk_replaces_the_older_one() {
        let spare = Arc::default();
        let mut all = filled(0..50, 40_000, &spare);
        all.append(filled(3..4, 8, &spare));
        let sorted = all.sorted();
        assert_eq!((sorted.len(), all.line(sorted[3])), (50, b"00030003".as_slice()));
    }
}
