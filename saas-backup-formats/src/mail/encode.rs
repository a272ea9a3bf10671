//! Texts in the encodings of mail.

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

/// Longest line of an encoded text.
const MAX_LINE: usize = 76;
/// Bytes that make one full line of base64.
const LINE_BYTES: usize = 57;
/// Bytes of full lines that are encoded at a time.
const BLOCK: u64 = 1024 * LINE_BYTES as u64;
/// Longest text in one encoded word, in bytes: with what stands around it, it stays below 75 characters.
const WORD_BYTES: usize = 42;

/// A text in a header: as it is if it is plain, else as encoded words.
pub(super) fn words(text: &str) -> String {
    let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    let text = text.trim();
    let tame = text.is_ascii() && !text.contains("=?") && text.split(' ').all(|word| word.len() <= MAX_LINE);
    if tame {
        return text.to_owned();
    }
    let (mut words, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let mut end = rest.len().min(WORD_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (here, next) = rest.split_at(end);
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(here)));
        rest = next;
    }
    words.join(" ")
}

/// A name before an address: quoted if it is plain, else as encoded words.
pub(super) fn phrase(name: &str) -> String {
    let encoded = words(name);
    let is_atom = |it: char| it.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~ ".contains(it);
    if encoded.starts_with("=?") || encoded.chars().all(is_atom) {
        return encoded;
    }
    format!("\"{}\"", encoded.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A header, folded at spaces.
pub(super) fn header(name: &str, value: &str) -> String {
    let mut text = format!("{name}:");
    let mut length = text.len();
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        if length + 1 + word.len() > MAX_LINE && length > name.len() + 1 {
            text.push_str("\r\n");
            length = 0;
        }
        text.push(' ');
        text.push_str(word);
        length += 1 + word.len();
    }
    text.push_str("\r\n");
    text
}

/// A parameter of a header with any text (RFC 2231).
pub(super) fn parameter(name: &str, value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    if value.len() <= 50 && value.bytes().all(|byte| plain(byte) || byte == b' ') {
        return format!("{name}=\"{value}\"");
    }
    let mut pieces = vec![String::new()];
    for character in value.chars().filter(|it| !it.is_control()) {
        let mut buffer = [0; 4];
        let bytes = character.encode_utf8(&mut buffer).bytes();
        let encoded: String =
            bytes.map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect();
        if let Some(last) = pieces.last().filter(|last| last.len() + encoded.len() > 50)
            && !last.is_empty()
        {
            pieces.push(String::new());
        }
        if let Some(last) = pieces.last_mut() {
            last.push_str(&encoded);
        }
    }
    let single = pieces.len() == 1;
    let pieces = pieces.iter().enumerate().map(|(number, piece)| {
        let start = if number == 0 { "UTF-8''" } else { "" };
        if single { format!("{name}*={start}{piece}") } else { format!("{name}*{number}*={start}{piece}") }
    });
    pieces.collect::<Vec<_>>().join("; ")
}

/// A time as mail has it.
pub(super) fn date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Writes a text as quoted-printable, with CRLF where lines end.
pub(super) fn quoted_printable(text: &str, out: &mut impl Write) -> io::Result<()> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let mut length = 0;
        let mut bytes = line.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let last = bytes.peek().is_none();
            let plain = match byte {
                b' ' | b'\t' => !last,
                b'=' => false,
                // A line that begins so would be quoted in an mbox, and a lone dot ends a message on its way.
                b'F' | b'.' => length > 0,
                _ => (b'!'..=b'~').contains(&byte),
            };
            let width = if plain { 1 } else { 3 };
            if length + width > MAX_LINE - 1 {
                out.write_all(b"=\r\n")?;
                length = 0;
            }
            if plain {
                out.write_all(&[byte])?;
            } else {
                write!(out, "={byte:02X}")?;
            }
            length += width;
        }
        if lines.peek().is_some() {
            out.write_all(b"\r\n")?;
        }
    }
    Ok(())
}

/// Writes bytes as base64 in lines.
pub(super) fn base64(mut from: impl Read, out: &mut impl Write) -> io::Result<()> {
    let (mut bytes, mut lines) = (Vec::new(), String::new());
    loop {
        bytes.clear();
        lines.clear();
        if from.by_ref().take(BLOCK).read_to_end(&mut bytes)? == 0 {
            return Ok(());
        }
        for line in bytes.chunks(LINE_BYTES) {
            STANDARD.encode_string(line, &mut lines);
            lines.push_str("\r\n");
        }
        out.write_all(lines.as_bytes())?;
    }
}
