use std::ops::Range;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use saas_backup_core::{BlobId, ByteStream, Digest, Error, ErrorKind, Result as SourceResult};

use super::answer::{Place, Refusal, with_generation};
use super::range::{Asked, asked};
use super::{Caller, Server, admit};
use crate::source::BlobBody;
use crate::{Blob, ProblemDetails, Scope};

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// Parts up to this length carry a digest of their own: it stands before them, so they are held in memory first.
const MAX_DIGESTED_PART: u64 = 1024 * 1024;

/// The bytes of an attachment, or a part of them.
pub(super) async fn blob(
    State(server): State<Server>,
    caller: Caller,
    Place((account, blob)): Place<(String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (grant, _) = admit(caller, &headers, &account, query, &[])?;
    grant.needs(&Scope::Blobs)?;
    let pass = server.gate.enter(&grant.principal.id)?;
    let generation = server.kit.generation(&grant).await?;
    let id = BlobId::parse(&blob).map_err(|_| ProblemDetails::not_found())?;
    let blob = server.kit.source.blob(&grant, &id).await?;
    // Bytes never change for an id, so that the id tells them apart.
    let tag = format!("\"{}\"", Digest::of(id.as_str().as_bytes()));
    let (size, described) = (blob.size, describe(&blob, &tag)?);
    let bytes = match blob.body {
        BlobBody::Elsewhere(address) => return redirect(address.as_str(), &generation),
        BlobBody::Bytes(bytes) => bytes,
    };

    let mut response = match part(&headers, &method, &tag, size) {
        Asked::Whole => {
            let mut response = Response::new(held(bytes, pass));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
            response
        }
        Asked::Unsatisfiable => {
            let problem = ProblemDetails::new("range-not-satisfiable", 416, "The attachment ends before this range");
            let mut response = Refusal(problem).into_response();
            response.headers_mut().insert(header::CONTENT_RANGE, header_value(&format!("bytes */{size}"))?);
            with_generation(&mut response, &generation);
            return Ok(response);
        }
        Asked::Part(range) => {
            let bytes = match server.kit.source.blob_range(&grant, &id, range.clone()).await? {
                Some(bytes) => bytes,
                None => cut_out(bytes, range.clone()),
            };
            partial(held_part(bytes, &range, pass).await?, &range, size)?
        }
    };
    with_generation(&mut response, &generation);
    response.headers_mut().extend(described);
    Ok(response)
}

/// What to send: a range counts for `GET` alone, and only while the bytes are those that the reader began with.
fn part(headers: &HeaderMap, method: &Method, tag: &str, size: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let same = headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    if *method != Method::GET || !same {
        return Asked::Whole;
    }
    asked(text(header::RANGE), size)
}

fn describe(blob: &Blob, tag: &str) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, immutable"));
    headers.insert(header::CONTENT_TYPE, media_type(blob.media_type.as_deref()));
    // Bytes from a customer must not run as a page of the vendor's host.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(header::ETAG, header_value(tag)?);
    if let Some(digest) = &blob.digest {
        headers.insert(REPR_DIGEST, digest_value(digest)?);
    }
    Ok(headers)
}

fn redirect(address: &str, generation: &str) -> Result<Response, Refusal> {
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    response.headers_mut().insert(header::LOCATION, header_value(address)?);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    with_generation(&mut response, generation);
    Ok(response)
}

/// A body that keeps its place at work until its last byte is on its way.
fn held(bytes: ByteStream, pass: impl Send + 'static) -> Body {
    Body::from_stream(bytes.map(move |piece| {
        let _held = &pass;
        piece
    }))
}

/// A part, and its digest if it is short.
async fn held_part(
    bytes: ByteStream,
    range: &Range<u64>,
    pass: impl Send + 'static,
) -> Result<(Body, Option<Digest>), Refusal> {
    if range.end - range.start > MAX_DIGESTED_PART {
        return Ok((held(bytes, pass), None));
    }
    let part = bytes.try_fold(BytesMut::new(), async |mut part, piece| {
        part.extend_from_slice(&piece);
        Ok(part)
    });
    let part = part.await?.freeze();
    if part.len() as u64 != range.end - range.start {
        return Err(Error::new(ErrorKind::Unexpected, "the source gave a part of another length").into());
    }
    let digest = Digest::of(&part);
    Ok((held(stream::iter([Ok(part)]).boxed(), pass), Some(digest)))
}

fn partial((body, digest): (Body, Option<Digest>), range: &Range<u64>, size: u64) -> Result<Response, Error> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    let place = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    headers.insert(header::CONTENT_RANGE, header_value(&place)?);
    if let Some(digest) = digest {
        headers.insert(CONTENT_DIGEST, digest_value(&digest)?);
    }
    Ok(response)
}

/// Passes over what comes before a range, and stops after it.
fn cut_out(bytes: ByteStream, range: Range<u64>) -> ByteStream {
    let begin = (bytes, range.start, range.end - range.start);
    let pieces = stream::try_unfold(begin, async |(mut bytes, mut skip, left)| {
        if left == 0 {
            return Ok(None);
        }
        while let Some(mut piece) = bytes.try_next().await? {
            let passed = skip.min(piece.len() as u64);
            skip -= passed;
            piece = piece.slice(usize::try_from(passed).unwrap_or(piece.len())..);
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if !piece.is_empty() {
                let left = left - piece.len() as u64;
                return SourceResult::<Option<(Bytes, _)>>::Ok(Some((piece, (bytes, skip, left))));
            }
        }
        Ok(None)
    });
    pieces.boxed()
}

/// The type as the source has it, if it can stand in a header at all.
fn media_type(text: Option<&str>) -> HeaderValue {
    let plain = |text: &&str| text.contains('/') && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let value = text.filter(plain).and_then(|text| HeaderValue::from_str(text).ok());
    value.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

fn digest_value(digest: &Digest) -> Result<HeaderValue, Error> {
    header_value(&format!("sha-256=:{}:", STANDARD.encode(digest.as_bytes())))
}

fn header_value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| Error::new(ErrorKind::Unexpected, "a header that cannot be sent"))
}
