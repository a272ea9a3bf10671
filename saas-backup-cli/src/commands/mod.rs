//! One module a command; each parses nothing and decides nothing, but calls the library and prints.

mod alerts;
mod backup;
mod browse;
mod check;
mod config;
mod connectors;
mod diff;
mod drill;
mod erase;
mod export;
mod forget;
mod init;
mod inventory;
mod key;
mod maintain;
mod repair;
mod replicate;
mod restore;
mod serve;
mod stats;
mod status;
mod summary;
mod verify;

use std::path::{Path, PathBuf};

use saas_backup::core::{Error, ErrorKind, Result};
use saas_backup::{Config, Project};

use crate::args::{Cli, Command};
use crate::exit::Outcome;
use crate::output::Output;

/// Where the configuration is looked for.
const CONFIG: &str = "saas-backup.toml";

/// What every command gets.
pub(crate) struct Session {
    config: Option<PathBuf>,
    output: Output,
}

impl Session {
    fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(CONFIG))
    }

    fn project(&self) -> Result<Project> {
        let path = self.config_path();
        if self.config.is_none() && !path.exists() {
            return Err(Error::new(
                ErrorKind::Configuration,
                "there is no saas-backup.toml here; run `saas-backup init`, or name one with --config",
            ));
        }
        Project::open(Config::load(path)?)
    }
}

pub(crate) async fn run(cli: Cli, output: Output) -> Result<Outcome> {
    let session = Session { config: cli.config, output };
    match cli.command {
        Command::Keygen(args) => init::keygen(&session, &args),
        Command::Init(args) => init::init(&session, &args).await,
        Command::Key(args) => key::key(&session, &args).await,
        Command::Connectors(args) => connectors::connectors(&session, &args),
        Command::Config(args) => config::config(&session, &args).await,
        Command::Check(args) => check::check(&session, &args).await,
        Command::Backup(args) => backup::backup(&session, &args).await,
        Command::Snapshots(args) => browse::snapshots(&session, &args).await,
        Command::Ls(args) => browse::ls(&session, &args).await,
        Command::Show(args) => browse::show(&session, args).await,
        Command::Diff(args) => diff::diff(&session, args).await,
        Command::Completeness(args) => browse::completeness(&session, args).await,
        Command::Export(args) => export::export(&session, args).await,
        Command::Restore(args) => restore::restore(&session, args).await,
        Command::Drill(args) => drill::drill(&session, &args).await,
        Command::Import(args) => export::import(&session, &args).await,
        Command::Verify(args) => verify::verify(&session, &args).await,
        Command::Repair(args) => repair::repair(&session, &args).await,
        Command::Forget(args) => forget::forget(&session, &args).await,
        Command::Maintain(args) => maintain::maintain(&session, &args).await,
        Command::Erase(args) => erase::erase(&session, &args).await,
        Command::Erasures(args) => erase::erasures(&session, &args).await,
        Command::Replicate(args) => replicate::replicate(&session, &args).await,
        Command::Serve(args) => serve::serve(&session, &args).await,
        Command::Alerts(args) => alerts::alerts(&session, &args).await,
        Command::Stats(args) => stats::stats(&session, &args).await,
        Command::Inventory => inventory::inventory(&session).await,
        Command::Status => status::status(&session).await,
    }
}

/// The command's name, for hints.
pub(crate) fn name(command: &Command) -> &'static str {
    match command {
        Command::Keygen(_) => "keygen",
        Command::Init(_) => "init",
        Command::Key(_) => "key",
        Command::Connectors(_) => "connectors",
        Command::Config(_) => "config",
        Command::Check(_) => "check",
        Command::Backup(_) => "backup",
        Command::Snapshots(_) => "snapshots",
        Command::Ls(_) => "ls",
        Command::Show(_) => "show",
        Command::Diff(_) => "diff",
        Command::Completeness(_) => "completeness",
        Command::Export(_) => "export",
        Command::Restore(_) => "restore",
        Command::Drill(_) => "drill",
        Command::Import(_) => "import",
        Command::Verify(_) => "verify",
        Command::Repair(_) => "repair",
        Command::Forget(_) => "forget",
        Command::Maintain(_) => "maintain",
        Command::Erase(_) => "erase",
        Command::Erasures(_) => "erasures",
        Command::Replicate(_) => "replicate",
        Command::Serve(_) => "serve",
        Command::Alerts(_) => "alerts",
        Command::Stats(_) => "stats",
        Command::Inventory => "inventory",
        Command::Status => "status",
    }
}

/// The configured sources that were named, or all.
fn chosen(project: &Project, named: &[String]) -> Result<Vec<String>> {
    for name in named {
        project.config().source(name)?;
    }
    named_or_all(project, named)
}

/// The sources that were named, or all that are configured. Some may only be in the repository.
fn named_or_all(project: &Project, named: &[String]) -> Result<Vec<String>> {
    let chosen: Vec<String> =
        if named.is_empty() { project.source_names().map(str::to_owned).collect() } else { named.to_vec() };
    if chosen.is_empty() {
        return Err(Error::new(
            ErrorKind::Configuration,
            "the configuration has no [[source]]; `saas-backup connectors` says what to write",
        ));
    }
    Ok(chosen)
}
