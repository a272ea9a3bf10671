use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{CollectionName, Json};

/// What the grant can and cannot see, per collection, by the provider's word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Coverage {
    /// The collections; one that is not here is unknown.
    pub collections: BTreeMap<CollectionName, CollectionCoverage>,
}

impl Coverage {
    /// The collections whose coverage is worse than it was: less is visible than at the last good run.
    pub fn worse_than<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a CollectionName> {
        before.collections.iter().filter_map(|(name, old)| {
            let worse = match self.collections.get(name) {
                None => old.visible != Visibility::None,
                Some(new) => new.visible < old.visible || new.hidden.unwrap_or(0) > old.hidden.unwrap_or(0),
            };
            worse.then_some(name)
        })
    }

    /// Sets the coverage of one collection.
    #[must_use]
    pub fn with(mut self, name: CollectionName, coverage: CollectionCoverage) -> Self {
        self.collections.insert(name, coverage);
        self
    }
}

/// What the grant can see of one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectionCoverage {
    /// How much is visible.
    pub visible: Visibility,
    /// How many records the provider says are visible, if it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Whether the count is exact: only then does a difference make a run incomplete.
    #[serde(default)]
    pub count_exact: bool,
    /// How many are hidden, if the provider says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<u64>,
    /// Why something is hidden, for a person: `scope`, `acl`, what is not in the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The grant that would show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

impl CollectionCoverage {
    /// A visibility without further facts.
    pub fn new(visible: Visibility) -> Self {
        Self { visible, count: None, count_exact: false, hidden: None, reason: None, grant: None }
    }

    /// States how many records are visible.
    #[must_use]
    pub fn with_count(mut self, count: u64, exact: bool) -> Self {
        self.count = Some(count);
        self.count_exact = exact;
        self
    }

    /// Says why something is hidden.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Says how many are hidden.
    #[must_use]
    pub fn with_hidden(mut self, hidden: u64) -> Self {
        self.hidden = Some(hidden);
        self
    }
}

/// How much of a collection a grant sees; ordered from nothing to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Visibility {
    /// Nothing.
    None,
    /// Some, or nobody knows.
    Partial,
    /// Everything.
    All,
}

/// The account that a connector speaks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// The provider's id of it; never a secret.
    pub id: String,
    /// A name for a person.
    pub name: String,
    /// The scopes or rights that the credentials carry, as the provider names them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Further facts, such as the provider's version.
    #[serde(default)]
    pub facts: BTreeMap<String, Json>,
}

impl Account {
    /// An account with an id and a name for a person.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), scopes: Vec::new(), facts: BTreeMap::new() }
    }
}

/// Completeness of one collection after a run: what exists, is visible, is held, is missing and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectionCompleteness {
    /// How much the grant sees.
    pub visible: Visibility,
    /// How many records the provider says are visible.
    pub exists: Option<u64>,
    /// How many are hidden from the grant.
    pub hidden: Option<u64>,
    /// How many records the copy holds, the trash included.
    pub held: Option<u64>,
    /// How many blobs the copy holds.
    pub blobs: Option<u64>,
    /// Their bytes.
    pub blob_bytes: Option<u64>,
    /// Records known to be missing.
    #[serde(default)]
    pub missing_records: u64,
    /// Blobs known to be missing.
    #[serde(default)]
    pub missing_blobs: u64,
    /// Whether the collection was read to its end, in this run or before, and kept up since.
    pub complete: bool,
    /// When deletions were last known: the last full read, or now where the provider reports them.
    pub deletions_as_of: Option<DateTime<Utc>>,
    /// Why anything is missing, for a person.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// The completeness report of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Completeness {
    /// The collections.
    pub collections: BTreeMap<CollectionName, CollectionCompleteness>,
}

impl Completeness {
    /// Whether nothing that the grant sees is missing.
    pub fn is_complete(&self) -> bool {
        self.collections.values().all(|collection| collection.complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_before_is_worse() {
        let name = CollectionName::from_static("pages");
        let all = Coverage::default().with(name.clone(), CollectionCoverage::new(Visibility::All));
        let some = Coverage::default().with(name.clone(), CollectionCoverage::new(Visibility::Partial));
        assert_eq!(some.worse_than(&all).collect::<Vec<_>>(), [&name]);
        assert_eq!(all.worse_than(&some).count(), 0);
        assert_eq!(Coverage::default().worse_than(&all).count(), 1);
    }
}
