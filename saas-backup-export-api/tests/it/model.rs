//! A consumer that follows the rules, and a world that moves under it: in the end both hold the same.

use std::collections::{BTreeMap, BTreeSet};

use saas_backup_export_api::{MemoryAccount, Transaction};

use crate::support::{Page, Random, Server, key, key_of, note, oracle};

/// What people and operators do to an account.
struct World {
    random: Random,
    account: MemoryAccount,
    open: Vec<Transaction>,
    operations: u32,
    quiet: bool,
}

impl World {
    fn step(&mut self) {
        self.operations += 1;
        let id = format!("n_{:02}", self.random.below(12));
        let note_key = key(&format!("notes/{id}"));
        match self.random.below(100) {
            0..30 => self.account.put(note(&id, &format!("edit {}", self.random.below(1_000)))),
            30..45 => drop(self.account.delete(&note_key)),
            45..55 => {
                let mut transaction = self.account.begin();
                match self.random.below(3) {
                    0 => transaction.delete(note_key),
                    _ => transaction.put(note(&id, "from a transaction")),
                }
                self.open.push(transaction);
            }
            55..75 if !self.open.is_empty() => {
                let which = self.random.below(self.open.len() as u64) as usize;
                self.open.swap_remove(which).commit();
            }
            75..80 => drop(self.account.hide(&note_key)),
            80..86 => drop(self.account.unhide(&note_key)),
            86..90 => drop(self.account.trash(&note_key)),
            90..92 => self.account.expire_cursors(),
            92..94 => self.account.bump_generation(),
            94..96 => self.account.reset(vec![crate::support::name("notes")]),
            96..98 => self.account.put(saas_backup_core::Record::new(
                key(&format!("users/u_{}", self.random.below(5))),
                saas_backup_core::Json::parse("{}").unwrap(),
            )),
            _ => {}
        }
    }

    fn steps(&mut self, most: u64) {
        if !self.quiet {
            (0..self.random.below(most)).for_each(|_| self.step());
        }
    }
}

/// The copy, by the algorithm of the protocol: snapshot, reconcile, replay.
#[derive(Default)]
struct Consumer {
    records: BTreeMap<String, String>,
    cursor: Option<String>,
}

impl Consumer {
    async fn full(&mut self, server: &Server, world: &mut World, only: Option<&str>) {
        'again: loop {
            let filter = only.map(|name| format!("collections={name}&")).unwrap_or_default();
            let mut page = server.snapshot(&format!("{filter}limit=3")).await;
            let position = page.start["changes_cursor"].as_str().unwrap().to_owned();
            let mut seen = BTreeSet::new();
            loop {
                for line in page.of_type("put") {
                    seen.insert(key_of(line));
                    self.records.insert(key_of(line), line["version"].as_str().unwrap().to_owned());
                }
                world.steps(3);
                let Some(cursor) = page.more() else { break };
                let answer = server.get(&format!("/accounts/ws_1/snapshot?limit=3&cursor={cursor}")).await;
                if answer.status == 410 {
                    continue 'again;
                }
                page = answer.page();
            }
            let in_scope = |key: &str| only.is_none_or(|name| key.starts_with(&format!("{name}/")));
            self.records.retain(|key, _| seen.contains(key) || !in_scope(key));
            if only.is_none() {
                self.cursor = Some(position);
            }
            return;
        }
    }

    fn apply(&mut self, page: &Page) -> bool {
        for line in &page.lines {
            match line["type"].as_str().unwrap() {
                "put" => drop(self.records.insert(key_of(line), line["version"].as_str().unwrap().to_owned())),
                "del" => drop(self.records.remove(&key_of(line))),
                _ => {}
            }
        }
        page.of_type("reset").count() > 0
    }

    async fn sync(&mut self, server: &Server, world: &mut World) {
        loop {
            let Some(cursor) = self.cursor.clone() else {
                self.full(server, world, None).await;
                continue;
            };
            let answer = server.get(&format!("/accounts/ws_1/changes?limit=4&since={cursor}")).await;
            if answer.status == 410 {
                self.cursor = None;
                continue;
            }
            let page = answer.page();
            let reset = self.apply(&page);
            self.cursor = Some(page.cursor().to_owned());
            if reset {
                // The collection is read in full and the log is replayed from before that read began (R1, R3).
                self.full(server, world, Some("notes")).await;
            } else if page.more().is_none() {
                return;
            }
        }
    }
}

/// Lives through one world: operations and syncs in turn, then a last sync in peace.
async fn live(seed: u64) {
    let server = Server::start().await;
    let account = server.account.clone();
    let mut world = World { random: Random::new(seed), account, open: Vec::new(), operations: 0, quiet: false };
    let mut consumer = Consumer::default();
    while world.operations < 500 {
        world.steps(25);
        consumer.sync(&server, &mut world).await;
    }
    for transaction in world.open.drain(..) {
        transaction.commit();
    }
    world.quiet = true;
    consumer.sync(&server, &mut world).await;
    assert_eq!(consumer.records, oracle(&server.account), "seed {seed}");
}

/// 200 worlds of 500 operations, in parts that run beside each other.
macro_rules! worlds {
    ($($name:ident: $seeds:expr;)+) => {
        $(#[tokio::test]
        async fn $name() {
            for seed in $seeds {
                live(seed).await;
            }
        })+
    };
}

worlds! {
    n04_z02_a_consumer_that_follows_the_rules_ends_with_what_is_there: 0..50;
    n04_z02_a_consumer_that_follows_the_rules_ends_with_what_is_there_2: 50..100;
    n04_z02_a_consumer_that_follows_the_rules_ends_with_what_is_there_3: 100..150;
    n04_z02_a_consumer_that_follows_the_rules_ends_with_what_is_there_4: 150..200;
}
