use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A result with this SDK's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, whether trying again can help, and the facts around it.
///
/// Whoever meets a failure classifies it once, where the response is read; everybody above only asks
/// [`kind`](Error::kind) and [`retry`](Error::retry). Neither the message nor the context ever holds a
/// secret, a URL with a query, or the body of a record.
///
/// ```
/// use saas_backup_core::{Error, ErrorKind, Retry};
///
/// let error = Error::new(ErrorKind::PermissionDenied, "the token lacks a scope")
///     .with_context("scope", "channels:history")
///     .with_context("collection", "messages");
/// assert_eq!(error.kind(), ErrorKind::PermissionDenied);
/// assert_eq!(error.retry(), Retry::Never);
/// assert_eq!(
///     error.to_string(),
///     "the token lacks a scope (scope: channels:history, collection: messages)"
/// );
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The classes of failure that a caller acts on differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration or a call's arguments are wrong.
    Configuration,
    /// The credentials are missing, wrong or expired.
    Unauthenticated,
    /// The credentials are good, but do not allow this.
    PermissionDenied,
    /// What was asked for does not exist.
    NotFound,
    /// The provider asks us to slow down.
    RateLimited,
    /// The provider no longer accepts a cursor: the collections concerned must be read in full.
    CursorExpired,
    /// A network, server or storage failure that usually passes.
    Unavailable,
    /// Bytes from outside do not have the form they should have.
    InvalidData,
    /// Stored bytes are not what was written: a digest, a signature or a chain does not match.
    Integrity,
    /// A bound on length, depth, count or time was exceeded.
    LimitExceeded,
    /// Somebody else wrote first, or is at work.
    Conflict,
    /// This end cannot do that, and says so in its [`Capabilities`](crate::Capabilities).
    Unsupported,
    /// A newer version of a format or protocol than this one knows.
    UnsupportedVersion,
    /// The storage is full or over quota.
    StorageFull,
    /// The caller cancelled.
    Cancelled,
    /// None of the above.
    Unexpected,
}

/// Whether, and when, the same call may succeed if it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// Not without a change by somebody.
    Never,
    /// After a while that grows with each try.
    Backoff,
    /// Not before this time has passed, because the other side said so.
    After(Duration),
}

impl Error {
    /// Makes an error of one kind; the message is lower case and has no full stop.
    ///
    /// [`retry`](Self::retry) starts as [`Retry::Backoff`] for [`ErrorKind::RateLimited`] and
    /// [`ErrorKind::Unavailable`], else as [`Retry::Never`].
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let retry = match kind {
            ErrorKind::RateLimited | ErrorKind::Unavailable => Retry::Backoff,
            _ => Retry::Never,
        };
        Self(Box::new(Inner { kind, retry, message: message.into(), context: Vec::new(), source: None }))
    }

    /// Adds a fact; the value must not be secret.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Sets when trying again makes sense.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Keeps the failure below as [`source`](StdError::source).
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The message without the context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The facts, in the order in which they were added.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl ErrorKind {
    /// The name that reports and stored gaps use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission-denied",
            Self::NotFound => "not-found",
            Self::RateLimited => "rate-limited",
            Self::CursorExpired => "cursor-expired",
            Self::Unavailable => "unavailable",
            Self::InvalidData => "invalid-data",
            Self::Integrity => "integrity",
            Self::LimitExceeded => "limit-exceeded",
            Self::Conflict => "conflict",
            Self::Unsupported => "unsupported",
            Self::UnsupportedVersion => "unsupported-version",
            Self::StorageFull => "storage-full",
            Self::Cancelled => "cancelled",
            Self::Unexpected => "unexpected",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)?;
        for (index, (name, value)) in self.context().enumerate() {
            let open = if index == 0 { " (" } else { ", " };
            write!(formatter, "{open}{name}: {value}")?;
        }
        if !self.0.context.is_empty() {
            formatter.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("retry", &self.0.retry).field("message", &self.0.message);
        if !self.0.context.is_empty() {
            debug.field("context", &self.0.context);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, message) = match error.kind() {
            Io::NotFound => (ErrorKind::NotFound, "no such file or folder"),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                (ErrorKind::PermissionDenied, "the file system does not allow this")
            }
            Io::StorageFull | Io::QuotaExceeded => (ErrorKind::StorageFull, "the storage is full"),
            Io::AlreadyExists => (ErrorKind::Conflict, "the file exists already"),
            Io::InvalidData | Io::UnexpectedEof => (ErrorKind::InvalidData, "the data is cut or malformed"),
            Io::Interrupted
            | Io::TimedOut
            | Io::WouldBlock
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::ConnectionRefused
            | Io::BrokenPipe => (ErrorKind::Unavailable, "the connection or the device did not answer"),
            _ => (ErrorKind::Unexpected, "reading or writing went wrong"),
        };
        Self::new(kind, message).with_source(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        // The library's own message may quote a value, so only the place is kept.
        let place = format!("line {}, column {}", error.line(), error.column());
        let message =
            if error.is_eof() { "the JSON ends too early" } else { "the JSON does not have the expected form" };
        Self::new(ErrorKind::InvalidData, message).with_context("at", place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn a_json_error_does_not_quote_the_value() {
        let error: Error = serde_json::from_str::<u8>("\"sk_live_secret\"").unwrap_err().into();
        assert!(!format!("{error} {error:?}").contains("sk_live"));
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let error: Error = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(error.retry(), Retry::Never);
    }
}
