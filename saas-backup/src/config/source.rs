//! One account.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use saas_backup_core::{CollectionName, Error, ErrorKind, Period, Result};
use saas_backup_ops::{Blackout, Schedule};
use saas_backup_repository::RetentionPolicy;
use schemars::JsonSchema;
use serde::Deserialize;

use super::chore::{DrillConfig, DrillHead};
use super::foreign::{BlackoutSchema, PeriodSchema, RetentionSchema};
use super::node::{Node, Value, located};
use super::{Settings, check_retention, de, place_of, text};

/// One account that is backed up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceConfig {
    /// Its name in the repository: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The name of its connector.
    pub connector: String,
    /// Who answers for it, for people to read; `None` if nobody says so.
    pub owner: Option<String>,
    /// The collections to back up; `None` for all.
    pub collections: Option<Vec<CollectionName>>,
    /// When `serve` backs it up; `None` for never.
    pub schedule: Option<Schedule>,
    /// How old the newest complete copy may be.
    pub rpo: Option<Period>,
    /// How long a restore may take.
    pub rto: Option<Period>,
    /// A TOML file that says how exports read the collections, otherwise than the connector does.
    pub overlay: Option<PathBuf>,
    /// Which points in time are kept, in place of what the configuration says for all.
    pub retention: Option<RetentionPolicy>,
    /// How its copies are rehearsed, in place of what the configuration says for all.
    pub drill: Option<DrillConfig>,
    /// Who runs what the connector reads, if its name does not say it, such as `rds`: for the inventory.
    pub provider: Option<String>,
    /// Whether it is an account for rehearsals, that drills may write into.
    pub scratch: bool,
    /// The connector's own settings.
    pub settings: Settings,
}

impl SourceConfig {
    /// An account without schedule and objectives.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the name is not one.
    pub fn new(name: impl Into<String>, connector: impl Into<String>, settings: Settings) -> Result<Self> {
        let name = name.into();
        check_name(&name)?;
        Ok(Self {
            name,
            connector: connector.into(),
            owner: None,
            collections: None,
            schedule: None,
            rpo: None,
            rto: None,
            overlay: None,
            retention: None,
            drill: None,
            provider: None,
            scratch: false,
            settings,
        })
    }
}

/// What a `[[source]]` says besides its connector's own settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceHead {
    /// Its name in the repository: lower-case letters, digits, `-`, `_`, `.`.
    name: String,
    /// The name of its connector; `saas-backup connectors` lists them.
    connector: String,
    /// Who answers for it: a name, a team, an address; up to 200 characters. `status` and alerts show it. Default: nobody.
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    owner: Option<String>,
    /// The collections to back up. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    collections: Option<Vec<CollectionName>>,
    /// When `serve` backs it up, as a cron pattern. Default: never.
    #[serde(default)]
    schedule: Option<String>,
    /// The time zone of the schedule. Default: `UTC`.
    #[serde(default)]
    time_zone: Option<String>,
    /// Starts a scheduled run up to this much later, so that many sources do not start at once. Default: not at all.
    #[serde(default)]
    #[schemars(with = "Option<PeriodSchema>")]
    jitter: Option<Period>,
    /// When no scheduled run begins, in place of what `[schedule]` says for all.
    #[serde(default)]
    #[schemars(with = "Option<BlackoutSchema>")]
    blackout: Option<Blackout>,
    /// How old the newest complete copy may be; `status` compares.
    #[serde(default)]
    #[schemars(with = "Option<PeriodSchema>")]
    rpo: Option<Period>,
    /// How long a restore may take; `status` shows it.
    #[serde(default)]
    #[schemars(with = "Option<PeriodSchema>")]
    rto: Option<Period>,
    /// A TOML file that says how exports read the collections, otherwise than the connector does.
    #[serde(default)]
    overlay: Option<PathBuf>,
    /// Which points in time are kept, in place of what `[retention]` says for all.
    #[serde(default)]
    #[schemars(with = "Option<RetentionSchema>")]
    retention: Option<RetentionPolicy>,
    /// How its copies are rehearsed, in place of what `[drill]` says for all.
    #[serde(default)]
    drill: Option<DrillHead>,
    /// Who runs what the connector reads, if its name does not say it: `rds`, `aurora`, `cloud-sql` …; for `inventory`.
    #[serde(default)]
    provider: Option<String>,
    /// An account for rehearsals: drills may write into it. Default: `false`.
    #[serde(default)]
    scratch: bool,
}

