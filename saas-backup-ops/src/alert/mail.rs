use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::extension::ClientId;
use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_http::Addresses;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::board::signal_id;
use super::service::{ServiceOptions, cut};
use super::{Action, Alert, Route, Signal};

/// How long a server may take to be reached.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a delivery may take as a whole.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest subject, in characters: what programs show of it.
const SUBJECT: usize = 200;
/// How a password is told; both need the encryption that is asked for.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MailEncryption {
    /// TLS after a greeting in the clear; a server that does not offer it gets nothing.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None: with a server on this machine alone.
    None,
}

/// The server that takes mail from us, and how it is reached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MailServer {
    /// Its name, which its certificate has to bear.
    pub host: String,
    /// Its port. Default: 587, with [`MailEncryption::Tls`] 465, without encryption 25.
    pub port: Option<u16>,
    /// How it is spoken to. Default: [`MailEncryption::StartTls`].
    pub encryption: MailEncryption,
    /// User and password. Default: nobody logs in.
    pub login: Option<(String, SecretString)>,
    /// A file of certificates (PEM) that are trusted in place of the system's. Default: none.
    pub ca_file: Option<PathBuf>,
}

impl MailServer {
    /// A server that is spoken to with STARTTLS on port 587.
    pub fn new(host: impl Into<String>) -> Self {
        let (port, encryption, login, ca_file) = Default::default();
        Self { host: host.into(), port, encryption, login, ca_file }
    }

    /// Sets the port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets how it is spoken to.
    #[must_use]
    pub fn with_encryption(mut self, encryption: MailEncryption) -> Self {
        self.encryption = encryption;
        self
    }

    /// Sets who logs in.
    #[must_use]
    pub fn with_login(mut self, user: impl Into<String>, password: SecretString) -> Self {
        self.login = Some((user.into(), password));
        self
    }

    /// Trusts the certificates of a file in place of the system's.
    #[must_use]
    pub fn with_ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(match self.encryption {
            MailEncryption::StartTls => 587,
            MailEncryption::Tls => 465,
            MailEncryption::None => 25,
        })
    }

    fn trust(&self) -> Result<TlsParameters> {
        let unusable = || Error::new(ErrorKind::Configuration, "the certificates to trust cannot be used");
        let mut builder = TlsParametersBuilder::new(self.host.clone());
        if let Some(file) = &self.ca_file {
            let pem = std::fs::read(file).map_err(|error| unusable().with_source(error))?;
            let roots = Certificate::from_pem(&pem).map_err(|_| unusable())?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(roots);
        }
        builder.build().map_err(|_| unusable())
    }
}

/// Sends mails in plain text: one when an alert begins, and one in the same thread when it is over.
///
/// `Message-ID` is made of [`Signal::id`], so that a mail that is sent twice is recognised. A server that refuses one of the
/// receivers gets the mail for none of them: then the route fails, and that is told along the others.
#[derive(Clone)]
pub struct Mail {
    name: String,
    server: MailServer,
    /// `None` without encryption.
    tls: Option<TlsParameters>,
    from: Mailbox,
    to: Vec<Mailbox>,
    options: ServiceOptions,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mail").field("name", &self.name).field("server", &self.server).finish_non_exhaustive()
    }
}

