//! The engine of low-code manifests against Airbyte's own, dlt and Singer's SDK, over the same pages of the same server.
//!
//! ```text
//! cargo run --release -p benches --bin declarative -- run FOLDER [--records 200000] [--cdk VENV] [--peers VENV]
//! cargo run --release -p benches --bin declarative -- load MANIFEST SETTINGS [--cdk VENV]
//! ```
//!
//! `run` renders all pages of 100 records before anything is measured, and answers from memory. Each step is a process of its own
//! that writes every record as a line of JSON into a file: ours as lines of the project's own format, with what the envelope
//! says, and a cursor after each page that is written out before the next page is asked for. `load` compares what it takes until
//! a manifest's collections are ready to be read; SETTINGS is a JSON object of what the manifest asks for.
//!
//! `testing/requirements/cdk.txt` and `testing/requirements/extractors.txt` are what the virtual environments hold.
#![allow(clippy::print_stdout, reason = "a program prints")]

mod server;

use std::fs;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use benches::Outcome;
use benches::measure::{self, Cost, measure as cost_of};
use futures::{StreamExt as _, TryStreamExt as _};
use nix::sys::resource::{UsageWho, getrusage};
use saas_backup_core::{Connector as _, Line, LineCodec, ReadRequest, SnapshotOptions, TransferOptions, transfer};
use saas_backup_declarative::{Declarative, DeclarativeConfig, Options};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions};
use server::{MARK, Server};

const USAGE: &str = "\
declarative run FOLDER [--records N] [--cdk VENV] [--peers VENV]     measure everything, print the tables
declarative load MANIFEST SETTINGS [--cdk VENV]                      what it takes to load a manifest

The steps, each a process of its own:
declarative read|backup FOLDER MANIFEST URL
declarative loaded MANIFEST SETTINGS
declarative measure RESULT.json -- COMMAND…";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/declarative/peers.py");
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/declarative");
/// How often a manifest is loaded; the middle one counts.
const LOADS: usize = 5;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", folder, rest @ ..] => {
            let (mut records, mut cdk, mut peers) = (200_000, None, None);
            for pair in rest.chunks(2) {
                match pair {
                    ["--records", number] => records = number.parse()?,
                    ["--cdk", path] => cdk = Some(std::path::absolute(path)?),
                    ["--peers", path] => peers = Some(std::path::absolute(path)?),
                    _ => return Err(format!("unknown option {pair:?}").into()),
                }
            }
            run(Path::new(folder), records, cdk.as_deref(), peers.as_deref())
        }
        ["load", manifest, settings] => load(manifest, settings, None),
        ["load", manifest, settings, "--cdk", cdk] => load(manifest, settings, Some(Path::new(cdk))),
        [step @ ("read" | "backup"), folder, manifest, url] => {
            let account = account(manifest, url)?;
            let folder = Path::new(folder);
            if *step == "read" {
                // On one thread: a reading is one walk, and there is nothing beside it.
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                return runtime.block_on(read(&account, folder));
            }
            // As the command does it.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(back_up(&account, folder))
        }
        ["loaded", manifest, settings] => {
            let before = process_seconds()?;
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let mut config = DeclarativeConfig::new(manifest);
            config.config = serde_json::from_str(settings)?;
            let account = Declarative::new(config)?;
            let snapshot = runtime.block_on(account.snapshot(SnapshotOptions::default()))?;
            let collections = runtime.block_on(snapshot.catalog())?.collections.len();
            println!("{} {collections}", process_seconds()? - before);
            Ok(())
        }
        ["measure", result, "--", command @ ..] => measure::child(Path::new(result), command),
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    }
}

fn account(manifest: &str, url: &str) -> Outcome<Declarative> {
    let options = Options::default().with_private_addresses(true).with_requests_per_second(1e6);
    let config = DeclarativeConfig::new(manifest).with_setting("base_url", url).with_setting("api_key", "none");
    Ok(Declarative::new(config.with_options(options))?)
}

