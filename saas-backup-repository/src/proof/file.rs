use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::{Mark, Proof};
use crate::crypto::SigningPurpose;
use crate::object::{MAX_SMALL_BYTES, compress, decompress};
use crate::signed::Signed;
use crate::source::{Shared, WritingKeys};

/// The part of the clear header that is a proof's own.
#[derive(Serialize, Deserialize)]
struct ProofHeader {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<DateTime<Utc>>,
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
    Error::new(ErrorKind::Integrity, "a record of what was read is damaged")
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
    let part = compress(&text)?.into();
    let at = proof.at.unwrap_or_else(|| shared.clock.now());
    let signed = Signed { at, own: ProofHeader { due: proof.due }, part };
    signed.encode(shared, SigningPurpose::Proof, (&keys.id, keys.signer.as_ref()), id)
}

/// Reads a proof, if somebody signed it who may maintain.
///
/// # Errors
///
/// [`ErrorKind::Integrity`] or [`ErrorKind::PermissionDenied`] if not; [`ErrorKind::UnsupportedVersion`] if it is newer
/// than this version.
pub(super) async fn read(shared: &Shared, id: &str, object: &Bytes) -> Result<Proof> {
    let signed = Signed::<ProofHeader>::read(shared, SigningPurpose::Proof, id, object).await?;
    let mut proof = Proof { at: Some(signed.at), due: signed.own.due, ..Proof::default() };
    let text = decompress(&signed.part, MAX_SMALL_BYTES)?;
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
