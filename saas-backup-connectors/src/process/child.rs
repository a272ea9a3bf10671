use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use saas_backup_core::{Error, ErrorKind, Result, Retry};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::time::Instant;

use super::lines::{Line, Lines};
use super::{Files, Redactor, Settings};

/// What of our own environment a program gets: where things are, and how the network is reached.
const ENVIRONMENT: [&str; 16] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SYSTEMROOT",
];
/// How long a program that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// Its last lines that are kept for an error.
const LAST_WORDS: usize = 3;
/// Most of what it says of itself that is read, in bytes: its catalog, its check.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Most bytes of what it logs that are looked at together.
const MAX_LOG_BYTES: usize = 16 << 10;

/// Stands for the folder of the program's files in its arguments: containers have to be given it.
const FILES: &str = "{files}";
const CONFIG: &str = "config.json";

/// How a program is started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The executable and its first arguments.
    command: Vec<String>,
    environment: BTreeMap<String, SecretString>,
    pub(crate) settings: Settings,
    /// How long it may say nothing while it is asked.
    silence: Duration,
    /// How long it may run.
    longest: Duration,
}

impl Program {
    pub(crate) fn new(command: Vec<String>, environment: BTreeMap<String, SecretString>, settings: Settings) -> Self {
        Self { command, environment, settings, silence: Duration::MAX, longest: Duration::MAX }
    }

    /// Bounds its silence and its life.
    pub(crate) fn within(mut self, silence_minutes: u32, longest_hours: u32) -> Self {
        self.silence = Duration::from_mins(silence_minutes.max(1).into());
        self.longest = Duration::from_hours(longest_hours.max(1).into());
        self
    }

    /// Its name for a person.
    pub(crate) fn name(&self) -> String {
        let first = self.command.first().map(String::as_str).unwrap_or_default();
        std::path::Path::new(first).file_name().map_or_else(|| first.to_owned(), |name| name.to_string_lossy().into())
    }

    /// Lays out a run: some arguments, a file with the settings of now, and further arguments.
    pub(crate) fn prepare(&self, first: &[&str], then: &[&str]) -> Result<Run<'_>> {
        let (given, files) = (self.settings.current()?, Files::new()?);
        let environment = self.environment.values().map(|value| Value::from(value.expose_secret())).collect();
        let redactor = Redactor::new([&given, &Value::Array(environment)]);
        let mut arguments: Vec<OsString> = first.iter().map(OsString::from).collect();
        arguments.extend(["--config".into(), files.write(CONFIG, &given)?.into()]);
        arguments.extend(then.iter().map(OsString::from));
        Ok(Run { program: self, given, files, redactor, arguments })
    }
}

/// A run of a program before it starts.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    program: &'a Program,
    given: Value,
    files: Files,
    pub(crate) redactor: Redactor,
    arguments: Vec<OsString>,
}

impl<'a> Run<'a> {
    /// Adds an argument that names a file with a value.
    pub(crate) fn give(&mut self, argument: &str, name: &str, value: &impl Serialize) -> Result<()> {
        self.arguments.extend([argument.into(), self.files.write(name, value)?.into()]);
        Ok(())
    }

