//! Values: what the server writes as text becomes JSON, and back, without a loss.

use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::value::RawValue;

/// How the values of a column stand in JSON; a column that is `NULL` is left out.
///
/// What JSON has is JSON: numbers keep every digit that the server wrote, `jsonb` is what it is. All else is a text as the
/// server writes it, `NaN` and `json` included, whose blanks count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    Number,
    Jsonb,
    Text,
}

impl Form {
    /// By the type's object identifier, which never changes for the server's own types (`pg_type.dat`).
    pub(super) fn of(type_oid: u32) -> Self {
        match type_oid {
            16 => Self::Bool,
            // int8, int2, int4, oid, float4, float8, numeric
            20 | 21 | 23 | 26 | 700 | 701 | 1700 => Self::Number,
            3802 => Self::Jsonb,
            _ => Self::Text,
        }
    }

    /// The JSON Schema of its values.
    pub(super) fn schema(self) -> serde_json::Value {
        match self {
            Self::Bool => serde_json::json!({ "type": "boolean" }),
            Self::Number => serde_json::json!({ "type": ["number", "string"] }),
            Self::Jsonb => serde_json::json!({}),
            Self::Text => serde_json::json!({ "type": "string" }),
        }
    }

    /// Writes what the server said as JSON.
    pub(super) fn write_json(self, text: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Bool => out.extend_from_slice(if text == b"t" { b"true" } else { b"false" }),
            Self::Number if is_number(text) => out.extend_from_slice(text),
            Self::Jsonb => out.extend_from_slice(text),
            Self::Number | Self::Text => write_string(utf8(text)?, out)?,
        }
        Ok(())
    }

    /// Writes JSON as a field of `COPY … (FORMAT text)`.
    pub(super) fn write_field(self, json: &RawValue, out: &mut Vec<u8>) -> Result<()> {
        let raw = json.get();
        let plain = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|_| self != Self::Jsonb);
        match plain {
            // A text without an escape has neither tabs nor ends of lines.
            Some(text) if memchr::memchr(b'\\', text.as_bytes()).is_none() => out.extend_from_slice(text.as_bytes()),
            Some(_) => {
                let text: String = serde_json::from_str(raw).map_err(|_| malformed())?;
                write_escaped(text.as_bytes(), out);
            }
            None => write_escaped(raw.as_bytes(), out),
        }
        Ok(())
    }
}

pub(super) fn utf8(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "the server sent a text that is not UTF-8"))
}

pub(super) fn write_string(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(&mut *out, text)
        .map_err(|error| Error::new(ErrorKind::Unexpected, "a text cannot be written").with_source(error))
}

/// Whether the text is a number in JSON, too: `NaN` and `Infinity` are not.
fn is_number(text: &[u8]) -> bool {
    text.last().is_some_and(u8::is_ascii_digit)
        && text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e'))
}

/// Takes one line of `COPY … (FORMAT text)` apart
/// (<https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS>).
///
/// Gives each field, `None` for `NULL`; `scratch` holds what had to be unescaped.
pub(super) fn fields<'a>(line: &'a [u8], scratch: &'a mut Vec<u8>, out: &mut Vec<Option<(usize, usize)>>) -> &'a [u8] {
    out.clear();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let plain = memchr::memchr(b'\\', line).is_none();
    if !plain {
        scratch.clear();
    }
    let mut start = 0;
    for end in memchr::memchr_iter(b'\t', line).chain([line.len()]) {
        let field = line.get(start..end).unwrap_or_default();
        if plain {
            out.push(Some((start, end)));
        } else if field == b"\\N" {
            out.push(None);
        } else {
            let from = scratch.len();
            unescape(field, scratch);
            out.push(Some((from, scratch.len())));
        }
        start = end + 1;
    }
    if plain { line } else { scratch }
}

fn unescape(field: &[u8], out: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        match rest.get(at + 1) {
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'v') => out.push(11),
            Some(other) => out.push(*other),
            None => {}
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// What stands for `NULL` in `COPY … (FORMAT text)`.
pub(super) const NULL: &[u8] = b"\\N";

/// Writes a value as a field of `COPY … (FORMAT text)`.
fn write_escaped(value: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, byte) in value.iter().enumerate() {
        let escaped: &[u8] = match byte {
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            _ => continue,
        };
        out.extend_from_slice(value.get(from..at).unwrap_or_default());
        out.extend_from_slice(escaped);
        from = at + 1;
    }
    out.extend_from_slice(value.get(from..).unwrap_or_default());
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "a value of the record cannot be read")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(form: Form, text: &str) -> String {
        let mut out = Vec::new();
        form.write_json(text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn back(form: Form, json: &str) -> String {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        let (mut line, mut scratch, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        form.write_field(&raw, &mut line).unwrap();
        let text = fields(&line, &mut scratch, &mut spans);
        let (from, to) = spans[0].unwrap();
        String::from_utf8(text[from..to].to_vec()).unwrap()
    }

    #[test]
    fn values_keep_every_digit_and_read_back() {
        for (form, text, written) in [
            (Form::Bool, "t", "true"),
            (Form::Number, "18446744073709551616", "18446744073709551616"),
            (Form::Number, "-1.10", "-1.10"),
            (Form::Number, "1e+300", "1e+300"),
            (Form::Number, "NaN", "\"NaN\""),
            (Form::Number, "-Infinity", "\"-Infinity\""),
            (Form::Jsonb, "null", "null"),
            (Form::Jsonb, "{\"a\": [1.10, \"x\"]}", "{\"a\": [1.10, \"x\"]}"),
            (Form::Text, "line\nand \"quotes\"", r#""line\nand \"quotes\"""#),
        ] {
            assert_eq!(json(form, text), written);
            let expected = if form == Form::Bool { "true" } else { text };
            assert_eq!(back(form, written), expected);
        }
    }

    proptest! {
        #[test]
        fn lines_of_a_copy_read_as_they_were_written(
            row in prop::collection::vec(prop::option::of("[\\\\\tN\n\r\u{8}a]{0,8}|.{0,8}"), 1..6),
        ) {
            let mut line = Vec::new();
            for (index, value) in row.iter().enumerate() {
                if index > 0 {
                    line.push(b'\t');
                }
                match value {
                    Some(value) => write_escaped(value.as_bytes(), &mut line),
                    None => line.extend_from_slice(NULL),
                }
            }
            line.push(b'\n');
            let (mut scratch, mut spans) = (Vec::new(), Vec::new());
            let text = fields(&line, &mut scratch, &mut spans);
            let read: Vec<Option<&[u8]>> =
                spans.iter().map(|span| span.map(|(from, to)| &text[from..to])).collect();
            let written: Vec<Option<&[u8]>> = row.iter().map(|value| value.as_deref().map(str::as_bytes)).collect();
            prop_assert_eq!(read, written);
        }
    }
}
