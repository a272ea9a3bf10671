//! What `saas-backup.toml` says.

mod alert;
mod chore;
mod de;
mod foreign;
mod node;
mod overlay;
mod replica;
mod schema;
mod settings;
mod source;
mod store;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use saas_backup_core::{Error, ErrorKind, Period, Result};
use saas_backup_ops::Blackout;
use saas_backup_repository::{LockMode, RetentionPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "alert-cloudwatch")]
pub(crate) use alert::CloudWatchSettings;
#[cfg(feature = "alert-mail")]
pub(crate) use alert::MailSettings;
pub use alert::{AlertConfig, AlertKind};
pub(crate) use alert::{
    CommandSettings, HeartbeatSettings, OpsgenieSettings, PagerDutySettings, SlackSettings, WebhookSettings,
};
pub use chore::{ChoresConfig, DrillConfig};
pub use overlay::load_overlay;
pub use replica::{ReplicaBy, ReplicaConfig};
pub(crate) use schema::config_schema;
pub use settings::Settings;
pub use source::SourceConfig;
pub(crate) use source::check_name;
pub use store::StoreConfig;
pub use text::Text;

use chore::{ChorePlaces, DrillHead, MaintainHead, ReplicateHead, VerifyHead};
use foreign::{BlackoutSchema, LockModeSchema, PeriodSchema, RetentionSchema};
use node::{Node, Value, located};

/// Largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The configuration of a repository and its sources.
///
/// ```
/// use saas_backup::Config;
///
/// let config = Config::parse(
///     r#"
///     [repository]
///     url = "file:///var/backups/saas"
///     agent = { file = "agent.key" }
///
///     [[source]]
///     name = "blog"
///     connector = "wordpress"
///     url = "https://blog.example.com"
///     schedule = "0 * * * *"
///     "#,
///     "/etc/saas-backup",
/// )?;
/// assert_eq!(config.source("blog")?.connector, "wordpress");
/// # Ok::<_, saas_backup::core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where relative paths start: the folder of the configuration file.
    pub base: PathBuf,
    /// Where locks, schedules and id maps are kept; `None` for the user's state folder.
    pub state: Option<PathBuf>,
    /// The repository.
    pub repository: RepositoryConfig,
    /// Where copies of the repository are kept.
    pub replicas: Vec<ReplicaConfig>,
    /// Which points in time are kept, of sources that say nothing themselves; `None` for all.
    pub retention: Option<RetentionPolicy>,
    /// When no scheduled run begins, save those of sources that say something else. It stands in the schedules already.
    pub blackout: Blackout,
    /// How copies are rehearsed, of sources that say nothing themselves.
    pub drill: DrillConfig,
    /// What `serve` does besides backups and drills.
    pub chores: ChoresConfig,
    /// Who is told what is wrong.
    pub alerts: Vec<AlertConfig>,
    /// Places where data lives that is not backed up.
    pub stores: Vec<StoreConfig>,
    /// The accounts.
    pub sources: Vec<SourceConfig>,
}

/// Where the copies go, and who can read them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RepositoryConfig {
    /// The address: a folder, `file:///path`, `s3://bucket/prefix`, `gs://`, `az://`, `https://` for WebDAV, `memory://`.
    pub url: Text,
    /// The age recipients (`age1…`) who can read the copies. `init` makes a key when none is given.
    #[serde(default)]
    pub recipients: Vec<Text>,
    /// `age` or `none`. Default: `age`.
    #[serde(default)]
    pub encryption: Encryption,
    /// The writer's own key, made by `init`; with the recipients it suffices to back up.
    #[serde(default)]
    pub agent: Option<Text>,
    /// The age identity of a recipient; only needed where data is read.
    #[serde(default)]
    pub identity: Option<Text>,
    /// The owner's public key, printed by `init`: a repository that is not signed with it is refused.
    #[serde(default)]
    pub root: Option<Text>,
    /// Options of the object store, such as `aws_endpoint`; an unknown one is an error.
    #[serde(default)]
    pub options: BTreeMap<String, Text>,
    /// Nobody else writes to this store: needed where it has no conditional creation. Default: `false`.
    #[serde(default)]
    pub single_writer: bool,
    /// The bucket keeps versions of objects: what is removed is removed in all of them. Implied by `lock`. Default: `false`.
    #[serde(default)]
    pub versioned: bool,
    /// How `maintain` locks what is needed against removal: for buckets with object lock. Default: not at all.
    #[serde(default)]
    pub lock: Option<LockConfig>,
}

