use std::fmt::Write as _;
use std::io::Read as _;

use saas_backup::core::{CollectionName, Error, ErrorKind, Json, Key, Reference, Result};
use saas_backup::repository::{EraseOptions, Erasure, ErasureProgress, Scanned, Subject};
use saas_backup::{Erased, ErasedRequests, ErasureStep, Project, RequestOptions};
use serde::Serialize;

use super::{Session, named_or_all};
use crate::args::{EraseArgs, ErasuresArgs};
use crate::exit::Outcome;
use crate::output::{bytes, short, table, time, word};
use crate::progress::Console;
use crate::{failure, signals};

/// Records that are listed for a person; programs get all.
const LISTED: usize = 50;

pub(super) async fn erase(session: &Session, args: &EraseArgs) -> Result<Outcome> {
    let project = session.project()?;
    let stop = signals::stop_token(session.output, "what is hidden stays hidden; `saas-backup maintain` does the rest");
    let console = Console::start(session.output, &args.source);
    let mut show = |step: ErasureStep<'_>| match step {
        ErasureStep::Search(records) => console.show(&format!("{records} records looked at")),
        ErasureStep::Rewrite(done) => {
            console.show(&format!("{} lines merged, {} erased", done.lines_kept, done.lines_erased));
        }
        _ => {}
    };
    let stopped = || Error::new(ErrorKind::Cancelled, "the erasure was stopped");
    if args.requested {
        let options = RequestOptions::default().with_despite_hold(args.despite_hold).with_dry_run(args.dry_run);
        let result = tokio::select! {
            result = project.erase_requested(&args.source, &options, &mut show) => result,
            () = stop.cancelled() => Err(stopped()),
        };
        console.end();
        let erased = result?;
        session.output.result(&erased, describe_requested)?;
        return Ok(Outcome::Done);
    }
    let subject = subject(args)?;
    let options = EraseOptions::new(args.request.clone().unwrap_or_default()).with_basis(args.basis.clone());
    let options = options.with_despite_hold(args.despite_hold).with_dry_run(args.dry_run);
    let result = tokio::select! {
        result = project.erase(&args.source, &subject, &options, &mut show) => result,
        () = stop.cancelled() => Err(stopped()),
    };
    console.end();
    session.output.result(&result?, describe)?;
    Ok(Outcome::Done)
}

fn describe_requested(erased: &ErasedRequests) -> String {
    let ErasedRequests { source, requests, .. } = erased;
    if requests.is_empty() {
        return format!("{source}: asks to erase nothing\n");
    }
    let rows: Vec<Vec<String>> = requests
        .iter()
        .map(|outcome| {
            let receipt = &outcome.receipt;
            let until = receipt.expires_by.map(|until| format!(" until {}", time(until))).unwrap_or_default();
            let why = receipt.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let state = format!("{}{until}{why}", word(&receipt.state));
            let told = if outcome.told { "now" } else { "" };
            vec![
                short(&outcome.request, 60),
                time(outcome.apply_by),
                outcome.records.to_string(),
                short(&state, 200),
                told.to_owned(),
            ]
        })
        .collect();
    let mut text = format!("{source}\n{}", table(&["REQUEST", "BY", "RECORDS", "STATE", "TOLD"], &rows));
    if erased.dry_run {
        text.push_str("nothing was changed, and nobody was told\n");
    } else {
        kept_by_copies(&mut text, &erased.kept_by_replicas, &erased.kept_by_followers);
    }
    text
}

fn kept_by_copies(text: &mut String, replicas: &[String], followers: &[String]) {
    for replica in replicas {
        let _ = writeln!(text, "{replica} keeps what it holds: give its [[replica]] prune = true, then `replicate`");
    }
    for replica in followers {
        let _ = writeln!(text, "{replica} keeps what it holds: run the same `erase` with it as [repository]");
    }
}

fn subject(args: &EraseArgs) -> Result<Subject> {
    let mut subject = Subject::default();
    for person in &args.subjects {
        subject = subject.and(Subject::person(Reference::from(&key(person)?)));
    }
    for record in &args.records {
        subject = subject.and(Subject::record(key(record)?));
    }
    for relation in &args.relations {
        subject = subject.with_relation(relation);
    }
    for condition in &args.conditions {
        let wrong = || {
            Error::new(
                ErrorKind::Configuration,
                "a condition is written as COLLECTION/POINTER=VALUE, such as users/email=a@b.c",
            )
            .with_context("condition", condition)
        };
        let (field, value) = condition.split_once('=').ok_or_else(wrong)?;
        let (collection, pointer) = field.split_once('/').ok_or_else(wrong)?;
        // What is no JSON is text.
        let value = Json::parse(value.to_owned()).or_else(|_| Json::from_value(&value))?;
        subject = subject.with_field(CollectionName::parse(collection)?, format!("/{pointer}"), value);
    }
    Ok(subject)
}

fn key(text: &str) -> Result<Key> {
    let (collection, id) = text.split_once('/').ok_or_else(|| {
        Error::new(ErrorKind::Configuration, "a record is named as COLLECTION/ID, such as users/7")
            .with_context("record", text)
    })?;
    Key::parse(collection, id)
}

