use std::borrow::Cow;
use std::ops::Range;

use crate::{Error, ErrorKind, Result};

/// Walks over the tokens of one JSON text: what stands in them is checked once and never built into a tree.
///
/// The place goes from step to step as a value, so that it stays in a register: every step waits for the one before.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Whether a line break was passed over.
    breaks: bool,
    /// Where the text begins that is still to be copied, while whitespace is left out.
    kept: Option<usize>,
    /// The values that were put on one line.
    lines: Vec<u8>,
    rules: Rules<'a>,
}

/// What a text may hold beyond being JSON.
enum Rules<'a> {
    /// Any JSON.
    Any,
    /// I-JSON (RFC 7493): unique names, whole strings, numbers that a double holds. The names belong to the objects
    /// that are open.
    Interoperable(Vec<Cow<'a, str>>),
}

/// Where a value on one line stands.
pub(crate) enum OneLine<'a> {
    /// In the text that was read: it holds no line break.
    Slice(&'a str),
    /// In [`Scanner::into_lines`], without any whitespace.
    Line(Range<usize>),
}

/// Largest integer that every reader keeps exactly.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, breaks: false, kept: None, lines: Vec::new(), rules: Rules::Any }
    }

    pub(crate) fn interoperable(text: &'a str) -> Self {
        Self { rules: Rules::Interoperable(Vec::new()), ..Self::new(text) }
    }

    /// The next byte that is not whitespace.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let (at, next) = self.token(self.at);
        self.at = at;
        next
    }

    /// Passes over whitespace: the place behind it, and the byte that stands there.
    #[expect(clippy::inline_always, reason = "a compact page is read a fifth faster")]
    #[inline(always)]
    fn token(&mut self, at: usize) -> (usize, Option<u8>) {
        let next = self.bytes.get(at).copied();
        if !matches!(next, Some(b' ' | b'\t' | b'\n' | b'\r')) {
            return (at, next);
        }
        let at = self.pass_whitespace(at);
        (at, self.bytes.get(at).copied())
    }

    fn pass_whitespace(&mut self, start: usize) -> usize {
        let mut at = start;
        while let Some((byte @ (b' ' | b'\t' | b'\n' | b'\r'), rest)) =
            self.bytes.get(at..).and_then(<[u8]>::split_first)
        {
            self.breaks |= matches!(byte, b'\n' | b'\r');
            // A line break is followed by the indentation of the next line.
            at += 1 + spaces(rest);
        }
        if self.kept.is_some() {
            self.keep(start);
            self.kept = Some(at);
        }
        at
    }

    /// Copies what was not copied yet, up to here.
    fn keep(&mut self, end: usize) {
        /// Hardly a token is longer, and a copy of a fixed length is a few moves instead of a call.
        const SPAN: usize = 32;
        let rest = self.kept.and_then(|start| self.bytes.get(start..)).unwrap_or_default();
        let length = end - self.kept.unwrap_or(end);
        match rest.first_chunk::<SPAN>() {
            Some(chunk) if length <= SPAN => {
                let end = self.lines.len() + length;
                self.lines.extend_from_slice(chunk);
                self.lines.truncate(end);
            }
            _ => self.lines.extend_from_slice(rest.get(..length).unwrap_or_default()),
        }
    }

    /// Fails unless nothing follows.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.malformed("something follows the value")) }
    }

    /// Goes into an object or array; its entries follow by [`next_entry`](Self::next_entry).
    pub(crate) fn open(&mut self, bracket: u8) -> Result<()> {
        self.require(bracket)
    }

    /// Goes to the next entry; `false` after the bracket that closes.
    pub(crate) fn next_entry(&mut self, close: u8, first: &mut bool) -> Result<bool> {
        if self.take(close) {
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.require(b',')?;
        }
        Ok(true)
    }

    /// Reads any value that nests at most `depth` deep; if it holds a line break, it is copied without any whitespace.
    pub(crate) fn value_on_one_line(&mut self, depth: usize) -> Result<OneLine<'a>> {
        self.peek();
        let (start, line) = (self.at, self.lines.len());
        // Whoever breaks lines does it behind the first bracket: other values are read once more if they hold a break.
        if !matches!(self.bytes.get(start + 1), Some(b'\n' | b'\r')) {
            self.breaks = false;
            let text = self.value(depth)?;
            if !self.breaks {
                return Ok(OneLine::Slice(text));
            }
            self.at = start;
        }
        if self.lines.capacity() == 0 {
            // It holds the lines of all values to come.
            self.lines.reserve_exact(self.bytes.len() - start);
        }
        self.kept = Some(start);
        self.value(depth)?;
        self.keep(self.at);
        self.kept = None;
        Ok(OneLine::Line(line..self.lines.len()))
    }

    /// The values that were put on one line.
    pub(crate) fn into_lines(self) -> Vec<u8> {
        self.lines
    }

    /// Reads a member's name and says whether it is this one; its value follows.
    pub(crate) fn name_is(&mut self, wanted: &str) -> Result<bool> {
        let raw = self.raw_string()?;
        self.require(b':')?;
        let escaped = memchr::memchr(b'\\', raw.as_bytes()).is_some();
        Ok(if escaped { unescape(raw).is_some_and(|name| name == wanted) } else { raw == wanted })
    }

    /// Reads a member's name; its value follows.
    pub(crate) fn name(&mut self) -> Result<Cow<'a, str>> {
        let name = self.string()?;
        self.require(b':')?;
        Ok(name)
    }

    /// Walks to the value of the first member of this name, and gives the place where it begins.
    pub(crate) fn find(&mut self, wanted: &str, depth: usize) -> Result<Option<usize>> {
        self.require(b'{')?;
        if self.take(b'}') {
            return Ok(None);
        }
        loop {
            let found = self.name_is(wanted)?;
            let first = self.peek();
            if found {
                return Ok(Some(self.at));
            }
            self.at = self.skip(self.at, first, depth)?;
            if self.take(b'}') {
                return Ok(None);
            }
            self.require(b',')?;
        }
    }

    /// Reads a string; it is copied only if it holds an escape.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        let raw = self.raw_string()?;
        resolve(raw, self.at)
    }

    /// Reads a whole number without sign.
    pub(crate) fn unsigned(&mut self) -> Result<u64> {
        let text = self.value(0)?;
        text.parse().map_err(|_| self.malformed("not a whole number"))
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool> {
        match self.value(0)? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.malformed("neither true nor false")),
        }
    }

    /// Passes over `null`, if it stands next.
    pub(crate) fn null(&mut self) -> Result<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.at = self.literal(self.at, "null")?;
        Ok(true)
    }

    /// Reads any value that nests at most `depth` deep, and gives its text.
    pub(crate) fn value(&mut self, depth: usize) -> Result<&'a str> {
        let (start, first) = self.token(self.at);
        self.at = self.skip(start, first, depth)?;
        self.slice(start, self.at)
    }

    /// Reads the value that stands last in the object that ends the text, and gives its text. Where it has brackets or
    /// quotes, only those are looked at.
    pub(crate) fn last_value(&mut self, depth: usize) -> Result<&'a str> {
        let (start, first) = self.token(self.at);
        let close = match first {
            Some(b'{') => '}',
            Some(b'[') => ']',
            Some(b'"') => '"',
            _ => return self.value(depth),
        };
        self.at = self.bytes.len().saturating_sub(1);
        let text = self.text.get(start..self.at).filter(|text| text.len() > 1 && text.ends_with(close));
        text.ok_or_else(|| self.malformed("the value does not end with the text"))
    }

    /// Reads an object that nests at most `depth` deep, its names each once, and gives the place of one member's value,
    /// which nests at most `own_depth` deep.
    pub(crate) fn object_with(&mut self, wanted: &str, own_depth: usize, depth: usize) -> Result<Option<Range<usize>>> {
        let depth = deeper(self.at, depth)?;
        let (mut names, mut found, mut first) = (Vec::with_capacity(16), None, true);
        self.open(b'{')?;
        while self.next_entry(b'}', &mut first)? {
            let name = self.name()?;
            let (start, next) = self.token(self.at);
            let is_wanted = name == wanted;
            self.at = self.skip(start, next, if is_wanted { own_depth } else { depth })?;
            if is_wanted {
                found = Some(start..self.at);
            }
            names.push(name);
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
            return Err(refused(self.at, "a name stands twice in one object"));
        }
        Ok(found)
    }

    /// Jumps over a value that was read before, if it begins here, and gives its text.
    pub(crate) fn known_value(&mut self, place: &Range<usize>) -> Result<&'a str> {
        self.peek();
        if self.at != place.start {
            return Err(self.malformed("another value than expected"));
        }
        self.at = place.end;
        self.slice(place.start, place.end)
    }

    /// Passes over the value that begins at this place with this byte, and gives the place behind it.
    fn skip(&mut self, at: usize, first: Option<u8>, depth: usize) -> Result<usize> {
        match first {
            Some(b'"') => self.skip_string(at),
            Some(b'{') => self.skip_object(at, depth),
            Some(b'[') => self.skip_array(at, depth),
            Some(b'-' | b'0'..=b'9') => self.number(at),
            Some(b't') => self.literal(at, "true"),
            Some(b'f') => self.literal(at, "false"),
            Some(b'n') => self.literal(at, "null"),
            _ => Err(malformed(at, "no value where one is expected")),
        }
    }

    fn skip_object(&mut self, at: usize, depth: usize) -> Result<usize> {
        let depth = deeper(at, depth)?;
        let own = match &self.rules {
            Rules::Any => 0,
            Rules::Interoperable(names) => names.len(),
        };
        let (mut at, mut next) = self.token(at + 1);
        if next == Some(b'}') {
            return Ok(at + 1);
        }
        loop {
            let end = self.pass_string(at, next)?;
            if let Rules::Interoperable(_) = self.rules {
                let name = resolve(self.slice(at + 1, end - 1)?, end)?;
                if let Rules::Interoperable(names) = &mut self.rules {
                    names.push(name);
                }
            }
            (at, next) = self.token(end);
            if next != Some(b':') {
                return Err(missing(at, b':'));
            }
            (at, next) = self.token(at + 1);
            at = self.skip(at, next, depth)?;
            (at, next) = self.token(at);
            match next {
                Some(b',') => (at, next) = self.token(at + 1),
                Some(b'}') => break,
                _ => return Err(missing(at, b',')),
            }
        }
        if let Rules::Interoperable(names) = &mut self.rules {
            let own_names = names.get_mut(own..).unwrap_or_default();
            own_names.sort_unstable();
            let twice = own_names.windows(2).any(|pair| matches!(pair, [left, right] if left == right));
            names.truncate(own);
            if twice {
                return Err(refused(at + 1, "a name stands twice in one object"));
            }
        }
        Ok(at + 1)
    }

    fn skip_array(&mut self, at: usize, depth: usize) -> Result<usize> {
        let depth = deeper(at, depth)?;
        let (mut at, mut next) = self.token(at + 1);
        if next == Some(b']') {
            return Ok(at + 1);
        }
        loop {
            at = self.skip(at, next, depth)?;
            (at, next) = self.token(at);
            match next {
                Some(b',') => (at, next) = self.token(at + 1),
                Some(b']') => return Ok(at + 1),
                _ => return Err(missing(at, b',')),
            }
        }
    }

    fn skip_string(&self, at: usize) -> Result<usize> {
        let end = self.pass_string(at, Some(b'"'))?;
        if let Rules::Interoperable(_) = self.rules {
            let raw = self.slice(at + 1, end - 1)?;
            if memchr::memchr(b'\\', raw.as_bytes()).is_some() && unescape(raw).is_none() {
                return Err(refused(end, "half of a surrogate pair"));
            }
        }
        Ok(end)
    }

    /// Reads a string and gives what stands between its quotes, escapes checked for their form and not resolved.
    fn raw_string(&mut self) -> Result<&'a str> {
        let (at, next) = self.token(self.at);
        self.at = self.pass_string(at, next)?;
        self.slice(at + 1, self.at - 1)
    }

    /// Passes over a string that begins at this place with this byte, and gives the place behind it.
    #[expect(clippy::inline_always, reason = "a compact page is read a fifth faster")]
    #[inline(always)]
    fn pass_string(&self, at: usize, first: Option<u8>) -> Result<usize> {
        if first != Some(b'"') {
            return Err(missing(at, b'"'));
        }
        let mut at = at + 1;
        loop {
            at += plain_run(self.bytes.get(at..).unwrap_or_default());
            match self.bytes.get(at) {
                Some(b'"') => return Ok(at + 1),
                Some(b'\\') => at = self.escape(at)?,
                Some(_) => return Err(malformed(at, "a control character in a string")),
                None => return Err(malformed(at, "a string without end")),
            }
        }
    }

    fn escape(&self, at: usize) -> Result<usize> {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u')
                if self.bytes.get(at + 2..at + 6).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
            {
                Ok(at + 6)
            }
            _ => Err(malformed(at, "an unknown escape")),
        }
    }

    fn number(&self, start: usize) -> Result<usize> {
        let digits = start + usize::from(self.bytes.get(start) == Some(&b'-'));
        let mut at = self.digits(digits);
        match at - digits {
            0 => return Err(malformed(at, "a number without digits")),
            1 => {}
            _ if self.bytes.get(digits) == Some(&b'0') => {
                return Err(malformed(at, "a number that begins with zero"));
            }
            _ => {}
        }
        let mut whole = true;
        if self.bytes.get(at) == Some(&b'.') {
            let fraction = at + 1;
            at = self.digits(fraction);
            whole = false;
            if at == fraction {
                return Err(malformed(at, "a number that ends with a point"));
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            let exponent = at + 1 + usize::from(matches!(self.bytes.get(at + 1), Some(b'+' | b'-')));
            at = self.digits(exponent);
            whole = false;
            if at == exponent {
                return Err(malformed(at, "an exponent without digits"));
            }
        }
        if let Rules::Interoperable(_) = self.rules {
            let text = self.slice(start, at)?;
            let safe = if whole {
                text.trim_start_matches('-').parse().is_ok_and(|number: u64| number <= MAX_SAFE_INTEGER)
            } else {
                text.parse().is_ok_and(f64::is_finite)
            };
            if !safe {
                return Err(refused(at, "a number that not every reader keeps: it has to be a string"));
            }
        }
        Ok(at)
    }

    /// The place behind the digits that stand here.
    fn digits(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn literal(&self, at: usize, word: &str) -> Result<usize> {
        if self.bytes.get(at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Ok(at + word.len());
        }
        Err(malformed(at, "an unknown word"))
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn require(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(missing(self.at, byte)) }
    }

    fn slice(&self, start: usize, end: usize) -> Result<&'a str> {
        self.text.get(start..end).ok_or_else(|| malformed(end, "a character is cut"))
    }

    /// An error that names the place and not what stands there.
    pub(crate) fn malformed(&self, what: &'static str) -> Error {
        malformed(self.at, what)
    }
}

