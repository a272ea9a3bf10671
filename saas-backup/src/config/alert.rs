//! Where alerts go.

use std::collections::BTreeSet;
use std::path::Path;

use saas_backup_core::Period;
use saas_backup_core::{Error, ErrorKind, Result};
#[cfg(feature = "alert-mail")]
use saas_backup_ops::alert::MailEncryption;
use saas_backup_ops::alert::Severity;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

#[cfg(feature = "alert-mail")]
use super::foreign::MailEncryptionSchema;
use super::foreign::{PeriodSchema, SeveritySchema};
use super::node::{Node, Value, located};
use super::{Settings, de, text};

/// One way to tell people, or to let them miss a sign of life.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AlertConfig {
    /// Its name in reports. Default: its kind.
    pub name: String,
    /// What takes the alerts.
    pub kind: AlertKind,
    /// The least bad alerts that go there; `None` for all.
    pub at_least: Option<Severity>,
    /// What the kind needs.
    pub settings: Settings,
}

/// What takes alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AlertKind {
    /// Metrics in Amazon CloudWatch, and a sign of life; the feature `alert-cloudwatch`.
    CloudWatch,
    /// A program of yours.
    Command,
    /// An address that is asked for as long as all is well: silence raises the alarm elsewhere.
    Heartbeat,
    /// Jira Service Management, by the alert API that it took over from Opsgenie.
    Jsm,
    /// Mail; the feature `alert-mail`.
    Mail,
    /// Opsgenie, by its alert API.
    Opsgenie,
    /// PagerDuty, by its Events API v2.
    #[serde(rename = "pagerduty")]
    PagerDuty,
    /// A channel of Slack, or of what takes the same messages.
    Slack,
    /// An address of yours, by Standard Webhooks.
    Webhook,
}

/// What an `[[alert]]` says besides its kind's own settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertHead {
    /// What takes the alerts.
    kind: AlertKind,
    /// Its name in reports. Default: its kind.
    #[serde(default)]
    name: Option<String>,
    /// The least bad alerts that go there: `info`, `warning`, `error`, `critical`. Default: all.
    #[serde(default)]
    #[schemars(with = "Option<SeveritySchema>")]
    at_least: Option<Severity>,
}

const HEAD_KEYS: [&str; 3] = ["kind", "name", "at_least"];

/// The settings of `kind = "cloudwatch"`.
#[cfg(feature = "alert-cloudwatch")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudWatchSettings {
    /// The region in which the alarms are, such as `eu-west-1`.
    pub(crate) region: String,
    /// The metrics' namespace. Default: `SaasBackup`.
    #[serde(default = "CloudWatchSettings::namespace")]
    pub(crate) namespace: String,
    /// Names this installation among others of the same account. Default: made of the repository's address.
    #[serde(default)]
    pub(crate) origin: Option<String>,
    /// How often `Healthy` is put. Default: `1m`.
    #[serde(default = "CloudWatchSettings::every")]
    #[schemars(with = "PeriodSchema")]
    pub(crate) every: Period,
    /// An access key's id. Default: credentials are taken from the environment, or from the role of the machine, the container
    /// or the pod.
    #[serde(default)]
    pub(crate) access_key_id: Option<String>,
    /// The secret access key.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) secret_access_key: Option<SecretString>,
    /// The token of a session, if the keys are of one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) session_token: Option<SecretString>,
    /// The address of an endpoint of your own.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) url: Option<SecretString>,
    /// Whether the address may be private, and spoken to without encryption. Default: `false`.
    #[serde(default)]
    pub(crate) allow_private_addresses: bool,
}

#[cfg(feature = "alert-cloudwatch")]
impl CloudWatchSettings {
    fn namespace() -> String {
        "SaasBackup".to_owned()
    }

    fn every() -> Period {
        Period(std::time::Duration::from_mins(1))
    }
}

/// The settings of `kind = "command"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandSettings {
    /// The program and its arguments; no shell is between. It gets a line of JSON on its standard input.
    pub(crate) program: Vec<String>,
}

/// The settings of `kind = "heartbeat"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatSettings {
    /// The address; `/fail` is asked for behind it when something is wrong.
    #[schemars(with = "String")]
    pub(crate) url: SecretString,
    /// How often. Default: `5m`.
    #[serde(default = "HeartbeatSettings::every")]
    #[schemars(with = "PeriodSchema")]
    pub(crate) every: Period,
    /// Whether the address may be private, and spoken to without encryption. Default: `false`.
    #[serde(default)]
    pub(crate) allow_private_addresses: bool,
}

impl HeartbeatSettings {
    fn every() -> Period {
        Period(std::time::Duration::from_mins(5))
    }
}

/// The settings of `kind = "mail"`.
#[cfg(feature = "alert-mail")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailSettings {
    /// The mail server's name, which its certificate has to bear.
    pub(crate) host: String,
    /// Its port. Default: 587; 465 if `encryption` is `tls`, 25 if it is `none`.
    #[serde(default)]
    pub(crate) port: Option<u16>,
    /// `starttls`, `tls` from the first byte, or `none`: with a server on this machine alone. Default: `starttls`.
    #[serde(default)]
    #[schemars(with = "MailEncryptionSchema")]
    pub(crate) encryption: MailEncryption,
    /// Who logs in. Default: nobody.
    #[serde(default)]
    pub(crate) username: Option<String>,
    /// The password.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) password: Option<SecretString>,
    /// The sender: `Backups <backup@example.com>`.
    pub(crate) from: String,
    /// The receivers. A server that refuses one of them gets the mail for none.
    pub(crate) to: Vec<String>,
    /// A file of certificates (PEM) that are trusted in place of the system's.
    #[serde(default)]
    pub(crate) ca_file: Option<std::path::PathBuf>,
    /// Whether the server may have a private address. Default: `false`.
    #[serde(default)]
    pub(crate) allow_private_addresses: bool,
}

