//! Writes a copy back into the account that it was made of, or into another one.
//!
//! ```text
//! cargo run --release --example restore_an_account -p examples --features facade -- --help
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;

use examples::{demo, held, project, script};
use saas_backup::core::{
    At, Connector as _, Error, ErrorKind, ManualClock, Result, RunStatus, SnapshotOptions, TransferOptions, WriteMode,
};
use saas_backup::{Config, Project, Restored, Settings, SourceConfig, parse_at};
use secrecy::ExposeSecret as _;

const HELP: &str = "\
Writes a copy back into the account that it was made of, or into another one.

usage: restore_an_account CONFIG SOURCE INTO [create|merge|overwrite] [--at TIME] [--for-real]

CONFIG      a saas-backup.toml; its environment variables hold the credentials
SOURCE      the source whose copy is read
INTO        the source whose account is written; may be the same
create      adds everything as new; merge (default) adds what is not there; overwrite replaces what is
--at        a time, a sequence number, a label, latest~3. Default: the latest point
--for-real  without it nothing is written, and what would be is said

Without arguments: backs up a demo service that runs inside this program, has a notebook's notes deleted there by mistake,
brings them back, and moves the whole account to a second service.
";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        [] => show().await,
        ["--help" | "-h", ..] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        [config, source, into, options @ ..] => restore(config, source, into, options).await,
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    script::ended(ended)
}

async fn restore(config: &str, source: &str, into: &str, options: &[&str]) -> Result<RunStatus> {
    let (mut mode, mut at, mut dry_run) = (WriteMode::Merge, At::Now, true);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "create" => mode = WriteMode::Create,
            "merge" => mode = WriteMode::Merge,
            "overwrite" => mode = WriteMode::Overwrite,
            "--for-real" => dry_run = false,
            "--at" => at = parse_at(options.next().ok_or_else(|| usage("--at takes a time"))?)?,
            _ => return Err(usage("an option is not known")),
        }
    }
    let project = Project::open(Config::load(config)?)?;
    let options = TransferOptions::new(mode).with_at(at).with_dry_run(dry_run);
    let restored = project.restore(source, into, options).await?;
    tell(&restored, dry_run);
    Ok(restored.transferred.report.status)
}

fn usage(message: &'static str) -> Error {
    Error::new(ErrorKind::Configuration, message).with_context("see", "--help")
}

/// What was written, under which names, what was left alone and what did not arrive.
fn tell(restored: &Restored, dry_run: bool) {
    let report = &restored.transferred.report;
    let verb = if dry_run { "would be written" } else { "written" };
    for (collection, counts) in &report.collections {
        println!(
            "  {collection}: {} {verb}, {} left alone, {} refused",
            counts.written, counts.skipped, counts.rejected
        );
    }
    for (collection, losses) in &report.losses {
        for (what, count) in losses {
            println!("  {collection}: {what} ({count} times)");
        }
    }
    let renamed: Vec<_> = restored.ids.iter().filter(|(from, to)| from != to).collect();
    if let Some((from, to)) = renamed.first() {
        println!("  {} new ids, such as {to} for {from}", renamed.len());
    }
}

async fn show() -> Result<RunStatus> {
    let folder = tempfile::tempdir()?;
    let clock = ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap_or_default());
    let (service, second) = (demo::start().await?, demo::empty().await?);
    let project = project::open(folder.path(), &service, clock, None).await?;
    project.backup("notes", TransferOptions::backup()).await?;
    let before = texts(&service).await?;
    println!("backed up: {} records", before.values().sum::<u64>());

    println!("\nthree notes are deleted by mistake, and one is overwritten");
    for id in ["n_03", "n_05", "n_07"] {
        service.delete_note(id)?;
    }
    service.edit_note("n_09", "asdf")?;
    println!("what a restore would do:");
    let options = TransferOptions::new(WriteMode::Overwrite).with_dry_run(true);
    tell(&project.restore("notes", "notes", options).await?, true);
    println!("what it does:");
    let restored = project.restore("notes", "notes", TransferOptions::new(WriteMode::Overwrite)).await?;
    tell(&restored, false);
    same(&before, &texts(&service).await?)?;
    println!("the account holds what it held");

    println!("\nthe account moves to another service");
    let settings = Settings::new()
        .with("url", second.url())
        .with("token", second.token().expose_secret())
        .with("allow_private_addresses", true)
        .with("origin_account", "demo, before it moved");
    let mut config = project.config().clone();
    config.sources.push(SourceConfig::new("moved", "open-export", settings)?);
    let project = Project::open(config)?;
    let restored = project.restore("notes", "moved", TransferOptions::new(WriteMode::Create)).await?;
    tell(&restored, false);
    same(&before, &texts(&second).await?)?;
    println!("it holds the same");
    Ok(restored.transferred.report.status)
}

/// What an account holds, however it is named: how often each text is there.
async fn texts(service: &demo::Demo) -> Result<BTreeMap<String, u64>> {
    let snapshot = service.connector()?.snapshot(SnapshotOptions::default()).await?;
    let mut texts = BTreeMap::new();
    for (key, text) in held::records(&*snapshot).await? {
        *texts.entry(format!("{} {text}", key.collection)).or_default() += 1;
    }
    Ok(texts)
}

fn same(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Result<()> {
    if before == after {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "the account does not hold what it held"))
}
