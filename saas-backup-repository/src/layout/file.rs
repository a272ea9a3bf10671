//! Layouts: the map as one object, so that opening a source does not read its whole timeline.
//!
//! A layout is an envelope whose one part is lines of JSON, compressed and not sealed: names, sizes and digests.

use std::mem;

use bytes::Bytes;
use saas_backup_core::{Digest, Error, ErrorKind, Result, RunId};
use serde::{Deserialize, Serialize};

use super::fetch::fetched;
use super::map::{Head, Map, Part, Place, Segment};
use super::upkeep::{Dropped, Upkeep};
use crate::commit::{Envelope, Lost, ObjectKind, ObjectRef, PartKind, PointHeader, check_version, encode};
use crate::crypto::{Domain, Signer, SigningPurpose};
use crate::object::{Names, compress, decompress};
use crate::store::{Owner, Store, create};

/// Parts that are together no larger than this are copied into one bundle by every layout.
const TOGETHER_BYTES: u64 = 256 * 1024;

/// Largest map that is read, in bytes of lines.
const MAX_MAP_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct LayoutHeader {
    format: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requires: Vec<String>,
    repository: String,
    source: String,
    /// The commit that it covers up to.
    sequence: u64,
    head: Head,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    writer: String,
    /// SHA-256 of the part.
    sha256: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Entry {
    Segment(Segment),
    Part(Part),
    Point {
        sequence: u64,
        run: RunId,
        point: PointHeader,
    },
    Domain(Domain),
    Object {
        object: ObjectRef,
    },
    Dropped(Dropped),
    Upkeep(Upkeep),
    Lost(Lost),
    #[serde(other)]
    Unknown,
}

/// Who the layout speaks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author<'a> {
    pub(crate) repository: &'a str,
    pub(crate) source: &'a str,
    pub(crate) writer: &'a str,
    pub(crate) signer: Option<&'a Signer>,
}

/// Writes a layout of everything up to the head, and the bundle that it needs; gives the map that reads through it.
///
/// The bundle holds the parts of the commits since the last layout, byte for byte: whoever writes it need not be able
/// to open them. Safe to repeat, and to leave undone: readers go on from the layout before.
pub(crate) async fn write(store: &dyn Store, names: &Names, author: Author<'_>, map: &Map) -> Result<Map> {
    let Some(head) = map.head.clone() else { return Ok(map.clone()) };
    if !map.is_fresh(names.now()) {
        // Some of what it names may be gone: whoever reads anew writes the next one.
        return Ok(map.clone());
    }
    let mut bundled = map.clone();
    let bundle = names.bundle();
    let mut bytes = Vec::new();
    // Few and small parts lie in one object, whoever wrote them: a reader fetches them by one request.
    let often = |part: &&Part| !is_read_seldom(part.kind);
    let together = map.parts.iter().filter(often).map(|part| part.place.size).sum::<u64>() <= TOGETHER_BYTES;
    let in_commits = format!("{}/", names.commits());
    let is_copied = |part: &Part| (together && often(&part)) || part.place.object.starts_with(&in_commits);
    let parts = mem::take(&mut bundled.parts).into_iter().enumerate();
    let (moved, kept): (Vec<_>, Vec<_>) = parts.partition(|(_, part)| is_copied(part));
    let (places, moved): (Vec<usize>, Vec<Part>) = moved.into_iter().unzip();
    let mut moved = fetched(store, moved).await?;
    for part in &mut moved {
        let content = if let Some(bytes) = part.bytes.take() {
            bytes
        } else {
            let end = part.place.at + part.place.size;
            store.get(&part.place.object, Some(part.place.at..end)).await?
        };
        if Digest::of(&content) != part.sha256 {
            return Err(Error::new(ErrorKind::Integrity, "a part of a commit was changed")
                .with_context("object", &part.place.object));
        }
        part.place = Place { object: bundle.clone(), at: bytes.len() as u64, size: content.len() as u64 };
        bytes.extend_from_slice(&content);
    }
    // In the order in which the commits have them.
    let mut parts: Vec<(usize, Part)> = kept.into_iter().chain(places.into_iter().zip(moved)).collect();
    parts.sort_unstable_by_key(|(place, _)| *place);
    bundled.parts = parts.into_iter().map(|(_, part)| part).collect();
    if !bytes.is_empty() {
        let (size, sha256) = (bytes.len() as u64, Digest::of(&bytes));
        bundled.others.push(ObjectRef::new(bundle.clone(), ObjectKind::Bundle, size, sha256, None));
        store.put(&bundle, Bytes::from(bytes)).await?;
    }
    bundled.layouts += 1;
    bundled.since.clear();
    let part = compress(&lines(&bundled)?)?;
    let header = LayoutHeader {
        format: 1,
        requires: Vec::new(),
        repository: author.repository.to_owned(),
        source: author.source.to_owned(),
        sequence: head.sequence,
        head,
        writer: author.writer.to_owned(),
        sha256: Digest::of(&part),
    };
    let (object, _) = encode(&header, SigningPurpose::Layout, author.signer, &[&part])?;
    // Two writers may both write it: each is right, so whichever came first stays. Then nothing names our bundle.
    match create(store, &names.layout(header.sequence), &object, |found| *found == object).await? {
        Owner::Us => Ok(bundled),
        Owner::Them(_) => Ok(Map { layouts: bundled.layouts, since: Vec::new(), ..map.clone() }),
    }
}

