//! Runs a tap of Singer or a source of Airbyte into an encrypted repository: everything once, then what changed.
//!
//! ```text
//! BACKUP_URL=/backups/github cargo run --release -p examples --features bridges --example run_a_tap -- \
//!     --config settings.json tap-github
//! ```
//!
//! `--help` says more. Without a program it runs a tap of its own, a shell script of a few lines, so that you see what
//! comes out, and what a second run asks for.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use examples::{keyed, script};
use saas_backup_connectors::airbyte::{Airbyte, AirbyteConfig};
use saas_backup_connectors::singer::{Singer, SingerConfig};
use saas_backup_core::{Connector, Result, RunStatus, TransferOptions, transfer};
use saas_backup_repository::Source;
use serde_json::Map;

const HELP: &str = "\
Backs up what a tap of Singer or a source of Airbyte reads, into an encrypted repository.

usage: run_a_tap [--airbyte] [--config FILE] [--key FILE] [PROGRAM [ARGUMENT]...]

  PROGRAM              a tap, such as tap-github, and its first arguments. Without one a demo is taken
  --airbyte            the program is a source of Airbyte, such as source-faker
  --config FILE        the settings that the program asks for, as JSON: the file that it takes anyway. A value such as
                       \"$API_KEY\" is taken from the environment
  --key FILE           the key that reads the backup; default: backup.key, which the first run makes.
                       Keep a copy of it where the backup is not: whoever loses it loses the backup

  BACKUP_URL           where the repository is; default: the folder ./backup
  SETTINGS_FILE        where settings are kept that the program replaces, such as a refresh token

Ends with 0 when everything is in the copy, with 3 when something is missing, and with 4 when so much has disappeared
that somebody should look before it is recorded as deleted.
";

/// The tap of the demo: notes, from the one after its state on; the second run finds two more.
const DEMO: &str = r#"#!/bin/sh
here=$(dirname "$0")
while [ $# -gt 0 ]; do
    case $1 in
    --discover) exec echo '{"streams": [{"tap_stream_id": "notes", "key_properties": ["id"], "schema": {"type": "object"}}]}' ;;
    --state) state=$2 ;;
    esac
    shift
done
n=0
[ -n "$state" ] && n=$(sed 's/[^0-9]//g' "$state")
last=$((n == 0 ? 5 : 7))
echo '{"type": "SCHEMA", "stream": "notes", "key_properties": ["id"], "schema": {"type": "object"}}'
while [ "$n" -lt "$last" ]; do
    n=$((n + 1))
    echo "{\"type\": \"RECORD\", \"stream\": \"notes\", \"record\": {\"id\": $n, \"title\": \"Note $n\"}}"
done
echo "{\"type\": \"STATE\", \"value\": {\"last\": $n}}"
"#;

struct Arguments {
    airbyte: bool,
    config: Option<PathBuf>,
    key: String,
    program: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match arguments() {
        Some(arguments) => script::ended(run(arguments).await),
        None if env::args().any(|argument| argument == "--help" || argument == "-h") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        None => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Option<Arguments> {
    let mut read = Arguments { airbyte: false, config: None, key: "backup.key".to_owned(), program: Vec::new() };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--airbyte" => read.airbyte = true,
            "--config" => read.config = Some(arguments.next()?.into()),
            "--key" => read.key = arguments.next()?,
            program if !program.starts_with('-') => {
                read.program.push(program.to_owned());
                read.program.extend(arguments.by_ref());
            }
            _ => return None,
        }
    }
    Some(read)
}

async fn run(arguments: Arguments) -> Result<RunStatus> {
    let url = env::var("BACKUP_URL").unwrap_or_else(|_| "backup".to_owned());
    let copy = keyed::repository(&url, Path::new(&arguments.key)).await?.source("account")?;
    if arguments.program.is_empty() {
        eprintln!("no program is given: taking the demo instead (--help says more)\n");
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("tap-demo");
        std::fs::write(&script, DEMO)?;
        let tap = Singer::new(SingerConfig::new(["sh".to_owned(), script.display().to_string()]));
        back_up(&tap, &copy).await?;
        return back_up(&tap, &copy).await;
    }
    let settings = arguments.config.as_deref().map_or(Ok(Map::new()), script::settings)?;
    let kept = env::var_os("SETTINGS_FILE").map(PathBuf::from);
    if arguments.airbyte {
        let mut config = AirbyteConfig::new(arguments.program);
        (config.config, config.config_file) = (settings, kept);
        return back_up(&Airbyte::new(config), &copy).await;
    }
    let mut config = SingerConfig::new(arguments.program);
    (config.config, config.config_file) = (settings, kept);
    back_up(&Singer::new(config), &copy).await
}

async fn back_up(account: &dyn Connector, copy: &Source) -> Result<RunStatus> {
    let done = transfer(account, copy, TransferOptions::backup()).await?;
    script::tell(&done.report);
    if let Some(point) = copy.points().await?.last() {
        println!("point in time {}: {}", point.sequence, point.finished);
    }
    Ok(done.report.status)
}