/// Writes all that a snapshot gives into one file.
async fn read(account: &Declarative, folder: &Path) -> Outcome<()> {
    let snapshot = account.snapshot(SnapshotOptions::default()).await?;
    let codec = LineCodec::stored();
    let mut file = BufWriter::with_capacity(128 * 1024, fs::File::create(folder.join("records.jsonl"))?);
    let (mut line, mut checkpoints) = (Vec::new(), 0);
    let mut feeds = snapshot.feeds();
    while let Some(feed) = feeds.try_next().await? {
        let mut events = snapshot.read(ReadRequest::new(feed));
        while let Some(event) = events.next().await {
            let Some(event) = Line::from_event(event?) else { continue };
            line.clear();
            codec.encode(&event, &mut line)?;
            line.push(b'\n');
            file.write_all(&line)?;
            if matches!(event, Line::Checkpoint { .. }) {
                checkpoints += 1;
                file.flush()?;
            }
        }
    }
    println!("{checkpoints} cursors");
    Ok(())
}

async fn back_up(account: &Declarative, folder: &Path) -> Outcome<()> {
    let place = folder.join("repository");
    fs::create_dir_all(&place)?;
    let options = RepositoryOptions::parse(&format!("file://{}", place.display()))?;
    let repository = Repository::init(options.with_keys(Keys::owner(Identity::generate()))).await?;
    let report = transfer(account, &repository.source("items")?, TransferOptions::backup()).await?.report;
    println!("{:?}: {:?}", report.status, report.totals());
    Ok(())
}

/// One row of the table.
struct Row {
    name: String,
    cost: Cost,
    read: u64,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    fn rate(&self) -> f64 {
        self.read as f64 / self.cost.cpu
    }
}

struct Bench {
    folder: PathBuf,
    program: String,
    server: Server,
}

impl Bench {
    /// Runs one step in an empty folder of its own, counts the records that it left there, and prints its row.
    fn row(&self, name: &str, read: u64, command: &[&str], environment: &[(&str, &str)]) -> Outcome<Row> {
        let at = self.folder.join("step");
        fs::create_dir(&at)?;
        let cost = cost_of(&at, command, environment)?;
        let row = Row { name: name.to_owned(), cost, read };
        let written = count(&at)?;
        fs::remove_dir_all(&at)?;
        let Cost { cpu, wall, peak } = cost;
        // A repository has no lines.
        let written = if written > 0 { written.to_string() } else { String::new() };
        println!("| {} | {cpu:.2} | {:.0} | {wall:.1} | {peak:.1} | {written} |", row.name, row.rate());
        Ok(row)
    }

    fn ours(&self, name: &str, step: &str, manifest: &str, records: u64) -> Outcome<Row> {
        let at = self.folder.join("step").display().to_string();
        let manifest = format!("{MANIFESTS}/{manifest}.yaml");
        let url = self.server.url(records);
        self.row(name, records, &[&self.program, step, &at, &manifest, &url], &[])
    }

    fn cdk(&self, name: &str, cdk: &Path, manifest: &str, records: u64) -> Outcome<Row> {
        let config = self.folder.join("config.json");
        let settings = serde_json::json!({ "base_url": self.server.url(records), "api_key": "none" });
        fs::write(&config, settings.to_string())?;
        let catalog = self.folder.join("catalog.json");
        let stream = serde_json::json!({
            "stream": { "name": "items", "json_schema": {}, "supported_sync_modes": ["full_refresh"] },
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        });
        fs::write(&catalog, serde_json::json!({ "streams": [stream] }).to_string())?;
        let command = format!(
            "exec {}/bin/source-declarative-manifest read --config {} --catalog {} --manifest-path {MANIFESTS}/{manifest}.yaml \
             >records.jsonl",
            cdk.display(),
            config.display(),
            catalog.display()
        );
        self.row(name, records, &["sh", "-c", &command], &[])
    }

    fn peer(&self, name: &str, peers: &Path, step: &str, records: u64) -> Outcome<Row> {
        let command = format!("exec {}/bin/python {SCRIPT} {step} >records.jsonl", peers.display());
        self.row(name, records, &["sh", "-c", &command], &[("BASE_URL", &self.server.url(records))])
    }
}

