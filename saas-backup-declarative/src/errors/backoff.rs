use std::time::Duration;

use saas_backup_core::{Error, ErrorKind, Result};

use crate::expression::Expression;
use crate::manifest::Component;
use crate::request::{Answer, headers_value};
use crate::shared::Shared;
use crate::template::first_match;

/// How long to wait before a request is repeated.
#[derive(Debug)]
pub(super) enum Backoff {
    Constant {
        seconds: Expression,
    },
    Exponential {
        factor: Option<Expression>,
    },
    Header {
        name: Expression,
        pattern: Option<Expression>,
        until: bool,
        least: Option<Expression>,
        most: Option<Expression>,
    },
    Response {
        seconds: Expression,
        most: Option<Expression>,
    },
}

impl Backoff {
    pub(super) fn build(component: &Component<'_>) -> Result<Self> {
        let needed =
            |name: &str| component.expression(name)?.ok_or_else(|| component.wrong(format!("{name} is missing")));
        let until = component.kind() == "WaitUntilTimeFromHeader";
        Ok(match component.kind() {
            "ConstantBackoffStrategy" => Self::Constant { seconds: needed("backoff_time_in_seconds")? },
            "ExponentialBackoffStrategy" => Self::Exponential { factor: component.expression("factor")? },
            "WaitTimeFromHeader" | "WaitUntilTimeFromHeader" => Self::Header {
                name: needed("header")?,
                pattern: component.expression("regex")?,
                until,
                least: component.expression("min_wait")?,
                most: component.expression("max_waiting_time_in_seconds")?,
            },
            "WaitTimeFromResponse" => Self::Response {
                seconds: needed("wait_time_in_seconds")?,
                most: component.expression("max_waiting_time_in_seconds")?,
            },
            _ => return Err(component.unknown()),
        })
    }

    /// The seconds to wait; `None` if this strategy cannot tell.
    pub(super) fn seconds(&self, answer: Option<&Answer>, attempt: u32, shared: &Shared) -> Result<Option<f64>> {
        let scope = shared.scope();
        let number = |expression: &Expression| -> Result<Option<f64>> {
            Ok(expression.text(&scope)?.trim().parse::<f64>().ok().filter(|seconds| seconds.is_finite()))
        };
        let optional = |expression: &Option<Expression>| expression.as_ref().map_or(Ok(None), number);
        match self {
            Self::Constant { seconds } => number(seconds),
            Self::Exponential { factor } => {
                let factor = optional(factor)?.unwrap_or(5.0);
                Ok(Some(factor * 2f64.powi(attempt.min(30).cast_signed())))
            }
            Self::Header { name, pattern, until, least, most } => {
                let Some(answer) = answer else { return Ok(None) };
                let found = match (answer.header(&name.text(&scope)?), pattern) {
                    (Some(text), Some(pattern)) => {
                        first_match(&pattern.text(&scope)?, text)?.and_then(|text| text.trim().parse::<f64>().ok())
                    }
                    (Some(text), None) => text.trim().parse::<f64>().ok(),
                    (None, _) => None,
                };
                let least = optional(least)?;
                let wait = match found.filter(|value| value.is_finite() && *value != 0.0) {
                    Some(at) if *until => {
                        let now = shared.clock.now();
                        let now = Duration::from_millis(now.timestamp_millis().max(0).cast_unsigned());
                        let wait = at - now.as_secs_f64();
                        least.map_or((wait >= 0.0).then_some(wait), |least| Some(wait.max(least)))
                    }
                    Some(seconds) => Some(seconds),
                    None => least,
                };
                within(wait, optional(most)?)
            }
            Self::Response { seconds, most } => {
                let Some(answer) = answer else { return Ok(None) };
                let scope = scope
                    .clone()
                    .with("response", answer.value())
                    .with("headers", headers_value(&answer.headers, false));
                let wait = seconds.text(&scope)?.trim().parse::<f64>().ok();
                within(wait.filter(|wait| wait.is_finite() && *wait >= 0.0), optional(most)?)
            }
        }
    }
}

fn within(wait: Option<f64>, most: Option<f64>) -> Result<Option<f64>> {
    match (wait, most) {
        (Some(wait), Some(most)) if wait > 0.0 && wait >= most => {
            Err(Error::new(ErrorKind::RateLimited, "the provider asks to wait longer than the manifest allows")
                .with_context("seconds", wait))
        }
        (wait, _) => Ok(wait),
    }
}
