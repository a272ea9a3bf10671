//! Which points in time a retention keeps, and why; then forgets the others and takes their space back.
//!
//! ```text
//! cargo run --release --example retention_dry_run -p examples --features facade -- --help
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use examples::demo::{self, Demo};
use examples::{project, script};
use saas_backup::core::{Error, ErrorKind, ManualClock, Result, RunStatus, TransferOptions};
use saas_backup::repository::RetentionPolicy;
use saas_backup::{Config, ForgetOptions, Forgot, MaintainOptions, Project, VerifyRead};

const HELP: &str = "\
Says which points in time the retention of a saas-backup.toml keeps, and why. Changes nothing.

usage: retention_dry_run [CONFIG]

Takes the identity, which CONFIG names. Its [retention] may say keep_last, keep_hourly, keep_daily, keep_weekly,
keep_monthly, keep_yearly, keep_within, keep_labels, min_age and more: docs/retention.md.

Without CONFIG: backs a demo service up for two months of a clock that this program moves, prints what a retention keeps of
these, forgets the rest, maintains the repository, and shows what that frees and that a kept point reads as before.
";

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match script::path_argument(HELP, "") {
        Ok(config) if config.is_empty() => show().await,
        Ok(config) => plan(Path::new(&config)).await,
        Err(end) => return end,
    };
    script::ended(ended.map(|()| RunStatus::Complete))
}

/// Prints what a configuration keeps.
async fn plan(config: &Path) -> Result<()> {
    let project = Project::open(Config::load(config)?)?;
    for source in project.source_names() {
        print(&project.forget(source, &ForgetOptions::default().with_dry_run(true)).await?);
    }
    Ok(())
}

fn print(forgot: &Forgot) {
    for decision in &forgot.plan.decisions {
        let why: Vec<String> = decision.kept.iter().map(ToString::to_string).collect();
        let what = if decision.is_kept() { "keep" } else { "forget" };
        let time = decision.point.finished.format("%Y-%m-%d %H:%M");
        println!("{:>5}  {time}  {what:<6}  {}", decision.point.sequence, why.join(", "));
    }
    for warning in &forgot.plan.warnings {
        println!("warning: {warning}");
    }
    println!("{}: {} of {} points to forget", forgot.source, forgot.forgotten.len(), forgot.plan.decisions.len());
}

async fn show() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = ManualClock::new("2026-09-22T12:00:00Z".parse().unwrap_or_default());
    let service = demo::start().await?;
    let policy = RetentionPolicy::default().with_keep_hourly(6).with_keep_daily(7).with_keep_weekly(4);
    let policy = policy.with_keep_monthly(12).with_min_age(2 * HOUR);
    let project = project::open(folder.path(), &service, clock.clone(), Some(policy)).await?;

    println!("1. Two months of backups: one a day, and on the last day one an hour");
    for _ in 0..60 {
        back_up(&project, &service, &clock, DAY).await?;
    }
    for _ in 0..24 {
        back_up(&project, &service, &clock, HOUR).await?;
    }
    let size = |when: &str| -> Result<u64> {
        let bytes = bytes_below(&folder.path().join("repository"))?;
        println!("   {bytes} bytes {when}");
        Ok(bytes)
    };
    let full = size("in the repository")?;

    println!("\n2. What the retention keeps, and why: nothing is changed yet");
    let planned = project.forget("notes", &ForgetOptions::default().with_dry_run(true)).await?;
    print(&planned);
    let oldest = planned.plan.kept().next().map_or(0, |decision| decision.point.sequence);
    let before = project::read(&project, oldest).await?;

    println!("\n3. Forget");
    let forgot = project.forget("notes", &ForgetOptions::default()).await?;
    println!("   {} points forgotten, {} left", forgot.forgotten.len(), project.points("notes").await?.len());

    println!("\n4. Maintain: merge what is left, and keep what was replaced for whoever is reading it");
    let everything = MaintainOptions::default().with_all(true);
    let maintained = project.maintain("notes", &everything, &mut |_| {}).await?;
    let compacted = &maintained.compacted;
    println!("   {} lines kept, {} left out", compacted.lines_kept, compacted.lines_dropped);
    println!("   {} points compared before and after", compacted.points_compared);
    println!("   {} objects wait for the end of their grace", maintained.collected.waiting);
    size("in the repository")?;

    println!("\n5. Eight days later: remove it");
    clock.advance(8 * DAY);
    let maintained = project.maintain("notes", &MaintainOptions::default(), &mut |_| {}).await?;
    let collected = &maintained.collected;
    println!("   {} objects and {} commits and layouts removed", collected.objects, collected.commits);
    let after = size("in the repository")?;

    println!("\n6. The oldest point that was kept reads as before");
    let same = project::read(&project, oldest).await? == before;
    println!("   point {oldest}, {} records: {}", before.len(), if same { "the same" } else { "NOT the same" });
    let whole = project.verify(VerifyRead::ALL, &mut |_, _| {}).await?;
    println!("   {} objects read back, {} problems", whole.read, whole.problems.len());
    if same && whole.good && after < full {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "the repository is not what it should be"))
}

/// Somebody works, time passes, and it is backed up.
async fn back_up(project: &Project, service: &Demo, clock: &ManualClock, pause: Duration) -> Result<()> {
    clock.advance(pause);
    let now = saas_backup::core::Clock::now(clock);
    service.edit_note("n_01", &format!("Saved at {now}."))?;
    service.attach("n_02", "day.txt", "text/plain", format!("What happened until {now}.\n").repeat(200))?;
    project.backup("notes", TransferOptions::backup()).await.map(drop)
}

fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
