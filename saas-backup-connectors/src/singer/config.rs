use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Which tap, with which settings.
///
/// ```
/// use saas_backup_connectors::singer::SingerConfig;
///
/// let config: SingerConfig =
///     serde_json::from_str(r#"{"command": ["tap-github"], "config": {"access_token": "secret"}}"#)?;
/// assert_eq!((config.silence_minutes, config.at_once), (10, 1));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SingerConfig {
    /// The program and its first arguments; no shell reads them. A program with a folder in its name starts from the
    /// folder of the configuration. `{files}` in an argument stands for the folder of the files that it is given, for
    /// containers.
    pub command: Vec<String>,
    /// The tap's own settings.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// A JSON file with the tap's own settings, in place of `config` where it is there. What the tap replaces in them, such
    /// as a refresh token, is kept in it.
    #[serde(default)]
    pub config_file: Option<PathBuf>,
    /// A file with the tap's catalog, in which you chose streams and members. Default: all that the tap discovers.
    #[serde(default)]
    pub catalog: Option<PathBuf>,
    /// How the tap is told what to read. Default: `catalog`.
    #[serde(default)]
    pub selection: SingerSelection,
    /// Streams that have to be selected along with one, for taps that read it by way of them: child → parents.
    #[serde(default)]
    pub parents: BTreeMap<String, Vec<String>>,
    /// Variables of the tap's environment, beside the few that say where things are. Secrets belong here or into `config`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub environment: BTreeMap<String, SecretString>,
    /// Minutes that the tap may say nothing. Default: 10.
    #[serde(default = "silence_minutes")]
    pub silence_minutes: u32,
    /// Hours that one run of the tap may take. Default: 24.
    #[serde(default = "longest_hours")]
    pub longest_hours: u32,
    /// Runs of the tap at the same time, each for a collection of its own. Taps do not know of each other: two need twice
    /// the provider's limits, and may not share a token that is replaced. Default: 1.
    #[serde(default = "at_once")]
    pub at_once: u32,
}

/// How a tap is told which stream to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SingerSelection {
    /// By `--catalog`.
    #[default]
    Catalog,
    /// By `--properties`, as old taps want it.
    Properties,
    /// Not at all: every run of it reads all streams, of which one is kept. For taps that fail on a catalog.
    None,
}

impl SingerConfig {
    /// A program with its first arguments, everything else by default.
    pub fn new<T: Into<String>>(command: impl IntoIterator<Item = T>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            config: Map::new(),
            config_file: None,
            catalog: None,
            selection: SingerSelection::Catalog,
            parents: BTreeMap::new(),
            environment: BTreeMap::new(),
            silence_minutes: silence_minutes(),
            longest_hours: longest_hours(),
            at_once: at_once(),
        }
    }

    /// Sets one of the tap's own settings.
    #[must_use]
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// Names the file of the tap's own settings.
    #[must_use]
    pub fn with_config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.config_file = Some(file.into());
        self
    }

    /// Sets how the tap is told what to read.
    #[must_use]
    pub fn with_selection(mut self, selection: SingerSelection) -> Self {
        self.selection = selection;
        self
    }

    /// Sets a variable of the tap's environment.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Reads relative paths from a folder.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        crate::process::in_folder(&mut self.command, folder);
        self.config_file = self.config_file.map(|file| folder.join(file));
        self.catalog = self.catalog.map(|file| folder.join(file));
        self
    }
}

fn silence_minutes() -> u32 {
    10
}

fn longest_hours() -> u32 {
    24
}

fn at_once() -> u32 {
    1
}

/// Names the settings, and shows none of their values.
impl std::fmt::Debug for SingerConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SingerConfig")
            .field("command", &self.command.first())
            .field("config", &self.config.keys().collect::<Vec<_>>())
            .field("config_file", &self.config_file)
            .field("catalog", &self.catalog)
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
