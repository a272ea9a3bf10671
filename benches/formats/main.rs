//! Every format at the size that is asked for, and table formats against dlt and sqlite-utils.
//!
//! ```text
//! python3 -m venv VENV && VENV/bin/pip install 'dlt[filesystem,parquet]' sqlite-utils
//! cargo run --release -p benches --bin formats -- run FOLDER [--records 200000] [--only FORMAT,…] [--python VENV/bin/python]
//! ```
//!
//! Every step is a process of its own, measured by the operating system's account of it, and what it wrote is removed
//! when it was measured. Tables and archives get the records of `Workload` from files, without attachments, the other
//! formats records of the kinds that they are for, made while they are read. dlt reads the same lines from
//! the same files with Python's `json`, and writes to its destination `filesystem`; sqlite-utils inserts them with the
//! id as the key. Without `--python` only the project's own formats run.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use benches::measure::{self, held_below, measure};
use benches::{KindsConnector, Outcome, Part, Workload, WorkloadConnector};
use saas_backup_core::{Connector, TransferOptions, WriteMode, transfer};
use saas_backup_formats::auto::{AutoConfig, AutoConnector};
use saas_backup_formats::bagit::{BagItConfig, BagItConnector};
use saas_backup_formats::csv::{CsvConfig, CsvConnector};
use saas_backup_formats::files::{FilesConfig, FilesConnector};
use saas_backup_formats::git::{GitConfig, GitConnector};
use saas_backup_formats::html::{HtmlConfig, HtmlConnector};
use saas_backup_formats::ics::{IcsConfig, IcsConnector};
use saas_backup_formats::jsonl::{JsonlConfig, JsonlConnector};
use saas_backup_formats::mail::{MailConfig, MailConnector, MailLayout};
use saas_backup_formats::markdown::{MarkdownConfig, MarkdownConnector};
use saas_backup_formats::packed::Packed;
use saas_backup_formats::parquet::{ParquetConfig, ParquetConnector};
use saas_backup_formats::sqlite::{SqliteConfig, SqliteConnector};
use saas_backup_formats::vcf::{VcfConfig, VcfConnector};
use saas_backup_formats::wxr::{WxrConfig, WxrConnector};

/// What is measured, and its name in the table.
const FORMATS: [(&str, &str); 21] = [
    ("jsonl", "jsonl"),
    ("csv", "csv"),
    ("parquet", "parquet"),
    ("sqlite-plain", "sqlite with `full_text: false`"),
    ("sqlite", "sqlite"),
    ("bagit", "bagit"),
    ("bagit.zip", "bagit, `.zip`"),
    ("bagit.tar.zst", "bagit, `.tar.zst`"),
    ("html", "html"),
    ("markdown", "markdown"),
    ("markdown.zip", "markdown, `.zip`"),
    ("markdown.tar.zst", "markdown, `.tar.zst`"),
    ("wxr", "wxr"),
    ("ics", "ics"),
    ("vcf", "vcf"),
    ("eml", "eml"),
    ("mbox", "mbox"),
    ("maildir", "maildir"),
    ("files", "files"),
    ("git", "git"),
    ("auto", "auto"),
];
const OTHERS: [(&str, &str); 4] = [
    ("dlt-jsonl", "dlt, jsonl"),
    ("dlt-csv", "dlt, csv"),
    ("dlt-parquet", "dlt, parquet"),
    ("sqlite-utils", "sqlite-utils insert"),
];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/formats/others.py");

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", folder, rest @ ..] => {
            let (mut records, mut python, mut only) = (200_000, None, Vec::new());
            for pair in rest.chunks(2) {
                match pair {
                    ["--records", number] => records = number.parse()?,
                    ["--only", formats] => only.extend(formats.split(',')),
                    ["--python", path] => python = Some(std::path::absolute(path)?),
                    _ => return Err(format!("unknown option {pair:?}").into()),
                }
            }
            run(Path::new(folder), records, &only, python.as_deref())
        }
        ["export", format, folder, records] => export(format, Path::new(folder), records.parse()?),
        ["measure", result, "--", command @ ..] => measure::child(Path::new(result), command),
        _ => {
            println!("formats run FOLDER [--records N] [--only FORMAT,…] [--python PATH]");
            Ok(())
        }
    }
}

