use std::collections::BTreeSet;
use std::mem;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Digest, Error, ErrorKind, Result, RunId};
use serde::{Deserialize, Serialize};

use super::upkeep::{Closed, Dropped, Upkeep};
use crate::commit::{CommitHeader, Lost, Maintenance, ObjectKind, ObjectRef, Parent, PartKind, PartRef, PointHeader};
use crate::crypto::{Domain, DomainKind, Keyring};
use crate::object::Family;

/// How long a map is gone by: others may put what it names elsewhere, and remove it after a grace of days.
const FRESH: TimeDelta = TimeDelta::days(1);
/// How long it is known when an object was given up.
const REMEMBERED: TimeDelta = TimeDelta::days(90);

/// What is known of a source without opening any of its seals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(crate) head: Option<Head>,
    /// How many layouts there are.
    pub(crate) layouts: usize,
    /// Commits since then.
    pub(crate) since: Vec<Commit>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) parts: Vec<Part>,
    pub(crate) points: Vec<(u64, RunId, PointHeader)>,
    /// The shared domains that may still be written to.
    pub(crate) domains: Vec<Domain>,
    /// Objects that no line of the map names otherwise: attachments, packs and bundles.
    pub(crate) others: Vec<ObjectRef>,
    /// Objects that nothing refers to any more and that readers of a moment ago may still need.
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) upkeep: Upkeep,
    /// What points needed and is lost.
    pub(crate) lost: Vec<Lost>,
    /// When it was read from the storage; what was added since did not move its places.
    pub(crate) read_at: Option<DateTime<Utc>>,
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
    /// Whether it gave up attachments.
    pub(crate) drops: bool,
    /// Whether it erased something.
    pub(crate) erases: bool,
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
    /// From this point on none of its lines matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
    /// The commit that introduced it, where that is not the one of its newest line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<u64>,
    /// Its place among the segments of that commit.
    pub(crate) ordinal: u32,
    pub(crate) object: ObjectRef,
}

impl Segment {
    /// Whether it may hold lines that existed at a point.
    pub(crate) fn reaches(&self, at: u64) -> bool {
        self.oldest.unwrap_or(self.sequence) <= at
    }

    /// Whether some of its lines may matter at a point.
    fn matters(&self, at: u64) -> bool {
        self.until.is_none_or(|until| at < until)
    }

    /// The commit that introduced it.
    pub(crate) fn introduced(&self) -> u64 {
        self.commit.unwrap_or(self.sequence)
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
        let (sequence, point) = (header.sequence, header.point());
        let before = self.head.take();
        let naming = match (header.naming.as_str(), &before) {
            ("", Some(before)) => before.naming.clone(),
            (own, _) => own.to_owned(),
        };
        let head = if let (Some(_), Some(head)) = (&header.maintenance, before) {
            // Whether a run is under way, and how old its position is, stays as it was.
            Head { sequence, sha256, naming, ..head }
        } else {
            Head { sequence, sha256, run: header.run, at: header.at, finished: point.is_some(), naming }
        };
        self.head = Some(head);
        if let Some(maintenance) = &header.maintenance {
            self.maintain(maintenance, sequence, header.at);
        }
        let drops = header.maintenance.as_ref().is_some_and(|maintenance| maintenance.released > 0);
        let erases = header.maintenance.as_ref().is_some_and(|maintenance| maintenance.erases.is_some());
        self.since.push(Commit { sequence, feeds: header.feeds.clone(), drops, erases });
        self.domains.extend(header.domains.iter().cloned());
        if let Some(point) = point {
            self.points.push((sequence, header.run, point));
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
            let covers = object.covers;
            self.segments.push(Segment {
                family,
                sequence: covers.map_or(sequence, |covers| covers.newest),
                oldest: covers.map(|covers| covers.oldest),
                until: covers.and_then(|covers| covers.until),
                commit: covers.map(|_| sequence),
                ordinal: ordinal as u32,
                object: object.clone(),
            });
        }
        // Only who may maintain says what points hold, and what does not count.
        let counts = |part: &&PartRef| {
            header.maintenance.is_some() || !matches!(part.kind, PartKind::Digests | PartKind::Erased | PartKind::Lost)
        };
        if header.parts.iter().filter(counts).any(|part| part.kind == PartKind::Digests) {
            self.parts.retain(|part| part.kind != PartKind::Digests);
        }
        let lists = header.parts.iter().filter(counts).filter(|part| part.kind == PartKind::Erased);
        let closed = lists.filter_map(|part| part.domain.clone()).map(|id| Closed { id, at: None });
        self.upkeep.closed.extend(closed);
        let mut offset = 0;
        for part in &header.parts {
            let (start, end) = (offset as usize, (offset + part.size) as usize);
            if counts(&part) {
                self.parts.push(Part {
                    kind: part.kind,
                    sequence,
                    place: Place { object: name.to_owned(), at: body_at + offset, size: part.size },
                    sha256: part.sha256,
                    domain: part.domain.clone().or_else(|| self.known_domain(header, part.kind)),
                    bytes: (start <= end && end <= body.len()).then(|| body.slice(start..end)),
                });
            }
            offset += part.size;
        }
    }

