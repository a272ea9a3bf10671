use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saas_backup_core::{CheckReport, Clock, Connector, Error, ErrorKind, Result, SystemClock};
#[cfg(feature = "packed")]
use saas_backup_formats::packed;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{self, Settings};

/// What a constructor may use besides its settings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// Where relative paths in settings start.
    pub base: PathBuf,
    /// Where a connector may keep what it must not lose, such as a token that the provider rotated.
    pub state: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Context {
    /// Paths start at `base`, things are kept in `state`, and the machine's clock tells the time.
    pub fn new(base: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self { base: base.into(), state: state.into(), clock: Arc::new(SystemClock) }
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

type Open = dyn Fn(&Settings, &Context) -> Result<Arc<dyn Connector>> + Send + Sync;
type CheckFormat = dyn Fn(&Path) -> Result<CheckReport> + Send + Sync;

/// A connector that can be named in a configuration.
#[derive(Clone)]
pub struct ConnectorEntry {
    name: String,
    summary: String,
    documentation: String,
    schema: Arc<dyn Fn() -> Value + Send + Sync>,
    open: Arc<Open>,
}

impl ConnectorEntry {
    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it backs up, in one line.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// What it captures and what it cannot, in Markdown; may be empty.
    pub fn documentation(&self) -> &str {
        &self.documentation
    }

    /// The JSON Schema of its settings.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// Makes the connector. Blocks while texts are read from files and commands.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the settings do not do.
    pub fn open(&self, settings: &Settings, context: &Context) -> Result<Arc<dyn Connector>> {
        (self.open)(settings, context)
    }

    /// Sets how the JSON Schema of its settings is found, where their type does not say it all.
    pub fn described_by(&mut self, schema: impl Fn() -> Value + Send + Sync + 'static) -> &mut Self {
        self.schema = Arc::new(schema);
        self
    }

    /// Sets the documentation, in Markdown.
    pub fn document(&mut self, markdown: impl Into<String>) -> &mut Self {
        self.documentation = markdown.into();
        self
    }
}

impl fmt::Debug for ConnectorEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ConnectorEntry({})", self.name)
    }
}

/// An open format that can be named on the command line.
#[derive(Clone)]
pub struct FormatEntry {
    name: String,
    summary: String,
    schema: Value,
    open: Arc<Open>,
    check: Option<Arc<CheckFormat>>,
    shows_history: bool,
}

impl FormatEntry {
    /// The name on the command line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in one line.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The JSON Schema of its settings; `path` is where it is written.
    pub fn schema(&self) -> Value {
        self.schema.clone()
    }

    /// Makes the connector to a folder in this format, or to a file where the folder is packed (`.zip`, `.tar.zst`); it
    /// need not exist. Settings that are not given have their defaults.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the path does not do.
    pub fn open(&self, path: &Path, context: &Context) -> Result<Arc<dyn Connector>> {
        self.open_with(path, &Settings::new(), context)
    }

    /// As [`open`](Self::open), with settings of the format.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the path or the settings do not do.
    pub fn open_with(&self, path: &Path, settings: &Settings, context: &Context) -> Result<Arc<dyn Connector>> {
        let (open, settings, context) = (Arc::clone(&self.open), settings.clone(), context.clone());
        let open = move |folder: &Path| {
            let folder = folder.to_str().ok_or_else(|| {
                Error::new(ErrorKind::Configuration, "the path of an export is not UTF-8")
                    .with_context("path", folder.display())
            })?;
            open(&settings.clone().with("path", folder), &context)
        };
        #[cfg(feature = "packed")]
        if packed::Packing::of(path).is_some() {
            // Settings that do not do are told before anything is written.
            open(path)?;
            return Ok(Arc::new(packed::Packed::new(path, open)?));
        }
        open(path)
    }

    /// Says how an export in this format is looked through; without it nothing is.
    pub fn checked_by(&mut self, check: impl Fn(&Path) -> Result<CheckReport> + Send + Sync + 'static) -> &mut Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// Says that a person reads an export in this format: it holds what records were before, unless it is asked not to.
    pub fn showing_history(&mut self) -> &mut Self {
        self.shows_history = true;
        self
    }

    /// Whether an export holds what records were before if nobody says otherwise.
    pub fn shows_history(&self) -> bool {
        self.shows_history
    }

    /// Looks through an export for faults that other programs would stumble over or, worse, would not notice; `None` if
    /// the format has no such check. Blocks while files are read.
    ///
    /// # Errors
    ///
    /// If the export cannot be read.
    pub fn check(&self, path: &Path) -> Result<Option<CheckReport>> {
        let Some(check) = &self.check else { return Ok(None) };
        #[cfg(feature = "packed")]
        if packed::Packing::of(path).is_some() {
            return packed::check(path, |folder| check(folder)).map(Some);
        }
        check(path).map(Some)
    }
}

impl fmt::Debug for FormatEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FormatEntry({})", self.name)
    }
}

