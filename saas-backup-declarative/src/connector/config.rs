use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Which manifest, and the settings that it wants.
///
/// ```
/// use saas_backup_declarative::DeclarativeConfig;
///
/// let config: DeclarativeConfig =
///     serde_json::from_str(r#"{"manifest": "source-missive.yaml", "config": {"api_key": "secret"}}"#)?;
/// assert_eq!(config.lag_minutes, 10);
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DeclarativeConfig {
    /// The file of the manifest.
    pub manifest: PathBuf,
    /// A file that says how records are read by people, and where their attachments are. Default: the file that lies beside
    /// the manifest as `NAME.overlay.yaml`, if there is one.
    #[serde(default)]
    pub overlay: Option<PathBuf>,
    /// The manifest's own settings: what its `spec` asks for.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Requests a second. Default: 5.
    #[serde(default = "requests_per_second")]
    pub requests_per_second: f64,
    /// Minutes that an increment reads again before the latest time that the last one saw. Default: 10.
    #[serde(default = "lag_minutes")]
    pub lag_minutes: u32,
    /// Further hosts that requests may go to with the account's credentials, besides those that the manifest names.
    /// Default: none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether addresses may be private or loopback, and may be spoken to without encryption. Default: no.
    #[serde(default)]
    pub allow_private_addresses: bool,
    /// The file in which a refresh token is kept that the provider replaces. Needed where the manifest says that it does.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Whether files are fetched from members that their schema and their names make likely to hold the address of one, in
    /// collections for which the overlay names none. Default: no.
    #[serde(default)]
    pub guess_attachments: bool,
}

/// How requests are sent, whatever the manifest.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct Options {
    /// Requests a second. Default: 5.
    pub requests_per_second: f64,
    /// Minutes that an increment reads again before the latest time that the last one saw, for changes that become visible
    /// late. Default: 10.
    pub lag_minutes: u32,
    /// Further hosts that requests may go to with the account's credentials, besides those that the manifest names: where
    /// links to the next page lead. Default: none.
    pub hosts: Vec<String>,
    /// Whether addresses may be private or loopback, and may be spoken to without encryption. Default: no.
    pub allow_private_addresses: bool,
    /// The file in which a refresh token is kept that the provider replaces, with rights for its owner alone. Needed where the
    /// manifest says that the provider does.
    pub token_file: Option<PathBuf>,
    /// Whether files are fetched from members that their schema and their names make likely to hold the address of one, in
    /// collections for which the overlay names none. What is wrongly taken for a file is a gap. Default: no.
    pub guess_attachments: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            requests_per_second: requests_per_second(),
            lag_minutes: lag_minutes(),
            hosts: Vec::new(),
            allow_private_addresses: false,
            token_file: None,
            guess_attachments: false,
        }
    }
}

fn requests_per_second() -> f64 {
    5.0
}

fn lag_minutes() -> u32 {
    10
}

/// The settings of a connector that comes with this crate: the options, and beside them what its manifest asks for.
#[derive(Clone, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct BuiltInConfig {
    /// How requests are sent.
    #[serde(flatten)]
    pub options: Options,
    /// What the manifest asks for.
    #[serde(flatten)]
    pub config: Map<String, Value>,
}

impl DeclarativeConfig {
    /// A manifest, without settings.
    pub fn new(manifest: impl Into<PathBuf>) -> Self {
        Self {
            manifest: manifest.into(),
            overlay: None,
            config: Map::new(),
            requests_per_second: requests_per_second(),
            lag_minutes: lag_minutes(),
            hosts: Vec::new(),
            allow_private_addresses: false,
            token_file: None,
            guess_attachments: false,
        }
    }

    /// Sets one of the manifest's settings.
    #[must_use]
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// Sets how requests are sent.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        let Options { requests_per_second, lag_minutes, hosts, allow_private_addresses, token_file, guess_attachments } =
            options;
        Self { requests_per_second, lag_minutes, hosts, allow_private_addresses, token_file, guess_attachments, ..self }
    }

    /// How requests are sent.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            requests_per_second: self.requests_per_second,
            lag_minutes: self.lag_minutes,
            hosts: self.hosts.clone(),
            allow_private_addresses: self.allow_private_addresses,
            token_file: self.token_file.clone(),
            guess_attachments: self.guess_attachments,
        }
    }

    /// Makes relative paths start in a folder.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.manifest = folder.join(self.manifest);
        self.overlay = self.overlay.map(|overlay| folder.join(overlay));
        self.token_file = self.token_file.map(|file| folder.join(file));
        self
    }
}

impl Options {
    /// Sets the requests a second.
    #[must_use]
    pub fn with_requests_per_second(mut self, rate: f64) -> Self {
        self.requests_per_second = rate;
        self
    }

    /// Allows private addresses, and HTTP without encryption.
    #[must_use]
    pub fn with_private_addresses(mut self, allowed: bool) -> Self {
        self.allow_private_addresses = allowed;
        self
    }

    /// Fetches what is likely to be a file.
    #[must_use]
    pub fn with_guessed_attachments(mut self, guessed: bool) -> Self {
        self.guess_attachments = guessed;
        self
    }

    /// Sets the overlap of increments.
    #[must_use]
    pub fn with_lag_minutes(mut self, minutes: u32) -> Self {
        self.lag_minutes = minutes;
        self
    }

    fn in_folder(mut self, folder: &Path) -> Self {
        self.token_file = self.token_file.map(|file| folder.join(file));
        self
    }
}

impl BuiltInConfig {
    /// What the manifest asks for, all else by default.
    pub fn new(config: Map<String, Value>) -> Self {
        Self { options: Options::default(), config }
    }

    /// Makes relative paths start in a folder.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.options = self.options.in_folder(folder);
        self
    }
}

/// Names the settings, and shows none of their values.
impl std::fmt::Debug for DeclarativeConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DeclarativeConfig")
            .field("manifest", &self.manifest)
            .field("overlay", &self.overlay)
            .field("config", &self.config.keys().collect::<Vec<_>>())
            .field("options", &self.options())
            .finish_non_exhaustive()
    }
}

/// Names the settings, and shows none of their values.
impl std::fmt::Debug for BuiltInConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("BuiltInConfig")
            .field("options", &self.options)
            .field("config", &self.config.keys().collect::<Vec<_>>())
            .finish()
    }
}
