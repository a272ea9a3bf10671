//! What S3 has beside objects: their versions, and locks on them. `object_store` knows neither, so the requests are made
//! here, with its client and signed by it with its credentials.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use object_store::aws::AmazonS3;
use object_store::client::{ClientOptions, HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::LockMode;
use super::error::{classify, kind_of_status};

/// How long a signed request may be under way.
const VALID: Duration = Duration::from_mins(15);
/// Tries of a request that fails by an outage.
const ATTEMPTS: u32 = 5;
/// Versions of one object that are listed at most; more than one comes of rewritten keys alone.
const MAX_PAGES: usize = 100;

const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
/// Says which checksum an upload carries.
pub(super) const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");
const UNTIL: &str = "x-amz-object-lock-retain-until-date";

/// Hands out the client that the store is built with, so that its proxies, certificates and time limits count here, too.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedClient(Arc<Mutex<Option<HttpClient>>>);

impl HttpConnector for SharedClient {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }
}

/// The versions of a bucket's objects.
#[derive(Debug)]
pub(super) struct Versions {
    store: AmazonS3,
    client: HttpClient,
}

/// One version of an object, or the mark that it was deleted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    key: String,
    #[serde(rename = "VersionId")]
    id: String,
    is_latest: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listing {
    version: Vec<Version>,
    delete_marker: Vec<Version>,
    is_truncated: bool,
    next_key_marker: String,
    next_version_id_marker: String,
}

impl Versions {
    /// By the client that the store was built with.
    pub(super) fn new(store: AmazonS3, client: &SharedClient) -> Option<Self> {
        let client = client.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(Self { store, client })
    }

    /// Removes an object and all that it was; that first, or what cannot be removed of it would be the object again.
    pub(super) async fn remove(&self, path: &Path, name: &str) -> Result<()> {
        let versions = self.list(path, name).await?;
        for version in versions.iter().filter(|one| !one.is_latest).chain(versions.iter().filter(|one| one.is_latest)) {
            self.delete(path, name, &version.id).await?;
        }
        Ok(())
    }

    /// Removes what an object was before.
    pub(super) async fn prune(&self, path: &Path, name: &str) -> Result<()> {
        for version in self.list(path, name).await?.iter().filter(|one| !one.is_latest) {
            self.delete(path, name, &version.id).await?;
        }
        Ok(())
    }

    /// Until when nobody may remove the object, if it is locked.
    pub(super) async fn locked_until(&self, path: &Path, name: &str) -> Result<Option<DateTime<Utc>>> {
        let (headers, _) = self.send(Method::HEAD, path, name, &[], None).await?;
        let until = headers.get(UNTIL).and_then(|value| value.to_str().ok());
        let read = |text: &str| DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
        until.map(read).transpose().map_err(|_| unexpected(name))
    }

    /// Lets nobody remove the object until then.
    pub(super) async fn lock(&self, path: &Path, name: &str, until: DateTime<Utc>, mode: LockMode) -> Result<()> {
        let mode = match mode {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        };
        let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        self.send(Method::PUT, path, name, &[("retention", "")], Some(body)).await.map(drop)
    }

    async fn delete(&self, path: &Path, name: &str, version: &str) -> Result<()> {
        match self.send(Method::DELETE, path, name, &[("versionId", version)], None).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    async fn list(&self, path: &Path, name: &str) -> Result<Vec<Version>> {
        let mut found = Vec::new();
        let (mut key, mut version) = (String::new(), String::new());
        for _ in 0..MAX_PAGES {
            let mut query = vec![("versions", ""), ("prefix", path.as_ref())];
            if !key.is_empty() {
                query.extend([("key-marker", key.as_str()), ("version-id-marker", version.as_str())]);
            }
            let (_, body) = self.send(Method::GET, &Path::default(), name, &query, None).await?;
            let text = std::str::from_utf8(&body).map_err(|_| unexpected(name))?;
            let listing: Listing = quick_xml::de::from_str(text).map_err(|_| unexpected(name))?;
            found.extend(listing.version.into_iter().chain(listing.delete_marker));
            if !listing.is_truncated || listing.next_key_marker != path.as_ref() {
                break;
            }
            (key, version) = (listing.next_key_marker, listing.next_version_id_marker);
        }
        // Other objects may have names that begin like this one.
        found.retain(|one| one.key == path.as_ref());
        Ok(found)
    }

    async fn send(
        &self,
        method: Method,
        path: &Path,
        name: &str,
        query: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<(HeaderMap, Bytes)> {
        let mut options = SignedUrlOptions::new().with_query(query.iter().copied());
        if let Some(body) = &body {
            let sum = STANDARD.encode(Sha256::digest(body.as_bytes()));
            let sum = HeaderValue::from_str(&sum).map_err(|_| unexpected(name))?;
            options = options.with_signed_header(CHECKSUM, sum);
            options = options.with_signed_header(ALGORITHM, HeaderValue::from_static("SHA256"));
        }
        let mut attempt = 1;
        loop {
            let url = self.store.signed_url_opts(method.clone(), path, VALID, &options).await;
            let url = url.map_err(|error| classify(&error, name))?;
            let content = body.clone().map_or_else(HttpRequestBody::empty, HttpRequestBody::from);
            let mut request = HttpRequest::new(content);
            *request.method_mut() = method.clone();
            *request.uri_mut() = url.as_str().parse().map_err(|_| unexpected(name))?;
            *request.headers_mut() = options.signed_headers.clone();
            let answer = self.client.execute(request).await;
            let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
            let again = matches!(status, 0 | 429 | 500..=599) && status != 501 && attempt < ATTEMPTS;
            match answer {
                Ok(answer) if answer.status().is_success() => {
                    let (head, body) = answer.into_parts();
                    let body = body.bytes().await.map_err(|_| unexpected(name))?;
                    return Ok((head.headers, body));
                }
                _ if again => {}
                Ok(_) => {
                    let (kind, message) = match status {
                        404 => (ErrorKind::NotFound, "the storage has no such object"),
                        400 | 405 | 501 => (ErrorKind::Unsupported, "the bucket does not do this: has it object lock?"),
                        _ => kind_of_status(Some(status)),
                    };
                    return Err(Error::new(kind, message).with_context("object", name).with_context("status", status));
                }
                // The client's own words may hold the signed address.
                Err(_) => return Err(unexpected(name)),
            }
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            attempt += 1;
        }
    }
}

fn unexpected(name: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "the storage did not answer as expected").with_context("object", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_in_whatever_order_it_comes() {
        let text = "<?xml version=\"1.0\"?><ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Name>b</Name><Prefix>a</Prefix><IsTruncated>true</IsTruncated>\
            <NextKeyMarker>a</NextKeyMarker><NextVersionIdMarker>2</NextVersionIdMarker>\
            <Version><Key>a</Key><VersionId>3</VersionId><IsLatest>false</IsLatest><Size>1</Size></Version>\
            <DeleteMarker><Key>a</Key><VersionId>4</VersionId><IsLatest>true</IsLatest></DeleteMarker>\
            <Version><Key>a</Key><VersionId>null</VersionId><IsLatest>false</IsLatest></Version>\
            </ListVersionsResult>";
        let listing: Listing = quick_xml::de::from_str(text).unwrap();
        let ids: Vec<&str> = listing.version.iter().map(|one| one.id.as_str()).collect();
        assert_eq!((ids, listing.delete_marker.len()), (vec!["3", "null"], 1));
        assert!(listing.is_truncated && listing.delete_marker[0].is_latest);
        assert_eq!((listing.next_key_marker.as_str(), listing.next_version_id_marker.as_str()), ("a", "2"));
    }
}
