use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::commit::{Erases, Maintenance, Merged};
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
    /// Bytes that points added which were forgotten since the base was made.
    #[serde(default)]
    pub(crate) forgotten: u64,
    #[serde(default)]
    data: Tier,
    #[serde(default)]
    meta: Tier,
    /// The last commit that erased something: whoever knows less may hold what is no more.
    #[serde(default)]
    pub(crate) erased: u64,
    /// What was erased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) erasures: Vec<Erasure>,
    /// Domains that nothing is sealed to any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) closed: Vec<Closed>,
}

/// An erasure, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Erasure {
    /// The commit that made it.
    pub(crate) commit: u64,
    /// When, by the maintainer's clock.
    pub(crate) at: DateTime<Utc>,
    pub(crate) erases: Erases,
    /// The commit after which no object that is named holds what was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rewritten: Option<Rewritten>,
}

/// When everything was written anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rewritten {
    pub(crate) commit: u64,
    pub(crate) at: DateTime<Utc>,
}

/// A domain that is given up with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) id: String,
    /// When the last thing that was sealed to it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<DateTime<Utc>>,
}

/// How long it is known what was erased, after it was.
const REMEMBERED: TimeDelta = TimeDelta::days(400);

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

    /// Takes what a commit of maintenance says; the points that it forgets added so many bytes.
    pub(super) fn note(&mut self, maintenance: &Maintenance, forgotten: u64, sequence: u64, at: DateTime<Utc>) {
        let Maintenance { merges, horizon, swept, erases, .. } = maintenance;
        self.forgotten = self.forgotten.saturating_add(forgotten);
        for merged in merges {
            self.tier_mut(merged.family).merge(merged);
            if merged.after == 0 && merged.family == Family::Data {
                self.forgotten = 0;
            }
        }
        self.horizon = self.horizon.max(horizon.unwrap_or(0));
        self.swept = swept.clone().max(self.swept.take());
        self.last = sequence;
        if let Some(erases) = erases.clone() {
            self.erased = sequence;
            self.erasures.push(Erasure { commit: sequence, at, erases, rewritten: None });
        }
        self.settle(sequence, at);
    }

    /// Whether everything was merged into bases that were made after an erasure.
    pub(super) fn is_rewritten(&self, erasure: u64) -> bool {
        self.data.base.min(self.meta.base) >= erasure
    }

    /// Whether the key of a domain goes.
    pub(super) fn is_closed(&self, domain: &str) -> bool {
        self.closed.iter().any(|closed| closed.id == domain && closed.at.is_some())
    }

    fn settle(&mut self, sequence: u64, at: DateTime<Utc>) {
        let based = self.data.base.min(self.meta.base);
        for erasure in self.erasures.iter_mut().filter(|erasure| erasure.commit <= based) {
            erasure.rewritten.get_or_insert(Rewritten { commit: sequence, at });
        }
        let is_pending = self.erasures.iter().any(|erasure| erasure.rewritten.is_none());
        if !is_pending {
            for closed in &mut self.closed {
                closed.at.get_or_insert(at);
            }
        }
        let is_old = |then: Option<DateTime<Utc>>| then.is_some_and(|then| at - then > REMEMBERED);
        self.erasures.retain(|erasure| !is_old(erasure.rewritten.as_ref().map(|rewritten| rewritten.at)));
        self.closed.retain(|closed| !is_old(closed.at));
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
