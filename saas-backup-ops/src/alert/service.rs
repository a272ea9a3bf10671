use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use saas_backup_core::{Clock, Error, ErrorKind, Result, SystemClock};
use saas_backup_http::{Addresses, Authorization, Body, Client, ClientOptions, Request};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use url::Url;

use super::{Alert, Severity};

/// Attempts of one delivery; what fails then is tried again later.
const ATTEMPTS: u32 = 3;
/// Longest answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;

/// How a service is reached that alerts go to, and which alerts it gets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceOptions {
    /// Whether it may have a private address, and be spoken to without encryption: for a network of one's own. Default:
    /// `false`.
    pub private_addresses: bool,
    /// The least bad alerts that it gets. Default: all.
    pub at_least: Option<Severity>,
    /// The wait after the first attempt that fails. Default: one second.
    pub first_delay: Duration,
    /// The clock that what is signed is stamped by. Default: the system's.
    pub clock: Arc<dyn Clock>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            private_addresses: false,
            at_least: None,
            first_delay: Duration::from_secs(1),
            clock: Arc::new(SystemClock),
        }
    }
}

impl ServiceOptions {
    /// Allows private addresses, and HTTP without encryption.
    #[must_use]
    pub fn with_private_addresses(mut self, allowed: bool) -> Self {
        self.private_addresses = allowed;
        self
    }

    /// Leaves out alerts that are less bad.
    #[must_use]
    pub fn at_least(mut self, severity: Severity) -> Self {
        self.at_least = Some(severity);
        self
    }

    /// Sets the wait after the first attempt that fails; each further one doubles it.
    #[must_use]
    pub fn with_first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn takes(&self, alert: &Alert) -> bool {
        self.at_least.is_none_or(|least| alert.severity >= least)
    }
}

/// An address to post to. It may hold secrets: nothing shows it.
#[derive(Clone, Debug)]
pub(super) struct Service {
    client: Client,
    address: SecretString,
}

impl Service {
    pub(super) fn new(address: &SecretString, options: &ServiceOptions) -> Result<Self> {
        let url: Url = address.expose_secret().parse().map_err(|_| no_address())?;
        let mut base = url.clone();
        base.set_path("/");
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(no_address());
        }
        let client = ClientOptions::default()
            .with_attempts(ATTEMPTS)
            .with_first_delay(options.first_delay)
            .with_max_body_bytes(ANSWER_BYTES)
            .with_addresses(Addresses::new().with_private(options.private_addresses));
        let client = Client::new(base, Authorization::none(), client)?;
        Ok(Self { client, address: address.clone() })
    }

    /// A request to the address.
    pub(super) fn post(&self) -> Result<Request> {
        self.post_below(&[])
    }

    /// A request to an address below it.
    pub(super) fn post_below(&self, segments: &[&str]) -> Result<Request> {
        let mut url = self.url()?;
        if !segments.is_empty() {
            url.path_segments_mut().map_err(|()| no_address())?.pop_if_empty().extend(segments);
        }
        Ok(Request::post(url))
    }

    pub(super) fn url(&self) -> Result<Url> {
        self.address.expose_secret().parse().map_err(|_| no_address())
    }

    /// Sends a request; gives the answer's body.
    pub(super) async fn send(&self, request: Request) -> Result<Bytes> {
        Ok(self.client.send(request).await?.body().clone())
    }
}

fn no_address() -> Error {
    Error::new(ErrorKind::Configuration, "the address that alerts go to is none")
}

/// A request with JSON that was made before: its exact bytes are signed.
pub(super) fn with_json(request: Request, body: Vec<u8>) -> Request {
    let kind = HeaderValue::from_static("application/json");
    request.header(header::CONTENT_TYPE, kind).body(Body::Bytes(body.into()))
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

/// The first characters of a text, marked where it was cut.
pub(super) fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(std::iter::once('…')).collect()
}
