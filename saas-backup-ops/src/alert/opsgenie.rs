use std::collections::BTreeMap;

use async_trait::async_trait;
use http::{HeaderValue, header};
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::service::{Service, ServiceOptions, cut, json, with_json};
use super::{Action, Alert, Route, Severity, Signal};

/// Where alerts are taken, for accounts in the United States.
const OPSGENIE: &str = "https://api.opsgenie.com/v2/alerts";
/// Where Jira Service Management takes them, for accounts anywhere.
const JSM: &str = "https://api.atlassian.com/jsm/ops/integration/v2/alerts";
/// Longest message, in characters.
const MESSAGE: usize = 130;
/// Longest description.
const DESCRIPTION: usize = 15_000;
/// Longest alias, and longest entity.
const ALIAS: usize = 512;
/// Longest source.
const SOURCE: usize = 100;

/// Who is called by an alert of Opsgenie, besides those that its integration calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Responder {
    /// A team.
    Team {
        /// Its name.
        name: String,
    },
    /// A person.
    User {
        /// The address by which the person logs in.
        username: String,
    },
    /// An escalation.
    Escalation {
        /// Its name.
        name: String,
    },
    /// A schedule of people on call.
    Schedule {
        /// Its name.
        name: String,
    },
}

/// Opens and closes alerts by the [Alert API](https://docs.opsgenie.com/docs/alert-api) of Opsgenie, which Jira Service Management
/// takes at [another address](https://developer.atlassian.com/cloud/jira/service-desk-ops/rest/v1/integration-events/): one alert of
/// theirs for each of ours, by its alias.
///
/// What is accepted is worked on later: that a team or an alias does not exist shows in the logs of the integration alone.
#[derive(Clone, Debug)]
pub struct Opsgenie {
    name: String,
    service: Service,
    authorization: HeaderValue,
    /// What aliases begin with, for several programs may use one integration.
    origin: String,
    responders: Vec<Responder>,
    tags: Vec<String>,
    options: ServiceOptions,
}

#[derive(Serialize)]
struct Create<'a> {
    message: String,
    alias: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "<[Responder]>::is_empty")]
    responders: &'a [Responder],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    details: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<String>,
    source: String,
    priority: &'static str,
}

#[derive(Serialize)]
struct Close {
    source: String,
    note: &'static str,
}

impl Opsgenie {
    /// An integration of the kind "API" of Opsgenie, by its key. `origin` names this program among others that use the same
    /// key. `address` is for accounts in Europe (`https://api.eu.opsgenie.com/v2/alerts`), and for tests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the key is none; or if the address is not allowed.
    pub fn new(
        name: impl Into<String>,
        api_key: &SecretString,
        origin: impl Into<String>,
        address: Option<&SecretString>,
        options: ServiceOptions,
    ) -> Result<Self> {
        let address = address.cloned().unwrap_or_else(|| OPSGENIE.into());
        Self::at(name.into(), api_key, origin.into(), &address, options)
    }

    /// An integration of the kind "API" of Jira Service Management; otherwise as [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn jsm(
        name: impl Into<String>,
        api_key: &SecretString,
        origin: impl Into<String>,
        address: Option<&SecretString>,
        options: ServiceOptions,
    ) -> Result<Self> {
        let address = address.cloned().unwrap_or_else(|| JSM.into());
        Self::at(name.into(), api_key, origin.into(), &address, options)
    }

    fn at(
        name: String,
        api_key: &SecretString,
        origin: String,
        address: &SecretString,
        options: ServiceOptions,
    ) -> Result<Self> {
        let unusable = || Error::new(ErrorKind::Configuration, "the API key of Opsgenie is none");
        let key = api_key.expose_secret().trim();
        if key.is_empty() {
            return Err(unusable());
        }
        let mut authorization = HeaderValue::from_str(&format!("GenieKey {key}")).map_err(|_| unusable())?;
        authorization.set_sensitive(true);
        let service = Service::new(address, &options)?;
        let (responders, tags) = Default::default();
        Ok(Self { name, service, authorization, origin, responders, tags, options })
    }

    /// Sets who is called besides those that the integration calls. Default: nobody.
    #[must_use]
    pub fn with_responders(mut self, responders: Vec<Responder>) -> Self {
        self.responders = responders;
        self
    }

    /// Sets what alerts are marked with. Default: nothing.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<String>) -> Self {
        self.tags = tags;
        self
    }

    /// Without slashes: it stands in the path of an address.
    fn alias(&self, alert: &Alert) -> String {
        cut(&format!("saas-backup:{}:{}", self.origin, alert.key).replace('/', ":"), ALIAS)
    }

    fn create(&self, signal: &Signal) -> Result<Vec<u8>> {
        let alert = &signal.alert;
        // A message is a line; what did not fit stands above the advice.
        let whole = (alert.summary.chars().count() > MESSAGE).then_some(alert.summary.as_str());
        let advice = (!alert.advice.is_empty()).then_some(alert.advice.as_str());
        let description: Vec<&str> = whole.into_iter().chain(advice).collect();
        let own = [("condition", alert.condition.to_string()), ("since", signal.at.to_rfc3339())];
        let details = alert.details.iter().map(|(name, value)| (name.as_str(), value.clone()));
        json(&Create {
            message: cut(&alert.summary, MESSAGE),
            alias: self.alias(alert),
            description: cut(&description.join("\n\n"), DESCRIPTION),
            responders: &self.responders,
            tags: &self.tags,
            details: own.into_iter().chain(details).collect(),
            entity: alert.source.as_deref().map(|source| cut(source, ALIAS)),
            source: cut(&self.origin, SOURCE),
            priority: priority(alert.severity),
        })
    }
}

fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "P1",
        Severity::Error => "P2",
        Severity::Warning => "P3",
        Severity::Info => "P5",
    }
}

#[async_trait]
impl Route for Opsgenie {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self, alert: &Alert) -> bool {
        self.options.takes(alert)
    }

    async fn send(&self, signal: &Signal) -> Result<()> {
        let (request, body) = match signal.action {
            Action::Trigger => (self.service.post()?, self.create(signal)?),
            Action::Resolve => {
                let close = Close { source: cut(&self.origin, SOURCE), note: "It is over." };
                let request = self.service.post_below(&[&self.alias(&signal.alert), "close"])?;
                (request.query("identifierType", "alias"), json(&close)?)
            }
        };
        // What is created twice under one alias is one alert, and what is closed stays closed.
        let request = request.idempotent().header(header::AUTHORIZATION, self.authorization.clone());
        self.service.send(with_json(request, body)).await.map(drop)
    }
}
