use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Counts, Digest, Error, ErrorKind, Result, RunId, RunStatus};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::crypto::{Domain, DomainKind};
use crate::object::Family;

/// The version of the format that this crate writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// The clear header of a commit: names, sizes, digests and counts, and nothing of what the records say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitHeader {
    pub(crate) format: u32,
    /// What a reader must know beyond the format; an entry that it does not know means "unsupported".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requires: Vec<String>,
    /// The repository; empty where somebody signs, for the signature tells it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) repository: String,
    /// The source; empty as above.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) source: String,
    /// The number of the commit; begins at 1.
    pub(crate) sequence: u64,
    /// Tells this attempt to create the commit from every other; empty where a part is sealed, whose digest does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) nonce: String,
    /// The commit before it.
    pub(crate) parent: Option<Parent>,
    /// The run that it is a step of.
    pub(crate) run: RunId,
    /// When it was made, by the writer's clock; where it ends a run, when that finished, if they are less than a second
    /// apart.
    pub(crate) at: DateTime<Utc>,
    /// Who signs: the name of the writer's object; empty where nobody signs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) writer: String,
    /// The mark of the source's naming key: another key in its place is told by it. Absent where it is that of the
    /// commit before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) naming: String,
    /// There in the last commit of a run: it is a point in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) point: Option<StatedPoint>,
    /// Keyed digests of the feeds whose position it moves: two writers that share none do not disturb each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) feeds: Vec<String>,
    /// There if it says something of what earlier commits hold, and nothing new of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) maintenance: Option<Maintenance>,
    /// Domains that begin with it and are shared by what follows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) domains: Vec<Domain>,
    /// The objects that it introduces, in order: of two segments the later one holds the newer lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) objects: Vec<ObjectRef>,
    /// The parts behind the signature, in order and without gaps.
    pub(crate) parts: Vec<PartRef>,
}

impl CommitHeader {
    /// Whether the bytes behind the signature are the parts that were written.
    pub(crate) fn describes(&self, body: &[u8]) -> bool {
        let mut rest = body;
        let fits = self.parts.iter().all(|part| {
            let Some((own, behind)) = usize::try_from(part.size).ok().and_then(|size| rest.split_at_checked(size))
            else {
                return false;
            };
            rest = behind;
            Digest::of(own) == part.sha256
        });
        fits && rest.is_empty()
    }
}

/// The commit before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parent {
    /// Its number; smaller by more than one where the number between was spoilt by a cut write.
    pub(crate) sequence: u64,
    /// SHA-256 of its header's line.
    pub(crate) sha256: Digest,
}

impl CommitHeader {
    /// The point in time that it ends a run with.
    pub(crate) fn point(&self) -> Option<PointHeader> {
        let StatedPoint { started, finished, status, counts, bytes_added, labels } = self.point.clone()?;
        let finished = finished.unwrap_or(self.at);
        Some(PointHeader {
            started: started.unwrap_or(finished),
            finished,
            status: status.unwrap_or(RunStatus::Complete),
            counts,
            bytes_added: bytes_added.or_else(|| self.size()),
            labels,
        })
    }

    /// Ends a run, once it has its parts.
    pub(crate) fn set_point(&mut self, point: PointHeader) {
        let PointHeader { started, finished, status, counts, bytes_added, labels } = point;
        if (self.at - finished).abs() < TimeDelta::seconds(1) {
            self.at = finished;
        }
        self.point = Some(StatedPoint {
            started: Some(started).filter(|started| *started != finished),
            finished: Some(finished).filter(|finished| *finished != self.at),
            status: Some(status).filter(|status| *status != RunStatus::Complete),
            counts,
            bytes_added: bytes_added.filter(|bytes| Some(*bytes) != self.size()),
            labels,
        });
    }

    /// Bytes of all parts.
    pub(crate) fn size(&self) -> Option<u64> {
        self.parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.size))
    }
}

/// A point in a commit: what the commit says anyway is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatedPoint {
    /// Absent where it is `finished`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<DateTime<Utc>>,
    /// Absent where it is `at` of the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished: Option<DateTime<Utc>>,
    /// Absent where it is `complete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<RunStatus>,
    /// What is 0 is left out.
    #[serde(default, serialize_with = "without_zeros")]
    counts: Counts,
    /// Absent where it is what the parts take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_added: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
}

