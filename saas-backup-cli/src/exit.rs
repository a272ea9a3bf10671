use std::process::ExitCode;

use saas_backup::core::{Error, ErrorKind, RunStatus};

/// How the command ended; ordered by what counts when several are true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Done,
    Incomplete,
    NeedsReview,
    Conflict,
    Usage,
    Failed,
    Integrity,
}

impl Outcome {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::NeedsReview => 4,
            Self::Integrity => 5,
            Self::Conflict => 6,
        }
    }

    pub(crate) fn of_error(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Configuration => Self::Usage,
            ErrorKind::Integrity => Self::Integrity,
            ErrorKind::Conflict => Self::Conflict,
            _ => Self::Failed,
        }
    }

    pub(crate) fn of_status(status: RunStatus) -> Self {
        match status {
            RunStatus::Complete => Self::Done,
            RunStatus::Incomplete => Self::Incomplete,
            RunStatus::NeedsReview => Self::NeedsReview,
            _ => Self::Failed,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrity_counts_before_failure_conflict_review_and_gaps() {
        let mut all = [
            Outcome::Done,
            Outcome::Incomplete,
            Outcome::NeedsReview,
            Outcome::Conflict,
            Outcome::Failed,
            Outcome::Integrity,
        ];
        all.sort_by(|one, other| other.cmp(one));
        assert_eq!(all.map(Outcome::code), [5, 1, 6, 4, 3, 0]);
    }
}
