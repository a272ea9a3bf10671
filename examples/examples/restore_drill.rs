//! Rehearses restores: is what was backed up worth anything, and how long would a restore take? Without arguments it also
//! shows that a drill of a damaged copy fails.
//!
//! ```text
//! cargo run --release --example restore_drill -p examples --features facade -- --help
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use examples::demo;
use examples::{project, script};
use saas_backup::core::{Error, ErrorKind, ManualClock, Result, RunStatus, TransferOptions};
use saas_backup::{Config, DrillPoint, DrillRequest, Drilled, Project};

const HELP: &str = "\
Restores the newest point in time of every source of a saas-backup.toml into a folder that is removed afterwards, reads it
back, compares every record and attachment, and measures how long that takes.

usage: restore_drill [CONFIG]

Takes the identity, which CONFIG names; its [drill] may say sample, into and more: docs/operations.md. The results are signed
and kept in the repository. Ends with 3 when something did not come back as it was.

Without CONFIG: backs a demo service up, rehearses it, damages the copy, and rehearses it again.
";

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match script::path_argument(HELP, "") {
        Ok(config) if config.is_empty() => Box::pin(show()).await,
        Ok(config) => rehearse(Path::new(&config)).await,
        Err(end) => return end,
    };
    script::ended(ended.map(|passed| if passed { RunStatus::Complete } else { RunStatus::Incomplete }))
}

/// Rehearses all sources of a configuration; says whether every drill passed.
async fn rehearse(config: &Path) -> Result<bool> {
    let project = Project::open(Config::load(config)?)?;
    let sources = project.config().sources.iter().filter(|source| !source.scratch);
    let mut passed = true;
    for source in sources {
        let drilled = project.drill(DrillRequest::new(&source.name)).await?;
        print(&drilled);
        passed &= drilled.report.passed;
    }
    Ok(passed)
}

fn print(drilled: &Drilled) {
    let (report, verdict) = (&drilled.report, if drilled.report.passed { "passed" } else { "FAILED" });
    println!(
        "   {}: point {} into {}: {verdict}; {} records, {} attachments of {} bytes, {} wrong",
        drilled.source,
        drilled.point,
        drilled.into,
        report.records,
        report.blobs,
        report.bytes,
        report.wrong()
    );
    if let Some(measured) = drilled.rto_measured {
        println!("   a restore of everything takes {measured}, and {} ms to compare", report.phases.compare_ms);
    }
    for problem in &report.problems {
        println!("   {problem}");
    }
    for difference in &report.differences {
        println!("   {}: {:?}", difference.key, difference.kind);
    }
}

async fn show() -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let clock = ManualClock::new("2026-11-01T12:00:00Z".parse().unwrap_or_default());
    let service = demo::start().await?;
    let project = project::open(folder.path(), &service, clock.clone(), None).await?;

    println!("1. Three backups");
    for day in 1..=3 {
        clock.advance(Duration::from_hours(24));
        service.edit_note("n_01", &format!("Saved on day {day}."))?;
        project.backup("notes", TransferOptions::backup()).await?;
    }
    println!("   {} points in time", project.points("notes").await?.len());

    println!("\n2. A full drill: everything of the newest point");
    let full = project.drill(DrillRequest::new("notes")).await?;
    print(&full);

    println!("\n3. A sample of ten records of any point");
    let sample = project.drill(DrillRequest::new("notes").with_point(DrillPoint::Random).with_sample(Some(10))).await?;
    print(&sample);

    println!("\n4. A byte of an attachment is changed in the storage: the next drill tells");
    let (attachment, bytes) = damage(&folder.path().join("repository"))?;
    let fresh = Project::open(project.config().clone())?;
    let damaged = fresh.drill(DrillRequest::new("notes")).await?;
    print(&damaged);
    for alert in fresh.problems()? {
        println!("   alert: {}", alert.summary);
    }

    println!("\n5. It is put back, and the drill passes again");
    fs::write(attachment, bytes)?;
    let mended = Project::open(project.config().clone())?.drill(DrillRequest::new("notes")).await?;
    print(&mended);

    println!("\n6. What is signed and kept in the repository, for whoever asks");
    for drill in project.drills("notes", 10).await? {
        let (what, verdict) =
            (if drill.full { "full" } else { "sample" }, if drill.passed { "passed" } else { "failed" });
        println!(
            "   {what:<6} of point {}: {verdict}, {} records, restored in {} ms",
            drill.point, drill.records, drill.restore_ms
        );
    }
    if damaged.report.passed {
        return Err(Error::new(ErrorKind::Integrity, "the damage was not found"));
    }
    Ok(full.report.passed && sample.report.passed && mended.report.passed)
}

/// Changes a byte in the middle of the largest object; gives it, and what it held.
fn damage(repository: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let (mut folders, mut largest) = (vec![repository.join("source/notes/pack")], None);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                largest = largest.max(Some((entry.metadata()?.len(), entry.path())));
            }
        }
    }
    let (_, path) = largest.ok_or_else(|| Error::new(ErrorKind::NotFound, "there are no attachments"))?;
    let whole = fs::read(&path)?;
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    fs::write(&path, bytes)?;
    Ok((path, whole))
}
