use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use http::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use saas_backup_core::{ByteStream, Error, ErrorKind, Permit, Result, Retry};

use crate::body::content_length;
use crate::error::from_transport;
use crate::{Client, Request};

/// The bytes of one download: what was delivered, and how to get the rest.
struct Download {
    client: Client,
    request: Request,
    /// Where the next byte to deliver stands.
    next: u64,
    /// Where the bytes end, once that is known.
    end: Option<u64>,
    /// Whether the caller wants less than everything after `next`.
    bounded: bool,
    /// What tells one version of the bytes from another.
    version: Option<HeaderValue>,
    current: Option<Current>,
}

struct Current {
    response: reqwest::Response,
    _in_flight: Permit,
    /// Bytes that arrive before the ones that are wanted.
    skip: u64,
}

pub(super) async fn open(client: Client, request: Request, range: Option<Range<u64>>) -> Result<ByteStream> {
    let bounded = range.is_some();
    let (next, end) = range.map_or((0, None), |range| (range.start, Some(range.end)));
    let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut download = Download { client, request, next, end, bounded, version: None, current: None };
    if bounded && Some(next) >= end {
        return Ok(stream::empty().boxed());
    }
    download.connect().await?;
    let chunks = stream::try_unfold(download, |mut download| async move {
        Ok(download.chunk().await?.map(|chunk| (chunk, download)))
    });
    Ok(chunks.boxed())
}

impl Download {
    /// Opens the rest, with as many tries as any request has.
    async fn connect(&mut self) -> Result<()> {
        let account = std::sync::Arc::clone(&self.client.account);
        let mut attempts = account.retries.start();
        loop {
            let Err(error) = self.try_connect().await else { return Ok(()) };
            attempts.after(error, &account.pace).await?;
        }
    }

    async fn try_connect(&mut self) -> Result<()> {
        self.current = None;
        let mut request = self.request.clone();
        if self.bounded || self.next > 0 {
            request.headers.insert(RANGE, self.range_header()?);
            if let Some(version) = &self.version {
                request.headers.insert(IF_RANGE, version.clone());
            }
        }
        let (response, permit) = self.client.try_open(&request).await?;
        let headers = response.headers();
        let first = if response.status() == StatusCode::PARTIAL_CONTENT {
            let (first, total) = content_range(headers)
                .filter(|(first, _)| *first <= self.next)
                .ok_or_else(|| Error::new(ErrorKind::InvalidData, "the provider sends another range than asked for"))?;
            self.ends_at(total)?;
            first
        } else {
            self.ends_at(content_length(headers))?;
            0
        };
        let version = version(headers);
        if self.version.is_some() && version != self.version {
            return Err(changed());
        }
        self.version = version;
        self.current = Some(Current { skip: self.next - first, response, _in_flight: permit });
        Ok(())
    }

    fn range_header(&self) -> Result<HeaderValue> {
        let text = match self.end.filter(|_| self.bounded) {
            Some(end) => format!("bytes={}-{}", self.next, end - 1),
            None => format!("bytes={}-", self.next),
        };
        HeaderValue::from_str(&text).map_err(|_| Error::new(ErrorKind::Unexpected, "a range that cannot be asked for"))
    }

    /// Notes the length of the whole; another one than before means other bytes.
    fn ends_at(&mut self, total: Option<u64>) -> Result<()> {
        let Some(total) = total else { return Ok(()) };
        if self.bounded {
            self.end = self.end.map(|end| end.min(total));
        } else if self.end.is_some_and(|end| end != total) {
            return Err(changed());
        } else {
            self.end = Some(total);
        }
        Ok(())
    }

    /// The next bytes; `None` at the end.
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let account = std::sync::Arc::clone(&self.client.account);
        let mut attempts = account.retries.start();
        loop {
            if self.end.is_some_and(|end| self.next >= end) {
                return Ok(None);
            }
            let cut = match self.try_chunk().await {
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) if self.end.is_none() => return Ok(None),
                Ok(None) => Error::new(ErrorKind::Unavailable, "the bytes ended too early"),
                Err(error) => error,
            };
            self.current = None;
            attempts.after(cut, &account.pace).await?;
        }
    }

    async fn try_chunk(&mut self) -> Result<Option<Bytes>> {
        if self.current.is_none() {
            self.try_connect().await?;
        }
        let Some(current) = &mut self.current else { return Ok(None) };
        while let Some(mut chunk) = current.response.chunk().await.map_err(from_transport)? {
            let dropped = current.skip.min(chunk.len() as u64);
            current.skip -= dropped;
            let mut chunk = chunk.split_off(dropped as usize);
            if let Some(end) = self.end {
                chunk.truncate(usize::try_from(end - self.next).unwrap_or(usize::MAX));
            }
            if !chunk.is_empty() {
                self.next += chunk.len() as u64;
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

fn changed() -> Error {
    Error::new(ErrorKind::Conflict, "the bytes changed while they were read").with_retry(Retry::Never)
}

/// A strong entity tag, or else the time of the last change.
fn version(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    strong.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

/// First byte and total length of `bytes 5-9/10`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes")?;
    let (range, total) = text.trim().split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |text: &str| content_range(&HeaderMap::from_iter([(CONTENT_RANGE, text.parse().unwrap())]));
        assert_eq!(range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(range("lines 5-9/10"), None);
        assert_eq!(range("bytes */10"), None);
    }

    #[test]
    fn a_weak_tag_says_nothing_about_bytes() {
        let headers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("W/\"x\""))]);
        assert_eq!(version(&headers), None);
    }
}
