//! The export API's server kit against a handler that streams and hashes the same lines, and its client against a loop that
//! hashes and splits them.
//!
//! ```text
//! cargo run --release -p benches --bin export -- run [--records 1000000]
//! ```
//!
//! Each side is a process of its own on one thread, and what counts is its CPU time from when it is ready. The records are
//! made of a few bodies of 1 KB under ids of their own, so that no side holds an account in memory: what is compared is
//! what the protocol costs.
#![allow(clippy::print_stdout, reason = "a program prints")]

mod read;
mod serve;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use benches::Outcome;
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

const USAGE: &str = "\
export run [--records N]     measure everything, print the tables

The steps, each a process of its own:
export serve kit|plain RECORDS
export changes RECORDS
export read|loop URL RECORDS";

/// Changes that are read of accounts of different sizes.
const CHANGES: u64 = 1_000;

/// What a process used from when it was ready.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Used {
    cpu: f64,
    /// Largest resident set, in MiB.
    peak: f64,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run"] => run(1_000_000),
        ["run", "--records", records] => run(records.parse()?),
        ["serve", "kit", records] => serve::kit(records.parse()?),
        ["serve", "plain", records] => serve::plain(records.parse()?),
        ["changes", records] => serve::changes(records.parse()?, CHANGES),
        ["read", url, records] => read::connector(url, records.parse()?),
        ["loop", url, records] => read::by_hand(url, records.parse()?),
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    }
}

fn run(records: u64) -> Outcome<()> {
    let line = serve::line(records / 2).len();
    println!(
        "{records} records in lines of {line} B\n\n| what | CPU s | records a CPU second | peak MiB |\n|---|--:|--:|--:|"
    );
    let print = |name: &str, used: Used| {
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let rate = records as f64 / used.cpu;
        println!("| {name} | {:.2} | {rate:.0} | {:.1} |", used.cpu, used.peak);
        used
    };
    let plain = print("a handler that streams and hashes", served("plain", records)?);
    let kit = print("the server kit", served("kit", records)?);
    let mut server = Server::start(&["serve", "plain", &records.to_string()])?;
    let by_hand = print("a loop that hashes and splits", finished(&["loop", &server.url, &records.to_string()])?);
    let client = print("the connector", finished(&["read", &server.url, &records.to_string()])?);
    server.stop()?;
    println!("\n| | found | asked |\n|---|--:|--:|");
    println!("| server ÷ handler | {:.2} | ≥ 0.6 |", plain.cpu / kit.cpu);
    println!("| client ÷ loop | {:.2} | ≥ 0.6 |", by_hand.cpu / client.cpu);

    let (small, large) = (CHANGES, records);
    let of = |records: u64| finished(&["changes", &records.to_string()]);
    let (few, many) = (of(small)?, of(large)?);
    println!(
        "\n{CHANGES} changes of an account of {small}: {:.1} ms of CPU; of {large}: {:.1} ms",
        few.cpu * 1e3,
        many.cpu * 1e3
    );
    Ok(())
}

/// What a server used while everything was read from it.
fn served(step: &str, records: u64) -> Outcome<Used> {
    let mut server = Server::start(&["serve", step, &records.to_string()])?;
    read::drain(&server.url, records)?;
    server.stop()
}

struct Server {
    child: Child,
    url: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut url = String::new();
        output.read_line(&mut url)?;
        Ok(Self { child, url: url.trim().to_owned(), output })
    }

    /// Ends it by the end of its input, and reads what it used.
    fn stop(&mut self) -> Outcome<Used> {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        self.child.wait()?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// What a step used that ends by itself.
fn finished(arguments: &[&str]) -> Outcome<Used> {
    let output = Command::new(std::env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.lines().last().ok_or("the step printed nothing")?)?)
}

/// CPU seconds of this process so far.
fn cpu() -> Outcome<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs()).as_secs_f64()
            + Duration::from_micros(time.tv_usec().unsigned_abs()).as_secs_f64()
    };
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Prints what this process used since it had used `before`.
fn report(before: f64) -> Outcome<()> {
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let peak = getrusage(UsageWho::RUSAGE_SELF)?.max_rss() as f64 / 1024.0;
    println!("{}", serde_json::to_string(&Used { cpu: cpu()? - before, peak })?);
    Ok(())
}
