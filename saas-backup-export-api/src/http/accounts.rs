use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use saas_backup_core::{BlobId, CollectionCoverage, CollectionName, Digest, Error, Visibility};
use serde_json::{Map, Value, json};

use super::answer::{Place, Refusal, document, with_generation};
use super::{Server, is_lenient};
use crate::ProblemDetails;
use crate::params::Params;

const PRIVATE: &str = "private, no-cache";
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The accounts that the token may export.
pub(super) async fn list(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Params::parse(&query.unwrap_or_default(), &[], is_lenient(&headers))?;
    let principal = server.principal(&headers).await?;
    let accounts: Vec<Value> =
        principal.accounts.iter().map(|account| json!({ "account": account.as_str() })).collect();
    Ok(document(json!({ "accounts": accounts }).to_string(), None, PRIVATE))
}

pub(super) async fn schema(
    State(server): State<Server>,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _) = server.admit(&headers, &account, query, &[]).await?;
    let generation = server.kit.generation(&grant).await?;
    let schema = server.kit.source.schema(Some(&grant.account)).await?.document()?;
    Ok(document(schema.json, Some(&generation), PRIVATE))
}

/// What the grant sees of each collection of the schema.
pub(super) async fn coverage(
    State(server): State<Server>,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _) = server.admit(&headers, &account, query, &[]).await?;
    let as_of = server.kit.config.clock.now();
    let generation = server.kit.generation(&grant).await?;
    let schema = server.kit.source.schema(Some(&grant.account)).await?;
    let coverage = server.kit.source.coverage(&grant).await?;
    let known: BTreeMap<&CollectionName, &CollectionCoverage> = coverage.collections.iter().collect();
    let collections: Vec<Value> = schema.catalog.names().map(|name| describe(name, known.get(name).copied())).collect();
    let json = json!({
        "account": grant.account.as_str(),
        "generation": generation,
        "as_of": as_of,
        "collections": collections,
    });
    Ok(document(json.to_string(), Some(&generation), PRIVATE))
}

fn describe(name: &CollectionName, coverage: Option<&CollectionCoverage>) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), name.as_str().into());
    let Some(coverage) = coverage else {
        out.insert("visible".to_owned(), "all".into());
        return out.into();
    };
    out.insert("visible".to_owned(), json!(coverage.visible));
    if let Some(count) = coverage.count.filter(|_| coverage.count_exact) {
        out.insert("count".to_owned(), count.into());
    }
    if coverage.visible == Visibility::Partial {
        out.insert("hidden_count".to_owned(), json!(coverage.hidden));
    }
    for (member, text) in [("reason", &coverage.reason), ("grant", &coverage.grant)] {
        if let Some(text) = text {
            out.insert(member.to_owned(), text.clone().into());
        }
    }
    out.into()
}

/// The bytes of an attachment, whole.
pub(super) async fn blob(
    State(server): State<Server>,
    Place((account, blob)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _, pass) = server.admit_to_work(&headers, &account, query, &[]).await?;
    let generation = server.kit.generation(&grant).await?;
    let id = BlobId::parse(&blob).map_err(|_| ProblemDetails::not_found())?;
    let blob = server.kit.source.blob(&grant, &id).await?;
    let bytes = blob.bytes.map(move |piece| {
        // The place at work is kept until the last byte is on its way.
        let _held = &pass;
        piece
    });
    let mut response = Response::new(Body::from_stream(bytes));
    with_generation(&mut response, &generation);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(blob.size));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, immutable"));
    headers.insert(header::CONTENT_TYPE, media_type(blob.media_type.as_deref()));
    // Bytes from a customer must not run as a page of the vendor's host.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(header::ETAG, header_value(&format!("\"{}\"", Digest::of(id.as_str().as_bytes())))?);
    if let Some(digest) = blob.digest {
        headers.insert(REPR_DIGEST, header_value(&format!("sha-256=:{}:", STANDARD.encode(digest.as_bytes())))?);
    }
    Ok(response)
}

/// The type as the source has it, if it can stand in a header at all.
fn media_type(text: Option<&str>) -> HeaderValue {
    let plain = |text: &&str| text.contains('/') && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let value = text.filter(plain).and_then(|text| HeaderValue::from_str(text).ok());
    value.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

fn header_value(text: &str) -> Result<HeaderValue, Error> {
    let invalid = |_| Error::new(saas_backup_core::ErrorKind::Unexpected, "a header that cannot be sent");
    HeaderValue::from_str(text).map_err(invalid)
}
