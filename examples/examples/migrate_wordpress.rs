//! Moves one WordPress site into another: content, media, terms, comments; ids and links inside texts are rewritten.
//!
//! ```text
//! FROM_URL=https://old.example.com FROM_USER=me FROM_PASSWORD='…' TO_URL=https://new.example.com TO_USER=me TO_PASSWORD='…' \
//!     cargo run -p examples --features wordpress --example migrate_wordpress -- --dry-run
//! ```
//!
//! `--help` says more. The old site is only read; on the new one nothing that exists is touched.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::env;
use std::process::ExitCode;

use saas_backup_connectors::wordpress::{WordPress, WordPressConfig};
use saas_backup_core::{Error, ErrorKind, IdMap, Result, RunReport, RunStatus, TransferOptions, WriteMode, transfer};

const HELP: &str = "\
Moves one WordPress site into another: posts, pages, media with their files, terms, comments, menus, drafts and trash
included. Ids inside texts and addresses of files and pages are rewritten to those of the new site.

usage: migrate_wordpress [--dry-run] [--ids FILE]

  --dry-run            say what would be written and what cannot be moved; change nothing
  --ids FILE           where the map of old and new ids is kept; default: ids.ndjson. A migration that was cut short
                       goes on with it: what is there already is not written twice

  FROM_URL FROM_USER FROM_PASSWORD    the site to read, and an application password (Users → Profile)
  TO_URL TO_USER TO_PASSWORD          the site to write to; this user has to be an administrator
  WORDPRESS_PRIVATE=1                 the sites are on a network of your own, or speak HTTP without encryption

Ends with 0 when everything has moved, with 3 when something could not be, which is listed.
";

struct Arguments {
    dry_run: bool,
    ids: String,
}

/// `None` if somebody asks for help, or for something that there is not.
fn arguments() -> Option<Arguments> {
    let mut found = Arguments { dry_run: false, ids: "ids.ndjson".to_owned() };
    let mut given = env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--dry-run" => found.dry_run = true,
            "--ids" => found.ids = given.next()?,
            _ => return None,
        }
    }
    Some(found)
}

#[tokio::main]
async fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let Some(arguments) = arguments() else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    match run(&arguments).await {
        Ok(RunStatus::Complete) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.kind() == ErrorKind::Configuration { 2 } else { 1 })
        }
    }
}

async fn run(arguments: &Arguments) -> Result<RunStatus> {
    let (from, to) = (site("FROM")?, site("TO")?);
    let ids = if arguments.dry_run { IdMap::default() } else { IdMap::open(&arguments.ids)? };
    let options = TransferOptions::new(WriteMode::Create).with_dry_run(arguments.dry_run).with_ids(ids.clone());

    let done = transfer(&from, &to, options).await?;

    tell(&done.report, arguments.dry_run);
    if !arguments.dry_run {
        println!("{} old and new ids are in {}", ids.len(), arguments.ids);
    }
    Ok(done.report.status)
}

/// The site that the environment's variables with this prefix name.
fn site(prefix: &str) -> Result<WordPress> {
    let variable = |name: &str| {
        let name = format!("{prefix}_{name}");
        env::var(&name)
            .map_err(|_| Error::new(ErrorKind::Configuration, format!("{name} is not set; --help says more")))
    };
    let config = WordPressConfig::new(variable("URL")?, variable("USER")?, variable("PASSWORD")?)
        .with_private_addresses(env::var("WORDPRESS_PRIVATE").is_ok_and(|answer| answer == "1"));
    WordPress::new(&config)
}

fn tell(report: &RunReport, dry_run: bool) {
    println!("{}", if dry_run { "would be written:" } else { "written:" });
    for (collection, counts) in report.collections.iter().filter(|(_, counts)| counts.read > 0) {
        println!("{:>6} of {:>6}  {collection}, {} files", counts.written, counts.read, counts.blobs);
    }
    for refusal in &report.refused {
        let why = if refusal.rejected { "refused" } else { "left alone" };
        println!("{why}: {} {}: {}", refusal.key.collection, refusal.key.id, refusal.problem.title);
    }
    for (collection, reasons) in &report.losses {
        for (reason, count) in reasons {
            println!("lost: {collection}: {reason} ({count} records)");
        }
    }
    for open in &report.gaps {
        println!("could not be read: {}: {}", open.gap.collection, open.gap.problem.title);
    }
}
