use std::cmp::Ordering;

use saas_backup_core::{Key, Result};

use super::truth::{Says, Word};

/// Lines in the order in which they came, and what sorting them takes.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    text: Vec<u8>,
    lines: Vec<LineMeta>,
}

/// What is known of a line without reading it.
#[derive(Clone, Debug)]
pub(crate) struct LineMeta {
    pub(crate) key: Key,
    pub(crate) says: Says,
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
    /// Appends what `encode` writes: one line without line feed.
    pub(crate) fn push(&mut self, key: Key, says: Says, encode: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let line = self.begin(encode)?;
        self.keep(line, key, says);
        Ok(())
    }

    /// Writes a line behind the others, to be looked at and then kept or taken back.
    pub(crate) fn begin(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Draft> {
        let start = self.text.len();
        match encode(&mut self.text) {
            Ok(()) => Ok(Draft { start }),
            Err(error) => {
                self.text.truncate(start);
                Err(error)
            }
        }
    }

    pub(crate) fn draft(&self, draft: &Draft) -> &[u8] {
        self.text.get(draft.start..).unwrap_or_default()
    }

    pub(crate) fn take_back(&mut self, Draft { start }: Draft) {
        self.text.truncate(start);
    }

    pub(crate) fn keep(&mut self, Draft { start }: Draft, key: Key, says: Says) {
        self.lines.push(LineMeta { key, says, start, end: self.text.len() });
    }

    /// Appends the lines of another buffer after its own.
    pub(crate) fn append(&mut self, mut other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let shift = self.text.len();
        self.text.append(&mut other.text);
        self.lines.extend(other.lines.into_iter().map(|line| LineMeta {
            start: line.start + shift,
            end: line.end + shift,
            ..line
        }));
    }

    /// Goes on in a larger buffer, if it is larger; gives the one that is not needed any more.
    pub(crate) fn move_to(&mut self, mut buffer: Vec<u8>) -> Vec<u8> {
        if buffer.capacity() <= self.text.capacity() {
            return buffer;
        }
        buffer.clear();
        buffer.extend_from_slice(&self.text);
        std::mem::replace(&mut self.text, buffer)
    }

    /// Bytes of text that fit without growing.
    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// The buffer of its text, when the lines are not needed any more.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LineMeta> {
        self.lines.iter()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn line(&self, meta: &LineMeta) -> &[u8] {
        self.text.get(meta.start..meta.end).unwrap_or_default()
    }

    /// The lines by key, of each key the ones that still say something, newest first.
    ///
    /// A partition's newer word replaces its older ones, and a word on all of them replaces all.
    pub(crate) fn sorted(&self) -> Vec<&LineMeta> {
        let mut order: Vec<&LineMeta> = self.lines.iter().collect();
        order.sort_by(|one, two| match one.key.cmp(&two.key) {
            Ordering::Equal => two.start.cmp(&one.start),
            other => other,
        });
        let mut kept: Vec<&LineMeta> = Vec::with_capacity(order.len());
        let mut words: Vec<&LineMeta> = Vec::new();
        for group in order.chunk_by(|one, two| one.key == two.key) {
            for line in group.iter().rev() {
                let says = &line.says;
                words.retain(|known| {
                    if says.is_last_word() {
                        return false;
                    }
                    // That a word was on all partitions, or told a place that was unknown, still counts.
                    let counts = known.says.is_last_word() || (says.deletion && !known.says.deletion);
                    counts || known.says.partition != says.partition
                });
                words.push(line);
            }
            kept.extend(words.drain(..).rev());
        }
        kept
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
                let (older, newer) = all.lines.split_at(before);
                let buffer = LineBuffer { text: all.text.clone(), lines: newer.to_vec() };
                let mut kept = buffer.sorted();
                kept.extend(older.iter().rev());
                let every: Vec<&LineMeta> = all.lines.iter().rev().collect();
                assert_eq!(live(&kept), live(&every), "{every:?}");
            }
        }
    }
}