    /// The domain that a part of the next commit is sealed to where it does not say which.
    fn known_domain(&self, header: &CommitHeader, part: PartKind) -> Option<String> {
        if header.maintenance.is_some() {
            return None;
        }
        let domains = header.domains.iter().rev().chain(self.domains.iter().rev());
        domains.filter(|domain| domain.kind == part.domain()).map(|domain| domain.id.clone()).next()
    }

    /// The header of the next commit without the domains that are known where it is read.
    pub(crate) fn without_known_domains(&self, header: &CommitHeader) -> CommitHeader {
        let mut stated = header.clone();
        for part in &mut stated.parts {
            if part.domain == self.known_domain(header, part.kind) {
                part.domain = None;
            }
        }
        stated
    }

    /// Takes what a maintainer says of earlier commits.
    fn maintain(&mut self, maintenance: &Maintenance, sequence: u64, at: DateTime<Utc>) {
        let Maintenance { merges, forgets, drops, .. } = maintenance;
        let is_merged = |family, sequence| merges.iter().any(|merged| merged.holds(family, sequence));
        let is_in_bundle =
            |object: &ObjectRef, parts: &[Part]| parts.iter().any(|part| part.place.object == object.name);
        let (gone, kept) =
            mem::take(&mut self.segments).into_iter().partition(|segment| is_merged(segment.family, segment.sequence));
        self.segments = kept;
        let segments = &self.segments;
        self.parts.retain(|part| match part.kind {
            PartKind::Delta => !is_merged(Family::Data, part.sequence),
            PartKind::Meta => !is_merged(Family::Meta, part.sequence),
            PartKind::Index => is_introduced(segments, Family::Data, part.sequence),
            PartKind::MetaIndex => is_introduced(segments, Family::Meta, part.sequence),
            PartKind::Digests | PartKind::Erased | PartKind::Lost | PartKind::Other => true,
        });
        let parts = &self.parts;
        let (others, unused): (Vec<_>, Vec<_>) =
            mem::take(&mut self.others).into_iter().partition(|object| match object.kind {
                ObjectKind::Bundle => is_in_bundle(object, parts),
                _ => !drops.contains(&object.name),
            });
        self.others = others;
        let gone = gone.into_iter().map(|segment: Segment| segment.object).chain(unused);
        // What is left of them by then is swept as nobody's.
        self.dropped.retain(|dropped| at - dropped.at <= REMEMBERED);
        self.dropped.extend(gone.map(|ObjectRef { name, size, domain, .. }| Dropped {
            name,
            size,
            domain,
            by: sequence,
            at,
        }));
        let forgets: BTreeSet<u64> = forgets.iter().copied().collect();
        let forgotten = self.points.iter().filter(|(point, ..)| forgets.contains(point));
        let forgotten = forgotten.filter_map(|(_, _, point)| point.bytes_added).fold(0, u64::saturating_add);
        self.points.retain(|(point, ..)| !forgets.contains(point));
        let until = |lost: &Lost| Some(lost.until.unwrap_or(sequence));
        self.lost.extend(maintenance.lost.iter().map(|lost| Lost { until: until(lost), ..lost.clone() }));
        self.upkeep.note(maintenance, forgotten, sequence, at);
        let upkeep = &self.upkeep;
        self.parts.retain(|part| match part.kind {
            PartKind::Erased => !upkeep.is_rewritten(part.sequence),
            PartKind::Lost => !part.domain.as_ref().is_some_and(|domain| upkeep.is_closed(domain)),
            _ => true,
        });
        if maintenance.erases.is_some() {
            // What is sealed to them is written anew, and then their keys go.
            let domains = mem::take(&mut self.domains).into_iter().map(|domain| domain.id);
            self.upkeep.closed.extend(domains.map(|id| Closed { id, at: None }));
        }
    }

