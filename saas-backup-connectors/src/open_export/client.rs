use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use saas_backup_core::{
    Account, BlobRef, Budget, ByteStream, Catalog, Coverage, Digest, ErasureReceipt, Error, ErrorKind, Key, Permit,
    Result,
};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::OpenExportConfig;
use super::catalog::{catalog, coverage, whole};
use super::error::classify;
use super::model::{Accounts, CoverageDocument, Discovery, ImportDocument, NewImport, SchemaDocument};
use crate::http::{Addresses, Authorization, Body as HttpBody, Client, ClientOptions, Request, Response};

/// Largest document of a service, in bytes.
const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
/// Largest answer that a service may announce, and what its last line may come to on top.
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;
const LAST_LINES_BYTES: usize = 9 * 1024 * 1024;

const LINES: HeaderValue = HeaderValue::from_static("application/vnd.open-export+ndjson; version=1");

/// One account of one service.
#[derive(Clone, Debug)]
pub(super) struct Api {
    client: Client,
    /// As many requests at once as the service allows, blobs that are read included.
    places: Arc<Semaphore>,
    service: Arc<Service>,
    pub(super) page_lines: u32,
}

#[derive(Debug)]
struct Service {
    id: String,
    name: String,
    account: String,
    profiles: Vec<String>,
}

/// A body and its share of the byte budget.
pub(super) type Body = (Bytes, Option<Permit>);

impl Api {
    /// Finds the API and the account.
    pub(super) async fn connect(config: &OpenExportConfig) -> Result<Self> {
        let url = Url::parse(&config.url).map_err(|_| Error::new(ErrorKind::Configuration, "the url is none"))?;
        let public = Client::new(url, Authorization::none(), options(config, MAX_DOCUMENT_BYTES))?;
        let found = public.send(Request::get(public.address(".well-known/open-export")?)).await;
        let discovery: Discovery = found.map_err(no_service)?.json()?;
        if !discovery.open_export_versions.iter().any(|version| version.split('.').next() == Some("1")) {
            return Err(Error::new(
                ErrorKind::UnsupportedVersion,
                "the service does not offer version 1 of the protocol",
            ));
        }
        let api_base = Url::parse(&discovery.api_base)
            .map_err(|_| Error::new(ErrorKind::InvalidData, "the service names no address of its API"))?;
        check_host(&api_base, public.base(), config)?;

        let page = discovery.limits.max_page_bytes.min(MAX_PAGE_BYTES) + LAST_LINES_BYTES;
        let client = Client::new(api_base, Authorization::bearer(&config.token)?, options(config, page))?;
        let account = match &config.account {
            Some(account) => account.clone(),
            None => only_account(&client).await?,
        };
        // One less than allowed: a service counts a request until it noticed that the answer was taken.
        let places = discovery.limits.max_concurrent_requests.saturating_sub(1).clamp(1, 64);
        Ok(Self {
            client,
            places: Arc::new(Semaphore::new(places)),
            service: Arc::new(Service {
                id: discovery.service.id,
                name: discovery.service.name,
                account,
                profiles: discovery.profiles,
            }),
            page_lines: config.page_lines.max(1),
        })
    }

    /// The same account with the bounds of one snapshot.
    pub(super) fn with_budget(&self, budget: Budget) -> Self {
        Self { client: self.client.clone().with_budget(budget), ..self.clone() }
    }

    pub(super) fn account_id(&self) -> &str {
        &self.service.account
    }

    pub(super) fn service_id(&self) -> &str {
        &self.service.id
    }

    pub(super) fn offers(&self, profile: &str) -> bool {
        self.service.profiles.iter().any(|offered| offered == profile)
    }

    /// Who the token speaks for; asks the service, so that a token that does not do is noticed.
    pub(super) async fn account(&self) -> Result<Account> {
        self.catalog().await?;
        let mut account = Account::new(self.account_id(), format!("{} ({})", self.service.name, self.account_id()));
        account.facts.insert("service".to_owned(), saas_backup_core::Json::from_value(&self.service.id)?);
        Ok(account)
    }

    pub(super) async fn catalog(&self) -> Result<Catalog> {
        let document: SchemaDocument = self.send(Request::get(self.address(&["schema"])?)).await?.json()?;
        catalog(document)
    }

