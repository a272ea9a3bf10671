//! What commands cost, each in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// What a finished process cost, by the operating system's account.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// User and system time of all its threads, in seconds.
    pub cpu: f64,
    /// Time on the wall, in seconds.
    pub wall: f64,
    /// Largest resident set, in MiB.
    pub peak: f64,
}

/// Runs a command in a process of its own that has no other child, and says what it cost. The program that calls this hands
/// `measure RESULT -- COMMAND…` to [`child`].
pub fn measure(folder: &Path, command: &[&str], environment: &[(&str, &str)]) -> Outcome<Cost> {
    let result: PathBuf = folder.join("cost.json");
    let mut wrapper = Command::new(std::env::current_exe()?);
    wrapper.arg("measure").arg(&result).arg("--").args(command);
    wrapper.envs(environment.iter().copied()).current_dir(folder).stdin(Stdio::null());
    let status = wrapper.status()?;
    if !status.success() {
        return Err(format!("{} failed: {status}", command.join(" ")).into());
    }
    Ok(serde_json::from_slice(&fs::read(result)?)?)
}

/// The process in between: runs the command and writes down what its children cost.
pub fn child(result: &Path, command: &[&str]) -> Outcome<()> {
    let [program, arguments @ ..] = command else { return Err("no command to measure".into()) };
    let started = Instant::now();
    let output = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    let wall = started.elapsed().as_secs_f64();
    if !output.success() {
        return Err(format!("{program} failed: {output}").into());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| {
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let seconds = time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds
    };
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let peak = usage.max_rss() as f64 / 1024.0;
    let cost = Cost { cpu: seconds(usage.user_time()) + seconds(usage.system_time()), wall, peak };
    fs::write(result, serde_json::to_vec(&cost)?)?;
    Ok(())
}

/// How many files there are at or below a path, and their bytes.
pub fn held_below(path: &Path) -> Outcome<(u64, u64)> {
    if path.is_file() {
        return Ok((1, path.metadata()?.len()));
    }
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(path)? {
        let below = held_below(&entry?.path())?;
        files += below.0;
        bytes += below.1;
    }
    Ok((files, bytes))
}
