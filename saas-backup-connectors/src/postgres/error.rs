use std::error::Error as _;

use saas_backup_core::{Error, ErrorKind, Retry};
use tokio_postgres::error::SqlState;

/// What a refusal of the server means.
///
/// Class codes are those of <https://www.postgresql.org/docs/current/errcodes-appendix.html>. What the server says of
/// values (classes 22 and 23) may quote them, so only the code is kept; elsewhere it names objects alone.
pub(super) fn refused(what: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |error| explain(what, &error)
}

/// The same, of a refusal that is looked at further.
pub(super) fn explain(what: &'static str, error: &tokio_postgres::Error) -> Error {
    let Some(refusal) = error.as_db_error() else {
        let reason = error.source().map(ToString::to_string).unwrap_or_default();
        let kind = if reason.contains("certificate") || reason.contains("password") {
            ErrorKind::Configuration
        } else {
            ErrorKind::Unavailable
        };
        let retry = if kind == ErrorKind::Unavailable { Retry::Backoff } else { Retry::Never };
        return Error::new(kind, what).with_context("reason", error.to_string()).with_retry(retry);
    };
    let code = refusal.code();
    let (kind, retry) = kind_of(code);
    let told = Error::new(kind, what).with_retry(retry).with_context("sqlstate", code.code());
    match code.code().get(..2) {
        Some("22" | "23") => told,
        _ => told.with_context("server", refusal.message()),
    }
}

fn kind_of(code: &SqlState) -> (ErrorKind, Retry) {
    match code.code() {
        "42501" => (ErrorKind::PermissionDenied, Retry::Never),
        "42P01" | "42704" | "3D000" | "42883" => (ErrorKind::NotFound, Retry::Never),
        "55006" | "55P03" => (ErrorKind::Conflict, Retry::Never),
        "0A000" => (ErrorKind::Unsupported, Retry::Never),
        other => match other.get(..2) {
            Some("28") => (ErrorKind::Unauthenticated, Retry::Never),
            Some("08" | "40" | "53" | "57" | "58") => (ErrorKind::Unavailable, Retry::Backoff),
            Some("22" | "23") => (ErrorKind::InvalidData, Retry::Never),
            _ => (ErrorKind::Unexpected, Retry::Never),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_stops_may_be_asked_again_and_a_missing_right_not() {
        assert_eq!(kind_of(&SqlState::ADMIN_SHUTDOWN), (ErrorKind::Unavailable, Retry::Backoff));
        assert_eq!(kind_of(&SqlState::INSUFFICIENT_PRIVILEGE), (ErrorKind::PermissionDenied, Retry::Never));
        assert_eq!(kind_of(&SqlState::INVALID_PASSWORD), (ErrorKind::Unauthenticated, Retry::Never));
        assert_eq!(kind_of(&SqlState::UNIQUE_VIOLATION), (ErrorKind::InvalidData, Retry::Never));
    }
}
