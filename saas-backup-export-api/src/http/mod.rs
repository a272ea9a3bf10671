//! The protocol as an axum router.

mod accounts;
mod answer;
mod blobs;
mod discovery;
mod erasures;
mod gate;
mod imports;
mod range;
mod streams;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use secrecy::SecretString;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use self::answer::Refusal;
use self::gate::{Gate, Pass, Standing};
use crate::kit::Kit;
use crate::params::Params;
use crate::{ExportConfig, ExportSource, Grant, Principal, ProblemDetails, Quota};

const VERSION: HeaderName = HeaderName::from_static("open-export-version");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const GENERATION: HeaderName = HeaderName::from_static("open-export-generation");
/// Enough for 500 keys of the greatest length, each character escaped.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// The export API of a source: `/.well-known/open-export`, and everything else below the path of
/// [`ExportConfig::api_base`].
///
/// Mount it at the root of the host that the address names: `app.merge(router(source, config))`. It needs no state
/// and answers nothing outside of its paths.
pub fn router(source: impl ExportSource, config: ExportConfig) -> Router {
    let path = config.api_base.path().trim_end_matches('/').to_owned();
    let metadata_path = config.resource_metadata().map(|_| config.resource_metadata_path());
    let gate = Gate::new(&config.limits, Arc::clone(&config.clock));
    let server = Server { kit: Kit { source: Arc::new(source), config: Arc::new(config) }, gate };

    let mut accounts = Router::new()
        .route("/accounts", only(get(accounts::list)))
        .route("/accounts/{account}/schema", only(get(accounts::schema)))
        .route("/accounts/{account}/coverage", only(get(accounts::coverage)))
        .route("/accounts/{account}/status", only(get(accounts::status)))
        .route("/accounts/{account}/drift", only(get(accounts::drift)))
        .route("/accounts/{account}/snapshot", only(get(streams::snapshot)))
        .route("/accounts/{account}/inventory", only(get(streams::inventory)))
        .route("/accounts/{account}/changes", only(get(streams::changes)))
        .route("/accounts/{account}/records", only(post(streams::records)))
        .route("/accounts/{account}/records/{collection}/{id}", only(get(streams::record)));
    if server.kit.source.erasures().is_some() {
        let receipts = get(erasures::receipts).post(erasures::receive);
        accounts = accounts
            .route("/accounts/{account}/erasures", only(get(erasures::requests)))
            .route("/accounts/{account}/erasures/{erasure}/receipts", only(receipts));
    }
    if server.kit.source.imports().is_some() {
        accounts = accounts
            .route("/accounts/{account}/imports", only(post(imports::begin)))
            .route("/accounts/{account}/imports/{import}", only(get(imports::show).delete(imports::discard)))
            .route("/accounts/{account}/imports/{import}/records", only(imports::taking_records()))
            .route("/accounts/{account}/imports/{import}/blobs/{digest}", only(imports::blobs()))
            .route("/accounts/{account}/imports/{import}/commit", only(post(imports::commit)))
            .route("/accounts/{account}/imports/{import}/map", only(get(imports::map)));
    }
    let accounts = accounts
        .layer(coding())
        // Outside of the layer: the length and the digest of an attachment are those of the bytes that are sent.
        .route("/accounts/{account}/blobs/{blob}", only(get(blobs::blob)))
        .layer(middleware::from_fn_with_state(server.clone(), let_in));
    let api = Router::new()
        .route("/public-schema", only(get(discovery::public_schema)))
        .layer(coding())
        .merge(accounts)
        .fallback(async || Refusal(ProblemDetails::not_found()))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
    let mut root = Router::new().route("/.well-known/open-export", only(get(discovery::document)));
    if let Some(path) = metadata_path {
        root = root.route(&path, only(get(discovery::resource_metadata)));
    }
    let root = root.layer(coding());
    // axum nests at a path alone.
    let routes = if path.is_empty() { root.merge(api) } else { root.nest(&path, api) };
    routes.layer(middleware::from_fn(negotiate)).with_state(server)
}

