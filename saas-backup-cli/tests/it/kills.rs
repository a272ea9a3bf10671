//! kill -9 at any time: what was committed before reads the same, and nobody is kept from going on.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::{Sandbox, signal};

/// How often a run is killed; `SAAS_BACKUP_TEST_KILLS` says otherwise.
const KILLS: u32 = 4;

/// Numbers that follow from a seed: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn variable(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap())
}

/// Posts that the account has at least.
const FEWEST: usize = 5;

/// The titles of all posts at a point in time.
type Posts = BTreeMap<String, String>;

/// A sandbox, and what has to be true of its repository.
struct Scene {
    sandbox: Sandbox,
    numbers: Numbers,
    account: Posts,
    points: BTreeMap<u64, Posts>,
    next: u64,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let sandbox = Sandbox::with_notes();
        sandbox.configure("\n[retention]\nkeep_last = 4\nkeep_verified = 0\nmin_age = \"0s\"\n");
        let mut scene =
            Self { sandbox, numbers: Numbers(seed), account: Posts::new(), points: BTreeMap::new(), next: 0 };
        for _ in 0..30 {
            scene.write();
        }
        scene.settle();
        scene
    }

    /// One more post.
    fn write(&mut self) {
        let words = self.numbers.below(200);
        let words: Vec<_> = (0..words).map(|_| self.numbers.below(u64::MAX).to_string()).collect();
        self.account.insert(self.next.to_string(), words.join(" "));
        self.next += 1;
    }

    fn some_post(&mut self) -> String {
        let index = self.numbers.below(self.account.len() as u64);
        self.account.keys().nth(usize::try_from(index).unwrap()).unwrap().clone()
    }

    fn change(&mut self) {
        self.write();
        let edited = self.some_post();
        self.account.insert(edited, format!("edited {:x}", self.numbers.below(u64::MAX)));
        if self.account.len() > 25 {
            let gone = self.some_post();
            self.account.remove(&gone);
        }
        self.publish();
    }

    fn publish(&self) {
        let posts: Vec<_> = self.account.iter().map(|(id, title)| (id.as_str(), title.as_str())).collect();
        self.sandbox.account(&posts);
    }

    /// Backs up to the end, and takes over what the repository says then.
    fn settle(&mut self) {
        // Erasures take posts away: an account of none would wait for somebody's decision.
        while self.account.len() < FEWEST {
            self.write();
        }
        self.publish();
        self.sandbox.run(&["backup"]).expect(0);
        self.points = self.read();
        assert_eq!(self.points.values().next_back(), Some(&self.account), "the newest point is the account");
    }

    fn read(&self) -> BTreeMap<u64, Posts> {
        let points = self.sandbox.run(&["snapshots", "notes", "--json"]).expect(0).json();
        let sequences = points.iter().map(|point| point["sequence"].as_u64().unwrap());
        sequences.map(|sequence| (sequence, self.posts(sequence))).collect()
    }

    fn posts(&self, sequence: u64) -> Posts {
        let folder = self.sandbox.path("read");
        let _ = std::fs::remove_dir_all(&folder);
        let at = sequence.to_string();
        self.sandbox.run(&["export", "notes", "--format", "jsonl", "--at", &at, "--to", "read"]).expect(0);
        let lines = std::fs::read_to_string(folder.join("records/posts.jsonl")).unwrap();
        let records = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        records.map(|record| (text(&record["id"]), text(&record["data"]["title"]))).collect()
    }

    /// Starts a run and kills it after a part of the time that one of its kind takes. Says whether it had ended by itself.
    fn kill(&mut self, arguments: &[&str], whole: &mut Duration) -> bool {
        let began = Instant::now();
        let limit = whole.mul_f64(1.3) / 1000 * u32::try_from(self.numbers.below(1000)).unwrap();
        let mut child = self.sandbox.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (nobody, after) = mpsc::channel::<()>();
        let _ = after.recv_timeout(limit);
        drop(nobody);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{arguments:?}: {status}");
            *whole = began.elapsed().min(*whole);
            return true;
        }
        signal(&child, "KILL");
        let _ = child.wait().unwrap();
        false
    }
}

