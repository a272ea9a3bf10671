//! A PostgreSQL database against `pg_dump` and `pg_restore`, each with the server's share of the work.
//!
//! ```text
//! cargo run --release -p benches --bin postgres -- run FOLDER [--rows 1000000]
//! ```
//!
//! `run` starts a server of its own in FOLDER, which PostgreSQL refuses to root: as root, `runuser` starts it for the user
//! `postgres`, who must be allowed to enter FOLDER. Steps are processes of their own; the server's CPU seconds are those of its
//! processes, the ended ones included.
#![allow(clippy::print_stdout, reason = "a program prints")]

mod server;

use std::fs;
use std::path::Path;

use benches::Outcome;
use benches::measure::{self, Cost, measure as cost_of};
use saas_backup_connectors::postgres::{Postgres, PostgresConfig};
use saas_backup_core::{At, TransferOptions, WriteMode, transfer};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions, VerifyOptions};
use secrecy::ExposeSecret as _;
use server::Server;

const USAGE: &str = "\
postgres run FOLDER [--rows N]     measure everything, print the table

The steps, each a process of its own:
postgres backup|verify FOLDER PORT        from the database `shop`
postgres restore FOLDER PORT              into the database `ours`
postgres measure RESULT.json -- COMMAND…";

/// What rows are like: numbers, times, money, a sentence, a document.
const ROWS: &str = "
    CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, created timestamptz NOT NULL, total numeric(12, 2) NOT NULL,
        state text NOT NULL, note text, attributes jsonb NOT NULL);
    INSERT INTO orders SELECT n, n * 7919 % 100003, '2026-01-01T00:00:00Z'::timestamptz + n * interval '17 seconds',
        (n * 31 % 100000) / 100.0, (ARRAY['new', 'paid', 'sent', 'returned'])[1 + n % 4],
        CASE WHEN n % 3 > 0 THEN 'Ordered by telephone, to be sent to ' || md5(n::text) || ' before ' || n % 28 END,
        jsonb_build_object('channel', (ARRAY['web', 'shop', 'phone'])[1 + n % 3], 'weight', n % 977 / 10.0, 'code', md5((n * 3)::text))
    FROM generate_series(1::bigint, $ROWS) n;
    CREATE INDEX ON orders (customer); CREATE INDEX ON orders (created); VACUUM ANALYZE orders;";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", folder] => run(Path::new(folder), 1_000_000),
        ["run", folder, "--rows", rows] => run(Path::new(folder), rows.parse()?),
        [step @ ("backup" | "verify" | "restore"), folder, port] => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .max_blocking_threads(8)
                .enable_all()
                .build()?;
            runtime.block_on(ours(step, Path::new(folder), port.parse()?))
        }
        ["measure", result, "--", command @ ..] => measure::child(Path::new(result), command),
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    }
}

async fn ours(step: &str, folder: &Path, port: u16) -> Outcome<()> {
    let key = folder.join("me.key");
    let options = |identity| -> Outcome<RepositoryOptions> {
        let place = folder.join("repository");
        fs::create_dir_all(&place)?;
        Ok(RepositoryOptions::parse(&format!("file://{}", place.display()))?.with_keys(Keys::owner(identity)))
    };
    let repository = if key.exists() {
        Repository::open(options(Identity::parse(&fs::read_to_string(&key)?)?)?).await?
    } else {
        let identity = Identity::generate();
        fs::write(&key, identity.to_file().expose_secret())?;
        Repository::init(options(identity)?).await?
    };
    let settings = |database: &str| PostgresConfig::new("127.0.0.1", database, "postgres").with_port(port);
    let copy = repository.source("shop")?;
    let report = match step {
        "backup" => transfer(&Postgres::new(settings("shop"))?, &copy, TransferOptions::backup()).await?.report,
        "restore" => {
            let target = Postgres::new(settings("ours").with_increments(false))?;
            // The point before the increment, as `pg_dump` saw it.
            let options = TransferOptions::new(WriteMode::Create).with_at(At::Back(1));
            transfer(&copy, &target, options).await?.report
        }
        _ => {
            let verified = repository.verify(&VerifyOptions::read_all(), &mut |_| ()).await?;
            return if verified.is_good() { Ok(()) } else { Err("the repository is damaged".into()) };
        }
    };
    println!("{:?}: {:?}", report.status, report.totals());
    Ok(())
}

