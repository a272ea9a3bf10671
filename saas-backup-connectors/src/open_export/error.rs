use saas_backup_core::{Error, ErrorKind, Retry};
use serde::Deserialize;

use crate::http::{Failure, classify as by_status};

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
}

/// The meaning of a refusal: by its problem where it is one of the protocol, else by its status.
pub(super) fn classify(failure: &Failure<'_>) -> Error {
    let problem: Option<Problem> = serde_json::from_slice(failure.body).ok();
    let kind = problem.as_ref().and_then(|problem| problem.kind.strip_prefix("urn:open-export:problem:"));
    let (kind, message) = match (kind, failure.status.as_u16()) {
        // To its reader a cursor that the service does not know (its keys were changed) is as dead as an old one.
        (Some("cursor-expired" | "cursor-invalid"), _) => {
            (ErrorKind::CursorExpired, "the service no longer accepts the cursor")
        }
        (Some("generation-changed"), _) => (ErrorKind::CursorExpired, "the service rebuilt the account"),
        (Some("snapshot-expired"), _) => (ErrorKind::CursorExpired, "the service no longer keeps the snapshot"),
        (Some("blob-gone" | "record-gone"), _) => (ErrorKind::NotFound, "the service no longer has this"),
        (Some("blob-blocked"), _) => (ErrorKind::PermissionDenied, "the service blocks this attachment"),
        (Some("blob-pending"), _) => (ErrorKind::Unavailable, "the service still prepares this attachment"),
        (Some("import-expired" | "import-closed"), _) => {
            (ErrorKind::Conflict, "the import ended before it was committed: restore again, which goes on where it was")
        }
        (Some("digest-mismatch"), _) => (ErrorKind::Integrity, "the service received other bytes"),
        (Some("quota-storage"), _) => (ErrorKind::StorageFull, "the account's storage is full"),
        (Some("account-suspended"), _) => (ErrorKind::PermissionDenied, "the account is suspended"),
        (Some("insufficient-scope"), _) => (ErrorKind::PermissionDenied, "the token lacks a scope"),
        (Some("version-unsupported"), _) | (None, 406) => {
            (ErrorKind::UnsupportedVersion, "the service does not speak this version of the protocol")
        }
        (None, 410) => (ErrorKind::CursorExpired, "the service no longer accepts the cursor"),
        _ => return by_status(failure),
    };
    let error = Error::new(kind, message).with_context("status", failure.status.as_u16());
    match failure.wait {
        Some(wait) if error.retry() != Retry::Never => error.with_retry(Retry::After(wait)),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use http::{HeaderMap, StatusCode};

    fn of(status: u16, kind: &str, wait: Option<Duration>) -> Error {
        let (headers, body) = (HeaderMap::new(), format!(r#"{{"type":"{kind}","detail":"ann@example.com"}}"#));
        let status = StatusCode::from_u16(status).unwrap();
        let mut failure = Failure::new(status, &headers, body.as_bytes());
        failure.wait = wait;
        classify(&failure)
    }

    #[test]
    fn problems_of_the_protocol_have_their_meaning() {
        for (status, kind, expected) in [
            (410, "urn:open-export:problem:cursor-expired", ErrorKind::CursorExpired),
            (400, "urn:open-export:problem:cursor-invalid", ErrorKind::CursorExpired),
            (410, "urn:open-export:problem:generation-changed", ErrorKind::CursorExpired),
            (410, "urn:open-export:problem:snapshot-expired", ErrorKind::CursorExpired),
            (410, "about:blank", ErrorKind::CursorExpired),
            (410, "urn:open-export:problem:import-expired", ErrorKind::Conflict),
            (422, "urn:open-export:problem:digest-mismatch", ErrorKind::Integrity),
            (507, "urn:open-export:problem:quota-storage", ErrorKind::StorageFull),
            (410, "urn:open-export:problem:blob-gone", ErrorKind::NotFound),
            (403, "urn:open-export:problem:insufficient-scope", ErrorKind::PermissionDenied),
            (406, "about:blank", ErrorKind::UnsupportedVersion),
            (401, "urn:open-export:problem:unauthenticated", ErrorKind::Unauthenticated),
            (404, "urn:open-export:problem:not-found", ErrorKind::NotFound),
            (500, "about:blank", ErrorKind::Unavailable),
        ] {
            let error = of(status, kind, None);
            assert_eq!(error.kind(), expected, "{status} {kind}");
            assert!(!format!("{error:?}").contains("ann@example.com"));
        }
    }

    #[test]
    fn what_is_still_prepared_is_waited_for() {
        let wait = Duration::from_secs(7);
        let error = of(503, "urn:open-export:problem:blob-pending", Some(wait));
        assert_eq!(error.retry(), Retry::After(wait));
    }
}
