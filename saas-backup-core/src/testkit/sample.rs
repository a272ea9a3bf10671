//! Records that a careless store or codec damages.

use bytes::Bytes;
use chrono::DateTime;

use crate::{
    Access, BlobId, BlobRef, BlobStatus, Collection, CollectionName, Digest, Json, Key, Kind, PartitionId, Principal,
    Record, RecordId, RecordState, Reference, Result,
};

use super::Random;

/// JSON values that lose something when they are parsed into numbers and maps and written again.
pub const NASTY_JSON: &[&str] = &[
    r#"{"big":18446744073709551616,"negative":-170141183460469231731687303715884105728}"#,
    r#"{"price":1.10,"zero":-0.0,"huge":1e400,"tiny":1E-400,"exact":0.1000000000000000055511151231257827}"#,
    r#"{"z":1,"a":2,"z":3,"":4}"#,
    r#"{"escapes":"\u0000\u001f\ud83d\ude00\/\b\f\n\r\t\"\\","solidus":"/"}"#,
    r#"{"emoji":"👩‍👩‍👧‍👦","rtl":"שלום עולם","combining":"é","null":null,"nested":[[[[[]]]]]}"#,
    r#"{"html":"<a href='x'>&amp;</a>","csv":"=1+1,\"x\"","path":"../../etc/passwd","sql":"'; drop table records; --"}"#,
    r#"{"separators":"\u2028 \u2029 \ufeff","date":"2024-02-30T25:61:61Z","true":"true","put":"put"}"#,
    "[]",
    r#""text""#,
    "0",
    "null",
];

/// Ids that break paths, URLs, separators and case folding.
pub const NASTY_IDS: &[&str] = &[
    "a/b",
    "..",
    ".",
    "CON",
    "con",
    "café",
    "cafe\u{301}",
    "a%2Fb",
    "a b ",
    "\"quoted\"",
    "back\\slash",
    "☃",
    "-rf",
    "0",
    "00",
    "trailing.",
    "\u{202e}gnp.exe",
];

/// So many records of one collection: the nasty ones first, then ordinary ones from the seed.
///
/// Ids are unique, versions are set, and every member of the envelope is used by some record.
///
/// # Errors
///
/// None for collection names that are valid.
pub fn sample_records(collection: &CollectionName, seed: u64, count: usize) -> Result<Vec<Record>> {
    let mut random = Random::new(seed);
    (0..count).map(|index| sample_record(collection, index, &mut random)).collect()
}

fn sample_record(collection: &CollectionName, index: usize, random: &mut Random) -> Result<Record> {
    let id = NASTY_IDS.get(index).map_or_else(|| format!("r{index:05}"), |id| (*id).to_owned());
    let id = if index == NASTY_IDS.len() { "x".repeat(crate::MAX_ID_BYTES) } else { id };
    let text = match NASTY_JSON.get(index) {
        Some(text) => (*text).to_owned(),
        None => format!("{{\"title\":\"record {index}\",\"number\":{}}}", random.bits()),
    };
    let mut record = Record::new(Key::new(collection.clone(), RecordId::parse(id)?), Json::parse(text)?)
        .with_version(format!("v{index}"));
    decorate(&mut record, index)?;
    Ok(record)
}

/// Spreads the members of the envelope over the records, so that a sample of nine uses all of them.
fn decorate(record: &mut Record, index: usize) -> Result<()> {
    let time = |millis: i64| DateTime::from_timestamp_millis(1_700_000_000_000 + millis);
    let person = Reference::new(CollectionName::parse("people & ☃")?, RecordId::parse("p/1")?);
    match index % 9 {
        0 => {
            record.created = time(1);
            record.modified = time(86_400_123);
        }
        1 => {
            record.state = RecordState::Trashed;
            record.purge_at = time(99_000);
        }
        2 => record.state = RecordState::Archived,
        3 => record.by = Some(person),
        4 => {
            let many = vec![person.clone(), person.clone()];
            let mut elsewhere = person.clone();
            elsewhere.account = Some("another account".to_owned());
            *record = record.clone().with_refs("many", many).with_refs("none", Vec::new()).with_ref("one", elsewhere);
        }
        5 => {
            let mut inherited = Access::new(Principal::Record(person.clone()), "reader");
            inherited.inherited_from = Some(person);
            inherited.expires = time(5);
            record.access = vec![Access::new(Principal::Named("anyone-with-link".to_owned()), "writer"), inherited];
        }
        6 => {
            record.extra.insert("x-vendor".to_owned(), Json::parse(r#"{"n":1.10,"n":2}"#)?);
            record.extra.insert("x-null".to_owned(), Json::parse("null")?);
        }
        7 => record.partition = Some(PartitionId::parse("general / ☃")?),
        _ => {
            let mut blocked = BlobRef::new(BlobId::parse("blocked")?, "inline").with_path("/data/0");
            blocked.status = BlobStatus::Blocked;
            record.blobs = vec![BlobRef::external("https://example.org/a?b=c", "attachment"), blocked];
        }
    }
    Ok(())
}

/// A collection that fits the samples.
pub fn sample_collection(name: CollectionName) -> Collection {
    Collection::new(name, Kind::Document).with_title("Samples ☃").with_blobs().with_restore()
}

/// So many bytes from a seed, and the reference that describes them.
///
/// # Errors
///
/// If `id` is not a valid blob id.
pub fn sample_blob(id: &str, seed: u64, size: usize) -> Result<(BlobRef, Bytes)> {
    let mut random = Random::new(seed);
    let bytes: Bytes = (0..size).map(|_| random.bits() as u8).collect();
    let blob = BlobRef::new(BlobId::parse(id)?, "attachment")
        .with_name("../CON .txt ☃")
        .with_media_type("application/octet-stream")
        .with_size(bytes.len() as u64)
        .with_digest(Digest::of(&bytes));
    Ok((blob, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn samples_are_valid_unique_and_use_the_whole_envelope() {
        let records = sample_records(&CollectionName::from_static("things"), 7, 40).unwrap();
        let keys: BTreeSet<_> = records.iter().map(|record| &record.key).collect();
        assert_eq!(keys.len(), 40);
        assert!(records.iter().any(|record| !record.access.is_empty()));
        assert!(records.iter().any(|record| !record.extra.is_empty()));
        assert!(records.iter().any(|record| record.purge_at.is_some()));
        assert_eq!(records, sample_records(&CollectionName::from_static("things"), 7, 40).unwrap());
    }
}
