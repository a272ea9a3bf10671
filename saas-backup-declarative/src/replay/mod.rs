//! Replays recordings of Airbyte's engine, and says where this one does something else.
//!
//! A recording is what Airbyte's CDK asked a server, what it was answered, which records it gave and which state it ended
//! with. Replayed, the same manifest must ask for the same set of things, give the same records and end with the same
//! state. Where it does not, and a [`Rule`] explains why that is meant, the verdict names the rule; everything else fails.
//!
//! The layout is a folder with `source-NAME.yaml` and `cassettes/source-NAME/STREAM.json.gz`.

mod compare;
mod recording;
mod run;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use saas_backup_core::Result;

pub use compare::Rule;

/// What came of one recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The same requests, records and state.
    Same,
    /// Others, for reasons that have a name.
    Explained(Vec<Rule>),
    /// Others.
    Differs(String),
}

/// The verdicts of all recordings, by manifest and stream.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Manifests that do not load, and why.
    pub unreadable: BTreeMap<String, String>,
    /// What came of each recording.
    pub verdicts: BTreeMap<(String, String), Verdict>,
    /// How many manifests were loaded.
    pub manifests: usize,
    /// How many streams they have.
    pub streams: usize,
    /// Why streams cannot be read, and how many.
    pub problems: BTreeMap<String, usize>,
}

impl Report {
    /// How many recordings pass.
    pub fn passed(&self) -> usize {
        self.verdicts.values().filter(|verdict| !matches!(verdict, Verdict::Differs(_))).count()
    }
}

/// A line for each recording that is not the same, and totals.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (source, reason) in &self.unreadable {
            writeln!(formatter, "{source}: cannot be loaded: {reason}")?;
        }
        let mut explained = 0;
        for ((source, stream), verdict) in &self.verdicts {
            match verdict {
                Verdict::Same => {}
                Verdict::Explained(rules) => {
                    explained += 1;
                    let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
                    writeln!(formatter, "{source}/{stream}: explained: {}", rules.join("; "))?;
                }
                Verdict::Differs(reason) => writeln!(formatter, "{source}/{stream}: DIFFERS: {reason}")?,
            }
        }
        for (problem, count) in &self.problems {
            writeln!(formatter, "{count} streams: {problem}")?;
        }
        writeln!(
            formatter,
            "{} of {} streams can be read",
            self.streams - self.problems.values().sum::<usize>(),
            self.streams
        )?;
        let all = self.verdicts.len();
        writeln!(
            formatter,
            "{} manifests loaded, {} not; {} of {all} recordings pass ({explained} of them explained), {} differ",
            self.manifests,
            self.unreadable.len(),
            self.passed(),
            all - self.passed(),
        )
    }
}

/// A change of a manifest after which its recordings must not pass any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutation {
    /// None.
    #[default]
    None,
    /// Pages are larger by one.
    PageSize,
    /// Only the first page of each walk is asked for.
    OnePage,
    /// Filters let everything pass.
    Filters,
}

/// Replays all recordings in a folder, or those whose manifest's name contains a text.
///
/// # Errors
///
/// If the folder or a recording cannot be read; what a manifest does wrong is in the report.
pub fn replay(folder: &Path, only: &str, mutation: Mutation) -> Result<Report> {
    run::all(folder, only, mutation)
}
