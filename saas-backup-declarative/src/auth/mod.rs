//! How a request says on whose behalf it is sent.

#[cfg(feature = "tls")]
mod jwt;
mod oauth;
mod session;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saas_backup_core::{Error, ErrorKind, Result};

use crate::expression::Expression;
use crate::manifest::Component;
use crate::request::{Parts, RequestOption};
use crate::shared::Shared;
use crate::template::Value;

use oauth::OAuth;
use session::Session;

/// An authenticator.
#[derive(Debug)]
pub(crate) enum Authenticator {
    Nobody,
    Basic {
        username: Expression,
        password: Option<Expression>,
    },
    Bearer(Expression),
    Option(RequestOption, Expression),
    #[cfg(feature = "tls")]
    Jwt(Box<jwt::Jwt>),
    OAuth(Box<OAuth>),
    Session(Box<Session>),
}

impl Authenticator {
    /// The authenticator of a requester.
    pub(crate) fn build(
        component: Option<Component<'_>>,
        requester: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Self> {
        let Some(component) = component else { return Ok(Self::Nobody) };
        let needed =
            |name: &str| component.expression(name)?.ok_or_else(|| component.wrong(format!("{name} is missing")));
        Ok(match component.kind() {
            "NoAuth" => Self::Nobody,
            "BasicHttpAuthenticator" => {
                Self::Basic { username: needed("username")?, password: component.expression("password")? }
            }
            "BearerAuthenticator" => Self::Bearer(needed("api_token")?),
            "ApiKeyAuthenticator" => {
                let option = if let Some(option) = component.child("inject_into")? {
                    RequestOption::build(&option)?
                } else {
                    let name = component.text("header").unwrap_or_default();
                    let option = serde_json::json!({
                        "type": "RequestOption", "inject_into": "header", "field_name": name,
                        "$parameters": component.parameters(),
                    });
                    RequestOption::build(&Component::made(&option, "authenticator"))?
                };
                let token = component.get("api_token").map_or_else(|| "".into(), Clone::clone);
                Self::Option(option, component.expression_of("api_token", &token)?)
            }
            #[cfg(feature = "tls")]
            "JwtAuthenticator" => Self::Jwt(Box::new(jwt::Jwt::build(&component, shared)?)),
            "OAuthAuthenticator" => Self::OAuth(Box::new(OAuth::build(&component)?)),
            "SessionTokenAuthenticator" => Self::Session(Box::new(Session::build(&component, shared)?)),
            "LegacySessionTokenAuthenticator" => {
                Self::Session(Box::new(Session::build_legacy(&component, requester, shared)?))
            }
            "SelectiveAuthenticator" => return select(&component, requester, shared),
            _ => return Err(component.unknown()),
        })
    }

    /// What it adds to a request.
    pub(crate) async fn parts(&self, shared: &Shared) -> Result<Parts> {
        let mut parts = Parts::default();
        let scope = shared.scope();
        match self {
            Self::Nobody => {}
            Self::Basic { username, password } => {
                let password = password.as_ref().map_or(Ok(String::new()), |password| password.text(&scope))?;
                let encoded = STANDARD.encode(format!("{}:{password}", username.text(&scope)?));
                parts.headers.push(authorization(format!("Basic {encoded}")));
            }
            Self::Bearer(token) => {
                parts.headers.push(authorization(format!("Bearer {}", token.text(&scope)?)));
            }
            Self::Option(option, token) => option.put(&mut parts, &Value::from(token.text(&scope)?), &scope)?,
            #[cfg(feature = "tls")]
            Self::Jwt(jwt) => jwt.put(&mut parts, shared)?,
            Self::OAuth(oauth) => oauth.put(&mut parts, shared).await?,
            Self::Session(session) => session.put(&mut parts, shared).await?,
        }
        Ok(parts)
    }
}

fn authorization(text: String) -> (String, Value) {
    ("Authorization".to_owned(), Value::from(text))
}

/// The authenticator that a setting names.
fn select(component: &Component<'_>, requester: &Component<'_>, shared: &Arc<Shared>) -> Result<Authenticator> {
    let scope = shared.scope();
    let mut selected = shared.config.clone();
    for part in component.path("authenticator_selection_path")? {
        selected = selected.get_item(&Value::from(part.text(&scope)?)).unwrap_or_default();
    }
    let name = crate::template::python_str(&selected);
    let known = component.required("authenticators")?;
    let chosen = known.child(&name).ok().flatten().ok_or_else(|| {
        let names: Vec<&str> = known.members().map(|(name, _)| name.as_str()).collect();
        Error::new(ErrorKind::Configuration, "the settings choose no way to authenticate that the manifest has")
            .with_context("there are", names.join(" "))
    })?;
    Authenticator::build(Some(chosen), requester, shared)
}
