use std::time::Duration;

use saas_backup_core::{Error, ErrorKind, Result, Retry};

use super::{Answer, Outgoing, Requester};
use crate::errors::{Action, ErrorHandler};
use crate::shared::Shared;

/// Longest time that one request may spend waiting to be repeated.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Sends a request until it is answered as the manifest wants, or its retries are spent.
pub(super) async fn send(requester: &Requester, shared: &Shared, outgoing: &Outgoing) -> Result<Answer> {
    let _turn = shared.cache.turn(requester.cached, outgoing).await;
    if let Some(held) = shared.cache.get(requester.cached, outgoing)? {
        return Ok(held);
    }
    let (mut attempt, mut waited) = (0, Duration::ZERO);
    loop {
        let sent = shared.transport.send(outgoing).await;
        let verdict = match &sent {
            Ok(answer) => requester.errors.judge(answer, shared)?,
            Err(error) if error.retry() == Retry::Never => return sent,
            Err(_) => ErrorHandler::unanswered(),
        };
        let asked = match verdict.action {
            Action::Success => {
                let answer = sent?;
                shared.cache.put(requester.cached, outgoing, &answer)?;
                return Ok(answer);
            }
            Action::Ignore => return Err(ignored(&sent?, verdict.message)),
            Action::Fail => return Err(refused(&sent?, verdict.message)),
            Action::Retry => false,
            Action::RateLimited => true,
        };
        let wait = requester.errors.wait(sent.as_ref().ok(), attempt, shared)?;
        if attempt >= requester.errors.retries() || waited + wait > LONGEST_WAIT {
            return Err(match sent {
                Ok(answer) => refused(&answer, verdict.message).with_retry(Retry::Backoff),
                Err(error) => error,
            });
        }
        tracing::debug!(attempt, milliseconds = wait.as_millis() as u64, "trying again");
        shared.transport.wait(wait, asked).await;
        waited += wait;
        attempt += 1;
    }
}

/// What the manifest says to pass over. It is told all the same: what was not read is not known to be empty.
fn ignored(answer: &Answer, message: Option<String>) -> Error {
    explained(Error::new(kind(answer.status), IGNORED).with_context("status", answer.status), message)
}

const IGNORED: &str =
    "the provider refuses this, and the manifest passes over it: leave the collection out if the account has none";

/// Whether an error is a refusal that the manifest says to pass over.
pub(crate) fn is_ignored(error: &Error) -> bool {
    error.message() == IGNORED
}

fn refused(answer: &Answer, message: Option<String>) -> Error {
    let error =
        Error::new(kind(answer.status), "the provider refuses the request").with_context("status", answer.status);
    explained(error, message)
}

fn explained(error: Error, message: Option<String>) -> Error {
    match message {
        Some(message) => error.with_context("manifest", message),
        None => error,
    }
}

fn kind(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        408 | 500.. => ErrorKind::Unavailable,
        400..500 => ErrorKind::Configuration,
        _ => ErrorKind::InvalidData,
    }
}
