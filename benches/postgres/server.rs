use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use benches::Outcome;

/// A server of a measurement's own; it ends with it.
#[derive(Debug)]
pub(crate) struct Server {
    data: PathBuf,
    programs: String,
    port: u16,
    process: Child,
}

impl Server {
    /// Makes it in a folder and waits until it answers.
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let programs = programs()?;
        let data = folder.join("server");
        fs::create_dir(&data)?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&data))?;
        }
        let made = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"];
        run(as_server(&format!("{programs}/initdb")).args(made).arg(&data).stdout(Stdio::null()))?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let process = as_server(&format!("{programs}/postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", "", "-c", "wal_level=logical"])
            .args(["-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB", "-c", "autovacuum=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { data, programs, port, process };
        let begun = Instant::now();
        while server.sql("postgres", "SELECT 1").is_err() {
            if begun.elapsed() > Duration::from_mins(1) {
                return Err("the server does not start".into());
            }
            std::thread::yield_now();
        }
        Ok(server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn programs(&self) -> &str {
        &self.programs
    }

    /// What statements give.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> Outcome<String> {
        let mut command = Command::new(format!("{}/psql", self.programs));
        command.args(["-qAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
            command.args(["-c", statement]);
        }
        let output = command.args(["-U", "postgres", database]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// CPU seconds of all its processes so far, the ended ones included (`proc_pid_stat(5)`).
    pub(crate) fn cpu(&self) -> Outcome<f64> {
        let first = fs::read_to_string(self.data.join("postmaster.pid"))?;
        let postmaster = first.lines().next().ok_or("no process number")?.to_owned();
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"))?;
        let mut ticks = 0;
        for (index, process) in std::iter::once(postmaster.as_str()).chain(children.split_whitespace()).enumerate() {
            let Ok(text) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
            let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            // utime and stime; of the first one, also those of its ended children.
            let last = if index == 0 { 15 } else { 13 };
            for field in fields.get(11..last).unwrap_or_default() {
                ticks += field.parse::<u64>()?;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let seconds = ticks as f64 / 100.0;
        Ok(seconds)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = as_server(&format!("{}/pg_ctl", self.programs))
            .args(["stop", "-m", "immediate", "-D"])
            .arg(&self.data)
            .output();
        if stopped.is_ok_and(|output| output.status.success()) {
            self.process.wait().ok();
        }
    }
}

fn programs() -> Outcome<String> {
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql")?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    versions.sort();
    let newest = versions.pop().ok_or("PostgreSQL is not installed (Debian: postgresql)")?;
    Ok(newest.join("bin").display().to_string())
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// A program of the server's, which refuses to run as root.
fn as_server(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--", program]);
    command
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}
