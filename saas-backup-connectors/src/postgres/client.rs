use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::ExposeSecret as _;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::PostgresConfig;
use super::error::refused;

/// What makes the server's texts the same for every session, exact, and qualified by schema; and what lets nothing be
/// hidden: a table with row security that we may not see through is an error, not a part of a table.
const SESSION: &str = "SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; \
    SET bytea_output = 'hex'; SET timezone = 'UTC'; SET xmloption = 'content'; SET lc_monetary = 'C'; \
    SET search_path = ''; SET row_security = off; SET synchronize_seqscans = off; SET jit = off; SET statement_timeout = 0; \
    SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET standard_conforming_strings = on; \
    SET check_function_bodies = off; SET client_min_messages = 'error'";

/// How to reach one database.
#[derive(Clone)]
pub(super) struct Server {
    config: Arc<tokio_postgres::Config>,
    tls: Option<MakeRustlsConnect>,
    /// A session that nobody uses: the server's processes take long to learn what tables there are.
    idle: Arc<Mutex<Option<Connection>>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("database", &self.config.get_dbname()).finish_non_exhaustive()
    }
}

impl Server {
    pub(super) fn new(settings: &PostgresConfig) -> Result<Self> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&settings.host)
            .port(settings.port)
            .dbname(&settings.database)
            .user(&settings.username)
            .application_name("saas-backup")
            .connect_timeout(Duration::from_secs(30))
            .keepalives_idle(Duration::from_mins(1));
        if let Some(password) = &settings.password {
            config.password(password.expose_secret());
        }
        let tls = if settings.encrypts() { Some(MakeRustlsConnect::new(trust(settings)?)) } else { None };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok(Self { config: Arc::new(config), tls, idle: Arc::default() })
    }

    /// Logs in and settles how values are written; or takes the session that was handed back.
    pub(super) async fn connect(&self) -> Result<Connection> {
        if let Some(session) = self.idle().take().filter(|session| !session.is_closed()) {
            return Ok(session);
        }
        let failed = refused("the database cannot be reached");
        let (client, task) = if let Some(tls) = &self.tls {
            let (client, connection) = self.config.connect(tls.clone()).await.map_err(&failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        } else {
            let (client, connection) = self.config.connect(NoTls).await.map_err(&failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        };
        let connection = Connection { client, task };
        connection.batch_execute(SESSION).await.map_err(refused("the session cannot be set up"))?;
        Ok(connection)
    }

    /// Takes a session back that is in no transaction.
    pub(super) fn hand_back(&self, session: Connection) {
        *self.idle() = Some(session);
    }

    fn idle(&self) -> MutexGuard<'_, Option<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trust(settings: &PostgresConfig) -> Result<ClientConfig> {
    let unusable = |reason: String| {
        Error::new(ErrorKind::Configuration, "the certificates to trust cannot be used").with_context("reason", reason)
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    let Some(file) = &settings.ca_file else {
        let builder = builder.with_platform_verifier().map_err(|error| unusable(error.to_string()))?;
        return Ok(builder.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is no certificate in the file".to_owned()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// One session. It ends when this is dropped, in the middle of what it was doing.
pub(super) struct Connection {
    client: Client,
    task: JoinHandle<()>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connection")
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Else a copy that nobody reads any more would be read to its end.
        self.task.abort();
    }
}

/// A name as it stands in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as it stands in SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