/// Resolves what stands between the quotes of a string that ends here.
fn resolve(raw: &str, end: usize) -> Result<Cow<'_, str>> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    unescape(raw).map(Cow::Owned).ok_or_else(|| malformed(end, "half of a surrogate pair"))
}

fn deeper(at: usize, depth: usize) -> Result<usize> {
    depth.checked_sub(1).ok_or_else(|| {
        Error::new(ErrorKind::LimitExceeded, "the JSON nests too deep, or a plain value is expected")
            .with_context("byte", at)
    })
}

#[cold]
fn missing(at: usize, byte: u8) -> Error {
    malformed(
        at,
        match byte {
            b'"' => "no string where one is expected",
            b'{' => "no object where one is expected",
            b'[' => "no array where one is expected",
            b':' => "a name without value",
            _ => "a comma or bracket is missing",
        },
    )
}

#[cold]
fn malformed(at: usize, what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, "the JSON is not valid").with_context("because", what).with_context("byte", at)
}

#[cold]
fn refused(at: usize, what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, "the JSON is not I-JSON").with_context("because", what).with_context("byte", at)
}

/// How many bytes at the beginning need no attention in a string: no quote, no backslash, no control character.
///
/// Eight at a time: half of the time of reading a line goes into the strings of its data.
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
        let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let special = control | has_zero(word ^ (ONES * u64::from(b'"'))) | has_zero(word ^ (ONES * u64::from(b'\\')));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let tail = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
    words.len() * 8 + tail
}

