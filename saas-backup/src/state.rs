//! What is remembered on this machine, beside the repository: locks, last runs, schedules, id maps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use saas_backup_core::{
    CollectionName, Coverage, Digest, ErasureReceipt, ErasureRequest, ErasureState, Error, ErrorKind, Period, Result,
    RunId, RunReport, RunStatus,
};
use saas_backup_ops::RunOutcome;
use saas_backup_repository::Anchor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Runs of a source that are remembered at least, and the length of the file at which older ones go.
const LOGGED: usize = 10_000;
const LOG_BYTES: u64 = 2 * 1024 * 1024;

/// The folder in which one repository's state is kept.
#[derive(Clone, Debug)]
pub(crate) struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder of the repository at an address, below the configured or the user's state folder.
    pub(crate) fn of(configured: Option<&Path>, repository: &str) -> Result<Self> {
        let root = match configured {
            Some(path) => path.to_owned(),
            None => default_root()?,
        };
        // The address may name a bucket or a user: a digest tells two repositories apart and nothing else.
        let name: String = Digest::of(repository.as_bytes()).to_string().chars().take(16).collect();
        Ok(Self(root.join(name)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The folder, made if it is not there.
    pub(crate) fn made(&self) -> Result<&Path> {
        make_private(&self.0)?;
        Ok(&self.0)
    }

    /// A folder below, made if it is not there.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.0.join(name);
        make_private(&folder)?;
        Ok(folder)
    }

    /// Keeps other runs of a source on this machine away for as long as the lock lives.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if one is at work.
    pub(crate) fn lock(&self, source: &str) -> Result<RunLock> {
        let path = self.folder("locks")?.join(format!("{source}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(RunLock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Conflict, "another run of this source is at work on this machine")
                    .with_context("source", source))
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The last runs of a source on this machine.
    pub(crate) fn runs(&self, source: &str) -> Result<LastRuns> {
        read_or_default(&self.0.join("runs").join(format!("{source}.json")))
    }

    /// Notes a run of a source.
    pub(crate) fn note(&self, source: &str, run: Run, report: Option<&RunReport>) -> Result<()> {
        let path = self.folder("runs")?.join(format!("{source}.json"));
        // What cannot be read any more is no reason to lose the new run too.
        let mut runs = self.runs(source).unwrap_or_default();
        if run.status == RunStatus::Complete {
            runs.complete = Some(run.clone());
        }
        if let Some(report) = report {
            runs.take(report, run.started);
        }
        let outcome = RunOutcome::new(run.started, run.finished, run.status);
        runs.last = Some(run);
        replace(&path, &serde_json::to_vec_pretty(&runs)?)?;
        self.log(source, &outcome)
    }

    /// Takes what a source shows now as what it should show.
    pub(crate) fn accept_coverage(&self, source: &str) -> Result<()> {
        let mut runs = self.runs(source)?;
        runs.expected = None;
        runs.hidden = None;
        replace(&self.folder("runs")?.join(format!("{source}.json")), &serde_json::to_vec_pretty(&runs)?)
    }

    /// The runs of a source on this machine, in the order in which they ended; the last ten thousand and some more.
    pub(crate) fn outcomes(&self, source: &str) -> Result<Vec<RunOutcome>> {
        let bytes = match std::fs::read(self.log_path(source)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        // A line that a crash cut is left out.
        Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    fn log(&self, source: &str, outcome: &RunOutcome) -> Result<()> {
        self.folder("runs")?;
        let path = self.log_path(source);
        let mut line = serde_json::to_vec(outcome)?;
        line.insert(0, b'\n');
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(&line)?;
        if file.metadata()?.len() > LOG_BYTES {
            let outcomes = self.outcomes(source)?;
            let kept = outcomes.get(outcomes.len().saturating_sub(LOGGED)..).unwrap_or_default();
            let mut lines = Vec::new();
            for outcome in kept {
                lines.push(b'\n');
                serde_json::to_writer(&mut lines, outcome)?;
            }
            replace(&path, &lines)?;
        }
        Ok(())
    }

    fn log_path(&self, source: &str) -> PathBuf {
        self.0.join("runs").join(format!("{source}.log"))
    }
}

impl StateFolder {
    /// How work besides backups last ended on this machine, by the name of its job.
    pub(crate) fn proofs(&self, job: &str) -> Result<LastProofs> {
        read_or_default(&self.0.join("proofs").join(proof_file(job)))
    }

    /// Notes how work besides backups ended.
    pub(crate) fn note_proof(&self, job: &str, note: &ProofNote) -> Result<()> {
        let path = self.folder("proofs")?.join(proof_file(job));
        let mut proofs = self.proofs(job).unwrap_or_default();
        proofs.take(note);
        replace(&path, &serde_json::to_vec_pretty(&proofs)?)
    }
}

/// The names of jobs may hold the addresses of replicas.
fn proof_file(job: &str) -> String {
    let name: String = Digest::of(job.as_bytes()).to_string().chars().take(16).collect();
    format!("{name}.json")
}

impl StateFolder {
    /// The newest commit of each source that this machine has seen.
    pub(crate) fn anchors(&self) -> Result<BTreeMap<String, Anchor>> {
        let mut anchors = BTreeMap::new();
        let entries = match std::fs::read_dir(self.0.join("anchors")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(anchors),
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
            if let Some(source) = name {
                let seen: Seen = serde_json::from_slice(&std::fs::read(&path)?)?;
                anchors.insert(source.to_owned(), Anchor { sequence: seen.sequence, sha256: seen.sha256 });
            }
        }
        Ok(anchors)
    }

    /// Notes the number of the owner's newest statement; gives a higher one that was seen before.
    pub(crate) fn see_statement(&self, number: u64) -> Result<Option<u64>> {
        let path = self.0.join("statement.json");
        let seen: u64 = read_or_default(&path)?;
        if number > seen {
            std::fs::create_dir_all(&self.0)?;
            replace(&path, &serde_json::to_vec(&number)?)?;
        }
        Ok((seen > number).then_some(seen))
    }

    /// Notes the newest commit of a source.
    pub(crate) fn note_anchor(&self, source: &str, anchor: Anchor) -> Result<()> {
        let seen = Seen { sequence: anchor.sequence, sha256: anchor.sha256 };
        replace(&self.folder("anchors")?.join(format!("{source}.json")), &serde_json::to_vec(&seen)?)
    }
}

impl StateFolder {
    /// What a source that asks to erase was told.
    pub(crate) fn answered(&self, source: &str) -> Result<Answered> {
        read_or_default(&self.0.join("requests").join(format!("{source}.json")))
    }

    /// Notes what a source was told.
    pub(crate) fn note_answered(&self, source: &str, answered: &Answered) -> Result<()> {
        replace(&self.folder("requests")?.join(format!("{source}.json")), &serde_json::to_vec_pretty(answered)?)
    }
}

/// What a source that asks to erase was told, by the ids of its requests. Without it, it is told again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Answered {
    told: BTreeMap<String, ErasureState>,
    /// Requests for what was never held: they need not be searched for again.
    nothing_held: BTreeSet<String>,
}

impl Answered {
    pub(crate) fn told(&self, request: &str) -> Option<&ErasureState> {
        self.told.get(request)
    }

    pub(crate) fn tell(&mut self, receipt: &ErasureReceipt) {
        self.told.insert(receipt.id.clone(), receipt.state);
    }

    pub(crate) fn held_nothing(&self, request: &str) -> bool {
        self.nothing_held.contains(request)
    }

    pub(crate) fn note_nothing_held(&mut self, request: &str) {
        self.nothing_held.insert(request.to_owned());
    }

    /// Keeps what is known of these requests alone.
    pub(crate) fn forget_others(&mut self, requests: &[ErasureRequest]) {
        let known: BTreeSet<&str> = requests.iter().map(|request| request.id.as_str()).collect();
        self.told.retain(|id, _| known.contains(id.as_str()));
        self.nothing_held.retain(|id| known.contains(id.as_str()));
    }
}

#[derive(Serialize, Deserialize)]
struct Seen {
    sequence: u64,
    sha256: Digest,
}

/// The lock of a run.
#[derive(Debug)]
pub(crate) struct RunLock {
    _file: File,
}

/// The last runs of a source on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastRuns {
    /// The last one.
    #[serde(default)]
    pub last: Option<Run>,
    /// The last one that left nothing out.
    #[serde(default)]
    pub complete: Option<Run>,
    /// Of each collection, when the last run began after which nothing of it was missing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub collections: BTreeMap<CollectionName, DateTime<Utc>>,
    /// What the account showed before it showed less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Coverage>,
    /// Collections of which it shows less than that, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
}

/// Collections of which an account shows less than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hidden {
    /// When the first run began that saw less.
    pub since: DateTime<Utc>,
    /// The collections.
    pub collections: Vec<CollectionName>,
}

impl LastRuns {
    fn take(&mut self, report: &RunReport, started: DateTime<Utc>) {
        for (name, known) in &report.completeness.collections {
            if known.complete && known.missing_records == 0 && known.missing_blobs == 0 {
                self.collections.insert(name.clone(), started);
            }
        }
        if matches!(report.status, RunStatus::Failed | RunStatus::Cancelled) {
            return;
        }
        let expected = self.expected.get_or_insert_with(|| report.coverage.clone());
        let less: Vec<CollectionName> = report.coverage.worse_than(expected).cloned().collect();
        if less.is_empty() {
            *expected = report.coverage.clone();
            self.hidden = None;
        } else {
            let since = self.hidden.as_ref().map_or(started, |hidden| hidden.since);
            self.hidden = Some(Hidden { since, collections: less });
        }
    }
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Its id; `None` if it failed before it had one.
    pub run: Option<RunId>,
    /// When it began: what changed in the account since is not in the copy.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: DateTime<Utc>,
    /// How it ended.
    pub status: RunStatus,
    /// The point in time that it made, if anything had changed.
    pub sequence: Option<u64>,
    /// Why it failed, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How drills, verifications and the like last ended on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LastProofs {
    pub(crate) last: Option<ProofNote>,
    /// The last one that passed.
    pub(crate) passed: Option<ProofNote>,
    /// The last one that measured how long a restore of everything takes.
    pub(crate) measured: Option<ProofNote>,
}

impl LastProofs {
    /// Takes one in, if it is newer than what is known.
    pub(crate) fn take(&mut self, note: &ProofNote) {
        let newer = |known: &mut Option<ProofNote>, is_one: bool| {
            if is_one && known.as_ref().is_none_or(|known| known.ended <= note.ended) {
                *known = Some(note.clone());
            }
        };
        newer(&mut self.passed, note.passed);
        newer(&mut self.measured, note.rto.is_some());
        newer(&mut self.last, true);
    }
}

/// How a drill, a verification or the like ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProofNote {
    pub(crate) ended: DateTime<Utc>,
    pub(crate) passed: bool,
    /// How long restoring everything took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rto: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// What a file of JSON says; nothing yet if it is not there.
fn read_or_default<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error.into()),
    }
}

