use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use saas_backup_core::{Error, ErrorKind, Result};
use saas_backup_http::{Body, Client, Request};
use url::Url;

use super::Answer;

/// A request that is ready to be sent.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Outgoing {
    pub(crate) fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        let invalid = || Error::new(ErrorKind::Configuration, "a header cannot be sent").with_context("header", name);
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        self.headers.insert(parsed, value);
        Ok(())
    }
}

/// Prints neither query nor headers nor body: each may hold a secret.
impl Debug for Outgoing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Outgoing")
            .field("method", &self.method)
            .field("address", &saas_backup_http::without_secrets(&self.url))
            .finish_non_exhaustive()
    }
}

/// What carries requests to a provider: HTTP, or a recording.
#[async_trait]
pub(crate) trait Transport: Debug + Send + Sync {
    /// Sends a request once; an answer that refuses is an answer.
    async fn send(&self, request: &Outgoing) -> Result<Answer>;

    /// Waits, and lets nobody of the account through meanwhile if the provider asked for it.
    async fn wait(&self, duration: Duration, asked: bool);
}

/// The account's client.
#[derive(Clone, Debug)]
pub(crate) struct HttpTransport(pub(crate) Client);

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: &Outgoing) -> Result<Answer> {
        let mut outgoing = Request::new(request.method.clone(), request.url.clone());
        for (name, value) in &request.headers {
            outgoing = outgoing.header(name.clone(), value.clone());
        }
        if let Some(body) = &request.body {
            outgoing = outgoing.body(Body::Bytes(body.clone()));
        }
        let response = self.0.exchange(&outgoing).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let (body, permit) = response.into_parts();
        Ok(Answer { status, headers, body, permit })
    }

    async fn wait(&self, duration: Duration, asked: bool) {
        if asked {
            self.0.pause(duration);
        } else {
            tokio::time::sleep(duration).await;
        }
    }
}
