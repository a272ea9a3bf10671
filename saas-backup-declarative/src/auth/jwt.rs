use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::Value as Json;

use super::authorization;
use crate::expression::Expression;
use crate::manifest::Component;
use crate::request::{Parts, RequestOption};
use crate::shared::Shared;
use crate::template::{Scope, Value};

/// Seconds that a token is good for, unless the manifest says so.
const USUAL_SECONDS: usize = 1200;

/// A JSON Web Token (RFC 7519) of our own, signed anew for each request.
#[derive(Debug)]
pub(crate) struct Jwt {
    key: Expression,
    key_is_encoded: Option<Expression>,
    algorithm: Algorithm,
    seconds: usize,
    prefix: Option<Expression>,
    /// `kid`, `typ` and `cty`, and what else the manifest wants in the header.
    header: BTreeMap<String, Expression>,
    /// `iss`, `sub` and `aud`, and what else the manifest claims.
    claims: BTreeMap<String, Expression>,
    option: Option<RequestOption>,
}

impl Jwt {
    pub(crate) fn build(component: &Component<'_>, shared: &Shared) -> Result<Self> {
        if component.get("passphrase").is_some() {
            return Err(component.wrong("a key with a passphrase cannot be used: store it without"));
        }
        let named = component.expression("algorithm")?.ok_or_else(|| component.wrong("algorithm is missing"))?;
        let named = named.text(&shared.scope())?;
        Ok(Self {
            key: component.expression("secret_key")?.ok_or_else(|| component.wrong("secret_key is missing"))?,
            key_is_encoded: component.expression("base64_encode_secret_key")?,
            algorithm: named.parse().map_err(|_| component.wrong("no token is signed by this algorithm here"))?,
            seconds: component.count("token_duration").unwrap_or(USUAL_SECONDS),
            prefix: component.expression("header_prefix")?,
            header: members(component, ["jwt_headers", "additional_jwt_headers"])?,
            claims: members(component, ["jwt_payload", "additional_jwt_payload"])?,
            option: RequestOption::build_optional(component, "request_option")?,
        })
    }

    /// Puts a token into a request, valid from now on.
    pub(crate) fn put(&self, parts: &mut Parts, shared: &Shared) -> Result<()> {
        let scope = shared.scope();
        let token = self.sign(&scope, shared.clock.now().timestamp())?;
        let prefix = self.prefix.as_ref().map(|prefix| prefix.text(&scope)).transpose()?;
        let text = match prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => format!("{prefix} {token}"),
            None => token,
        };
        if let Some(option) = &self.option {
            return option.put(parts, &Value::from(text), &scope);
        }
        parts.headers.push(authorization(text));
        Ok(())
    }

    fn sign(&self, scope: &Scope, now: i64) -> Result<String> {
        let mut header = Header::new(self.algorithm);
        let mut others = serde_json::Map::new();
        for (name, value) in &self.header {
            let text = value.text(scope)?;
            match name.as_str() {
                "kid" => header.kid = Some(text),
                "typ" => header.typ = Some(text),
                "cty" => header.cty = Some(text),
                _ => {
                    others.insert(name.clone(), serde_json::to_value(value.value(scope)?)?);
                }
            }
        }
        header.extras = serde_json::from_value(others.into())?;
        let claims =
            self.claims.iter().map(|(name, value)| Ok((name.clone(), serde_json::to_value(value.value(scope)?)?)));
        let mut claims: BTreeMap<String, Json> = claims.collect::<Result<_>>()?;
        let expires = now.saturating_add(i64::try_from(self.seconds).unwrap_or(i64::MAX));
        for (name, time) in [("iat", now), ("nbf", now), ("exp", expires)] {
            claims.insert(name.to_owned(), time.into());
        }
        let failed =
            |_| Error::new(ErrorKind::Configuration, "the key of the settings does not sign tokens of this kind");
        jsonwebtoken::encode(&header, &claims, &self.key(scope).map_err(failed)?).map_err(failed)
    }

    fn key(&self, scope: &Scope) -> std::result::Result<EncodingKey, jsonwebtoken::errors::Error> {
        let wrong = |_| jsonwebtoken::errors::ErrorKind::InvalidKeyFormat;
        let mut key = self.key.text(scope).map_err(wrong)?;
        if self.key_is_encoded.as_ref().is_some_and(|encoded| encoded.truth(scope).unwrap_or(false)) {
            key = STANDARD.encode(key);
        }
        match self.algorithm.family() {
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(key.as_bytes()),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(key.as_bytes()),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(key.as_bytes()),
            AlgorithmFamily::Hmac => Ok(EncodingKey::from_secret(key.as_bytes())),
        }
    }
}

fn members(component: &Component<'_>, lists: [&str; 2]) -> Result<BTreeMap<String, Expression>> {
    let mut found = BTreeMap::new();
    for list in lists {
        for (name, value) in component.get(list).and_then(Json::as_object).into_iter().flatten() {
            if !value.is_null() && !name.starts_with('$') && name != "type" {
                found.insert(name.clone(), component.expression_of(name, value)?);
            }
        }
    }
    Ok(found)
}
