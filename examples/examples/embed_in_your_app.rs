//! A web service that backs up its tenants' accounts: an endpoint starts a run, server-sent events show it, Ctrl-C ends
//! everything in order.
//!
//! ```text
//! cargo run --release --example embed_in_your_app -p examples --features facade -- --help
//! ```
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path as Segment, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use examples::demo;
use futures::{Stream, StreamExt as _, stream};
use saas_backup::core::{
    CancellationToken, Counts, Error, ErrorKind, Progress, ProgressEvent, Result, RunStatus, TransferOptions,
};
use saas_backup::{Config, Project, RepositoryConfig, Settings, SourceConfig, Text, keygen_to};
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

const HELP: &str = "\
embed_in_your_app [--listen ADDRESS] [--tour] [FOLDER]

A service with two tenants. Each has an account, a repository and a key of its own.

  POST /tenants/{tenant}/backup    starts a run, unless one is at work
  GET  /tenants/{tenant}/events    server-sent events: what the run does
  GET  /tenants/{tenant}/points    the points in time

FOLDER             where keys, repositories and state are kept. Default: ./saas-backup-tenants
--listen ADDRESS   Default: 127.0.0.1:8080
--tour             take a free port, call the service as its users would, print what it says, and end

NOTES_URL, NOTES_TOKEN   the account of both tenants. Without them, a demo service that runs inside this program.";

/// What the handlers share.
#[derive(Clone)]
struct App {
    tenants: Arc<BTreeMap<String, Tenant>>,
    /// The runs that are at work; the service ends after the last one.
    runs: TaskTracker,
    /// Tells the runs to end.
    stop: CancellationToken,
}

struct Tenant {
    project: Arc<Project>,
    events: broadcast::Sender<Told>,
}

/// What users see of a run.
#[derive(Clone, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Told {
    Started { expected: Option<u64> },
    Progress { records: u64, attachments: u64 },
    Finished { status: Option<RunStatus>, message: Option<String> },
}

/// Turns what the engine says into what users see.
#[derive(Debug)]
struct Teller {
    events: broadcast::Sender<Told>,
    counts: Mutex<Counts>,
}

impl Progress for Teller {
    fn event(&self, event: &ProgressEvent) {
        let told = match event {
            ProgressEvent::Started { expected, .. } => Told::Started { expected: *expected },
            ProgressEvent::Advanced { counts, .. } => {
                let mut sum = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                *sum = sum.plus(counts);
                Told::Progress { records: sum.read, attachments: sum.blobs }
            }
            _ => return,
        };
        // That nobody listens is no failure.
        let _ = self.events.send(told);
    }
}

fn routes(app: App) -> Router {
    Router::new()
        .route("/tenants/{tenant}/backup", post(start_backup))
        .route("/tenants/{tenant}/events", get(events))
        .route("/tenants/{tenant}/points", get(points))
        .with_state(app)
}

async fn start_backup(State(app): State<App>, Segment(name): Segment<String>) -> Response {
    let Some(tenant) = app.tenants.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let (project, events) = (Arc::clone(&tenant.project), tenant.events.clone());
    let progress = Arc::new(Teller { events: events.clone(), counts: Mutex::default() });
    let options = TransferOptions::backup().with_progress(progress).with_cancel(app.stop.clone());
    app.runs.spawn(async move {
        let told = match project.backup("notes", options).await {
            Ok(done) => Told::Finished { status: Some(done.report.status), message: None },
            // Two runs of one account exclude each other: the second says so.
            Err(error) => Told::Finished { status: None, message: Some(error.to_string()) },
        };
        let _ = events.send(told);
    });
    StatusCode::ACCEPTED.into_response()
}

async fn events(State(app): State<App>, Segment(name): Segment<String>) -> Response {
    let Some(tenant) = app.tenants.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    Sse::new(told(tenant.events.subscribe(), app.stop.clone())).into_response()
}

