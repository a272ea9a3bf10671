use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// Which site, as whom, and how gently.
///
/// ```
/// use saas_backup_connectors::wordpress::WordPressConfig;
///
/// let config: WordPressConfig = serde_json::from_str(
///     r#"{"url": "https://blog.example.com", "username": "backup", "password": "abcd efgh ijkl mnop"}"#,
/// )?;
/// assert_eq!(config.page_size, 100);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WordPressConfig {
    /// The address of the site, such as `https://blog.example.com`.
    pub url: String,
    /// The user to log in as. What this user may not see is not in the copy: an administrator sees everything.
    pub username: String,
    /// An application password of that user (Users → Profile → Application Passwords), spaces and all.
    #[schemars(with = "String")]
    pub password: SecretString,
    /// Records in one request, at most 100. Default: 100.
    #[serde(default = "page_size")]
    pub page_size: u32,
    /// Requests a second. Default: 5.
    #[serde(default = "requests_per_second")]
    pub requests_per_second: f64,
    /// Minutes that an increment reads again before the point where the last one ended, for changes that became
    /// visible late. Default: 10.
    #[serde(default = "lag_minutes")]
    pub lag_minutes: u32,
    /// Whether to read the revisions of posts and pages: a request for each that has some. Default: yes.
    #[serde(default = "yes")]
    pub revisions: bool,
    /// Further hosts that files of the site may be fetched from, such as its content delivery network; `*.` stands
    /// for all names below. Default: none but the host of the site.
    #[serde(default)]
    pub file_hosts: Vec<String>,
    /// Whether the site may have a private or loopback address, and may be spoken to without encryption: for a site
    /// on a network of your own. Default: no.
    #[serde(default)]
    pub allow_private_addresses: bool,
}

impl WordPressConfig {
    /// A site and who to log in as, everything else by default.
    pub fn new(url: impl Into<String>, username: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            username: username.into(),
            password: password.into(),
            page_size: page_size(),
            requests_per_second: requests_per_second(),
            lag_minutes: lag_minutes(),
            revisions: true,
            file_hosts: Vec::new(),
            allow_private_addresses: false,
        }
    }

    /// Allows private addresses, and HTTP without encryption.
    #[must_use]
    pub fn with_private_addresses(mut self, allowed: bool) -> Self {
        self.allow_private_addresses = allowed;
        self
    }

    /// Sets the requests a second.
    #[must_use]
    pub fn with_requests_per_second(mut self, rate: f64) -> Self {
        self.requests_per_second = rate;
        self
    }

    /// Sets the records in one request.
    #[must_use]
    pub fn with_page_size(mut self, records: u32) -> Self {
        self.page_size = records;
        self
    }

    /// Reads revisions, or does not.
    #[must_use]
    pub fn with_revisions(mut self, revisions: bool) -> Self {
        self.revisions = revisions;
        self
    }

    /// Sets the overlap of increments.
    #[must_use]
    pub fn with_lag_minutes(mut self, minutes: u32) -> Self {
        self.lag_minutes = minutes;
        self
    }
}

fn page_size() -> u32 {
    100
}

fn requests_per_second() -> f64 {
    5.0
}

fn lag_minutes() -> u32 {
    10
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_printed_and_unknown_settings_are_refused() {
        let config = WordPressConfig::new("https://example.com", "backup", "abcd efgh");
        assert!(!format!("{config:?}").contains("abcd"));
        let typo = r#"{"url": "https://example.com", "username": "a", "password": "b", "pagesize": 3}"#;
        assert!(serde_json::from_str::<WordPressConfig>(typo).is_err());
        let schema = schemars::schema_for!(WordPressConfig);
        assert!(schema.as_value().pointer("/properties/password").is_some());
    }
}