/// How long objects are locked at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LockConfig {
    /// Records and attachments. Default: `90d`.
    #[serde(default = "LockConfig::data")]
    #[schemars(with = "PeriodSchema")]
    pub data: Period,
    /// Keys, commits and layouts: a key is destroyed this long after it is given up. Default: `14d`.
    #[serde(default = "LockConfig::keys")]
    #[schemars(with = "PeriodSchema")]
    pub keys: Period,
    /// `governance`, which whoever has the right for it can lift, or `compliance`, which nobody can. Default: `governance`.
    #[serde(default)]
    #[schemars(with = "LockModeSchema")]
    pub mode: LockMode,
}

impl LockConfig {
    fn data() -> Period {
        Period(Duration::from_hours(90 * 24))
    }

    fn keys() -> Period {
        Period(Duration::from_hours(14 * 24))
    }
}

/// Whether copies are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Encryption {
    /// With age, to the recipients.
    #[default]
    Age,
    /// Not at all: whoever reads the store reads the data.
    None,
}

impl RepositoryConfig {
    /// An encrypted repository at an address, with nothing else said.
    pub fn new(url: impl Into<Text>) -> Self {
        Self {
            url: url.into(),
            recipients: Vec::new(),
            encryption: Encryption::default(),
            agent: None,
            identity: None,
            root: None,
            options: BTreeMap::new(),
            single_writer: false,
            versioned: false,
            lock: None,
        }
    }
}

/// The file without its sources.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Where the copies go, and who can read them.
    repository: RepositoryConfig,
    /// Other storage that holds copies of the repository.
    #[serde(default)]
    replica: Vec<ReplicaConfig>,
    /// Where locks, schedules and id maps are kept. Default: the user's state folder, or `SAAS_BACKUP_STATE_DIR`.
    #[serde(default)]
    state: Option<Text>,
    /// Which points in time are kept. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<RetentionSchema>")]
    retention: Option<RetentionPolicy>,
    /// Places where data lives that is not backed up: `inventory` lists them.
    #[serde(default)]
    store: Vec<StoreConfig>,
    /// How `serve` and `drill` rehearse restores.
    #[serde(default)]
    drill: Option<DrillHead>,
    /// When `serve` reads and checks the data. Default: never.
    #[serde(default)]
    verify: Option<VerifyHead>,
    /// When `serve` maintains the repository. Default: never.
    #[serde(default)]
    maintain: Option<MaintainHead>,
    /// When `serve` brings the replicas up to date. Default: never.
    #[serde(default)]
    replicate: Option<ReplicateHead>,
    /// What holds for all schedules.
    #[serde(default)]
    schedule: ScheduleHead,
}

/// What holds for all schedules.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScheduleHead {
    /// When no scheduled run begins, by the clocks of each schedule's time zone. Default: none.
    #[serde(default)]
    #[schemars(with = "BlackoutSchema")]
    blackout: Blackout,
}

impl Config {
    /// A configuration that a program makes itself; relative paths start at the working directory.
    pub fn new(repository: RepositoryConfig, sources: Vec<SourceConfig>) -> Self {
        Self {
            base: PathBuf::new(),
            state: None,
            repository,
            replicas: Vec::new(),
            retention: None,
            blackout: Blackout::default(),
            drill: DrillConfig::default(),
            chores: ChoresConfig::default(),
            alerts: Vec::new(),
            stores: Vec::new(),
            sources,
        }
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with file, line and column; never with a text of the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let named = |error: Error| error.with_context("file", path.display());
        let unreadable =
            |error| named(Error::new(ErrorKind::Configuration, "the configuration cannot be read").with_source(error));
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
            return Err(named(Error::new(ErrorKind::Configuration, "the configuration is too large")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(""))).map_err(named)
    }

