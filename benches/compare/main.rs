//! The whole program against restic, borg and the bare limit, on one deterministic account.
//!
//! ```text
//! cargo run --release -p benches --bin compare -- run FOLDER [--records 1000000] [--attachments 2000]
//! ```
//!
//! `run` makes the workload in FOLDER (about 9 GB at full size, all copies together), measures every step in a process
//! of its own by the operating system's account of it, and prints ratios of CPU seconds, bytes added and peak memory.
//! restic and borg are taken from the machine; a missing one is left out.
#![allow(clippy::print_stdout, reason = "a program prints")]

mod limit;
mod others;
mod ours;
mod table;

use std::path::{Path, PathBuf};

use benches::{Outcome, Workload, measure};

const USAGE: &str = "\
compare run FOLDER [--records N] [--attachments N]   make the workload, measure everything, print the table
compare upkeep FOLDER [--records N] [--attachments N]  merge everything, against the first backup
compare long FOLDER [--records N]                    read everything back after 1 and after 1,000 small increments

The steps, each a process of its own:
compare workload FOLDER [--records N] [--attachments N]
compare round FOLDER NUMBER [--records N] [--attachments N]
compare limit FOLDER THREADS                         compress, decode, digest and encrypt every byte once
compare ours init|source|backup|increments|read|restore|verify|due|record|compact|erase|lose|mend FOLDER
compare measure RESULT.json -- COMMAND…";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", folder, rest @ ..] => table::run(Path::new(folder), workload(rest)?),
        ["upkeep", folder, rest @ ..] => table::upkeep(Path::new(folder), workload(rest)?),
        ["long", folder, rest @ ..] => table::long(Path::new(folder), workload(rest)?.records),
        ["workload", folder, rest @ ..] => Ok(workload(rest)?.write_base(&account(folder))?),
        ["round", folder, number, rest @ ..] => {
            Ok(workload(rest)?.write_round(&account(folder), number.parse()?, true)?)
        }
        ["limit", folder, threads] => limit::run(&account(folder), threads.parse()?),
        ["ours", step, folder, rest @ ..] => ours::run(step, Path::new(folder), workload(rest)?),
        ["measure", result, "--", command @ ..] => measure::child(Path::new(result), command),
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    }
}

/// Where the account lies in the folder of a comparison.
fn account(folder: impl AsRef<Path>) -> PathBuf {
    folder.as_ref().join("account")
}

fn workload(arguments: &[&str]) -> Outcome<Workload> {
    let mut workload = Workload::default();
    for pair in arguments.chunks(2) {
        match pair {
            ["--records", number] => workload.records = number.parse()?,
            ["--attachments", number] => workload.attachments = number.parse()?,
            ["--one-in", number] => workload.one_in = number.parse()?,
            _ => return Err(format!("unknown option {pair:?}\n\n{USAGE}").into()),
        }
    }
    if workload.attachments == 0 {
        workload.new_attachments = 0;
    }
    Ok(workload)
}
