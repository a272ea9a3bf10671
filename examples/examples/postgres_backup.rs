//! A PostgreSQL database in an encrypted repository: everything once, then what changed, and back at any point in time.
//!
//! ```text
//! PGHOST=db.example.com PGDATABASE=shop PGUSER=backup PGPASSWORD=… BACKUP_URL=/backups/shop \
//!     cargo run --release -p examples --features postgres --example postgres_backup
//! PGDATABASE=shop_again … --example postgres_backup -- restore
//! ```
//!
//! `--help` says more. Run it from cron: each run is one point in time, and one that was killed goes on where it was.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use examples::{demo, keyed, script};
use saas_backup_connectors::postgres::{Postgres, PostgresConfig};
use saas_backup_core::{At, Connector, Error, ErrorKind, Result, RunStatus, TransferOptions, WriteMode, transfer};

const HELP: &str = "\
Backs a PostgreSQL database up into an encrypted repository. The first run copies everything from one consistent view,
each later one what the server's log says has changed.

usage: postgres_backup [--key FILE]
       postgres_backup restore [--at SEQUENCE] [--dry-run] [--key FILE]

  restore              writes a point in time into the database that the environment names, all of it or nothing; make
                       an empty one for it: createdb shop_again
  --at SEQUENCE        the point in time, of those that a backup lists; default: the newest
  --dry-run            writes, looks whether the database takes it, and takes it back
  --key FILE           the key that reads the backup; default: backup.key, which the first run makes.
                       Keep a copy of it where the backup is not: whoever loses it loses the backup

  BACKUP_URL           where the repository is; default: the folder ./backup
  PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD
                       as for psql. Without PGDATABASE a demo account is taken, so that you see what comes out
  PGSSLROOTCERT        certificates to trust, such as the bundle of Amazon RDS
  SLOT=none            reads everything each time; or the name of the replication slot, default saas_backup: each
                       repository needs one of its own. The server keeps its log for it: when the last backup was made,
                       SELECT pg_drop_replication_slot('saas_backup')

Ends with 0 when everything is in the copy, with 3 when something is missing, and with 4 when so much has disappeared
that somebody should look before it is recorded as deleted.
";

struct Arguments {
    restore: bool,
    at: At,
    dry_run: bool,
    key: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match arguments() {
        Some(arguments) => script::ended(run(arguments).await),
        None if env::args().any(|argument| argument == "--help" || argument == "-h") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        None => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Option<Arguments> {
    let mut read = Arguments { restore: false, at: At::Now, dry_run: false, key: "backup.key".to_owned() };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "restore" => read.restore = true,
            "--dry-run" if read.restore => read.dry_run = true,
            "--at" if read.restore => read.at = At::Sequence(arguments.next()?.parse().ok()?),
            "--key" => read.key = arguments.next()?,
            _ => return None,
        }
    }
    Some(read)
}

async fn run(arguments: Arguments) -> Result<RunStatus> {
    let url = env::var("BACKUP_URL").unwrap_or_else(|_| "backup".to_owned());
    let repository = keyed::repository(&url, Path::new(&arguments.key)).await?;
    let copy = repository.source("database")?;
    if arguments.restore {
        let options = TransferOptions::new(WriteMode::Create).with_at(arguments.at).with_dry_run(arguments.dry_run);
        let done = transfer(&copy, &*database()?, options).await?;
        script::tell(&done.report);
        for refusal in &done.report.refused {
            println!(
                "refused: {}: {}; {}",
                refusal.key,
                refusal.problem.title,
                refusal.problem.detail.as_deref().unwrap_or_default()
            );
        }
        return Ok(done.report.status);
    }
    let source = if env::var_os("PGDATABASE").is_some() {
        database()?
    } else {
        eprintln!("PGDATABASE is not set: taking the demo account instead (--help says more)\n");
        demo::connector().await?
    };
    let done = transfer(&source, &copy, TransferOptions::backup()).await?;
    let totals = done.report.totals();
    println!("{url}: {} rows written, {} unchanged, {} deleted", totals.written, totals.unchanged, totals.deleted);
    for open in &done.report.gaps {
        let detail = open.gap.problem.detail.as_deref().unwrap_or_default();
        println!("missing: {}: {}; {detail}", open.gap.collection, open.gap.problem.title);
    }
    for review in &done.report.reviews {
        println!("stopped: {} of {} rows have disappeared", review.candidates.count, review.candidates.live);
    }
    for point in copy.points().await? {
        println!("point in time {}: {}", point.sequence, point.finished);
    }
    Ok(done.report.status)
}

/// The database that the environment names.
fn database() -> Result<Arc<dyn Connector>> {
    let variable = |name: &str| {
        env::var(name).map_err(|_| Error::new(ErrorKind::Configuration, format!("{name} is not set; --help says more")))
    };
    let host = env::var("PGHOST").unwrap_or_else(|_| "localhost".to_owned());
    let mut config = PostgresConfig::new(host, variable("PGDATABASE")?, variable("PGUSER")?);
    if let Ok(port) = env::var("PGPORT") {
        let wrong = |_| Error::new(ErrorKind::Configuration, "PGPORT is not a port");
        config = config.with_port(port.parse().map_err(wrong)?);
    }
    if let Ok(password) = env::var("PGPASSWORD") {
        config = config.with_password(password);
    }
    config.ca_file = env::var_os("PGSSLROOTCERT").map(Into::into);
    config = match env::var("SLOT").as_deref() {
        Ok("none") => config.with_increments(false),
        Ok(slot) => config.with_slot(slot),
        Err(_) => config,
    };
    Ok(Arc::new(Postgres::new(config)?))
}
