//! From the text of a manifest to components that can be built.

mod component;
mod defaults;
mod references;
mod yaml;

use std::path::Path;
use std::sync::Arc;

use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::time::Period;

pub(crate) use component::Component;
pub(crate) use defaults::propagate_stream;
pub(crate) use yaml::parse as parse_yaml;

/// Largest manifest that is read, in bytes. The largest public one has 1.25 MB.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A low-code manifest, with its references resolved; nothing of it was run yet.
///
/// ```
/// use saas_backup_declarative::Manifest;
///
/// let manifest = Manifest::parse(
///     r#"
/// version: 6.0.0
/// type: DeclarativeSource
/// streams:
///   - type: DeclarativeStream
///     name: notes
///     primary_key: id
///     retriever:
///       type: SimpleRetriever
///       requester: { type: HttpRequester, url_base: "https://api.example.com", path: notes }
///       record_selector: { type: RecordSelector, extractor: { type: DpathExtractor, field_path: [data] } }
///     schema_loader: { type: InlineSchemaLoader, schema: { type: object } }
/// "#,
/// )?;
/// assert_eq!(manifest.version(), Some("6.0.0"));
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Manifest {
    root: Arc<Value>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] with line and column if it is no YAML, or with the name of a reference that leads
    /// nowhere or to itself; [`ErrorKind::LimitExceeded`] if it grows beyond bounds when references are resolved.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() as u64 > MAX_BYTES {
            return Err(too_large());
        }
        let document = yaml::parse(text)?;
        if !document.is_object() {
            return Err(Error::new(ErrorKind::Configuration, "the manifest is no mapping"));
        }
        let resolved = references::resolve(&document)?;
        Ok(Self { root: Arc::new(defaults::propagate(resolved)) })
    }

    /// Reads a manifest from a file.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), with the file; [`ErrorKind::Configuration`] if it cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let named = |error: Error| error.with_context("file", path.display());
        let unreadable =
            |error| named(Error::new(ErrorKind::Configuration, "the manifest cannot be read").with_source(error));
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(named(too_large()));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?).map_err(named)
    }

    /// The version of the language that it is written in.
    pub fn version(&self) -> Option<&str> {
        self.root.get("version")?.as_str()
    }

    /// What it says of itself.
    pub fn description(&self) -> Option<&str> {
        self.root.get("description")?.as_str()
    }

    /// The JSON Schema of its settings.
    pub fn settings(&self) -> Option<&Value> {
        self.root.get("spec")?.get("connection_specification")
    }

    /// The settings that are secrets, as paths of members.
    pub fn secrets(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        if let Some(settings) = self.settings() {
            find_secrets(settings, &mut Vec::new(), &mut found, 0);
        }
        found
    }

    /// The same, changed.
    #[cfg(feature = "replay")]
    pub(crate) fn changed(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut root = (*self.root).clone();
        change(&mut root);
        Self { root: Arc::new(root) }
    }

    /// What tells whether the settings do.
    pub(crate) fn check(&self) -> Check {
        let root = self.root();
        let Ok(Some(check)) = root.child("check") else { return Check::default() };
        if check.kind() == "CheckDynamicStream" {
            let reads = check.get("use_check_availability").is_none() || check.flag("use_check_availability");
            return Check { names: Vec::new(), made: if reads { check.count("stream_count") } else { Some(0) } };
        }
        let names = check.get("stream_names").and_then(Value::as_array);
        let names: Vec<String> =
            names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        // One collection of a kind is as good as another.
        let made = check.get("dynamic_streams_check_configs").filter(|_| names.is_empty()).map(|_| 1);
        Check { names, made }
    }

    /// The pace of the strictest of its rate limits, of those that speak of a minute or less: longer ones let a run begin
    /// fast, and the provider says when it was enough.
    pub(crate) fn requests_per_second(&self) -> Option<f64> {
        const LONGEST: f64 = 60.0;
        let policies = self.root.get("api_budget")?.get("policies")?.as_array()?;
        let rate = |limit: &Value, period: &Value| -> Option<f64> {
            let limit = limit.as_f64().or_else(|| limit.as_str()?.parse().ok())?;
            let seconds = Period::parse(period.as_str()?).filter(|period| period.months == 0)?.seconds();
            (limit > 0.0 && seconds > 0.0 && seconds <= LONGEST).then(|| limit / seconds)
        };
        let rates = policies.iter().flat_map(|policy| {
            let fixed = policy.get("call_limit").zip(policy.get("period")).into_iter();
            let moving = policy.get("rates").and_then(Value::as_array).into_iter().flatten();
            let moving = moving.filter_map(|one| one.get("limit").zip(one.get("interval")));
            fixed.chain(moving).filter_map(|(limit, period)| rate(limit, period)).collect::<Vec<_>>()
        });
        rates.min_by(f64::total_cmp)
    }

    /// Whether the provider replaces refresh tokens when they are used.
    pub(crate) fn replaces_tokens(&self) -> bool {
        has_member(&self.root, "refresh_token_updater", 0)
    }

    pub(crate) fn root(&self) -> Component<'_> {
        Component::root(&self.root)
    }
}

/// Which streams are read to see whether the settings do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Check {
    /// The first of these that can be read.
    pub(crate) names: Vec<String>,
    /// So many, whichever there are; of none it is enough that they are listed.
    pub(crate) made: Option<usize>,
}

fn has_member(value: &Value, name: &str, depth: usize) -> bool {
    if depth > 64 {
        return false;
    }
    match value {
        Value::Object(members) => {
            members.get(name).is_some_and(Value::is_object)
                || members.values().any(|member| has_member(member, name, depth + 1))
        }
        Value::Array(items) => items.iter().any(|item| has_member(item, name, depth + 1)),
        _ => false,
    }
}

fn find_secrets(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>, depth: usize) {
    if depth > 32 {
        return;
    }
    if schema.get("airbyte_secret").and_then(Value::as_bool) == Some(true) && !found.contains(path) {
        found.push(path.clone());
    }
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(name.clone());
        find_secrets(member, path, found, depth + 1);
        path.pop();
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        for choice in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
            find_secrets(choice, path, found, depth + 1);
        }
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::LimitExceeded, "the manifest is too large").with_context("limit", MAX_BYTES)
}