/// What a point in time says of itself without a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PointHeader {
    pub(crate) started: DateTime<Utc>,
    pub(crate) finished: DateTime<Utc>,
    pub(crate) status: RunStatus,
    /// What is 0 is left out.
    #[serde(default, serialize_with = "without_zeros")]
    pub(crate) counts: Counts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_added: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
}

/// What a commit of a maintainer changes about earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Maintenance {
    /// Ranges of commits whose lines are held by this commit's segments from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) merges: Vec<Merged>,
    /// Points that are no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) forgets: Vec<u64>,
    /// Changes since earlier commits than this one cannot be told any more: deletions up to it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) horizon: Option<u64>,
    /// Objects of attachments that no point refers to any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) drops: Vec<String>,
    /// How many attachments no point refers to any more; some may lie in objects that stay.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) released: u64,
    /// Objects whose names hold an earlier ULID than this one and that no commit names up to here are nobody's: no later
    /// commit may name them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) swept: Option<String>,
    /// There if lines up to this commit do not count any more, of the keys that its part `erased` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) erases: Option<Erases>,
    /// Objects that are lost and could not be had again: what they held is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lost: Vec<Lost>,
}

/// What is erased, without saying whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Erases {
    /// The id of the request.
    pub(crate) request: String,
    /// Why it was made.
    pub(crate) basis: String,
    pub(crate) records: u64,
    /// Their lines: versions and deletions.
    pub(crate) lines: u64,
    pub(crate) attachments: u64,
}

/// An object, or a commit whose lines are lost, and the points that needed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// Its name.
    pub(crate) object: String,
    /// The first commit whose lines it held, or that needed it.
    pub(crate) from: u64,
    /// The first point that does not need it; where it is absent, that is the commit which says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
}

impl Lost {
    /// Whether a point needed it.
    pub(crate) fn is_needed_at(&self, point: u64) -> bool {
        self.from <= point && self.until.is_none_or(|until| point < until)
    }
}

/// A range of commits whose lines of one family lie elsewhere now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Merged {
    pub(crate) family: Family,
    /// The commits after this one,
    pub(crate) after: u64,
    /// up to and with this one.
    pub(crate) through: u64,
}

impl Merged {
    pub(crate) fn holds(&self, family: Family, sequence: u64) -> bool {
        self.family == family && self.after < sequence && sequence <= self.through
    }
}

/// Which lines a segment holds that was merged of others; each carries its own sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Covers {
    /// The sequence number of its oldest line.
    pub(crate) oldest: u64,
    /// That of its newest.
    pub(crate) newest: u64,
    /// From this point on none of its lines matters; `None` if they always do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
}

/// An object beside the commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectRef {
    /// Its name.
    pub(crate) name: String,
    pub(crate) kind: ObjectKind,
    /// Its length in bytes as it is stored.
    pub(crate) size: u64,
    /// SHA-256 of its bytes as they are stored.
    pub(crate) sha256: Digest,
    /// The domain that it is encrypted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    /// There if it is a segment that was merged of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) covers: Option<Covers>,
}

impl ObjectRef {
    pub(crate) fn new(name: String, kind: ObjectKind, size: u64, sha256: Digest, domain: Option<String>) -> Self {
        Self { name, kind, size, sha256, domain, covers: None }
    }
}

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ObjectKind {
    /// Lines of records.
    Segment,
    /// Lines of reserved collections.
    MetaSegment,
    /// An attachment or a part of one.
    Blob,
    /// Many small attachments.
    Pack,
    /// Parts of earlier commits, copied so that they are read at once.
    Bundle,
    /// Something that a later version knows.
    #[serde(other)]
    Other,
}

/// A part of the commit object itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PartEntry", into = "PartEntry")]
pub(crate) struct PartRef {
    pub(crate) kind: PartKind,
    pub(crate) size: u64,
    /// SHA-256 of its bytes as they are stored.
    pub(crate) sha256: Digest,
    /// The domain that it is sealed to; absent, too, where it is the last one of its kind that the timeline introduced.
    pub(crate) domain: Option<String>,
}

/// A part as the header lists it: its members in order, without names.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PartEntry {
    Short(PartKind, u64, Digest),
    Long(PartKind, u64, Digest, String),
}

impl From<PartEntry> for PartRef {
    fn from(entry: PartEntry) -> Self {
        match entry {
            PartEntry::Short(kind, size, sha256) => Self { kind, size, sha256, domain: None },
            PartEntry::Long(kind, size, sha256, domain) => Self { kind, size, sha256, domain: Some(domain) },
        }
    }
}

