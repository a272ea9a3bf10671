use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures::StreamExt as _;
use saas_backup_core::Key;
use serde::Deserialize;

use super::answer::{Place, Refusal, with_generation};
use super::gate::Pass;
use super::{Caller, Server};
use crate::ProblemDetails;
use crate::kit::{Answer, MAX_RECORDS};

pub(super) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.open-export+ndjson; version=1");

const WALK: [&str; 3] = ["collections", "limit", "cursor"];

pub(super) async fn snapshot(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, params, pass) = server.admit_to_work(caller, &headers, &account, query, &WALK)?;
    Ok(stream(server.kit.snapshot(grant, &params, false).await?, pass))
}

/// The same without the data.
pub(super) async fn inventory(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, params, pass) = server.admit_to_work(caller, &headers, &account, query, &WALK)?;
    Ok(stream(server.kit.snapshot(grant, &params, true).await?, pass))
}

pub(super) async fn changes(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let known = ["since", "limit", "wait", "drift"];
    let (grant, params, pass) = server.admit_to_work(caller, &headers, &account, query, &known)?;
    Ok(stream(server.kit.changes(grant, &params).await?, pass))
}

pub(super) async fn record(
    State(server): State<Server>,
    caller: Caller,
    Place((account, collection, id)): Place<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _, pass) = server.admit_to_work(caller, &headers, &account, query, &[])?;
    let key = Key::parse(collection, id).map_err(|_| ProblemDetails::not_found())?;
    Ok(stream(server.kit.record(grant, key).await?, pass))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    ids: Vec<Key>,
}

/// Records by name: a repair read.
pub(super) async fn records(
    State(server): State<Server>,
    caller: Caller,
    Place(account): Place<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let (grant, _, pass) = server.admit_to_work(caller, &headers, &account, query, &[])?;
    let body = body.map_err(|rejection| match rejection.status().as_u16() {
        413 => ProblemDetails::new("request-too-large", 413, "The request is too large"),
        _ => ProblemDetails::invalid_parameter("ids", "the body could not be read"),
    })?;
    let form = r#"the body is {"ids": [{"collection": …, "id": …}, …]} with 1 to 500 ids"#;
    let named: Named = serde_json::from_slice(&body).map_err(|_| ProblemDetails::invalid_parameter("ids", form))?;
    if named.ids.is_empty() || named.ids.len() > MAX_RECORDS {
        return Err(ProblemDetails::invalid_parameter("ids", form).into());
    }
    Ok(stream(server.kit.records(grant, named.ids).await?, pass))
}

pub(super) fn stream(answer: Answer, pass: Pass) -> Response {
    let lines = answer.lines.map(move |piece| {
        // The place at work is kept until the last line is on its way.
        let _held = &pass;
        Ok::<_, Infallible>(piece)
    });
    let mut response = Response::new(Body::from_stream(lines));
    with_generation(&mut response, &answer.generation);
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
