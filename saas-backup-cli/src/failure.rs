//! How a failure is told: what, why, and what to do next.

use std::error::Error as _;
use std::fmt::Write as _;

use saas_backup::core::{Error, ErrorKind};
use serde_json::json;

use crate::exit::Outcome;
use crate::output::Output;

/// The exit code of a failed command. A place that is taken is only another run's where runs exclude each other.
pub(crate) fn outcome(command: &str, error: &Error) -> Outcome {
    let outcome = Outcome::of_error(error);
    let runs =
        matches!(command, "backup" | "import" | "restore" | "serve" | "forget" | "maintain" | "replicate" | "repair");
    if outcome == Outcome::Conflict && !runs { Outcome::Failed } else { outcome }
}

pub(crate) fn report(output: Output, command: &str, error: &Error) {
    let hint = hint(command, error);
    if output.json {
        let context: serde_json::Map<String, serde_json::Value> =
            error.context().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let object = json!({
            "error": { "kind": error.kind().as_str(), "message": error.message(), "context": context, "hint": hint }
        });
        // The exit code still tells if stdout is closed.
        let _ = output.object(&object);
    }
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, "\n  because: {cause}");
        source = cause.source();
    }
    if let Some(hint) = hint {
        let _ = write!(text, "\n  next: {hint}");
    }
    Output { quiet: false, ..output }.note(text);
}

/// What the user can do about it.
fn hint(command: &str, error: &Error) -> Option<&'static str> {
    let about = |name: &str| error.context().any(|(context, _)| context == name);
    let upkeep = matches!(command, "forget" | "maintain");
    Some(match error.kind() {
        ErrorKind::Configuration if about("configured") => "name a source that saas-backup.toml configures",
        ErrorKind::Configuration if about("built in") => "`saas-backup connectors` lists what this build has",
        ErrorKind::NotFound if about("points") => "`saas-backup snapshots` lists the points in time",
        ErrorKind::Unauthenticated => "look at the credentials of the source, then run `saas-backup check`",
        ErrorKind::PermissionDenied if upkeep => "it takes the identity of an owner who may maintain",
        ErrorKind::PermissionDenied if command == "key" => "`saas-backup key list` says who may what",
        ErrorKind::PermissionDenied => "`saas-backup check` says what the credentials and keys allow",
        ErrorKind::RateLimited | ErrorKind::Unavailable if command == "backup" => {
            "run it again later: it goes on where it stopped"
        }
        ErrorKind::RateLimited | ErrorKind::Unavailable => "run it again later",
        ErrorKind::Integrity if command == "verify" || command == "repair" => {
            "keep what there is, and restore from another copy"
        }
        ErrorKind::Integrity => "run `saas-backup verify` to see what is damaged",
        ErrorKind::Conflict if command == "backup" => "wait for the other run; `saas-backup status` shows it",
        ErrorKind::Conflict if upkeep => "run it again: it builds on what the other one did",
        ErrorKind::Conflict if command == "replicate" => {
            "leave what is there as it is, and name an empty place: a copy follows one repository, and nobody else writes to it"
        }
        ErrorKind::Conflict if command == "repair" => "name a copy of this repository",
        ErrorKind::Conflict if command == "key" => "look at what is there, then run it again",
        ErrorKind::Conflict if command == "export" => "choose another place, or add --overwrite",
        ErrorKind::UnsupportedVersion => "a newer saas-backup wrote this: upgrade",
        ErrorKind::StorageFull => "make room and run it again: nothing that was stored is lost",
        ErrorKind::Cancelled if matches!(command, "backup" | "maintain" | "replicate" | "repair") => {
            "the next run goes on where this one stopped"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maintainer_that_lost_says_so_and_what_to_do() {
        let error = Error::new(ErrorKind::Conflict, "somebody else was faster");
        for (command, code) in [("forget", 6), ("maintain", 6), ("replicate", 6), ("backup", 6), ("export", 1)] {
            assert_eq!(outcome(command, &error).code(), code, "{command}");
        }
        assert!(hint("forget", &error).unwrap().contains("run it again"));
        let error = Error::new(ErrorKind::PermissionDenied, "no");
        assert!(hint("maintain", &error).unwrap().contains("owner"));
    }
}
