//! What a consumer is told when something goes wrong (RFC 9457).

use saas_backup_core::{Error, ErrorKind, Retry};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Scope;

const URN: &str = "urn:open-export:problem:";

/// A problem document.
///
/// The kit writes one for every answer of 400 and above, and never puts the text of an [`Error`] into it: what a
/// vendor's own code says may hold a customer's data. A vendor that wants to say more returns a `ProblemDetails` as
/// an error (`Err(ProblemDetails::new(…).into())`) and answers for its words.
///
/// ```
/// use saas_backup_core::{Error, ErrorKind};
/// use saas_backup_export_api::ProblemDetails;
///
/// let error = Error::new(ErrorKind::Unexpected, "no such column: notes.body of ann@example.com");
/// let problem = ProblemDetails::from(&error);
/// assert_eq!(problem.status, 500);
/// assert!(!problem.to_json().contains("ann@example.com"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{title}")]
#[non_exhaustive]
pub struct ProblemDetails {
    /// A URN of the protocol or a URL of the vendor's documentation.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// One line for a person, the same for every occurrence.
    pub title: String,
    /// More for a person; never customer data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Seconds after which trying again makes sense; sent as `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u64>,
    /// Members that this kind of problem has on top.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

impl ProblemDetails {
    /// A problem of the protocol: `kind` is the last part of its URN.
    pub fn new(kind: &str, status: u16, title: impl Into<String>) -> Self {
        Self {
            kind: format!("{URN}{kind}"),
            status,
            title: title.into(),
            detail: None,
            retry_after: None,
            extensions: Map::new(),
        }
    }

    /// Adds a detail; never customer data.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.into(), value.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The document.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// There is nothing here, or nothing that this grant may know of: the same words for both.
    pub fn not_found() -> Self {
        Self::new("not-found", 404, "There is no such thing, or this grant does not see it")
    }

    /// The attachment no longer exists; `reason` is `erased`, `purged` or `blocked`.
    pub fn blob_gone(reason: &str) -> Self {
        Self::new("blob-gone", 410, "The attachment no longer exists").with("reason", reason)
    }

    /// The attachment is still being prepared: try again after so many seconds.
    pub fn blob_pending(seconds: u64) -> Self {
        Self::new("blob-pending", 503, "The attachment is still being prepared").with_retry_after(seconds)
    }

    /// The attachment may not be handed out, for example because malware was found in it.
    pub fn blob_blocked() -> Self {
        Self::new("blob-blocked", 403, "The attachment is blocked")
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new("unauthenticated", 401, "A valid bearer token is needed")
    }

    pub(crate) fn insufficient_scope(scope: &Scope) -> Self {
        Self::new("insufficient-scope", 403, "The grant does not allow this request").with("scope", scope.to_string())
    }

    pub(crate) fn digest_mismatch() -> Self {
        Self::new("digest-mismatch", 422, "The bytes are not those that the digest names")
    }

    pub(crate) fn drift_moved() -> Self {
        Self::new("drift-moved", 409, "The account has changed since this cursor: read the changes and ask again")
    }

    pub(crate) fn cursor_invalid() -> Self {
        Self::new("cursor-invalid", 400, "The cursor was not issued for this request")
            .with_detail("use a cursor only at the endpoint, in the account and with the filter that it was given for")
    }

    pub(crate) fn cursor_expired() -> Self {
        Self::resync("cursor-expired", "The cursor is too old: read a snapshot and reconcile")
    }

    pub(crate) fn generation_changed() -> Self {
        Self::resync("generation-changed", "The account was rebuilt: read a snapshot and reconcile")
    }

    pub(crate) fn snapshot_expired() -> Self {
        Self::new("snapshot-expired", 410, "The snapshot is too old: start a new one")
    }

    fn resync(kind: &str, title: &str) -> Self {
        Self::new(kind, 410, title)
            .with("resync", serde_json::json!({ "collections": ["*"], "mode": "snapshot+reconcile" }))
    }

    pub(crate) fn parameter(kind: &str, name: &str, title: &str) -> Self {
        Self::new(kind, 400, title).with("parameters", vec![name])
    }

    pub(crate) fn invalid_parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::parameter("invalid-parameter", name, "A parameter does not have the expected form").with_detail(detail)
    }

    pub(crate) fn busy(seconds: u64) -> Self {
        Self::too_many("Too many requests at once", "concurrent-requests", seconds)
    }

    pub(crate) fn quota_exceeded(seconds: u64) -> Self {
        Self::too_many("Too many requests in this window of time", "export", seconds.max(1))
    }

    fn too_many(title: &str, policy: &str, seconds: u64) -> Self {
        let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
        let problem = Self::new("", 429, title).with_retry_after(seconds);
        Self { kind: kind.to_owned(), ..problem }.with("violated-policies", vec![policy])
    }
}

impl From<ProblemDetails> for Error {
    fn from(problem: ProblemDetails) -> Self {
        let kind = match problem.status {
            401 => ErrorKind::Unauthenticated,
            403 => ErrorKind::PermissionDenied,
            404 => ErrorKind::NotFound,
            410 => ErrorKind::CursorExpired,
            429 => ErrorKind::RateLimited,
            400..500 => ErrorKind::InvalidData,
            503 => ErrorKind::Unavailable,
            _ => ErrorKind::Unexpected,
        };
        Error::new(kind, "the request was answered with a problem")
            .with_context("status", problem.status)
            .with_source(problem)
    }
}

/// The vendor's own problem if the error carries one; else the kit's words for its kind.
impl From<&Error> for ProblemDetails {
    fn from(error: &Error) -> Self {
        let own = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Self>());
        if let Some(problem) = own {
            return problem.clone();
        }
        let problem = match error.kind() {
            ErrorKind::Unauthenticated => Self::unauthenticated(),
            ErrorKind::PermissionDenied => {
                Self::new("insufficient-scope", 403, "The grant does not allow this request")
            }
            ErrorKind::NotFound => Self::not_found(),
            ErrorKind::CursorExpired => Self::cursor_expired(),
            ErrorKind::RateLimited => Self::busy(1),
            ErrorKind::Unavailable => {
                let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
                let problem = Self::new("", 503, "The service cannot answer at the moment").with_retry_after(5);
                Self { kind: kind.to_owned(), ..problem }
            }
            _ => Self::new("internal", 500, "The service made a mistake"),
        };
        match error.retry() {
            Retry::After(wait) => problem.with_retry_after(wait.as_secs().max(1)),
            _ => problem,
        }
    }
}

impl From<Error> for ProblemDetails {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendors_own_problem_goes_out_as_it_is() {
        let own = ProblemDetails::new("account-suspended", 403, "Export ended with the contract");
        assert_eq!(ProblemDetails::from(Error::from(own.clone())), own);
    }

    #[test]
    fn a_dead_cursor_says_how_to_go_on() {
        let json: Value = serde_json::from_str(&ProblemDetails::cursor_expired().to_json()).unwrap();
        assert_eq!(json["type"], "urn:open-export:problem:cursor-expired");
        assert_eq!(json["resync"]["mode"], "snapshot+reconcile");
    }
}
