use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Document, Refusal};
use super::{Server, is_lenient};
use crate::params::Params;

/// What anybody may know: who this is, where the API is, what it leaves out and which bounds it keeps.
pub(super) async fn document(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Params::parse(&query.unwrap_or_default(), &[], is_lenient(&headers))?;
    let config = &server.kit.config;
    let service = server.kit.source.service();
    let mut document = json!({
        "open_export_versions": ["1.0"],
        "service": service,
        "api_base": config.base(),
        "profiles": server.kit.profiles(),
        "public_schema": format!("{}/public-schema", config.base()),
        "excluded": service.excluded,
        "limits": config.limits,
        "digests": ["sha-256"],
        "content_codings": ["gzip", "zstd"],
        "deprecations": [],
    });
    if let (Some(address), Some(members)) = (config.resource_metadata(), document.as_object_mut()) {
        members.insert("resource_metadata".to_owned(), address.into());
    }
    Ok(Document::public(document).answer(&headers))
}

pub(super) async fn public_schema(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Params::parse(&query.unwrap_or_default(), &[], is_lenient(&headers))?;
    let schema = server.kit.source.schema(None).await?.document()?;
    Ok(Document::public(schema.value()?).answer(&headers))
}

/// Who gives out tokens for this API (RFC 9728).
pub(super) async fn resource_metadata(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Params::parse(&query.unwrap_or_default(), &[], is_lenient(&headers))?;
    let config = &server.kit.config;
    let schema = server.kit.source.schema(None).await?;
    let mut scopes = vec!["export.read".to_owned()];
    scopes.extend(schema.catalog.names().map(|name| format!("export.read:{name}")));
    scopes.push("export.blobs".to_owned());
    scopes.extend(server.kit.source.erasures().map(|_| "export.erasures".to_owned()));
    let issuers: Vec<Value> = config.authorization_servers.iter().map(|issuer| issuer_of(issuer).into()).collect();
    let document = json!({
        "resource": config.base(),
        "authorization_servers": issuers,
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
        "resource_name": server.kit.source.service().name,
    });
    Ok(Document::public(document).answer(&headers))
}

/// An issuer is compared letter by letter (RFC 8414): one without a path has no slash.
fn issuer_of(url: &url::Url) -> &str {
    if url.path() == "/" { url.as_str().trim_end_matches('/') } else { url.as_str() }
}
