use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::answer::{Refusal, document as json_document};
use super::{Server, is_lenient};
use crate::params::Params;

const PUBLIC: &str = "public, max-age=300";

/// What anybody may know: who this is, where the API is, what it leaves out and which bounds it keeps.
pub(super) async fn document(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Params::parse(&query.unwrap_or_default(), &[], is_lenient(&headers))?;
    let config = &server.kit.config;
    let service = server.kit.source.service();
    let mut limits = serde_json::to_value(&config.limits).map_err(saas_backup_core::Error::from)?;
    if let Some(limits) = limits.as_object_mut() {
        limits.insert("max_wait_seconds".to_owned(), 0.into());
    }
    let document = json!({
        "open_export_versions": ["1.0"],
        "service": service,
        "api_base": config.base(),
        "profiles": ["minimal"],
        "public_schema": format!("{}/public-schema", config.base()),
        "excluded": service.excluded,
        "limits": limits,
        "digests": ["sha-256"],
        "content_codings": ["gzip"],
        "deprecations": [],
    });
    Ok(json_document(document.to_string(), None, PUBLIC))
}

pub(super) async fn public_schema(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Params::parse(&query.unwrap_or_default(), &[], is_lenient(&headers))?;
    let schema = server.kit.source.schema(None).await?.document()?;
    Ok(json_document(schema.json, None, PUBLIC))
}
