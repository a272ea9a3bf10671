//! Lists every place where data lives, who answers for it, what protects it, and what the provider's own backups are worth: a
//! CSV for whoever asks.
//!
//! ```text
//! cargo run --release --example inventory -p examples --features facade -- --help
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::path::Path;
use std::process::ExitCode;

use examples::{demo, project, script};
use saas_backup::core::{ManualClock, Result, RunStatus, TransferOptions};
use saas_backup::{Config, InventoryItem, Project, StoreConfig};

const HELP: &str = "\
Prints the inventory of a saas-backup.toml as CSV: its sources, and each [[store]] that nothing protects.

usage: inventory [CONFIG]

Takes no identity, and asks no account. Ends with 3 if something is not protected.

Without CONFIG: backs a demo service up, and declares a wiki and a database that nobody backs up.
";

#[tokio::main]
async fn main() -> ExitCode {
    let listed = match script::path_argument(HELP, "") {
        Ok(config) if config.is_empty() => return script::ended(show().await.map(|_| RunStatus::Complete)),
        Ok(config) => list(Path::new(&config)).await,
        Err(end) => return end,
    };
    let status = |protected| if protected { RunStatus::Complete } else { RunStatus::Incomplete };
    script::ended(listed.map(status))
}

/// Prints what a configuration names; says whether all of it is protected.
async fn list(config: &Path) -> Result<bool> {
    Ok(print(&Project::open(Config::load(config)?)?.inventory().await?))
}

async fn show() -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let service = demo::start().await?;
    let clock = ManualClock::new("2026-11-01T12:00:00Z".parse().unwrap_or_default());
    let project = project::open(folder.path(), &service, clock, None).await?;
    project.backup("notes", TransferOptions::backup()).await?;
    let mut config = project.config().clone();
    config.stores = vec![StoreConfig::new("wiki", "notion"), StoreConfig::new("orders", "rds")];
    Ok(print(&Project::open(config)?.inventory().await?))
}

fn print(items: &[InventoryItem]) -> bool {
    println!("store,kind,owner,protected,points,records,bytes,rpo,age,rto,rto_measured,by_itself");
    for item in items {
        let copies = item.copies.as_ref();
        let of = |value: Option<String>| value.unwrap_or_default();
        let row = [
            item.name.clone(),
            item.kind.clone(),
            of(item.owner.clone()),
            item.protected.to_string(),
            of(copies.map(|copies| copies.points.to_string())),
            of(copies.and_then(|copies| copies.records).map(|records| records.to_string())),
            of(copies.map(|copies| copies.stored.to_string())),
            of(copies.and_then(|copies| copies.rpo).map(|rpo| rpo.to_string())),
            of(copies.and_then(|copies| copies.age).map(|age| age.to_string())),
            of(copies.and_then(|copies| copies.rto).map(|rto| rto.to_string())),
            of(copies.and_then(|copies| copies.rto_measured).map(|rto| rto.to_string())),
            of(item.own_backup.map(|own| own.says.to_owned())),
        ];
        println!("{}", row.map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).join(","));
    }
    items.iter().all(|item| item.protected)
}
