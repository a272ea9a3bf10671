//! One account in every open format that there is, each checked: to see which one you want.
//!
//! ```text
//! WORDPRESS_URL=https://blog.example.com WORDPRESS_USER=me WORDPRESS_PASSWORD='abcd efgh ijkl mnop' \
//!     cargo run -p examples --features formats,wordpress --example export_everything -- everything
//! ```
//!
//! `--help` says more. Nothing on the site is changed. The formats are those of the registry: one of your own that you
//! add to it is among them.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use examples::{account, script};
use saas_backup::core::{Error, ErrorKind, Receipt, Result, RunStatus, TransferOptions, WriteMode, transfer};
use saas_backup::{Context, FormatEntry, Registry};

const HELP: &str = "\
Writes an account into a folder for each open format, looks through what it wrote, and says how large it is and what it
does not hold.

usage: export_everything [FOLDER]              default: ./everything; earlier exports there are replaced
";

#[tokio::main]
async fn main() -> ExitCode {
    match script::path_argument(&format!("{HELP}{}", account::VARIABLES), "everything") {
        Ok(folder) => script::ended(run(Path::new(&folder)).await),
        Err(end) => end,
    }
}

async fn run(folder: &Path) -> Result<RunStatus> {
    let registry = Registry::default();
    let context = Context::new(folder, folder);
    let open = |format: &FormatEntry| format.open(&folder.join(format.name()), &context);

    // The account is asked once; the other formats are made of the archive, which loses nothing.
    let archive = registry.find_format("jsonl")?;
    let source = account::of_environment().await?;
    let copy = open(archive)?;
    let read = transfer(&source, &copy, TransferOptions::new(WriteMode::Overwrite)).await?;
    script::tell(&read.report);

    let mut faults = 0;
    println!("\n{:<10} {:>7} {:>9} {:>7} {:>7}  what it is", "format", "files", "KiB", "faults", "ms");
    for format in registry.formats() {
        let begin = Instant::now();
        let receipt = if format.name() == archive.name() {
            read.receipt.clone()
        } else {
            transfer(&copy, &open(format)?, TransferOptions::new(WriteMode::Overwrite)).await?.receipt
        };
        let found = format.check(&folder.join(format.name()))?.unwrap_or_default();
        let Receipt { objects_added, bytes_added, .. } = receipt.unwrap_or_default();
        let (name, summary) = (format.name(), format.summary());
        let (kib, milliseconds) = (bytes_added.div_ceil(1024), begin.elapsed().as_millis());
        println!("{name:<10} {objects_added:>7} {kib:>9} {:>7} {milliseconds:>7}  {summary}", found.count);
        for finding in &found.findings {
            println!("  fault: {} {}: {}", finding.file, finding.at, finding.problem);
        }
        faults += found.count;
    }
    if faults > 0 {
        return Err(Error::new(ErrorKind::Integrity, "exports have faults, listed above"));
    }
    println!("\n{}: open what you like; docs/formats.md says what each carries and loses", folder.display());
    Ok(read.report.status)
}
