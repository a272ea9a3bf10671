//! How the examples take their arguments and how they end.

use std::env;
use std::process::ExitCode;

use saas_backup_core::{Result, RunReport, RunStatus};

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

/// Says what was written, and what could not be read.
pub fn tell(report: &RunReport) {
    for (collection, counts) in report.collections.iter().filter(|(_, counts)| counts.read > 0) {
        println!("{:>6}  {collection}, {} files", counts.written, counts.blobs);
    }
    for open in &report.gaps {
        println!("missing: {} {}", open.gap.collection, open.gap.problem.title);
    }
}
