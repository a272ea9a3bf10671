//! An account as one SQLite database, opened in Datasette: tables with their relationships, full-text search, SQL.
//!
//! ```text
//! WORDPRESS_URL=https://blog.example.com WORDPRESS_USER=me WORDPRESS_PASSWORD='abcd efgh ijkl mnop' \
//!     cargo run -p examples --features datasette,wordpress --example open_in_datasette -- blog
//! ```
//!
//! `--help` says more. Nothing on the site is changed.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::path::Path;
use std::process::{Command, ExitCode};

use examples::{account, script};
use saas_backup_core::{Error, ErrorKind, Result, RunStatus, TransferOptions, WriteMode, transfer};
use saas_backup_formats::sqlite::{SqliteConfig, SqliteConnector};

const HELP: &str = "\
Writes an account into an SQLite database, with foreign keys and full-text search, and a description of it for Datasette.

usage: open_in_datasette [FOLDER]              default: ./database; an earlier one there is replaced

  DATASETTE=1          start Datasette on it until it is stopped; without it, the command is printed
";

#[tokio::main]
async fn main() -> ExitCode {
    match script::path_argument(&format!("{HELP}{}", account::VARIABLES), "database") {
        Ok(folder) => script::ended(run(Path::new(&folder)).await),
        Err(end) => end,
    }
}

async fn run(folder: &Path) -> Result<RunStatus> {
    let source = account::of_environment().await?;
    let database = SqliteConnector::new(SqliteConfig::new(folder));

    let done = transfer(&source, &database, TransferOptions::new(WriteMode::Overwrite)).await?;

    script::tell(&done.report);
    let found = database.check_content().await?;
    println!("{}: {} faults", folder.display(), found.count);
    let (database, metadata) = (folder.join("archive.db"), folder.join("metadata.json"));
    if std::env::var("DATASETTE").is_ok_and(|answer| answer == "1") {
        let ended = Command::new("datasette").arg(&database).arg("--metadata").arg(&metadata).status();
        let ended = ended.map_err(|error| {
            Error::new(ErrorKind::NotFound, "Datasette is not installed: `pip install datasette`").with_source(error)
        })?;
        println!("Datasette ended: {ended}");
    } else {
        println!("datasette {} --metadata {}", database.display(), metadata.display());
    }
    Ok(done.report.status)
}
