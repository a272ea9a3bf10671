use std::error::Error as _;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use saas_backup_core::{Error, ErrorKind, Retry};

/// A response that says no.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The first 64 KiB of the body; may quote what was sent, so it never goes into an error.
    pub body: &'a [u8],
    /// How long the provider asks to wait.
    pub wait: Option<Duration>,
}

impl<'a> Failure<'a> {
    /// A refusal that does not say how long to wait; for tests of a [`Classify`].
    pub fn new(status: StatusCode, headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { status, headers, body, wait: None }
    }
}

/// Turns a provider's refusal into an error: the one place where a connector classifies.
pub type Classify = fn(&Failure<'_>) -> Error;

/// The meaning of a status where the provider says no more.
pub fn classify(failure: &Failure<'_>) -> Error {
    let (kind, message) = match failure.status.as_u16() {
        300..=399 => (ErrorKind::Configuration, "the provider redirects to another address"),
        401 => (ErrorKind::Unauthenticated, "the provider does not accept the credentials"),
        403 | 451 => (ErrorKind::PermissionDenied, "the credentials do not allow this"),
        404 | 410 => (ErrorKind::NotFound, "the provider does not know this"),
        408 | 425 => (ErrorKind::Unavailable, "the provider did not take the request in time"),
        409 | 412 => (ErrorKind::Conflict, "the provider holds another state"),
        413 | 414 | 431 => (ErrorKind::LimitExceeded, "the request is too large for the provider"),
        429 => (ErrorKind::RateLimited, "the provider asks to slow down"),
        501 | 505 => (ErrorKind::Unsupported, "the provider does not do this"),
        507 => (ErrorKind::StorageFull, "the provider's storage is full"),
        500..=599 => (ErrorKind::Unavailable, "the provider is in trouble"),
        _ => (ErrorKind::Unexpected, "the provider refuses the request"),
    };
    let error = Error::new(kind, message).with_context("status", failure.status.as_u16());
    match failure.wait {
        Some(wait) if error.retry() != Retry::Never => error.with_retry(Retry::After(wait)),
        _ => error,
    }
}

/// The meaning of a failure without a response. Addresses are taken out: they may hold secrets.
pub(crate) fn from_transport(error: reqwest::Error) -> Error {
    let mut source = error.source();
    while let Some(cause) = source {
        // The address check speaks from inside the resolver.
        if let Some(refusal) = cause.downcast_ref::<Error>() {
            return Error::new(refusal.kind(), refusal.message().to_owned());
        }
        source = cause.source();
    }
    let (kind, message) = if error.is_timeout() {
        (ErrorKind::Unavailable, "the provider did not answer in time")
    } else if error.is_connect() {
        (ErrorKind::Unavailable, "the provider cannot be reached")
    } else if error.is_builder() {
        (ErrorKind::Configuration, "the request cannot be made")
    } else {
        (ErrorKind::Unavailable, "the connection to the provider was cut")
    };
    Error::new(kind, message).with_source(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(status: u16, wait: Option<u64>) -> Error {
        let (headers, wait) = (HeaderMap::new(), wait.map(Duration::from_secs));
        classify(&Failure { status: StatusCode::from_u16(status).unwrap(), headers: &headers, body: b"secret", wait })
    }

    #[test]
    fn statuses_have_one_meaning() {
        for (status, kind, retry) in [
            (401, ErrorKind::Unauthenticated, Retry::Never),
            (403, ErrorKind::PermissionDenied, Retry::Never),
            (404, ErrorKind::NotFound, Retry::Never),
            (429, ErrorKind::RateLimited, Retry::Backoff),
            (500, ErrorKind::Unavailable, Retry::Backoff),
            (501, ErrorKind::Unsupported, Retry::Never),
            (507, ErrorKind::StorageFull, Retry::Never),
            (302, ErrorKind::Configuration, Retry::Never),
        ] {
            let error = classified(status, None);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn a_wait_counts_only_where_waiting_helps() {
        assert_eq!(classified(503, Some(9)).retry(), Retry::After(Duration::from_secs(9)));
        assert_eq!(classified(403, Some(9)).retry(), Retry::Never);
    }
}
