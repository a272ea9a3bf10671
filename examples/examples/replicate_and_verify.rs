//! A copy of a repository on other storage, brought up to date and checked. Without arguments it also shows what the copy is
//! good for: ten objects of the repository are lost or damaged, and come back from it. With `--by records`, a second repository
//! with keys of its own follows instead, by a key that only reads the first.
//!
//! ```text
//! cargo run --release --example replicate_and_verify -p examples -- --help
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use examples::demo::{self, Demo};
use examples::held::records;
use examples::script;
use saas_backup_core::{
    At, Connector as _, Error, ErrorKind, Key, Result, RunStatus, SnapshotOptions, TransferOptions, transfer,
};
use saas_backup_repository::{FollowOptions, Identity, Keys, Repository, RepositoryOptions, VerifyOptions};

const HELP: &str = "\
Copies a repository to other storage, or what is new since the last time, and reads every byte of both.

usage: replicate_and_verify [REPOSITORY REPLICA KEY | --by records]

  REPOSITORY REPLICA   a folder, file:///path, or s3://bucket/prefix with --features s3
  KEY                  the file of the key that reads the repository, such as me.key; the copy opens with the same one

  AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_SESSION_TOKEN AWS_ENDPOINT AWS_ALLOW_HTTP=true
                       as for other programs, for both. Two accounts, each with credentials of its own, are what
                       [[replica]] of saas-backup.toml and `saas-backup replicate` are for: docs/replication.md

Nothing in REPLICA is ever replaced or removed. Ends with 3 when either is damaged.

Without arguments: backs a demo service up in a temporary folder, copies that, loses ten objects, and repairs it.
With --by records: lets a second repository, with an owner of its own, take over each point in time of such a backup.
";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        [] => show().await,
        ["--by", "records"] => show_following().await,
        ["--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        [repository, replica, key] if !repository.starts_with('-') => real(repository, replica, Path::new(key)).await,
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    script::ended(ended.map(|whole| if whole { RunStatus::Complete } else { RunStatus::Incomplete }))
}

/// Brings the copy of a real repository up to date.
async fn real(repository: &str, replica: &str, key: &Path) -> Result<bool> {
    let keys = Keys::owner(Identity::parse(&fs::read_to_string(key)?)?);
    let repository = Repository::open(RepositoryOptions::parse(repository)?.with_keys(keys.clone())).await?;
    let to = RepositoryOptions::parse(replica)?.with_keys(keys);
    let complete = replicate(&repository, &to).await?;
    let copy = Repository::open(to).await?;
    for source in copy.sources().await? {
        let points = copy.source(&source)?.points().await?;
        println!("   {source}: {} points in time, the newest of {}", points.len(), newest(&points));
    }
    Ok(verify("the repository", &repository).await? & verify("the copy", &copy).await? & complete)
}

fn newest(points: &[saas_backup_repository::Point]) -> String {
    points.last().map_or_else(|| "never".to_owned(), |point| point.finished.to_string())
}

/// Copies what is new; says whether the copy holds everything.
async fn replicate(repository: &Repository, to: &RepositoryOptions) -> Result<bool> {
    let done = repository.replicate(to, &mut |_| {}).await?;
    println!("   {} objects of {} bytes copied, {} were there already", done.objects, done.bytes, done.held);
    for problem in &done.problems {
        println!("   not copied: {}: {}", problem.object, problem.message);
    }
    Ok(done.is_complete())
}

/// Reads everything; says whether it is whole.
async fn verify(what: &str, repository: &Repository) -> Result<bool> {
    let report = repository.verify(&VerifyOptions::read_all(), &mut |_| {}).await?;
    println!("   {what}: {} objects, {} bytes read, {} problems", report.objects, report.bytes, report.problems.len());
    for problem in &report.problems {
        println!("   damaged: {}: {}", problem.object, problem.message);
    }
    Ok(report.is_good())
}

