//! The whole of saas-backup in one program: a SaaS is backed up, changes, is backed up again, verified and read.
//!
//! ```text
//! cargo run --release --example quickstart -p examples [-- FOLDER]
//! ```
//!
//! The SaaS is a small notes service inside this program that speaks the Open Export Protocol on loopback; everything
//! else is what you would use on an account of your own.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use examples::demo;
use futures::TryStreamExt as _;
use saas_backup_core::{
    At, Connector, Error, ErrorKind, Key, Result, RunStatus, TransferOptions, Transferred, WriteMode, transfer,
};
use saas_backup_formats::markdown::{MarkdownConfig, MarkdownConnector};
use saas_backup_repository::{ChangeKind, Identity, Keys, Repository, RepositoryOptions, Source, VerifyOptions};
use secrecy::ExposeSecret as _;

const HELP: &str = "\
quickstart [FOLDER]

Backs up a demo SaaS that runs inside this program, changes it, backs it up again, shows what changed, verifies the
repository, brings back one record as it was, and writes a folder of Markdown.

FOLDER   where to put it all; must not exist or be empty. Default: ./saas-backup-quickstart

With an account of your own:
  wordpress_to_markdown   a WordPress site as a folder of Markdown
  backup_to_s3            an encrypted repository in a bucket
  saas-backup init        the command, with one TOML file";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = match arguments.as_slice() {
        [] => "saas-backup-quickstart",
        [folder] if !folder.starts_with('-') => folder,
        [help] if help == "--help" || help == "-h" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(folder).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(folder: &str) -> Result<()> {
    let folder = empty_folder(folder)?;

    let service = demo::start().await?;
    println!("A notes service with one account runs on {}.\n", service.url());

    println!("1. A repository, encrypted to a key that only you hold");
    let identity = Identity::generate();
    write_key(&folder.join("me.key"), identity.to_file().expose_secret())?;
    let url = format!("file://{}", folder.join("repository").display());
    fs::create_dir_all(folder.join("repository"))?;
    let options = RepositoryOptions::parse(&url)?.with_keys(Keys::owner(identity));
    let notes = Repository::init(options).await?.source("notes")?;
    println!("   me.key opens it: without that file nobody can read the backup, you included\n");

    println!("2. A full backup");
    let account = service.connector()?;
    let first = back_up(&account, &notes).await?;
    for (name, counts) in &first.report.collections {
        println!("   {:>4} {name}", counts.written);
    }

    println!("\n3. People work: one note is rewritten, one is deleted, one gets a file");
    service.edit_note("n_01", "Flour, water, salt, and *three* days.")?;
    service.delete_note("n_24")?;
    service.attach("n_31", "bench.txt", "text/plain", "oak 4 x 120 cm\nbeech 4 x 70 cm\n")?;

    println!("\n4. An incremental backup moves only that");
    back_up(&account, &notes).await?;

    println!("\n5. What changed between the two points in time");
    let mut changes = notes.diff(&At::Back(1), &At::Now).await?;
    while let Some(change) = changes.try_next().await? {
        let sign = match change.kind {
            ChangeKind::Added => "+",
            ChangeKind::Removed => "-",
            _ => "~",
        };
        println!("   {sign} {}", change.key);
    }

    println!("\n6. Every byte read back and checked");
    let verified = notes.verify(&VerifyOptions::read_all(), &mut |_| ()).await?;
    println!("   {} objects, {} bytes, {} problems", verified.objects, verified.bytes, verified.problems.len());
    if !verified.is_good() {
        return Err(Error::new(ErrorKind::Integrity, "the repository is damaged"));
    }

    println!("\n7. The rewritten note, as it was");
    let key = Key::parse("notes", "n_01")?;
    let old = notes.record(&key, &At::Back(1)).await?;
    let old = old.ok_or_else(|| Error::new(ErrorKind::NotFound, "the note is not in the first point"))?;
    let text: String = old.data.member("body")?.unwrap_or_default();
    println!("   {}", text.lines().next().unwrap_or_default());
    let restored = folder.join("n_01.json");
    fs::write(&restored, old.data.as_bytes())?;

    println!("\n8. The first point in time as a folder of Markdown");
    let vault = MarkdownConnector::new(MarkdownConfig::new(folder.join("markdown")));
    let options = TransferOptions::new(WriteMode::Create).with_at(At::Back(1));
    let exported = transfer(&notes, &vault, options).await?;
    println!("   {} records written", exported.report.totals().written);

    println!("\nLook at it:");
    for (what, path) in [
        ("the notes, in any Markdown editor", folder.join("markdown")),
        ("the deleted one is still there", folder.join("markdown")),
        ("the note as it was", restored),
        ("the repository: age files of zstd frames of JSON lines", folder.join("repository")),
    ] {
        println!("   {:55} {}", what, path.display());
    }
    println!("\nWith an account of your own: quickstart --help");
    Ok(())
}

/// One run, with what it moved and how long it took.
async fn back_up(account: &dyn Connector, notes: &Source) -> Result<Transferred> {
    let started = Instant::now();
    let done = transfer(account, notes, TransferOptions::backup()).await?;
    let (counts, receipt) = (done.report.totals(), done.receipt.clone().unwrap_or_default());
    println!(
        "   {} records, {} deletions, {} attachments of {} bytes in {} ms; {} bytes added; {}",
        counts.written,
        counts.deleted,
        counts.blobs,
        counts.blob_bytes,
        started.elapsed().as_millis(),
        receipt.bytes_added,
        if done.report.status == RunStatus::Complete { "complete" } else { "NOT complete" },
    );
    Ok(done)
}

fn empty_folder(path: &str) -> Result<PathBuf> {
    fs::create_dir_all(path)?;
    if fs::read_dir(path)?.next().is_some() {
        return Err(Error::new(ErrorKind::Configuration, "the folder is not empty: remove it or name another one")
            .with_context("folder", path));
    }
    Ok(fs::canonicalize(path)?)
}

/// Writes a secret for its owner alone.
fn write_key(path: &Path, secret: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?.write_all(secret.as_bytes())?)
}
