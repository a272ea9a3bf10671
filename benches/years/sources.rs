use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{Json, Key, ManualClock, Record, TransferOptions, transfer};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions};
use serde::Serialize;

use crate::Outcome;
use crate::cost::{cpu, peak, ratio};
use crate::storage::{CountingStore, Requests};

const BEGINNING: i64 = 1_767_225_600;
/// Runs that change something.
const ROUNDS: u64 = 3;

/// What many small sources cost.
#[derive(Debug, Serialize)]
pub(crate) struct Many {
    sources: u64,
    rounds: Vec<Round>,
    /// What runs cost that found nothing new.
    empty: Requests,
    cpu: f64,
    peak_mib: f64,
}

/// One run of each source.
#[derive(Debug, Serialize)]
struct Round {
    requests: Requests,
    /// Bytes that zstd makes of the changed records.
    records: u64,
}

/// Backs up every source three times, each with one record that changed, and once with none.
pub(crate) async fn run(sources: u64) -> Outcome<Many> {
    let clock = ManualClock::new(DateTime::from_timestamp(BEGINNING, 0).ok_or("no such time")?);
    let options = RepositoryOptions::parse("memory://years")?
        .with_clock(Arc::new(clock.clone()))
        .with_keys(Keys::owner(Identity::generate()));
    let store = CountingStore::default();
    let repository = Repository::init_on(Arc::new(store.clone()), options).await?;
    store.take_requests();
    let (mut rounds, mut empty) = (Vec::new(), Requests::default());
    let accounts: Vec<MemoryStore> = (0..sources).map(|_| MemoryStore::new()).collect();
    for round in 0..=ROUNDS {
        let mut records = 0;
        for (number, account) in (0..).zip(&accounts) {
            // The last round finds what the one before it found.
            let record = changed(number, round.min(ROUNDS - 1))?;
            records += zstd::bulk::compress(record.data.as_bytes(), 3)?.len() as u64;
            if round < ROUNDS {
                account.put(record);
            }
            let source = repository.source(&format!("tenant-{number}"))?;
            let options = TransferOptions::backup().with_clock(Arc::new(clock.clone()));
            transfer(&MemoryConnector::new(account.clone()), &source, options).await?;
        }
        let requests = store.take_requests();
        if round < ROUNDS {
            rounds.push(Round { requests, records });
        } else {
            empty = requests;
        }
        clock.advance(Duration::from_hours(1));
    }
    Ok(Many { sources, rounds, empty, cpu: cpu()?, peak_mib: peak()? })
}

fn changed(source: u64, round: u64) -> Outcome<Record> {
    let data = serde_json::json!({
        "id": "settings", "revision": round, "tenant": format!("tenant-{source}"),
        "note": format!("what the settings of {source} say in round {round}: {:016x}", (source + 1) * (round + 7) * 0x9E37_79B9),
    });
    Ok(Record::new(Key::parse("settings", "settings")?, Json::from_value(&data)?))
}

impl fmt::Display for Many {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| {} sources | PUT a run | bytes a run | beside the record |", self.sources)?;
        writeln!(formatter, "|---|--:|--:|--:|")?;
        for (number, Round { requests, records }) in self.rounds.iter().enumerate() {
            let (put, sent) = (ratio(requests.put, self.sources), ratio(requests.sent, self.sources));
            let beside = ratio(requests.sent.saturating_sub(*records), self.sources);
            writeln!(formatter, "| run {} | {put:.3} | {sent:.0} | {beside:.0} |", number + 1)?;
        }
        writeln!(formatter, "| nothing new | {:.3} | {} | |", ratio(self.empty.put, self.sources), self.empty.sent)?;
        writeln!(formatter, "\n{:.0} CPU s, peak {:.0} MiB with all that is stored", self.cpu, self.peak_mib)
    }
}
