//! The protocol as an axum router.

mod accounts;
mod answer;
mod discovery;
mod gate;
mod streams;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use secrecy::SecretString;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use self::answer::Refusal;
use self::gate::{Gate, Pass};
use crate::kit::Kit;
use crate::params::Params;
use crate::{ExportConfig, ExportSource, Grant, Principal, ProblemDetails};

const VERSION: HeaderName = HeaderName::from_static("open-export-version");
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
    let gate = Gate::new(config.limits.max_concurrent_requests);
    let server = Server { kit: Kit { source: Arc::new(source), config: Arc::new(config) }, gate };

    let api = Router::new()
        .route("/public-schema", only(get(discovery::public_schema)))
        .route("/accounts", only(get(accounts::list)))
        .route("/accounts/{account}/schema", only(get(accounts::schema)))
        .route("/accounts/{account}/coverage", only(get(accounts::coverage)))
        .route("/accounts/{account}/snapshot", only(get(streams::snapshot)))
        .route("/accounts/{account}/changes", only(get(streams::changes)))
        .route("/accounts/{account}/records", only(post(streams::records)))
        .route("/accounts/{account}/records/{collection}/{id}", only(get(streams::record)))
        .fallback(async || Refusal(ProblemDetails::not_found()))
        .layer(coding())
        // Outside of the layer: the length and the digest of an attachment are those of the bytes that are sent.
        .route("/accounts/{account}/blobs/{blob}", only(get(accounts::blob)))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
    let routes = Router::new().route("/.well-known/open-export", only(get(discovery::document))).layer(coding());
    // axum nests at a path alone.
    let routes = if path.is_empty() { routes.merge(api) } else { routes.nest(&path, api) };
    routes.layer(middleware::from_fn(negotiate)).with_state(server)
}

/// Packs documents and streams with gzip for readers that prefer it. What a source has given is sent before the source
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

impl Server {
    /// Whom the request's token speaks for.
    async fn principal(&self, headers: &HeaderMap) -> Result<Principal, ProblemDetails> {
        let token = bearer(headers).ok_or_else(ProblemDetails::unauthenticated)?;
        Ok(self.kit.config.authenticator.authenticate(&token).await?)
    }

    /// What the token may export of an account, and the request's parameters.
    async fn admit(
        &self,
        headers: &HeaderMap,
        account: &str,
        query: Option<String>,
        known: &[&str],
    ) -> Result<(Grant, Params), ProblemDetails> {
        let grant = Kit::grant(self.principal(headers).await?, account)?;
        Ok((grant, Params::parse(&query.unwrap_or_default(), known, is_lenient(headers))?))
    }

    /// The same, with a place at work.
    async fn admit_to_work(
        &self,
        headers: &HeaderMap,
        account: &str,
        query: Option<String>,
        known: &[&str],
    ) -> Result<(Grant, Params, Pass), ProblemDetails> {
        let (grant, params) = self.admit(headers, account, query, known).await?;
        let pass = self.gate.enter(&grant.principal.id)?;
        Ok((grant, params, pass))
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
