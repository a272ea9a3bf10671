use saas_backup_core::Result;

use super::handler::{Action, Verdict};
use crate::expression::Expression;
use crate::manifest::Component;
use crate::request::{Answer, headers_value};
use crate::shared::Shared;

/// Most of a manifest's message that is shown.
const MESSAGE_CHARS: usize = 300;

/// Answers that a manifest knows, and what they mean.
#[derive(Debug)]
pub(super) struct Filter {
    action: Option<Action>,
    codes: Vec<u16>,
    contains: Option<String>,
    predicate: Option<Expression>,
    message: Option<Expression>,
}

impl Filter {
    pub(super) fn build(component: &Component<'_>) -> Result<Self> {
        if component.kind() != "HttpResponseFilter" {
            return Err(component.unknown());
        }
        let action = match component.text("action") {
            None => None,
            Some("SUCCESS") => Some(Action::Success),
            Some("RETRY") => Some(Action::Retry),
            Some("RATE_LIMITED") => Some(Action::RateLimited),
            Some("IGNORE") => Some(Action::Ignore),
            Some("FAIL") => Some(Action::Fail),
            Some(_) => return Err(component.unknown()),
        };
        let codes = component.get("http_codes").and_then(serde_json::Value::as_array);
        Ok(Self {
            action,
            codes: codes.into_iter().flatten().filter_map(|code| u16::try_from(code.as_u64()?).ok()).collect(),
            contains: component.text("error_message_contains").map(str::to_owned).filter(|text| !text.is_empty()),
            predicate: component.expression("predicate")?,
            message: component.expression("error_message")?,
        })
    }

    pub(super) fn verdict(&self, answer: &Answer, shared: &Shared) -> Result<Option<Verdict>> {
        if !self.matches(answer, shared)? {
            return Ok(None);
        }
        let Some(action) = self.action else { return Ok(None) };
        // Only what the manifest says itself: what it takes from the answer may be anybody's data.
        let message = self.message.as_ref().and_then(|message| message.text(&shared.scope()).ok());
        let message = message.filter(|text| !text.is_empty() && !text.contains("{{"));
        Ok(Some(Verdict { action, message: message.map(|text| text.chars().take(MESSAGE_CHARS).collect()) }))
    }

    fn matches(&self, answer: &Answer, shared: &Shared) -> Result<bool> {
        if self.codes.contains(&answer.status) {
            return Ok(true);
        }
        if let Some(predicate) = &self.predicate {
            let scope = shared.scope();
            let scope = scope
                .with("config", crate::template::Value::from(()))
                .with("response", answer.value())
                .with("headers", headers_value(&answer.headers, false));
            if predicate.truth(&scope)? {
                return Ok(true);
            }
        }
        Ok(self.contains.as_ref().is_some_and(|text| message_of(answer).is_some_and(|message| message.contains(text))))
    }
}

/// Where APIs put what went wrong, in the order in which Airbyte looks.
const MESSAGES: [&str; 10] =
    ["message", "messages", "error", "errors", "failures", "failure", "detail", "err", "error_message", "msg"];

/// The message of a refusal.
fn message_of(answer: &Answer) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    find_message(&body, 0)
}

fn find_message(value: &serde_json::Value, depth: usize) -> Option<String> {
    if depth > 16 {
        return None;
    }
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(items) => {
            let found: Vec<String> = items.iter().filter_map(|item| find_message(item, depth + 1)).collect();
            (!found.is_empty()).then(|| found.join(", "))
        }
        serde_json::Value::Object(members) => MESSAGES
            .iter()
            .chain(&["status_message", "reason", "title"])
            .find_map(|name| members.get(*name).and_then(|member| find_message(member, depth + 1))),
        _ => None,
    }
}
