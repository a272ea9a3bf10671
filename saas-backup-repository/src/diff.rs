use saas_backup_core::{Key, Line, LineCodec};

use crate::object::StoredLine;

/// A record that is not the same at two points in time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Which record.
    pub key: Key,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The sequence number of its state at the first point.
    pub before: Option<u64>,
    /// The sequence number of its state, or of its deletion, at the second point.
    pub after: u64,
}

/// What happened to a record between two points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

impl ChangeKind {
    /// `None` if the record says the same at both points.
    pub(crate) fn of(before: Option<&StoredLine>, after: &StoredLine) -> Option<Self> {
        match (before, after.is_deletion()) {
            (None, true) => None,
            (None, false) => Some(Self::Added),
            (Some(_), true) => Some(Self::Removed),
            (Some(before), false) => (!says_the_same(before, after)).then_some(Self::Changed),
        }
    }

    /// The word for it: `added`, `changed` or `removed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// Whether two lines hold the same record, whoever told it.
fn says_the_same(one: &StoredLine, other: &StoredLine) -> bool {
    let read = |line: &StoredLine| LineCodec::stored().decode(&line.text).ok().map(without_sequence);
    one.unnumbered().is_ok_and(|one| other.unnumbered().is_ok_and(|other| one == other))
        || (one.says.sole != other.says.sole && read(one).is_some_and(|one| Some(one) == read(other)))
}

fn without_sequence(mut line: Line) -> Line {
    if let Line::Put(record) = &mut line {
        record.sequence = None;
    }
    line
}

impl Change {
    pub(crate) fn new(key: Key, kind: ChangeKind, before: Option<&StoredLine>, after: &StoredLine) -> Self {
        Self { key, kind, before: before.map(|line| line.sequence), after: after.sequence }
    }
}
