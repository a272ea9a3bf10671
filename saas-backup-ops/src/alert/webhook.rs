use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_http::Request;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::Serialize;
use sha2::Sha256;

use super::service::{Service, ServiceOptions, json, with_json};
use super::{Action, Alert, Route, Signal};

/// Shortest key that the specification allows, in bytes.
const SHORTEST_KEY: usize = 24;
/// Longest key that it allows.
const LONGEST_KEY: usize = 64;

/// The key that a receiver checks signatures with: `whsec_` and base64.
#[derive(Clone, Debug)]
pub struct WebhookKey(SecretSlice<u8>);

impl WebhookKey {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if it is none, or has less than 24 or more than 64 bytes.
    pub fn parse(text: &SecretString) -> Result<Self> {
        let text = text.expose_secret().trim();
        let bytes = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok();
        let bytes = bytes.filter(|bytes| (SHORTEST_KEY..=LONGEST_KEY).contains(&bytes.len())).ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "the key of a webhook is whsec_ and the base64 of 24 to 64 random bytes, as `openssl rand -base64 32` makes them",
            )
        })?;
        Ok(Self(bytes.into()))
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> Result<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            .map_err(|_| Error::new(ErrorKind::Configuration, "the key of a webhook cannot be used"))?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

/// Posts signals to an address of yours, signed as [Standard Webhooks](https://www.standardwebhooks.com) says.
///
/// `webhook-id` is the same however often a signal is sent; `webhook-signature` has one signature for each key, so that
/// keys can be changed without a gap. The body has `type` (`backup.late.triggered`, `backup.late.resolved`), `timestamp`,
/// and `data`: the members of [`Alert`].
#[derive(Clone, Debug)]
pub struct Webhook {
    name: String,
    service: Service,
    keys: Vec<WebhookKey>,
    options: ServiceOptions,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    data: &'a Alert,
}

impl Webhook {
    /// A receiver at an address, and the keys that it may check with, the newest first; without any nothing is signed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] or [`ErrorKind::PermissionDenied`] if the address is not allowed.
    pub fn new(
        name: impl Into<String>,
        address: &SecretString,
        keys: Vec<WebhookKey>,
        options: ServiceOptions,
    ) -> Result<Self> {
        Ok(Self { name: name.into(), service: Service::new(address, &options)?, keys, options })
    }

    /// The request that tells a signal at a time.
    fn request(&self, signal: &Signal, now: DateTime<Utc>) -> Result<Request> {
        let action = match signal.action {
            Action::Trigger => "triggered",
            Action::Resolve => "resolved",
        };
        let body = json(&Body {
            kind: format!("backup.{}.{action}", signal.alert.condition),
            timestamp: signal.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            data: &signal.alert,
        })?;
        let seconds = now.timestamp();
        let signatures = self.keys.iter().map(|key| key.sign(&signal.id, seconds, &body));
        let signatures: Vec<String> = signatures.collect::<Result<_>>()?;
        let mut request = self.service.post()?.idempotent();
        for (name, value) in [
            ("webhook-id", signal.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ] {
            if !value.is_empty() {
                let value = HeaderValue::from_str(&value)
                    .map_err(|_| Error::new(ErrorKind::Unexpected, "a header of a webhook cannot be written"))?;
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        Ok(with_json(request, body))
    }
}

#[async_trait]
impl Route for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self, alert: &Alert) -> bool {
        self.options.takes(alert)
    }

    async fn send(&self, signal: &Signal) -> Result<()> {
        // Receivers refuse what was signed long ago: it is signed when it is sent, whenever the alert began.
        self.service.send(self.request(signal, self.options.clock.now())?).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_example_has_its_signature() {
        // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md and the test of its
        // reference libraries.
        let key = WebhookKey::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_never_shown() {
        for text in ["hunter2", "whsec_aHVudGVyMg==", "whsec_!!!"] {
            let error = WebhookKey::parse(&text.into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        let key = WebhookKey::parse(&"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        assert!(!format!("{key:?}").contains("77"));
    }
}
