//! Telling people that protection has ended, and that it is back.
//!
//! Whoever looks at the state of things says what is wrong: a list of [`Alert`]s, each under a key that stays the same as
//! long as it lasts. [`Alerts`] compares that with what it told before, and sends what is new, and what is over, along every
//! [`Route`]. What a route did not take is sent again, less and less often; meanwhile the other routes hear that it fails.
//! What was told, and how each delivery ended, is kept in a file over restarts: nothing is told twice, and nothing is forgotten.
//!
//! A [`Heartbeat`] is the other way round: somebody else raises the alarm when it stays away.
//!
//! ```
//! use chrono::DateTime;
//! use saas_backup_ops::alert::{Alert, Alerts, CommandRoute, Condition};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> saas_backup_core::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! let now = DateTime::UNIX_EPOCH;
//! let mail = CommandRoute::new("mail", ["sh", "-c", "cat >/dev/null"]);
//! let mut alerts = Alerts::open(folder.path(), vec![Box::new(mail)])?;
//! let late = Alert::new("blog/late", Condition::Late, "blog: the newest complete copy is 3h old", now).with_source("blog");
//! let told = alerts.tell(vec![late], now).await?;
//! assert!(told.iter().all(|delivery| delivery.error.is_none()));
//! # Ok(())
//! # }
//! ```

mod board;
#[cfg(feature = "alert-cloudwatch")]
mod cloudwatch;
mod command;
mod heartbeat;
#[cfg(feature = "alert-mail")]
mod mail;
#[cfg(feature = "alert-http")]
mod opsgenie;
#[cfg(feature = "alert-http")]
mod pagerduty;
#[cfg(feature = "alert-http")]
mod service;
#[cfg(feature = "alert-http")]
mod slack;
#[cfg(feature = "alert-http")]
mod webhook;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use saas_backup_core::Result;
use serde::{Deserialize, Serialize};

pub use board::{Alerts, Delivery, OpenAlert};
#[cfg(feature = "alert-cloudwatch")]
pub use cloudwatch::{AwsKeys, CloudWatch};
pub use command::CommandRoute;
#[cfg(feature = "alert-http")]
pub use heartbeat::HeartbeatUrl;
pub use heartbeat::{Beat, Heartbeat};
#[cfg(feature = "alert-mail")]
pub use mail::{Mail, MailEncryption, MailServer};
#[cfg(feature = "alert-http")]
pub use opsgenie::{Opsgenie, Responder};
#[cfg(feature = "alert-http")]
pub use pagerduty::PagerDuty;
#[cfg(feature = "alert-http")]
pub use service::ServiceOptions;
#[cfg(feature = "alert-http")]
pub use slack::Slack;
#[cfg(feature = "alert-http")]
pub use webhook::{Webhook, WebhookKey};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Condition {
    /// The last run failed.
    Failed,
    /// A run that was due did not happen.
    Missed,
    /// The newest complete copy is older than the objective.
    Late,
    /// The last run left something out.
    Incomplete,
    /// The deletion guard stopped something; a person has to decide.
    NeedsReview,
    /// Less of the account is seen than before.
    Coverage,
    /// A verification found damage, or none was made for too long.
    Verification,
    /// A rehearsed restore failed, or none was made for too long.
    Drill,
    /// A copy of the repository is behind.
    Replica,
    /// An alert could not be delivered along one of the routes.
    Route,
    /// Nothing: somebody tries whether alerts arrive.
    Test,
}

impl Condition {
    /// How bad it is, if nobody says otherwise.
    pub fn severity(self) -> Severity {
        match self {
            Self::Verification | Self::Late => Severity::Critical,
            Self::Failed | Self::Missed | Self::NeedsReview | Self::Drill | Self::Route => Severity::Error,
            Self::Incomplete | Self::Coverage | Self::Replica => Severity::Warning,
            Self::Test => Severity::Info,
        }
    }
}

/// The name that is written: `needs-review`.
impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it in daylight.
    Warning,
    /// Protection is impaired.
    Error,
    /// What was lost now could not be had again.
    Critical,
}

/// The name that is written: `critical`.
impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// Something that is wrong. Its texts leave the house: no secrets, no addresses, nothing that records say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// Tells it from all others, as long as it lasts: at most 255 bytes.
    pub key: String,
    /// What kind of thing it is.
    pub condition: Condition,
    /// How bad it is.
    pub severity: Severity,
    /// The source that it is about; `None` if it is about all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// One line that says what is wrong.
    pub summary: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
    /// Facts, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl Alert {
    /// Something that is wrong since a time, as bad as [`Condition::severity`] says.
    pub fn new(key: impl Into<String>, condition: Condition, summary: impl Into<String>, since: DateTime<Utc>) -> Self {
        let (source, advice, details) = Default::default();
        let severity = condition.severity();
        Self { key: key.into(), condition, severity, source, summary: summary.into(), advice, details, since }
    }

    /// Says which source it is about.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets how bad it is.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with_detail(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.details.insert(name.into(), value.to_string());
        self
    }
}

/// What is told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// It began.
    Trigger,
    /// It is over.
    Resolve,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signal {
    /// Tells it from all others; the same however often it is sent.
    pub id: String,
    /// Whether the alert began or is over.
    pub action: Action,
    /// The alert.
    pub alert: Alert,
    /// When it began, or was over.
    pub at: DateTime<Utc>,
}

/// Where alerts go.
#[async_trait]
pub trait Route: fmt::Debug + Send + Sync {
    /// Its name, unique among the routes: it stands in reports, and in the file in which deliveries are kept.
    fn name(&self) -> &str;

    /// Whether an alert goes along it. By default all do.
    fn takes(&self, alert: &Alert) -> bool {
        let _ = alert;
        true
    }

    /// Tells something. What is sent twice under one [`Signal::id`] counts once, if the receiver can tell.
    ///
    /// Cancel safe in that dropping it may leave the signal sent or not.
    ///
    /// # Errors
    ///
    /// If nobody took it. The text holds no address and no secret.
    async fn send(&self, signal: &Signal) -> Result<()>;
}
