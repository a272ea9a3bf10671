use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use saas_backup_core::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::sync::Mutex;

use super::authorization;
use crate::expression::Expression;
use crate::manifest::Component;
use crate::request::{Parts, RequestOption, Requester};
use crate::shared::Shared;
use crate::template::{Value, python_str};
use crate::time::{Moment, Period};

/// A token that a request to log in gives.
#[derive(Debug)]
pub(crate) struct Session {
    login: Box<Requester>,
    path: Vec<Expression>,
    life: Option<Period>,
    option: Option<(RequestOption, Expression)>,
    /// A token of the settings, and what tells whether it is still one.
    given: Option<(Expression, Box<Requester>)>,
    held: Mutex<Option<(SecretString, DateTime<Utc>)>>,
}

impl Session {
    pub(super) fn build(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Self> {
        let request = component.required("request_authentication")?;
        let option = match request.kind() {
            "Bearer" => None,
            "ApiKey" => {
                let template = request.get("api_token").cloned().unwrap_or_else(|| "{{ session_token }}".into());
                Some((
                    RequestOption::build(&request.required("inject_into")?)?,
                    request.expression_of("api_token", &template)?,
                ))
            }
            _ => return Err(request.unknown()),
        };
        let life = component.text("expiration_duration").map(|text| {
            Period::parse(text).ok_or_else(|| component.wrong("expiration_duration is no duration of ISO 8601"))
        });
        Ok(Self {
            login: Box::new(Requester::build(&component.required("login_requester")?, shared)?),
            path: component.path("session_token_path")?,
            life: life.transpose()?,
            option,
            given: None,
            held: Mutex::new(None),
        })
    }

    /// The older form: a token of the settings that is looked at first, or a user's name and password.
    pub(super) fn build_legacy(
        component: &Component<'_>,
        requester: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Self> {
        let member = |name: &str| component.get(name).cloned().unwrap_or_default();
        let base = component.get("api_url").or(requester.get("url_base")).or(requester.get("url")).cloned();
        let base = base.unwrap_or_default();
        let header = json!({ "type": "RequestOption", "inject_into": "header", "field_name": member("header") });
        let legacy = json!({
            "type": "SessionTokenAuthenticator",
            "$parameters": component.parameters(),
            "login_requester": {
                "type": "HttpRequester", "http_method": "POST", "url_base": base, "path": member("login_url"),
                "request_body_json": { "username": member("username"), "password": member("password") },
            },
            "session_token_path": [member("session_token_response_key")],
            "expiration_duration": "PT24H",
            "request_authentication": { "type": "ApiKey", "inject_into": header },
        });
        let mut session = Self::build(&Component::made(&legacy, "authenticator"), shared)?;
        if let Some(token) = component.expression("session_token")? {
            let look = json!({
                "type": "HttpRequester", "url_base": base, "path": member("validate_session_url"),
                "$parameters": component.parameters(),
                "authenticator": { "type": "ApiKeyAuthenticator", "api_token": member("session_token"), "inject_into": header },
            });
            let look = Requester::build(&Component::made(&look, "authenticator"), shared)?;
            session.given = Some((token, Box::new(look)));
        }
        Ok(session)
    }

    pub(super) async fn put(&self, parts: &mut Parts, shared: &Shared) -> Result<()> {
        let token = self.token(shared).await?;
        match &self.option {
            None => parts.headers.push(authorization(format!("Bearer {}", token.expose_secret()))),
            Some((option, template)) => {
                let scope = shared.scope().with("session_token", Value::from(token.expose_secret()));
                option.put(parts, &Value::from(template.text(&scope)?), &scope)?;
            }
        }
        Ok(())
    }

    async fn token(&self, shared: &Shared) -> Result<SecretString> {
        let mut held = self.held.lock().await;
        let now = shared.clock.now();
        if let Some((token, _)) = held.as_ref().filter(|(_, lapses)| *lapses > now) {
            return Ok(token.clone());
        }
        let scope = shared.scope();
        if let Some((token, look)) = &self.given {
            let token = token.text(&scope)?;
            if !token.is_empty() && token != "None" {
                match Box::pin(look.send(shared, &scope, None, Parts::default())).await {
                    Ok(_) => {
                        let token = SecretString::from(token);
                        *held = Some((token.clone(), now + TimeDelta::hours(1)));
                        return Ok(token);
                    }
                    Err(error) if error.kind() == ErrorKind::Unauthenticated => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let answer = Box::pin(self.login.send(shared, &scope, None, Parts::default())).await?;
        let mut found = answer.value();
        for part in &self.path {
            found = found.get_item(&Value::from(part.text(&scope)?)).unwrap_or_default();
        }
        if found.is_undefined() || found.is_none() {
            return Err(Error::new(ErrorKind::Unauthenticated, "the answer to the login has no token"));
        }
        let token = SecretString::from(python_str(&found));
        // Without a life it is asked for each time; one run of requests may share it.
        let lapses = match &self.life {
            Some(life) => Moment::from(now).plus(life).map_or(now, Moment::utc),
            None => now + TimeDelta::seconds(0),
        };
        *held = Some((token.clone(), lapses));
        Ok(token)
    }
}