/// Packs documents and streams with gzip or zstd for readers that prefer it. What a source has given is sent before the source
/// is waited for.
fn coding() -> CompressionLayer {
    // Lines of text at this level come to 5 % more bytes than at the default one, for about half of the time.
    CompressionLayer::new().quality(CompressionLevel::Precise(3))
}

fn only(methods: MethodRouter<Server>) -> MethodRouter<Server> {
    methods.fallback(async || Refusal(ProblemDetails::new("method-not-allowed", 405, "The method is not allowed here")))
}

#[derive(Clone, Debug)]
struct Server {
    kit: Kit,
    gate: Gate,
}

/// What the caller may export of an account, and the request's parameters.
fn admit(
    Caller(principal): Caller,
    headers: &HeaderMap,
    account: &str,
    query: Option<String>,
    known: &[&str],
) -> Result<(Grant, Params), ProblemDetails> {
    let grant = Kit::grant(principal, account)?;
    Ok((grant, Params::parse(&query.unwrap_or_default(), known, is_lenient(headers))?))
}

impl Server {
    /// The same, with a place at work.
    fn admit_to_work(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        account: &str,
        query: Option<String>,
        known: &[&str],
    ) -> Result<(Grant, Params, Pass), ProblemDetails> {
        let (grant, params) = admit(caller, headers, account, query, known)?;
        let pass = self.gate.enter(&grant.principal.id)?;
        Ok((grant, params, pass))
    }
}

/// Whom the request's token speaks for.
#[derive(Clone, Debug)]
struct Caller(Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        parts.extensions.get().cloned().ok_or_else(|| Refusal(ProblemDetails::unauthenticated()))
    }
}

/// Looks the token up and counts the request; says on every answer what is left, and to a refused one where tokens are.
async fn let_in(State(server): State<Server>, mut request: Request, next: Next) -> Response {
    let principal = match bearer(request.headers()) {
        Some(token) => server.kit.config.authenticator.authenticate(&token).await.map_err(ProblemDetails::from),
        None => Err(ProblemDetails::unauthenticated()),
    };
    let mut response = match principal {
        Err(problem) => Refusal(problem).into_response(),
        Ok(principal) => {
            let standing = server.gate.charge(&principal.id);
            let mut response = if standing.exceeded {
                Refusal(ProblemDetails::quota_exceeded(standing.resets_in)).into_response()
            } else {
                request.extensions_mut().insert(Caller(principal));
                next.run(request).await
            };
            state_limits(response.headers_mut(), server.gate.quota, standing);
            response
        }
    };
    if let (Some(metadata), Some(challenge)) =
        (server.kit.config.resource_metadata(), response.headers_mut().get_mut(header::WWW_AUTHENTICATE))
    {
        let begin = challenge.to_str().unwrap_or("Bearer").to_owned();
        let separator = if begin == "Bearer" { " " } else { ", " };
        if let Ok(value) = HeaderValue::from_str(&format!("{begin}{separator}resource_metadata=\"{metadata}\"")) {
            *challenge = value;
        }
    }
    response
}

/// The fields of draft-ietf-httpapi-ratelimit-headers.
fn state_limits(headers: &mut HeaderMap, quota: Quota, standing: Standing) {
    let policy = format!("\"export\";q={};w={}", quota.requests, quota.seconds);
    let left = format!("\"export\";r={};t={}", standing.left, standing.resets_in);
    for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.into())
}

/// Whether unknown parameters may be passed over (RFC 7240).
fn is_lenient(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|preference| preference.trim().eq_ignore_ascii_case("handling=lenient"))
}

/// Refuses other major versions, and says on every answer which one this is.
async fn negotiate(request: Request, next: Next) -> Response {
    let asked = request.headers().get(VERSION).map(|value| value.to_str().unwrap_or_default().to_owned());
    let other = asked.is_some_and(|version| version.split('.').next() != Some("1"));
    let mut response = if other {
        Refusal(ProblemDetails::new("version-unsupported", 406, "This is version 1 of the protocol")).into_response()
    } else {
        next.run(request).await
    };
    response.headers_mut().insert(VERSION, HeaderValue::from_static("1.0"));
    response
}
