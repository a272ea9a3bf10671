mod record;
mod stream;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::limits::{check_count, check_length};
use super::rules::{self, broken};
use super::{Line, LineCodec, LineKind, time};
use crate::scan::Scanner;
use crate::{CollectionName, Cursor, Digest, Error, ErrorKind, Json, Record, Result};

/// How deep an envelope nests around what it holds.
const ENVELOPE_DEPTH: usize = 8;
const MAX_TYPE_CHARS: usize = 32;

pub(super) fn line(codec: &LineCodec, bytes: &Bytes) -> Result<Line> {
    let text = checked_text(codec, bytes)?;
    let kind = kind_of(codec, text)?;
    let mut data = None;
    if codec.is_wire() {
        let mut scanner = Scanner::interoperable(text);
        data = scanner.object_with("data", codec.depth(), codec.depth() + ENVELOPE_DEPTH)?;
        scanner.end()?;
    }
    let mut decoder = Decoder { scanner: Scanner::new(text), codec, line: bytes, own: false, data };
    let line = match kind {
        LineKind::Start => Line::Start(Box::new(decoder.start()?)),
        LineKind::Put => Line::Put(Box::new(decoder.put()?)),
        LineKind::Delete => Line::Delete(decoder.deletion()?),
        LineKind::Gap => Line::Gap(decoder.gap()?),
        LineKind::Item => Line::Item(decoder.item()?),
        LineKind::Schema => Line::Schema(decoder.schema()?),
        LineKind::Reset => Line::Reset(decoder.reset()?),
        LineKind::Checkpoint => decoder.checkpoint()?,
        LineKind::Heartbeat => {
            decoder.envelope(|_, _| Ok(false))?;
            Line::Heartbeat
        }
        LineKind::Erase => Line::Erase(decoder.erasure()?),
        LineKind::Hold => Line::Hold(decoder.erasure()?),
        LineKind::EraseCancel => Line::EraseCancel(decoder.erasure_end()?),
        LineKind::HoldRelease => Line::HoldRelease(decoder.erasure_end()?),
        LineKind::Result => Line::Result(Box::new(decoder.result()?)),
        LineKind::End => Line::End(Box::new(decoder.end()?)),
        LineKind::Other => {
            decoder.scanner.value(codec.depth())?;
            Line::Other(Json::from_checked(bytes.clone()))
        }
    };
    decoder.scanner.end()?;
    rules::check(codec, &line)?;
    Ok(line)
}

/// As [`line`], for one that [`LineCodec::encode_put`] wrote.
pub(super) fn own_put(codec: &LineCodec, bytes: &Bytes) -> Result<Record> {
    let text = checked_text(codec, bytes)?;
    if kind_of(codec, text)? != LineKind::Put {
        return Err(broken("the line is not a put"));
    }
    let mut decoder = Decoder { scanner: Scanner::new(text), codec, line: bytes, own: true, data: None };
    let record = decoder.put()?;
    decoder.scanner.end()?;
    rules::check_record(codec, &record)?;
    Ok(record)
}

/// The line as text: within the limit, UTF-8, an object with nothing around it.
fn checked_text<'a>(codec: &LineCodec, bytes: &'a [u8]) -> Result<&'a str> {
    check_length(bytes.len(), codec.limits.bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Error::new(ErrorKind::InvalidData, "the line is not UTF-8").with_context("byte", error.valid_up_to())
    })?;
    if memchr::memchr2(b'\n', b'\r', bytes).is_some() {
        return Err(broken("a line holds no line break"));
    }
    if !(text.starts_with('{') && text.ends_with('}')) {
        return Err(broken("a line is an object with nothing around it"));
    }
    Ok(text)
}

/// The type of a line, wherever its `type` stands.
pub(super) fn kind_of(codec: &LineCodec, text: &str) -> Result<LineKind> {
    let name = if let Some(rest) = text.strip_prefix("{\"type\":") {
        Scanner::new(rest).string()?
    } else {
        let place = Scanner::new(text).find("type", codec.depth() + ENVELOPE_DEPTH)?;
        let place = place.ok_or_else(|| broken("a line needs a type"))?;
        Scanner::new(text.get(place..).unwrap_or_default()).string()?
    };
    if name.is_empty() || name.chars().take(MAX_TYPE_CHARS + 1).count() > MAX_TYPE_CHARS {
        return Err(broken("a type has 1 to 32 characters"));
    }
    Ok(LineKind::parse(&name))
}

