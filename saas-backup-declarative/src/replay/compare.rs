use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// A difference that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// The recording ended in an error, so that it holds no state and not all records.
    RecordingFailed,
    /// The recording gives a partition that was listed twice twice; here it is one.
    PartitionOnce,
    /// What the parent was answered is in no recording of the manifest.
    ParentNotRecorded,
    /// What the parent was answered is in another stream's recording alone, where it had other records.
    ParentOfAnother,
    /// Requests of another stream or manifest stand in the recording.
    ForeignRequests,
    /// The recorded server answers the same request in different ways: which answer belongs to which walk is not known.
    AnswersVary,
    /// The recorded server gives the same page again and again: here that is an error.
    PageRepeats,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::RecordingFailed => "the recording ended in an error",
            Self::PartitionOnce => "a partition that was listed twice is read once",
            Self::ParentNotRecorded => "no recording holds what the parent was answered",
            Self::ParentOfAnother => "only another stream's recording holds what the parent was answered",
            Self::ForeignRequests => "the recording holds requests of another stream or manifest",
            Self::AnswersVary => "the recorded server answers the same request in different ways",
            Self::PageRepeats => "the recorded server gives the same page again, which is an error here",
        })
    }
}

/// A value without what Airbyte's CDK does to it: members that are null at the top are dropped, numbers are of one kind.
pub(super) fn normal(value: &Value, top: bool) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !(top && member.is_null()))
            .map(|(name, member)| (name.clone(), normal(member, false)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| normal(item, false)).collect(),
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), Value::from),
        other => other.clone(),
    }
}

/// How many there are of each record.
pub(super) fn counted<'a>(records: impl Iterator<Item = &'a Value>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for record in records {
        *counted.entry(normal(record, true).to_string()).or_default() += 1;
    }
    counted
}

/// What one has and the other has not, shortened.
pub(super) fn first_missing<'a>(
    of: impl Iterator<Item = &'a String>,
    from: impl Fn(&String) -> bool,
) -> Option<String> {
    let missing: Vec<&String> = of.filter(|one| !from(one)).collect();
    let first = missing.first()?;
    Some(format!("{} such, as {}", missing.len(), first.chars().take(400).collect::<String>()))
}
