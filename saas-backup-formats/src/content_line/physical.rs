use std::io::{BufRead, Read as _};

use super::write::MAX_OCTETS;

/// Longest line with all that is folded into it, in octets: somebody's photo, and more.
const MAX_LOGICAL: usize = 256 * 1024 * 1024;

/// What is wrong with how a line stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It ends with a line feed alone, or not at all.
    NotCrlf,
    /// It has more than 75 octets.
    TooLong,
    /// It is folded within a character, or is not UTF-8.
    NotUtf8,
}

impl Fault {
    /// The fault in words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NotCrlf => "a line that does not end with CRLF",
            Self::TooLong => "a line of more than 75 octets",
            Self::NotUtf8 => "a line that is folded within a character, or is not UTF-8",
        }
    }
}

/// A line with all that is folded into it.
#[derive(Debug)]
pub(crate) struct Logical {
    /// Where it begins, counted from 1.
    pub(crate) number: u64,
    pub(crate) text: String,
    /// Each fault once.
    pub(crate) faults: Vec<Fault>,
}

/// Unfolds the lines of a file.
#[derive(Debug)]
pub(crate) struct LogicalLines<R> {
    reader: R,
    number: u64,
    next: Option<Vec<u8>>,
    ended: bool,
}

impl<R: BufRead> LogicalLines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, number: 0, next: None, ended: false }
    }

    fn physical(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let mut line = Vec::new();
        let length = self.reader.by_ref().take(MAX_LOGICAL as u64).read_until(b'\n', &mut line)?;
        Ok((length > 0).then_some(line))
    }

    fn logical(&mut self) -> std::io::Result<Option<Logical>> {
        let Some(first) = self.physical()? else { return Ok(None) };
        self.number += 1;
        let number = self.number;
        let (mut bytes, mut faults) = (Vec::new(), Vec::new());
        take(first, &mut bytes, &mut faults);
        while let Some(line) = self.physical()? {
            if !matches!(line.first(), Some(b' ' | b'\t')) || bytes.len() > MAX_LOGICAL {
                self.next = Some(line);
                break;
            }
            self.number += 1;
            let mut folded = Vec::new();
            take(line, &mut folded, &mut faults);
            bytes.extend(folded.get(1..).unwrap_or_default());
        }
        faults.sort_unstable();
        faults.dedup();
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok(Some(Logical { number, text, faults }))
    }
}

fn take(mut line: Vec<u8>, into: &mut Vec<u8>, faults: &mut Vec<Fault>) {
    if line.ends_with(b"\r\n") {
        line.truncate(line.len() - 2);
    } else {
        faults.push(Fault::NotCrlf);
        if line.ends_with(b"\n") {
            line.pop();
        }
    }
    if line.len() > MAX_OCTETS {
        faults.push(Fault::TooLong);
    }
    if std::str::from_utf8(&line).is_err() {
        faults.push(Fault::NotUtf8);
    }
    into.append(&mut line);
}

impl<R: BufRead> Iterator for LogicalLines<R> {
    type Item = std::io::Result<Logical>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = self.logical().transpose();
        self.ended = !matches!(line, Some(Ok(_)));
        line
    }
}
