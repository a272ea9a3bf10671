//! An account as one file for years: a BagIt bag with RO-Crate metadata in a `.zip` or a `.tar.zst`.
//!
//! ```text
//! WORDPRESS_URL=https://blog.example.com WORDPRESS_USER=me WORDPRESS_PASSWORD='abcd efgh ijkl mnop' \
//!     cargo run -p examples --features bagit,wordpress --example archive_to_bagit -- blog-2026.zip
//! ```
//!
//! `--help` says more. Nothing on the site is changed.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::process::ExitCode;
use std::sync::Arc;

use examples::{account, script};
use saas_backup_core::{
    Connector, Error, ErrorKind, Result, RunStatus, SnapshotOptions, TransferOptions, WriteMode, transfer,
};
use saas_backup_formats::bagit::{self, BagItConfig, BagItConnector};
use saas_backup_formats::packed::{self, Packed};

const HELP: &str = "\
Puts an account into one file that opens without any program of ours, in ten years, too: records as the service gave them,
attachments, digests of everything, and a page that says what it is.

usage: archive_to_bagit [FILE]                 default: ./account.zip; a name that ends with .tar.zst is smaller
";

#[tokio::main]
async fn main() -> ExitCode {
    match script::path_argument(&format!("{HELP}{}", account::VARIABLES), "account.zip") {
        Ok(file) => script::ended(run(&file).await),
        Err(end) => end,
    }
}

async fn run(file: &str) -> Result<RunStatus> {
    let source = account::of_environment().await?;
    let archive = Packed::new(file, |folder| Ok(Arc::new(BagItConnector::new(BagItConfig::new(folder)))))?;

    let done = transfer(&source, &archive, TransferOptions::new(WriteMode::Overwrite)).await?;

    script::tell(&done.report);
    let found = packed::check(file.as_ref(), bagit::check)?;
    println!("{file}: a bag of {} files, {} faults", found.files, found.count);
    for finding in &found.findings {
        println!("fault: {}: {}", finding.file, finding.problem);
    }
    // What nobody has read back is no copy.
    let back = archive.snapshot(SnapshotOptions::default()).await?;
    println!("read back: {} collections", back.catalog().await?.collections.len());
    if !found.is_clean() {
        return Err(Error::new(ErrorKind::Integrity, "the bag has faults"));
    }
    Ok(done.report.status)
}