impl Mail {
    /// Mails from an address to addresses, such as `Backups <backup@example.com>`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if an address is none, or there is nobody to write to; if the certificates to trust cannot
    /// be used; or if encryption is switched off and private addresses are not allowed.
    pub fn new(
        name: impl Into<String>,
        server: MailServer,
        from: &str,
        to: &[impl AsRef<str>],
        options: ServiceOptions,
    ) -> Result<Self> {
        let mailbox = |text: &str| {
            text.trim().parse::<Mailbox>().map_err(|_| {
                Error::new(ErrorKind::Configuration, "this is no address of mail").with_context("is", text)
            })
        };
        let tls = match server.encryption {
            MailEncryption::None if options.private_addresses => None,
            MailEncryption::None => return Err(unencrypted()),
            MailEncryption::StartTls | MailEncryption::Tls => Some(server.trust()?),
        };
        let from = mailbox(from)?;
        let to: Vec<Mailbox> = to.iter().map(|text| mailbox(text.as_ref())).collect::<Result<_>>()?;
        if to.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "nobody is named to write to"));
        }
        Ok(Self { name: name.into(), server, tls, from, to, options })
    }

    fn message(&self, signal: &Signal) -> Result<Message> {
        let id = |id: &str| format!("<{id}@{}>", self.from.email.domain());
        let Signal { action, alert, .. } = signal;
        let over = if *action == Action::Resolve { "resolved: " } else { "" };
        let line: String = alert.summary.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(cut(&format!("[saas-backup] {over}{line}"), SUBJECT))
            .date(self.options.clock.now().into())
            .message_id(Some(id(&signal.id)))
            // Nobody's absence is answered to a program.
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for receiver in &self.to {
            message = message.to(receiver.clone());
        }
        if *action == Action::Resolve {
            let began = id(&signal_id(&alert.key, alert.since, Action::Trigger));
            message = message.in_reply_to(began.clone()).references(began);
        }
        message
            .body(text(signal))
            .map_err(|error| Error::new(ErrorKind::Unexpected, "the mail cannot be written").with_source(error))
    }

    async fn deliver(&self, message: &Message) -> Result<()> {
        let addresses = Addresses::new().with_private(self.options.private_addresses);
        let found = addresses.resolve_host(&self.server.host, self.server.port()).await?;
        if self.tls.is_none() && !found.iter().all(|address| address.ip().is_loopback()) {
            return Err(unencrypted());
        }
        let us = ClientId::Domain(self.from.email.domain().to_owned());
        let starts = self.tls.clone().filter(|_| self.server.encryption == MailEncryption::StartTls);
        let greeted = if starts.is_some() {
            AsyncSmtpConnection::connect_with_transport(Box::new(Unhurried::connect(&found).await?), &us).await
        } else {
            AsyncSmtpConnection::connect_tokio1(found.as_slice(), Some(CONNECT), &us, self.tls.clone(), None).await
        };
        let mut connection = greeted.map_err(refused("the mail server cannot be reached"))?;
        if let Some(tls) = starts {
            connection.starttls(tls, &us).await.map_err(refused("the mail server does not encrypt"))?;
        }
        if let Some((user, password)) = &self.server.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            let login = connection.auth(&MECHANISMS, &credentials).await;
            login.map_err(refused("the mail server does not accept the login"))?;
        }
        let sent = connection.send(message.envelope(), &message.formatted()).await;
        sent.map_err(refused("the mail server does not take the mail"))?;
        // The mail is taken, however the server says goodbye.
        drop(connection.quit().await);
        Ok(())
    }
}

/// A connection that is read byte by byte. `lettre` keeps what it has read when encryption begins, and would take what somebody
/// in between has put behind the last answer in the clear for the first encrypted one, and a refusal at the end for the answer
/// before it. Left unread, it is no TLS, and ends the connection.
#[derive(Debug)]
struct Unhurried(TcpStream);

impl Unhurried {
    async fn connect(addresses: &[SocketAddr]) -> Result<Self> {
        for address in addresses {
            if let Ok(Ok(stream)) = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                return Ok(Self(stream));
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the mail server cannot be reached"))
    }
}

impl AsyncRead for Unhurried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut byte = [0; 1];
        let mut read = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut read))?;
        buffer.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Unhurried {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncTokioStream for Unhurried {
    fn peer_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

#[async_trait]
impl Route for Mail {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self, alert: &Alert) -> bool {
        self.options.takes(alert)
    }

    async fn send(&self, signal: &Signal) -> Result<()> {
        let message = self.message(signal)?;
        // A server that asks to come back later means minutes: whoever sends signals does.
        let sent = tokio::time::timeout(PATIENCE, self.deliver(&message)).await;
        sent.map_err(|_| Error::new(ErrorKind::Unavailable, "the mail server did not answer in time"))?
    }
}

fn unencrypted() -> Error {
    Error::new(
        ErrorKind::Configuration,
        "mail without encryption goes to a server on this machine alone, and needs private addresses allowed",
    )
}

/// What a server's refusal means. What it says is left out: it repeats addresses.
fn refused(message: &'static str) -> impl Fn(lettre::transport::smtp::Error) -> Error {
    move |error| {
        let status = error.status().map(u16::from);
        let kind = match status {
            Some(530 | 534 | 535 | 538) => ErrorKind::Unauthenticated,
            Some(550 | 551 | 553 | 554) => ErrorKind::PermissionDenied,
            Some(452 | 552) => ErrorKind::StorageFull,
            Some(status) if status >= 500 => ErrorKind::Unexpected,
            None if error.is_client() => ErrorKind::Unsupported,
            _ => ErrorKind::Unavailable,
        };
        let refused = Error::new(kind, message);
        match status {
            Some(status) => refused.with_context("status", status),
            None if error.is_tls() => refused.with_context("reason", "its certificate is not trusted, or TLS failed"),
            None => refused,
        }
    }
}

fn text(signal: &Signal) -> String {
    let Signal { action, alert, at, .. } = signal;
    let mut lines = vec![alert.summary.clone(), String::new()];
    match action {
        Action::Trigger if !alert.advice.is_empty() => lines.extend([alert.advice.clone(), String::new()]),
        Action::Trigger => {}
        Action::Resolve => lines.extend([format!("It is over since {at}."), String::new()]),
    }
    let own = [
        ("condition", Some(alert.condition.to_string())),
        ("severity", Some(alert.severity.to_string())),
        ("source", alert.source.clone()),
        ("since", Some(alert.since.to_string())),
    ];
    lines.extend(own.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?))));
    lines.extend(alert.details.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.join("\n") + "\n"
}
