//! Years in minutes: what a repository costs in bytes, objects and requests when a source is backed up every hour and
//! kept up every day, and when thousands of small sources share it.
//!
//! ```text
//! cargo run --release -p benches --bin years -- timeline [--records 100000] [--years 5] [--change 1] [--keep-all] [--json]
//! cargo run --release -p benches --bin years -- sources [--sources 100000] [--json]
//! ```
//!
//! Everything is the real repository, encrypted, on a storage in memory that counts requests; only the time is not: a
//! clock is moved by hand. The same parameters make the same records and the same changes.
#![allow(clippy::print_stdout, reason = "a program prints")]

mod cost;
mod sources;
mod storage;
mod timeline;

use std::error::Error;

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "\
years timeline [--records N] [--years N] [--change PERCENT] [--keep-all] [--json]
    hourly backups, upkeep once a day: 168 hourly, 30 daily and 60 monthly points are kept, or all
years sources [--sources N] [--json]
    three small changes of each of many sources in one repository";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (json, words): (Vec<&str>, Vec<&str>) = words.into_iter().partition(|word| *word == "--json");
    let json = !json.is_empty();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).build()?;
    match words.as_slice() {
        ["timeline", rest @ ..] => {
            let years = runtime.block_on(timeline::run(timeline::Options::parse(rest)?))?;
            print(json, &years, &years.to_string())
        }
        ["sources", rest @ ..] => {
            let count = match rest {
                [] => 100_000,
                ["--sources", number] => number.parse()?,
                _ => return Err(format!("unknown option {rest:?}\n\n{USAGE}").into()),
            };
            let many = runtime.block_on(sources::run(count))?;
            print(json, &many, &many.to_string())
        }
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    }
}

fn print(json: bool, value: &impl serde::Serialize, text: &str) -> Outcome<()> {
    if json {
        println!("{}", serde_json::to_string(value)?);
    } else {
        print!("{text}");
    }
    Ok(())
}
