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

impl LineBuffer {
    /// Appends what `encode` writes: one line without line feed.
    pub(crate) fn push(
        &mut self,
        key: Key,
        partition: Option<PartitionId>,
        deletion: bool,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let start = self.text.len();
        encode(&mut self.text)?;
        self.lines.push(LineMeta { key, partition, deletion, start, end: self.text.len() });
        Ok(())
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

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
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
