mod xml;

use std::borrow::Cow;
use std::io::Read;

use bytes::Bytes;
use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::value::RawValue;

use crate::extract::path::{children, first_byte};
use crate::manifest::Component;
use crate::request::Answer;

/// Most bytes that a packed answer may have unpacked.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;
/// What a gzip stream begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How the bytes of an answer become JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoder {
    packed: Packed,
    form: Form,
}

/// How the bytes are packed before they are anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Packed {
    #[default]
    Not,
    Gzip,
    /// Files in an archive, one after the other.
    Zip,
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
    Csv {
        delimiter: u8,
        encoding: String,
        /// Texts that stand for nothing.
        nothing: Vec<String>,
    },
    Xml,
}

impl Decoder {
    pub(crate) fn build(component: Option<Component<'_>>) -> Result<Self> {
        let Some(component) = component else { return Ok(Self::default()) };
        let form = match component.kind() {
            "JsonDecoder" => Form::Json,
            "JsonlDecoder" => Form::Lines,
            "IterableDecoder" => Form::Texts,
            "XmlDecoder" => Form::Xml,
            "CsvDecoder" => {
                let encoding = component.text("encoding").unwrap_or("utf-8").to_owned();
                known_encoding(&encoding).ok_or_else(|| component.wrong("there is no such encoding"))?;
                let delimiter = component.text("delimiter").unwrap_or(",").replace("\\t", "\t");
                let &[delimiter] = delimiter.as_bytes() else {
                    return Err(component.wrong("a delimiter is one letter of ASCII"));
                };
                let nothing = component.get("set_values_to_none").and_then(serde_json::Value::as_array);
                let nothing =
                    nothing.into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect();
                Form::Csv { delimiter, encoding, nothing }
            }
            "GzipDecoder" | "ZipfileDecoder" => {
                let within = Self::build(component.child("decoder")?)?;
                if within.packed != Packed::Not {
                    return Err(component.wrong("what is packed is packed again"));
                }
                let packed = if component.kind() == "GzipDecoder" { Packed::Gzip } else { Packed::Zip };
                return Ok(Self { packed, ..within });
            }
            _ => return Err(component.unknown()),
        };
        Ok(Self { packed: Packed::Not, form })
    }

    /// The text of the answer as JSON: one value, or one on each line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] if it unpacks beyond bounds; [`ErrorKind::InvalidData`] if it is not what it should be.
    pub(crate) fn text(&self, answer: &Answer) -> Result<Bytes> {
        match self.packed {
            Packed::Gzip if answer.body.starts_with(&GZIP) => self.plain(&unpacked(&answer.body)?),
            Packed::Zip => self.files(&answer.body),
            _ => self.plain(&answer.body),
        }
    }

    fn plain(&self, body: &Bytes) -> Result<Bytes> {
        match &self.form {
            Form::Json | Form::Lines => Ok(body.clone()),
            Form::Texts => {
                let mut lines = String::new();
                for line in String::from_utf8_lossy(body).lines() {
                    push_line(&mut lines, &serde_json::json!({ "record": line }));
                }
                Ok(lines.into())
            }
            Form::Csv { delimiter, encoding, nothing } => rows(&text_of(body, encoding)?, *delimiter, nothing),
            Form::Xml => Ok(xml::value(body)?.to_string().into()),
        }
    }

    /// The values of all files of an archive, one on each line.
    fn files(&self, body: &Bytes) -> Result<Bytes> {
        let malformed = |error| Error::new(ErrorKind::InvalidData, "the answer is no zip archive").with_source(error);
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(body.as_ref())).map_err(malformed)?;
        let (mut lines, mut left) = (Vec::new(), MAX_UNPACKED);
        for index in 0..archive.len() {
            let file = archive.by_index(index).map_err(malformed)?;
            if file.is_dir() {
                continue;
            }
            let file = bounded(file, left, "the answer is no zip archive")?;
            left -= file.len() as u64;
            let text = self.plain(&file)?;
            for value in self.values(&text)? {
                lines.extend_from_slice(saas_backup_core::Json::from_raw(&text, value)?.as_bytes());
                lines.push(b'\n');
            }
        }
        Ok(lines.into())
    }

    /// The values in the text. A list at the top stands for its items, as in Airbyte.
    pub(crate) fn bodies<'t>(&self, text: &'t Bytes) -> Result<Vec<&'t RawValue>> {
        if self.packed == Packed::Zip { in_lines(text) } else { self.values(text) }
    }

    fn values<'t>(&self, text: &'t Bytes) -> Result<Vec<&'t RawValue>> {
        if self.form != Form::Json {
            return in_lines(text);
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Vec::new());
        }
        let whole: &RawValue = serde_json::from_slice(text)?;
        if first_byte(whole.get()) == b'[' { children(whole.get()) } else { Ok(vec![whole]) }
    }
}

fn in_lines(text: &Bytes) -> Result<Vec<&RawValue>> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
        .map(|line| Ok(serde_json::from_slice(line)?))
        .collect()
}

