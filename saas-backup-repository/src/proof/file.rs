use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{Digest, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::{Mark, Proof};
use crate::commit::{check_version, decode, encode as seal};
use crate::crypto::SigningPurpose;
use crate::object::{MAX_SMALL_BYTES, compress, decompress};
use crate::source::{Shared, WritingKeys};

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    requires: Vec<String>,
    repository: String,
    source: String,
    /// Its own name: another's copy under a newer name counts for nothing.
    proof: String,
    at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    writer: String,
    /// SHA-256 of the part.
    sha256: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Entry {
    /// What was last read at one time: marks, one after the other, in base64.
    Read {
        at: DateTime<Utc>,
        marks: String,
    },
    Point {
        sequence: u64,
        at: DateTime<Utc>,
    },
    #[serde(other)]
    Unknown,
}

fn damaged() -> Error {
    Error::new(ErrorKind::Integrity, "a record of what was read is damaged, or nobody signed it who may")
}

pub(super) fn encode(shared: &Shared, keys: &WritingKeys, id: &str, proof: &Proof) -> Result<Bytes> {
    let mut times: BTreeMap<DateTime<Utc>, Vec<Mark>> = BTreeMap::new();
    for (mark, at) in &proof.read {
        times.entry(*at).or_default().push(*mark);
    }
    let read = times.into_iter().map(|(at, mut marks)| {
        marks.sort_unstable();
        let bytes: Vec<u8> = marks.iter().flat_map(|mark| mark.0).collect();
        Entry::Read { at, marks: STANDARD.encode(bytes) }
    });
    let points = proof.points.iter().map(|(sequence, at)| Entry::Point { sequence: *sequence, at: *at });
    let mut text = Vec::new();
    for entry in read.chain(points) {
        serde_json::to_writer(&mut text, &entry)?;
        text.push(b'\n');
    }
    let part = compress(&text)?;
    let header = Header {
        format: 1,
        requires: Vec::new(),
        repository: shared.repository.clone(),
        source: shared.name.clone(),
        proof: id.to_owned(),
        at: proof.at.unwrap_or_else(|| shared.clock.now()),
        due: proof.due,
        writer: keys.id.clone(),
        sha256: Digest::of(&part),
    };
    Ok(seal(&header, SigningPurpose::Proof, keys.signer.as_ref(), &[&part])?.0)
}

/// Reads a proof, if somebody signed it who may maintain.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] or [`ErrorKind::PermissionDenied`] if not; [`ErrorKind::UnsupportedVersion`] if it is newer
/// than this version.
pub(super) async fn read(shared: &Shared, name: &str, object: &Bytes) -> Result<Proof> {
    let envelope = decode(object)?;
    check_version(&envelope.header)?;
    let header: Header = serde_json::from_slice(&envelope.header).map_err(|_| damaged())?;
    let trust = &shared.loader.trust;
    let maintains = trust.verify(&*shared.store, SigningPurpose::Proof, &header.writer, &envelope).await?;
    let own = (header.repository == shared.repository, header.source == shared.name);
    if !maintains || own != (true, true) || shared.names.proof(&header.proof) != name {
        return Err(damaged());
    }
    if Digest::of(&envelope.body) != header.sha256 {
        return Err(damaged());
    }
    let mut proof = Proof { at: Some(header.at), due: header.due, ..Proof::default() };
    let text = decompress(&envelope.body, MAX_SMALL_BYTES)?;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line).map_err(|_| damaged())? {
            Entry::Read { at, marks } => {
                let bytes = STANDARD.decode(marks).map_err(|_| damaged())?;
                let marks = bytes.chunks_exact(16).filter_map(|mark| mark.try_into().ok());
                proof.read.extend(marks.map(|mark| (Mark(mark), at)));
            }
            Entry::Point { sequence, at } => drop(proof.points.insert(sequence, at)),
            Entry::Unknown => {}
        }
    }
    Ok(proof)
}
