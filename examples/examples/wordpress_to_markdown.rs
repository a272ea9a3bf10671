//! A WordPress site as a folder of Markdown files with their pictures: one call.
//!
//! ```text
//! WORDPRESS_URL=https://blog.example.com WORDPRESS_USER=me WORDPRESS_PASSWORD='abcd efgh ijkl mnop' \
//!     cargo run -p examples --features wordpress --example wordpress_to_markdown -- my-blog
//! ```
//!
//! `--help` says where the password comes from. Nothing on the site is changed. Any other connector in place of
//! `WordPress`, and any other format in place of `Markdown`, works the same.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::process::ExitCode;

use examples::{account, script};
use saas_backup_core::{Result, RunStatus, TransferOptions, WriteMode, transfer};
use saas_backup_formats::markdown::{MarkdownConfig, MarkdownConnector};

const HELP: &str = "\
Writes a WordPress site into a folder of Markdown files: one file for each post and page, with its title, time, author
and terms as front matter, pictures and other files beside them, and links between them that work offline.

usage: wordpress_to_markdown [FOLDER]          default: ./vault; an earlier vault there is replaced
";

#[tokio::main]
async fn main() -> ExitCode {
    match script::path_argument(&format!("{HELP}{}", account::VARIABLES), "vault") {
        Ok(folder) => script::ended(run(&folder).await),
        Err(end) => end,
    }
}

async fn run(folder: &str) -> Result<RunStatus> {
    let source = account::of_environment().await?;
    let vault = MarkdownConnector::new(MarkdownConfig::new(folder));

    let done = transfer(&source, &vault, TransferOptions::new(WriteMode::Overwrite)).await?;

    script::tell(&done.report);
    let found = vault.check_content().await?;
    println!("{folder}: {} pages, {} links that lead nowhere", found.files, found.count);
    println!("Open the folder with any editor, or as a vault in Obsidian.");
    Ok(done.report.status)
}
