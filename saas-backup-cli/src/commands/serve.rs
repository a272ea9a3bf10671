use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use saas_backup::core::{Error, ErrorKind, Result};
use saas_backup::ops::SchedulerOptions;
use saas_backup::{Config, Reloaded, ServeOptions, ServingHandle};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Session;
use crate::args::ServeArgs;
use crate::exit::Outcome;
use crate::failure;
use crate::output::time;
use crate::signals;

/// Requests that are answered at a time; monitoring needs one.
const CONNECTIONS: usize = 8;
/// Longest wait for a request, and longest request.
const PATIENCE: Duration = Duration::from_secs(5);
const REQUEST_BYTES: usize = 4096;

pub(super) async fn serve(session: &Session, args: &ServeArgs) -> Result<Outcome> {
    // Before anything else: a request to read the configuration anew would end a process that does not listen.
    let mut requests = signals::Reloads::new();
    let project = Arc::new(session.project()?);
    let grace = Duration::from_secs(args.grace);
    let scheduler = SchedulerOptions::default()
        .with_parallel(args.parallel.into())
        .with_grace(grace, SchedulerOptions::default().cancel_within);
    let serving = project.serve(ServeOptions::default().with_scheduler(scheduler)).await?;
    let handle = serving.handle();
    let listener = match args.listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    announce(session, &handle, listener.as_ref());
    let stop = signals::stop_token(session.output, "runs that are at work may finish");
    let answering = async {
        match listener {
            Some(listener) => answer_all(listener, handle.clone()).await,
            None => std::future::pending().await,
        }
    };
    let reloading = async {
        loop {
            requests.next().await;
            match reload(session, &handle).await {
                Ok(reloaded) => session.output.note(describe(&reloaded)),
                Err(error) => {
                    failure::report(session.output, "serve", &error);
                    session.output.note("the configuration was not taken over; the one before holds");
                }
            }
        }
    };
    tokio::select! {
        () = serving.run(stop) => {}
        () = answering => {}
        () = reloading => {}
    }
    session.output.note("stopped");
    Ok(Outcome::Done)
}

async fn reload(session: &Session, handle: &ServingHandle) -> Result<Reloaded> {
    let path = session.config_path().to_owned();
    // Texts of it may come from files and commands.
    let config = tokio::task::spawn_blocking(move || Config::load(path))
        .await
        .map_err(|error| Error::new(ErrorKind::Unexpected, "a task was cut short").with_source(error))??;
    handle.reload(config).await
}

fn describe(reloaded: &Reloaded) -> String {
    let mut text = "the configuration was read anew".to_owned();
    let parts = [("new", &reloaded.added), ("gone", &reloaded.removed), ("another schedule", &reloaded.rescheduled)];
    for (what, jobs) in parts.into_iter().filter(|(_, jobs)| !jobs.is_empty()) {
        let _ = write!(text, "; {what}: {}", jobs.join(", "));
    }
    text
}

fn announce(session: &Session, handle: &ServingHandle, listener: Option<&TcpListener>) {
    for job in handle.statuses() {
        let next = job.next_run().map_or("never".to_owned(), time);
        session.output.note(format_args!("{}: next run {next}", job.job));
    }
    if let Some(address) = listener.and_then(|listener| listener.local_addr().ok()) {
        session.output.note(format_args!("listening on http://{address} (/healthz, /metrics)"));
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(ErrorKind::Configuration, "cannot listen at this address")
            .with_context("address", address)
            .with_source(error)
    })
}

/// Answers `GET /healthz` and `GET /metrics`: two fixed texts need no web framework.
async fn answer_all(listener: TcpListener, handle: ServingHandle) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let mut at_work = tokio::task::JoinSet::new();
    loop {
        while at_work.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((connection, _)) = listener.accept().await else { continue };
        let handle = handle.clone();
        at_work.spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, answer(connection, &handle)).await;
            if let Ok(Err(error)) = answered {
                tracing::debug!(%error, "a request was not answered");
            }
            drop(place);
        });
    }
}

async fn answer(mut connection: TcpStream, handle: &ServingHandle) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES {
        if connection.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let path = line.strip_prefix(b"GET ").and_then(|rest| rest.split(|byte| *byte == b' ').next());
    let (status, kind, body) = match path {
        Some(b"/healthz") => ("200 OK", "text/plain", "ok\n".to_owned()),
        Some(b"/metrics") => match handle.project().metrics(&handle.statuses()) {
            Ok(metrics) => ("200 OK", "text/plain; version=0.0.4", metrics),
            Err(error) => {
                tracing::error!(%error, "there are no metrics");
                ("500 Internal Server Error", "text/plain", "what is noted on this machine cannot be read\n".to_owned())
            }
        },
        Some(_) => ("404 Not Found", "text/plain", "there are /healthz and /metrics\n".to_owned()),
        None => ("400 Bad Request", "text/plain", "GET /healthz or /metrics\n".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body.as_bytes()).await?;
    connection.shutdown().await
}