async fn show() -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let service = demo::start().await?;
    let keys = Keys::owner(Identity::generate());
    let place = |name: &str| {
        RepositoryOptions::parse(&folder.path().join(name).to_string_lossy()).map(|at| at.with_keys(keys.clone()))
    };
    let (here, there) = (place("repository")?, place("replica")?);

    println!("1. Six backups");
    let repository = Repository::init(here.clone()).await?;
    for day in 1..=6 {
        back_up(&repository, &service, day).await?;
    }
    let points = repository.source("notes")?.points().await?;
    println!("   {} points in time, the newest of {}", points.len(), newest(&points));

    println!("\n2. A copy of the repository, in another folder");
    let complete = replicate(&repository, &there).await?;

    println!("\n3. One more backup: the copy takes that alone");
    back_up(&repository, &service, 7).await?;
    let complete = complete & replicate(&repository, &there).await?;
    let before = everything(&repository).await?;

    println!("\n4. Ten objects of the repository are lost or damaged");
    hurt(&folder.path().join("repository").join("source"))?;
    let repository = Repository::open(here.clone()).await?;
    if verify("the repository", &repository).await? {
        return Err(Error::new(ErrorKind::Integrity, "the damage was not found"));
    }

    println!("\n5. They come back from the copy; what is good is not touched");
    let copy = Repository::open(there).await?;
    let repaired = repository.repair_from(&copy, &VerifyOptions::read_all(), &mut |_| {}).await?;
    println!("   {} objects fetched, {} problems left", repaired.objects.len(), repaired.problems.len());

    println!("\n6. Both are whole, and every point holds what it held");
    let repository = Repository::open(here).await?;
    let whole = verify("the repository", &repository).await? & verify("the copy", &copy).await?;
    for (what, repository) in [("the repository", &repository), ("the copy", &copy)] {
        if everything(repository).await? != before {
            return Err(Error::new(ErrorKind::Integrity, format!("{what} does not hold what it should")));
        }
        println!("   {what}: {} points as before", before.len());
    }
    Ok(complete & whole)
}

/// A second repository takes over each point by reading the first.
async fn show_following() -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let service = demo::start().await?;
    let place = |name: &str, keys: Keys| {
        RepositoryOptions::parse(&folder.path().join(name).to_string_lossy()).map(|at| at.with_keys(keys))
    };
    let (owner, auditor) = (Identity::generate(), Identity::generate());

    println!("1. Three backups, to a repository that an auditor may read");
    let keys = Keys::owner(owner.clone()).with_recipient(auditor.recipient().clone());
    let repository = Repository::init(place("repository", keys)?).await?;
    for day in 1..=3 {
        back_up(&repository, &service, day).await?;
    }

    println!("\n2. The auditor's own repository takes them over, with the auditor's key alone");
    let theirs = Keys::owner(auditor).with_root(owner.root_key());
    let first = Repository::open(place("repository", theirs)?).await?;
    let second = Repository::init(place("second", Keys::owner(Identity::generate()))?).await?;
    let complete = follow(&second, &first).await?;

    println!("\n3. One more backup: what changed is read");
    back_up(&repository, &service, 4).await?;
    let complete = complete & follow(&second, &first).await?;

    println!("\n4. The second holds at each point what the first does, and is whole");
    let (one, other) = (everything(&repository).await?, everything(&second).await?);
    if !one.values().eq(other.values()) {
        return Err(Error::new(ErrorKind::Integrity, "the second repository does not hold what the first does"));
    }
    println!("   {} points are the same in both", other.len());
    Ok(complete & verify("the second", &second).await?)
}

/// Takes over what is new; says whether everything is held then.
async fn follow(second: &Repository, first: &Repository) -> Result<bool> {
    let followed = second.follow(first, &FollowOptions::default()).await?;
    for source in &followed.sources {
        for point in &source.points {
            println!("   {}: point of {}, {} records written", source.source, point.finished, point.records);
        }
        if let Some(error) = &source.error {
            println!("   not taken over: {}: {error}", source.source);
        }
    }
    Ok(followed.is_complete())
}

/// Somebody works, and it is backed up.
async fn back_up(repository: &Repository, service: &Demo, day: u32) -> Result<()> {
    service.edit_note("n_01", &format!("Saved on day {day}."))?;
    service.attach("n_02", "day.txt", "text/plain", format!("What happened on day {day}.\n").repeat(20_000))?;
    transfer(&service.connector()?, &repository.source("notes")?, TransferOptions::backup()).await.map(drop)
}

/// What each point holds, by its number.
async fn everything(repository: &Repository) -> Result<BTreeMap<u64, BTreeMap<Key, String>>> {
    let source = repository.source("notes")?;
    let mut held = BTreeMap::new();
    for point in source.points().await? {
        let snapshot = source.snapshot(SnapshotOptions::at(At::Sequence(point.sequence))).await?;
        held.insert(point.sequence, records(&*snapshot).await?);
    }
    Ok(held)
}

/// Removes five objects, and changes a byte in five others.
fn hurt(folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    files_below(folder, &mut files)?;
    // Layouts are short cuts: nobody misses one.
    files.retain(|file| !file.parent().is_some_and(|folder| folder.ends_with("layout")));
    files.sort();
    let spread = (0..10).filter_map(|number| files.get(number * files.len() / 10));
    for (number, file) in spread.enumerate() {
        if number % 2 == 0 {
            fs::remove_file(file)?;
        } else {
            let mut bytes = fs::read(file)?;
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
            }
            fs::write(file, bytes)?;
        }
    }
    Ok(())
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
