use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE};
use http::{HeaderMap, HeaderName, StatusCode};
use saas_backup_core::{Budget, ByteStream, Error, ErrorKind, Permit, Result, Retry};
use tokio_util::io::ReaderStream;
use url::Url;

use crate::error::from_transport;
use crate::pacing::Pace;
use crate::redact::without_secrets;
use crate::retry::Retries;
use crate::{Addresses, Authorization, Body, ClientOptions, Failure, Request, Response, asked_to_wait, body, download};

/// How much of a refusal is read to classify it.
const FAILURE_BYTES: usize = 64 * 1024;

/// Headers that a request keeps when it is redirected to another origin.
const HARMLESS: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, RANGE, IF_RANGE];

/// The client of one account of one provider.
///
/// Cloning gives another handle on the same account: pace, pauses and the retry budget are shared. All its futures
/// are cancel safe in that dropping one wastes a request at most; a request that writes may have been taken.
#[derive(Clone)]
pub struct Client {
    pub(crate) account: Arc<AccountClient>,
    budget: Budget,
}

pub(crate) struct AccountClient {
    base: Url,
    authorization: Authorization,
    addresses: Addresses,
    options: ClientOptions,
    pub(crate) pace: Pace,
    pub(crate) retries: Retries,
    pages: reqwest::Client,
    // Bytes that are addressed by range must not be decompressed on the way.
    blobs: reqwest::Client,
}

/// An attempt that went wrong, and whether the provider may have done what was asked.
struct Failed {
    error: Error,
    taken: bool,
}

