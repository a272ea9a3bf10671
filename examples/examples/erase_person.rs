//! Finds what concerns a person, erases it from every point in time, and proves that it is gone.
//!
//! ```text
//! cargo run --release --example erase_person -p examples --features facade -- --help
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;
use std::time::Duration;

use examples::{demo, project, script};
use saas_backup::core::{
    Clock as _, ErasureRequest, ErasureState, ErasureTarget, Error, ErrorKind, Key, ManualClock, Reference, Result,
    RunStatus, TransferOptions,
};
use saas_backup::repository::{Concerned, EraseOptions, ErasureProgress, Subject};
use saas_backup::{Config, Erased, MaintainOptions, Project, RequestOptions, VerifyRead};

const HELP: &str = "\
Erases a person from every point in time of a source.

usage: erase_person CONFIG SOURCE COLLECTION/ID REQUEST [--erase]

Lists what a saas-backup.toml's SOURCE holds of the person whose record is COLLECTION/ID, such as users/7: their record,
and what they wrote. With --erase it is erased, for the request of this id. Takes the identity, which CONFIG names.

Without arguments: backs a demo service up, finds what one person wrote there, erases it, and searches everything that can
still be read for them: before, at once, and after the grace. Then the service asks to erase somebody else, as one that passes such
requests on does, and is told.
";

const DAY: Duration = Duration::from_hours(24);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        [] => show().await,
        ["--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        [config, source, person, request] => erase(config, source, person, request, true).await,
        [config, source, person, request, "--erase"] => erase(config, source, person, request, false).await,
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    script::ended(ended.map(|()| RunStatus::Complete))
}

/// Erases somebody from a configured source, or says what that would be.
async fn erase(config: &str, source: &str, person: &str, request: &str, dry_run: bool) -> Result<()> {
    let (collection, id) = person
        .split_once('/')
        .ok_or_else(|| Error::new(ErrorKind::Configuration, "a person is named as COLLECTION/ID, such as users/7"))?;
    let project = Project::open(Config::load(config)?)?;
    let subject = Subject::person(Reference::from(&Key::parse(collection, id)?));
    let options = EraseOptions::new(request).with_dry_run(dry_run);
    print(&project.erase(source, &subject, &options, &mut |_| {}).await?);
    Ok(())
}

fn print(erased: &Erased) {
    let Concerned { records, attachments, shared_attachments, .. } = &erased.concerned;
    for record in records {
        let why: Vec<String> = record.reasons.iter().map(ToString::to_string).collect();
        let now = if record.live { "" } else { ", deleted" };
        println!("   {}/{}  {} lines{now}  {}", record.key.collection, record.key.id, record.lines, why.join(", "));
    }
    let verb = if erased.dry_run { "would be erased" } else { "erased" };
    println!("   {} records and {} attachments {verb}; {shared_attachments} stay", records.len(), attachments.len());
}