    /// What the token sees. A service of the profile `minimal` need not say: then its tokens see everything.
    pub(super) async fn coverage(&self, catalog: &Catalog) -> Result<Coverage> {
        match self.send(Request::get(self.address(&["coverage"])?)).await {
            Ok(answer) => {
                let mut stated = coverage(answer.json::<CoverageDocument>()?);
                stated.collections.retain(|name, _| catalog.get(name).is_some());
                Ok(stated)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(whole(catalog)),
            Err(error) => Err(error),
        }
    }

    /// A page of a snapshot: the first one of some collections, or the one at a cursor.
    pub(super) async fn snapshot(&self, collection: Option<&str>, cursor: Option<&str>, lines: u32) -> Result<Body> {
        let mut request = Request::get(self.address(&["snapshot"])?).query("limit", lines);
        if let Some(collection) = collection {
            request = request.query("collections", collection);
        }
        if let Some(cursor) = cursor {
            request = request.query("cursor", cursor);
        }
        Ok(self.send(request).await?.into_parts())
    }

    /// A page of what changed after a cursor.
    pub(super) async fn changes(&self, since: &str) -> Result<Body> {
        let request = Request::get(self.address(&["changes"])?).query("limit", self.page_lines);
        Ok(self.send(request.query("since", since)).await?.into_parts())
    }

    /// A page of what copies must erase.
    pub(super) async fn erasures(&self, since: Option<&str>) -> Result<Body> {
        let mut request = Request::get(self.address(&["erasures"])?).query("limit", self.page_lines);
        if let Some(since) = since {
            request = request.query("since", since);
        }
        Ok(self.send(request).await?.into_parts())
    }

    /// Says what was done about a request to erase.
    pub(super) async fn receipt(&self, receipt: &ErasureReceipt) -> Result<()> {
        let address = self.address(&["erasures", &receipt.id, "receipts"])?;
        // Saying it twice says it once.
        self.send(Request::post(address).idempotent().json(receipt)?).await.map(drop)
    }

    /// Begins to write the account.
    pub(super) async fn begin_import(&self, asked: &NewImport<'_>) -> Result<ImportDocument> {
        // Not idempotent: a second one would stay open.
        self.send(Request::post(self.address(&["imports"])?).json(asked)?).await?.json()
    }

    /// Writes records, whose answers come in their order.
    pub(super) async fn import_records(&self, import: &str, lines: Bytes) -> Result<Body> {
        let address = self.address(&["imports", import, "records"])?;
        // Each line has a key: sending it twice writes it once.
        let request = Request::post(address).idempotent().header(CONTENT_TYPE, LINES).body(HttpBody::Bytes(lines));
        Ok(self.send(request).await?.into_parts())
    }

    /// Whether bytes are there for the records of an import.
    pub(super) async fn has_import_blob(&self, import: &str, digest: &Digest) -> Result<bool> {
        let request = Request::new(Method::HEAD, self.import_blob(import, digest)?);
        match self.send(request).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends bytes for the records of an import.
    pub(super) async fn put_import_blob(&self, import: &str, digest: &Digest, bytes: HttpBody) -> Result<()> {
        let request = Request::new(Method::PUT, self.import_blob(import, digest)?);
        self.send(request.body(bytes)).await.map(drop)
    }

    fn import_blob(&self, import: &str, digest: &Digest) -> Result<Url> {
        self.address(&["imports", import, "blobs", &format!("sha-256:{digest}")])
    }

    /// Ends an import; `false` if the service has more to do and wants to be asked again.
    pub(super) async fn commit_import(&self, import: &str) -> Result<(ImportDocument, bool)> {
        let request = Request::post(self.address(&["imports", import, "commit"])?).idempotent();
        let response = self.send(request).await?;
        let done = response.status() != StatusCode::ACCEPTED;
        Ok((response.json()?, done))
    }

    /// Removes an import with what it created.
    pub(super) async fn discard_import(&self, import: &str) -> Result<()> {
        self.send(Request::new(Method::DELETE, self.address(&["imports", import])?)).await.map(drop)
    }

    /// Some records by name; at most 500.
    pub(super) async fn records(&self, keys: &[Key]) -> Result<Body> {
        #[derive(Serialize)]
        struct Named<'a> {
            ids: &'a [Key],
        }
        // Asking twice reads twice: nothing is written.
        let request = Request::post(self.address(&["records"])?).idempotent().json(&Named { ids: keys })?;
        Ok(self.send(request).await?.into_parts())
    }

    /// The bytes of a blob, or some of them; where a connection is cut, the rest is asked for by range.
    pub(super) async fn blob(&self, blob: &BlobRef, range: Option<Range<u64>>) -> Result<ByteStream> {
        let id = blob.id.as_ref().ok_or_else(|| Error::new(ErrorKind::NotFound, "the attachment has no bytes here"))?;
        let request = Request::get(self.address(&["blobs", id.as_str()])?);
        let place = self.place().await?;
        let opened = self.client.download(request, range).await.map_err(|error| match error.kind() {
            // A bare 410 means a dead cursor elsewhere; there are none here.
            ErrorKind::CursorExpired => Error::new(ErrorKind::NotFound, "the service no longer has this"),
            _ => error,
        });
        Ok(opened?
            .map(move |chunk| {
                let _held = &place;
                chunk
            })
            .boxed())
    }

    async fn send(&self, request: Request) -> Result<Response> {
        let _place = self.place().await?;
        self.client.send(request).await
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.places);
        places.acquire_owned().await.map_err(|_| Error::new(ErrorKind::Cancelled, "the connector was closed"))
    }

