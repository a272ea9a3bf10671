use std::collections::BTreeMap;

use saas_backup_core::{ErrorKind, Result};
use saas_backup_repository::{Anchor, VerifyOptions, VerifyProblem, VerifyReport};
use serde::Serialize;

use super::Project;
use super::store::Access;

/// Another part of the data is read each day.
const SECONDS_A_TURN: i64 = 86_400;

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
    /// Sources whose timeline was compared with what this machine saw of it last: one that was rolled back is found.
    pub anchored: u64,
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
            anchored,
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
    /// With `read_percent`, reads that share of the data, too: another part each day. Reading it takes the identity.
    /// `progress` hears how many objects were looked for. Changes nothing.
    ///
    /// # Errors
    ///
    /// If the repository cannot be opened or listed. What is damaged stands in the result.
    pub async fn verify(&self, read_percent: u8, progress: &mut (dyn FnMut(u64) + Send)) -> Result<Verified> {
        let store = self.store(if read_percent > 0 { Access::Read } else { Access::Write }).await?;
        let (options, anchored) = self.verify_options(read_percent)?;
        let report = store.verify(&options, &mut |report| progress(report.objects)).await?;
        Ok(Verified::new(report, anchored))
    }

    /// What a verification looks for, and how many timelines it compares with what this machine saw.
    pub(super) fn verify_options(&self, read_percent: u8) -> Result<(VerifyOptions, u64)> {
        let mut options = VerifyOptions::presence()
            .with_read_percent(read_percent, self.clock().now().timestamp().div_euclid(SECONDS_A_TURN).cast_unsigned());
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