    /// The names of the objects that it needs, those of keys among them; commits and layouts left aside.
    pub(crate) fn named(&self, keyring: &Keyring) -> BTreeSet<String> {
        let objects = || self.segments.iter().map(|segment| &segment.object).chain(&self.others);
        let domains = objects()
            .filter_map(|object| object.domain.as_ref())
            .chain(self.parts.iter().filter_map(|part| part.domain.as_ref()))
            .chain(self.domains.iter().map(|domain| &domain.id));
        let mut named: BTreeSet<String> = domains.map(|id| keyring.object(id)).collect();
        named.extend(objects().map(|object| object.name.clone()));
        named.insert(keyring.naming_object());
        named
    }

    /// What must not be removed: what it names, and the commits and bundles that its parts lie in.
    pub(crate) fn needed(&self, keyring: &Keyring) -> BTreeSet<String> {
        let mut needed = self.named(keyring);
        needed.extend(self.parts.iter().map(|part| part.place.object.clone()));
        needed
    }

    /// Whether another map leads to the same lines and points.
    pub(crate) fn says_what(&self, other: &Self) -> bool {
        let parts = |map: &Self| -> Vec<(PartKind, u64, Digest)> {
            map.parts.iter().map(|part| (part.kind, part.sequence, part.sha256)).collect()
        };
        let head = |map: &Self| map.head.as_ref().map(|head| (head.sequence, head.sha256));
        (head(self), &self.segments, &self.points, &self.upkeep, &self.lost)
            == (head(other), &other.segments, &other.points, &other.upkeep, &other.lost)
            && parts(self) == parts(other)
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

    /// Whether all that it names is there, as far as others removed only what they gave up long before.
    pub(crate) fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.read_at.is_some_and(|read_at| now - read_at <= FRESH)
    }

    /// The number that the next commit takes.
    pub(crate) fn next(&self) -> u64 {
        self.head.as_ref().map_or(1, |head| head.sequence + 1)
    }

    /// The shared domain of a month.
    pub(crate) fn domain(&self, kind: DomainKind, month: &str) -> Option<&Domain> {
        self.domains.iter().rev().find(|domain| domain.kind == kind && domain.month == month)
    }

    /// The segments of a family that say what is true at a point; with `past`, those too that say what was before it.
    pub(crate) fn segments_at(&self, family: Family, at: u64, past: bool) -> impl Iterator<Item = &Segment> {
        let tells = move |segment: &&Segment| segment.reaches(at) && (past || segment.matters(at));
        self.segments.iter().filter(move |segment| segment.family == family).filter(tells)
    }

    /// The parts of a kind that existed at a point.
    pub(crate) fn parts_at(&self, kind: PartKind, at: u64) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.kind == kind && part.sequence <= at)
    }
}

fn is_introduced(segments: &[Segment], family: Family, commit: u64) -> bool {
    segments.iter().any(|segment| segment.family == family && segment.introduced() == commit)
}
