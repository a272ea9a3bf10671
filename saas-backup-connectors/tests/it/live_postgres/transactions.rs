//! Backups while others write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use saas_backup_connectors::postgres::Postgres;
use saas_backup_core::memory::MemoryConnector;
use saas_backup_core::testkit::{Contents, Random};
use saas_backup_core::{RunStatus, TransferOptions, transfer};
use tokio_postgres::Client;

use super::support::{Instance, Scratch, contents, copy};

const ACCOUNTS: usize = 40;
const OPENING: i64 = 1000;
const WRITERS: u64 = 6;

/// The large text is not in the log where it does not change; its end counts how often it did.
const BANK: &str = "
    CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, terms text);
    ALTER TABLE accounts ALTER COLUMN terms SET STORAGE EXTERNAL;
    CREATE TABLE ledger (id bigserial PRIMARY KEY, debit int NOT NULL, credit int NOT NULL, amount bigint NOT NULL,
        renewed boolean NOT NULL);
    INSERT INTO accounts SELECT n, 1000, repeat('terms ', 1000) || '#0' FROM generate_series(0, 39) n";

/// Moves money until so many transfers were tried: some are rolled back, some take long.
async fn write(client: Client, seed: u64, left: Arc<AtomicU32>) {
    let mut random = Random::new(seed);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let (debit, amount) = (random.below(ACCOUNTS), random.below(50));
        let credit = (debit + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let (first, second) = (debit.min(credit), debit.max(credit));
        let pause = if random.below(100) == 0 { "SELECT pg_sleep(0.1);" } else { "" };
        let end = if random.below(10) == 0 { "ROLLBACK" } else { "COMMIT" };
        let move_to = |account: usize| {
            let sign = if account == debit { '-' } else { '+' };
            format!("UPDATE accounts SET balance = balance {sign} {amount} WHERE id = {account};")
        };
        let renewed = random.below(20) == 0;
        let renewal = if renewed {
            format!(
                "UPDATE accounts SET terms = repeat('terms ', 1000) || '#' || split_part(terms, '#', 2)::int + 1 \
                 WHERE id = {debit};"
            )
        } else {
            String::new()
        };
        let transaction = format!(
            "BEGIN; {} {pause} {} {renewal} \
             INSERT INTO ledger (debit, credit, amount, renewed) VALUES ({debit}, {credit}, {amount}, {renewed}); {end}",
            move_to(first),
            move_to(second),
        );
        if client.batch_execute(&transaction).await.is_err() {
            // The server was killed.
            break;
        }
    }
}

/// Changes the tables' forms meanwhile.
async fn redefine(client: Client, left: Arc<AtomicU32>) {
    for round in 0_u32.. {
        if left.load(Ordering::Relaxed) == 0 {
            break;
        }
        for statement in [
            format!("ALTER TABLE accounts ADD COLUMN extra{round} int DEFAULT {round}"),
            format!("CREATE TABLE other{round} (id int PRIMARY KEY); INSERT INTO other{round} VALUES (1)"),
            "CREATE INDEX ON ledger (debit)".to_owned(),
        ] {
            client.batch_execute(&statement).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        }
    }
}

fn numbers(contents: &Contents, collection: &str) -> Vec<BTreeMap<String, serde_json::Value>> {
    let of = contents.records.values().filter(|record| record.key.collection.as_str() == collection);
    of.map(|record| record.data.decode().unwrap()).collect()
}

/// Each balance is what the transfers of the same point make it.
fn assert_balanced(contents: &Contents, what: &str) -> usize {
    let mut balances: BTreeMap<usize, i64> = (0..ACCOUNTS).map(|account| (account, OPENING)).collect();
    let mut renewals: BTreeMap<usize, usize> = BTreeMap::new();
    let ledger = numbers(contents, "public.ledger");
    for entry in &ledger {
        let account = |name: &str| usize::try_from(entry[name].as_u64().unwrap()).unwrap();
        let amount = entry["amount"].as_i64().unwrap();
        *balances.get_mut(&account("debit")).unwrap() -= amount;
        *renewals.entry(account("debit")).or_default() += usize::from(entry["renewed"].as_bool().unwrap());
        *balances.get_mut(&account("credit")).unwrap() += amount;
    }
    for account in numbers(contents, "public.accounts") {
        let id = account["id"].as_u64().unwrap() as usize;
        assert_eq!(account["balance"].as_i64().unwrap(), balances[&id], "{what}: account {id}");
        let (_, version) = account["terms"].as_str().unwrap().split_once('#').unwrap();
        assert_eq!(version, renewals.get(&id).copied().unwrap_or_default().to_string(), "{what}: terms of {id}");
    }
    ledger.len()
}