/// Whether no reader of records needs a part, however large it is.
fn is_read_seldom(kind: PartKind) -> bool {
    matches!(kind, PartKind::Digests | PartKind::Lost | PartKind::Other)
}

fn lines(map: &Map) -> Result<Vec<u8>> {
    let segments = map.segments.iter().cloned().map(Entry::Segment);
    let parts = map.parts.iter().cloned().map(Entry::Part);
    let points = map.points.iter().map(|(sequence, run, point)| Entry::Point {
        sequence: *sequence,
        run: *run,
        point: point.clone(),
    });
    let domains = map.domains.iter().cloned().map(Entry::Domain);
    let others = map.others.iter().cloned().map(|object| Entry::Object { object });
    let dropped = map.dropped.iter().cloned().map(Entry::Dropped);
    let upkeep = (map.upkeep != Upkeep::default()).then(|| Entry::Upkeep(map.upkeep.clone()));
    let lost = map.lost.iter().cloned().map(Entry::Lost);
    let others = others.chain(dropped).chain(upkeep).chain(lost);
    let mut text = Vec::new();
    for entry in segments.chain(parts).chain(points).chain(domains).chain(others) {
        serde_json::to_writer(&mut text, &entry)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// Who signed a layout.
pub(super) fn writer_of(envelope: &Envelope) -> Result<String> {
    check_version(&envelope.header)?;
    Ok(header(envelope)?.writer)
}

fn header(envelope: &Envelope) -> Result<LayoutHeader> {
    serde_json::from_slice(&envelope.header).map_err(|_| damaged())
}

fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "the layout is damaged")
}

/// Reads the map out of a layout whose signature was checked.
pub(super) fn read(envelope: &Envelope, repository: &str, source: &str, sequence: u64) -> Result<Map> {
    let header = header(envelope)?;
    if (header.repository.as_str(), header.source.as_str(), header.sequence) != (repository, source, sequence) {
        return Err(Error::new(ErrorKind::Integrity, "the layout belongs somewhere else"));
    }
    if Digest::of(&envelope.body) != header.sha256 {
        return Err(damaged());
    }
    let text = decompress(&envelope.body, MAX_MAP_BYTES)?;
    let mut map = Map { head: Some(header.head), ..Map::default() };
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line).map_err(|_| damaged())? {
            Entry::Segment(segment) => map.segments.push(segment),
            Entry::Part(part) => map.parts.push(part),
            Entry::Point { sequence, run, point } => map.points.push((sequence, run, point)),
            Entry::Domain(domain) => map.domains.push(domain),
            Entry::Object { object } => map.others.push(object),
            Entry::Dropped(dropped) => map.dropped.push(dropped),
            Entry::Upkeep(upkeep) => map.upkeep = upkeep,
            Entry::Lost(lost) => map.lost.push(lost),
            Entry::Unknown => {}
        }
    }
    Ok(map)
}
