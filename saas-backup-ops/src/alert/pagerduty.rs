use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::SecondsFormat;
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::service::{Service, ServiceOptions, cut, json, with_json};
use super::{Action, Alert, Route, Severity, Signal};

/// Where events are taken, for accounts in the United States.
const ADDRESS: &str = "https://events.pagerduty.com/v2/enqueue";
/// Longest summary that is taken, in characters.
const SUMMARY: usize = 1024;
/// Longest deduplication key.
const DEDUP_KEY: usize = 255;

/// Opens and closes incidents by the [Events API v2](https://developer.pagerduty.com/docs/events-api-v2-overview) of PagerDuty: one
/// incident for each alert, by its key.
#[derive(Clone, Debug)]
pub struct PagerDuty {
    name: String,
    service: Service,
    routing_key: SecretString,
    /// What the keys of incidents begin with, for several programs may use one routing key.
    origin: String,
    options: ServiceOptions,
}

#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    #[serde(rename = "event_action")]
    action: Action,
    dedup_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
    client: &'static str,
}

#[derive(Serialize)]
struct Payload<'a> {
    summary: String,
    source: &'a str,
    severity: Severity,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<&'a str>,
    class: String,
    custom_details: BTreeMap<&'a str, &'a str>,
}

impl PagerDuty {
    /// An integration of the kind "Events API v2". `origin` names this program among others that use the same key, for example
    /// the machine's name. `address` is for other service regions, and for tests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the routing key is empty; or if the address is not allowed.
    pub fn new(
        name: impl Into<String>,
        routing_key: SecretString,
        origin: impl Into<String>,
        address: Option<&SecretString>,
        options: ServiceOptions,
    ) -> Result<Self> {
        if routing_key.expose_secret().trim().is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "the routing key of PagerDuty is empty"));
        }
        let service = Service::new(address.unwrap_or(&SecretString::from(ADDRESS)), &options)?;
        Ok(Self { name: name.into(), service, routing_key, origin: origin.into(), options })
    }

    fn event(&self, signal: &Signal) -> Result<Vec<u8>> {
        let alert = &signal.alert;
        let details = alert.details.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let advice = (!alert.advice.is_empty()).then_some(("advice", alert.advice.as_str()));
        let payload = || Payload {
            summary: cut(&alert.summary, SUMMARY),
            source: &self.origin,
            severity: alert.severity,
            timestamp: signal.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            component: alert.source.as_deref(),
            class: alert.condition.to_string(),
            custom_details: details.chain(advice).collect(),
        };
        json(&Event {
            routing_key: self.routing_key.expose_secret().trim(),
            action: signal.action,
            dedup_key: cut(&format!("saas-backup/{}/{}", self.origin, alert.key), DEDUP_KEY),
            payload: (signal.action == Action::Trigger).then(payload),
            client: "saas-backup",
        })
    }
}

#[async_trait]
impl Route for PagerDuty {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self, alert: &Alert) -> bool {
        self.options.takes(alert)
    }

    async fn send(&self, signal: &Signal) -> Result<()> {
        // Two events with one key are one incident.
        let request = self.service.post()?.idempotent();
        self.service.send(with_json(request, self.event(signal)?)).await.map(drop)
    }
}