/// The connectors and formats that a configuration can name.
///
/// [`Registry::default`] knows all that this build has; programs add their own:
///
/// ```
/// use std::sync::Arc;
/// use saas_backup::Registry;
/// use saas_backup::core::memory::{MemoryConnector, MemoryStore};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct CrmSettings {
///     /// The address of the server.
///     url: String,
/// }
///
/// let mut registry = Registry::default();
/// registry.connector("crm", "Our own CRM", |settings: CrmSettings, _| {
///     // Your own connector, made of the settings.
///     Ok(Arc::new(MemoryConnector::new(MemoryStore::new())))
/// });
/// assert_eq!(registry.find("crm")?.summary(), "Our own CRM");
/// # Ok::<_, saas_backup::core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    connectors: BTreeMap<String, ConnectorEntry>,
    formats: BTreeMap<String, FormatEntry>,
}

impl Registry {
    /// A registry that knows nothing.
    pub fn empty() -> Self {
        Self { connectors: BTreeMap::new(), formats: BTreeMap::new() }
    }

    /// Adds a connector, or replaces the one of this name: its settings type gives the schema and reads the settings.
    pub fn connector<S, F>(
        &mut self,
        name: impl Into<String>,
        summary: impl Into<String>,
        open: F,
    ) -> &mut ConnectorEntry
    where
        S: DeserializeOwned + JsonSchema,
        F: Fn(S, &Context) -> Result<Arc<dyn Connector>> + Send + Sync + 'static,
    {
        let name = name.into();
        let entry = ConnectorEntry {
            name: name.clone(),
            summary: summary.into(),
            documentation: String::new(),
            schema: Arc::new(|| schemars::schema_for!(S).to_value()),
            open: Arc::new(move |settings, context| open(settings.read(&context.base)?, context)),
        };
        self.connectors.remove(&name);
        self.connectors.entry(name).or_insert(entry)
    }

    /// Adds an open format, or replaces the one of this name: its settings type gives the schema and reads the settings,
    /// of which `path` is where the export is.
    pub fn format<S, F>(&mut self, name: impl Into<String>, summary: impl Into<String>, open: F) -> &mut FormatEntry
    where
        S: DeserializeOwned + JsonSchema,
        F: Fn(S, &Context) -> Result<Arc<dyn Connector>> + Send + Sync + 'static,
    {
        let name = name.into();
        let entry = FormatEntry {
            name: name.clone(),
            summary: summary.into(),
            schema: schemars::schema_for!(S).to_value(),
            open: Arc::new(move |settings, context| open(settings.read(&context.base)?, context)),
            check: None,
            shows_history: false,
        };
        self.formats.remove(&name);
        self.formats.entry(name).or_insert(entry)
    }

    /// The connectors, by name.
    pub fn connectors(&self) -> impl Iterator<Item = &ConnectorEntry> {
        self.connectors.values()
    }

    /// The formats, by name.
    pub fn formats(&self) -> impl Iterator<Item = &FormatEntry> {
        self.formats.values()
    }

    /// The connector of this name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with the names that there are.
    pub fn find(&self, name: &str) -> Result<&ConnectorEntry> {
        self.connectors.get(name).ok_or_else(|| unknown("connector", name, self.connectors.keys()))
    }

    /// The format of this name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with the names that there are.
    pub fn find_format(&self, name: &str) -> Result<&FormatEntry> {
        self.formats.get(name).ok_or_else(|| unknown("format", name, self.formats.keys()))
    }

    /// The JSON Schema of a configuration file that names these connectors, for editors and checks.
    pub fn config_schema(&self) -> Value {
        config::config_schema(self)
    }
}

fn unknown<'a>(what: &'static str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(" ") };
    Error::new(ErrorKind::Configuration, format!("this build has no {what} of this name"))
        .with_context(what, name)
        .with_context("built in", known)
}