/// The encoding that a name of Python's stands for.
fn known_encoding(name: &str) -> Option<&'static encoding_rs::Encoding> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let label = match name.as_str() {
        "utf8" | "utf-8-sig" => "utf-8",
        "latin-1" => "latin1",
        other => other,
    };
    encoding_rs::Encoding::for_label(label.as_bytes())
}

/// The text of an answer in some encoding. A mark of the byte order is none of it, and counts more than the name.
fn text_of(body: &Bytes, encoding: &str) -> Result<String> {
    let wrong = || Error::new(ErrorKind::InvalidData, "the answer is not in the encoding that it should be in");
    let encoding = known_encoding(encoding).ok_or_else(wrong)?;
    let (text, _, damaged) = encoding.decode(body);
    if damaged { Err(wrong().with_context("encoding", encoding.name())) } else { Ok(text.into_owned()) }
}

fn unpacked(body: &Bytes) -> Result<Bytes> {
    bounded(flate2::read::MultiGzDecoder::new(body.as_ref()), MAX_UNPACKED, "the answer is no gzip")
}

/// All that a packed stream holds, if it is not too much.
fn bounded(reader: impl Read, most: u64, malformed: &'static str) -> Result<Bytes> {
    let mut whole = Vec::new();
    let malformed = |error| Error::new(ErrorKind::InvalidData, malformed).with_source(error);
    reader.take(most + 1).read_to_end(&mut whole).map_err(malformed)?;
    if whole.len() as u64 > most {
        return Err(Error::new(ErrorKind::LimitExceeded, "the answer is too large").with_context("limit", MAX_UNPACKED));
    }
    Ok(whole.into())
}

/// Rows as mappings of texts, in the order of their names.
fn rows(text: &str, delimiter: u8, nothing: &[String]) -> Result<Bytes> {
    let malformed = |error| Error::new(ErrorKind::InvalidData, "the answer is no CSV").with_source(error);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let names: Vec<Cow<'static, str>> =
        reader.headers().map_err(malformed)?.iter().map(|name| Cow::Owned(name.to_owned())).collect();
    let mut lines = String::new();
    for row in reader.records() {
        let row = row.map_err(malformed)?;
        let members = names.iter().enumerate().map(|(index, name)| {
            let value = row.get(index).filter(|value| !nothing.iter().any(|text| text == value));
            (name.to_string(), value.map_or(serde_json::Value::Null, Into::into))
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
        let csv = |encoding: &str, nothing: &[&str]| Decoder {
            packed: Packed::Not,
            form: Form::Csv {
                delimiter: b';',
                encoding: encoding.to_owned(),
                nothing: nothing.iter().map(|&text| text.to_owned()).collect(),
            },
        };
        assert_eq!(
            decoded(&csv("utf-8", &[]), "\u{feff}a;b\n1;\"x;\ny\"\n2\n"),
            [r#"{"a":"1","b":"x;\ny"}"#, r#"{"a":"2","b":null}"#]
        );
        let latin = Bytes::from_static(b"a;b\n\xf6;NA\n");
        assert_eq!(decoded(&csv("latin-1", &["NA"]), latin.clone()), [r#"{"a":"ö","b":null}"#]);
        let answer = Answer { status: 200, headers: http::HeaderMap::new(), body: latin, permit: None };
        assert_eq!(csv("utf-8", &[]).text(&answer).unwrap_err().kind(), ErrorKind::InvalidData);
        let lines = Decoder { packed: Packed::Gzip, form: Form::Lines };
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"{\"a\": 1.10}\n\n{\"a\": 2}\n").unwrap();
        assert_eq!(decoded(&lines, packed.finish().unwrap()), ["{\"a\": 1.10}", "{\"a\": 2}"]);
        assert_eq!(decoded(&lines, "{\"a\": 3}"), ["{\"a\": 3}"], "a server that does not pack it");
        assert_eq!(decoded(&Decoder::default(), "[1, {\"b\": []}]"), ["1", "{\"b\": []}"]);
        assert_eq!(decoded(&Decoder::default(), " \n"), [""; 0]);
    }

    #[test]
    fn all_files_of_an_archive_are_read() {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in
            [("one.json", "[{\"a\":\n1.10}, {\"a\": 2}]"), ("empty.json", ""), ("two.json", "{\"a\": 3}")]
        {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        let body = archive.finish().unwrap().into_inner();
        let decoder = Decoder { packed: Packed::Zip, form: Form::Json };
        assert_eq!(decoded(&decoder, body), ["{\"a\":1.10}", "{\"a\": 2}", "{\"a\": 3}"]);
        let answer = Answer { status: 200, headers: http::HeaderMap::new(), body: "PK no".into(), permit: None };
        assert_eq!(decoder.text(&answer).unwrap_err().kind(), ErrorKind::InvalidData);
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
        let decoder = Decoder { packed: Packed::Gzip, form: Form::Json };
        assert_eq!(decoder.text(&answer).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
}