/// The events until the service stops; a listener that is too slow misses some.
fn told(
    events: broadcast::Receiver<Told>,
    stop: CancellationToken,
) -> impl Stream<Item = std::result::Result<Event, Infallible>> {
    let next = |mut events: broadcast::Receiver<Told>| async move {
        loop {
            match events.recv().await {
                Ok(told) => return Some((told, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    };
    stream::unfold(events, next)
        .take_until(stop.cancelled_owned())
        .filter_map(|told| async move { Event::default().json_data(told).ok().map(Ok) })
}

async fn points(State(app): State<App>, Segment(name): Segment<String>) -> Response {
    let Some(tenant) = app.tenants.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    match tenant.project.points("notes").await {
        Ok(points) => Json(json!(points)).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// A tenant: its own repository, its own key.
async fn tenant(folder: &Path, name: &str, settings: Settings) -> Result<Tenant> {
    let folder = std::path::absolute(folder.join(name))?;
    std::fs::create_dir_all(&folder)?;
    let key = folder.join("me.key");
    let first = !key.exists();
    if first {
        keygen_to(&key)?;
    }
    let mut repository = RepositoryConfig::new(folder.join("repository").display().to_string());
    repository.identity = Some(Text::File(key.display().to_string()));
    let mut config = Config::new(repository, vec![SourceConfig::new("notes", "open-export", settings)?]);
    config.state = Some(folder.join("state"));
    let project = Project::open(config)?;
    if first {
        project.init().await?;
    }
    Ok(Tenant { project: Arc::new(project), events: broadcast::channel(256).0 })
}

#[tokio::main]
async fn main() -> Result<()> {
    let (mut address, mut tour, mut folder) =
        ("127.0.0.1:8080".to_owned(), false, PathBuf::from("saas-backup-tenants"));
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-h" | "--help" => {
                println!("{HELP}");
                return Ok(());
            }
            "--tour" => (tour, address) = (true, "127.0.0.1:0".to_owned()),
            "--listen" => address = words.next().unwrap_or_default(),
            option if option.starts_with('-') => {
                return Err(
                    Error::new(ErrorKind::Configuration, "unknown option; see --help").with_context("option", word)
                );
            }
            path => folder = path.into(),
        }
    }
    let service = demo::start().await?;
    let mut tenants = BTreeMap::new();
    for name in ["acme", "umbrella"] {
        tenants.insert(name.to_owned(), tenant(&folder, name, settings(&service)).await?);
    }
    let app = App { tenants: Arc::new(tenants), runs: TaskTracker::new(), stop: CancellationToken::new() };

    let listener = tokio::net::TcpListener::bind(&address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}; POST {url}/tenants/acme/backup");
    let stop = app.stop.clone();
    let ended = async move {
        if tour {
            if let Err(error) = take_tour(&url).await {
                println!("the tour broke off: {error}");
            }
        } else if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        println!("stopping: runs make durable what they have; the next ones go on from there");
        stop.cancel();
    };
    axum::serve(listener, routes(app.clone())).with_graceful_shutdown(ended).await?;
    app.runs.close();
    app.runs.wait().await;
    println!("stopped");
    Ok(())
}

fn settings(service: &demo::Demo) -> Settings {
    use secrecy::ExposeSecret as _;

    match std::env::var("NOTES_URL").ok().zip(std::env::var("NOTES_TOKEN").ok()) {
        Some((url, token)) => Settings::new().with("url", url).with("token", token),
        None => Settings::new()
            .with("url", service.url())
            .with("token", service.token().expose_secret())
            .with("allow_private_addresses", true),
    }
}

/// Calls the service as its users would.
async fn take_tour(url: &str) -> Result<()> {
    let acme = format!("{url}/tenants/acme");
    let mut events = request("GET", &format!("{acme}/events")).await?;
    request("POST", &format!("{acme}/backup")).await?;
    while let Some(line) = events.line().await? {
        if let Some(event) = line.strip_prefix("data: ") {
            println!("event: {event}");
            if event.contains("\"finished\"") {
                break;
            }
        }
    }
    let mut points = request("GET", &format!("{acme}/points")).await?;
    while let Some(line) = points.line().await? {
        if line.starts_with('[') {
            println!("points: {line}");
            break;
        }
    }
    Ok(())
}

/// An answer, line by line. A program that has a HTTP client would use it.
struct Answer(tokio::io::BufReader<tokio::net::TcpStream>);

impl Answer {
    async fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let read = tokio::io::AsyncBufReadExt::read_line(&mut self.0, &mut line).await?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }
}

async fn request(method: &str, url: &str) -> Result<Answer> {
    let rest = url.trim_start_matches("http://");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut connection = tokio::net::TcpStream::connect(host).await?;
    let head = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut connection, head.as_bytes()).await?;
    let mut answer = Answer(tokio::io::BufReader::new(connection));
    // The events are only subscribed to once the head of the answer is there.
    while answer.line().await?.is_some_and(|line| !line.is_empty()) {}
    Ok(answer)
}
