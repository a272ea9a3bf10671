use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use saas_backup_core::{Error, ErrorKind, Result, Retry};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::authorization;
use crate::expression::Expression;
use crate::manifest::Component;
use crate::request::{Outgoing, Parts};
use crate::shared::Shared;
use crate::template::python_str;
use crate::time::Moment;

/// How long a token is taken to live that does not say.
const USUAL_LIFE: TimeDelta = TimeDelta::hours(1);
/// A token is renewed so long before it lapses, because a request takes time to arrive.
const EARLY: TimeDelta = TimeDelta::seconds(30);
/// How deep in an answer a token is looked for, as Airbyte does.
const MAX_DEPTH: usize = 5;
/// How often the exchange is tried when nobody answers.
const TRIES: u32 = 5;

/// OAuth 2.0 (RFC 6749): a refresh token or client credentials are exchanged for an access token.
///
/// One exchange at a time: others wait for its result. A refresh token that the provider replaces is kept before the new
/// access token is used, because the old one is worth nothing from then on.
#[derive(Debug)]
pub(crate) struct OAuth {
    endpoint: Option<Expression>,
    standard: Vec<(Expression, Option<Expression>)>,
    scopes: Vec<String>,
    more: Vec<(Expression, Expression)>,
    headers: Vec<(Expression, Expression)>,
    in_query: bool,
    refresh_token_name: Expression,
    access_token_name: Expression,
    expires_in_name: Expression,
    given: Option<Expression>,
    expiry_is_time: bool,
    /// Where in the settings the tokens are, if the provider replaces refresh tokens.
    rotation: Option<Vec<String>>,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    token: SecretString,
    lapses: DateTime<Utc>,
}

