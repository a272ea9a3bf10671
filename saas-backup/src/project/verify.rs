use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Error, ErrorKind, Period, Result};
use saas_backup_repository::{Anchor, VerifyOptions, VerifyProblem, VerifyReport};
use serde::Serialize;

use super::Project;
use super::store::Access;

/// Another part of the data is read each day, where what was read cannot be noted.
const SECONDS_A_TURN: i64 = 86_400;

/// How much of the data a verification reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyRead {
    /// None: that all is there is enough.
    #[default]
    Nothing,
    /// A share of its bytes in percent, what was not read for longest first.
    Percent(u8),
    /// What is due for everything to be read within a period, if this is done daily; what was missed is caught up.
    Due(Period),
}

impl VerifyRead {
    /// Everything.
    pub const ALL: Self = Self::Percent(100);

    /// The period within which everything is read where nobody says another.
    pub const PERIOD: Period = Period(Duration::from_hours(28 * 24));
}

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// Whether nothing is wrong.
    pub good: bool,
    /// Objects that were looked for.
    pub objects: u64,
    /// Objects that were read.
    pub read: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Objects that nothing names: what runs that were stopped left behind. No fault.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
    /// Objects that could not be decrypted with the keys at hand, and so were checked by their digest alone.
    pub sealed: u64,
    /// Layouts that alone hold what removed commits said: [`mend`](Project::mend) writes others. No fault.
    pub lone_layouts: Vec<String>,
    /// Sources whose timeline was compared with what this machine saw of it last: one that was rolled back is found.
    pub anchored: u64,
    /// Objects that no noted verification read yet. As the next three, 0 or `None` if no data was read.
    pub unread: u64,
    /// Their bytes.
    pub unread_bytes: u64,
    /// When the object was read, or else written, that was not read for longest.
    pub oldest: Option<DateTime<Utc>>,
    /// Points in time that count as verified, for `keep_verified`.
    pub verified_points: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The object in the store.
    pub object: String,
    /// What kind of failure.
    #[serde(serialize_with = "as_word")]
    pub kind: ErrorKind,
    /// For a person.
    pub message: String,
}

pub(super) fn problems(found: Vec<VerifyProblem>) -> Vec<Problem> {
    found
        .into_iter()
        .map(|problem| Problem { object: problem.object, kind: problem.kind, message: problem.message })
        .collect()
}

/// Whether these are all failures to ask the storage, and so nothing is known to be damaged.
pub(super) fn is_unreachable(problems: &[Problem]) -> bool {
    let passing = |kind| {
        matches!(
            kind,
            ErrorKind::Unavailable | ErrorKind::Unauthenticated | ErrorKind::PermissionDenied | ErrorKind::RateLimited
        )
    };
    !problems.is_empty() && problems.iter().all(|problem| passing(problem.kind))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
pub(super) fn as_word<S: serde::Serializer>(kind: &ErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

impl Verified {
    fn new(report: VerifyReport, anchored: u64) -> Self {
        Self {
            good: report.is_good(),
            objects: report.objects,
            read: report.read,
            bytes: report.bytes,
            problems: problems(report.problems),
            orphans: report.orphans,
            orphan_bytes: report.orphan_bytes,
            sealed: report.sealed,
            lone_layouts: report.lone_layouts,
            anchored,
            unread: report.unread,
            unread_bytes: report.unread_bytes,
            oldest: report.oldest,
            verified_points: report.verified_points,
        }
    }

    /// Whether the storage could not be asked, and so nothing is known to be damaged.
    pub fn is_unreachable(&self) -> bool {
        is_unreachable(&self.problems)
    }
}

impl Project {
    /// Checks that the repository is whole: every object is there, the chains of commits hold, signatures are the
    /// owner's and the writers'; and that no timeline was rolled back behind what this machine saw last.
    ///
    /// Reads of the data what `read` says, which takes the identity, and notes in the repository what was read and when;
    /// else changes nothing. What was noted decides what is read next, and which points count as verified for
    /// [`forget`](Self::forget). `progress` hears how many objects were looked for, and how many of them were read. Cancel
    /// safe; a verification that is cut notes nothing.
    ///
    /// # Errors
    ///
    /// If the repository cannot be opened or listed. What is damaged stands in the result.
    pub async fn verify(&self, read: VerifyRead, progress: &mut (dyn FnMut(u64, u64) + Send)) -> Result<Verified> {
        if read == VerifyRead::Nothing {
            return self.verify_with(Access::Write, read, progress).await;
        }
        let verified = self.verify_with(Access::Read, read, progress).await;
        self.note_verification(&verified);
        verified
    }

    async fn verify_with(
        &self,
        access: Access,
        read: VerifyRead,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Verified> {
        let store = self.store(access).await?;
        let (options, anchored) = self.verify_options(read)?;
        let options = options.with_record(read != VerifyRead::Nothing);
        let report = store.verify(&options, &mut |report| progress(report.objects, report.read)).await?;
        Ok(Verified::new(report, anchored))
    }

    /// What a verification looks for, and how many timelines it compares with what this machine saw.
    pub(super) fn verify_options(&self, read: VerifyRead) -> Result<(VerifyOptions, u64)> {
        let turn = self.clock().now().timestamp().div_euclid(SECONDS_A_TURN).cast_unsigned();
        let mut options = match read {
            VerifyRead::Nothing => VerifyOptions::presence(),
            VerifyRead::Percent(percent) => VerifyOptions::presence().with_read_percent(percent, turn),
            VerifyRead::Due(period) => {
                let too_long =
                    |error| Error::new(ErrorKind::Configuration, "the period is too long").with_source(error);
                VerifyOptions::due(TimeDelta::from_std(period.0).map_err(too_long)?)
            }
        };
        let anchors: BTreeMap<String, Anchor> = self.state.anchors()?;
        let anchored = anchors.len() as u64;
        for (source, anchor) in anchors {
            options = options.with_anchor(source, anchor);
        }
        Ok((options, anchored))
    }

    /// Remembers the newest commit of a source, so that [`verify`](Self::verify) notices if it is ever gone.
    pub(super) async fn note_anchor(&self, source: &str) {
        let noted = async {
            let store = self.store(Access::Write).await?;
            match store.anchor(source).await? {
                Some(anchor) => self.state.note_anchor(source, anchor),
                None => Ok(()),
            }
        };
        if let Err(error) = noted.await {
            tracing::warn!(source, %error, "the newest commit could not be noted on this machine");
        }
    }
}
