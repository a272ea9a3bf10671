//! How the kit is set up.

use std::sync::Arc;

use saas_backup_core::{Clock, Error, ErrorKind, Result, SystemClock};
use url::Url;

use crate::{Authenticator, CursorKey, Limits};

/// Settings of the server kit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportConfig {
    /// Where consumers reach the API; its path is where the router answers.
    pub api_base: Url,
    /// Who tells tokens.
    pub authenticator: Arc<dyn Authenticator>,
    /// What cursors are sealed with.
    pub cursor_key: CursorKey,
    /// Who gives out tokens (OAuth issuers). Default: none; then the service is of the profile `minimal` alone.
    pub authorization_servers: Vec<Url>,
    /// The bounds. Default: [`Limits::default`].
    pub limits: Limits,
    /// Tells the time. Default: the machine's clock.
    pub clock: Arc<dyn Clock>,
}

impl ExportConfig {
    /// Settings with the default limits.
    ///
    /// `api_base` is the public address of the API, such as `https://api.example.com/export/v1`. Behind a proxy it is
    /// the proxy's address, and the proxy must keep the path.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] unless the address is `https` without query and fragment; `http` is allowed on
    /// loopback addresses alone.
    pub fn new(api_base: Url, authenticator: impl Authenticator, cursor_key: CursorKey) -> Result<Self> {
        let loopback = match api_base.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let secure = api_base.scheme() == "https" || (api_base.scheme() == "http" && loopback);
        if !secure || api_base.query().is_some() || api_base.fragment().is_some() {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the address of the API must be https (http on loopback only), without query and fragment",
            ));
        }
        Ok(Self {
            api_base,
            authenticator: Arc::new(authenticator),
            cursor_key,
            authorization_servers: Vec::new(),
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
        })
    }

    /// Names an OAuth issuer that gives out tokens for this API; consumers find it by RFC 9728.
    ///
    /// It must offer a grant for programs that ends by revocation alone: `client_credentials`, best with
    /// `private_key_jwt`.
    #[must_use]
    pub fn with_authorization_server(mut self, issuer: Url) -> Self {
        self.authorization_servers.push(issuer);
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The address without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.api_base.as_str().trim_end_matches('/')
    }

    /// The path of the document that says who gives out tokens (RFC 9728, section 3.1).
    pub(crate) fn resource_metadata_path(&self) -> String {
        format!("/.well-known/oauth-protected-resource{}", self.api_base.path().trim_end_matches('/'))
    }

    /// Its address, if somebody does.
    pub(crate) fn resource_metadata(&self) -> Option<String> {
        let origin = self.api_base.origin().ascii_serialization();
        (!self.authorization_servers.is_empty()).then(|| format!("{origin}{}", self.resource_metadata_path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StaticTokens;

    fn config(url: &str) -> Result<ExportConfig> {
        ExportConfig::new(Url::parse(url).unwrap(), StaticTokens::default(), CursorKey::from_bytes([7; 32]))
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        assert!(config("https://api.example.com/export/v1").is_ok());
        assert!(config("http://127.0.0.1:8080/export/v1").is_ok());
        assert!(config("http://[::1]:8080/export/v1").is_ok());
        for url in ["http://api.example.com/", "http://10.0.0.1/", "https://a.example/?x=1", "ftp://127.0.0.1/"] {
            assert_eq!(config(url).unwrap_err().kind(), ErrorKind::Configuration, "{url}");
        }
    }

    #[test]
    fn settings_do_not_print_the_key() {
        let text = format!("{:?}", config("https://api.example.com/").unwrap());
        assert!(!text.contains("7, 7") && !text.contains("0707"), "{text}");
    }
}
