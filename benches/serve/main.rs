//! What `saas-backup serve` takes while nothing is due: one source against many.
//!
//! ```text
//! cargo build --release -p saas-backup-cli
//! cargo run --release -p benches --bin serve -- run FOLDER target/release/saas-backup [--sources 1000] [--seconds 300]
//! ```
//!
//! Every source has a schedule with jitter and a blackout, an objective and an owner, and somebody is told what is wrong: once a
//! minute all of that is looked at.
#![allow(clippy::print_stdout, reason = "a program prints")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use benches::Outcome;

const USAGE: &str =
    "serve run FOLDER COMMAND [--sources N] [--seconds N]     what COMMAND takes for 1 source and for N";

/// Ticks of the processor's clock in a second, as Linux counts them in `/proc`.
const TICKS: f64 = 100.0;

/// How long the start may take, which is not measured.
const START: Duration = Duration::from_secs(20);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut sources, mut seconds) = (1000, 300);
    let [run, folder, command, rest @ ..] = arguments.as_slice() else {
        println!("{USAGE}");
        return Ok(());
    };
    for option in rest.chunks(2) {
        match option {
            [name, value] if name == "--sources" => sources = value.parse()?,
            [name, value] if name == "--seconds" => seconds = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    if run != "run" || sources < 2 {
        return Err(USAGE.into());
    }
    let command = fs::canonicalize(command)?;
    let measure = |sources| measure(&Path::new(folder).join(format!("serve-{sources}")), &command, sources, seconds);
    let (one, many) = (measure(1)?, measure(sources)?);
    println!("| sources | of a core, idle | CPU s to start | MiB |\n|--:|--:|--:|--:|");
    for (sources, taken) in [(1, one), (sources, many)] {
        println!("| {sources} | {:.2} % | {:.2} | {:.1} |", taken.share * 100.0, taken.start, taken.kib / 1024.0);
    }
    println!("\n{:.1} KiB a source", (many.kib - one.kib) / f64::from(sources - 1));
    Ok(())
}

#[derive(Clone, Copy)]
struct Taken {
    /// CPU seconds until it was idle.
    start: f64,
    /// CPU seconds a second, while idle.
    share: f64,
    /// Largest resident set.
    kib: f64,
}

fn measure(folder: &Path, command: &Path, sources: u32, seconds: u64) -> Outcome<Taken> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let ours = |arguments: &[&str]| {
        let mut ours = Command::new(command);
        ours.args(arguments).current_dir(folder).env("SAAS_BACKUP_STATE_DIR", "state").stdin(Stdio::null());
        ours.stdout(Stdio::null()).stderr(Stdio::null());
        ours
    };
    if !ours(&["init"]).status()?.success() {
        return Err("init failed".into());
    }
    let path = folder.join("saas-backup.toml");
    let mut text = fs::read_to_string(&path)?;
    text.push_str("\n[[alert]]\nkind = \"command\"\nprogram = [\"true\"]\n");
    for number in 0..sources {
        // Due on the first of a month that is far away, each at another minute.
        let (minute, hour) = (number % 60, number % 24);
        write!(
            text,
            "\n[[source]]\nname = \"source-{number}\"\nowner = \"somebody\"\nconnector = \"jsonl\"\npath = \"account\"\n\
             schedule = \"{minute} {hour} 29 2 *\"\ntime_zone = \"Europe/Madrid\"\njitter = \"30m\"\nrpo = \"1w\"\n\
             blackout = [\"Mon-Fri 08:00-18:00\"]\n"
        )?;
    }
    fs::write(&path, text)?;
    let mut child = ours(&["serve"]).spawn()?;
    let taken = watch(&child, seconds);
    child.kill()?;
    child.wait()?;
    taken
}

#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
fn watch(child: &Child, seconds: u64) -> Outcome<Taken> {
    std::thread::sleep(START);
    let (start, started) = (cpu(child)?, Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let share = (cpu(child)? - start) / started.elapsed().as_secs_f64();
    Ok(Taken { start, share, kib: peak(child)? })
}

/// CPU seconds of a process.
fn cpu(child: &Child) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks: Vec<f64> = after_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// The largest resident set of a process, in KiB.
fn peak(child: &Child) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