async fn run(source: &dyn saas_backup_core::Connector, copy: &MemoryConnector) -> RunStatus {
    let options = TransferOptions::backup().with_accepted_deletions(true);
    transfer(source, copy, options).await.map_or(RunStatus::Incomplete, |done| done.report.status)
}

async fn bank(transfers: u32, redefined: bool) {
    let database = Scratch::new().await;
    database.run(BANK).await;
    let left = Arc::new(AtomicU32::new(transfers));
    let mut work = tokio::task::JoinSet::new();
    for seed in 0..WRITERS {
        work.spawn(write(database.client().await, seed, Arc::clone(&left)));
    }
    if redefined {
        work.spawn(redefine(database.client().await, Arc::clone(&left)));
    }
    let (copy, mut whole, mut seen) = (copy(), 0, 0);
    while left.load(Ordering::Relaxed) > 0 {
        let status = run(&database.connector(), &copy).await;
        // A table whose form changes again and again in one run is said to be incomplete.
        if status == RunStatus::Complete {
            let entries = assert_balanced(&contents(&copy).await, &format!("point {whole}"));
            assert!(entries >= seen, "a transfer vanished");
            (whole, seen) = (whole + 1, entries);
        }
    }
    while let Some(ended) = work.join_next().await {
        ended.unwrap();
    }
    assert_eq!(run(&database.connector(), &copy).await, RunStatus::Complete);
    let last = contents(&copy).await;
    assert_balanced(&last, "the last point");
    assert_eq!(last.differences(&contents(&database.plain()).await), Vec::<String>::new());
    assert!(whole >= 3, "only {whole} complete points while {transfers} transfers ran");
    eprintln!("{whole} complete points, {} transfers", numbers(&last, "public.ledger").len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs testing/servers up postgres"]
async fn every_point_balances_while_thousands_of_transfers_run() {
    bank(10_000, false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs testing/servers up postgres"]
async fn every_point_balances_while_tables_change_their_form() {
    bank(10_000, true).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs testing/servers up postgres"]
async fn a_server_that_is_killed_while_it_is_read_loses_no_point_its_balance() {
    let mut server = Instance::new().await;
    server.client().await.batch_execute(BANK).await.unwrap();
    let source = Postgres::new(server.settings()).unwrap();
    let (copy, mut random, mut whole) = (copy(), Random::new(7), 0);
    for round in 0..6 {
        let left = Arc::new(AtomicU32::new(2000));
        let mut work = tokio::task::JoinSet::new();
        for seed in 0..WRITERS {
            work.spawn(write(server.client().await, 100 * round + seed, Arc::clone(&left)));
        }
        let reads = run(&source, &copy);
        let dies = async {
            tokio::time::sleep(std::time::Duration::from_millis(random.below(1200) as u64)).await;
            server.kill();
        };
        // What cannot be read is said; the next run goes on where this one was.
        let _cut =
            tokio::time::timeout(std::time::Duration::from_millis(1500), async { tokio::join!(reads, dies) }).await;
        while let Some(ended) = work.join_next().await {
            ended.unwrap();
        }
        server.start().await;
        assert_eq!(run(&source, &copy).await, RunStatus::Complete);
        assert_balanced(&contents(&copy).await, &format!("round {round}"));
        whole += 1;
    }
    let plain = Postgres::new(server.settings().with_increments(false)).unwrap();
    assert_eq!(contents(&copy).await.differences(&contents(&plain).await), Vec::<String>::new());
    assert_eq!(whole, 6);
}