struct Decoder<'a> {
    scanner: Scanner<'a>,
    codec: &'a LineCodec,
    line: &'a Bytes,
    /// Whether the codec wrote the line itself.
    own: bool,
    /// Where the value of `data` stands, if the whole line was read before.
    data: Option<Range<usize>>,
}

impl<'a> Decoder<'a> {
    /// Reads the members of the line: `member` says whether it knew the name; those that it did not know are kept.
    fn envelope(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<bool>) -> Result<BTreeMap<String, Json>> {
        let (mut extra, mut kind) = (BTreeMap::new(), None);
        self.object(|decoder, name| {
            if name == "type" {
                return set(&mut kind, decoder.scanner.string()?);
            }
            if member(decoder, &name)? {
                return Ok(());
            }
            check_count("unknown members", extra.len() + 1, decoder.codec.limits.extra)?;
            let value = decoder.json()?;
            unique(extra.insert(name.into_owned(), value).as_ref())
        })?;
        Ok(extra)
    }

    /// Reads the members of an object inside the envelope; those that `member` does not know are passed over.
    fn nested(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<bool>) -> Result<()> {
        self.object(|decoder, name| {
            if !member(decoder, &name)? {
                decoder.scanner.value(decoder.codec.depth())?;
            }
            Ok(())
        })
    }

    fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>) -> Result<()> {
        self.scanner.open(b'{')?;
        let mut first = true;
        while self.scanner.next_entry(b'}', &mut first)? {
            let name = self.scanner.name()?;
            member(self, name)?;
        }
        Ok(())
    }

    fn list<T>(&mut self, what: &'static str, limit: usize, item: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        self.scanner.open(b'[')?;
        let mut first = true;
        while self.scanner.next_entry(b']', &mut first)? {
            check_count(what, items.len() + 1, limit)?;
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn json(&mut self) -> Result<Json> {
        let text = self.scanner.value(self.codec.depth())?;
        Ok(Json::from_checked(self.line.slice_ref(text.as_bytes())))
    }

    /// Reads the `data` of a record.
    fn data(&mut self) -> Result<Json> {
        let text = match &self.data {
            Some(place) => self.scanner.known_value(place)?,
            None if self.own => self.scanner.last_value(self.codec.depth())?,
            None => return self.json(),
        };
        Ok(Json::from_checked(self.line.slice_ref(text.as_bytes())))
    }

    fn text(&mut self) -> Result<String> {
        self.scanner.string().map(Cow::into_owned)
    }

    fn collection(&mut self) -> Result<CollectionName> {
        CollectionName::parse(self.scanner.string()?)
    }

    fn time(&mut self) -> Result<DateTime<Utc>> {
        time::parse(&self.scanner.string()?)
    }

    fn word<T: DeserializeOwned>(&mut self, unknown: &'static str) -> Result<T> {
        serde_json::from_str(self.scanner.value(0)?).map_err(|_| broken(unknown))
    }

    fn digest(&mut self) -> Result<Option<Digest>> {
        let (mut digest, mut others) = (None, 0);
        self.nested(|decoder, name| {
            let text = decoder.scanner.string()?;
            if name == "sha-256" {
                set(&mut digest, Digest::from_base64(&text)?)?;
            } else {
                others += 1;
            }
            Ok(true)
        })?;
        if digest.is_none() && others == 0 {
            return Err(broken("an empty digest"));
        }
        Ok(digest)
    }

    fn schema_digest(&mut self) -> Result<Digest> {
        let text = self.scanner.string()?;
        let rule = "a schema is named sha256: and 64 hexadecimal digits";
        let hex = text.strip_prefix("sha256:").filter(|hex| !hex.bytes().any(|byte| byte.is_ascii_uppercase()));
        Digest::from_hex(hex.ok_or_else(|| broken(rule))?).map_err(|_| broken(rule))
    }

    fn cursor(&mut self) -> Result<Cursor> {
        if self.codec.is_wire() {
            // The escapes of another writer do not make another cursor.
            return Cursor::from_json(Json::from_value(&self.scanner.string()?)?);
        }
        Cursor::from_json(self.json()?)
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    unique(slot.replace(value).as_ref())
}

fn unique<T>(before: Option<&T>) -> Result<()> {
    if before.is_none() { Ok(()) } else { Err(broken("a name stands twice in one object")) }
}

fn required<T>(value: Option<T>, name: &'static str) -> Result<T> {
    value.ok_or_else(|| broken("a required member is missing").with_context("member", name))
}