    /// An address below the account.
    fn address(&self, names: &[&str]) -> Result<Url> {
        let mut url = self.client.base().clone();
        // The parser of addresses resolves these whatever their spelling: they would name another resource.
        if names.iter().chain([&self.account_id()]).any(|name| matches!(*name, "." | "..")) {
            return Err(Error::new(ErrorKind::NotFound, "an id that no address can hold"));
        }
        let mut segments =
            url.path_segments_mut().map_err(|()| Error::new(ErrorKind::Configuration, "the API has no path"))?;
        segments.pop_if_empty().extend(["accounts", self.account_id()]).extend(names);
        drop(segments);
        Ok(url)
    }
}

fn options(config: &OpenExportConfig, max_body_bytes: usize) -> ClientOptions {
    let addresses = Addresses::new().with_private(config.allow_private_addresses);
    let addresses = config.file_hosts.iter().fold(addresses, Addresses::with_host);
    ClientOptions::default()
        .with_requests_per_second(config.requests_per_second)
        .with_max_body_bytes(max_body_bytes)
        .with_addresses(addresses)
        .with_classify(classify)
}

fn no_service(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::Configuration, "this address does not offer the Open Export Protocol")
                .with_context("asked for", "/.well-known/open-export")
        }
        _ => error,
    }
}

/// The token goes to the host of the settings, or to the one that they name: a document alone cannot send it elsewhere.
fn check_host(api_base: &Url, asked: &Url, config: &OpenExportConfig) -> Result<()> {
    let host = api_base.host_str().unwrap_or_default();
    let same = Some(host) == asked.host_str() && (api_base.scheme() == "https" || asked.scheme() == "http");
    let named = config.api_host.as_deref() == Some(host);
    if same || named {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Configuration,
        "the service names another host for its API: set `api_host` to it if the token may be sent there",
    )
    .with_context("host", host))
}

async fn only_account(client: &Client) -> Result<String> {
    let listed = client.send(Request::get(client.address("accounts")?)).await;
    let listed = listed.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::Configuration, "the service does not list accounts: set `account`")
        }
        _ => error,
    })?;
    let accounts: Accounts = listed.json()?;
    match <[_; 1]>::try_from(accounts.accounts) {
        Ok([only]) => Ok(only.account),
        Err(none) if none.is_empty() => {
            Err(Error::new(ErrorKind::PermissionDenied, "the token is not for any account"))
        }
        Err(several) => Err(Error::new(ErrorKind::Configuration, "the token is for several accounts: set `account`")
            .with_context("accounts", several.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_does_not_follow_a_document_to_another_host() {
        let config = OpenExportConfig::new("https://notes.example.com", "t");
        let asked = Url::parse(&config.url).unwrap();
        let check = |api: &str, config: &OpenExportConfig| check_host(&Url::parse(api).unwrap(), &asked, config);
        check("https://notes.example.com/export/v1", &config).unwrap();
        for evil in ["https://evil.example/v1", "http://notes.example.com/v1", "https://notes.example.com.evil.example"]
        {
            assert_eq!(check(evil, &config).unwrap_err().kind(), ErrorKind::Configuration, "{evil}");
        }
        check("https://api.example.com/v1", &config.with_api_host("api.example.com")).unwrap();
    }
}
