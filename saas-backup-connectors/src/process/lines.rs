use bytes::{Bytes, BytesMut};
use saas_backup_core::{Error, ErrorKind, Result};

/// Longest line, in bytes. Records are one line each, and a program that writes no line break must not fill the memory.
pub(crate) const MAX_LINE_BYTES: usize = 64 << 20;
/// Least free space for a read.
const CHUNK: usize = 64 << 10;

/// One line of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Without its line break.
    pub(crate) bytes: Bytes,
    /// Whether a line break ended it: without one the program may have been cut off within it.
    pub(crate) ended: bool,
}

/// Cuts what was read into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// Bytes at the start of the buffer that hold no line break.
    searched: usize,
    /// Nothing more comes.
    pub(crate) over: bool,
}

impl Lines {
    /// Where to read into.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(CHUNK);
        &mut self.buffer
    }

    /// The next line that is there; `None` if more has to be read, or nothing is left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] if a line is longer than [`MAX_LINE_BYTES`].
    pub(crate) fn next(&mut self) -> Result<Option<Line>> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        if let Some(found) = memchr::memchr(b'\n', rest) {
            let mut bytes = self.buffer.split_to(self.searched + found + 1);
            self.searched = 0;
            bytes.truncate(bytes.len() - 1);
            if bytes.last() == Some(&b'\r') {
                bytes.truncate(bytes.len() - 1);
            }
            return Ok(Some(Line { bytes: bytes.freeze(), ended: true }));
        }
        self.searched = self.buffer.len();
        if self.searched > MAX_LINE_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, "the program writes a line that is too long")
                .with_context("most_bytes", MAX_LINE_BYTES));
        }
        if self.over && !self.buffer.is_empty() {
            self.searched = 0;
            return Ok(Some(Line { bytes: self.buffer.split().freeze(), ended: false }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(lines: &mut Lines) -> Vec<Line> {
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_arrive(texts in prop::collection::vec("[a-z\r]{0,20}", 0..10), cut in 1_usize..9) {
            let whole = texts.join("\n");
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in whole.as_bytes().chunks(cut) {
                lines.room().extend_from_slice(piece);
                found.extend(all(&mut lines));
            }
            lines.over = true;
            found.extend(all(&mut lines));
            let mut wanted: Vec<&str> = whole.split('\n').collect();
            let last = wanted.pop().unwrap_or_default();
            let mut wanted: Vec<(String, bool)> =
                wanted.into_iter().map(|line| (line.strip_suffix('\r').unwrap_or(line).to_owned(), true)).collect();
            if !last.is_empty() {
                wanted.push((last.to_owned(), false));
            }
            let found: Vec<(String, bool)> =
                found.into_iter().map(|line| (String::from_utf8(line.bytes.to_vec()).unwrap(), line.ended)).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 1 << 20];
        let mut taken = 0;
        let error = loop {
            lines.room().extend_from_slice(&piece);
            taken += piece.len();
            if let Err(error) = lines.next() {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert!(taken <= MAX_LINE_BYTES + piece.len());
    }
}