/// Replaces a file as a whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a folder that only its owner can read, where the system knows owners.
pub(crate) fn make_private(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| Error::from(error).with_context("state folder", folder.display()))
}

/// Writes a file that only its owner can read; never replaces one.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] if there is one.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| Error::from(error).with_context("file", path.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

fn default_root() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".local/state"));
    variable("SAAS_BACKUP_STATE_DIR")
        .or_else(|| {
            variable("XDG_STATE_HOME")
                .or_else(|| variable("LOCALAPPDATA"))
                .or_else(home)
                .map(|root| root.join("saas-backup"))
        })
        .ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "there is no home folder to keep state in; set SAAS_BACKUP_STATE_DIR")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_of_a_source_is_a_conflict() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::of(Some(root.path()), "memory://").unwrap();
        let other = StateFolder::of(Some(root.path()), "memory://other").unwrap();
        let lock = state.lock("blog").unwrap();
        assert_eq!(state.lock("blog").unwrap_err().kind(), ErrorKind::Conflict);
        state.lock("shop").unwrap();
        other.lock("blog").unwrap();
        drop(lock);
        state.lock("blog").unwrap();
    }

    #[test]
    fn the_last_complete_run_outlives_a_failed_one() {
        let root = tempfile::tempdir().unwrap();
        let state = StateFolder::of(Some(root.path()), "memory://").unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let mut run = Run {
            run: None,
            started: at("2026-01-01T00:00:00Z"),
            finished: at("2026-01-01T00:01:00Z"),
            status: RunStatus::Complete,
            sequence: Some(1),
            message: None,
        };
        state.note("blog", run.clone(), None).unwrap();
        let complete = run.clone();
        run.status = RunStatus::Failed;
        state.note("blog", run.clone(), None).unwrap();
        assert_eq!(
            state.runs("blog").unwrap(),
            LastRuns { last: Some(run), complete: Some(complete), ..LastRuns::default() }
        );
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_secret(&path, b"hunter2").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_secret(&path, b"other").unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "hunter2");
    }
}