    /// Reads a configuration; relative paths start at `base`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with line and column; never with a text of the configuration.
    pub fn parse(text: &str, base: impl Into<PathBuf>) -> Result<Self> {
        let base = base.into();
        let mut table = node::parse(text)?;
        let sources = table.remove("source");
        let alerts = match table.remove("alert") {
            None => Vec::new(),
            Some((_, node)) => alert::alerts(node, &base)?,
        };
        replica::check_form(&table)?;
        store::check_form(&table)?;
        let replica_places = replica::places(&table);
        let retained = place_of(&table, "retention");
        let chore_places = ChorePlaces::of(&table);
        for key in ["retention", "schedule", "store", "drill", "verify", "maintain", "replicate"] {
            if let Some((_, node)) = table.get_mut(key) {
                *node = text::resolve_all(node, &base)?;
            }
        }
        let head: Head = de::from_node(&Node { value: Value::Table(table), place: None })?;
        check_retention(head.retention.as_ref(), retained)?;
        let state = head.state.map(|state| state.resolve(&base)).transpose()?;
        let state = state.map(|path| base.join(secrecy::ExposeSecret::expose_secret(&path)));
        let Head {
            repository,
            replica: replicas,
            retention,
            store: stores,
            schedule,
            drill,
            verify,
            maintain,
            replicate,
            ..
        } = head;
        let ScheduleHead { blackout } = schedule;
        replica::check(&replicas, &replica_places)?;
        let drill = drill.map(|head| head.read(&blackout, chore_places.drill)).transpose()?.unwrap_or_default();
        let chores = chore::chores(verify, maintain, replicate, &blackout, &chore_places)?;
        let sources = match sources {
            None => Vec::new(),
            Some((_, node)) => source::sources(node, &base, &blackout)?,
        };
        store::check(&stores, sources.iter().map(|source| source.name.as_str()))?;
        Ok(Self { base, state, repository, replicas, retention, blackout, drill, chores, alerts, stores, sources })
    }

    /// Whether one of the replicas is a copy by objects, from which the repository can be repaired.
    pub fn has_copies(&self) -> bool {
        self.replicas.iter().any(|replica| replica.by == ReplicaBy::Objects)
    }

    /// The source of this name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with the names that there are.
    pub fn source(&self, name: &str) -> Result<&SourceConfig> {
        self.sources.iter().find(|source| source.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.sources.iter().map(|source| source.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
            Error::new(ErrorKind::Configuration, "no such source in the configuration")
                .with_context("source", name)
                .with_context("configured", names)
        })
    }
}

fn place_of(table: &node::Table, key: &str) -> Option<node::Place> {
    table.get(key).and_then(|(_, node)| node.place)
}

