use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// Which database, as whom, and how it is followed.
///
/// ```
/// use saas_backup_connectors::postgres::PostgresConfig;
///
/// let config: PostgresConfig = serde_json::from_str(
///     r#"{"host": "db.example.com", "database": "shop", "username": "backup", "password": "secret"}"#,
/// )?;
/// assert_eq!((config.port, config.increments), (5432, true));
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// The name or address of the server, or the folder of its socket.
    pub host: String,
    /// Default: 5432.
    #[serde(default = "port")]
    pub port: u16,
    /// The database; each one is a source of its own.
    pub database: String,
    /// The role to log in as.
    pub username: String,
    /// Its password; none where the server asks for none.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// Whether the connection is encrypted and the server's certificate verified. Default: yes, but for loopback
    /// addresses and sockets.
    #[serde(default)]
    pub tls: Option<bool>,
    /// A file with the certificates to trust, in PEM, such as the bundle of a cloud's databases. Default: those that
    /// the machine trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether changes are read from the server's log by a replication slot, which needs `wal_level = logical` and the
    /// right to replicate; without, each run reads everything. Default: yes.
    #[serde(default = "yes")]
    pub increments: bool,
    /// The name of the replication slot: one for each repository that follows the database. Default: `saas_backup`.
    #[serde(default = "slot")]
    pub slot: String,
    /// The name of the publication, which lists the tables that are followed. Default: `saas_backup`.
    #[serde(default = "slot")]
    pub publication: String,
    /// The schemas to read. Default: all but the server's own.
    #[serde(default)]
    pub schemas: Vec<String>,
}

impl PostgresConfig {
    /// A database of a server and who to log in as, everything else by default.
    pub fn new(host: impl Into<String>, database: impl Into<String>, username: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: port(),
            database: database.into(),
            username: username.into(),
            password: None,
            tls: None,
            ca_file: None,
            increments: true,
            slot: slot(),
            publication: slot(),
            schemas: Vec::new(),
        }
    }

    /// Sets the port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the role to log in as.
    #[must_use]
    pub fn with_user(mut self, username: impl Into<String>) -> Self {
        self.username = username.into();
        self
    }

    /// Sets the password.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<SecretString>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Follows the server's log, or reads everything each time.
    #[must_use]
    pub fn with_increments(mut self, increments: bool) -> Self {
        self.increments = increments;
        self
    }

    /// Sets the name of the replication slot.
    #[must_use]
    pub fn with_slot(mut self, slot: impl Into<String>) -> Self {
        self.slot = slot.into();
        self
    }

    /// Sets the name of the publication.
    #[must_use]
    pub fn with_publication(mut self, publication: impl Into<String>) -> Self {
        self.publication = publication.into();
        self
    }

    /// Reads these schemas alone.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Vec<String>) -> Self {
        self.schemas = schemas;
        self
    }

    /// Reads relative paths from a folder.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.ca_file = self.ca_file.map(|file| folder.join(file));
        self
    }

    pub(super) fn encrypts(&self) -> bool {
        self.tls.unwrap_or_else(|| !self.is_local())
    }

    fn is_local(&self) -> bool {
        let is_loopback = |address: std::net::IpAddr| address.is_loopback();
        Path::new(&self.host).is_absolute() || self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }
}

fn port() -> u16 {
    5432
}

fn slot() -> String {
    "saas_backup".to_owned()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_on_the_machine_is_not_encrypted() {
        for (host, encrypted) in [
            ("db.example.com", true),
            ("10.0.0.1", true),
            ("localhost", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("/run/postgresql", false),
        ] {
            assert_eq!(PostgresConfig::new(host, "shop", "backup").encrypts(), encrypted, "{host}");
        }
    }

    #[test]
    fn the_password_is_not_printed_and_unknown_settings_are_refused() {
        let config = PostgresConfig::new("db", "shop", "backup").with_password("open sesame");
        assert!(!format!("{config:?}").contains("sesame"));
        let typo = r#"{"host": "db", "database": "a", "username": "b", "slott": "c"}"#;
        assert!(serde_json::from_str::<PostgresConfig>(typo).is_err());
    }
}
