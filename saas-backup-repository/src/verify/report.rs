use chrono::{DateTime, Utc};
use saas_backup_core::{Error, ErrorKind};

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Objects of sources that were looked for.
    pub objects: u64,
    /// Objects that were read.
    pub read: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// What is wrong; empty for a good repository.
    pub problems: Vec<VerifyProblem>,
    /// Objects that nothing names: what writers that were stopped left behind. No fault.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
    /// Objects that could not be decrypted with the keys at hand, and so were checked by their digest alone.
    pub sealed: u64,
    /// Layouts that alone hold what commits said that were removed: should one be lost, so is that. No fault;
    /// [`Repository::mend`](crate::Repository::mend) writes others.
    pub lone_layouts: Vec<String>,
    /// Objects and parts of commits that no noted verification read yet. As the next three, only known if data is read.
    pub unread: u64,
    /// Their bytes.
    pub unread_bytes: u64,
    /// When the one was read, or else written, that was not read for longest.
    pub oldest: Option<DateTime<Utc>>,
    /// Points in time that count as verified.
    pub verified_points: u64,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProblem {
    /// The object.
    pub object: String,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// For a person.
    pub message: String,
}

impl VerifyProblem {
    pub(crate) fn new(object: &str, error: &Error) -> Self {
        Self { object: object.to_owned(), kind: error.kind(), message: error.to_string() }
    }
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn problem(&mut self, object: &str, error: &Error) {
        let known =
            self.problems.iter().any(|problem| problem.object == object && problem.message == error.to_string());
        if !known {
            self.problems.push(VerifyProblem::new(object, error));
        }
    }
}