fn describe(erased: &Erased) -> String {
    let Erased { source, concerned, .. } = erased;
    if concerned.is_empty() {
        return format!("{source}: nothing of this is held at any point in time\n");
    }
    let rows: Vec<Vec<String>> = concerned
        .records
        .iter()
        .take(LISTED)
        .map(|record| {
            let why: Vec<String> = record.reasons.iter().map(ToString::to_string).collect();
            let state = if record.live { "live" } else { "deleted" };
            let name = format!("{}/{}", record.key.collection, record.key.id);
            vec![short(&name, 100), state.to_owned(), record.lines.to_string(), short(&why.join(", "), 200)]
        })
        .collect();
    let mut text = format!("{source}\n{}", table(&["RECORD", "NOW", "LINES", "WHY"], &rows));
    if let Some(more) = concerned.records.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more; --json lists all");
    }
    let size: u64 = concerned.attachments.iter().filter_map(|attachment| attachment.size).sum();
    let (records, attachments) = (concerned.records.len(), concerned.attachments.len());
    let verb = if erased.dry_run { "would be erased, and nothing was changed" } else { "erased" };
    let _ = writeln!(text, "{records} records and {attachments} attachments ({}) {verb}", bytes(size));
    if concerned.shared_attachments > 0 {
        let _ = writeln!(text, "{} attachments stay: other records have them, too", concerned.shared_attachments);
    }
    if let Some(last) = erased.erasures.last().filter(|_| !erased.dry_run) {
        let _ = writeln!(text, "request {}: {}", short(&last.request, 200), progress(last));
    }
    if !erased.dry_run {
        kept_by_copies(&mut text, &erased.kept_by_replicas, &erased.kept_by_followers);
    }
    text
}

fn progress(erasure: &Erasure) -> String {
    match &erasure.progress {
        ErasureProgress::Hidden => "hidden from all readers; `saas-backup maintain` writes the rest anew".to_owned(),
        ErasureProgress::GivenUp { rewritten, left } => format!(
            "out of use since {}; `saas-backup maintain` removes the last {left} objects or keys after its grace",
            time(*rewritten)
        ),
        ErasureProgress::Gone { .. } => "gone: nothing that can be read holds it".to_owned(),
        _ => word(&erasure.progress),
    }
}

/// The erasures of a source.
#[derive(Serialize)]
struct Told {
    source: String,
    erasures: Vec<Erasure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned: Option<Scanned>,
}

pub(super) async fn erasures(session: &Session, args: &ErasuresArgs) -> Result<Outcome> {
    let project = session.project()?;
    let texts = args.search.as_deref().map(texts).transpose()?;
    let mut worst = Outcome::Done;
    for source in named_or_all(&project, &args.sources)? {
        match told(session, &project, &source, texts.as_deref()).await {
            Ok(told) => {
                session.output.result(&told, list)?;
                if told.scanned.is_some_and(|scanned| !scanned.found.is_empty()) {
                    worst = worst.max(Outcome::Integrity);
                }
            }
            Err(error) => {
                let error = error.with_context("source", &source);
                failure::report(session.output, "erasures", &error);
                worst = worst.max(failure::outcome("erasures", &error));
            }
        }
        if let Some(folder) = &args.sign {
            std::fs::create_dir_all(folder)?;
            let file = folder.join(format!("{source}.erasures"));
            std::fs::write(&file, project.state_erasures(&source).await?)?;
            session.output.note(format_args!("signed: {}", file.display()));
        }
    }
    Ok(worst)
}

async fn told(session: &Session, project: &Project, source: &str, texts: Option<&[String]>) -> Result<Told> {
    let erasures = project.erasures(source).await?;
    let scanned = match texts {
        None => None,
        Some(texts) => {
            let console = Console::start(session.output, source);
            let mut show = |scanned: &Scanned| {
                console.show(&format!("{} objects searched, {}", scanned.objects, bytes(scanned.bytes)));
            };
            let result = project.scan(source, texts, &mut show).await;
            console.end();
            Some(result?)
        }
    };
    Ok(Told { source: source.to_owned(), erasures, scanned })
}

/// The texts of a file, or of stdin, one a line: what is searched for stands in no list of processes.
fn texts(path: &std::path::Path) -> Result<Vec<String>> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path)?;
    }
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn list(told: &Told) -> String {
    let mut text = if told.erasures.is_empty() {
        format!("{}: nothing was erased in the last 400 days\n", told.source)
    } else {
        let rows: Vec<Vec<String>> = told
            .erasures
            .iter()
            .map(|erasure| {
                let (records, attachments) = (erasure.records.to_string(), erasure.attachments.to_string());
                vec![short(&erasure.request, 60), time(erasure.at), records, attachments, progress(erasure)]
            })
            .collect();
        format!("{}\n{}", told.source, table(&["REQUEST", "TIME", "RECORDS", "ATTACHMENTS", "STATE"], &rows))
    };
    if let Some(Scanned { objects, shredded, damaged, found, .. }) = &told.scanned {
        let _ = writeln!(text, "{objects} objects searched; {shredded} parts of them cannot be read any more");
        for object in found {
            let _ = writeln!(text, "  FOUND in {object}");
        }
        if *damaged > 0 {
            let _ = writeln!(text, "  {damaged} parts are damaged: `saas-backup verify --read all` says which");
        }
        if found.is_empty() {
            text.push_str("  none of the texts is found\n");
        }
    }
    text
}