    /// What keeps the settings that the program replaces in its file, however the run ends.
    pub(crate) fn keeper(&self) -> Keeper<'a> {
        Keeper { settings: &self.program.settings, given: self.given.clone(), files: self.files.clone() }
    }

    /// Starts it. Dropping what this gives ends it, and everything that it started.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is no such program.
    pub(crate) fn start(self) -> Result<Running> {
        let Program { command, environment, silence, longest, .. } = self.program;
        let Some((executable, first)) = command.split_first() else {
            return Err(Error::new(ErrorKind::Configuration, "`command` names no program"));
        };
        let folder = self.files.path().to_string_lossy();
        let first = first.iter().map(|argument| argument.replace(FILES, &folder));
        let mut command = Command::new(executable);
        command.args(first).args(self.arguments).env_clear().env("TMPDIR", self.files.path());
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(environment.iter().map(|(name, value)| (name, value.expose_secret())));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let name = self.program.name();
        let mut child = command.spawn().map_err(|error| {
            Error::new(ErrorKind::Configuration, "the program cannot be started")
                .with_context("program", &name)
                .with_context("next", "see that it is installed, and that `command` names it with its folder")
                .with_source(error)
        })?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::new(ErrorKind::Unexpected, "the program has no output"));
        };
        Ok(Running {
            group: Some(Group { leader: Leader { id: child.id(), child }, _files: self.files }),
            stdout,
            stderr: Some(stderr),
            lines: Lines::default(),
            log: Log { rest: Vec::new(), last: VecDeque::new(), redactor: self.redactor },
            status: None,
            silence: *silence,
            ends_at: Instant::now().checked_add(*longest),
            name,
        })
    }

    /// Starts it and takes all that it says; with it, whether it ended well.
    ///
    /// # Errors
    ///
    /// Those of [`Running::next`]; [`ErrorKind::LimitExceeded`] if it says too much.
    pub(crate) async fn answer(self) -> Result<(Vec<Line>, Result<()>)> {
        let mut running = self.start()?;
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while let Some(line) = running.next().await? {
            bytes += line.bytes.len() + 1;
            if bytes > MAX_ANSWER_BYTES {
                return Err(Error::new(ErrorKind::LimitExceeded, "the program says more of itself than is read")
                    .with_context("most_bytes", MAX_ANSWER_BYTES));
            }
            lines.push(line);
        }
        let ended = running.finish().await;
        Ok((lines, ended))
    }
}

/// Keeps what a program writes into the file of its settings, as some do with a token that was replaced.
#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    settings: &'a Settings,
    given: Value,
    files: Files,
}

impl Keeper<'_> {
    /// Keeps it now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] if there is no file to keep it in.
    pub(crate) fn keep(mut self) -> Result<()> {
        self.keep_changes()
    }

    fn keep_changes(&mut self) -> Result<()> {
        match self.files.read(CONFIG) {
            Some(now) if now.is_object() && now != self.given => {
                self.given = now;
                self.settings.keep(&self.given)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.keep_changes() {
            tracing::warn!(%error, "what a program replaced in its settings is lost");
        }
    }
}

/// A program at work.
#[derive(Debug)]
pub(crate) struct Running {
    group: Option<Group>,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    lines: Lines,
    log: Log,
    status: Option<ExitStatus>,
    silence: Duration,
    ends_at: Option<Instant>,
    name: String,
}

impl Running {
    /// The next line; `None` when it has said everything. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if it says nothing for too long, [`ErrorKind::LimitExceeded`] if it runs too long or
    /// writes a line without end.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>> {
        let deadline = self.deadline();
        loop {
            if let Some(line) = self.lines.next()? {
                return Ok(Some(line));
            }
            if self.lines.over {
                return Ok(None);
            }
            let (logs, exits) = (self.stderr.is_some(), self.status.is_none());
            tokio::select! {
                read = self.stdout.read_buf(self.lines.room()) => self.lines.over = read? == 0,
                over = self.log.read(&mut self.stderr), if logs => if over? { self.stderr = None },
                status = exit(&mut self.group), if exits => self.status = Some(status?),
                () = tokio::time::sleep_until(deadline) => return Err(self.overdue()),
            }
        }
    }

    /// When it will have been silent for too long, or have run for too long.
    fn deadline(&self) -> Instant {
        let silent = Instant::now().checked_add(self.silence);
        let first = silent.into_iter().chain(self.ends_at).min();
        first.unwrap_or_else(|| Instant::now() + Duration::from_hours(24 * 365))
    }

    fn overdue(&self) -> Error {
        if self.ends_at.is_some_and(|at| Instant::now() >= at) {
            return self
                .failed(ErrorKind::LimitExceeded, "the program runs longer than it may")
                .with_context("next", "set `longest_hours` if it has so much to read");
        }
        self.failed(ErrorKind::Unavailable, "the program says nothing for too long")
            .with_context("minutes", self.silence.as_secs() / 60)
            .with_context("next", "set `silence_minutes` if it may take so long")
    }

    /// Waits for its end, and says whether it was a good one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if it says that it failed, or was ended by a signal.
    pub(crate) async fn finish(mut self) -> Result<()> {
        let deadline = self.deadline();
        while self.status.is_none() {
            let logs = self.stderr.is_some();
            tokio::select! {
                status = exit(&mut self.group) => self.status = Some(status?),
                over = self.log.read(&mut self.stderr), if logs => if over? { self.stderr = None },
                () = tokio::time::sleep_until(deadline) => return Err(self.overdue()),
            }
        }
        while self.stderr.is_some() {
            // What else holds the pipe is not waited for.
            match tokio::time::timeout(GRACE, self.log.read(&mut self.stderr)).await {
                Ok(Ok(false)) => {}
                _ => self.stderr = None,
            }
        }
        if !self.status.is_some_and(|status| status.success()) {
            return Err(self.failed(ErrorKind::Unavailable, "the program failed"));
        }
        Ok(())
    }

    /// An error with what is known of the program's end: no settings, no addresses.
    pub(crate) fn failed(&self, kind: ErrorKind, what: &'static str) -> Error {
        self.explain(Error::new(kind, what))
    }

    /// Adds what is known of the program's end.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let retry = if error.kind() == ErrorKind::LimitExceeded { Retry::Never } else { error.retry() };
        let mut error = error.with_context("program", &self.name).with_retry(retry);
        if let Some(status) = self.status.filter(|status| !status.success()) {
            error = error.with_context("status", status);
        }
        let last = self.log.last_words();
        if last.is_empty() { error } else { error.with_context("it_said", last) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut group) = self.group.take().filter(|_| self.status.is_none()) else { return };
        // Asked first, so that a container that it stands for ends, too; then it has to.
        group.leader.signal(Urgency::Ask);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::timeout(GRACE, group.leader.child.wait()).await.ok();
                drop(group);
            });
        }
    }
}