/// How many spaces stand at the beginning: a page that is indented holds more of them than of anything else.
///
/// Sixteen at a time: hardly a line is indented deeper, so one step does for it.
fn spaces(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<16>();
    for (index, word) in words.iter().enumerate() {
        let others = u128::from_le_bytes(*word) ^ u128::from_le_bytes([b' '; 16]);
        if others != 0 {
            return index * 16 + others.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 16 + rest.iter().take_while(|byte| **byte == b' ').count()
}

/// Resolves the escapes of a string whose escapes have the right form; `None` for half of a surrogate pair.
fn unescape(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(slash) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(rest.get(..slash)?);
        let kind = *rest.as_bytes().get(slash + 1)?;
        rest = rest.get(slash + 2..)?;
        match kind {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = hex_unit(rest)?;
                rest = rest.get(4..)?;
                let scalar = if (0xd800..0xdc00).contains(&unit) {
                    let low = hex_unit(rest.strip_prefix("\\u")?)?;
                    rest = rest.get(6..)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return None;
                    }
                    0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    unit
                };
                out.push(char::from_u32(scalar)?);
            }
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
    Some(out)
}

fn hex_unit(text: &str) -> Option<u32> {
    u32::from_str_radix(text.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_runs_end_at_the_first_byte_that_matters() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                let mut text = vec![b'x'; length];
                text.extend_from_slice("\u{7f}é☃\u{80}".as_bytes());
                let run = text.len();
                text.push(special);
                text.extend_from_slice(b"xxxx\"xxxxxxxx");
                assert_eq!(plain_run(&text), run);
            }
        }
        assert_eq!(plain_run(b" !#[]^~\xff\x80\x20"), 10);
    }

    #[test]
    fn runs_of_spaces_end_at_the_first_other_byte() {
        for length in 0..40 {
            let text = format!("{}x        ", " ".repeat(length));
            assert_eq!(spaces(text.as_bytes()), length);
            assert_eq!(spaces(" ".repeat(length).as_bytes()), length);
        }
    }

    fn on_one_line(text: &str) -> String {
        let mut scanner = Scanner::new(text);
        match scanner.value_on_one_line(8).unwrap() {
            OneLine::Slice(text) => text.to_owned(),
            OneLine::Line(range) => String::from_utf8(scanner.into_lines().drain(range).collect()).unwrap(),
        }
    }

    #[test]
    fn a_value_with_line_breaks_loses_its_whitespace_and_another_keeps_it() {
        let pretty = " {\n\t\"a b\" : [ 1,\r\n 2 ] ,\n  \"c\":\" x \\n \"}";
        assert_eq!(on_one_line(pretty), "{\"a b\":[1,2],\"c\":\" x \\n \"}");
        assert_eq!(on_one_line(" { \"a\" : 1 }\n"), r#"{ "a" : 1 }"#);
        assert!(Scanner::new("[1\n2]").value_on_one_line(8).is_err());
    }

    #[test]
    fn accepts_what_serde_json_accepts_and_nothing_else() {
        let samples = [
            "0",
            "-0",
            "-0.0",
            "1e400",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1E-7",
            "+1",
            "tru",
            "true",
            "nulll",
            "[]",
            "[1,]",
            "[1 2]",
            "{}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12G4\"",
            "\"\\ud800\"",
            "\"",
            "\"\\\"",
            "\"\t\"",
            "[[[]",
            "{\"a\":[{\"b\":\"\\\\\"}]} ",
            "",
            " ",
            "[\"a\"\t, 1 ]",
            "18446744073709551616",
            "NaN",
            "'a'",
            "{a:1}",
            "[1]]",
            "\u{feff}1",
        ];
        for sample in samples {
            let mut scanner = Scanner::new(sample);
            let ours = scanner.value(8).and_then(|_| scanner.end());
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(sample);
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{sample}");
        }
    }

    #[test]
    fn strings_are_resolved_as_serde_json_resolves_them() {
        for sample in [r#""a\n\r\t\b\f\/\\\"\u0041\u00e9☃\ud83d\ude00""#, r#""""#, r#""\u0000""#] {
            let ours = Scanner::new(sample).string().unwrap();
            assert_eq!(ours, serde_json::from_str::<String>(sample).unwrap());
        }
        for broken in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#] {
            assert!(Scanner::new(broken).string().is_err(), "{broken}");
        }
    }

    #[test]
    fn interoperable_json_has_unique_names_and_whole_strings_and_safe_numbers() {
        let refused = [
            r#"{"a":1,"a":2}"#,
            r#"[{"b":{"a":1,"\u0061":2}}]"#,
            r#"["\ud800"]"#,
            r#"{"\udc00":1}"#,
            "9007199254740992",
            "-9007199254740992",
            "1e400",
            "[123456789012345678901234567890]",
        ];
        for text in refused {
            assert!(Scanner::new(text).value(8).is_ok(), "{text}");
            let error = Scanner::interoperable(text).value(8).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{text}");
        }
        let fine = r#"{"a":{"a":1},"b":[{"a":-0.0},{"a":9007199254740991}],"c":"\ud83d\ude00"}"#;
        assert!(Scanner::interoperable(fine).value(8).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(Scanner::new("[[1]]").value(2).is_ok());
        assert_eq!(Scanner::new("[[1]]").value(1).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(Scanner::new("{\"a\":{}}").value(1).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert!(Scanner::new(&"[".repeat(1_000_000)).value(256).is_err());
    }
}
