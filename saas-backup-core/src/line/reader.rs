use std::collections::VecDeque;

use bytes::Bytes;

use super::limits::check_length;
use crate::{Error, ErrorKind, Result};

/// Cuts the chunks of a body into lines.
///
/// A line that lies in one chunk is a slice of it; one that is spread over several is put together once. What waits
/// is bounded by the line limit and the chunks that were pushed: take all lines before the next push.
///
/// ```
/// use bytes::Bytes;
/// use saas_backup_core::LineReader;
///
/// let mut reader = LineReader::new(1024);
/// let mut lines = Vec::new();
/// for chunk in ["{\"type\":\"hb\"}\n{\"ty", "pe\":\"hb\"}\n"] {
///     reader.push(Bytes::from(chunk));
///     while let Some(line) = reader.next_line()? {
///         lines.push(line);
///     }
/// }
/// reader.finish()?;
/// assert_eq!(lines, ["{\"type\":\"hb\"}", "{\"type\":\"hb\"}"]);
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Debug)]
pub struct LineReader {
    limit: usize,
    partial: Vec<u8>,
    chunks: VecDeque<Bytes>,
}

impl LineReader {
    /// A reader of lines of at most `limit` bytes, the line feed not counted.
    pub fn new(limit: usize) -> Self {
        Self { limit, partial: Vec::new(), chunks: VecDeque::new() }
    }

    /// Takes the next chunk of the body.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Gives the next whole line without its line feed; `None` until more is pushed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] as soon as a line is longer than the limit, whether it ends or not.
    pub fn next_line(&mut self) -> Result<Option<Bytes>> {
        while let Some(chunk) = self.chunks.front_mut() {
            let Some(length) = memchr::memchr(b'\n', chunk) else {
                check_length(self.partial.len() + chunk.len(), self.limit)?;
                self.partial.extend_from_slice(chunk);
                self.chunks.pop_front();
                continue;
            };
            check_length(self.partial.len() + length, self.limit)?;
            let line = chunk.split_to(length);
            bytes::Buf::advance(chunk, 1);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            if self.partial.is_empty() {
                return Ok(Some(line));
            }
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(&line);
            return Ok(Some(Bytes::from(whole)));
        }
        Ok(None)
    }

    /// Says that the body ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if it ended inside a line: every line, the last one included, ends with a line feed.
    pub fn finish(&self) -> Result<()> {
        if self.partial.is_empty() && self.chunks.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidData, "the stream was cut inside a line"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]], limit: usize) -> Result<Vec<Bytes>> {
        let mut reader = LineReader::new(limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            reader.push(Bytes::copy_from_slice(chunk));
            while let Some(line) = reader.next_line()? {
                lines.push(line);
            }
        }
        reader.finish()?;
        Ok(lines)
    }

    #[test]
    fn lines_do_not_depend_on_where_the_chunks_are_cut() {
        let body = "{\"a\":\"é\"}\n\n{\"b\":2}\nlast\n".as_bytes();
        let expected = lines(&[body], 100).unwrap();
        assert_eq!(expected.len(), 4);
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let (left, rest) = body.split_at(first);
                let (middle, right) = rest.split_at(second - first);
                assert_eq!(lines(&[left, middle, right], 100).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_line_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"one\ntwo\n");
        let mut reader = LineReader::new(10);
        reader.push(chunk.clone());
        for _ in 0..2 {
            let line = reader.next_line().unwrap().unwrap();
            assert!(chunk.as_ptr_range().contains(&line.as_ptr()));
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        assert_eq!(lines(&[b"12345\n"], 5).unwrap(), ["12345"]);
        assert_eq!(lines(&[b"123456\n"], 5).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(lines(&[b"1234", b"56"], 5).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn a_missing_last_line_feed_means_that_the_body_was_cut() {
        assert_eq!(lines(&[b"a\nb"], 5).unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(lines(&[], 5).unwrap().is_empty());
    }
}