impl Client {
    /// A client for the account at a base address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] or [`ErrorKind::PermissionDenied`] if the address or an option is not allowed.
    pub fn new(mut base: Url, authorization: Authorization, options: ClientOptions) -> Result<Self> {
        options.check()?;
        base.set_query(None);
        base.set_fragment(None);
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::new(ErrorKind::Configuration, "credentials do not belong into the address"));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let addresses = options.addresses.clone().with_host(base.host_str().unwrap_or_default());
        addresses.check(&base)?;
        let retries = Retries::new(options.attempts, options.first_delay, options.longest_delay, options.longest_wait);
        let account = AccountClient {
            pace: Pace::new(options.requests_per_second, options.burst),
            pages: transport(&options, &addresses).gzip(true).build().map_err(from_transport)?,
            blobs: transport(&options, &addresses).gzip(false).build().map_err(from_transport)?,
            base,
            authorization,
            addresses,
            options,
            retries,
        };
        Ok(Self { account: Arc::new(account), budget: Budget::default() })
    }

    /// The same account with the bounds of one snapshot or sink.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// The base address; its path ends with a slash.
    pub fn base(&self) -> &Url {
        &self.account.base
    }

    /// An address below the base address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if the path is none.
    pub fn address(&self, path: &str) -> Result<Url> {
        // Without the leading `./` a colon in the first segment would read as a scheme.
        self.base()
            .join(&format!("./{}", path.trim_start_matches('/')))
            .map_err(|_| Error::new(ErrorKind::Configuration, "not a path of the provider"))
    }

    /// Whether an address, such as one that a record holds, may be fetched.
    ///
    /// # Errors
    ///
    /// As [`Addresses::check`].
    pub fn check_address(&self, url: &Url) -> Result<()> {
        self.account.addresses.check(url)
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// # Errors
    ///
    /// What [`ClientOptions::classify`] makes of a refusal, after the last try;
    /// [`ErrorKind::LimitExceeded`] if the answer is larger than the limit.
    pub async fn send(&self, request: Request) -> Result<Response> {
        let mut attempts = self.account.retries.start();
        loop {
            let failed = match self.try_send(&request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let repeatable = request.idempotent || !failed.taken;
            let error = if repeatable { failed.error } else { failed.error.with_retry(Retry::Never) };
            attempts.after(error, &self.account.pace).await?;
        }
    }

    /// Sends a request once and gives back whatever the provider answers, refusals included: for callers that have
    /// their own rules for what a refusal means and when to try again.
    ///
    /// Pace, budgets, redirects and addresses are those of [`send`](Self::send); what a refusal asks to wait is left to
    /// the caller, see [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if nobody answers; [`ErrorKind::LimitExceeded`] if the answer is larger than the limit.
    pub async fn exchange(&self, request: &Request) -> Result<Response> {
        let sent = self.exchanged(&self.account.pages, request).await;
        let (response, url, _in_flight, _) = sent.map_err(|failed| failed.error)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let (body, permit) = body::read(response, self.account.options.max_body_bytes, &self.budget).await?;
        Ok(Response { status, headers, url, body, permit: Some(permit) })
    }

    /// Lets no request of the account through before so much time has passed, at most what
    /// [`ClientOptions::longest_wait`] allows.
    pub fn pause(&self, wait: Duration) {
        self.account.pace.pause(wait.min(self.account.options.longest_wait));
    }

    /// Opens bytes, all or a range of them, and goes on by range where the connection is cut.
    ///
    /// A provider that does not know ranges sends everything: what was not asked for is read and dropped.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); in the stream [`ErrorKind::Conflict`] if the bytes changed while they were read.
    pub async fn download(&self, request: Request, range: Option<Range<u64>>) -> Result<ByteStream> {
        download::open(self.clone(), request, range).await
    }

    async fn try_send(&self, request: &Request) -> Result<Response, Failed> {
        let (response, url, _in_flight) = self.respond(&self.account.pages, request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let whole = body::read(response, self.account.options.max_body_bytes, &self.budget).await;
        let (body, permit) = whole.map_err(|error| Failed { error, taken: true })?;
        self.account.retries.succeeded();
        Ok(Response { status, headers, url, body, permit: Some(permit) })
    }

    /// One attempt to open bytes; the permit is held while they are read.
    pub(crate) async fn try_open(&self, request: &Request) -> Result<(reqwest::Response, Permit)> {
        let opened = self.respond(&self.account.blobs, request).await;
        let (response, _, permit) = opened.map_err(|failed| failed.error)?;
        self.account.retries.succeeded();
        Ok((response, permit))
    }

    /// One attempt: a slot, a permit, redirects, and a response that is no refusal.
    async fn respond(
        &self,
        transport: &reqwest::Client,
        request: &Request,
    ) -> Result<(reqwest::Response, Url, Permit), Failed> {
        let (response, url, permit, asked) = self.exchanged(transport, request).await?;
        let status = response.status();
        let unchanged = status == StatusCode::NOT_MODIFIED && request.headers.contains_key(IF_NONE_MATCH);
        if status.is_success() || unchanged {
            // Others of the account would run into the limit that this response has reached.
            if let Some(wait) = asked.filter(|wait| *wait <= self.account.options.longest_wait) {
                self.account.pace.pause(wait);
            }
            return Ok((response, url, permit));
        }
        Err(self.refused(response, asked).await)
    }

    /// One attempt: a slot, a permit, redirects, and whatever the provider answers, with how long it asks to wait.
    async fn exchanged(
        &self,
        transport: &reqwest::Client,
        request: &Request,
    ) -> Result<(reqwest::Response, Url, Permit, Option<Duration>), Failed> {
        let unsent = |error| Failed { error, taken: false };
        let permit = self.budget.request().await.map_err(unsent)?;
        let mut url = request.url.clone();
        let mut redirects = 0;
        loop {
            self.account.addresses.check(&url).map_err(unsent)?;
            let outgoing = self.outgoing(transport, request, &url).await.map_err(unsent)?;
            self.account.pace.ready().await;
            let begun = tokio::time::Instant::now();
            let response = outgoing.send().await.map_err(|error| Failed {
                taken: !(error.is_connect() || error.is_builder()),
                error: from_transport(error),
            })?;
            let status = response.status();
            tracing::debug!(
                method = %request.method,
                address = without_secrets(&url),
                status = status.as_u16(),
                milliseconds = begun.elapsed().as_millis() as u64,
                "request"
            );
            let asked = asked_to_wait(response.headers(), self.account.options.clock.now());
            if let Some(next) = redirect_target(request, &response, &url) {
                redirects += 1;
                if redirects > self.account.options.max_redirects {
                    let error = Error::new(ErrorKind::LimitExceeded, "the provider redirects too often")
                        .with_context("limit", self.account.options.max_redirects);
                    return Err(unsent(error));
                }
                url = next;
                continue;
            }
            return Ok((response, url, permit, asked));
        }
    }

    async fn refused(&self, response: reqwest::Response, wait: Option<Duration>) -> Failed {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = body::read_start(response, FAILURE_BYTES).await;
        let failure = Failure { status, headers: &headers, body: &body, wait };
        let error = (self.account.options.classify)(&failure);
        // A provider that asks to slow down has not done the work.
        Failed { taken: error.kind() != ErrorKind::RateLimited, error }
    }

    async fn outgoing(
        &self,
        transport: &reqwest::Client,
        request: &Request,
        url: &Url,
    ) -> Result<reqwest::RequestBuilder> {
        let at_home = url.origin() == self.account.base.origin();
        let mut headers = HeaderMap::new();
        if at_home {
            headers.extend(self.account.options.headers.clone());
            self.account.authorization.apply(&mut headers);
        }
        let caller =
            request.headers.iter().filter(|(name, _)| url == &request.url || at_home || HARMLESS.contains(name));
        for (name, value) in caller {
            headers.insert(name, value.clone());
        }
        let outgoing = transport.request(request.method.clone(), url.clone());
        let outgoing = match &request.body {
            Body::Empty => outgoing,
            Body::Bytes(bytes) => outgoing.body(bytes.clone()),
            Body::File { path, length } => {
                headers.insert(CONTENT_LENGTH, (*length).into());
                let file = tokio::fs::File::open(path).await?;
                outgoing.body(reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, 64 * 1024)))
            }
        };
        Ok(outgoing.headers(headers))
    }
}

/// Prints no header and no credentials.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("base", &without_secrets(self.base())).finish_non_exhaustive()
    }
}

fn transport(options: &ClientOptions, addresses: &Addresses) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("saas-backup/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.silence_timeout)
        .dns_resolver(Arc::new(addresses.clone()))
}

/// Where a response sends a request that only reads; writing is never sent elsewhere.
fn redirect_target(request: &Request, response: &reqwest::Response, url: &Url) -> Option<Url> {
    if !request.only_reads() || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut target = url.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    target.set_fragment(None);
    Some(target)
}
