use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::Error;

/// How long one check may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a conformance run found, check by check.
#[derive(Clone, Debug, Default)]
#[must_use = "a report that nobody looks at proves nothing"]
#[non_exhaustive]
pub struct Report {
    /// The checks in the order in which they ran.
    pub checks: Vec<Check>,
}

/// One check of a conformance run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// Its name, which never changes its meaning.
    pub name: &'static str,
    /// Why it matters.
    pub reason: &'static str,
    /// What it found.
    pub result: CheckResult,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckResult {
    /// The rule is kept.
    Passed,
    /// It does not apply, for this reason.
    Skipped(&'static str),
    /// The rule is broken, like this.
    Failed(String),
}

impl Report {
    /// The names of the checks that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self.checks.iter().filter(|check| matches!(check.result, CheckResult::Failed(_)));
        failed.map(|check| check.name).collect()
    }

    /// The names of the checks that passed.
    pub fn passed(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| check.result == CheckResult::Passed).map(|check| check.name).collect()
    }

    /// Fails a test if a check failed.
    ///
    /// # Panics
    ///
    /// If a check failed, with all that failed and why.
    pub fn assert_passed(&self) {
        assert!(self.failed().is_empty(), "{self}");
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.checks.extend(other.checks);
        self
    }

    /// Runs a check, unless something speaks against it.
    pub(super) async fn check(&mut self, name: &'static str, reason: &'static str, run: impl Future<Output = Finding>) {
        let result = match tokio::time::timeout(PATIENCE, run).await {
            Ok(Ok(())) => CheckResult::Passed,
            Ok(Err(Problem::Skip(why))) => CheckResult::Skipped(why),
            Ok(Err(Problem::Broken(how))) => CheckResult::Failed(how),
            Err(_) => CheckResult::Failed("it is stuck".to_owned()),
        };
        self.checks.push(Check { name, reason, result });
    }
}

/// Passed checks by name; failed ones with the reason and what was found.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            match &check.result {
                CheckResult::Passed => writeln!(formatter, "passed   {}", check.name)?,
                CheckResult::Skipped(why) => writeln!(formatter, "skipped  {} ({why})", check.name)?,
                CheckResult::Failed(how) => {
                    writeln!(formatter, "FAILED   {}\n         why it matters: {}", check.name, check.reason)?;
                    writeln!(formatter, "         found: {how}")?;
                }
            }
        }
        Ok(())
    }
}

/// The result of the body of a check.
pub(super) type Finding<T = ()> = Result<T, Problem>;

/// Why a check did not pass.
#[derive(Debug)]
pub(super) enum Problem {
    Skip(&'static str),
    Broken(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Broken(format!("{}: {error}", error.kind()))
    }
}

/// Ends a check with what was found unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($found:tt)+) => {
        if !$holds {
            return Err($crate::testkit::conformance::report::Problem::Broken(format!($($found)+)));
        }
    };
}

/// Ends a check that does not apply.
macro_rules! applies {
    ($holds:expr, $why:literal) => {
        if !$holds {
            return Err($crate::testkit::conformance::report::Problem::Skip($why));
        }
    };
}

pub(super) use {applies, ensure};