/// A program and its files.
#[derive(Debug)]
struct Group {
    leader: Leader,
    /// Held until it has ended.
    _files: Files,
}

/// A process, and the group of what it starts; ended when dropped.
#[derive(Debug)]
struct Leader {
    child: tokio::process::Child,
    /// Of the group, which has the number of the process that began it.
    id: Option<u32>,
}

#[derive(Clone, Copy)]
enum Urgency {
    Ask,
    End,
}

impl Leader {
    #[cfg(unix)]
    fn signal(&self, urgency: Urgency) {
        use rustix::process::{Pid, Signal, kill_process_group};

        let signal = match urgency {
            Urgency::Ask => Signal::TERM,
            Urgency::End => Signal::KILL,
        };
        let group = self.id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Only the process itself is known here, and it is ended when it is dropped.
    #[cfg(not(unix))]
    fn signal(&self, _: Urgency) {}
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.signal(Urgency::End);
    }
}

/// Waits for the end of the program, and ends what it left running: that would hold its pipes open for ever.
async fn exit(group: &mut Option<Group>) -> std::io::Result<ExitStatus> {
    let Some(group) = group else { return std::future::pending().await };
    let status = group.leader.child.wait().await?;
    group.leader.signal(Urgency::End);
    // Its number may soon be another's.
    group.leader.id = None;
    Ok(status)
}

/// What the program logs: kept short, for an error.
#[derive(Debug)]
struct Log {
    rest: Vec<u8>,
    last: VecDeque<String>,
    redactor: Redactor,
}

impl Log {
    /// Reads once; whether nothing more comes. Cancel safe.
    async fn read(&mut self, stderr: &mut Option<ChildStderr>) -> std::io::Result<bool> {
        let Some(stderr) = stderr else { return Ok(true) };
        let read = stderr.read_buf(&mut self.rest).await?;
        while let Some(end) = memchr::memchr(b'\n', &self.rest) {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.note(&line);
        }
        if read == 0 || self.rest.len() > MAX_LOG_BYTES {
            let line = std::mem::take(&mut self.rest);
            self.note(&line);
        }
        Ok(read == 0)
    }

    fn note(&mut self, line: &[u8]) {
        let shown = self.redactor.shown(&String::from_utf8_lossy(line));
        if shown.is_empty() {
            return;
        }
        tracing::debug!(line = shown, "the program logs");
        self.last.push_back(shown);
        if self.last.len() > LAST_WORDS {
            self.last.pop_front();
        }
    }

    fn last_words(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}
