use std::time::Duration;

use saas_backup_core::Result;

use super::backoff::Backoff;
use super::filter::Filter;
use crate::manifest::Component;
use crate::request::Answer;
use crate::shared::Shared;
use crate::template::Scope;

/// How often a request is repeated where the manifest does not say.
const RETRIES: u32 = 5;
/// More would not end in a day.
const MOST_RETRIES: u32 = 100;

/// What to do after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Success,
    Retry,
    RateLimited,
    Ignore,
    Fail,
}

/// What to do, and what the manifest has to say about it.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    pub(crate) message: Option<String>,
}

/// The error handlers of a requester.
///
/// Several in a row are asked one after another: the first that wants success, a repetition or to pass over decides.
#[derive(Debug)]
pub(crate) struct ErrorHandler {
    handlers: Vec<Handler>,
}

#[derive(Debug, Default)]
struct Handler {
    filters: Vec<Filter>,
    backoffs: Vec<Backoff>,
    retries: Option<u32>,
}

impl ErrorHandler {
    pub(crate) fn build(component: Option<Component<'_>>, scope: &Scope) -> Result<Self> {
        let mut handlers = Vec::new();
        if let Some(component) = component {
            collect(&component, scope, &mut handlers)?;
        }
        if handlers.is_empty() {
            handlers.push(Handler::default());
        }
        Ok(Self { handlers })
    }

    pub(crate) fn retries(&self) -> u32 {
        self.handlers.first().and_then(|handler| handler.retries).unwrap_or(RETRIES).min(MOST_RETRIES)
    }

    pub(crate) fn judge(&self, answer: &Answer, shared: &Shared) -> Result<Verdict> {
        let mut last = None;
        for handler in &self.handlers {
            let verdict = handler.judge(answer, shared)?;
            if matches!(verdict.action, Action::Success | Action::Retry | Action::Ignore) {
                return Ok(verdict);
            }
            last = Some(verdict);
        }
        Ok(last.unwrap_or_else(|| usual(answer)))
    }

    /// What to do when nobody answered.
    pub(crate) fn unanswered() -> Verdict {
        Verdict { action: Action::Retry, message: None }
    }

    /// How long to wait before the next try.
    ///
    /// A strategy of the manifest decides; then what the answer asks for (`Retry-After` and its like); then a time that
    /// doubles with each try.
    pub(crate) fn wait(&self, answer: Option<&Answer>, attempt: u32, shared: &Shared) -> Result<Duration> {
        for backoff in self.handlers.iter().flat_map(|handler| &handler.backoffs) {
            if let Some(seconds) = backoff.seconds(answer, attempt, shared)?
                && seconds > 0.0
            {
                // As Airbyte waits: a second more than a server that rounds down says.
                return Ok(Duration::try_from_secs_f64(seconds + 1.0).unwrap_or(Duration::MAX / 4));
            }
        }
        let asked = answer.and_then(|answer| saas_backup_http::asked_to_wait(&answer.headers, shared.clock.now()));
        Ok(asked.unwrap_or_else(|| Duration::from_secs(1 << attempt.min(6))))
    }
}

fn collect(component: &Component<'_>, scope: &Scope, handlers: &mut Vec<Handler>) -> Result<()> {
    match component.kind() {
        "CompositeErrorHandler" => {
            for child in component.children("error_handlers")? {
                collect(&child, scope, handlers)?;
            }
            Ok(())
        }
        "DefaultErrorHandler" => {
            let retries = match component.expression("max_retries")? {
                Some(expression) => expression.text(scope)?.trim().parse::<u32>().ok(),
                None => None,
            };
            handlers.push(Handler {
                filters: component.children("response_filters")?.iter().map(Filter::build).collect::<Result<_>>()?,
                backoffs: component
                    .children("backoff_strategies")?
                    .iter()
                    .map(Backoff::build)
                    .collect::<Result<_>>()?,
                retries,
            });
            Ok(())
        }
        _ => Err(component.unknown()),
    }
}

impl Handler {
    fn judge(&self, answer: &Answer, shared: &Shared) -> Result<Verdict> {
        for filter in &self.filters {
            if let Some(verdict) = filter.verdict(answer, shared)? {
                return Ok(verdict);
            }
        }
        Ok(usual(answer))
    }
}

/// What an answer means where the manifest does not say.
fn usual(answer: &Answer) -> Verdict {
    let action = match answer.status {
        _ if answer.is_success() => Action::Success,
        429 => Action::RateLimited,
        400 | 401 | 403 | 404 | 405 | 406 | 410 | 422 => Action::Fail,
        _ => Action::Retry,
    };
    Verdict { action, message: None }
}