impl OAuth {
    pub(super) fn build(component: &Component<'_>) -> Result<Self> {
        if component.flag("use_profile_assertion") || component.get("profile_assertion").is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "needs a component that is not supported: profile_assertion",
            ));
        }
        let named = |member: &str, usual: &str| -> Result<Expression> {
            component.expression(member)?.map_or_else(|| component.expression_of(member, &usual.into()), Ok)
        };
        let rotation = component.child("refresh_token_updater")?.map(|updater| {
            let path = updater.get("refresh_token_config_path").and_then(Json::as_array);
            let path: Vec<String> =
                path.into_iter().flatten().filter_map(|part| part.as_str().map(str::to_owned)).collect();
            if path.is_empty() { vec!["credentials".to_owned(), "refresh_token".to_owned()] } else { path }
        });
        let grant = named("grant_type", "refresh_token")?;
        let refresh_token = match (&rotation, component.expression("refresh_token")?) {
            (Some(path), None) => {
                let inner: Vec<String> = path.iter().map(|part| format!("[{}]", Json::from(part.as_str()))).collect();
                let inner = inner.concat();
                Some(component.expression_of("refresh_token", &format!("{{{{ config{inner} }}}}").into())?)
            }
            (_, given) => given,
        };
        let refresh_token_name = named("refresh_token_name", "refresh_token")?;
        let pairs = |member: &str| -> Result<Vec<(Expression, Expression)>> {
            let members = component.get(member).and_then(Json::as_object);
            let pair = |(name, value): (&String, &Json)| {
                let name = component.expression_of(member, &name.as_str().into())?;
                Ok((name, component.expression_of(member, value)?))
            };
            members.into_iter().flatten().map(pair).collect()
        };
        let scopes = component.get("scopes").and_then(Json::as_array);
        Ok(Self {
            endpoint: component.expression("token_refresh_endpoint")?,
            standard: vec![
                (named("grant_type_name", "grant_type")?, Some(grant)),
                (named("client_id_name", "client_id")?, component.expression("client_id")?),
                (named("client_secret_name", "client_secret")?, component.expression("client_secret")?),
                (refresh_token_name.clone(), refresh_token),
            ],
            scopes: scopes.into_iter().flatten().filter_map(|scope| scope.as_str().map(str::to_owned)).collect(),
            more: pairs("refresh_request_body")?,
            headers: pairs("refresh_request_headers")?,
            in_query: component.flag("send_refresh_request_as_query_params"),
            refresh_token_name,
            access_token_name: named("access_token_name", "access_token")?,
            expires_in_name: named("expires_in_name", "expires_in")?,
            given: component.expression("access_token_value")?,
            expiry_is_time: component.get("token_expiry_date_format").is_some(),
            rotation,
            held: Mutex::new(None),
        })
    }

    pub(super) async fn put(&self, parts: &mut Parts, shared: &Shared) -> Result<()> {
        let token = self.token(shared).await?;
        parts.headers.push(authorization(format!("Bearer {}", token.expose_secret())));
        Ok(())
    }

    async fn token(&self, shared: &Shared) -> Result<SecretString> {
        let scope = shared.scope();
        let given = |given: &Expression| -> Result<SecretString> { Ok(given.text(&scope)?.into()) };
        let Some(endpoint) = &self.endpoint else {
            let missing =
                || Error::new(ErrorKind::Configuration, "the manifest says neither a token nor where to get one");
            return self.given.as_ref().map_or_else(|| Err(missing()), given);
        };
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.lapses > shared.clock.now() + EARLY) {
            return Ok(held.token.clone());
        }
        let address = endpoint.text(&scope)?;
        let renewed = self.exchange(shared, &address).await?;
        let token = renewed.token.clone();
        *held = Some(renewed);
        Ok(token)
    }

    async fn exchange(&self, shared: &Shared, address: &str) -> Result<Held> {
        let outgoing = self.outgoing(shared, address)?;
        shared.check_host(&outgoing.url, address)?;
        let mut attempt = 0;
        let answer = loop {
            let error = match shared.transport.send(&outgoing).await {
                Ok(answer) if answer.is_success() => break answer,
                Ok(answer) if answer.status == 429 || answer.status >= 500 => {
                    Error::new(ErrorKind::Unavailable, "the provider gives no access token")
                        .with_context("status", answer.status)
                }
                Ok(answer) => {
                    let error = Error::new(ErrorKind::Unauthenticated, "the provider refuses the credentials");
                    return Err(error.with_context("status", answer.status));
                }
                Err(error) if error.retry() == Retry::Never => return Err(error),
                Err(error) => error,
            };
            attempt += 1;
            if attempt >= TRIES {
                return Err(error);
            }
            shared.transport.wait(std::time::Duration::from_secs(1 << attempt), false).await;
        };
        let answer: Json = serde_json::from_slice(&answer.body)?;
        let scope = shared.scope();
        let access = find(&answer, &self.access_token_name.text(&scope)?, 0).and_then(Json::as_str);
        let access =
            access.ok_or_else(|| Error::new(ErrorKind::InvalidData, "the provider's answer has no access token"))?;
        if let Some(path) = &self.rotation {
            let replaced = find(&answer, &self.refresh_token_name.text(&scope)?, 0).and_then(Json::as_str);
            if let Some(replaced) = replaced {
                shared.keep_setting(path, replaced)?;
            }
        }
        let now = shared.clock.now();
        let lapses = match find(&answer, &self.expires_in_name.text(&scope)?, 0) {
            Some(value) if self.expiry_is_time => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Moment::parse_any(&text).map(Moment::utc)
            }
            Some(value) => {
                let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
                seconds.and_then(|seconds| now.checked_add_signed(TimeDelta::seconds(seconds as i64)))
            }
            None => None,
        };
        Ok(Held { token: access.into(), lapses: lapses.unwrap_or(now + USUAL_LIFE) })
    }

    fn outgoing(&self, shared: &Shared, address: &str) -> Result<Outgoing> {
        let scope = shared.scope();
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.standard {
            if let Some(value) = value {
                pairs.push((name.text(&scope)?, value.text(&scope)?));
            }
        }
        if !self.scopes.is_empty() {
            pairs.extend(self.scopes.iter().map(|one| ("scopes".to_owned(), one.clone())));
        }
        for (name, value) in &self.more {
            let name = name.text(&scope)?;
            if let (Some(value), false) = (value.option(&scope)?, pairs.iter().any(|(known, _)| *known == name)) {
                pairs.push((name, python_str(&value)));
            }
        }
        let url = address
            .trim()
            .parse()
            .map_err(|_| Error::new(ErrorKind::Configuration, "the manifest gives no address for tokens"))?;
        let mut outgoing = Outgoing { method: Method::POST, url, headers: http::HeaderMap::new(), body: None };
        if self.in_query {
            outgoing.url.query_pairs_mut().extend_pairs(&pairs);
        } else {
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            outgoing.body = Some(form.into_bytes().into());
            outgoing.set_header("content-type", "application/x-www-form-urlencoded")?;
        }
        for (name, value) in &self.headers {
            if let Some(value) = value.option(&scope)? {
                outgoing.set_header(&name.text(&scope)?, &python_str(&value))?;
            }
        }
        Ok(outgoing)
    }
}

/// A member of this name, wherever it stands.
fn find<'a>(value: &'a Json, name: &str, depth: usize) -> Option<&'a Json> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Json::Object(members) => match members.get(name) {
            Some(found) => Some(found).filter(|found| !found.is_null()),
            None => members.values().find_map(|member| find(member, name, depth + 1)),
        },
        Json::Array(items) => items.iter().find_map(|item| find(item, name, depth + 1)),
        _ => None,
    }
}