impl From<PartRef> for PartEntry {
    fn from(part: PartRef) -> Self {
        let PartRef { kind, size, sha256, domain } = part;
        match domain {
            None => Self::Short(kind, size, sha256),
            Some(domain) => Self::Long(kind, size, sha256, domain),
        }
    }
}

/// What a part holds; each is compressed and then sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PartKind {
    /// Sorted lines of reserved collections.
    Meta,
    /// Sorted lines of records.
    Delta,
    /// The indexes of the commit's segments, one a line.
    Index,
    /// The indexes of its meta segments, one a line.
    MetaIndex,
    /// What the points hold, as digests.
    Digests,
    /// Deletions of the keys whose lines do not count any more.
    Erased,
    /// What points lost, by collection.
    Lost,
    /// Something that a later version knows.
    #[serde(other)]
    Other,
}

impl PartKind {
    /// The kind of domain that it is sealed to.
    pub(crate) fn domain(self) -> DomainKind {
        match self {
            Self::Meta | Self::MetaIndex | Self::Erased | Self::Lost => DomainKind::Meta,
            Self::Delta | Self::Index | Self::Digests | Self::Other => DomainKind::Data,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn without_zeros<S: Serializer>(counts: &Counts, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let mut members = serde_json::to_value(counts).map_err(S::Error::custom)?;
    drop_zeros(&mut members);
    members.serialize(serializer)
}

/// Leaves out numbers that are 0.
pub(crate) fn drop_zeros(members: &mut Value) {
    if let Value::Object(members) = members {
        members.retain(|_, member| member.as_u64() != Some(0));
    }
}

/// Reads a header after looking at its version.
///
/// # Errors
///
/// [`ErrorKind::UnsupportedVersion`] for a newer format or an unknown requirement, whatever else is in it;
/// [`ErrorKind::Integrity`] if it is none at all.
pub(crate) fn check_version(header: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
        #[serde(default)]
        requires: Vec<String>,
    }
    let version: Version = serde_json::from_slice(header)
        .map_err(|_| Error::new(ErrorKind::Integrity, "the object is cut or is no part of a repository"))?;
    if version.format != FORMAT {
        return Err(Error::new(
            ErrorKind::UnsupportedVersion,
            "the repository has a format that this version does not know",
        )
        .with_context("format", version.format)
        .with_context("known", FORMAT));
    }
    if let Some(unknown) = version.requires.first() {
        return Err(Error::new(
            ErrorKind::UnsupportedVersion,
            "the repository requires what this version does not know",
        )
        .with_context("requires", unknown));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_is_unsupported_and_never_corrupt() {
        assert!(check_version(br#"{"format":1,"requires":[]}"#).is_ok());
        for newer in [r#"{"format":2,"x":{}}"#, r#"{"format":1,"requires":["quantum"]}"#] {
            assert_eq!(check_version(newer.as_bytes()).unwrap_err().kind(), ErrorKind::UnsupportedVersion);
        }
        assert_eq!(check_version(b"{\"form").unwrap_err().kind(), ErrorKind::Integrity);
    }

    #[test]
    fn a_point_reads_back_out_of_what_its_commit_states() {
        let text = r#"{"format":1,"sequence":1,"parent":null,"run":"01J0000000000000000000000A","at":"2026-11-21T10:00:00.5Z",
            "parts":[["meta",3,"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
            ["delta",4,"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","01J"]]}"#;
        let header: CommitHeader = serde_json::from_str(text).unwrap();
        let (usual, early) = (header.at - TimeDelta::milliseconds(400), header.at - TimeDelta::seconds(9));
        let point = |started, finished, status, bytes_added| PointHeader {
            started,
            finished,
            status,
            counts: Counts::default(),
            bytes_added: Some(bytes_added),
            labels: Vec::new(),
        };
        for (point, stated) in [
            (point(usual, usual, RunStatus::Complete, 7), vec!["counts"]),
            (point(early, usual, RunStatus::Complete, 7), vec!["counts", "started"]),
            (point(early, early, RunStatus::Complete, 8), vec!["bytes_added", "counts", "finished"]),
            (point(usual, early, RunStatus::Failed, 7), vec!["counts", "finished", "started", "status"]),
        ] {
            let mut ended = header.clone();
            ended.set_point(point.clone());
            let line = serde_json::to_value(&ended).unwrap();
            let mut names: Vec<&str> = line["point"].as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, stated);
            let again: CommitHeader = serde_json::from_value(line).unwrap();
            assert_eq!((&again, again.point()), (&ended, Some(point)));
        }
    }
}
