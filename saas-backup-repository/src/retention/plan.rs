use std::fmt;

use chrono::{DateTime, Utc};
use saas_backup_core::{Period, RunStatus};
use serde::Serialize;

use super::interval::RetentionInterval;
use crate::points::Point;

/// What a [`RetentionPolicy`](super::RetentionPolicy) says of each point of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RetentionPlan {
    /// The time that it was made for.
    pub now: DateTime<Utc>,
    /// One for each point, the oldest first.
    pub decisions: Vec<RetentionDecision>,
    /// What a person should look at before anything is forgotten.
    pub warnings: Vec<RetentionWarning>,
}

impl RetentionPlan {
    /// What is kept, the oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &RetentionDecision> {
        self.decisions.iter().filter(|decision| decision.is_kept())
    }

    /// What is forgotten, the oldest first.
    pub fn forgotten(&self) -> impl Iterator<Item = &RetentionDecision> {
        self.decisions.iter().filter(|decision| !decision.is_kept())
    }
}

/// What happens to one point, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RetentionDecision {
    /// The point.
    pub point: Point,
    /// The time that it counts with; another than it claims where the claim cannot be.
    pub time: DateTime<Utc>,
    /// Why it is kept; empty if it is forgotten.
    pub kept: Vec<RetentionReason>,
}

impl RetentionDecision {
    /// Whether anything keeps the point.
    pub fn is_kept(&self) -> bool {
        !self.kept.is_empty()
    }
}

/// Why a point is kept; displays as `daily 2026-11-21`, `last 3`, `label "release"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RetentionReason {
    /// It has a label of a legal hold, which no policy overrules.
    LegalHold,
    /// It has a label that the policy keeps.
    Label {
        /// The label.
        label: String,
    },
    /// It is not old enough to be forgotten.
    MinAge {
        /// The age.
        period: Period,
    },
    /// It is the newest point, or ended better than all after it.
    Newest {
        /// How it ended.
        status: RunStatus,
    },
    /// It is the first verified point of a day that is one of the newest with any.
    Verified {
        /// The day's place among these; the newest is 1.
        rank: u64,
    },
    /// It is one of the newest.
    Last {
        /// Its place; the newest is 1.
        rank: u64,
    },
    /// It lies within a length of time.
    Within {
        /// The length.
        period: Period,
    },
    /// It stands for a slot that is one of the newest.
    Slot {
        /// The kind of slot.
        interval: RetentionInterval,
        /// The slot: `2026-11-21T10`, `2026-11-21`, `2026-W47`, `2026-11`, `2026`.
        slot: String,
    },
    /// It stands for a slot, and lies within a length of time.
    SlotWithin {
        /// The kind of slot.
        interval: RetentionInterval,
        /// The slot.
        slot: String,
        /// The length.
        period: Period,
    },
}

impl fmt::Display for RetentionReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LegalHold => formatter.write_str("legal hold"),
            Self::Label { label } => write!(formatter, "label {label:?}"),
            Self::MinAge { period } => write!(formatter, "younger than {}", period.in_words()),
            Self::Newest { status } => formatter.write_str(match status {
                RunStatus::Complete => "newest complete",
                RunStatus::Incomplete => "newest incomplete",
                RunStatus::NeedsReview => "newest that needs review",
                RunStatus::Failed => "newest failed",
                RunStatus::Cancelled => "newest cancelled",
                _ => "newest",
            }),
            Self::Verified { rank } => write!(formatter, "newest verified {rank}"),
            Self::Last { rank } => write!(formatter, "last {rank}"),
            Self::Within { period } => write!(formatter, "within {}", period.in_words()),
            Self::Slot { interval, slot } => write!(formatter, "{interval} {slot}"),
            Self::SlotWithin { interval, slot, period } => {
                write!(formatter, "{interval} {slot} within {}", period.in_words())
            }
        }
    }
}

/// What a person should know of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RetentionWarning {
    /// Points claim a time more than an hour after now: a clock is wrong, or a thief writes.
    Ahead {
        /// How many.
        points: u64,
        /// The sequence of the first.
        first: u64,
    },
    /// Points claim a time more than an hour before that of an earlier point.
    Behind {
        /// How many.
        points: u64,
        /// The sequence of the first.
        first: u64,
    },
    /// Only `keep_last` keeps points beyond the minimum age, and who can write can fill its number.
    NumberOnly,
}

impl fmt::Display for RetentionWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { points, first } => write!(
                formatter,
                "points that claim a time after now and count as made now: {points}, the first is {first}"
            ),
            Self::Behind { points, first } => write!(
                formatter,
                "points that claim a time before that of an earlier point and count with its time: {points}, \
                 the first is {first}"
            ),
            Self::NumberOnly => formatter.write_str(
                "beyond the minimum age only `keep_last` keeps points, by their number: whoever can write can push \
                 out the old ones",
            ),
        }
    }
}
