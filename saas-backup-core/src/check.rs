use std::collections::BTreeMap;

use serde::Serialize;

/// Findings that a report lists one by one; the others are counted.
const MOST_LISTED: usize = 1000;

/// What looking through an export found: faults that public validators do not notice, too.
///
/// It judges what stands in the files; that they are as they were written is what `SHA256SUMS` is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Files that were looked at.
    pub files: u64,
    /// Things that were looked at: records, rows, pages, links, by their name.
    pub checked: BTreeMap<&'static str, u64>,
    /// What is wrong, at most a thousand.
    pub findings: Vec<Finding>,
    /// How many findings there are, those that are not listed included.
    pub count: u64,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The file, relative to the export, with `/` between its parts.
    pub file: String,
    /// Where in it: a line, a row and column, a record.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// What is wrong.
    pub problem: String,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.count == 0
    }

    /// Counts things that were looked at.
    pub fn add(&mut self, what: &'static str, number: u64) {
        *self.checked.entry(what).or_default() += number;
    }

    /// Notes a fault.
    pub fn find(&mut self, file: &str, at: impl Into<String>, problem: impl Into<String>) {
        self.count += 1;
        if self.findings.len() < MOST_LISTED {
            let finding = Finding { file: file.to_owned(), at: at.into(), problem: problem.into() };
            self.findings.push(finding);
        }
    }
}
