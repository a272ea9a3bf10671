//! What `serve` does besides backups.

use std::time::Duration;

use saas_backup_core::{Error, ErrorKind, Period, Result};
use saas_backup_ops::{Blackout, Schedule};
use schemars::JsonSchema;
use serde::Deserialize;

use super::foreign::PeriodSchema;
use super::node::{Place, Table, located};
use super::place_of;
use crate::project::VerifyRead;

/// How copies are rehearsed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrillConfig {
    /// When `serve` rehearses; `None` for never.
    pub schedule: Option<Schedule>,
    /// How many records; `None` for everything.
    pub sample: Option<usize>,
    /// What is restored into: a format that reads back, or a source with `scratch = true`.
    pub into: String,
    /// How old the last drill may be that passed.
    pub max_age: Period,
}

impl DrillConfig {
    /// The format that copies are rehearsed in where nobody says another.
    pub(crate) const INTO: &str = "jsonl";
}

impl Default for DrillConfig {
    fn default() -> Self {
        let max_age = DrillHead::max_age();
        Self { schedule: None, sample: None, into: Self::INTO.to_owned(), max_age }
    }
}

/// `[drill]`.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrillHead {
    /// When `serve` rehearses a restore of each source, as a cron pattern. Default: never.
    #[serde(default)]
    schedule: Option<String>,
    /// The time zone of the schedule. Default: `UTC`.
    #[serde(default)]
    time_zone: Option<String>,
    /// How many records are restored, chosen anew each time. Default: everything, which alone measures the RTO.
    #[serde(default)]
    sample: Option<usize>,
    /// What is restored into: a format that reads back, in a folder that is removed afterwards, or the name of a source
    /// with `scratch = true`. Default: `jsonl`.
    #[serde(default)]
    into: Option<String>,
    /// How old the last drill may be that passed. Default: `92d`.
    #[serde(default = "DrillHead::max_age")]
    #[schemars(with = "PeriodSchema")]
    max_age: Period,
}

impl DrillHead {
    fn max_age() -> Period {
        Period(Duration::from_hours(92 * 24))
    }

    pub(super) fn read(self, blackout: &Blackout, place: Option<Place>) -> Result<DrillConfig> {
        if self.sample == Some(0) {
            return Err(located(Error::new(ErrorKind::Configuration, "a sample of no records proves nothing"), place));
        }
        Ok(DrillConfig {
            schedule: match &self.schedule {
                Some(pattern) => Some(timed(pattern, self.time_zone.as_deref(), blackout, place)?),
                None => None,
            },
            sample: self.sample,
            into: self.into.unwrap_or_else(|| DrillConfig::INTO.to_owned()),
            max_age: self.max_age,
        })
    }
}

/// What `serve` does with the whole repository.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ChoresConfig {
    /// When the data is read and checked, and within which period all of it; `None` for never.
    pub verify: Option<(Schedule, Period)>,
    /// When the repository is maintained, and whether points that `[retention]` does not keep are forgotten before;
    /// `None` for never.
    pub maintain: Option<(Schedule, bool)>,
    /// When replicas are brought up to date, and how old what they hold may be; `None` for never.
    pub replicate: Option<(Schedule, Period)>,
}

/// `[verify]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyHead {
    /// When `serve` reads what is due, as a cron pattern; once a day is meant.
    schedule: String,
    /// The time zone of the schedule. Default: `UTC`.
    #[serde(default)]
    time_zone: Option<String>,
    /// Within which time everything is read. Default: `28d`.
    #[serde(default = "VerifyHead::period")]
    #[schemars(with = "PeriodSchema")]
    period: Period,
}

impl VerifyHead {
    fn period() -> Period {
        VerifyRead::PERIOD
    }
}

/// `[maintain]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaintainHead {
    /// When `serve` merges and removes what nobody needs, as a cron pattern; once a day is enough.
    schedule: String,
    /// The time zone of the schedule. Default: `UTC`.
    #[serde(default)]
    time_zone: Option<String>,
    /// Whether points in time that `[retention]` does not keep are forgotten before. Default: `false`.
    #[serde(default)]
    forget: bool,
}

/// `[replicate]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplicateHead {
    /// When `serve` brings the replicas up to date, as a cron pattern.
    schedule: String,
    /// The time zone of the schedule. Default: `UTC`.
    #[serde(default)]
    time_zone: Option<String>,
    /// How long ago a replica may last have held everything. Default: `2d`.
    #[serde(default = "ReplicateHead::max_age")]
    #[schemars(with = "PeriodSchema")]
    max_age: Period,
}

impl ReplicateHead {
    fn max_age() -> Period {
        Period(Duration::from_hours(2 * 24))
    }
}

/// Where the tables stand in the file.
pub(super) struct ChorePlaces {
    pub(super) drill: Option<Place>,
    verify: Option<Place>,
    maintain: Option<Place>,
    replicate: Option<Place>,
}

impl ChorePlaces {
    pub(super) fn of(table: &Table) -> Self {
        let [drill, verify, maintain, replicate] =
            ["drill", "verify", "maintain", "replicate"].map(|key| place_of(table, key));
        Self { drill, verify, maintain, replicate }
    }
}

pub(super) fn chores(
    verify: Option<VerifyHead>,
    maintain: Option<MaintainHead>,
    replicate: Option<ReplicateHead>,
    blackout: &Blackout,
    places: &ChorePlaces,
) -> Result<ChoresConfig> {
    let verify = verify.map(|head| {
        timed(&head.schedule, head.time_zone.as_deref(), blackout, places.verify)
            .map(|schedule| (schedule, head.period))
    });
    let maintain = maintain.map(|head| {
        timed(&head.schedule, head.time_zone.as_deref(), blackout, places.maintain)
            .map(|schedule| (schedule, head.forget))
    });
    let replicate = replicate.map(|head| {
        timed(&head.schedule, head.time_zone.as_deref(), blackout, places.replicate)
            .map(|schedule| (schedule, head.max_age))
    });
    Ok(ChoresConfig { verify: verify.transpose()?, maintain: maintain.transpose()?, replicate: replicate.transpose()? })
}

fn timed(pattern: &str, zone: Option<&str>, blackout: &Blackout, place: Option<Place>) -> Result<Schedule> {
    let schedule = Schedule::parse(pattern, zone.unwrap_or("UTC"));
    schedule.map(|schedule| schedule.with_blackout(blackout.clone())).map_err(|error| located(error, place))
}
