use bytes::Bytes;
use chrono::{DateTime, Utc};
use saas_backup_core::{Digest, Error, ErrorKind, Result, RunId};
use serde::{Deserialize, Serialize};

use crate::commit::{CommitHeader, ObjectKind, ObjectRef, Parent, PartKind, PointHeader};
use crate::crypto::{Domain, DomainKind};
use crate::object::Family;

/// What is known of a source without opening any of its seals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(crate) head: Option<Head>,
    /// The layout that it began from.
    pub(crate) layout: Option<u64>,
    /// Commits since then.
    pub(crate) since: Vec<Commit>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) parts: Vec<Part>,
    pub(crate) points: Vec<(u64, RunId, PointHeader)>,
    /// The shared domains that may still be written to.
    pub(crate) domains: Vec<Domain>,
    /// Objects that no line of the map names otherwise: attachments, packs and bundles.
    pub(crate) others: Vec<ObjectRef>,
    /// The first commit that is missing or was changed; nothing from it on is in the map.
    pub(crate) broken: Option<Broken>,
}

/// Where the chain of commits breaks off.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) sequence: u64,
    pub(crate) message: String,
}

/// The last commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) sha256: Digest,
    pub(crate) run: RunId,
    pub(crate) at: DateTime<Utc>,
    /// Whether it ended its run.
    pub(crate) finished: bool,
    /// The mark of the naming key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) naming: String,
}

impl Map {
    /// The mark of the naming key, once there is a commit.
    pub(crate) fn naming(&self) -> Option<&str> {
        self.head.as_ref().map(|head| head.naming.as_str())
    }
}

impl Head {
    pub(crate) fn as_parent(&self) -> Parent {
        Parent { sequence: self.sequence, sha256: self.sha256 }
    }
}

/// A commit since the last layout.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) sequence: u64,
    pub(crate) feeds: Vec<String>,
}

/// An immutable file of sorted lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) family: Family,
    /// The newest of its lines; those that carry no number of their own are all of this commit.
    pub(crate) sequence: u64,
    /// The oldest of its lines, where they carry numbers of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oldest: Option<u64>,
    /// Its place among the segments of that commit.
    pub(crate) ordinal: u32,
    pub(crate) object: ObjectRef,
}

impl Segment {
    /// Whether it may hold lines that existed at a point.
    pub(crate) fn reaches(&self, at: u64) -> bool {
        self.oldest.unwrap_or(self.sequence) <= at
    }
}

/// Lines, or indexes of segments, that lie in a commit or in a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) kind: PartKind,
    /// The commit that it belongs to.
    pub(crate) sequence: u64,
    /// Where its bytes lie.
    pub(crate) place: Place,
    pub(crate) sha256: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    /// Its bytes, where they came along with the commit.
    #[serde(skip)]
    pub(crate) bytes: Option<Bytes>,
}

/// A range of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) object: String,
    pub(crate) at: u64,
    pub(crate) size: u64,
}

impl Map {
    /// Adds the next commit.
    pub(crate) fn push(&mut self, name: &str, header: &CommitHeader, sha256: Digest, body_at: u64, body: &Bytes) {
        let sequence = header.sequence;
        self.head = Some(Head {
            sequence,
            sha256,
            run: header.run,
            at: header.at,
            finished: header.point.is_some(),
            naming: header.naming.clone(),
        });
        self.since.push(Commit { sequence, feeds: header.feeds.clone() });
        self.domains.extend(header.domains.iter().cloned());
        if let Some(point) = &header.point {
            self.points.push((sequence, header.run, point.clone()));
        }
        for (ordinal, object) in header.objects.iter().enumerate() {
            let family = match object.kind {
                ObjectKind::Segment => Family::Data,
                ObjectKind::MetaSegment => Family::Meta,
                _ => {
                    self.others.push(object.clone());
                    continue;
                }
            };
            let ordinal = ordinal as u32;
            self.segments.push(Segment { family, sequence, oldest: None, ordinal, object: object.clone() });
        }
        let mut offset = 0;
        for part in &header.parts {
            let (start, end) = (offset as usize, (offset + part.size) as usize);
            self.parts.push(Part {
                kind: part.kind,
                sequence,
                place: Place { object: name.to_owned(), at: body_at + offset, size: part.size },
                sha256: part.sha256,
                domain: part.domain.clone(),
                bytes: (start <= end && end <= body.len()).then(|| body.slice(start..end)),
            });
            offset += part.size;
        }
    }

    /// Refuses to go on where the chain is broken.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] with the reason.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(broken) = &self.broken else { return Ok(()) };
        Err(Error::new(ErrorKind::Integrity, "the timeline breaks off; points before it can be read")
            .with_context("commit", broken.sequence)
            .with_context("reason", &broken.message))
    }

    /// The number that the next commit takes.
    pub(crate) fn next(&self) -> u64 {
        self.head.as_ref().map_or(1, |head| head.sequence + 1)
    }

    /// The shared domain of a month.
    pub(crate) fn domain(&self, kind: DomainKind, month: &str) -> Option<&Domain> {
        self.domains.iter().rev().find(|domain| domain.kind == kind && domain.month == month)
    }

    /// The segments of a family that existed at a point.
    pub(crate) fn segments_at(&self, family: Family, at: u64) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.family == family && segment.reaches(at))
    }

    /// The parts of a kind that existed at a point.
    pub(crate) fn parts_at(&self, kind: PartKind, at: u64) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.kind == kind && part.sequence <= at)
    }
}
