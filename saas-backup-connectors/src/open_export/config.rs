use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// Which service, with which token, and how gently.
///
/// ```
/// use saas_backup_connectors::open_export::OpenExportConfig;
///
/// let config: OpenExportConfig =
///     serde_json::from_str(r#"{"url": "https://notes.example.com", "token": "tok_1234"}"#)?;
/// assert_eq!(config.page_lines, 1000);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OpenExportConfig {
    /// The address of the service, such as `https://notes.example.com`: its document `/.well-known/open-export` says
    /// where the API is.
    pub url: String,
    /// The bearer token; one that may only read is enough.
    #[schemars(with = "String")]
    pub token: SecretString,
    /// The account to read. Default: the one that the token is for, if there is just one.
    #[serde(default)]
    pub account: Option<String>,
    /// For a restore: the account of the service that the copy was made of, if it is another one than that which is
    /// written. Where it is the same, records that are still there are found by their ids. Default: the same.
    #[serde(default)]
    pub origin_account: Option<String>,
    /// The host of the API, where the service names another host for it than that of `url`. The token is sent there.
    #[serde(default)]
    pub api_host: Option<String>,
    /// Further hosts that the service may send readers of attachments to, such as its object store; `*.` stands for
    /// all names below. The token is not sent there. Default: none.
    #[serde(default)]
    pub file_hosts: Vec<String>,
    /// Records in one request. Default: 1,000.
    #[serde(default = "page_lines")]
    pub page_lines: u32,
    /// Requests a second. Default: 20.
    #[serde(default = "requests_per_second")]
    pub requests_per_second: f64,
    /// Whether the service may have a private or loopback address, and may be spoken to without encryption: for a
    /// service on a network of your own. Default: no.
    #[serde(default)]
    pub allow_private_addresses: bool,
}

impl OpenExportConfig {
    /// A service and a token, everything else by default.
    pub fn new(url: impl Into<String>, token: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            token: token.into(),
            account: None,
            origin_account: None,
            api_host: None,
            file_hosts: Vec::new(),
            page_lines: page_lines(),
            requests_per_second: requests_per_second(),
            allow_private_addresses: false,
        }
    }

    /// Names the account.
    #[must_use]
    pub fn with_account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Names the account that the copy was made of, if it is another one than that which is written.
    #[must_use]
    pub fn with_origin_account(mut self, account: impl Into<String>) -> Self {
        self.origin_account = Some(account.into());
        self
    }

    /// Allows the host of the API to be this one.
    #[must_use]
    pub fn with_api_host(mut self, host: impl Into<String>) -> Self {
        self.api_host = Some(host.into());
        self
    }

    /// Sets the records in one request; at least one.
    #[must_use]
    pub fn with_page_lines(mut self, lines: u32) -> Self {
        self.page_lines = lines.max(1);
        self
    }

    /// Sets the requests a second.
    #[must_use]
    pub fn with_requests_per_second(mut self, rate: f64) -> Self {
        self.requests_per_second = rate;
        self
    }

    /// Allows private addresses, and HTTP without encryption.
    #[must_use]
    pub fn with_private_addresses(mut self, allowed: bool) -> Self {
        self.allow_private_addresses = allowed;
        self
    }
}

fn page_lines() -> u32 {
    1_000
}

fn requests_per_second() -> f64 {
    20.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_printed_and_unknown_settings_are_refused() {
        let config = OpenExportConfig::new("https://example.com", "tok_secret");
        assert!(!format!("{config:?}").contains("tok_secret"));
        let typo = r#"{"url": "https://example.com", "token": "t", "acount": "ws_1"}"#;
        assert!(serde_json::from_str::<OpenExportConfig>(typo).is_err());
        let schema = schemars::schema_for!(OpenExportConfig);
        assert!(schema.as_value().to_string().contains("allow_private_addresses"));
    }
}
