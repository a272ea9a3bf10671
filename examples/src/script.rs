//! How the examples take their arguments and how they end.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use saas_backup_core::{Error, ErrorKind, Result, RunReport, RunStatus};
use serde_json::{Map, Value};

/// The one argument of a script, a path; `default` without one.
///
/// # Errors
///
/// How to end: `--help` was printed, or the usage, because there was something else.
pub fn path_argument(help: &str, default: &str) -> std::result::Result<String, ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok(default.to_owned()),
        [path] if !path.starts_with('-') => Ok(path.clone()),
        [help_wanted] if help_wanted == "--help" || help_wanted == "-h" => {
            print!("{help}");
            Err(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("{help}");
            Err(ExitCode::from(2))
        }
    }
}

/// 0 when everything is there, 3 when something is missing, 4 when somebody should look, 1 for an error, which is told.
pub fn ended(run: Result<RunStatus>) -> ExitCode {
    match run {
        Ok(RunStatus::Complete) => ExitCode::SUCCESS,
        Ok(RunStatus::NeedsReview) => ExitCode::from(4),
        Ok(_) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what was written, what could not be read, and why.
pub fn tell(report: &RunReport) {
    for (collection, counts) in report.collections.iter().filter(|(_, counts)| counts.read > 0) {
        println!("{:>6}  {collection}, {} files", counts.written, counts.blobs);
    }
    for open in &report.gaps {
        println!("missing: {} {}", open.gap.collection, open.gap.problem.title);
    }
    for (feed, report) in &report.feeds {
        if let Some(problem) = &report.problem {
            let more = problem.detail.as_ref().map_or(String::new(), |more| format!(" ({more})"));
            println!("failed: {feed}: {}{more}", problem.title);
        }
    }
}

/// The settings in a JSON file; what begins with `$` is a variable of the environment.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] if the file is no JSON object, or a variable is not set.
pub fn settings(path: &Path) -> Result<Map<String, Value>> {
    let wrong =
        |message: &str| Error::new(ErrorKind::Configuration, message.to_owned()).with_context("file", path.display());
    let mut settings: Value =
        serde_json::from_slice(&std::fs::read(path)?).map_err(|_| wrong("the settings are no JSON"))?;
    fill(&mut settings)?;
    match settings {
        Value::Object(members) => Ok(members),
        _ => Err(wrong("the settings are no mapping")),
    }
}

fn fill(value: &mut Value) -> Result<()> {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix('$') {
                let unset = |_| Error::new(ErrorKind::Configuration, format!("{name} is not set; --help says more"));
                *text = env::var(name).map_err(unset)?;
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(fill),
        Value::Object(members) => members.values_mut().try_for_each(fill),
        _ => Ok(()),
    }
}
