//! Table formats against dlt and sqlite-utils, on one deterministic account without attachments.
//!
//! ```text
//! python3 -m venv VENV && VENV/bin/pip install 'dlt[filesystem,parquet]' sqlite-utils
//! cargo run --release -p benches --bin formats -- run FOLDER --python VENV/bin/python [--records 200000]
//! ```
//!
//! Every step is a process of its own, measured by the operating system's account of it. dlt reads the same lines from
//! the same files with Python's `json`, and writes to its destination `filesystem`; sqlite-utils inserts them with the
//! id as the key. Without `--python` only the project's own formats run.
#![allow(clippy::print_stdout, reason = "a program prints")]

#[path = "../compare/measure.rs"]
mod measure;

use std::error::Error;
use std::path::Path;

use benches::{Workload, WorkloadConnector};
use saas_backup_core::{Connector, TransferOptions, WriteMode, transfer};
use saas_backup_formats::csv::{CsvConfig, CsvConnector};
use saas_backup_formats::jsonl::{JsonlConfig, JsonlConnector};
use saas_backup_formats::parquet::{ParquetConfig, ParquetConnector};
use saas_backup_formats::sqlite::{SqliteConfig, SqliteConnector};

use measure::{bytes_below, measure};

type Outcome<T> = Result<T, Box<dyn Error>>;

const FORMATS: [(&str, &str); 5] = [
    ("jsonl", "jsonl"),
    ("csv", "csv"),
    ("parquet", "parquet"),
    ("sqlite-plain", "sqlite with `full_text: false`"),
    ("sqlite", "sqlite"),
];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/formats/others.py");

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", folder, rest @ ..] => {
            let (mut records, mut python) = (200_000, None);
            for pair in rest.chunks(2) {
                match pair {
                    ["--records", number] => records = number.parse()?,
                    ["--python", path] => python = Some(std::path::absolute(path)?),
                    _ => return Err(format!("unknown option {pair:?}").into()),
                }
            }
            run(Path::new(folder), records, python.as_deref())
        }
        ["export", format, folder, records] => export(format, Path::new(folder), records.parse()?),
        ["measure", result, "--", command @ ..] => measure::child(Path::new(result), command),
        _ => {
            println!("formats run FOLDER [--records N] [--python PATH]");
            Ok(())
        }
    }
}

fn run(folder: &Path, records: u64, python: Option<&Path>) -> Outcome<()> {
    let workload = Workload { records, attachments: 0, new_attachments: 0, ..Workload::default() };
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    if !folder.join("account").exists() {
        workload.write_base(&folder.join("account"))?;
    }
    let program = std::env::current_exe()?;
    let (program, at, count) = (program.display().to_string(), folder.display().to_string(), records.to_string());
    println!("| what | CPU s | records a CPU second | peak MiB | MB written |\n|---|--:|--:|--:|--:|");
    for (format, name) in FORMATS {
        row(&folder, records, &format!("saas-backup, {name}"), format, &[&program, "export", format, &at, &count])?;
    }
    let Some(python) = python.map(|path| path.display().to_string()) else { return Ok(()) };
    for (format, name) in [
        ("dlt-jsonl", "dlt, jsonl"),
        ("dlt-csv", "dlt, csv"),
        ("dlt-parquet", "dlt, parquet"),
        ("sqlite-utils", "sqlite-utils insert"),
    ] {
        row(&folder, records, name, format, &[&python, SCRIPT, format, &at])?;
    }
    Ok(())
}

/// Measures one step and prints its row.
fn row(folder: &Path, records: u64, name: &str, target: &str, command: &[&str]) -> Outcome<()> {
    let target = folder.join(target);
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let cost = measure(folder, command, &[])?;
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let (rate, megabytes) = (records as f64 / cost.cpu, bytes_below(&target)? as f64 / 1e6);
    println!("| {name} | {:.1} | {rate:.0} | {:.0} | {megabytes:.0} |", cost.cpu, cost.peak);
    Ok(())
}

fn export(format: &str, folder: &Path, records: u64) -> Outcome<()> {
    let target = folder.join(format);
    let connector: Box<dyn Connector> = match format {
        "jsonl" => Box::new(JsonlConnector::new(JsonlConfig::new(target))),
        "csv" => Box::new(CsvConnector::new(CsvConfig::new(target))),
        "parquet" => Box::new(ParquetConnector::new(ParquetConfig::new(target))),
        "sqlite-plain" => Box::new(SqliteConnector::new(SqliteConfig::new(target).with_full_text(false))),
        "sqlite" => Box::new(SqliteConnector::new(SqliteConfig::new(target))),
        _ => return Err(format!("no such format: {format}").into()),
    };
    // As the command does it.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()?;
    let source = WorkloadConnector::new(folder.join("account"), records);
    let done = runtime.block_on(transfer(&source, &*connector, TransferOptions::new(WriteMode::Create)))?;
    println!("{:?}: {:?}", done.report.status, done.report.totals());
    Ok(())
}