async fn show() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock = ManualClock::new("2026-09-22T12:00:00Z".parse().unwrap_or_default());
    let service = demo::start().await?;
    let project = project::open(folder.path(), &service, clock.clone(), None).await?;

    println!("1. A few days of backups");
    service.attach("n_02", "letter.txt", "text/plain", "Signed by zoe.\n".repeat(400))?;
    for day in 0..5 {
        clock.advance(DAY);
        service.edit_note("n_02", &format!("Day {day}, written by zoe."))?;
        service.edit_note("n_01", &format!("Day {day}."))?;
        project.backup("notes", TransferOptions::backup()).await?;
    }
    let points: Vec<u64> = project.points("notes").await?.iter().map(|point| point.sequence).collect();
    println!("   {} points in time", points.len());

    println!("\n2. What concerns zoe: nothing is changed yet");
    let zoe = Key::parse("users", "zoe")?;
    let subject = Subject::person(Reference::from(&zoe));
    let request = EraseOptions::new("ticket 4711");
    let planned = project.erase("notes", &subject, &request.clone().with_dry_run(true), &mut |_| {}).await?;
    print(&planned);
    let gone: Vec<Key> = planned.concerned.records.iter().map(|record| record.key.clone()).collect();
    let mut expected = BTreeMap::new();
    for point in &points {
        let mut held = project::read(&project, *point).await?;
        held.retain(|key, _| !gone.contains(key));
        expected.insert(*point, held);
    }
    let texts = ["by zoe".to_owned(), "\"handle\":\"zoe\"".to_owned()];
    let before = project.scan("notes", &texts, &mut |_| {}).await?.found.len();
    println!("   what zoe wrote is found in {before} objects");

    println!("\n3. Erase: first in the service, or the next full read brings it back; then here");
    for key in &gone {
        service.account().delete(key);
    }
    let erased = project.erase("notes", &subject, &request, &mut |_| {}).await?;
    println!("   {} records erased, for {}", erased.concerned.records.len(), request.request);
    let mut same = is_left(&project, &expected).await?;
    println!("   no point in time shows them; everything else is {}", if same { "the same" } else { "NOT the same" });

    println!("\n4. Maintain: the bytes, and the keys to them, go when the grace is over");
    for _ in 0..2 {
        clock.advance(8 * DAY);
        service.edit_note("n_01", "Time passes.")?;
        project.backup("notes", TransferOptions::backup()).await?;
        project.maintain("notes", &MaintainOptions::default(), &mut |_| {}).await?;
    }
    let scanned = project.scan("notes", &texts, &mut |_| {}).await?;
    println!("   {} objects searched, {} parts of them open no more", scanned.objects, scanned.shredded);
    println!("   what zoe wrote is found in {} objects", scanned.found.len());
    same &= is_left(&project, &expected).await?;

    println!("\n5. The receipt, signed, without personal data");
    let statement = project.read_statement(project.state_erasures("notes").await?).await?;
    for erasure in &statement.erasures {
        println!("   {}: {} records, {} attachments", erasure.request, erasure.records, erasure.attachments);
    }
    let is_gone = statement.erasures.iter().all(|erasure| matches!(erasure.progress, ErasureProgress::Gone { .. }));
    println!("   {}", if is_gone { "gone: nothing that can be read holds it" } else { "NOT gone" });
    let whole = project.verify(VerifyRead::ALL, &mut |_, _| {}).await?;
    println!("   {} objects read back, {} problems", whole.read, whole.problems.len());

    println!("\n6. What the service itself asks copies to erase, and what it is told");
    let answered = ask(&service, &project, &clock).await?;
    if same && is_gone && before > 0 && scanned.found.is_empty() && whole.good && answered {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Integrity, "the repository is not what it should be"))
}

/// Has the service pass on the request of another person; says whether it was done and answered.
async fn ask(service: &demo::Demo, project: &Project, clock: &ManualClock) -> Result<bool> {
    let (now, lin) = (clock.now(), Reference::from(&Key::parse("users", "lin")?));
    let targets = vec![ErasureTarget::person(lin)];
    service.account().erase(ErasureRequest::new("er_1", now, "data-subject-request", now + 30 * DAY, targets));
    let done = project.erase_requested("notes", &RequestOptions::default(), &mut |_| {}).await?;
    for outcome in &done.requests {
        println!(
            "   {}: {} records, to be done by {}",
            outcome.request,
            outcome.records,
            outcome.apply_by.date_naive()
        );
    }
    let mut told = Vec::new();
    for filed in service.account().receipts("er_1") {
        let until = filed.receipt.expires_by.map(|until| format!(" until {}", until.date_naive())).unwrap_or_default();
        println!("   the service was told: {:?}{until}", filed.receipt.state);
        told.push(filed.receipt.state);
    }
    Ok(told == [ErasureState::BeyondUse] && done.requests.iter().all(|outcome| outcome.records > 0))
}

/// Whether each point holds what is expected of it.
async fn is_left(project: &Project, expected: &BTreeMap<u64, BTreeMap<Key, String>>) -> Result<bool> {
    for (point, expected) in expected {
        if project::read(project, *point).await? != *expected {
            return Ok(false);
        }
    }
    Ok(true)
}
