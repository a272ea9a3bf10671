use std::cmp::Ordering;

use saas_backup_core::{Key, PartitionId, Result};

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
    pub(crate) partition: Option<PartitionId>,
    /// Whether it is a tombstone.
    pub(crate) deletion: bool,
    start: usize,
    end: usize,
}

/// A line at the end of a buffer that is not one of its lines yet.
#[derive(Debug)]
pub(crate) struct Draft {
    start: usize,
}

impl LineBuffer {
    /// Appends what `encode` writes: one line without line feed.
    pub(crate) fn push(
        &mut self,
        key: Key,
        partition: Option<PartitionId>,
        deletion: bool,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let line = self.begin(encode)?;
        self.keep(line, key, partition, deletion);
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

    pub(crate) fn keep(&mut self, Draft { start }: Draft, key: Key, partition: Option<PartitionId>, deletion: bool) {
        self.lines.push(LineMeta { key, partition, deletion, start, end: self.text.len() });
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
    /// A record's newer state replaces its older ones. A deletion told by a partition replaces only a state of that
    /// partition: from another one it is late news of a record that has moved.
    pub(crate) fn sorted(&self) -> Vec<&LineMeta> {
        let mut order: Vec<&LineMeta> = self.lines.iter().collect();
        order.sort_by(|one, two| match one.key.cmp(&two.key) {
            Ordering::Equal => two.start.cmp(&one.start),
            other => other,
        });
        let mut kept: Vec<&LineMeta> = Vec::with_capacity(order.len());
        for group in order.chunk_by(|one, two| one.key == two.key) {
            let first = kept.len();
            for line in group.iter().rev() {
                if line.deletion && line.partition.is_some() {
                    match kept.get(first..).and_then(<[_]>::last) {
                        Some(known) if !known.deletion && known.partition != line.partition => continue,
                        Some(known) if known.deletion => {}
                        _ => kept.truncate(first),
                    }
                } else {
                    kept.truncate(first);
                }
                kept.push(line);
            }
            if let Some(group) = kept.get_mut(first..) {
                group.reverse();
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(lines: &[(&str, Option<&str>, bool, &str)]) -> Vec<String> {
        let mut buffer = LineBuffer::default();
        for (id, partition, deletion, text) in lines {
            let partition = partition.map(|partition| PartitionId::parse(partition).unwrap());
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            };
            buffer.push(Key::parse("pages", id).unwrap(), partition, *deletion, write).unwrap();
        }
        let sorted = buffer.sorted();
        sorted.iter().map(|line| String::from_utf8(buffer.line(line).to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_newest_state_of_each_key_is_kept_in_the_order_of_keys() {
        let kept = buffer(&[
            ("b", None, false, "b1"),
            ("a", None, false, "a1"),
            ("b", None, false, "b2"),
            ("a", None, true, "a gone"),
        ]);
        assert_eq!(kept, ["a gone", "b2"]);
    }

    #[test]
    fn a_deletion_told_by_a_partition_that_the_record_left_is_late_news() {
        let moved = [("a", Some("q"), false, "in q"), ("a", Some("p"), true, "gone from p")];
        assert_eq!(buffer(&moved), ["in q"]);
        let deleted = [("a", Some("q"), false, "in q"), ("a", Some("q"), true, "gone from q")];
        assert_eq!(buffer(&deleted), ["gone from q"]);
    }

    #[test]
    fn deletions_by_two_partitions_are_both_kept_for_the_reader_to_judge() {
        let two = [("a", Some("q"), true, "gone from q"), ("a", Some("p"), true, "gone from p")];
        assert_eq!(buffer(&two), ["gone from p", "gone from q"]);
    }
}
