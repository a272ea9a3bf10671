use std::borrow::Cow;
use std::io::Read as _;

use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::value::RawValue;

use super::path::{children, first_byte};
use crate::manifest::Component;
use crate::request::Answer;

/// Most bytes that a packed answer may have unpacked.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;
/// What a gzip stream begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How the bytes of an answer become JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoder {
    packed: bool,
    form: Form,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Json,
    /// A value on each line.
    Lines,
    /// A text on each line.
    Texts,
    /// Rows below a row of names.
    Csv { delimiter: u8 },
}

impl Decoder {
    pub(crate) fn build(component: Option<Component<'_>>) -> Result<Self> {
        let Some(component) = component else { return Ok(Self::default()) };
        let form = match component.kind() {
            "JsonDecoder" => Form::Json,
            "JsonlDecoder" => Form::Lines,
            "IterableDecoder" => Form::Texts,
            "CsvDecoder" => {
                let encoding = component.text("encoding").unwrap_or("utf-8").to_ascii_lowercase();
                let delimiter = component.text("delimiter").unwrap_or(",").replace("\\t", "\t");
                match (encoding.as_str(), delimiter.as_bytes()) {
                    ("utf-8" | "utf8" | "utf-8-sig", [delimiter]) => Form::Csv { delimiter: *delimiter },
                    _ => return Err(component.unknown()),
                }
            }
            "GzipDecoder" => {
                return Ok(Self { packed: true, ..Self::build(component.child("decoder")?)? });
            }
            _ => return Err(component.unknown()),
        };
        Ok(Self { packed: false, form })
    }

    /// The text of the answer as JSON: one value, or one on each line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] if it unpacks beyond bounds; [`ErrorKind::InvalidData`] if it is not what it should be.
    pub(crate) fn text(&self, answer: &Answer) -> Result<Bytes> {
        let body =
            if self.packed && answer.body.starts_with(&GZIP) { unpacked(&answer.body)? } else { answer.body.clone() };
        match &self.form {
            Form::Json | Form::Lines => Ok(body),
            Form::Texts => {
                let mut lines = String::new();
                for line in String::from_utf8_lossy(&body).lines() {
                    push_line(&mut lines, &serde_json::json!({ "record": line }));
                }
                Ok(lines.into())
            }
            Form::Csv { delimiter } => rows(&body, *delimiter),
        }
    }

    /// The values in the text. A list at the top stands for its items, as in Airbyte.
    pub(crate) fn bodies<'t>(&self, text: &'t Bytes) -> Result<Vec<&'t RawValue>> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Vec::new());
        }
        if self.form == Form::Json {
            let whole: &RawValue = serde_json::from_slice(text)?;
            return if first_byte(whole) == b'[' { children(whole) } else { Ok(vec![whole]) };
        }
        text.split(|byte| *byte == b'\n')
            .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
            .map(|line| Ok(serde_json::from_slice(line)?))
            .collect()
    }
}

fn unpacked(body: &Bytes) -> Result<Bytes> {
    let mut whole = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(body.as_ref()).take(MAX_UNPACKED + 1);
    let malformed = |error| Error::new(ErrorKind::InvalidData, "the answer is no gzip").with_source(error);
    reader.read_to_end(&mut whole).map_err(malformed)?;
    if whole.len() as u64 > MAX_UNPACKED {
        return Err(Error::new(ErrorKind::LimitExceeded, "the answer is too large").with_context("limit", MAX_UNPACKED));
    }
    Ok(whole.into())
}

/// Rows as mappings of texts, in the order of their names.
fn rows(body: &Bytes, delimiter: u8) -> Result<Bytes> {
    let malformed = |error| Error::new(ErrorKind::InvalidData, "the answer is no CSV").with_source(error);
    // A mark of the byte order is none of the first name.
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(body);
    let names: Vec<Cow<'static, str>> =
        reader.headers().map_err(malformed)?.iter().map(|name| Cow::Owned(name.to_owned())).collect();
    let mut lines = String::new();
    for row in reader.records() {
        let row = row.map_err(malformed)?;
        let members = names.iter().enumerate().map(|(index, name)| {
            let value = row.get(index).map_or(serde_json::Value::Null, Into::into);
            (name.to_string(), value)
        });
        push_line(&mut lines, &members.collect::<serde_json::Map<_, _>>().into());
    }
    Ok(lines.into())
}

fn push_line(lines: &mut String, value: &serde_json::Value) {
    lines.push_str(&value.to_string());
    lines.push('\n');
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn decoded(decoder: &Decoder, body: impl Into<Bytes>) -> Vec<String> {
        let answer = Answer { status: 200, headers: http::HeaderMap::new(), body: body.into(), permit: None };
        let text = decoder.text(&answer).unwrap();
        decoder.bodies(&text).unwrap().iter().map(|raw| raw.get().to_owned()).collect()
    }

    #[test]
    fn lines_rows_and_packed_answers_become_values() {
        let csv = Decoder { packed: false, form: Form::Csv { delimiter: b';' } };
        assert_eq!(
            decoded(&csv, "\u{feff}a;b\n1;\"x;\ny\"\n2\n"),
            [r#"{"a":"1","b":"x;\ny"}"#, r#"{"a":"2","b":null}"#]
        );
        let lines = Decoder { packed: true, form: Form::Lines };
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"{\"a\": 1.10}\n\n{\"a\": 2}\n").unwrap();
        assert_eq!(decoded(&lines, packed.finish().unwrap()), ["{\"a\": 1.10}", "{\"a\": 2}"]);
        assert_eq!(decoded(&lines, "{\"a\": 3}"), ["{\"a\": 3}"], "a server that does not pack it");
        assert_eq!(decoded(&Decoder::default(), "[1, {\"b\": []}]"), ["1", "{\"b\": []}"]);
        assert_eq!(decoded(&Decoder::default(), " \n"), [""; 0]);
    }

    #[test]
    fn an_answer_that_unpacks_without_end_is_refused() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![b' '; 1024 * 1024];
        for _ in 0..=MAX_UNPACKED / zeros.len() as u64 {
            packed.write_all(&zeros).unwrap();
        }
        let body = packed.finish().unwrap().into();
        let answer = Answer { status: 200, headers: http::HeaderMap::new(), body, permit: None };
        let decoder = Decoder { packed: true, form: Form::Json };
        assert_eq!(decoder.text(&answer).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
}
