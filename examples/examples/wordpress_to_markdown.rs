//! A WordPress site as a folder of Markdown files with their pictures: one call.
//!
//! ```text
//! WORDPRESS_URL=https://blog.example.com WORDPRESS_USER=me WORDPRESS_PASSWORD='abcd efgh ijkl mnop' \
//!     cargo run -p examples --features wordpress --example wordpress_to_markdown -- my-blog
//! ```
//!
//! `--help` says where the password comes from. Nothing on the site is changed. Any other connector in place of
//! `WordPress`, and any other format in place of `Markdown`, works the same.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use examples::demo;
use saas_backup_connectors::wordpress::{WordPress, WordPressConfig};
use saas_backup_core::{
    Connector, Error, ErrorKind, Result, RunReport, RunStatus, TransferOptions, WriteMode, transfer,
};
use saas_backup_formats::markdown::{MarkdownConfig, MarkdownConnector};

const HELP: &str = "\
Writes a WordPress site into a folder of Markdown files: one file for each post and page, with its title, time, author
and terms as front matter, pictures and other files beside them, and links between them that work offline.

usage: wordpress_to_markdown [FOLDER]          default: ./vault; an earlier vault there is replaced

  WORDPRESS_URL        the site, such as https://blog.example.com
  WORDPRESS_USER       who to log in as; what this user may not see is not exported
  WORDPRESS_PASSWORD   an application password of that user: Users → Profile → Application Passwords
  WORDPRESS_PRIVATE=1  the site is on a network of your own, or speaks HTTP without encryption

Without these a demo account is exported, so that you see what comes out.
Open the folder with any editor, or as a vault in Obsidian.
";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let folder = match arguments.as_slice() {
        [] => "vault",
        [folder] if !folder.starts_with('-') => folder,
        [help] if help == "--help" || help == "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(folder).await {
        Ok(RunStatus::Complete) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(folder: &str) -> Result<RunStatus> {
    let source = source().await?;
    let vault = MarkdownConnector::new(MarkdownConfig::new(folder));

    let done = transfer(&source, &vault, TransferOptions::new(WriteMode::Overwrite)).await?;

    tell(&done.report);
    let found = vault.check_content().await?;
    println!("{folder}: {} pages, {} links that lead nowhere", found.files, found.count);
    Ok(done.report.status)
}

/// The site that the environment names, or the demo.
async fn source() -> Result<Arc<dyn Connector>> {
    let Ok(url) = env::var("WORDPRESS_URL") else {
        eprintln!("WORDPRESS_URL is not set: exporting the demo account instead (--help says more)\n");
        return demo::connector().await;
    };
    let variable = |name: &str| {
        env::var(name).map_err(|_| Error::new(ErrorKind::Configuration, format!("{name} is not set; --help says more")))
    };
    let config = WordPressConfig::new(url, variable("WORDPRESS_USER")?, variable("WORDPRESS_PASSWORD")?)
        .with_private_addresses(env::var("WORDPRESS_PRIVATE").is_ok_and(|answer| answer == "1"));
    Ok(Arc::new(WordPress::new(&config)?))
}

fn tell(report: &RunReport) {
    for (collection, counts) in report.collections.iter().filter(|(_, counts)| counts.read > 0) {
        println!("{:>6}  {collection}, {} files", counts.written, counts.blobs);
    }
    for open in &report.gaps {
        println!("missing: {} {}", open.gap.collection, open.gap.problem.title);
    }
    for (collection, reasons) in &report.losses {
        for (reason, count) in reasons {
            println!("not in Markdown: {collection}: {reason} ({count} records)");
        }
    }
}