fn run(folder: &Path, records: u64, only: &[&str], python: Option<&Path>) -> Outcome<()> {
    let workload = Workload { records, attachments: 0, new_attachments: 0, ..Workload::default() };
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    if !folder.join("account").exists() {
        workload.write_base(&folder.join("account"))?;
    }
    let program = std::env::current_exe()?;
    let (program, at, count) = (program.display().to_string(), folder.display().to_string(), records.to_string());
    let wanted = |format: &str| only.is_empty() || only.contains(&format);
    println!("| what | CPU s | records a CPU second | peak MiB | files | MB |\n|---|--:|--:|--:|--:|--:|");
    for (format, name) in FORMATS.into_iter().filter(|(format, _)| wanted(format)) {
        row(&folder, records, &format!("saas-backup, {name}"), format, &[&program, "export", format, &at, &count])?;
    }
    let Some(python) = python.map(|path| path.display().to_string()) else { return Ok(()) };
    for (format, name) in OTHERS.into_iter().filter(|(format, _)| wanted(format)) {
        row(&folder, records, name, format, &[&python, SCRIPT, format, &at])?;
    }
    Ok(())
}

/// Measures one step and prints its row.
fn row(folder: &Path, records: u64, name: &str, target: &str, command: &[&str]) -> Outcome<()> {
    let target = folder.join(target);
    remove(&target)?;
    let cost = measure(folder, command, &[])?;
    let (files, bytes) = held_below(&target)?;
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let (rate, megabytes) = (records as f64 / cost.cpu, bytes as f64 / 1e6);
    println!("| {name} | {:.1} | {rate:.0} | {:.0} | {files} | {megabytes:.0} |", cost.cpu, cost.peak);
    remove(&target)
}

fn remove(path: &Path) -> Outcome<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    } else if path.exists() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn export(format: &str, folder: &Path, records: u64) -> Outcome<()> {
    let target = folder.join(format);
    let connector = connector(format, &target)?;
    // As the command does it.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()?;
    let made = |parts: &[Part]| -> Box<dyn Connector> { Box::new(KindsConnector::new(parts, records)) };
    let source = match format {
        "html" | "markdown" | "markdown.zip" | "markdown.tar.zst" | "wxr" => made(&[Part::Documents]),
        "ics" => made(&[Part::Events]),
        "vcf" => made(&[Part::Contacts]),
        "eml" | "mbox" | "maildir" => made(&[Part::Messages]),
        "files" => made(&[Part::Files]),
        "git" => made(&[Part::Repositories]),
        "auto" => made(&Part::ALL),
        _ => Box::new(WorkloadConnector::new(folder.join("account"), records)),
    };
    let done = runtime.block_on(transfer(&*source, &*connector, TransferOptions::new(WriteMode::Create)))?;
    println!("{:?}: {:?}", done.report.status, done.report.totals());
    Ok(())
}

fn connector(format: &str, target: &Path) -> Outcome<Arc<dyn Connector>> {
    let mail = |layout| Arc::new(MailConnector::new(layout, MailConfig::new(target)));
    Ok(match format {
        "jsonl" => Arc::new(JsonlConnector::new(JsonlConfig::new(target))),
        "csv" => Arc::new(CsvConnector::new(CsvConfig::new(target))),
        "parquet" => Arc::new(ParquetConnector::new(ParquetConfig::new(target))),
        "sqlite-plain" => Arc::new(SqliteConnector::new(SqliteConfig::new(target).with_full_text(false))),
        "sqlite" => Arc::new(SqliteConnector::new(SqliteConfig::new(target))),
        "bagit" => Arc::new(BagItConnector::new(BagItConfig::new(target))),
        "html" => Arc::new(HtmlConnector::new(HtmlConfig::new(target))),
        "markdown" => Arc::new(MarkdownConnector::new(MarkdownConfig::new(target))),
        "wxr" => Arc::new(WxrConnector::new(WxrConfig::new(target))),
        "ics" => Arc::new(IcsConnector::new(IcsConfig::new(target))),
        "vcf" => Arc::new(VcfConnector::new(VcfConfig::new(target))),
        "eml" => mail(MailLayout::Eml),
        "mbox" => mail(MailLayout::Mbox),
        "maildir" => mail(MailLayout::Maildir),
        "files" => Arc::new(FilesConnector::new(FilesConfig::new(target))),
        "git" => Arc::new(GitConnector::new(GitConfig::new(target))),
        "auto" => Arc::new(AutoConnector::new(AutoConfig::new(target))),
        _ => {
            let inner = format.split_once('.').map(|(inner, _)| inner.to_owned());
            let inner = inner.ok_or_else(|| format!("no such format: {format}"))?;
            let open = move |folder: &Path| connector(&inner, folder).map_err(|error| unknown(&*error));
            Arc::new(Packed::new(target, open)?)
        }
    })
}

fn unknown(error: &dyn Error) -> saas_backup_core::Error {
    saas_backup_core::Error::new(saas_backup_core::ErrorKind::Configuration, error.to_string())
}
