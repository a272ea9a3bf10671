use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use saas_backup_core::{Error, ErrorKind, Result};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Action, Alert, Route, Severity, Signal};

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a program of yours for each signal.
///
/// It gets one line of JSON on its standard input: `id`, `action` (`trigger`, `resolve`), `at`, and the members of
/// [`Alert`]. Exit code 0 within 30 seconds means that somebody was told; its output is thrown away.
#[derive(Clone, Debug)]
pub struct CommandRoute {
    name: String,
    command: Vec<String>,
    at_least: Option<Severity>,
}

#[derive(Serialize)]
struct Input<'a> {
    id: &'a str,
    action: Action,
    at: chrono::DateTime<chrono::Utc>,
    #[serde(flatten)]
    alert: &'a Alert,
}

impl CommandRoute {
    /// A program with its arguments; no shell is between.
    pub fn new(name: impl Into<String>, command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { name: name.into(), command: command.into_iter().map(Into::into).collect(), at_least: None }
    }

    /// Leaves out alerts that are less bad.
    #[must_use]
    pub fn at_least(mut self, severity: Severity) -> Self {
        self.at_least = Some(severity);
        self
    }
}

#[async_trait]
impl Route for CommandRoute {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes(&self, alert: &Alert) -> bool {
        self.at_least.is_none_or(|least| alert.severity >= least)
    }

    async fn send(&self, signal: &Signal) -> Result<()> {
        let Signal { id, action, alert, at } = signal;
        let mut input = serde_json::to_vec(&Input { id, action: *action, at: *at, alert })?;
        input.push(b'\n');
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Error::new(ErrorKind::Configuration, "the command of an alert is empty"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Error::new(ErrorKind::Configuration, "the command of an alert cannot be run").with_source(error)
            })?;
        if let Some(mut pipe) = child.stdin.take() {
            // A program that does not read its input is judged by its exit code.
            let _ = pipe.write_all(&input).await;
        }
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        let status =
            ended.map_err(|_| Error::new(ErrorKind::Unavailable, "the command of an alert took too long"))??;
        if status.success() {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Unavailable, "the command of an alert failed");
        Err(match status.code() {
            Some(code) => error.with_context("exit_code", code),
            None => error,
        })
    }
}