const SOURCE_KEYS: [&str; 15] = [
    "name",
    "connector",
    "owner",
    "collections",
    "schedule",
    "time_zone",
    "jitter",
    "blackout",
    "rpo",
    "rto",
    "overlay",
    "retention",
    "drill",
    "provider",
    "scratch",
];

/// Longest [`SourceConfig::owner`], in characters: it stands in alerts.
const MAX_OWNER: usize = 200;

/// Reads every `[[source]]`.
pub(super) fn sources(node: Node, base: &Path, blackout: &Blackout) -> Result<Vec<SourceConfig>> {
    let Value::Array(items) = node.value else {
        let error = Error::new(ErrorKind::Configuration, "sources are written as [[source]], with two brackets");
        return Err(located(error, node.place));
    };
    let sources: Vec<SourceConfig> =
        items.into_iter().map(|item| source(item, base, blackout)).collect::<Result<_>>()?;
    let mut names = BTreeSet::new();
    match sources.iter().find(|source| !names.insert(&source.name)) {
        None => Ok(sources),
        Some(twice) => {
            Err(Error::new(ErrorKind::Configuration, "two sources have the same name")
                .with_context("source", &twice.name))
        }
    }
}

fn source(node: Node, base: &Path, blackout: &Blackout) -> Result<SourceConfig> {
    let Value::Table(mut own) = node.value else {
        return Err(located(Error::new(ErrorKind::Configuration, "a source is a table"), node.place));
    };
    let [named, owned, scheduled, retained, drilled] =
        ["name", "owner", "schedule", "retention", "drill"].map(|key| place_of(&own, key));
    let head = SOURCE_KEYS.iter().filter_map(|key| Some(((*key).to_owned(), own.remove(*key)?))).collect();
    let head = Node { value: Value::Table(head), place: node.place };
    let head: SourceHead = de::from_node(&text::resolve_all(&head, base)?)?;
    check_name(&head.name).map_err(|error| located(error, named))?;
    check_owner(head.owner.as_deref()).map_err(|error| located(error, owned))?;
    check_retention(head.retention.as_ref(), retained)?;
    let blackout = head.blackout.as_ref().unwrap_or(blackout);
    let schedule = schedule(&head, blackout).map_err(|error| located(error, scheduled.or(node.place)))?;
    Ok(SourceConfig {
        name: head.name,
        connector: head.connector,
        owner: head.owner,
        collections: head.collections,
        schedule,
        rpo: head.rpo,
        rto: head.rto,
        overlay: head.overlay.map(|path| base.join(path)),
        retention: head.retention,
        drill: head.drill.map(|drill| drill.read(blackout, drilled)).transpose()?,
        provider: head.provider,
        scratch: head.scratch,
        settings: Settings::of(own, node.place),
    })
}

fn schedule(head: &SourceHead, blackout: &Blackout) -> Result<Option<Schedule>> {
    let Some(pattern) = &head.schedule else {
        let alone = [
            ("time_zone", head.time_zone.is_some()),
            ("jitter", head.jitter.is_some()),
            ("blackout", head.blackout.is_some()),
        ];
        return match alone.into_iter().find(|(_, given)| *given) {
            None => Ok(None),
            Some((key, _)) => {
                let error = Error::new(ErrorKind::Configuration, "this key needs a schedule").with_context("key", key);
                Err(error)
            }
        };
    };
    let schedule = Schedule::parse(pattern, head.time_zone.as_deref().unwrap_or("UTC"))?;
    let jitter = head.jitter.map_or(std::time::Duration::ZERO, |jitter| jitter.0);
    Ok(Some(schedule.with_jitter(jitter).with_blackout(blackout.clone())))
}

/// An owner is shown to people, in tables and alerts: one line of bounded length.
fn check_owner(owner: Option<&str>) -> Result<()> {
    let fits = |owner: &str| {
        !owner.trim().is_empty() && owner.chars().count() <= MAX_OWNER && !owner.chars().any(char::is_control)
    };
    if owner.is_none_or(fits) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, "an owner is one line of 1 to 200 characters"))
}

/// A name becomes a prefix in the store and a file in the state folder.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let fits = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
    let first = name.chars().next().is_some_and(|letter| letter.is_ascii_alphanumeric());
    if first && name.len() <= 63 && name.chars().all(fits) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Configuration,
        "a source's name has 1 to 63 lower-case letters, digits, '-', '_' or '.', and begins with a letter or a digit",
    ))
}