/// A policy that keeps nothing is a mistake, and told where it stands.
fn check_retention(policy: Option<&RetentionPolicy>, place: Option<node::Place>) -> Result<()> {
    policy.map_or(Ok(()), RetentionPolicy::check).map_err(|error| located(error, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: &str = "[repository]\nurl = 'memory://'\n";

    fn error(text: &str) -> String {
        let error = Config::parse(&format!("{REPOSITORY}{text}"), "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        error.to_string()
    }

    #[test]
    fn alerts_say_where_they_go() {
        for (text, message) in [
            (
                "[[alert]]\nkind = 'pigeon'",
                "are cloudwatch, command, heartbeat, jsm, mail, opsgenie, pagerduty, slack, webhook",
            ),
            ("[[alert]]\nkind = 'pigeon'", "line: 4, column: 8"),
            ("[alert]\nkind = 'slack'", "two brackets (line: 3"),
            ("[[alert]]\nname = 'x'", "the key `kind` is missing (line: 3, column: 1)"),
            ("[[alert]]\nkind = 'command'\n[[alert]]\nkind = 'command'", "two alerts have the same name"),
        ] {
            let error = error(text);
            assert!(error.contains(message), "{error}");
        }
        let text = "[[alert]]\nkind = 'command'\nat_least = 'error'\n[[alert]]\nkind = 'command'\nname = 'b'\n";
        let config = Config::parse(&format!("{REPOSITORY}{text}"), "").unwrap();
        let [first, second] = config.alerts.try_into().unwrap();
        assert_eq!((first.name.as_str(), first.kind), ("command", AlertKind::Command));
        assert!(first.at_least.is_some() && second.name == "b" && second.at_least.is_none());
    }

    #[test]
    fn unknown_keys_are_errors_with_their_place() {
        let text = error("identiti = 'x'");
        assert!(text.contains("unknown key `identiti`") && text.contains("line: 3, column: 1"), "{text}");
        let text = error("[other]\nx = 1");
        assert!(text.contains("unknown key `other`") && text.contains("line: 3"), "{text}");
    }

    #[test]
    fn a_wrong_source_is_an_error_with_its_place() {
        let source = "[[source]]\nname = 'a'\nconnector = 'x'\n";
        for (text, message) in [
            ("[source]\nname = 'a'".to_owned(), "two brackets"),
            ("[[source]]\nname = 'a'".to_owned(), "the key `connector` is missing"),
            ("[[source]]\nname = '../a'\nconnector = 'x'".to_owned(), "begins with a letter"),
            (format!("{source}{source}"), "two sources"),
            (format!("{source}schedule = '61 * * * *'"), "line: 6, column: 12"),
            (format!("{source}schedule = '@daily'\ntime_zone = 'Mars'"), "unknown time zone"),
            (format!("{source}jitter = '5m'"), "needs a schedule"),
            (format!("{source}rpo = '2 hours'"), "line: 6, column: 7"),
            (format!("{source}blackout = ['22:00-02:00']"), "needs a schedule (key: blackout"),
            (
                format!("{source}schedule = '@daily'\nblackout = ['22:00-02:00', 'Mom 08:00-09:00']"),
                "is written as \"Mon-Fri 08:00-18:00\"",
            ),
            (
                format!("{source}schedule = '@daily'\nblackout = ['22:00-02:00', 'Mom 08:00-09:00']"),
                "line: 7, column: 28",
            ),
            (
                format!("{source}schedule = '@daily'\nblackout = ['00:00-24:00']"),
                "no run could ever begin (line: 7, column: 12)",
            ),
            (format!("[schedule]\nblackout = ['0-8']\n{source}"), "line: 4, column: 13"),
            (format!("[schedule]\nblackouts = ['0-8']\n{source}"), "unknown key `blackouts`"),
            (format!("{source}owner = ' '"), "one line of 1 to 200 characters (line: 6, column: 9)"),
            (format!("{source}owner = \"a\\nb\""), "line: 6, column: 9"),
            (format!("{source}owner = '{}'", "o".repeat(201)), "line: 6, column: 9"),
            (format!("{source}retention = {{ keep_dayly = 7 }}"), "line: 6, column: 15"),
        ] {
            let error = error(&text);
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_retention_says_what_to_keep() {
        for (text, message) in [
            ("[retention]\nkeep_daily = 7\nkeep_dayly = 7", "unknown key `keep_dayly`; the known ones are keep_last"),
            ("[retention]\nkeep_daily = 7\nkeep_dayly = 7", "line: 5, column: 1"),
            ("[retention]\nkeep_daily = -1", "line: 4, column: 14"),
            ("[retention]\nkeep_within = '7 days'", "write 90s, 15m, 2h, 7d or 1h30m (line: 4, column: 15)"),
            ("\n[retention]\nmin_age = '7d'", "no rule that keeps"),
            ("\n[retention]\nmin_age = '7d'", "line: 4"),
        ] {
            let error = error(text);
            assert!(error.contains(message), "{error}");
        }
        let text = "[retention]\nkeep_daily = 7\n[[source]]\nname = 'a'\nconnector = 'x'\nretention.keep_last = 2\n";
        let config = Config::parse(&format!("{REPOSITORY}{text}"), "").unwrap();
        assert_eq!(config.retention, Some(RetentionPolicy::default().with_keep_daily(7)));
        assert_eq!(config.sources[0].retention, Some(RetentionPolicy::default().with_keep_last(2)));
    }

    #[test]
    fn what_a_source_says_of_blackouts_goes_before_what_holds_for_all() {
        let all = "[schedule]\nblackout = ['08:00-18:00']\n";
        let source = "[[source]]\nconnector = 'x'\nschedule = '0 * * * *'\ntime_zone = 'Europe/Madrid'\n";
        let sources = format!("{source}name = 'a'\n{source}name = 'b'\nblackout = ['Mon 12:00-13:00']\n");
        let config =
            Config::parse(&format!("{REPOSITORY}{all}{sources}{source}name = 'c'\nblackout = []"), "").unwrap();
        // Monday, 12:00 in Madrid.
        let due = "2026-01-05T11:00:00Z".parse().unwrap();
        let starts = |source: &SourceConfig| {
            source.schedule.as_ref().and_then(|schedule| schedule.starts("x", due)).unwrap().format("%H:%M").to_string()
        };
        assert_eq!(config.sources.iter().map(starts).collect::<Vec<_>>(), ["17:00", "12:00", "11:00"]);
    }

    #[test]
    fn replicas_say_where_they_lie() {
        for (text, message) in [
            ("[replica]\nurl = 's3://x'", "two brackets (line: 3, column: 1)"),
            ("[[replica]]\nurl = 's3://x'\nkey = 'x'", "the known ones are url, by, recipients"),
            ("[[replica]]\nurl = 's3://x'\nkey = 'x'", "line: 5, column: 1"),
            ("[[replica]]\nurl = 's3://x'\nby = 'x'", "line: 5"),
            ("[[replica]]\nurl = 's3://x'\nidentity = 'x'", "for keys of its own add by = \"records\" (line: 3"),
            ("[[replica]]\nurl = 's3://x'\nby = 'records'", "identity = { file = \"replica.key\" }"),
            ("[[replica]]\nurl = 's3://x'\nby = 'records'\nidentity = 'x'\nprune = true", "is not pruned (line: 3"),
            (
                "[[replica]]\nurl = 's3://x'\nby = 'records'\nidentity = 'x'\nencryption = 'none'",
                "no sense with encryption = \"none\"",
            ),
            ("[[replica]]\noptions = {}", "the key `url` is missing (line: 3, column: 1)"),
        ] {
            let error = error(text);
            assert!(error.contains(message), "{error}");
        }
        let text = "[[replica]]\nurl = { env = 'X' }\n[[replica]]\nurl = 'copy'\nenvironment = false\noptions.a = 'b'";
        let config = Config::parse(&format!("{REPOSITORY}{text}"), "").unwrap();
        let [first, second] = config.replicas.try_into().unwrap();
        assert!(first.environment && first.options.is_empty() && !first.single_writer);
        assert_eq!(first.by, ReplicaBy::Objects);
        assert_eq!((second.url.plain(), second.environment), (Some("copy"), false));
        assert_eq!(second.options["a"].plain(), Some("b"));
    }

    #[test]
    fn a_source_that_is_not_there_names_those_that_are() {
        let config = Config::parse(&format!("{REPOSITORY}[[source]]\nname = 'a'\nconnector = 'x'"), "").unwrap();
        assert!(config.source("b").unwrap_err().to_string().contains("configured: a"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let text =
            "identity = 'hunter2'\noptions = { k = 'hunter2' }\n[[source]]\nname = 'a'\nconnector = 'x'\np = 'hunter2'";
        let config = Config::parse(&format!("{REPOSITORY}{text}"), "").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