/// A kind of run, how long a whole one takes, and how often one was killed or had ended before.
struct Kind {
    name: &'static str,
    whole: Duration,
    killed: u32,
    ended: u32,
}

#[test]
fn a_run_that_is_killed_harms_no_point_and_stops_nobody() {
    let seed = variable("SAAS_BACKUP_TEST_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let kills = variable("SAAS_BACKUP_TEST_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    println!("SAAS_BACKUP_TEST_KILL_SEED={seed}");
    let mut scene = Scene::new(seed);
    for _ in 0..3 {
        scene.change();
        scene.settle();
    }
    let mut kinds = ["backup", "maintain", "erase"].map(|name| Kind {
        name,
        whole: Duration::from_millis(1500),
        killed: 0,
        ended: 0,
    });
    // How long each takes on this machine.
    for kind in &mut kinds {
        let post = scene.some_post();
        scene.account.remove(&post);
        scene.change();
        if kind.name == "erase" {
            scene.settle();
        }
        let record = format!("posts/{post}");
        let began = Instant::now();
        match kind.name {
            "backup" => scene.sandbox.run(&["backup"]),
            "maintain" => scene.sandbox.run(&["maintain", "--all", "--grace", "0s"]),
            _ => scene.sandbox.run(&["erase", "notes", "--record", &record, "--request", "none"]),
        }
        .expect(0);
        kind.whole = began.elapsed();
        scene.settle();
    }
    let mut round = 0;
    while kinds.iter().map(|kind| kind.killed).sum::<u32>() < kills {
        round += 1;
        let chosen = usize::try_from(scene.numbers.below(3)).unwrap();
        let mut erased = None;
        let mut before = scene.points.clone();
        let kind = &mut kinds[chosen];
        let ended = match kind.name {
            "backup" => {
                scene.change();
                scene.kill(&["backup"], &mut kind.whole)
            }
            "maintain" => {
                if scene.numbers.below(2) == 0 {
                    scene.sandbox.run(&["forget", "notes"]).expect(0);
                    let kept = scene.read();
                    before.retain(|sequence, _| kept.contains_key(sequence));
                    assert_eq!(kept, before, "round {round}: forgetting changes no other point");
                }
                scene.kill(&["maintain", "--all", "--grace", "0s"], &mut kind.whole)
            }
            _ => {
                // First at the provider, as the documentation says.
                let post = scene.some_post();
                scene.account.remove(&post);
                scene.settle();
                before.clone_from(&scene.points);
                let record = format!("posts/{post}");
                let request = format!("request-{round}");
                erased = Some((post, request.clone()));
                scene.kill(&["erase", "notes", "--record", &record, "--request", &request], &mut kind.whole)
            }
        };
        if ended {
            kind.ended += 1;
        } else {
            kind.killed += 1;
        }
        let what = format!("round {round}: {} of {seed}, which ended: {ended}", kind.name);
        println!("{what}");

        // An erasure that took effect took it in all points; one that did not in none.
        if let Some((post, request)) = &erased {
            let told = scene.sandbox.run(&["erasures", "notes", "--json"]).expect(0);
            assert!(!ended || told.stdout.contains(request.as_str()), "{what}");
            if told.stdout.contains(request.as_str()) {
                for posts in before.values_mut() {
                    posts.remove(post);
                }
            }
        }
        let mut after = scene.read();
        after.retain(|sequence, _| before.contains_key(sequence));
        assert_eq!(after, before, "{what}");
        // The next runs work, whatever the one before left: a backup, and upkeep, which ends what an erasure began.
        scene.settle();
        scene.sandbox.run(&["maintain", "--grace", "0s"]).expect(0);
        let now = scene.read();
        assert_eq!(now, scene.points, "{what}");
        assert!(before.iter().all(|(sequence, posts)| now[sequence] == *posts), "{what}");
        scene.sandbox.run(&["verify", "--read", "all"]).expect(0);
    }
    for kind in kinds {
        println!(
            "{}: {} killed, {} ended before; a whole one took {:?}",
            kind.name, kind.killed, kind.ended, kind.whole
        );
    }
}
