//! Backs up a service on a schedule, from a program of your own.
//!
//! ```text
//! cargo run --release --example scheduled_backup -p examples --features facade -- --help
//! ```
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use examples::demo::{self, Demo};
use saas_backup::core::{CancellationToken, Error, ErrorKind, Period, Result};
use saas_backup::ops::Schedule;
use saas_backup::{
    AlertConfig, AlertKind, Config, Project, RepositoryConfig, ServeOptions, Settings, SourceConfig, Text, keygen_to,
};

const HELP: &str = "\
scheduled_backup [--schedule CRON] [--time-zone ZONE] [--rpo TIME] [--alert PROGRAM] [--runs N] [FOLDER]

Backs up a service that speaks the Open Export Protocol whenever the schedule says so, until Ctrl-C, and once more
after downtime. A run that is at work when it is stopped ends in order; the next start goes on from there.

FOLDER             where keys, repository and state are kept. Default: ./saas-backup-scheduled
--schedule CRON    five fields, or six with seconds. Default: 0 * * * * (each hour)
--time-zone ZONE   Default: UTC
--rpo TIME         how old the newest complete copy may be. Default: 2h
--alert PROGRAM    is told when a run fails or leaves something out, when copies are late, and when that is over: it gets
                   a line of JSON on its standard input. Default: nobody is told
--runs N           end after so many runs. Default: never

NOTES_URL, NOTES_TOKEN   the service and a token that may read it. Without them, backs up a demo service that runs
                         inside this program, every second, three times.";

struct Arguments {
    folder: PathBuf,
    schedule: String,
    time_zone: String,
    rpo: Period,
    alert: Option<String>,
    runs: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let account = std::env::var("NOTES_URL").ok().zip(std::env::var("NOTES_TOKEN").ok());
    let Some(arguments) = arguments(account.is_none())? else {
        println!("{HELP}");
        return Ok(());
    };
    // The demo service lives as long as this program does.
    let (service, settings) = match account {
        Some((url, token)) => (None, Settings::new().with("url", url).with("token", token)),
        None => demo_service().await?,
    };
    let project = Arc::new(open(&arguments, settings).await?);
    let serving = project.serve(ServeOptions::default()).await?;
    for job in serving.handle().statuses() {
        println!("{}: next run {}", job.job, job.starts.map_or_else(|| "never".to_owned(), |time| time.to_rfc3339()));
    }
    let stop = CancellationToken::new();
    tokio::join!(serving.run(stop.clone()), watch(&project, service.as_ref(), arguments.runs, stop));
    println!("stopped");
    Ok(())
}

/// The configuration that a TOML file would hold, made by the program.
async fn open(arguments: &Arguments, settings: Settings) -> Result<Project> {
    let folder = std::path::absolute(&arguments.folder)?;
    std::fs::create_dir_all(&folder)?;
    let key = folder.join("me.key");
    let first = !key.exists();
    if first {
        let recipient = keygen_to(&key)?.recipient;
        println!("{} reads the copies: keep it safe ({recipient})", key.display());
    }
    let mut repository = RepositoryConfig::new(folder.join("repository").display().to_string());
    repository.identity = Some(Text::File(key.display().to_string()));
    let mut source = SourceConfig::new("notes", "open-export", settings)?;
    source.schedule = Some(Schedule::parse(&arguments.schedule, &arguments.time_zone)?);
    source.rpo = Some(arguments.rpo);
    let mut config = Config::new(repository, vec![source]);
    let told = |program: &String| {
        AlertConfig::new("program", AlertKind::Command, Settings::new().with("program", vec![program.as_str()]))
    };
    config.alerts = arguments.alert.iter().map(told).collect();
    config.state = Some(folder.join("state"));
    let project = Project::open(config)?;
    if first {
        project.init().await?;
    }
    Ok(project)
}

/// Tells what the runs did; stops at Ctrl-C, or after so many of them.
async fn watch(project: &Project, service: Option<&Demo>, runs: Option<u64>, stop: CancellationToken) {
    let mut told = None;
    let mut left = runs;
    let mut every = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            _ = every.tick() => {}
        }
        let last = project.last_runs("notes").ok().and_then(|runs| runs.last);
        if let Some(run) = last.filter(|run| told != Some(run.finished)) {
            println!(
                "{} {:?}{}{}",
                run.finished.format("%H:%M:%S"),
                run.status,
                run.sequence.map_or_else(|| ", nothing new".to_owned(), |point| format!(", point {point}")),
                run.message.map_or_else(String::new, |message| format!(": {message}")),
            );
            told = Some(run.finished);
            left = left.map(|left| left.saturating_sub(1));
            if left == Some(0) {
                break;
            }
            // Somebody works in the service between two runs.
            if let Some(Err(error)) = service.map(|demo| demo.edit_note("n_01", &format!("Saved at {}.", run.finished)))
            {
                println!("the demo service: {error}");
            }
        }
    }
    stop.cancel();
}

async fn demo_service() -> Result<(Option<Demo>, Settings)> {
    use secrecy::ExposeSecret as _;

    let service = demo::start().await?;
    println!("a demo service with one account runs on {}", service.url());
    let settings = Settings::new()
        .with("url", service.url())
        .with("token", service.token().expose_secret())
        .with("allow_private_addresses", true);
    Ok((Some(service), settings))
}

/// Reads the command line; `None` if it asks for help.
fn arguments(demo: bool) -> Result<Option<Arguments>> {
    let mut read = Arguments {
        folder: "saas-backup-scheduled".into(),
        schedule: if demo { "* * * * * *" } else { "0 * * * *" }.to_owned(),
        time_zone: "UTC".to_owned(),
        rpo: Period(Duration::from_hours(2)),
        alert: None,
        runs: demo.then_some(3),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| Error::new(ErrorKind::Configuration, format!("{word} needs a value; see --help")))
        };
        match word.as_str() {
            "-h" | "--help" => return Ok(None),
            "--schedule" => read.schedule = value()?,
            "--time-zone" => read.time_zone = value()?,
            "--rpo" => read.rpo = value()?.parse()?,
            "--alert" => read.alert = Some(value()?),
            "--runs" => {
                let number = value()?.parse().ok();
                read.runs = Some(number.ok_or_else(|| Error::new(ErrorKind::Configuration, "--runs takes a number"))?);
            }
            folder if !folder.starts_with('-') => read.folder = folder.into(),
            _ => {
                return Err(
                    Error::new(ErrorKind::Configuration, "unknown option; see --help").with_context("option", word)
                );
            }
        }
    }
    Ok(Some(read))
}
