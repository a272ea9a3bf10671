//! The saas-backup command: reads one TOML file, calls the library, prints.

mod args;
mod commands;
mod exit;
mod failure;
mod output;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind as ClapErrorKind;

use args::Cli;
use exit::Outcome;
use output::Output;

/// Threads for files, compression and encryption. The allocator keeps memory apart for each: more cost memory and gain no
/// time, as no more than a few work at once.
const BLOCKING_THREADS: usize = 8;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // That nobody reads the help is no failure.
            let _ = error.print();
            let asked = matches!(error.kind(), ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion);
            return if asked { Outcome::Done } else { Outcome::Usage }.into();
        }
    };
    let output = Output { json: cli.json, quiet: cli.quiet };
    log(cli.verbose);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.max_blocking_threads(BLOCKING_THREADS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.note(format_args!("error: the runtime cannot start: {error}"));
            return Outcome::Failed.into();
        }
    };
    let command = commands::name(&cli.command);
    let outcome = runtime.block_on(commands::run(cli, output));
    // Whatever still waits, such as a command that a setting names, must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(outcome) => outcome,
        Err(error) if output::is_hung_up(&error) => Outcome::Done,
        Err(error) => {
            failure::report(output, command, &error);
            failure::outcome(command, &error)
        }
    }
    .into()
}

/// Logs go to stderr; `SAAS_BACKUP_LOG` takes a filter and beats `-v`.
fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info,saas_backup=debug",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SAAS_BACKUP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(verbose > 1)
        .init();
}
