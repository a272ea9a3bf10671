use std::fs::{self, File};
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, Datelike as _, Utc};
use saas_backup_core::{Collection, Digest, Record, Result};

use super::build::Builder;
use super::headers::Headers;
use crate::beside::{Properties, Titles, is_of};
use crate::dataset::Dataset;
use crate::form::Desk;
use crate::form::value::text_at;

/// What a blob must be to be a message in its original form.
const MEDIA_TYPES: [&str; 2] = ["message/rfc822", "message/global"];

/// Longest name of a header that is looked for.
const MAX_NAME: u64 = 200;

/// As Gmail gives messages, with padding or without.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a message in a file.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) path: PathBuf,
    /// The place of its blob in the record, and the digest, if it is one.
    pub(super) blob: Option<(usize, Digest)>,
    /// Whether the bytes are those that the provider gave.
    pub(super) original: bool,
}

impl Message {
    /// The message of a record: as it was given, or built in a file at `scratch`.
    pub(super) fn of(
        dataset: &Dataset,
        collection: &Collection,
        record: &Record,
        scratch: &Path,
        titles: &mut Titles,
        desk: &mut Desk,
    ) -> Result<Self> {
        for (place, blob) in record.blobs.iter().enumerate().filter(|(_, blob)| is_of(blob, &MEDIA_TYPES)) {
            let Some((path, digest)) = dataset.blob(blob) else { continue };
            if is_message(&path)? {
                return Ok(Self { path, blob: Some((place, digest)), original: true });
            }
            desk.losses.part(&record.key, "/blobs", "the original is no message: it is built from the record")?;
        }
        let mut file = File::create(scratch)?;
        let raw = Properties::new(collection, record).text("raw").and_then(|raw| original_of(&raw));
        let original = raw.is_some();
        match raw {
            Some(raw) => file.write_all(&raw)?,
            None => Builder::new(dataset, collection, record, desk).write(titles, &mut file)?,
        }
        Ok(Self { path: scratch.to_path_buf(), blob: None, original })
    }

    /// The headers.
    pub(super) fn headers(&self) -> Result<Headers> {
        Ok(Headers::read(&mut BufReader::new(File::open(&self.path)?))?)
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> Result<u64> {
        Ok(fs::metadata(&self.path)?.len())
    }
}

/// Whether a file is what its provider says: a message begins with a header.
fn is_message(path: &Path) -> Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(MAX_NAME).read_to_end(&mut beginning)?;
    Ok(begins_with_header(&beginning))
}

fn begins_with_header(text: &[u8]) -> bool {
    let name = text.split(|byte| *byte == b':').next().filter(|name| name.len() < text.len());
    // In some mailboxes a message keeps the line that it had in an mbox.
    let is_name = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    text.starts_with(b"From ") || name.is_some_and(is_name)
}

/// A message as text, or in base64.
fn original_of(raw: &str) -> Option<Vec<u8>> {
    if begins_with_header(raw.as_bytes()) {
        return Some(raw.as_bytes().to_vec());
    }
    let text: String = raw.split_whitespace().collect();
    URL_SAFE.decode(text.replace('+', "-").replace('/', "_")).ok().filter(|bytes| bytes.contains(&b':'))
}

/// When a message was sent, as far as its record says.
pub(super) fn sent(collection: &Collection, record: &Record) -> Option<DateTime<Utc>> {
    let properties = Properties::new(collection, record);
    let mapped = || text_at(&record.data, collection.fields.time.as_deref()?);
    let text = properties.text("date").or_else(mapped);
    let envelope = || record.created.or(record.modified).filter(has_year);
    text.and_then(|text| parse_date(&text)).or_else(envelope)
}

/// Whether its year has the four digits that mail gives it.
fn has_year(time: &DateTime<Utc>) -> bool {
    (1..=9999).contains(&time.year())
}

/// A time as mail has it, as the web has it, or in seconds or milliseconds.
pub(super) fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc2822(text).or_else(|_| DateTime::parse_from_rfc3339(text)) {
        return Some(time.to_utc()).filter(has_year);
    }
    let number: i64 = text.parse().ok()?;
    let seconds = if number.abs() > 100_000_000_000 { number / 1000 } else { number };
    DateTime::from_timestamp(seconds, 0).filter(has_year)
}
