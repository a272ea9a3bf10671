use async_trait::async_trait;
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::SecretString;
use serde_json::{Value, json as value};

use super::service::{Service, ServiceOptions, cut, json, with_json};
use super::{Action, Alert, Route, Signal};

/// Longest header block, in characters.
const HEADER: usize = 150;
/// Longest text of a section, and of one of its fields.
const SECTION: usize = 3000;
const FIELD: usize = 2000;
/// Most fields of a section.
const FIELDS: usize = 10;

/// Posts messages to a channel by an [incoming webhook](https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks) of
/// Slack, or of a service that takes the same.
#[derive(Clone, Debug)]
pub struct Slack {
    name: String,
    service: Service,
    options: ServiceOptions,
}

impl Slack {
    /// The webhook's address, which is a secret.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] or [`ErrorKind::PermissionDenied`] if the address is not allowed.
    pub fn new(name: impl Into<String>, address: &SecretString, options: ServiceOptions) -> Result<Self> {
        Ok(Self { name: name.into(), service: Service::new(address, &options)?, options })
    }
}

/// What Slack reads as markup stays text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn message(signal: &Signal) -> Value {
    let alert = &signal.alert;
    let (mark, state) = match signal.action {
        Action::Trigger => (":red_circle:", alert.severity.to_string()),
        Action::Resolve => (":large_green_circle:", "resolved".to_owned()),
    };
    let section =
        |text: String| value!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(&text, SECTION) } });
    let mut blocks = vec![
        value!({ "type": "header", "text": { "type": "plain_text", "text": cut(&alert.summary, HEADER) } }),
        section(format!("{mark} {state}, {}", escaped(&alert.condition.to_string()))),
    ];
    if signal.action == Action::Trigger {
        if !alert.advice.is_empty() {
            blocks.push(section(escaped(&alert.advice)));
        }
        let field = |(name, text): (&String, &String)| value!({ "type": "mrkdwn", "text": cut(&format!("*{}*\n{}", escaped(name), escaped(text)), FIELD) });
        let fields: Vec<Value> = alert.details.iter().take(FIELDS).map(field).collect();
        if !fields.is_empty() {
            blocks.push(value!({ "type": "section", "fields": fields }));
        }
    }
    value!({ "text": escaped(&format!("{} ({state})", alert.summary)), "blocks": blocks })
}

#[async_trait]
impl Route for Slack {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self, alert: &Alert) -> bool {
        self.options.takes(alert)
    }

    async fn send(&self, signal: &Signal) -> Result<()> {
        let answer = self.service.send(with_json(self.service.post()?, json(&message(signal))?)).await?;
        if answer.trim_ascii() == b"ok" {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unexpected, "the channel's webhook did not answer as one of Slack does"))
    }
}
