use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use saas_backup_core::{Budget, Clock, Error, ErrorKind, Result, SystemClock};
use saas_backup_http::{Addresses, Authorization, Client, ClientOptions};
use serde_json::{Map, Value};

use super::config::{BuiltInConfig, DeclarativeConfig, Options};
use super::tokens::TokenFile;
use super::{BUILT_IN, DeclarativeOverlay};
use crate::Manifest;
use crate::normalize::normalized;
use crate::request::{Cache, HttpTransport};
use crate::shared::{Hosts, Shared};
use crate::template::value_of;

/// Largest answer that is read, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;
/// Largest overlay that is read, in bytes.
const MAX_OVERLAY_BYTES: u64 = 4 * 1024 * 1024;

/// A manifest with its settings and a client, before anything is sent.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) manifest: Manifest,
    pub(super) overlay: DeclarativeOverlay,
    pub(super) lag: TimeDelta,
    pub(super) guesses: bool,
    pub(super) client: Client,
    tokens: Arc<TokenFile>,
    hosts: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl Opened {
    pub(super) fn new(config: DeclarativeConfig) -> Result<Self> {
        let manifest = Manifest::load(&config.manifest)?;
        let beside = config.manifest.with_extension("overlay.yaml");
        let overlay = match &config.overlay {
            Some(path) => load_overlay(path)?,
            None if beside.exists() => load_overlay(&beside)?,
            None => DeclarativeOverlay::default(),
        };
        let options = config.options();
        let stem = config.manifest.file_stem().and_then(|stem| stem.to_str()).unwrap_or("declarative");
        Self::of(stem.trim_start_matches("source-").to_owned(), manifest, overlay, config.config, options)
    }

    pub(super) fn built_in(name: &str, config: BuiltInConfig) -> Result<Self> {
        let Some(found) = BUILT_IN.iter().find(|found| found.name == name) else {
            let known: Vec<&str> = BUILT_IN.iter().map(|found| found.name).collect();
            return Err(Error::new(ErrorKind::NotFound, "no connector of this name comes with the engine")
                .with_context("there are", known.join(" ")));
        };
        let manifest = Manifest::parse(found.manifest)?;
        // What is beside the options is for the manifest: a misspelt one would change nothing without a word.
        let properties = manifest.settings().and_then(|settings| settings.get("properties")).and_then(Value::as_object);
        let unknown = config.config.keys().find(|name| properties.is_none_or(|known| !known.contains_key(*name)));
        if let Some(unknown) = unknown {
            return Err(Error::new(ErrorKind::Configuration, "the connector knows no such setting")
                .with_context("setting", unknown));
        }
        Self::of(name.to_owned(), manifest, DeclarativeOverlay::parse(found.overlay)?, config.config, config.options)
    }

    fn of(
        name: String,
        manifest: Manifest,
        overlay: DeclarativeOverlay,
        mut config: Map<String, Value>,
        options: Options,
    ) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        fill_defaults(&manifest, &mut config);
        let config = normalized(&manifest, config, &clock)?;
        check_settings(&manifest, &config)?;
        if manifest.replaces_tokens() && options.token_file.is_none() {
            let error = "the provider replaces the refresh token: name a `token_file` to keep it in";
            return Err(Error::new(ErrorKind::Configuration, error));
        }
        let addresses = Addresses::new().with_any_host(true).with_private(options.allow_private_addresses);
        let budget = manifest.requests_per_second().unwrap_or(f64::MAX);
        let client = ClientOptions::default()
            .with_requests_per_second(options.requests_per_second.min(budget))
            .with_max_body_bytes(MAX_BODY_BYTES)
            .with_addresses(addresses);
        // Each request has an address of its own.
        let nowhere =
            "https://manifest.invalid/".parse().map_err(|_| Error::new(ErrorKind::Configuration, "no address"))?;
        Ok(Self {
            client: Client::new(nowhere, Authorization::none(), client)?,
            tokens: Arc::new(TokenFile::open(options.token_file, config)?),
            lag: TimeDelta::minutes(i64::from(options.lag_minutes)),
            guesses: options.guess_attachments,
            hosts: options.hosts,
            clock,
            name,
            manifest,
            overlay,
        })
    }

    /// What the collections of one snapshot share.
    pub(super) fn shared(&self, budget: Budget) -> Arc<Shared> {
        let config = value_of(&self.tokens.settings());
        Arc::new(Shared {
            config,
            clock: Arc::clone(&self.clock),
            transport: Arc::new(HttpTransport(self.client.clone().with_budget(budget))),
            cache: Cache::default(),
            hosts: Hosts::These(self.hosts.iter().cloned().collect::<BTreeSet<String>>()),
            settings: Arc::clone(&self.tokens) as Arc<dyn crate::shared::KeepSetting>,
            replaced: Mutex::default(),
        })
    }
}

fn load_overlay(path: &Path) -> Result<DeclarativeOverlay> {
    let named = |error: Error| error.with_context("file", path.display());
    let unreadable =
        |error| named(Error::new(ErrorKind::Configuration, "the overlay cannot be read").with_source(error));
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_OVERLAY_BYTES {
        return Err(named(Error::new(ErrorKind::Configuration, "the overlay is too large")));
    }
    DeclarativeOverlay::parse(&std::fs::read_to_string(path).map_err(unreadable)?).map_err(named)
}

/// The defaults that the manifest names for settings that are not given.
fn fill_defaults(manifest: &Manifest, config: &mut Map<String, Value>) {
    let properties = manifest.settings().and_then(|settings| settings.get("properties")).and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let (Some(usual), false) = (property.get("default"), config.contains_key(name)) {
            config.insert(name.clone(), usual.clone());
        }
    }
}

/// Names the settings that are missing, and those that the manifest does not know.
fn check_settings(manifest: &Manifest, config: &Map<String, Value>) -> Result<()> {
    let Some(settings) = manifest.settings() else { return Ok(()) };
    let required = settings.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let missing: Vec<&str> = required.filter(|name| !config.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(Error::new(ErrorKind::Configuration, "the manifest asks for settings that are not given")
            .with_context("settings", missing.join(" ")));
    }
    let known = settings.get("properties").and_then(Value::as_object);
    let closed = settings.get("additionalProperties") == Some(&Value::Bool(false));
    let unknown: Vec<&str> = config
        .keys()
        .map(String::as_str)
        .filter(|name| closed && known.is_some_and(|known| !known.contains_key(*name)))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Configuration, "the manifest knows no such settings")
        .with_context("settings", unknown.join(" ")))
}
