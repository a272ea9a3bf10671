//! An encrypted backup on S3, and the next one that takes only what changed.
//!
//! ```text
//! BACKUP_URL=s3://my-bucket/blog AWS_REGION=eu-central-1 AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… \
//! WORDPRESS_URL=https://blog.example.com WORDPRESS_USER=me WORDPRESS_PASSWORD='…' \
//!     cargo run -p examples --features s3,wordpress --example backup_to_s3
//! ```
//!
//! `--help` says more. Run it from cron: each run is one point in time, and one that was killed goes on where it was.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::env;
use std::path::Path;
use std::process::ExitCode;

use examples::{account, keyed, script};
use saas_backup_core::{Result, RunStatus, TransferOptions, transfer};

const HELP: &str = "\
Backs an account up into an encrypted repository. The first run copies everything, each later one what changed.

usage: backup_to_s3 [--key FILE]

  --key FILE           the key that reads the backup; default: backup.key, which the first run makes.
                       Keep a copy of it where the backup is not: whoever loses it loses the backup

  BACKUP_URL           where to: s3://bucket/prefix; default: the folder ./backup. gs://, az:// and file:// work too
                       if their features are switched on
  AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_SESSION_TOKEN
                       as for other programs; what the environment's role may do counts where they are not set
  AWS_ENDPOINT         a server that is not Amazon's, such as https://minio.example.com
  AWS_ALLOW_HTTP=true  that server speaks HTTP without encryption

Ends with 0 when everything is in the copy, with 3 when something is missing, and with 4 when so much has disappeared
that somebody should look before it is recorded as deleted.
";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let key = match arguments.as_slice() {
        [] => "backup.key",
        ["--key", file] => file,
        ["--help" | "-h"] => {
            print!("{HELP}{}", account::VARIABLES);
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}{}", account::VARIABLES);
            return ExitCode::from(2);
        }
    };
    script::ended(run(Path::new(key)).await)
}

async fn run(key: &Path) -> Result<RunStatus> {
    let account = account::of_environment().await?;
    let url = env::var("BACKUP_URL").unwrap_or_else(|_| "backup".to_owned());
    let repository = keyed::repository(&url, key).await?;
    let copy = repository.source("account")?;

    let done = transfer(&account, &copy, TransferOptions::backup()).await?;

    let totals = done.report.totals();
    println!("{url}: {} records written, {} unchanged, {} deleted", totals.written, totals.unchanged, totals.deleted);
    println!("{} attachments ({} bytes) fetched", totals.blobs, totals.blob_bytes);
    for open in &done.report.gaps {
        println!("missing: {} {}", open.gap.collection, open.gap.problem.title);
    }
    for review in &done.report.reviews {
        println!("stopped: {} of {} records have disappeared", review.candidates.count, review.candidates.live);
    }
    for point in copy.points().await? {
        println!("point in time {}: {}", point.sequence, point.finished);
    }
    Ok(done.report.status)
}
