use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::commit::{Maintenance, Merged};
use crate::object::Family;

/// What maintenance did that binds later work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upkeep {
    /// Changes since earlier commits than this one cannot be told any more.
    #[serde(default)]
    pub(crate) horizon: u64,
    /// No commit may name an object with an earlier ULID that none named before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) swept: Option<String>,
    /// The last commit of maintenance.
    #[serde(default)]
    pub(crate) last: u64,
    /// Points that were forgotten since the base was made.
    #[serde(default)]
    pub(crate) forgotten: u64,
    #[serde(default)]
    data: Tier,
    #[serde(default)]
    meta: Tier,
}

/// How far the lines of a family are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tier {
    /// The last commit whose lines the base holds.
    pub(crate) base: u64,
    /// The last commit whose lines lie in any merged run.
    pub(crate) merged: u64,
}

impl Tier {
    fn merge(&mut self, merged: &Merged) {
        if merged.after == 0 {
            self.base = merged.through;
        }
        self.merged = self.merged.max(merged.through);
    }
}

impl Upkeep {
    pub(crate) fn tier(&self, family: Family) -> Tier {
        match family {
            Family::Data => self.data,
            Family::Meta => self.meta,
        }
    }

    /// Takes what a commit of maintenance says.
    pub(super) fn note(&mut self, maintenance: &Maintenance, sequence: u64) {
        let Maintenance { merges, forgets, horizon, swept, .. } = maintenance;
        self.forgotten += forgets.len() as u64;
        for merged in merges {
            self.tier_mut(merged.family).merge(merged);
            if merged.after == 0 && merged.family == Family::Data {
                self.forgotten = 0;
            }
        }
        self.horizon = self.horizon.max(horizon.unwrap_or(0));
        self.swept = swept.clone().max(self.swept.take());
        self.last = sequence;
    }

    fn tier_mut(&mut self, family: Family) -> &mut Tier {
        match family {
            Family::Data => &mut self.data,
            Family::Meta => &mut self.meta,
        }
    }
}

/// An object that nothing refers to any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) name: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<String>,
    /// The commit that gave it up,
    pub(crate) by: u64,
    /// and when, by the maintainer's clock.
    pub(crate) at: DateTime<Utc>,
}
