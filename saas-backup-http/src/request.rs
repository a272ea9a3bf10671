use std::path::PathBuf;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;
use url::Url;

/// One request of a [`Client`](crate::Client).
#[derive(Clone, Debug)]
#[must_use]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) idempotent: bool,
}

/// What a request sends.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file, read anew for each try.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
    },
}

impl Request {
    /// A request; `GET`, `HEAD`, `PUT` and `DELETE` count as idempotent.
    pub fn new(method: Method, url: Url) -> Self {
        let idempotent = method.is_idempotent();
        Self { method, url, headers: HeaderMap::new(), body: Body::Empty, idempotent }
    }

    /// A request to read.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A request to write. Unless it is [`idempotent`](Self::idempotent) it is only tried again if the provider
    /// cannot have taken it.
    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    /// Adds a parameter to the address.
    pub fn query(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.url.query_pairs_mut().append_pair(name, &value.to_string());
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Says that repeating it does no harm, because it carries a key or sets a state.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Asks for the body only if it is not this version any more; if it is, the response's status is 304.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the tag cannot stand in a header.
    pub fn if_none_match(mut self, etag: &str) -> Result<Self> {
        let value = HeaderValue::from_str(etag).map_err(|_| Error::new(ErrorKind::InvalidData, "not an entity tag"))?;
        self.headers.insert(IF_NONE_MATCH, value);
        Ok(self)
    }

    /// Sends JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the value has no JSON form.
    pub fn json(mut self, value: &impl Serialize) -> Result<Self> {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Body::Bytes(serde_json::to_vec(value)?.into());
        Ok(self)
    }

    /// Sends a body; its type is a header.
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn only_reads(&self) -> bool {
        self.method.is_safe()
    }
}