/// One row of the table.
struct Step {
    name: &'static str,
    client: Cost,
    server: f64,
}

impl Step {
    fn cpu(&self) -> f64 {
        self.client.cpu + self.server
    }
}

fn run(folder: &Path, rows: u64) -> Outcome<()> {
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    if fs::read_dir(&folder)?.next().is_some() {
        return Err(format!("{} is not empty: name an empty folder", folder.display()).into());
    }
    let server = Server::start(&folder)?;
    server.sql("postgres", "CREATE DATABASE shop")?;
    server.sql("shop", &ROWS.replace("$ROWS", &rows.to_string()))?;
    for database in ["theirs", "ours"] {
        server.sql("postgres", &format!("CREATE DATABASE {database}"))?;
    }
    let (program, here, port) =
        (std::env::current_exe()?.display().to_string(), folder.display().to_string(), server.port().to_string());
    let step = |name: &'static str, command: &[&str]| -> Outcome<Step> {
        let before = server.cpu()?;
        let client = cost_of(&folder, command, &[])?;
        let server = server.cpu()? - before;
        println!(
            "{name:<34}{:>8.2} s client, {server:>6.2} s server, {:>6.1} s, {:>6.0} MiB",
            client.cpu, client.wall, client.peak
        );
        Ok(Step { name, client, server })
    };
    let programs = server.programs();
    let to = format!("-h 127.0.0.1 -p {port} -U postgres");
    let dump = format!(
        "{programs}/pg_dump {to} -Fd -j2 -Z 0 -f dump shop && zstd -q -3 --rm dump/[0-9]*.dat && sha256sum dump/*.zst dump/toc.dat"
    );
    let restore =
        format!("sha256sum dump/*.zst && zstd -q -d --rm dump/*.zst && {programs}/pg_restore {to} -j2 -d theirs dump");
    let theirs = step("pg_dump, zstd -3, SHA-256", &["sh", "-c", &dump])?;
    let ours = step("saas-backup, everything", &[&program, "backup", &here, &port])?;
    let verified = step("saas-backup, verify all", &[&program, "verify", &here, &port])?;
    server.sql("shop", "UPDATE orders SET total = total + 1, state = 'paid' WHERE id % 100 = 0")?;
    let increment = step("saas-backup, 1 % changed", &[&program, "backup", &here, &port])?;
    let empty = step("saas-backup, nothing changed", &[&program, "backup", &here, &port])?;
    // Restores write much into the server's log, which increments would have to read past.
    let theirs_back = step("SHA-256, zstd -d, pg_restore", &["sh", "-c", &restore])?;
    let ours_back = step("saas-backup, restore", &[&program, "restore", &here, &port])?;
    let same = server.sql("ours", "SELECT count(*), sum(total), md5(string_agg(note, '' ORDER BY id)) FROM orders")?
        == server.sql("theirs", "SELECT count(*), sum(total), md5(string_agg(note, '' ORDER BY id)) FROM orders")?;
    println!("\nrestored alike: {same}");
    for (what, ratio, promise) in [
        ("rows a CPU second of pg_dump", theirs.cpu() / ours.cpu(), "≥ 0.7"),
        ("the same with verify all", theirs.cpu() / (ours.cpu() + verified.cpu()), ""),
        ("restored rows a CPU second of pg_restore", theirs_back.cpu() / ours_back.cpu(), "≥ 0.7"),
        ("increment of 1 %, of pg_dump's CPU", increment.cpu() / theirs.cpu(), "≤ 0.05"),
        ("empty increment, of pg_dump's CPU", empty.cpu() / theirs.cpu(), ""),
    ] {
        println!("{what:<44}{ratio:>7.3}  {promise}");
    }
    let peak = [&ours, &ours_back, &increment].iter().map(|step| step.client.peak).fold(0.0, f64::max);
    println!("{:<44}{peak:>7.0}  ≤ 256", "peak memory, MiB");
    let bytes = measure::held_below(&folder.join("repository"))?.1;
    println!("repository: {} MiB; {}", bytes / (1024 * 1024), theirs.name);
    Ok(())
}
