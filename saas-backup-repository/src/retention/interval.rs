use std::fmt;

use chrono::{DateTime, Datelike as _, Utc};
use serde::Serialize;

/// How a rule cuts time into slots; in UTC, with the weeks of ISO 8601.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RetentionInterval {
    /// By the hour.
    Hourly,
    /// By the day.
    Daily,
    /// By the week, which begins on Monday.
    Weekly,
    /// By the month.
    Monthly,
    /// By the year.
    Yearly,
}

impl RetentionInterval {
    pub(super) const ALL: [Self; 5] = [Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The number of the slot that holds a time.
    pub(super) fn slot(self, time: DateTime<Utc>) -> i64 {
        match self {
            Self::Hourly => time.timestamp().div_euclid(3_600),
            Self::Daily => time.num_days_from_ce().into(),
            // Day 1 is a Monday.
            Self::Weekly => i64::from(time.num_days_from_ce() - 1).div_euclid(7),
            Self::Monthly => i64::from(time.year()) * 12 + i64::from(time.month0()),
            Self::Yearly => time.year().into(),
        }
    }

    /// What people call the slot that holds a time.
    pub(super) fn name(self, time: DateTime<Utc>) -> String {
        let form = match self {
            Self::Hourly => "%Y-%m-%dT%H",
            Self::Daily => "%Y-%m-%d",
            Self::Weekly => "%G-W%V",
            Self::Monthly => "%Y-%m",
            Self::Yearly => "%Y",
        };
        time.format(form).to_string()
    }
}

impl fmt::Display for RetentionInterval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        })
    }
}
