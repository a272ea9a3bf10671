//! House checks of this workspace: `cargo xtask --help`.

mod api;
mod bans;
mod duplicates;
mod examples;
mod features;
mod layers;
mod licences;
mod metadata;
mod signature;
mod words;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use metadata::Metadata;

const HELP: &str = "\
usage: cargo xtask check [--features] [--api]   all quick checks; the options add the slow ones
       cargo xtask CHECK…                       licences, bans, duplicates, layers, examples, words, features
       cargo xtask api [--bless]                compares each library's public items with its public-api.txt;
                                                --bless writes the files
";

/// The checks that take a moment.
const QUICK: &[&str] = &["licences", "bans", "duplicates", "layers", "examples", "words"];

/// Duplicates are counted where most of the users' servers and our checks run: other platforms bring their own.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

fn main() -> ExitCode {
    // Cargo calls this program in place of rustdoc while it lists the public items.
    if env::var_os(api::WRAPPER).is_some() {
        return api::rustdoc(env::args_os().skip(1));
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(problems) => {
            eprintln!("{problems} problem{}", if problems == 1 { "" } else { "s" });
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the arguments ask for; returns the number of problems.
fn run(arguments: &[String]) -> Result<usize, String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let checks: Vec<&str> = match words.as_slice() {
        ["check", options @ ..] => {
            let mut checks = QUICK.to_vec();
            for option in options {
                checks.push(match *option {
                    "--features" => "features",
                    "--api" => "api",
                    _ => return Err(HELP.to_owned()),
                });
            }
            checks
        }
        ["api", "--bless"] => vec!["bless"],
        [] | ["-h" | "--help" | "help"] => return Err(HELP.to_owned()),
        checks => checks.to_vec(),
    };
    let metadata = Metadata::load(None)?;
    let mut count = 0;
    for name in checks {
        let problems = check(name, &metadata)?;
        eprintln!("{name}: {}", if problems.is_empty() { "ok" } else { "FAILED" });
        for problem in &problems {
            eprintln!("  {problem}");
        }
        count += problems.len();
    }
    Ok(count)
}

/// Runs one check by its name.
fn check(name: &str, metadata: &Metadata) -> Result<Vec<String>, String> {
    let read = |path: &str| fs::read_to_string(metadata.root.join(path)).map_err(|error| format!("{path}: {error}"));
    Ok(match name {
        "licences" => licences::check(metadata),
        "bans" => bans::check(metadata),
        "duplicates" => duplicates::check(&Metadata::load(Some(PLATFORM))?, &read("xtask/duplicates.txt")?),
        "layers" => layers::check(metadata),
        "examples" => examples::check(metadata, &read("testing/examples.txt")?),
        "words" => words::check(&metadata.root)?,
        "features" => features::check(metadata)?,
        "api" => api::check(metadata)?,
        "bless" => api::bless(metadata)?,
        _ => return Err(format!("there is no check \"{name}\"\n{HELP}")),
    })
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
