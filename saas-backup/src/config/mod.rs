//! What `saas-backup.toml` says.

mod de;
mod node;
mod overlay;
mod period;
mod schema;
mod settings;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use saas_backup_core::{CollectionName, Error, ErrorKind, Result};
use saas_backup_ops::Schedule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use overlay::load_overlay;
pub use period::Period;
pub(crate) use schema::config_schema;
pub use settings::Settings;
pub use text::Text;

use node::{Node, Value, located};

/// Largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// What the format of the configuration names, and this version does not do: refused, never ignored.
const NOT_YET: [(&str, &str); 3] = [
    ("replica", "copies of the repository are not made by this version yet"),
    ("retention", "this version keeps every point in time and forgets none yet"),
    ("alert", "this version sends no alerts yet"),
];

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
        }
    }
}

/// One account that is backed up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceConfig {
    /// Its name in the repository: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The name of its connector.
    pub connector: String,
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
            collections: None,
            schedule: None,
            rpo: None,
            rto: None,
            overlay: None,
            settings,
        })
    }
}

/// What a `[[source]]` says besides its connector's own settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourceHead {
    /// Its name in the repository: lower-case letters, digits, `-`, `_`, `.`.
    name: String,
    /// The name of its connector; `saas-backup connectors` lists them.
    connector: String,
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
    jitter: Option<Period>,
    /// How old the newest complete copy may be; `status` compares.
    #[serde(default)]
    rpo: Option<Period>,
    /// How long a restore may take; `status` shows it.
    #[serde(default)]
    rto: Option<Period>,
    /// A TOML file that says how exports read the collections, otherwise than the connector does.
    #[serde(default)]
    overlay: Option<PathBuf>,
}

const SOURCE_KEYS: [&str; 9] =
    ["name", "connector", "collections", "schedule", "time_zone", "jitter", "rpo", "rto", "overlay"];

/// The file without its sources.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Where the copies go, and who can read them.
    repository: RepositoryConfig,
    /// Where locks, schedules and id maps are kept. Default: the user's state folder, or `SAAS_BACKUP_STATE_DIR`.
    #[serde(default)]
    state: Option<Text>,
}

impl Config {
    /// A configuration that a program makes itself; relative paths start at the working directory.
    pub fn new(repository: RepositoryConfig, sources: Vec<SourceConfig>) -> Self {
        Self { base: PathBuf::new(), state: None, repository, sources }
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
        for (name, why) in NOT_YET {
            if let Some((place, _)) = table.get(name) {
                let error = Error::new(ErrorKind::Configuration, why).with_context("key", name);
                return Err(located(error, *place));
            }
        }
        let sources = match table.remove("source") {
            None => Vec::new(),
            Some((_, node)) => sources(node, &base)?,
        };
        let head: Head = de::from_node(&Node { value: Value::Table(table), place: None })?;
        let state = head.state.map(|state| state.resolve(&base)).transpose()?;
        let state = state.map(|path| base.join(secrecy::ExposeSecret::expose_secret(&path)));
        Ok(Self { base, state, repository: head.repository, sources })
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

fn sources(node: Node, base: &Path) -> Result<Vec<SourceConfig>> {
    let Value::Array(items) = node.value else {
        let error = Error::new(ErrorKind::Configuration, "sources are written as [[source]], with two brackets");
        return Err(located(error, node.place));
    };
    let sources: Vec<SourceConfig> = items.into_iter().map(|item| source(item, base)).collect::<Result<_>>()?;
    let mut names = BTreeSet::new();
    match sources.iter().find(|source| !names.insert(&source.name)) {
        None => Ok(sources),
        Some(twice) => {
            Err(Error::new(ErrorKind::Configuration, "two sources have the same name")
                .with_context("source", &twice.name))
        }
    }
}

fn source(node: Node, base: &Path) -> Result<SourceConfig> {
    let Value::Table(mut own) = node.value else {
        return Err(located(Error::new(ErrorKind::Configuration, "a source is a table"), node.place));
    };
    let place_of = |own: &node::Table, key: &str| own.get(key).and_then(|(_, node)| node.place);
    let [named, scheduled] = ["name", "schedule"].map(|key| place_of(&own, key));
    let head = SOURCE_KEYS.iter().filter_map(|key| Some(((*key).to_owned(), own.remove(*key)?))).collect();
    let head = Node { value: Value::Table(head), place: node.place };
    let head: SourceHead = de::from_node(&text::resolve_all(&head, base)?)?;
    check_name(&head.name).map_err(|error| located(error, named))?;
    let schedule = schedule(&head).map_err(|error| located(error, scheduled.or(node.place)))?;
    Ok(SourceConfig {
        name: head.name,
        connector: head.connector,
        collections: head.collections,
        schedule,
        rpo: head.rpo,
        rto: head.rto,
        overlay: head.overlay.map(|path| base.join(path)),
        settings: Settings::of(own, node.place),
    })
}

fn schedule(head: &SourceHead) -> Result<Option<Schedule>> {
    let Some(pattern) = &head.schedule else {
        let alone = [("time_zone", head.time_zone.is_some()), ("jitter", head.jitter.is_some())];
        return match alone.into_iter().find(|(_, given)| *given) {
            None => Ok(None),
            Some((key, _)) => {
                let error = Error::new(ErrorKind::Configuration, "this key needs a schedule").with_context("key", key);
                Err(error)
            }
        };
    };
    let schedule = Schedule::parse(pattern, head.time_zone.as_deref().unwrap_or("UTC"))?;
    Ok(Some(schedule.with_jitter(head.jitter.map_or(std::time::Duration::ZERO, |jitter| jitter.0))))
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
    fn what_this_version_does_not_do_is_an_error() {
        assert!(error("[[replica]]\nurl = 's3://x'").contains("copies of the repository"));
        assert!(error("[retention]\nkeep_daily = 1").contains("(key: retention, line: 3, column: 2)"));
        assert!(error("[[alert]]\nkind = 'mail'").contains("no alerts"));
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
        ] {
            let error = error(&text);
            assert!(error.contains(message), "{error}");
        }
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
