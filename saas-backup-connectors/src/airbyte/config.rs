use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Which source, with which settings.
///
/// ```
/// use saas_backup_connectors::airbyte::AirbyteConfig;
///
/// let config: AirbyteConfig =
///     serde_json::from_str(r#"{"command": ["source-github"], "config": {"access_token": "secret"}}"#)?;
/// assert_eq!((config.silence_minutes, config.at_once), (10, 1));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AirbyteConfig {
    /// The program and its first arguments; no shell reads them. A program with a folder in its name starts from the
    /// folder of the configuration. `{files}` in an argument stands for the folder of the files that it is given, for
    /// containers: `["docker", "run", "--rm", "-i", "-v", "{files}:{files}", "airbyte/source-faker"]`.
    pub command: Vec<String>,
    /// The source's own settings.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// A JSON file with the source's own settings, in place of `config` where it is there. What the source replaces in
    /// them, such as a refresh token, is kept in it.
    #[serde(default)]
    pub config_file: Option<PathBuf>,
    /// Variables of the source's environment, beside the few that say where things are. Secrets belong here or into
    /// `config`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub environment: BTreeMap<String, SecretString>,
    /// Minutes that the source may say nothing. Default: 10.
    #[serde(default = "silence_minutes")]
    pub silence_minutes: u32,
    /// Hours that one run of the source may take. Default: 24.
    #[serde(default = "longest_hours")]
    pub longest_hours: u32,
    /// Runs of the source at the same time, each for a collection of its own. They do not know of each other: two need
    /// twice the provider's limits, and may not share a token that is replaced. Default: 1.
    #[serde(default = "at_once")]
    pub at_once: u32,
}

impl AirbyteConfig {
    /// A program with its first arguments, everything else by default.
    pub fn new<T: Into<String>>(command: impl IntoIterator<Item = T>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            config: Map::new(),
            config_file: None,
            environment: BTreeMap::new(),
            silence_minutes: silence_minutes(),
            longest_hours: longest_hours(),
            at_once: at_once(),
        }
    }

    /// Sets one of the source's own settings.
    #[must_use]
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// Names the file of the source's own settings.
    #[must_use]
    pub fn with_config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.config_file = Some(file.into());
        self
    }

    /// Sets a variable of the source's environment.
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
impl std::fmt::Debug for AirbyteConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AirbyteConfig")
            .field("command", &self.command.first())
            .field("config", &self.config.keys().collect::<Vec<_>>())
            .field("config_file", &self.config_file)
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
