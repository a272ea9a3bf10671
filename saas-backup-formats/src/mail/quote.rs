//! The quotation of mboxrd: a line that would begin a message gets a `>`, and so does one that looks quoted already.

use std::io::{self, BufRead, Write};

/// How much of a line is looked at at a time.
const PIECE: u64 = 64 * 1024;

/// Copies a message into an mbox; gives the length of what it wrote, and whether it ends with a line.
pub(super) fn quote(from: &mut impl BufRead, out: &mut impl Write) -> io::Result<(u64, bool)> {
    let (mut length, mut at_start) = (0, true);
    pieces(from, |piece| {
        if at_start && is_from(piece.trim_start_with(b'>')) {
            out.write_all(b">")?;
            length += 1;
        }
        out.write_all(piece)?;
        length += piece.len() as u64;
        at_start = piece.ends_with(b"\n");
        Ok(())
    })?;
    Ok((length, at_start && length > 0))
}

/// Copies a message out of an mbox, as it was.
pub(super) fn unquote(from: &mut impl BufRead, out: &mut impl Write) -> io::Result<()> {
    let mut at_start = true;
    pieces(from, |piece| {
        let quoted = at_start && piece.starts_with(b">") && is_from(piece.trim_start_with(b'>'));
        out.write_all(if quoted { piece.get(1..).unwrap_or_default() } else { piece })?;
        at_start = piece.ends_with(b"\n");
        Ok(())
    })
}

/// Whether a line would begin a message.
pub(super) fn is_from(line: &[u8]) -> bool {
    line.starts_with(b"From ")
}

fn pieces(from: &mut impl BufRead, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if io::Read::take(&mut *from, PIECE).read_until(b'\n', &mut piece)? == 0 {
            return Ok(());
        }
        take(&piece)?;
    }
}

trait TrimStart {
    fn trim_start_with(&self, byte: u8) -> &[u8];
}

impl TrimStart for [u8] {
    fn trim_start_with(&self, byte: u8) -> &[u8] {
        let start = self.iter().position(|it| *it != byte).unwrap_or(self.len());
        self.get(start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let (length, _) = quote(&mut &*text, &mut out).unwrap();
        assert_eq!(length, out.len() as u64);
        out
    }

    #[test]
    fn lines_that_would_begin_a_message_are_quoted() {
        let text = b"From a\n>From b\n>>From c\nFrom: d\n From e\nfrom f\r\nFrom g";
        assert_eq!(quoted(text), b">From a\n>>From b\n>>>From c\nFrom: d\n From e\nfrom f\r\n>From g");
    }

    proptest::proptest! {
        #[test]
        fn any_message_comes_back(text in "(>{0,3}From |From|>|\r|\n|x|\u{e4}){0,40}", long: bool) {
            let mut text = text.into_bytes();
            if long {
                text.splice(0..0, vec![b'x'; PIECE as usize]);
            }
            let quoted = quoted(&text);
            assert!(!quoted.split(|byte| *byte == b'\n').any(is_from));
            let mut out = Vec::new();
            unquote(&mut &*quoted, &mut out).unwrap();
            assert_eq!(out, text);
        }
    }
}
