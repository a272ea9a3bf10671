//! Brings one record back as it was at a point in time.
//!
//! ```text
//! cargo run --release --example restore_one_record -p examples --features facade -- --help
//! ```
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::path::Path;

use examples::demo;
use futures::TryStreamExt as _;
use saas_backup::core::{
    At, BlobStatus, Error, ErrorKind, Key, Record, Result, SnapshotOptions, TransferOptions, WriteMode,
};
use saas_backup::{Config, Encryption, Project, RepositoryConfig, Settings, SourceConfig, parse_at};

const HELP: &str = "\
restore_one_record [CONFIG SOURCE COLLECTION ID [AT [INTO]]]

Shows how a record changed, writes it as it was into the folder ./restored with its attachments, and, if INTO is
given, writes it back into the account of that source.

CONFIG            a saas-backup.toml; its environment variables hold the credentials
SOURCE            the source whose copy is read
COLLECTION, ID    the record
AT                a time, a sequence number, a label, latest~3. Default: latest~1
INTO              a source of the configuration whose connector can write

Without arguments: backs up a demo service that runs inside this program, has a note overwritten there by mistake,
and brings it back.";

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (project, source, key, at, into) = match words.as_slice() {
        ["-h" | "--help", ..] => {
            println!("{HELP}");
            return Ok(());
        }
        [] => {
            let project = demo_project().await?;
            (project, "notes", Key::parse("notes", "n_01")?, At::Back(1), None)
        }
        [config, source, collection, id, rest @ ..] => {
            let at = rest.first().map_or(Ok(At::Back(1)), |at| parse_at(at))?;
            (Project::open(Config::load(config)?)?, *source, Key::parse(collection, id)?, at, rest.get(1).copied())
        }
        _ => return Err(Error::new(ErrorKind::Configuration, "too few arguments; see --help")),
    };

    println!("versions of {key}:");
    for version in project.history(source, &key).await? {
        let what = version.record.as_ref().map_or("deleted", |record| record.data.as_str());
        println!("  point {} ({})  {}", version.point, version.at.to_rfc3339(), short(what));
    }

    let record = project.show(source, &key, at.clone()).await?;
    write(&project, source, &record, at.clone(), Path::new("restored")).await?;

    if let Some(into) = into {
        let options = TransferOptions::new(WriteMode::Overwrite).with_at(at).with_records(vec![key]);
        let restored = project.restore(source, into, options).await?;
        println!("written back: {:?}", restored.transferred.report.status);
        for (collection, losses) in &restored.transferred.report.losses {
            println!("  lost in {collection}: {losses:?}");
        }
    }
    Ok(())
}

/// Writes the provider's own JSON, token for token, and the attachments beside it.
async fn write(project: &Project, source: &str, record: &Record, at: At, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let json = folder.join("record.json");
    std::fs::write(&json, record.data.as_bytes())?;
    println!("restored: {}", json.display());
    let snapshot = project.copies(source).await?.snapshot(SnapshotOptions::at(at)).await?;
    for (number, blob) in record.blobs.iter().enumerate().filter(|(_, blob)| blob.status == BlobStatus::Available) {
        let mut bytes = snapshot.open(&record.key, blob, None).await?;
        let path = folder.join(format!("attachment-{number}"));
        let mut file = tokio::fs::File::create(&path).await?;
        while let Some(chunk) = bytes.try_next().await? {
            tokio::io::AsyncWriteExt::write_all(&mut file, &chunk).await?;
        }
        file.sync_all().await?;
        println!("restored: {} ({})", path.display(), blob.name.as_deref().unwrap_or("without a name"));
    }
    Ok(())
}

/// A service, two backups, and a mistake in between.
async fn demo_project() -> Result<Project> {
    use secrecy::ExposeSecret as _;

    let service = demo::start().await?;
    let settings = Settings::new()
        .with("url", service.url())
        .with("token", service.token().expose_secret())
        .with("allow_private_addresses", true);
    let mut repository = RepositoryConfig::new("memory://restore-one-record");
    repository.encryption = Encryption::None;
    let mut config = Config::new(repository, vec![SourceConfig::new("notes", "open-export", settings)?]);
    config.state = Some("restore-one-record-state".into());
    let project = Project::open(config)?;
    project.init().await?;
    project.backup("notes", TransferOptions::backup()).await?;
    service.attach("n_01", "recipe.txt", "text/plain", "flour, water, salt\n")?;
    project.backup("notes", TransferOptions::backup()).await?;
    service.edit_note("n_01", "asdf")?;
    project.backup("notes", TransferOptions::backup()).await?;
    Ok(project)
}

fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(70).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
