use std::sync::Arc;

use http::Method;
use saas_backup_core::{Error, ErrorKind, Result};
use url::form_urlencoded;

use super::inputs::Inputs;
use super::option::texts;
use super::{Answer, Outgoing, Parts, address};
use crate::auth::Authenticator;
use crate::errors::ErrorHandler;
use crate::expression::Expression;
use crate::manifest::Component;
use crate::shared::Shared;
use crate::template::Scope;

/// How one kind of request is made and sent.
#[derive(Debug)]
pub(crate) struct Requester {
    base: Option<Expression>,
    path: Option<Expression>,
    method: Method,
    inputs: Inputs,
    authenticator: Authenticator,
    pub(super) errors: ErrorHandler,
    /// Whether answers are kept for others that ask for the same.
    pub(super) cached: bool,
    /// The provider's own address, where requests may lead elsewhere.
    home: Option<Expression>,
}

impl Requester {
    pub(crate) fn build(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Self> {
        if component.kind() != "HttpRequester" {
            return Err(component.unknown());
        }
        let base = component.expression("url_base")?;
        let url = component.expression("url")?;
        let method = component.text("http_method").unwrap_or("GET").to_ascii_uppercase();
        if component.get("fetch_properties_from_endpoint").is_some() || component.get("query_properties").is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "needs a component that is not supported: QueryProperties"));
        }
        Ok(Self {
            base: base.or(url),
            path: component.expression("path")?,
            method: method.parse().map_err(|_| component.wrong("http_method is none of HTTP"))?,
            inputs: Inputs::build(component)?,
            authenticator: Authenticator::build(component.child("authenticator")?, component, shared)?,
            errors: ErrorHandler::build(component.child("error_handler")?, &shared.scope())?,
            cached: component.flag("use_cache"),
            home: None,
        })
    }

    /// Keeps answers for others that ask for the same.
    pub(crate) fn with_cache(mut self, cached: bool) -> Self {
        self.cached |= cached;
        self
    }

    /// Asks anew each time, whatever the manifest says.
    pub(crate) fn without_cache(mut self) -> Self {
        self.cached = false;
        self
    }

    /// Follows links of answers to other hosts, with nothing of the account: the provider's own is that of another requester.
    pub(crate) fn with_links(mut self, provider: &Self) -> Self {
        self.home.clone_from(&provider.base);
        self
    }

    /// Sends a request, and repeats it as the manifest says.
    pub(crate) async fn send(&self, shared: &Shared, scope: &Scope, path: Option<&str>, more: Parts) -> Result<Answer> {
        let outgoing = self.outgoing(shared, scope, path, more).await?;
        super::send::send(self, shared, &outgoing).await
    }

    /// The headers that authorize a download from the provider; none for another host.
    pub(crate) async fn authorization(
        &self,
        shared: &Shared,
        url: &url::Url,
    ) -> Result<Vec<(http::HeaderName, http::HeaderValue)>> {
        let base = self.base.as_ref().map_or(Ok(String::new()), |base| base.text(&shared.scope()))?;
        if shared.check_host(url, &base).is_err() {
            return Ok(Vec::new());
        }
        let mut outgoing =
            Outgoing { method: Method::GET, url: url.clone(), headers: http::HeaderMap::new(), body: None };
        for (name, value) in self.authenticator.parts(shared).await?.headers {
            outgoing.set_header(&name, &crate::template::python_str(&value))?;
        }
        Ok(outgoing.headers.into_iter().filter_map(|(name, value)| Some((name?, value))).collect())
    }

    /// The request as it is sent first.
    pub(crate) async fn outgoing(
        &self,
        shared: &Shared,
        scope: &Scope,
        path: Option<&str>,
        more: Parts,
    ) -> Result<Outgoing> {
        let text = |expression: &Option<Expression>| match expression {
            Some(expression) => expression.text(scope),
            None => Ok(String::new()),
        };
        let base = text(&self.base)?;
        let mut url = match path {
            Some(path) => address::join(&base, path)?,
            None => address::join(&base, text(&self.path)?.trim_start_matches('/'))?,
        };
        match &self.home {
            None => shared.check_host(&url, &base)?,
            Some(home) if shared.check_host(&url, &home.text(scope)?).is_err() => {
                return Ok(Outgoing { method: Method::GET, url, headers: http::HeaderMap::new(), body: None });
            }
            Some(_) => {}
        }
        let mut parts = self.inputs.parts(scope)?;
        let authorized = self.authenticator.parts(shared).await?;
        parts.merge(authorized)?;
        parts.merge(more)?;
        address::add_parameters(&mut url, &parts.parameters);
        let mut outgoing = Outgoing { method: self.method.clone(), url, headers: http::HeaderMap::new(), body: None };
        self.set_body(&mut outgoing, &parts)?;
        for (name, value) in &parts.headers {
            outgoing.set_header(name, &crate::template::python_str(value))?;
        }
        Ok(outgoing)
    }

    fn set_body(&self, outgoing: &mut Outgoing, parts: &Parts) -> Result<()> {
        // Some APIs want a body with a GET.
        if !matches!(self.method, Method::GET | Method::POST | Method::PUT | Method::PATCH) {
            return Ok(());
        }
        if !parts.json.is_empty() {
            if parts.text.is_some() || !parts.form.is_empty() {
                return Err(Error::new(ErrorKind::Configuration, "the manifest sets a part of a request twice")
                    .with_context("part", "the body"));
            }
            outgoing.body = Some(serde_json::to_vec(&parts.json)?.into());
            outgoing.set_header("content-type", "application/json")?;
        } else if let Some(text) = &parts.text {
            outgoing.body = Some(text.clone().into_bytes().into());
        } else if !parts.form.is_empty() {
            let mut form = form_urlencoded::Serializer::new(String::new());
            for (name, value) in &parts.form {
                for value in texts(value) {
                    form.append_pair(name, &value);
                }
            }
            outgoing.body = Some(form.finish().into_bytes().into());
            outgoing.set_header("content-type", "application/x-www-form-urlencoded")?;
        }
        Ok(())
    }
}
