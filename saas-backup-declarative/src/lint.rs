use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saas_backup_core::{Error, ErrorKind, Result, SystemClock};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Manifest;
use crate::attachments::likely;
use crate::plan::{Origin, Plan};
use crate::request::{Answer, Cache, Outgoing, Transport};
use crate::shared::{Hosts, KeepSetting, Shared};
use crate::stream::Stream;
use crate::template::value_of;

/// What a manifest needs, and what of it this engine has not.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Lint {
    /// The version of the language that it is written in.
    pub version: Option<String>,
    /// Its collections.
    pub collections: Vec<LintedCollection>,
    /// The settings that it asks for.
    pub settings: Vec<LintedSetting>,
    /// Whether the provider replaces refresh tokens, so that `token_file` has to be set.
    pub needs_token_file: bool,
}

/// A collection of a manifest.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LintedCollection {
    /// Its name; that of a template, where only the settings or the provider can name its collections.
    pub name: String,
    /// Why it cannot be read, if it cannot: the component that is missing, or what is wrong.
    pub problem: Option<String>,
    /// Whether increments ask for changes alone, or look for them in all records.
    pub incremental: bool,
    /// The collections whose records are its partitions.
    pub partitions_of: Vec<String>,
    /// Whether its records have a key; without one they are known by the digest of their bytes.
    pub has_key: bool,
    /// Members that are likely to hold the address of a file, by the schema and their names: for `blobs` of an overlay, or for
    /// `guess_attachments`.
    pub likely_files: Vec<String>,
}

/// A setting of a manifest.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LintedSetting {
    /// Its name.
    pub name: String,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it is a secret.
    pub secret: bool,
    /// What it means.
    pub description: String,
}

impl Lint {
    /// Whether every collection can be read.
    pub fn is_clean(&self) -> bool {
        self.collections.iter().all(|collection| collection.problem.is_none())
    }
}

impl Manifest {
    /// Looks a manifest through, without asking anybody: what its collections need, and which settings it asks for.
    ///
    /// Settings are taken to be as the manifest's own defaults and examples show them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it has no collections.
    pub fn lint(&self) -> Result<Lint> {
        let shared = Arc::new(Shared {
            config: value_of(&self.sample_settings()),
            clock: Arc::new(SystemClock),
            transport: Arc::new(Nobody),
            cache: Cache::default(),
            hosts: Hosts::These(BTreeSet::new()),
            settings: Arc::new(Nobody),
            replaced: Mutex::default(),
        });
        let plan = Plan::outline(self, &shared)?;
        let collections = plan.streams.into_iter().map(|planned| {
            let stream = planned.stream.as_ref().ok();
            // What a template lacks may be what it is filled with.
            let counts = |error: &&Error| planned.origin != Origin::Sample || error.kind() == ErrorKind::Unsupported;
            let problem = planned.stream.as_ref().err().filter(counts).map(Error::to_string);
            LintedCollection {
                name: planned.name,
                problem,
                incremental: stream.is_some_and(|stream| stream.cursor.is_some()),
                partitions_of: stream.map(|stream| parents(stream)).unwrap_or_default(),
                has_key: stream.is_some_and(|stream| !stream.key.is_empty()),
                likely_files: stream.and_then(|stream| stream.schema.known()).map(likely).unwrap_or_default(),
            }
        });
        Ok(Lint {
            version: self.version().map(str::to_owned),
            collections: collections.collect(),
            settings: self.linted_settings(),
            needs_token_file: self.replaces_tokens(),
        })
    }

    fn linted_settings(&self) -> Vec<LintedSetting> {
        let Some(settings) = self.settings() else { return Vec::new() };
        let required = settings.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|required| required.iter().any(|one| one == name));
        let secrets = self.secrets();
        let properties = settings.get("properties").and_then(Value::as_object);
        let setting = |(name, property): (&String, &Value)| LintedSetting {
            name: name.clone(),
            required: is_required(name),
            secret: secrets.iter().any(|path| path.first() == Some(name)),
            description: property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        properties.into_iter().flatten().map(setting).collect()
    }

    fn sample_settings(&self) -> Value {
        self.settings().map(|settings| sample(settings, 0)).unwrap_or_default()
    }
}

fn parents(stream: &Stream) -> Vec<String> {
    stream.router.iter().flat_map(|router| router.parents()).map(|parent| parent.stream.name.clone()).collect()
}

/// A value that a schema allows.
fn sample(schema: &Value, depth: usize) -> Value {
    if depth > 16 {
        return Value::Null;
    }
    let first = |name: &str| schema.get(name).and_then(Value::as_array).and_then(|values| values.first()).cloned();
    if let Some(value) = schema.get("const").or(schema.get("default")).cloned().or(first("examples")).or(first("enum"))
    {
        return value;
    }
    if let Some(choice) = first("oneOf").or(first("anyOf")) {
        return sample(&choice, depth + 1);
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find_map(|kind| kind.as_str().filter(|kind| *kind != "null")),
        Some(kind) => kind.as_str(),
        None => None,
    };
    match kind {
        Some("integer" | "number") => 1.into(),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            properties.map(|(name, member)| (name.clone(), sample(member, depth + 1))).collect::<Map<_, _>>().into()
        }
        _ => match schema.get("format").and_then(Value::as_str) {
            Some("date") => "2026-01-01".into(),
            _ => "2026-01-01T00:00:00Z".into(),
        },
    }
}

/// Asks nobody, and keeps nothing.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Transport for Nobody {
    async fn send(&self, _: &Outgoing) -> Result<Answer> {
        Err(Error::new(ErrorKind::Unavailable, "nobody is asked"))
    }

    async fn wait(&self, _: Duration, _: bool) {}
}

impl KeepSetting for Nobody {
    fn keep(&self, _: &[String], _: &str) -> Result<crate::template::Value> {
        Err(Error::new(ErrorKind::Unsupported, "nothing is kept"))
    }
}
