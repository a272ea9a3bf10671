use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use saas_backup_core::{Clock, Error, ErrorKind, Result, SystemClock};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{Addresses, Classify, classify};

/// The header that carries the credentials; sent to the origin of the client's base address and to no other.
#[derive(Clone, Default)]
pub struct Authorization(Option<(HeaderName, HeaderValue)>);

impl Authorization {
    /// No credentials.
    pub fn none() -> Self {
        Self::default()
    }

    /// User and password (RFC 7617).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the user holds a colon.
    pub fn basic(user: &str, password: &SecretString) -> Result<Self> {
        if user.contains(':') {
            return Err(Error::new(ErrorKind::Configuration, "the user name must not hold a colon"));
        }
        let pair = format!("{user}:{}", password.expose_secret());
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Self::header(http::header::AUTHORIZATION, &format!("Basic {encoded}").into())
    }

    /// A bearer token (RFC 6750).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the token holds characters that a header cannot.
    pub fn bearer(token: &SecretString) -> Result<Self> {
        Self::header(http::header::AUTHORIZATION, &format!("Bearer {}", token.expose_secret()).into())
    }

    /// A header of the provider's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the value holds characters that a header cannot.
    pub fn header(name: HeaderName, value: &SecretString) -> Result<Self> {
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| Error::new(ErrorKind::Configuration, "the credentials hold characters that cannot be sent"))?;
        value.set_sensitive(true);
        Ok(Self(Some((name, value))))
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        if let Some((name, value)) = &self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.0.is_some() { "Authorization(secret)" } else { "Authorization(none)" })
    }
}

/// How a [`Client`](crate::Client) behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Requests a second for the account. Default: 5.
    pub requests_per_second: f64,
    /// Requests that may be made at once before that rate holds. Default: 5.
    pub burst: u32,
    /// Tries of one request, the first one included. Default: 6.
    pub attempts: u32,
    /// The wait before the second try; doubles with each, with jitter. Default: half a second.
    pub first_delay: Duration,
    /// The longest wait between two tries. Default: a minute.
    pub longest_delay: Duration,
    /// The longest wait that a provider may ask for; beyond it the request fails and the error says how long to
    /// wait. Default: ten minutes.
    pub longest_wait: Duration,
    /// The time in which a connection must stand. Default: ten seconds.
    pub connect_timeout: Duration,
    /// The longest silence of a provider while it answers. Default: a minute.
    pub silence_timeout: Duration,
    /// Largest page in bytes, after decompression. Default: 64 MiB.
    pub max_body_bytes: usize,
    /// Redirects that are followed, for reading alone. Default: 5.
    pub max_redirects: u32,
    /// Hosts beside the one of the base address, and whether private addresses are allowed. Default: none, no.
    pub addresses: Addresses,
    /// Headers of every request.
    pub headers: HeaderMap,
    /// How refusals are classified. Default: by status alone.
    pub classify: Classify,
    /// The time of day, for providers that name one.
    pub clock: Arc<dyn Clock>,
}

impl ClientOptions {
    /// Sets the rate.
    #[must_use]
    pub fn with_requests_per_second(mut self, rate: f64) -> Self {
        self.requests_per_second = rate;
        self
    }

    /// Sets how many times a request is tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the wait before the second try.
    #[must_use]
    pub fn with_first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// Sets the largest page.
    #[must_use]
    pub fn with_max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets which further addresses are allowed.
    #[must_use]
    pub fn with_addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = addresses;
        self
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets how refusals are classified.
    #[must_use]
    pub fn with_classify(mut self, classify: Classify) -> Self {
        self.classify = classify;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(self.requests_per_second.is_finite() && self.requests_per_second > 0.0) {
            return Err(Error::new(ErrorKind::Configuration, "the requests a second must be a number above 0"));
        }
        Ok(())
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            requests_per_second: 5.0,
            burst: 5,
            attempts: 6,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_mins(1),
            longest_wait: Duration::from_mins(10),
            connect_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_mins(1),
            max_body_bytes: 64 * 1024 * 1024,
            max_redirects: 5,
            addresses: Addresses::new(),
            headers: HeaderMap::new(),
            classify,
            clock: Arc::new(SystemClock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_printed() {
        let secret = "hunter2".into();
        let basic = Authorization::basic("bot", &secret).unwrap();
        let mut headers = HeaderMap::new();
        basic.apply(&mut headers);
        assert_eq!(headers["authorization"], "Basic Ym90Omh1bnRlcjI=");
        let printed = format!("{basic:?} {headers:?} {:?}", Authorization::bearer(&secret).unwrap());
        assert!(!printed.contains("hunter2") && !printed.contains("Ym90"), "{printed}");
        let error = Authorization::bearer(&"line\nbreak".into()).unwrap_err();
        assert!(!format!("{error:?}").contains("break"));
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(ClientOptions::default().with_requests_per_second(rate).check().is_err());
        }
    }
}