/// The settings of `kind = "opsgenie"` and `kind = "jsm"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpsgenieSettings {
    /// The key of an integration "API".
    #[schemars(with = "String")]
    pub(crate) api_key: SecretString,
    /// The address of the service, for accounts of another region, such as `https://api.eu.opsgenie.com/v2/alerts`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) url: Option<SecretString>,
    /// Names this installation among others that use the same key. Default: made of the repository's address.
    #[serde(default)]
    pub(crate) origin: Option<String>,
    /// Teams that are called besides those that the integration calls, by name. Default: none.
    #[serde(default)]
    pub(crate) teams: Vec<String>,
    /// People that are called, by the address with which they log in. Default: none.
    #[serde(default)]
    pub(crate) users: Vec<String>,
    /// Escalations that are begun, by name. Default: none.
    #[serde(default)]
    pub(crate) escalations: Vec<String>,
    /// Schedules of people on call that are called, by name. Default: none.
    #[serde(default)]
    pub(crate) schedules: Vec<String>,
    /// What the alerts are marked with. Default: nothing.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Whether the address may be private, and spoken to without encryption. Default: `false`.
    #[serde(default)]
    pub(crate) allow_private_addresses: bool,
}

/// The settings of `kind = "pagerduty"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PagerDutySettings {
    /// The integration key of an integration "Events API v2".
    #[schemars(with = "String")]
    pub(crate) routing_key: SecretString,
    /// The address of the service, for accounts of another region, such as `https://events.eu.pagerduty.com/v2/enqueue`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) url: Option<SecretString>,
    /// Names this installation among others that use the same key. Default: made of the repository's address.
    #[serde(default)]
    pub(crate) origin: Option<String>,
    /// Whether the address may be private, and spoken to without encryption. Default: `false`.
    #[serde(default)]
    pub(crate) allow_private_addresses: bool,
}

/// The settings of `kind = "slack"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlackSettings {
    /// The incoming webhook's address.
    #[schemars(with = "String")]
    pub(crate) url: SecretString,
    /// Whether the address may be private, and spoken to without encryption. Default: `false`.
    #[serde(default)]
    pub(crate) allow_private_addresses: bool,
}

/// The settings of `kind = "webhook"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookSettings {
    /// The address.
    #[schemars(with = "String")]
    pub(crate) url: SecretString,
    /// The keys that the receiver checks with (`whsec_…`), the newest first. Default: nothing is signed.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) keys: Vec<SecretString>,
    /// Whether the address may be private, and spoken to without encryption. Default: `false`.
    #[serde(default)]
    pub(crate) allow_private_addresses: bool,
}

/// The schemas of the settings, by kind.
pub(super) fn settings(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, serde_json::Value)> {
    vec![
        #[cfg(feature = "alert-cloudwatch")]
        ("cloudwatch", generator.subschema_for::<CloudWatchSettings>().to_value()),
        ("command", generator.subschema_for::<CommandSettings>().to_value()),
        ("heartbeat", generator.subschema_for::<HeartbeatSettings>().to_value()),
        ("jsm", generator.subschema_for::<OpsgenieSettings>().to_value()),
        #[cfg(feature = "alert-mail")]
        ("mail", generator.subschema_for::<MailSettings>().to_value()),
        ("opsgenie", generator.subschema_for::<OpsgenieSettings>().to_value()),
        ("pagerduty", generator.subschema_for::<PagerDutySettings>().to_value()),
        ("slack", generator.subschema_for::<SlackSettings>().to_value()),
        ("webhook", generator.subschema_for::<WebhookSettings>().to_value()),
    ]
}

impl AlertConfig {
    /// Alerts of all kinds, under the kind's name.
    pub fn new(name: impl Into<String>, kind: AlertKind, settings: Settings) -> Self {
        Self { name: name.into(), kind, at_least: None, settings }
    }
}

/// Reads every `[[alert]]`.
pub(super) fn alerts(node: Node, base: &Path) -> Result<Vec<AlertConfig>> {
    let Value::Array(items) = node.value else {
        let error = Error::new(ErrorKind::Configuration, "alerts are written as [[alert]], with two brackets");
        return Err(located(error, node.place));
    };
    let alerts: Vec<AlertConfig> = items.into_iter().map(|item| alert(item, base)).collect::<Result<_>>()?;
    let mut names = BTreeSet::new();
    match alerts.iter().find(|alert| !names.insert(&alert.name)) {
        None => Ok(alerts),
        Some(twice) => Err(Error::new(ErrorKind::Configuration, "two alerts have the same name: give each its `name`")
            .with_context("name", &twice.name)),
    }
}

fn alert(node: Node, base: &Path) -> Result<AlertConfig> {
    let Value::Table(mut own) = node.value else {
        return Err(located(Error::new(ErrorKind::Configuration, "an alert is a table"), node.place));
    };
    let kind = own.get("kind").and_then(|(_, node)| match &node.value {
        Value::Text(kind) => Some(kind.clone()),
        _ => None,
    });
    let head = HEAD_KEYS.iter().filter_map(|key| Some(((*key).to_owned(), own.remove(*key)?))).collect();
    let head = Node { value: Value::Table(head), place: node.place };
    let head: AlertHead = de::from_node(&text::resolve_all(&head, base)?)?;
    let name = head.name.or(kind).unwrap_or_default();
    Ok(AlertConfig { name, kind: head.kind, at_least: head.at_least, settings: Settings::of(own, node.place) })
}
