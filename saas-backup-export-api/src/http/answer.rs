use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use saas_backup_core::Digest;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::GENERATION;
use crate::ProblemDetails;

/// A problem as an answer.
pub(super) struct Refusal(pub(super) ProblemDetails);

impl<T: Into<ProblemDetails>> From<T> for Refusal {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, problem.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = challenge(&problem) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// What a refusal says of the token that would do (RFC 6750, section 3).
fn challenge(problem: &ProblemDetails) -> Option<HeaderValue> {
    match (problem.status, problem.extensions.get("scope").and_then(Value::as_str)) {
        (401, _) => Some(HeaderValue::from_static("Bearer")),
        (403, Some(scope)) => {
            HeaderValue::from_str(&format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")).ok()
        }
        _ => None,
    }
}

/// A JSON document of an account, or of all.
#[derive(Debug)]
pub(super) struct Document {
    json: Value,
    tag: String,
    cache: &'static str,
    generation: Option<String>,
}

impl Document {
    /// What anybody may know.
    pub(super) fn public(json: Value) -> Self {
        Self::new(json, "public, max-age=300")
    }

    /// What one principal may know of an account.
    pub(super) fn of_account(json: Value, generation: String) -> Self {
        Self { generation: Some(generation), ..Self::private(json) }
    }

    /// What one principal may know.
    pub(super) fn private(json: Value) -> Self {
        Self::new(json, "private, no-cache")
    }

    fn new(json: Value, cache: &'static str) -> Self {
        // Weak: the same document goes out in several codings.
        let tag = format!("W/\"{}\"", Digest::of(json.to_string().as_bytes()));
        Self { json, tag, cache, generation: None }
    }

    /// Adds a member that says nothing new: it does not make another document.
    pub(super) fn with_passing(mut self, name: &str, value: Value) -> Self {
        if let Some(members) = self.json.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
        self
    }

    /// The answer to a request with these headers: the document, or 304 if the reader has it.
    pub(super) fn answer(self, request: &HeaderMap) -> Response {
        let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let unchanged =
            known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim() == "*" || strong(tag) == strong(&self.tag));
        let mut response = if unchanged {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(Body::from(self.json.to_string()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        if let Some(generation) = &self.generation {
            with_generation(&mut response, generation);
        }
        response
    }
}

pub(super) fn with_generation(response: &mut Response, generation: &str) {
    if let Ok(value) = HeaderValue::from_str(generation) {
        response.headers_mut().insert(GENERATION, value);
    }
}

/// The names in a request's path; ones that are not even text name nothing.
pub(super) struct Place<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Place<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(names)| Self(names)).map_err(|_| Refusal(ProblemDetails::not_found()))
    }
}