fn run(folder: &Path, records: u64, cdk: Option<&Path>, peers: Option<&Path>) -> Outcome<()> {
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    if fs::read_dir(&folder)?.next().is_some() {
        return Err(format!("{} is not empty: name an empty folder", folder.display()).into());
    }
    let server = Server::start(records)?;
    println!("{records} records of {} B, in pages of {}", server.record_bytes(), server::PAGE);
    let bench = Bench { folder, program: std::env::current_exe()?.display().to_string(), server };
    println!(
        "\n| what | CPU s | records a CPU second | wall s | peak MiB | lines with a record |\n|---|--:|--:|--:|--:|--:|"
    );
    let plain = bench.ours("saas-backup", "read", "plain", records)?;
    let tenth = bench.ours("saas-backup, a tenth of the records", "read", "plain", records / 10)?;
    let fields = bench.ours("saas-backup, a filter and added fields", "read", "fields", records)?;
    let backup = bench.ours("saas-backup, into an encrypted repository", "backup", "plain", records)?;
    let mut ratios = Vec::new();
    if let Some(cdk) = cdk {
        let other = bench.cdk("airbyte-cdk", cdk, "plain", records)?;
        ratios.push(("airbyte-cdk, plain", plain.rate() / other.rate(), 12));
        ratios.push(("airbyte-cdk, against a whole backup of ours", backup.rate() / other.rate(), 0));
        let other = bench.cdk("airbyte-cdk, a filter and added fields", cdk, "fields", records)?;
        ratios.push(("airbyte-cdk, a filter and added fields", fields.rate() / other.rate(), 12));
    }
    if let Some(peers) = peers {
        let other = bench.peer("dlt", peers, "dlt", records)?;
        ratios.push(("dlt", plain.rate() / other.rate(), 10));
        let other = bench.peer("singer-sdk", peers, "singer", records)?;
        ratios.push(("singer-sdk", plain.rate() / other.rate(), 10));
    }
    println!("\n| records a CPU second, ours ÷ theirs | found | asked |\n|---|--:|--:|");
    for (name, ratio, asked) in ratios {
        let asked = if asked == 0 { String::new() } else { format!("≥ {asked}") };
        println!("| {name} | {ratio:.1} | {asked} |");
    }
    let peak = [&plain, &tenth, &fields].iter().map(|row| row.cost.peak).fold(0.0, f64::max);
    println!(
        "\npeak memory of our readings: {peak:.1} MiB, of a tenth of the records {:.1}; asked ≤ 32",
        tenth.cost.peak
    );
    Ok(())
}

/// The lines of all files that hold a record.
fn count(folder: &Path) -> Outcome<u64> {
    let mut lines = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            // Where dlt keeps copies of what it has written.
            if !path.ends_with("work") {
                lines += count(&path)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            let holds = memchr::memmem::Finder::new(MARK);
            for line in BufReader::new(fs::File::open(path)?).split(b'\n') {
                lines += u64::from(holds.find(&line?).is_some());
            }
        }
    }
    Ok(lines)
}

/// CPU seconds of this process so far.
fn process_seconds() -> Outcome<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs()).as_secs_f64()
            + Duration::from_micros(time.tv_usec().unsigned_abs()).as_secs_f64()
    };
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn load(manifest: &str, settings: &str, cdk: Option<&Path>) -> Outcome<()> {
    let program = std::env::current_exe()?;
    let bytes = fs::metadata(manifest)?.len();
    let mut ours = Command::new(program);
    ours.args(["loaded", manifest, settings]);
    let (ours, collections) = middle(&mut ours)?;
    println!("{bytes} bytes\n\n| | CPU s | collections |\n|---|--:|--:|\n| saas-backup | {ours:.3} | {collections} |");
    if let Some(cdk) = cdk {
        let mut theirs = Command::new(cdk.join("bin/python"));
        theirs.args([SCRIPT, "load", manifest, settings]);
        let (theirs, collections) = middle(&mut theirs)?;
        println!("| airbyte-cdk, once imported | {theirs:.3} | {collections} |");
        println!("\n{:.1} times as fast; asked ≥ 20", theirs / ours);
    }
    Ok(())
}

/// The middle one of several runs of a program that prints its CPU seconds and what it loaded.
fn middle(command: &mut Command) -> Outcome<(f64, String)> {
    let mut found = Vec::new();
    for _ in 0..LOADS {
        let began = Instant::now();
        let output = command.output()?;
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().last().unwrap_or_default();
        let (seconds, loaded) = line.split_once(' ').ok_or_else(|| {
            format!("{} after {:?}: {}", output.status, began.elapsed(), String::from_utf8_lossy(&output.stderr))
        })?;
        found.push((seconds.parse::<f64>()?, loaded.to_owned()));
    }
    found.sort_by(|one, other| one.0.total_cmp(&other.0));
    Ok(found.swap_remove(found.len() / 2))
}
