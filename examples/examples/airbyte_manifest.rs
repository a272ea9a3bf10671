//! Runs a low-code manifest of Airbyte, unchanged, into an encrypted repository: everything once, then what changed.
//!
//! ```text
//! BACKUP_URL=/backups/missive cargo run --release -p examples --features declarative --example airbyte_manifest -- \
//!     source-missive.yaml --config settings.json
//! ```
//!
//! `--help` says more. Without a manifest it runs one of its own against a small service that it starts, so that you see
//! what comes out.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::env;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use axum::extract::Query;
use axum::routing::get;
use examples::{keyed, script};
use saas_backup_core::{Result, RunStatus, TransferOptions, transfer};
use saas_backup_declarative::{Declarative, DeclarativeConfig, Options};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const HELP: &str = "\
Backs up the account that a low-code manifest of Airbyte describes, into an encrypted repository.

usage: airbyte_manifest [MANIFEST] [--config FILE] [--key FILE]

  MANIFEST             a manifest, such as a source-NAME.yaml of Airbyte's repository. Without one a demo is taken
  --config FILE        the settings that the manifest asks for, as JSON: the file that Airbyte takes, too. A value such as
                       \"$API_KEY\" is taken from the environment
  --key FILE           the key that reads the backup; default: backup.key, which the first run makes.
                       Keep a copy of it where the backup is not: whoever loses it loses the backup

  BACKUP_URL           where the repository is; default: the folder ./backup
  TOKEN_FILE           where a refresh token is kept that the provider replaces

Ends with 0 when everything is in the copy, with 3 when something is missing, and with 4 when so much has disappeared
that somebody should look before it is recorded as deleted.
";

/// The manifest of the demo: notes, page by page.
const DEMO: &str = r#"
version: 6.0.0
type: DeclarativeSource
check: { type: CheckStream, stream_names: [notes] }
streams:
  - type: DeclarativeStream
    name: notes
    primary_key: id
    retriever:
      type: SimpleRetriever
      requester: { type: HttpRequester, url_base: "{{ config['url'] }}", path: notes }
      record_selector: { type: RecordSelector, extractor: { type: DpathExtractor, field_path: [notes] } }
      paginator:
        type: DefaultPaginator
        page_token_option: { type: RequestOption, inject_into: request_parameter, field_name: page }
        pagination_strategy: { type: PageIncrement, page_size: 10, start_from_page: 1 }
    schema_loader: { type: InlineSchemaLoader, schema: { type: object } }
spec:
  type: Spec
  connection_specification: { type: object, required: [url], properties: { url: { type: string } } }
"#;

struct Arguments {
    manifest: Option<PathBuf>,
    config: Option<PathBuf>,
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
    let mut read = Arguments { manifest: None, config: None, key: "backup.key".to_owned() };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--config" => read.config = Some(arguments.next()?.into()),
            "--key" => read.key = arguments.next()?,
            path if !path.starts_with('-') && read.manifest.is_none() => read.manifest = Some(path.into()),
            _ => return None,
        }
    }
    Some(read)
}

async fn run(arguments: Arguments) -> Result<RunStatus> {
    let url = env::var("BACKUP_URL").unwrap_or_else(|_| "backup".to_owned());
    // The demo's manifest lies here until the run is over.
    let folder = tempfile::tempdir()?;
    let config = match &arguments.manifest {
        Some(manifest) => {
            let mut options = Options::default();
            options.token_file = env::var_os("TOKEN_FILE").map(PathBuf::from);
            let mut config = DeclarativeConfig::new(manifest).with_options(options);
            config.config = arguments.config.as_deref().map_or(Ok(Map::new()), script::settings)?;
            config
        }
        None => demo(folder.path()).await?,
    };
    let account = Declarative::new(config)?;
    let repository = keyed::repository(&url, Path::new(&arguments.key)).await?;
    let copy = repository.source("account")?;
    let done = transfer(&account, &copy, TransferOptions::backup()).await?;
    script::tell(&done.report);
    for point in copy.points().await? {
        println!("point in time {}: {}", point.sequence, point.finished);
    }
    Ok(done.report.status)
}

#[derive(Deserialize)]
struct Page {
    page: Option<usize>,
}

/// Starts a small service with notes, and gives what it takes to read it.
async fn demo(folder: &Path) -> Result<DeclarativeConfig> {
    eprintln!("no manifest is given: taking the demo instead (--help says more)\n");
    let notes = get(|Query(asked): Query<Page>| async move {
        let first = (asked.page.unwrap_or(1).max(1) - 1) * 10;
        let notes: Vec<Value> =
            (first + 1..=25).take(10).map(|id| json!({ "id": id, "title": format!("Note {id}") })).collect();
        axum::Json(json!({ "notes": notes }))
    });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/notes", notes)).await });
    let manifest = folder.join("source-demo.yaml");
    std::fs::write(&manifest, DEMO)?;
    Ok(DeclarativeConfig::new(manifest)
        .with_setting("url", format!("http://{address}"))
        .with_options(Options::default().with_private_addresses(true)))
}
