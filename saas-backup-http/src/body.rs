use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use http::header::{CONTENT_LENGTH, DATE, ETAG};
use http::{HeaderMap, StatusCode};
use saas_backup_core::{Budget, Error, ErrorKind, Permit, Result};
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::from_transport;

/// What a page is taken to need while it does not say how long it is.
const UNKNOWN_BYTES: usize = 256 * 1024;

/// A response that was read to its end, and its share of the byte budget.
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    pub(crate) body: Bytes,
    pub(crate) permit: Option<Permit>,
}

impl Response {
    /// The status; a refusal is an error already.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header as text, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The address that answered in the end.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The entity tag, for [`Request::if_none_match`](crate::Request::if_none_match).
    pub fn etag(&self) -> Option<&str> {
        self.header(ETAG.as_str())
    }

    /// The provider's time, from the `Date` header.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc2822(self.header(DATE.as_str())?).ok().map(Into::into)
    }

    /// The bytes.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Reads the bytes as JSON of a type.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if they are something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// Parts with the share of the byte budget: keep it as long as slices of the body are kept.
    pub fn into_parts(self) -> (Bytes, Option<Permit>) {
        (self.body, self.permit)
    }
}

/// Reads a body to its end within a limit, which counts bytes after decompression.
///
/// Memory is taken from the budget before it is filled. A body that turns out longer gives its share back before it
/// waits for a larger one: two readers that wait for each other's share would wait for ever.
pub(crate) async fn read(mut response: reqwest::Response, limit: usize, budget: &Budget) -> Result<(Bytes, Permit)> {
    let stated = content_length(response.headers());
    if stated.is_some_and(|bytes| bytes > limit as u64) {
        return Err(too_large(limit));
    }
    let mut share = stated.map_or(UNKNOWN_BYTES, |bytes| bytes as usize);
    let mut permit = budget.bytes(share).await?;
    let mut body = BytesMut::with_capacity(share.min(limit));
    while let Some(chunk) = response.chunk().await.map_err(from_transport)? {
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        if body.len() + chunk.len() > share {
            share = (body.len() + chunk.len()).saturating_mul(2).min(limit);
            drop(permit);
            permit = budget.bytes(share).await?;
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body.freeze(), permit))
}

/// Reads at most so many bytes and leaves the rest: the body of a refusal.
pub(crate) async fn read_start(mut response: reqwest::Response, limit: usize) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = limit.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() >= limit {
            break;
        }
    }
    body.freeze()
}

/// The stated length of a body that arrives as it is; a body that is decompressed states none.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn too_large(limit: usize) -> Error {
    Error::new(ErrorKind::LimitExceeded, "the provider's answer is too large").with_context("limit", limit)
}
